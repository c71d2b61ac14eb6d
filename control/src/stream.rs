//! The node stream's server: agents join, register, are told what concerns them, and tell what they see.
//!
//! One task folds the store's changes for all nodes (`feed`); one task per stream takes what its agent says
//! (`session`) and writes it through the engine (`writes`). Requests for a node (logs, its maps) travel down its
//! stream (`requests`). Never here: decisions about pods and nodes (`reconcile`), TLS, REST.

mod feed;
mod join;
mod network;
mod pods;
mod requests;
mod session;
mod status;
mod tokens;
mod writes;

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{
        Arc, OnceLock, Weak,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use api::{
    net_state::ip_to_bytes,
    node_stream::{
        FromAgent, JoinRequest, JoinResponse, RenewRequest, ToAgent, Welcome,
        node_stream_server::{NodeStream, NodeStreamServer},
        request,
    },
};
use futures::{Stream, StreamExt, stream::BoxStream};
use parking_lot::Mutex;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status, Streaming};

pub use self::requests::{Feed, NodeUnreachable, Replies, RequestEnded};
use self::{feed::FeedCommand, requests::Requests};
use crate::{
    auth::Caller,
    config::ServerConfig,
    driver::recorder::{self, Record},
    engine::Engine,
    pki::Authority,
};

/// Messages that wait for one agent. A snapshot of a large cluster is some tens of them; an agent that lets more wait
/// is not reading.
const OUTGOING_MESSAGES_MAX: usize = 256;

/// Messages about requests that wait for one agent, all requests together: data for processes and ports among them, so
/// that this is at most 1 MiB. Who has more to say waits.
const REQUEST_MESSAGES_MAX: usize = 16;

/// Bytes of one message from an agent: a part of a log, a pod's status, or what the maps of a node hold (which is one
/// part too).
const MESSAGE_BYTES_MAX: usize = 16 << 20;

/// Commands that wait for the feed; sessions wait when it is full.
const FEED_COMMANDS_MAX: usize = 1024;

/// How long the server waits for an agent before it goes on without.
#[derive(Debug, Clone, Copy)]
struct Patience {
    /// From the stream's beginning to Hello.
    hello: Duration,
    /// Without a word; three heartbeats. Nobody should wait for such a node any longer.
    silence: Duration,
}

const PATIENCE: Patience = Patience {
    hello: Duration::from_secs(10),
    silence: Duration::from_secs(30),
};

/// The connected nodes. Cheap to clone.
#[derive(Clone)]
pub struct Nodes {
    shared: Arc<Shared>,
}

/// [`Nodes`] that do not keep it in being: the engine below knows them, and they know the engine.
#[derive(Clone)]
pub(crate) struct WeakNodes(Weak<Shared>);

impl WeakNodes {
    /// The nodes, while they are in being.
    pub(crate) fn upgrade(&self) -> Option<Nodes> {
        self.0.upgrade().map(|shared| Nodes { shared })
    }
}

struct Shared {
    engine: Engine,
    authority: Authority,
    feed: mpsc::Sender<FeedCommand>,
    records: mpsc::Sender<Record>,
    sessions: Mutex<HashMap<String, Arc<Session>>>,
    last_session: AtomicU64,
    shutdown: CancellationToken,
    patience: Patience,
    /// Half of what agents are asked for, so that none of their heartbeats is without effect.
    renew_interval: Duration,
    /// How long nodes' certificates are good.
    certificate_life: Duration,
}

/// One stream of one agent.
struct Session {
    id: u64,
    node: String,
    outgoing: mpsc::Sender<ToAgent>,
    /// What concerns requests; everything else goes first.
    request_messages: mpsc::Sender<ToAgent>,
    closer: Closer,
    requests: Requests,
}

/// Ends a stream, saying why. The first reason counts.
#[derive(Clone)]
struct Closer {
    token: CancellationToken,
    reason: Arc<OnceLock<Status>>,
}

impl Closer {
    fn close(&self, reason: Status) {
        // A later reason is dropped: the stream ends only once.
        let _ = self.reason.set(reason);
        self.token.cancel();
    }
}

/// What every agent is told of the cluster's configuration; a node's own range is filled in for each.
#[derive(Debug, Clone)]
struct ClusterSettings {
    welcome: Welcome,
}

impl ClusterSettings {
    fn new(config: &ServerConfig) -> ClusterSettings {
        let dns_ip: IpAddr = config.dns_ip;
        ClusterSettings {
            welcome: Welcome {
                pod_cidr: String::new(),
                cluster_cidr: config.cluster_cidr.to_string(),
                service_cidr: config.service_cidr.to_string(),
                dns_ip: ip_to_bytes(dns_ip),
                cluster_domain: config.cluster_domain.clone(),
                node_port_min: u32::from(*config.node_port_range.start()),
                node_port_max: u32::from(*config.node_port_range.end()),
                heartbeat_interval_ms: u32::try_from(config.heartbeat_interval().as_millis()).unwrap_or(u32::MAX),
            },
        }
    }

    fn welcome(&self, pod_cidr: &str) -> Welcome {
        Welcome {
            pod_cidr: pod_cidr.to_owned(),
            ..self.welcome.clone()
        }
    }
}

impl Nodes {
    /// Starts the tasks that serve nodes; they end with `shutdown`, which also closes every stream.
    #[must_use]
    pub fn start(engine: Engine, authority: Authority, config: &ServerConfig, shutdown: CancellationToken) -> Nodes {
        Nodes::start_with(engine, authority, config, shutdown, PATIENCE)
    }

    fn start_with(
        engine: Engine,
        authority: Authority,
        config: &ServerConfig,
        shutdown: CancellationToken,
        patience: Patience,
    ) -> Nodes {
        let (feed, commands) = mpsc::channel(FEED_COMMANDS_MAX);
        let (records, _) = recorder::start(engine.clone(), shutdown.clone());
        tokio::spawn(feed::run(
            engine.store().clone(),
            ClusterSettings::new(config),
            commands,
            shutdown.clone(),
        ));
        Nodes {
            shared: Arc::new(Shared {
                engine,
                authority,
                feed,
                records,
                sessions: Mutex::default(),
                last_session: AtomicU64::new(0),
                shutdown,
                patience,
                renew_interval: config.heartbeat_interval() / 2,
                certificate_life: config.signing_duration,
            }),
        }
    }

    /// The gRPC service. Every request must carry its [`Caller`] in its extensions.
    #[must_use]
    pub fn service(&self) -> NodeStreamServer<Nodes> {
        NodeStreamServer::new(self.clone()).max_decoding_message_size(MESSAGE_BYTES_MAX)
    }

    /// Asks the agent of a node. The answer's last part carries `end`; also when the stream breaks. Dropping the
    /// answer tells the agent to stop.
    ///
    /// # Errors
    /// When the node has no stream.
    pub async fn request(&self, node: &str, kind: request::Kind) -> Result<Replies, NodeUnreachable> {
        self.converse(node, kind).await.map(|(_, replies)| replies)
    }

    /// As [`Nodes::request`], for a request that more goes down for while it is answered.
    ///
    /// # Errors
    /// When the node has no stream.
    pub async fn converse(&self, node: &str, kind: request::Kind) -> Result<(Feed, Replies), NodeUnreachable> {
        let session = self.shared.sessions.lock().get(node).cloned();
        let session = session.ok_or_else(|| NodeUnreachable(node.to_owned()))?;
        requests::send(session, kind).await
    }

    /// See [`WeakNodes`].
    pub(crate) fn downgrade(&self) -> WeakNodes {
        WeakNodes(Arc::downgrade(&self.shared))
    }

    /// The nodes that have a stream now.
    #[must_use]
    pub fn connected(&self) -> Vec<String> {
        let mut names: Vec<String> = self.shared.sessions.lock().keys().cloned().collect();
        names.sort_unstable();
        names
    }

    /// Starts the session of one stream and answers what is sent down.
    fn accept(
        &self,
        node: &str,
        incoming: impl Stream<Item = Result<FromAgent, Status>> + Send + Unpin + 'static,
    ) -> BoxStream<'static, Result<ToAgent, Status>> {
        let (outgoing, receiver) = mpsc::channel(OUTGOING_MESSAGES_MAX);
        let (request_messages, requests_receiver) = mpsc::channel(REQUEST_MESSAGES_MAX);
        let closer = Closer {
            token: self.shared.shutdown.child_token(),
            reason: Arc::default(),
        };
        let session = Arc::new(Session {
            id: self.shared.last_session.fetch_add(1, Ordering::Relaxed) + 1,
            node: node.to_owned(),
            outgoing,
            request_messages,
            closer: closer.clone(),
            requests: Requests::default(),
        });
        tokio::spawn(session::run(self.shared.clone(), session, incoming));
        down(receiver, requests_receiver, closer).boxed()
    }
}

/// What goes down a stream: the messages, or the reason to end before them.
fn down(
    receiver: mpsc::Receiver<ToAgent>,
    requests: mpsc::Receiver<ToAgent>,
    closer: Closer,
) -> impl Stream<Item = Result<ToAgent, Status>> + Send + 'static {
    futures::stream::unfold(Some((receiver, requests, closer)), |state| async move {
        let (mut receiver, mut requests, closer) = state?;
        let message = tokio::select! {
            biased;
            () = closer.token.cancelled() => {
                let reason = closer.reason.get().cloned();
                let reason = reason.unwrap_or_else(|| Status::unavailable("the server stops"));
                return Some((Err(reason), None));
            }
            Some(message) = receiver.recv() => message,
            Some(message) = requests.recv() => message,
            else => return None,
        };
        Some((Ok(message), Some((receiver, requests, closer))))
    })
}

/// The node whose certificate the connection was made with.
fn node_of<T>(request: &Request<T>) -> Result<String, Status> {
    let node = request.extensions().get::<Caller>().and_then(Caller::node_name);
    node.map(str::to_owned)
        .ok_or_else(|| Status::permission_denied("only an agent with a node's certificate may connect"))
}

#[tonic::async_trait]
impl NodeStream for Nodes {
    type ConnectStream = BoxStream<'static, Result<ToAgent, Status>>;

    async fn join(&self, request: Request<JoinRequest>) -> Result<Response<JoinResponse>, Status> {
        let (engine, authority) = (&self.shared.engine, &self.shared.authority);
        let is_connected = |node: &str| self.shared.sessions.lock().contains_key(node);
        let life = self.shared.certificate_life;
        join::join(engine, authority, life, request.get_ref(), is_connected).map(Response::new)
    }

    async fn renew(&self, request: Request<RenewRequest>) -> Result<Response<JoinResponse>, Status> {
        let node = node_of(&request)?;
        let life = self.shared.certificate_life;
        join::renew(&self.shared.authority, &node, life, request.get_ref()).map(Response::new)
    }

    async fn connect(&self, request: Request<Streaming<FromAgent>>) -> Result<Response<Self::ConnectStream>, Status> {
        let node = node_of(&request)?;
        Ok(Response::new(self.accept(&node, request.into_inner())))
    }
}

#[cfg(test)]
mod tests;
