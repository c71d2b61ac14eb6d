//! What the node has to say, kept until it can be said.
//!
//! States (pod statuses, the node's status) are kept in their last form and said again on every new connection, since
//! nobody acknowledges them. Events are kept in order, up to a limit. Answers belong to one connection and end with it.
//! Never here: the connection.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::Arc,
};

use api::node_stream::{
    EventRecord, FromAgent, Heartbeat, NodeStatus, PodGone, PodStatus, Programmed, TokenWanted, from_agent,
};
use futures::Stream;
use parking_lot::Mutex;
use tokio::sync::{Notify, mpsc};
use tracing::warn;

/// Events kept while there is no connection; then the oldest go, as they would in an API server.
const EVENTS_WAITING_MAX: usize = 1024;
/// Tokens that wait to be asked for: a few for each of the pods of a full node.
const TOKENS_WANTED_MAX: usize = 1024;
/// Parts of answers that wait for the connection, all answers together; then those who answer wait.
const ANSWERS_WAITING_MAX: usize = 16;

/// What the node has to say.
#[derive(Debug)]
pub struct Outbox {
    pending: Mutex<Pending>,
    ready: Notify,
}

#[derive(Debug, Default)]
struct Pending {
    heartbeat: bool,
    programmed: Option<u64>,
    node_status: Option<NodeStatus>,
    node_status_due: bool,
    /// By uid. Kept after they were said, for the next connection.
    pod_statuses: BTreeMap<String, PodStatus>,
    pod_statuses_due: BTreeSet<String>,
    /// By uid. Kept until the server has taken the pod away.
    pods_gone: BTreeMap<String, PodGone>,
    pods_gone_due: BTreeSet<String>,
    /// Asked for again by whoever waits, so that none is kept once it was said.
    tokens_wanted: VecDeque<TokenWanted>,
    events: VecDeque<EventRecord>,
    events_lost: u64,
    answers: Option<mpsc::Sender<FromAgent>>,
    /// Number of the present connection.
    connection: u64,
}

impl Default for Outbox {
    fn default() -> Outbox {
        Outbox {
            pending: Mutex::default(),
            ready: Notify::new(),
        }
    }
}

impl Outbox {
    /// The lease is to be renewed.
    pub fn heartbeat(&self) {
        self.change(|pending| pending.heartbeat = true);
    }

    /// The maps hold everything up to this revision of the connection's batches.
    pub fn programmed(&self, revision: u64) {
        self.change(|pending| pending.programmed = Some(revision));
    }

    /// The node's status has changed.
    pub fn node_status(&self, status: NodeStatus) {
        self.change(|pending| {
            pending.node_status = Some(status);
            pending.node_status_due = true;
        });
    }

    /// Takes a message of a pod worker.
    pub fn post(&self, message: FromAgent) {
        match message.kind {
            Some(from_agent::Kind::PodStatus(status)) => self.change(|pending| {
                pending.pod_statuses_due.insert(status.uid.clone());
                pending.pod_statuses.insert(status.uid.clone(), status);
            }),
            Some(from_agent::Kind::PodGone(gone)) => self.change(|pending| {
                pending.pods_gone_due.insert(gone.uid.clone());
                pending.pods_gone.insert(gone.uid.clone(), gone);
            }),
            Some(from_agent::Kind::TokenWanted(wanted)) => self.change(|pending| pending.want_token(wanted)),
            Some(from_agent::Kind::Event(event)) => self.change(|pending| pending.keep_event(event)),
            Some(from_agent::Kind::NodeStatus(status)) => self.node_status(status),
            Some(from_agent::Kind::Programmed(programmed)) => self.programmed(programmed.revision),
            Some(from_agent::Kind::Heartbeat(_)) => self.heartbeat(),
            Some(from_agent::Kind::Hello(_) | from_agent::Kind::Reply(_) | from_agent::Kind::RequestCredit(_))
            | None => {
                warn!("a message that only the connection itself sends was posted, and is dropped");
            }
        }
    }

    /// The server has taken the pod away: nothing more is said of it.
    pub fn forget_pod(&self, uid: &str) {
        let mut pending = self.pending.lock();
        pending.pod_statuses.remove(uid);
        pending.pod_statuses_due.remove(uid);
        pending.pods_gone.remove(uid);
        pending.pods_gone_due.remove(uid);
    }

    /// The server has named all pods it knows: nothing more is said of others.
    pub fn retain_pods(&self, known: &BTreeSet<String>) {
        let mut pending = self.pending.lock();
        pending.pod_statuses.retain(|uid, _| known.contains(uid));
        pending.pod_statuses_due.retain(|uid| known.contains(uid));
        pending.pods_gone.retain(|uid, _| known.contains(uid));
        pending.pods_gone_due.retain(|uid| known.contains(uid));
    }

    /// Where what is said about the present connection's requests goes; nowhere while there is no connection.
    #[must_use]
    pub fn answers(&self) -> Option<mpsc::Sender<FromAgent>> {
        self.pending.lock().answers.clone()
    }

    /// Everything there is to say on a new connection, and then whatever comes. Only the last one made is fed.
    pub fn connect(self: Arc<Outbox>) -> impl Stream<Item = FromAgent> + Send + 'static {
        let (sender, answers) = mpsc::channel(ANSWERS_WAITING_MAX);
        let connection = self.pending.lock().begin(sender);
        futures::stream::unfold((self, answers), move |(outbox, mut answers)| async move {
            loop {
                let ready = outbox.ready.notified();
                {
                    let mut pending = outbox.pending.lock();
                    if pending.connection != connection {
                        // This one has ended without having noticed; what woke it was meant for the next.
                        outbox.ready.notify_one();
                        return None;
                    }
                    if let Some(message) = pending.next() {
                        return Some((message, (outbox.clone(), answers)));
                    }
                }
                tokio::select! {
                    biased;
                    () = ready => {}
                    answer = answers.recv() => match answer {
                        Some(message) => return Some((message, (outbox.clone(), answers))),
                        // Another connection has begun.
                        None => return None,
                    },
                }
            }
        })
    }

    fn change(&self, change: impl FnOnce(&mut Pending)) {
        change(&mut self.pending.lock());
        self.ready.notify_one();
    }
}

impl Pending {
    /// Everything is due again. Number of the connection.
    fn begin(&mut self, answers: mpsc::Sender<FromAgent>) -> u64 {
        self.connection += 1;
        self.answers = Some(answers);
        self.heartbeat = true;
        // It counted the batches of another connection.
        self.programmed = None;
        self.node_status_due = self.node_status.is_some();
        self.pod_statuses_due = self.pod_statuses.keys().cloned().collect();
        self.pods_gone_due = self.pods_gone.keys().cloned().collect();
        self.connection
    }

    /// What is to be said next: what others wait for first.
    fn next(&mut self) -> Option<FromAgent> {
        if std::mem::take(&mut self.heartbeat) {
            return Some(message(from_agent::Kind::Heartbeat(Heartbeat {})));
        }
        if let Some(revision) = self.programmed.take() {
            return Some(message(from_agent::Kind::Programmed(Programmed { revision })));
        }
        if std::mem::take(&mut self.node_status_due)
            && let Some(status) = &self.node_status
        {
            return Some(message(from_agent::Kind::NodeStatus(status.clone())));
        }
        while let Some(uid) = self.pod_statuses_due.pop_first() {
            if let Some(status) = self.pod_statuses.get(&uid) {
                return Some(message(from_agent::Kind::PodStatus(status.clone())));
            }
        }
        // After its last status.
        while let Some(uid) = self.pods_gone_due.pop_first() {
            if let Some(gone) = self.pods_gone.get(&uid) {
                return Some(message(from_agent::Kind::PodGone(gone.clone())));
            }
        }
        if let Some(wanted) = self.tokens_wanted.pop_front() {
            return Some(message(from_agent::Kind::TokenWanted(wanted)));
        }
        if self.events_lost > 0 {
            warn!(
                events = self.events_lost,
                "events were dropped while there was no connection"
            );
            self.events_lost = 0;
        }
        self.events
            .pop_front()
            .map(|event| message(from_agent::Kind::Event(event)))
    }

    fn want_token(&mut self, wanted: TokenWanted) {
        if !self.tokens_wanted.contains(&wanted) && self.tokens_wanted.len() < TOKENS_WANTED_MAX {
            self.tokens_wanted.push_back(wanted);
        }
    }

    fn keep_event(&mut self, event: EventRecord) {
        if self.events.len() == EVENTS_WAITING_MAX {
            self.events.pop_front();
            self.events_lost += 1;
        }
        self.events.push_back(event);
    }
}

fn message(kind: from_agent::Kind) -> FromAgent {
    FromAgent { kind: Some(kind) }
}

#[cfg(test)]
mod tests;
