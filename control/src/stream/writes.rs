//! What an agent tells, written through the engine: node status, lease, pod statuses, pods that are gone.
//!
//! The newest word about an object replaces one that waits; words about one object are written in order, about many
//! objects at a time. What the disk refuses is tried again while the stream lives. An agent may only write about its
//! own node and the pods bound to it.

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    error::Error,
    sync::Arc,
    time::{Duration, Instant},
};

use api::{
    Kind, Timestamp,
    node_stream::{NodeStatus, PodGone, PodStatus},
};
use futures::{StreamExt, stream::FuturesUnordered};
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::sync::Notify;

use super::{
    session::{LEASE_NAMESPACE, micro_time, node_caller},
    status,
};
use crate::{
    admission::node_restriction::may_set_label,
    driver::resource_of,
    engine::{AGENT_MANAGER, ApiError, DeleteOptions, Engine, Patch, WriteOptions},
};

/// Objects written at a time per node. Together with other nodes' they make one batch of the store.
const CONCURRENT_WRITES_MAX: usize = 16;

/// Objects of one node that wait to be written. Ten times the pods that a node runs; then the stream waits.
const WAITING_OBJECTS_MAX: usize = 2048;

/// Rounds of read and write of one status before others are let through.
const ROUNDS_MAX: usize = 8;

const RETRY_FIRST: Duration = Duration::from_millis(200);
const RETRY_MAX: Duration = Duration::from_secs(10);

/// What is written about, in order within each.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum About {
    Lease,
    Node,
    /// By uid.
    Pod(String),
}

#[derive(Debug, Clone, Default)]
struct Words {
    heartbeat: bool,
    node: Option<NodeStatus>,
    pod: Option<PodStatus>,
    gone: Option<PodGone>,
    failures: u32,
}

impl Words {
    /// These words, with later ones in place of what they replace.
    fn and_then(self, later: Words) -> Words {
        Words {
            heartbeat: self.heartbeat || later.heartbeat,
            node: later.node.or(self.node),
            pod: later.pod.or(self.pod),
            gone: later.gone.or(self.gone),
            failures: self.failures,
        }
    }
}

#[derive(Default)]
struct Waiting {
    words: HashMap<About, Words>,
    /// Those of `words` that are not being written already.
    order: VecDeque<About>,
    in_flight: HashMap<About, ()>,
    last_node: Option<NodeStatus>,
    renewed: Option<Instant>,
    is_closed: bool,
}

struct Inner {
    engine: Engine,
    node: String,
    /// The lease is not renewed more often than this, however often the agent's heart beats.
    renew_interval: Duration,
    waiting: Mutex<Waiting>,
    /// There is something to write, or the stream has ended.
    work: Notify,
    /// There is room again.
    room: Notify,
}

/// Takes the words of one stream. Dropping it lets what waits be written once more.
pub(super) struct Writes {
    inner: Arc<Inner>,
}

impl Writes {
    pub(super) fn start(engine: Engine, node: String, renew_interval: Duration) -> Writes {
        let inner = Arc::new(Inner {
            engine,
            node,
            renew_interval,
            waiting: Mutex::default(),
            work: Notify::new(),
            room: Notify::new(),
        });
        tokio::spawn(inner.clone().run());
        Writes { inner }
    }

    /// The agent lives.
    pub(super) fn heartbeat(&self) {
        let now = Instant::now();
        {
            let mut waiting = self.inner.waiting.lock();
            if waiting
                .renewed
                .is_some_and(|last| now.duration_since(last) < self.inner.renew_interval)
            {
                return;
            }
            waiting.renewed = Some(now);
        }
        let words = Words {
            heartbeat: true,
            ..Words::default()
        };
        self.inner.put(About::Lease, words);
    }

    pub(super) fn node_status(&self, status: NodeStatus) {
        self.inner.waiting.lock().last_node = Some(status.clone());
        let words = Words {
            node: Some(status),
            ..Words::default()
        };
        self.inner.put(About::Node, words);
    }

    /// Waits while too many objects wait to be written.
    pub(super) async fn pod_status(&self, status: PodStatus) {
        self.wait_for_room().await;
        let about = About::Pod(status.uid.clone());
        let words = Words {
            pod: Some(status),
            ..Words::default()
        };
        self.inner.put(about, words);
    }

    /// Waits while too many objects wait to be written.
    pub(super) async fn pod_gone(&self, gone: PodGone) {
        self.wait_for_room().await;
        let about = About::Pod(gone.uid.clone());
        let words = Words {
            gone: Some(gone),
            ..Words::default()
        };
        self.inner.put(about, words);
    }

    async fn wait_for_room(&self) {
        loop {
            let room = self.inner.room.notified();
            if self.inner.waiting.lock().words.len() < WAITING_OBJECTS_MAX {
                return;
            }
            room.await;
        }
    }
}

impl Drop for Writes {
    fn drop(&mut self) {
        self.inner.waiting.lock().is_closed = true;
        self.inner.work.notify_one();
    }
}

impl Inner {
    fn put(&self, about: About, words: Words) {
        let mut waiting = self.waiting.lock();
        match waiting.words.remove(&about) {
            Some(before) => {
                waiting.words.insert(about, before.and_then(words));
            }
            None => {
                waiting.words.insert(about.clone(), words);
                if !waiting.in_flight.contains_key(&about) {
                    waiting.order.push_back(about);
                }
            }
        }
        drop(waiting);
        self.work.notify_one();
    }

    fn take(&self) -> Option<(About, Words)> {
        let mut waiting = self.waiting.lock();
        let about = waiting.order.pop_front()?;
        let words = waiting.words.remove(&about)?;
        waiting.in_flight.insert(about.clone(), ());
        drop(waiting);
        self.room.notify_one();
        Some((about, words))
    }

    /// A write has ended; what was not written waits again, behind what has come since.
    fn written(&self, about: About, left: Option<Words>) {
        let mut waiting = self.waiting.lock();
        waiting.in_flight.remove(&about);
        let left = left.filter(|_| !waiting.is_closed);
        let words = match (left, waiting.words.remove(&about)) {
            (Some(left), Some(later)) => Some(left.and_then(later)),
            (left, later) => left.or(later),
        };
        if let Some(words) = words {
            waiting.words.insert(about.clone(), words);
            waiting.order.push_back(about);
        }
    }

    async fn run(self: Arc<Inner>) {
        let mut in_flight = FuturesUnordered::new();
        loop {
            while in_flight.len() < CONCURRENT_WRITES_MAX
                && let Some((about, words)) = self.take()
            {
                let inner = self.clone();
                in_flight.push(async move {
                    let left = inner.write(words).await;
                    (about, left)
                });
            }
            if in_flight.is_empty() && self.waiting.lock().is_closed {
                return;
            }
            tokio::select! {
                Some((about, left)) = in_flight.next() => self.written(about, left),
                () = self.work.notified() => {}
            }
        }
    }

    /// Writes all of `words`; answers what is to be tried again, after a pause.
    async fn write(&self, mut words: Words) -> Option<Words> {
        let result = self.try_write(&mut words).await;
        let Err(error) = result else { return None };
        if !is_worth_a_retry(&error) {
            tracing::warn!(node = %self.node, error = &error as &dyn Error, "what an agent told was refused");
            return None;
        }
        let retry_in = RETRY_FIRST.saturating_mul(1 << words.failures.min(16)).min(RETRY_MAX);
        words.failures = words.failures.saturating_add(1);
        tracing::warn!(
            node = %self.node,
            error = &error as &dyn Error,
            retry_in_ms = u64::try_from(retry_in.as_millis()).unwrap_or(u64::MAX),
            "what an agent told was not written"
        );
        tokio::time::sleep(retry_in).await;
        Some(words)
    }

    /// Takes out of `words` what is written.
    async fn try_write(&self, words: &mut Words) -> Result<(), ApiError> {
        if words.heartbeat {
            self.renew_lease().await?;
            self.repeat_if_doubted()?;
            words.heartbeat = false;
        }
        if let Some(status) = &words.node {
            self.write_node(status).await?;
            words.node = None;
        }
        if let Some(status) = &words.pod {
            self.write_pod(status).await?;
            words.pod = None;
        }
        if let Some(gone) = &words.gone {
            self.finalize_pod(gone).await?;
            words.gone = None;
        }
        Ok(())
    }

    async fn renew_lease(&self) -> Result<(), ApiError> {
        let patch = json!({"spec": {"renewTime": micro_time(Timestamp::now()), "holderIdentity": self.node}});
        let renewed = self
            .engine
            .patch(
                &node_caller(&self.node),
                resource_of(Kind::Lease),
                LEASE_NAMESPACE,
                &self.node,
                None,
                Patch::Merge(patch),
                &WriteOptions::by(AGENT_MANAGER),
            )
            .await;
        match renewed {
            // Deleted together with its node; both come back when the agent registers again.
            Ok(_) | Err(ApiError::NotFound(_)) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// A node that was silent for a while is marked as unknown; its own last word stands again once it is heard.
    fn repeat_if_doubted(&self) -> Result<(), ApiError> {
        let Some(last) = self.waiting.lock().last_node.clone() else {
            return Ok(());
        };
        let node = match self.engine.get(resource_of(Kind::Node), "", &self.node) {
            Ok(node) => node,
            Err(ApiError::NotFound(_)) => return Ok(()),
            Err(error) => return Err(error),
        };
        let told: Value = serde_json::from_slice(&last.status_json).unwrap_or_default();
        if status::is_doubted(&node["status"], &told) {
            let words = Words {
                node: Some(last),
                ..Words::default()
            };
            self.put(About::Node, words);
        }
        Ok(())
    }

    async fn write_node(&self, told: &NodeStatus) -> Result<(), ApiError> {
        let nodes = resource_of(Kind::Node);
        let parsed = parse(&told.status_json)?;
        let (labels, foreign): (BTreeMap<_, _>, BTreeMap<_, _>) =
            told.labels.iter().partition(|(label, _)| may_set_label(label));
        if !foreign.is_empty() {
            tracing::warn!(node = %self.node, labels = ?foreign.keys(), "labels that a node may not give itself are left out");
        }
        let has_labels = |node: &Value| {
            labels
                .iter()
                .all(|(label, value)| node["metadata"]["labels"][label.as_str()] == **value)
        };
        let caller = node_caller(&self.node);
        let options = WriteOptions::by(AGENT_MANAGER);
        let node = self.engine.get(nodes, "", &self.node);
        if matches!(&node, Ok(node) if !has_labels(node)) {
            let patch = Patch::Merge(json!({"metadata": {"labels": labels}}));
            self.engine
                .patch(&caller, nodes, "", &self.node, None, patch, &options)
                .await?;
        }
        self.replace_status(Kind::Node, "", &self.node, |node| {
            Ok(Some(status::node(&node["status"], parsed.clone())))
        })
        .await
    }

    async fn write_pod(&self, told: &PodStatus) -> Result<(), ApiError> {
        let parsed = parse(&told.status_json)?;
        self.replace_status(Kind::Pod, &told.namespace, &told.name, |pod| {
            if pod["metadata"]["uid"] != json!(told.uid) {
                return Ok(None);
            }
            self.own(pod)?;
            Ok(Some(status::pod(&pod["status"], parsed.clone())))
        })
        .await
    }

    /// The pod's containers have ended and its resources are free: the object may go.
    async fn finalize_pod(&self, gone: &PodGone) -> Result<(), ApiError> {
        let pods = resource_of(Kind::Pod);
        let pod = match self.engine.get(pods, &gone.namespace, &gone.name) {
            Ok(pod) => pod,
            Err(ApiError::NotFound(_)) => return Ok(()),
            Err(error) => return Err(error),
        };
        if pod["metadata"]["uid"] != json!(gone.uid) {
            return Ok(());
        }
        self.own(&pod)?;
        if pod["metadata"]["deletionTimestamp"].is_null() {
            return Err(ApiError::BadRequest(format!(
                "pod {}/{} is not being deleted, its agent cannot end it",
                gone.namespace, gone.name
            )));
        }
        let options = DeleteOptions {
            grace_period_s: Some(0),
            uid: Some(gone.uid.clone()),
            ..DeleteOptions::default()
        };
        let deleted = self
            .engine
            .delete(&node_caller(&self.node), pods, &gone.namespace, &gone.name, options)
            .await;
        match deleted {
            Ok(_) | Err(ApiError::NotFound(_) | ApiError::Conflict { .. }) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Whether the pod is on this node.
    fn own(&self, pod: &Value) -> Result<(), ApiError> {
        if pod["spec"]["nodeName"] == json!(self.node) {
            return Ok(());
        }
        Err(ApiError::BadRequest(format!(
            "pod {} is not on node {}",
            pod["metadata"]["name"], self.node
        )))
    }

    /// Reads, decides, writes on the version that was read; again if somebody else was faster.
    async fn replace_status(
        &self,
        kind: Kind,
        namespace: &str,
        name: &str,
        decide: impl Fn(&Value) -> Result<Option<Value>, ApiError>,
    ) -> Result<(), ApiError> {
        let resource = resource_of(kind);
        let mut last = None;
        for _ in 0..ROUNDS_MAX {
            let mut object = match self.engine.get(resource, namespace, name) {
                Ok(object) => object,
                Err(ApiError::NotFound(_)) => return Ok(()),
                Err(error) => return Err(error),
            };
            let Some(new) = decide(&object)? else { return Ok(()) };
            if object["status"] == new {
                return Ok(());
            }
            object["status"] = new;
            let written = self
                .engine
                .update(
                    &node_caller(&self.node),
                    resource,
                    namespace,
                    name,
                    Some("status"),
                    object,
                    &WriteOptions::by(AGENT_MANAGER),
                )
                .await;
            match written {
                Ok(_) | Err(ApiError::NotFound(_)) => return Ok(()),
                Err(error @ ApiError::Conflict { .. }) => last = Some(error),
                Err(error) => return Err(error),
            }
        }
        last.map_or(Ok(()), Err)
    }
}

fn parse(status: &[u8]) -> Result<Value, ApiError> {
    serde_json::from_slice(status).map_err(|error| ApiError::BadRequest(format!("status is not JSON: {error}")))
}

/// Whether the same words may be written later.
fn is_worth_a_retry(error: &ApiError) -> bool {
    matches!(
        error,
        ApiError::Conflict { .. }
            | ApiError::Contention(_)
            | ApiError::Read(_)
            | ApiError::Commit(_)
            | ApiError::Timeout(_)
            | ApiError::Unavailable(_)
            | ApiError::Unreachable(_)
    )
}
