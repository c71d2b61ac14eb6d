//! The node's one connection to the control plane: dialled, kept, dialled again.
//!
//! What comes in goes to one receiver in order, with back-pressure down to TCP. What goes out is in the
//! [`outbox`], which survives connections. Never here: acting on what comes in.

pub mod outbox;

use std::{net::IpAddr, sync::Arc, time::Duration};

use api::{
    net_state::ip_to_bytes,
    node_stream::{
        Batch, Credit, FromAgent, Hello, Request, RequestData, ToAgent, Token, Welcome, from_agent,
        node_stream_client::NodeStreamClient, to_agent,
    },
};
use tokio::{
    sync::{mpsc, watch},
    time::{Instant, sleep, timeout},
};
use tokio_util::sync::CancellationToken;
use tonic::Streaming;
use tracing::{Instrument, info, info_span, warn};

use crate::{
    dial::{DialError, ServerAddress, dial},
    membership::Membership,
};
pub use outbox::Outbox;

/// Kubernetes renews a node's lease this often; a node counts as gone after four of them. What Welcome says instead
/// may be shorter, but not so short that heartbeats are a load of their own.
const HEARTBEAT_INTERVAL: Duration = Duration::from_secs(10);
const HEARTBEAT_INTERVAL_MIN: Duration = Duration::from_millis(200);
/// The server answers Hello at once or is not well.
const WELCOME_TIMEOUT: Duration = Duration::from_secs(10);
/// The largest message: a batch with a few config maps of a megabyte each.
const MESSAGE_BYTES_MAX: usize = 32 << 20;
/// Events that wait for the agent; then the server waits.
const EVENTS_WAITING_MAX: usize = 64;
/// Waits between attempts double from the first to the last.
const RETRY_MS_FIRST: u64 = 100;
const RETRY_MS_MAX: u64 = 5_000;
/// A connection that lived this long was a good one: the waits start over.
const GOOD_CONNECTION: Duration = Duration::from_secs(10);

/// What the connection needs to know.
pub struct StreamConfig {
    /// Where the control plane is.
    pub server: ServerAddress,
    /// Who we are.
    pub membership: Membership,
    /// Name of the Node object.
    pub node_name: String,
    /// Primary address of the node on the underlay.
    pub node_ip: IpAddr,
}

/// What the control plane says.
#[derive(Debug)]
pub enum StreamEvent {
    /// A connection has begun. A snapshot follows.
    Connected(Welcome),
    /// Changes.
    Batch(Batch),
    /// A pod of this uid may be stopped.
    StopAllowed(String),
    /// Somebody asks something.
    Request(Request),
    /// The answer to a wish for a token.
    Token(Token),
    /// Something for a request that is being answered.
    RequestData(RequestData),
    /// The reader of an answer has taken parts.
    ReplyCredit(Credit),
    /// The answer to the request of this number is not wanted any more.
    CancelRequest(u64),
    /// The connection has ended; whatever was asked over it cannot be answered.
    Disconnected,
}

/// No connection, or no longer one.
#[derive(Debug, thiserror::Error)]
enum ConnectionError {
    #[error(transparent)]
    Dial(#[from] DialError),
    #[error("open the node stream: {}", .0.message())]
    Open(#[source] tonic::Status),
    #[error("the node stream has failed: {}", .0.message())]
    Failed(#[source] tonic::Status),
    #[error("the control plane has closed the node stream")]
    Closed,
    #[error("the control plane did not answer within {} s", WELCOME_TIMEOUT.as_secs())]
    NoWelcome,
    #[error("the control plane began with something else than Welcome")]
    NotWelcome,
}

/// Keeps the connection until `shutdown`. Events end when it has ended.
#[must_use]
pub fn start(config: StreamConfig, outbox: Arc<Outbox>, shutdown: CancellationToken) -> mpsc::Receiver<StreamEvent> {
    let (events, receiver) = mpsc::channel(EVENTS_WAITING_MAX);
    // A task of its own: whatever keeps the connection busy, the lease is renewed.
    let (beats, every) = watch::channel(HEARTBEAT_INTERVAL);
    tokio::spawn(beat(outbox.clone(), every, shutdown.clone()));
    let span = info_span!("stream", node = config.node_name, server = %config.server);
    tokio::spawn(
        async move {
            tokio::select! {
                () = shutdown.cancelled() => {}
                () = keep_connected(&config, &outbox, &events, &beats) => {}
            }
        }
        .instrument(span),
    );
    receiver
}

/// Gives a sign of life at once and then as often as the control plane wants one.
async fn beat(outbox: Arc<Outbox>, mut every: watch::Receiver<Duration>, until: CancellationToken) {
    loop {
        outbox.heartbeat();
        let pause = *every.borrow_and_update();
        tokio::select! {
            () = until.cancelled() => return,
            () = sleep(pause) => {}
            changed = every.changed() => {
                if changed.is_err() {
                    return;
                }
            }
        }
    }
}

fn heartbeat_interval(welcome: &Welcome) -> Duration {
    match welcome.heartbeat_interval_ms {
        0 => HEARTBEAT_INTERVAL,
        ms => Duration::from_millis(ms.into()).clamp(HEARTBEAT_INTERVAL_MIN, HEARTBEAT_INTERVAL),
    }
}

async fn keep_connected(
    config: &StreamConfig,
    outbox: &Arc<Outbox>,
    events: &mpsc::Sender<StreamEvent>,
    beats: &watch::Sender<Duration>,
) {
    let mut attempt = 0;
    loop {
        let began = Instant::now();
        let ended = connection(config, outbox, events, beats).await;
        if events.send(StreamEvent::Disconnected).await.is_err() {
            return;
        }
        if began.elapsed() >= GOOD_CONNECTION {
            attempt = 0;
        }
        let retry_in_ms = retry_wait_ms(attempt, rand::random());
        attempt = attempt.saturating_add(1);
        if let Err(err) = ended {
            warn!(
                error = &err as &dyn std::error::Error,
                retry_in_ms, "no connection to the control plane"
            );
        }
        sleep(Duration::from_millis(retry_in_ms)).await;
    }
}

/// Exponential, and spread by `random` over its upper half, so that nodes that lost the server together do not come
/// back together.
fn retry_wait_ms(attempt: u32, random: u32) -> u64 {
    let full = RETRY_MS_FIRST.saturating_mul(1 << attempt.min(16)).min(RETRY_MS_MAX);
    full / 2 + full / 2 * u64::from(random) / u64::from(u32::MAX)
}

async fn connection(
    config: &StreamConfig,
    outbox: &Arc<Outbox>,
    events: &mpsc::Sender<StreamEvent>,
    beats: &watch::Sender<Duration>,
) -> Result<(), ConnectionError> {
    let channel = dial(&config.server, &config.membership.credentials()).await?;
    let hello = FromAgent {
        kind: Some(from_agent::Kind::Hello(Hello {
            node_name: config.node_name.clone(),
            agent_version: env!("CARGO_PKG_VERSION").to_owned(),
            node_ip: ip_to_bytes(config.node_ip),
        })),
    };
    let outgoing = futures::StreamExt::chain(futures::stream::once(async move { hello }), outbox.clone().connect());
    let mut client = NodeStreamClient::new(channel).max_decoding_message_size(MESSAGE_BYTES_MAX);
    let mut incoming = timeout(WELCOME_TIMEOUT, client.connect(outgoing))
        .await
        .map_err(|_| ConnectionError::NoWelcome)?
        .map_err(ConnectionError::Open)?
        .into_inner();
    let welcome = timeout(WELCOME_TIMEOUT, next(&mut incoming))
        .await
        .map_err(|_| ConnectionError::NoWelcome)??;
    let Some(to_agent::Kind::Welcome(welcome)) = welcome.kind else {
        return Err(ConnectionError::NotWelcome);
    };
    info!("connected to the control plane");
    let wanted = heartbeat_interval(&welcome);
    beats.send_if_modified(|every| std::mem::replace(every, wanted) != wanted);
    let mut renewing = std::pin::pin!(config.membership.keep(client));
    let mut event = StreamEvent::Connected(welcome);
    loop {
        if events.send(event).await.is_err() {
            return Ok(());
        }
        event = loop {
            // Reading is cancel safe: what has come in part is kept in the stream.
            let message = tokio::select! {
                message = next(&mut incoming) => message?,
                never = &mut renewing => match never {},
            };
            match message.kind {
                Some(to_agent::Kind::Batch(batch)) => break StreamEvent::Batch(batch),
                Some(to_agent::Kind::StopAllowed(allowed)) => break StreamEvent::StopAllowed(allowed.pod_uid),
                Some(to_agent::Kind::Request(request)) => break StreamEvent::Request(request),
                Some(to_agent::Kind::Token(token)) => break StreamEvent::Token(token),
                Some(to_agent::Kind::CancelRequest(cancel)) => break StreamEvent::CancelRequest(cancel.id),
                Some(to_agent::Kind::RequestData(data)) => break StreamEvent::RequestData(data),
                Some(to_agent::Kind::ReplyCredit(credit)) => break StreamEvent::ReplyCredit(credit),
                // A second Welcome, or a kind that a newer server knows.
                Some(to_agent::Kind::Welcome(_)) | None => {}
            }
        };
    }
}

async fn next(incoming: &mut Streaming<ToAgent>) -> Result<ToAgent, ConnectionError> {
    incoming
        .message()
        .await
        .map_err(ConnectionError::Failed)?
        .ok_or(ConnectionError::Closed)
}

#[cfg(test)]
mod tests;
