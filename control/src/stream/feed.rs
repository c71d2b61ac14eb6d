//! What nodes are told: one fold of the store's changes for all of them.
//!
//! Network changes are made once and sent to every stream; a pod, and the config maps and secrets it names, only to
//! its node. Here is also kept which stops wait for which nodes. Never here: what agents say (`session`), decisions
//! about stops (`reconcile::withdrawal`).
//!
//! Invariant: what a stream was sent up to a revision, its snapshot included, is all that concerns it up to there. An
//! object read for a stream may be newer than the revision; its change then comes again, which is harmless.

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    error::Error,
    time::{Duration, Instant},
};

use api::{
    Kind, Object, ObjectKey, Timestamp,
    k8s_openapi::api::{
        core::v1::{Node, Pod, Service},
        discovery::v1::EndpointSlice,
    },
    node_stream::{Batch, Change as Told, ObjectRef, StopAllowed, ToAgent, batch::Phase, change, to_agent},
};
use futures::FutureExt;
use prost::Message;
use reconcile::withdrawal::{WAIT_MAX, Withdrawals};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tonic::Status;

use super::{
    Closer, ClusterSettings,
    network::Network,
    pods::{Left, On, PodIndex},
};
use crate::{
    driver::sleep_until,
    engine::object::bytes_for_agent,
    store::{
        Change, ListRequest, ReadError, Revision, Store, StoreKey, Stored, WatchEnd, WatchEvent, WatchRequest, Watcher,
    },
};

/// Changes folded into one batch. Bounds a batch and lets commands through.
const FOLDED_AT_ONCE_MAX: usize = 512;

/// Bytes of one batch of a snapshot, about; and thereby of a message, but for a single object that is larger.
const SNAPSHOT_BATCH_BYTES: usize = 512 << 10;

/// Pause after the store could not be read.
const READ_RETRY: Duration = Duration::from_secs(1);

/// What sessions tell the feed.
pub(super) enum FeedCommand {
    /// A stream is up. It gets Welcome and the snapshot once its node has a range for its pods.
    Join {
        node: String,
        session: u64,
        outgoing: mpsc::Sender<ToAgent>,
        closer: Closer,
    },
    /// A stream is down.
    Leave { node: String, session: u64 },
    /// The node's maps are current up to this revision.
    Programmed {
        node: String,
        session: u64,
        revision: Revision,
    },
}

/// One stream as the feed sees it.
struct Outlet {
    session: u64,
    outgoing: mpsc::Sender<ToAgent>,
    closer: Closer,
    /// False until its node has a range for its pods.
    is_live: bool,
    /// Revision of the last batch that it was sent.
    sent: Revision,
    programmed: Revision,
    /// What concerns it alone, for the next batch.
    pending: Vec<Told>,
}

struct Feed {
    store: Store,
    settings: ClusterSettings,
    revision: Revision,
    network: Network,
    pods: PodIndex,
    withdrawals: Withdrawals,
    /// By node.
    streams: HashMap<String, Outlet>,
    /// What concerns every stream, for the next batch.
    pending: Vec<Told>,
    /// Nodes whose streams may be welcome now, after this batch.
    changed_nodes: Vec<String>,
    /// Nodes without a stream that stops still wait for, and until when: an agent or a server that starts again must
    /// not make pods stop while a node sends them connections.
    absent: BTreeMap<String, Instant>,
}

/// Runs until `shutdown`, or until the store is closed.
pub(super) async fn run(
    store: Store,
    settings: ClusterSettings,
    mut commands: mpsc::Receiver<FeedCommand>,
    shutdown: CancellationToken,
) {
    let work = async {
        loop {
            let (mut feed, watcher) = match Feed::load(&store, &settings) {
                Ok(loaded) => loaded,
                Err(error) => {
                    tracing::error!(error = &error as &dyn Error, "node streams cannot read the store");
                    tokio::time::sleep(READ_RETRY).await;
                    continue;
                }
            };
            if let WatchEnd::Closed = feed.work(watcher, &mut commands).await {
                return;
            }
            // Compaction has overtaken the feed: what streams know cannot be continued, so they begin anew.
            for stream in feed.streams.values() {
                stream
                    .closer
                    .close(Status::unavailable("the server has to send a new snapshot"));
            }
        }
    };
    tokio::select! {
        () = work => {}
        () = shutdown.cancelled() => {}
    }
}

impl Feed {
    /// Everything there is, at one revision.
    fn load(store: &Store, settings: &ClusterSettings) -> Result<(Feed, Watcher), ReadError> {
        let mut feed = Feed {
            store: store.clone(),
            settings: settings.clone(),
            revision: 0,
            network: Network::default(),
            pods: PodIndex::default(),
            withdrawals: Withdrawals::new(WAIT_MAX),
            streams: HashMap::new(),
            pending: Vec::new(),
            changed_nodes: Vec::new(),
            absent: BTreeMap::new(),
        };
        let mut at = None;
        // Slices before pods: a pod that stops needs to be known as listed or not.
        for kind in [Kind::Node, Kind::Service, Kind::EndpointSlice, Kind::Pod] {
            let page = store.list(&ListRequest {
                collection: kind.collection(),
                at,
                ..ListRequest::default()
            })?;
            at = Some(page.revision);
            feed.revision = page.revision;
            for stored in &page.items {
                let key = ObjectKey::new(kind, stored.key.namespace.as_str(), stored.key.name.as_str());
                feed.fold_object(&key, stored.modified, None, Some(stored));
            }
        }
        // Nobody was told anything yet; streams begin with a snapshot.
        feed.pending.clear();
        for node in std::mem::take(&mut feed.changed_nodes) {
            feed.withdrawals.node_connected(&node);
            feed.absent.insert(node, Instant::now() + WAIT_MAX);
        }
        let watcher = feed.watch()?;
        Ok((feed, watcher))
    }

    fn watch(&self) -> Result<Watcher, ReadError> {
        self.store.watch(WatchRequest {
            after: self.revision,
            ..WatchRequest::default()
        })
    }

    /// Follows the store. Returns when it cannot be continued.
    async fn work(&mut self, mut watcher: Watcher, commands: &mut mpsc::Receiver<FeedCommand>) -> WatchEnd {
        loop {
            tokio::select! {
                event = watcher.next() => {
                    if let Err(end) = self.fold_ready(event, &mut watcher) {
                        // What was folded before the end must be told.
                        self.flush();
                        match end {
                            WatchEnd::Closed | WatchEnd::Compacted { .. } => return end,
                            WatchEnd::Slow | WatchEnd::Storage(_) => match self.resume().await {
                                Some(resumed) => watcher = resumed,
                                None => return end,
                            },
                        }
                    }
                    self.flush();
                }
                Some(command) = commands.recv() => self.take(command),
                () = sleep_until(self.deadline()) => {}
            }
            self.allow_stops();
        }
    }

    /// Watches again from where the feed is; none if that is compacted.
    async fn resume(&self) -> Option<Watcher> {
        loop {
            match self.watch() {
                Ok(watcher) => return Some(watcher),
                Err(ReadError::Compacted { .. } | ReadError::Future { .. } | ReadError::Closed) => return None,
                Err(error @ ReadError::Storage(_)) => {
                    tracing::error!(error = &error as &dyn Error, "node streams cannot read the store");
                    tokio::time::sleep(READ_RETRY).await;
                }
            }
        }
    }

    fn fold_ready(&mut self, first: Result<WatchEvent, WatchEnd>, watcher: &mut Watcher) -> Result<(), WatchEnd> {
        let mut next = Some(first);
        let mut folded = 0;
        while let Some(event) = next {
            match event? {
                WatchEvent::Change(change) => self.fold(&change),
                WatchEvent::Progress(revision) => self.revision = self.revision.max(revision),
            }
            folded += 1;
            // A future that is dropped before it is ready has taken nothing.
            next = (folded < FOLDED_AT_ONCE_MAX)
                .then(|| watcher.next().now_or_never())
                .flatten();
        }
        Ok(())
    }

    fn fold(&mut self, change: &Change) {
        self.revision = change.revision;
        let Ok(kind) = change.key.collection.parse::<Kind>() else {
            return;
        };
        let key = ObjectKey::new(kind, change.key.namespace.as_str(), change.key.name.as_str());
        self.fold_object(&key, change.revision, change.before.as_ref(), change.after.as_ref());
    }

    fn fold_object(&mut self, key: &ObjectKey, revision: Revision, before: Option<&Stored>, after: Option<&Stored>) {
        match key.kind {
            Kind::Node => {
                let node = decode(key.kind, after);
                let changes = self
                    .network
                    .node_changed(&key.name, node.as_ref().and_then(Object::get::<Node>));
                self.pending.extend(changes);
                if node.is_some() {
                    self.changed_nodes.push(key.name.clone());
                } else {
                    self.absent.remove(&key.name);
                    self.withdrawals.node_disconnected(&key.name);
                }
            }
            Kind::Service => {
                let service = decode(key.kind, after);
                let service = service.as_ref().and_then(Object::get::<Service>);
                let changes = self.network.service_changed(&key.namespace, &key.name, service);
                self.pending.extend(changes);
            }
            Kind::EndpointSlice => {
                let (before, after) = (decode(key.kind, before), decode(key.kind, after));
                let typed = |object: &Option<Object>| object.as_ref().and_then(Object::get::<EndpointSlice>).cloned();
                let (before, after) = (typed(&before), typed(&after));
                let changes = self.network.slice_changed(&key.namespace, &key.name, after.as_ref());
                self.pending.extend(changes);
                self.withdrawals
                    .slice_changed(revision, before.as_ref(), after.as_ref());
            }
            Kind::Pod => self.fold_pod(key, before, after),
            Kind::ConfigMap | Kind::Secret => {
                let told = match after {
                    Some(stored) => object_told(key, bytes_for_agent(stored)),
                    None => removed_told(key, String::new()),
                };
                for node in self.pods.users(key) {
                    if let Some(stream) = self.streams.get_mut(node).filter(|stream| stream.is_live) {
                        stream.pending.push(told.clone());
                    }
                }
            }
            Kind::Namespace
            | Kind::ServiceAccount
            | Kind::Event
            | Kind::PersistentVolume
            | Kind::PersistentVolumeClaim
            | Kind::ResourceQuota
            | Kind::Deployment
            | Kind::ReplicaSet
            | Kind::Lease
            | Kind::ClusterRole
            | Kind::ClusterRoleBinding
            | Kind::Role
            | Kind::RoleBinding => {}
        }
    }

    fn fold_pod(&mut self, key: &ObjectKey, before: Option<&Stored>, after: Option<&Stored>) {
        let (old, new) = (decode(Kind::Pod, before), decode(Kind::Pod, after));
        let (old, new) = (
            old.as_ref().and_then(Object::get::<Pod>),
            new.as_ref().and_then(Object::get::<Pod>),
        );
        self.withdrawals.pod_changed(old, new, Timestamp::now());
        let change = self.pods.changed(key, new);
        if let Some(Left { node, uid, unused }) = change.left
            && let Some(stream) = self.streams.get_mut(&node).filter(|stream| stream.is_live)
        {
            stream.pending.push(removed_told(key, uid));
            stream
                .pending
                .extend(unused.iter().map(|reference| removed_told(reference, String::new())));
        }
        if let (
            Some(On {
                node,
                newly_used,
                unused,
            }),
            Some(stored),
        ) = (change.on, after)
            && let Some(stream) = self.streams.get_mut(&node).filter(|stream| stream.is_live)
        {
            for reference in &newly_used {
                match read_told(&self.store, reference) {
                    Ok(told) => stream.pending.extend(told),
                    Err(error) => stream.unreadable(&error),
                }
            }
            stream.pending.push(object_told(key, bytes_for_agent(stored)));
            stream
                .pending
                .extend(unused.iter().map(|reference| removed_told(reference, String::new())));
        }
    }

    fn take(&mut self, command: FeedCommand) {
        match command {
            FeedCommand::Join {
                node,
                session,
                outgoing,
                closer,
            } => {
                let stream = Outlet {
                    session,
                    outgoing,
                    closer,
                    is_live: false,
                    sent: 0,
                    programmed: 0,
                    pending: Vec::new(),
                };
                // Of two streams that begin at once the later one stays, whichever came here first.
                if self.streams.get(&node).is_none_or(|known| known.session < session) {
                    self.streams.insert(node.clone(), stream);
                    self.welcome_if_waiting(&node);
                }
            }
            FeedCommand::Leave { node, session } => {
                if self.streams.get(&node).is_some_and(|stream| stream.session == session) {
                    self.streams.remove(&node);
                    self.absent.insert(node, Instant::now() + WAIT_MAX);
                }
            }
            FeedCommand::Programmed {
                node,
                session,
                revision,
            } => {
                if let Some(stream) = self.streams.get_mut(&node)
                    && stream.session == session
                {
                    stream.programmed = stream.programmed.max(revision);
                    let programmed = stream.known(self.revision);
                    self.withdrawals.node_programmed(&node, programmed);
                }
            }
        }
    }

    /// Sends Welcome and the snapshot if the node's stream waits for them and its node has a range.
    fn welcome_if_waiting(&mut self, node: &str) {
        let Some(cidr) = self.network.pod_cidr(node) else {
            return;
        };
        if self.streams.get(node).is_none_or(|stream| stream.is_live) {
            return;
        }
        let mut messages = VecDeque::from([to_agent::Kind::Welcome(self.settings.welcome(cidr))]);
        let mut changes: Vec<Told> = self.network.snapshot().collect();
        for key in self.pods.referenced_on(node).into_iter().chain(self.pods.on(node)) {
            match read_told(&self.store, key) {
                Ok(told) => changes.extend(told),
                Err(error) => {
                    if let Some(stream) = self.streams.get(node) {
                        stream.unreadable(&error);
                    }
                    return;
                }
            }
        }
        messages.extend(snapshot(changes, self.revision));
        let allowed = self.withdrawals.allowed_on(node);
        messages.extend(allowed.map(stop_allowed));
        if let Some(stream) = self.streams.get_mut(node) {
            stream.is_live = true;
            stream.sent = self.revision;
            for message in messages {
                stream.send(message);
            }
            self.absent.remove(node);
            self.withdrawals.node_connected(node);
        }
    }

    /// Sends what was folded.
    fn flush(&mut self) {
        let network = std::mem::take(&mut self.pending);
        for (node, stream) in &mut self.streams {
            if !stream.is_live {
                continue;
            }
            let own = std::mem::take(&mut stream.pending);
            if !network.is_empty() || !own.is_empty() {
                let mut changes = network.clone();
                changes.extend(own);
                stream.sent = self.revision;
                stream.send(to_agent::Kind::Batch(Batch {
                    revision: self.revision,
                    phase: Phase::Delta.into(),
                    changes,
                }));
            }
            self.withdrawals.node_programmed(node, stream.known(self.revision));
        }
        // Their snapshots hold what was folded.
        for node in std::mem::take(&mut self.changed_nodes) {
            self.welcome_if_waiting(&node);
        }
    }

    fn allow_stops(&mut self) {
        let now = Instant::now();
        let given_up: Vec<String> = self
            .absent
            .extract_if(.., |_, until| *until <= now)
            .map(|(node, _)| node)
            .collect();
        for node in given_up {
            self.withdrawals.node_disconnected(&node);
        }
        for allowed in self.withdrawals.newly_allowed(Timestamp::now()) {
            tracing::debug!(pod.uid = %allowed.pod_uid, node = %allowed.node, by = ?allowed.by, "stop allowed");
            // A node without a stream is told when it comes back.
            if let Some(stream) = self.streams.get(&allowed.node).filter(|stream| stream.is_live) {
                stream.send(stop_allowed(&allowed.pod_uid));
            }
        }
    }

    /// When [`Feed::allow_stops`] has something to do although nothing changes.
    fn deadline(&self) -> Option<Instant> {
        let stop = self.withdrawals.next_deadline().map(|deadline| {
            let left = deadline.duration_since(Timestamp::now());
            Instant::now() + Duration::try_from(left).unwrap_or(Duration::ZERO)
        });
        self.absent.values().copied().chain(stop).min()
    }
}

impl Outlet {
    /// Never waits: a stream whose agent does not read is ended, alone.
    fn send(&self, message: to_agent::Kind) {
        match self.outgoing.try_send(ToAgent { kind: Some(message) }) {
            // Closed: its session is ending and will say so.
            Ok(()) | Err(mpsc::error::TrySendError::Closed(_)) => {}
            Err(mpsc::error::TrySendError::Full(_)) => {
                self.closer
                    .close(Status::resource_exhausted("the agent does not keep up with its stream"));
            }
        }
    }

    /// Something that concerns it cannot be read: it must begin anew.
    fn unreadable(&self, error: &ReadError) {
        tracing::error!(error = error as &dyn Error, "an object cannot be read for its node");
        self.closer
            .close(Status::unavailable("the server cannot read its store"));
    }

    /// Up to where the node's maps are current: everything, if it has acknowledged all it was sent.
    fn known(&self, revision: Revision) -> Revision {
        if self.programmed >= self.sent {
            revision
        } else {
            self.programmed
        }
    }
}

/// The batches of a snapshot.
fn snapshot(changes: Vec<Told>, revision: Revision) -> Vec<to_agent::Kind> {
    let batch = |phase: Phase, changes| {
        to_agent::Kind::Batch(Batch {
            revision,
            phase: phase.into(),
            changes,
        })
    };
    let mut batches = Vec::new();
    let mut part = Vec::new();
    let mut bytes = 0;
    for change in changes {
        bytes += change.encoded_len();
        part.push(change);
        if bytes >= SNAPSHOT_BATCH_BYTES {
            batches.push(batch(Phase::Snapshot, std::mem::take(&mut part)));
            bytes = 0;
        }
    }
    batches.push(batch(Phase::SnapshotEnd, part));
    batches
}

fn stop_allowed(pod_uid: &str) -> to_agent::Kind {
    to_agent::Kind::StopAllowed(StopAllowed {
        pod_uid: pod_uid.to_owned(),
    })
}

fn decode(kind: Kind, stored: Option<&Stored>) -> Option<Object> {
    let stored = stored?;
    match Object::decode(kind, &stored.value) {
        Ok(object) => Some(object),
        Err(error) => {
            tracing::warn!(object = %stored.key, error = &error as &dyn Error, "object does not decode, nodes are not told of it");
            None
        }
    }
}

/// The object as it is now, if it is there.
fn read_told(store: &Store, key: &ObjectKey) -> Result<Option<Told>, ReadError> {
    let place = StoreKey::new(key.kind.collection(), key.namespace.as_str(), key.name.as_str());
    let found = store.get(&place, None)?;
    Ok(found.map(|stored| object_told(key, bytes_for_agent(&stored))))
}

fn object_told(key: &ObjectKey, json: Vec<u8>) -> Told {
    let kind = match key.kind {
        Kind::ConfigMap => change::Kind::ConfigMap(json),
        Kind::Secret => change::Kind::Secret(json),
        _ => change::Kind::Pod(json),
    };
    Told { kind: Some(kind) }
}

fn removed_told(key: &ObjectKey, uid: String) -> Told {
    let object = ObjectRef {
        namespace: key.namespace.clone(),
        name: key.name.clone(),
        uid,
    };
    let kind = match key.kind {
        Kind::ConfigMap => change::Kind::ConfigMapRemoved(object),
        Kind::Secret => change::Kind::SecretRemoved(object),
        _ => change::Kind::PodRemoved(object),
    };
    Told { kind: Some(kind) }
}

#[cfg(test)]
mod tests;
