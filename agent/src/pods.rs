//! The pods of this node: one worker per pod observes, asks `reconcile::pod` for the next steps, carries them out.
//!
//! Never here: decisions about a pod's life cycle (`reconcile::pod`), how a container is made (`runtime`, `shim`),
//! how a packet finds the pod (`net`). Pods outlive the agent: a new agent adopts them without touching them.

mod check;
pub(crate) mod env;
pub(crate) mod fields;
pub(crate) mod launch;
pub(crate) mod layout;
mod log_request;
pub mod network;
pub(crate) mod objects;
pub(crate) mod port_forward;
mod prober;
mod resize;
pub(crate) mod resources;
pub(crate) mod sandbox;
pub(crate) mod shim_link;
pub(crate) mod streams;
mod supervisor;
pub(crate) mod tokens;
mod worker;

use std::{net::IpAddr, path::PathBuf, sync::Arc};

use api::{
    k8s_openapi::api::core::v1::{ConfigMap, Pod, PodStatus, Secret},
    node_stream::{FromAgent, LogsRequest, Reply, Token},
};
use parking_lot::Mutex;
use tokio::sync::{mpsc, oneshot};

use crate::{
    image::StoreError,
    inotify::{Inotify, WatchFlags},
};
use network::PodNetwork;

/// Inputs that may wait for the pod workers; the node stream is held back when they do.
const INPUTS_WAITING_MAX: usize = 1024;

/// What the pod workers need to know of the node.
#[derive(Debug, Clone)]
pub struct PodsConfig {
    /// The agent's data directory; pods live in `pods/`, images in `images/`.
    pub data_dir: PathBuf,
    /// The name of the Node object.
    pub node_name: String,
    /// The node's primary address: `status.hostIP`.
    pub node_ip: IpAddr,
    /// The node's directory below every cgroup hierarchy, without leading slash: `skep/NAME-1`.
    pub cgroup_root: String,
    /// The cluster's domain, for host names with a subdomain.
    pub cluster_domain: String,
    /// The program that has the hidden subcommand `shim`; normally the running one.
    pub shim_program: PathBuf,
}

/// What the pod workers are told.
#[derive(Debug)]
pub enum PodInput {
    /// A pod of this node came or changed.
    Pod(Box<Pod>),
    /// A pod's object is gone: whatever is left of it goes at once.
    PodRemoved {
        /// `metadata.namespace`
        namespace: String,
        /// `metadata.name`
        name: String,
        /// `metadata.uid`
        uid: String,
    },
    /// A config map that a pod of this node names came or changed.
    ConfigMap(Box<ConfigMap>),
    /// A config map went.
    ConfigMapRemoved {
        /// `metadata.namespace`
        namespace: String,
        /// `metadata.name`
        name: String,
    },
    /// A secret that a pod of this node names came or changed.
    Secret(Box<Secret>),
    /// A secret went.
    SecretRemoved {
        /// `metadata.namespace`
        namespace: String,
        /// `metadata.name`
        name: String,
    },
    /// The answer to a pod's wish for a token.
    Token(Token),
    /// A snapshot begins: what it does not name is gone at its end.
    SnapshotBegin,
    /// The snapshot is complete.
    SnapshotEnd,
    /// The pod's address is out of every node's services: its containers may be stopped.
    StopAllowed {
        /// `metadata.uid`
        uid: String,
    },
    /// Somebody wants a container's log. The last reply has `end`; a dropped receiver cancels.
    Logs {
        /// [`Reply::request_id`] of every reply.
        request_id: u64,
        /// What is wanted.
        request: LogsRequest,
        /// Where it goes.
        reply: mpsc::Sender<Reply>,
    },
    /// Somebody wants to reach into a pod.
    Find {
        /// Which.
        name: PodName,
        /// The pod, if it is here.
        reply: oneshot::Sender<Option<FoundPod>>,
    },
}

/// What names a pod.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PodName {
    /// `metadata.namespace`
    pub namespace: String,
    /// `metadata.name`
    pub name: String,
    /// `metadata.uid`; empty if any pod of the name is meant.
    pub uid: String,
}

impl PodName {
    pub(crate) fn new(namespace: &str, name: &str, uid: &str) -> PodName {
        PodName {
            namespace: namespace.to_owned(),
            name: name.to_owned(),
            uid: uid.to_owned(),
        }
    }
}

/// A pod of this node, for those who reach into it: they work beside its worker.
#[derive(Debug)]
pub struct FoundPod {
    pub(crate) home: layout::PodHome,
    /// As last decided.
    pub(crate) status: Arc<Mutex<PodStatus>>,
    pub(crate) shim_program: PathBuf,
}

/// The pod workers could not be started.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The image store.
    #[error("open the image store")]
    Images(#[source] StoreError),
    /// Its directory cannot be watched for imports.
    #[error("watch the image store")]
    Watch(#[source] std::io::Error),
    /// The cgroup hierarchies.
    #[error("find the cgroup hierarchies")]
    Cgroups(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// Starts the pod workers. They end, leaving the pods alone, when the returned sender is dropped.
///
/// Pods that a former agent left are adopted when they are named, and those that the first complete snapshot does not
/// name are removed. Statuses, events and [`api::node_stream::PodGone`] go to `out`.
///
/// # Errors
/// When the node lacks what pods need; nothing has been started then.
pub fn start(
    config: PodsConfig,
    network: Arc<dyn PodNetwork>,
    out: mpsc::Sender<FromAgent>,
) -> Result<mpsc::Sender<PodInput>, StartError> {
    let context = worker::Context::new(config, network, out)?;
    // The list of images is replaced by rename; work in progress lies in directories below.
    let images = Inotify::new()
        .and_then(|inotify| {
            inotify
                .watch(context.images.dir(), WatchFlags::MOVED_TO)
                .map(|()| inotify)
        })
        .map_err(StartError::Watch)?;
    let (sender, inputs) = mpsc::channel(INPUTS_WAITING_MAX);
    tokio::spawn(supervisor::run(Arc::new(context), inputs, images));
    Ok(sender)
}
