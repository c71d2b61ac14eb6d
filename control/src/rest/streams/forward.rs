//! Port-forward: streams in pairs, each pair a connection to a port of the pod.
//!
//! A client begins two streams with the same `requestid`: on one go the bytes, on the other the server tells what went
//! wrong. Windows are the node's affair; a pair whose port is slow holds its client's connection up, as it does upstream.
//! Source: Kubernetes' `portforward.k8s.io` protocol, as client-go speaks it.

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use api::node_stream::{PortForwardRequest, request::Kind};
use futures::StreamExt as _;
use tokio::{
    sync::mpsc,
    task::JoinSet,
    time::{MissedTickBehavior, interval, timeout},
};

use super::{
    remote::CLOSE_WAIT,
    wire::{self, Transport},
};
use crate::{
    spdy::{Frame, Headers, StreamId},
    stream::{Feed, Nodes, Replies},
};

/// Streams of one client at once: two for each connection, and a node answers 256 requests at once.
const STREAMS_MAX: usize = 512;
/// Parts that wait for one port; then its client's connection waits.
const PARTS_WAITING_MAX: usize = 16;
/// A stream whose other half does not come within this time is broken off, as by the kubelet.
const PAIR_WAIT: Duration = Duration::from_secs(30);
/// How often that is looked for.
const PAIR_CHECK: Duration = Duration::from_secs(5);

/// Reasons for breaking a stream off.
const PROTOCOL_ERROR: u32 = 1;
const REFUSED_STREAM: u32 = 3;
const CANCEL: u32 = 5;

/// A pod whose ports are reached through its node.
#[derive(Clone)]
pub(super) struct PodPorts {
    pub(super) nodes: Nodes,
    pub(super) node: String,
    pub(super) namespace: String,
    pub(super) pod: String,
    pub(super) uid: String,
}

/// What a client sends on a stream.
#[derive(Debug, PartialEq, Eq)]
enum Part {
    Data(Vec<u8>),
    End,
}

/// Serves a client until it goes.
pub(super) async fn serve(transport: Transport, ports: PodPorts) {
    let (mut reader, writer) = wire::open(transport);
    let mut session = Session {
        ports: Arc::new(ports),
        out: writer.frames,
        open: HashMap::new(),
        pairs: HashMap::new(),
        forwards: JoinSet::new(),
    };
    let mut checks = interval(PAIR_CHECK);
    checks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let done = tokio::select! {
            frame = reader.next() => match frame {
                Some(frame) => session.take(frame).await,
                None => Err(Gone),
            },
            Some(ended) = session.forwards.join_next() => {
                // A task that panicked has left its streams; they go with the connection.
                if let Ok(pair) = ended {
                    session.open.remove(&pair.data);
                    session.open.remove(&pair.error);
                }
                Ok(())
            }
            _ = checks.tick() => session.drop_halves().await,
        };
        if done.is_err() {
            break;
        }
    }
    // Connections to the pod end with their tasks.
    drop(session);
    // An error means that the client takes nothing any more.
    _ = timeout(CLOSE_WAIT, writer.task).await;
}

/// The client is gone.
#[derive(Debug, Clone, Copy)]
struct Gone;

struct Session {
    ports: Arc<PodPorts>,
    out: mpsc::Sender<Frame>,
    /// Every stream; those that carry bytes with where these go.
    open: HashMap<StreamId, Option<mpsc::Sender<Part>>>,
    /// Pairs that are not complete, by request.
    pairs: HashMap<String, Half>,
    forwards: JoinSet<Pair>,
}

/// The streams of one connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Pair {
    port: u16,
    data: StreamId,
    error: StreamId,
}

/// A pair of which one stream has come.
struct Half {
    opening: Opening,
    id: StreamId,
    parts: Option<mpsc::Receiver<Part>>,
    since: Instant,
}

/// What a client wants a stream for.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Opening {
    request: String,
    role: Role,
    port: u16,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Role {
    Data,
    Error,
}

/// What the headers of a stream say; nothing if they make no sense.
fn opening(id: StreamId, headers: &Headers) -> Option<Opening> {
    let header = |name: &str| {
        headers
            .iter()
            .find(|(known, _)| known == name)
            .map(|(_, value)| value.as_str())
    };
    let role = match header("streamtype")? {
        "data" => Role::Data,
        "error" => Role::Error,
        _ => return None,
    };
    let port = header("port")?.parse().ok().filter(|port| *port > 0)?;
    let request = match (header("requestid"), role) {
        (Some(request), _) => request.to_owned(),
        // Older clients number nothing, and begin with the error stream.
        (None, Role::Error) => id.to_string(),
        (None, Role::Data) => id.checked_sub(2)?.to_string(),
    };
    Some(Opening { request, role, port })
}

impl Session {
    async fn take(&mut self, frame: Frame) -> Result<(), Gone> {
        match frame {
            Frame::SynStream { id, headers, fin } => self.begin(id, &headers, fin).await,
            Frame::Data { id, data, fin } => {
                self.pass(id, data, fin).await;
                Ok(())
            }
            Frame::RstStream { id, .. } => {
                // Who reads its parts learns of it by their end.
                self.open.remove(&id);
                self.pairs.retain(|_, half| half.id != id);
                Ok(())
            }
            Frame::Ping(number) => self.say(Frame::Ping(number)).await,
            Frame::SynReply { .. }
            | Frame::GoAway { .. }
            | Frame::Headers { .. }
            | Frame::WindowUpdate { .. }
            | Frame::Settings => Ok(()),
        }
    }

    async fn begin(&mut self, id: StreamId, headers: &Headers, fin: bool) -> Result<(), Gone> {
        if self.open.len() >= STREAMS_MAX {
            let status = REFUSED_STREAM;
            return self.say(Frame::RstStream { id, status }).await;
        }
        let opening = opening(id, headers).filter(|_| !self.open.contains_key(&id));
        let Some(opening) = opening else {
            let status = PROTOCOL_ERROR;
            return self.say(Frame::RstStream { id, status }).await;
        };
        self.say(Frame::SynReply {
            id,
            headers: Headers::new(),
            fin: false,
        })
        .await?;
        let parts = match opening.role {
            Role::Data => {
                let (sender, parts) = mpsc::channel(PARTS_WAITING_MAX);
                self.open.insert(id, Some(sender));
                Some(parts)
            }
            Role::Error => {
                self.open.insert(id, None);
                None
            }
        };
        let half = Half {
            id,
            parts,
            since: Instant::now(),
            opening: opening.clone(),
        };
        match self.pairs.remove(&opening.request) {
            Some(other) if other.opening.role != opening.role && other.opening.port == opening.port => {
                self.forward(half, other);
            }
            // The same half twice: the later one counts, the earlier one is broken off.
            Some(other) => {
                self.pairs.insert(opening.request, half);
                self.open.remove(&other.id);
                let status = PROTOCOL_ERROR;
                self.say(Frame::RstStream { id: other.id, status }).await?;
            }
            None => {
                self.pairs.insert(opening.request, half);
            }
        }
        if fin {
            self.pass(id, Vec::new(), true).await;
        }
        Ok(())
    }

    /// A pair is complete.
    fn forward(&mut self, one: Half, other: Half) {
        let (data, error) = match one.opening.role {
            Role::Data => (one, other),
            Role::Error => (other, one),
        };
        let Some(parts) = data.parts else { return };
        let pair = Pair {
            port: data.opening.port,
            data: data.id,
            error: error.id,
        };
        self.forwards
            .spawn(forward(self.ports.clone(), pair, parts, self.out.clone()));
    }

    /// Hands bytes to who forwards them; waits while they are not taken.
    async fn pass(&mut self, id: StreamId, data: Vec<u8>, fin: bool) {
        let Some(Some(sender)) = self.open.get(&id) else {
            return;
        };
        // An error means that the connection to the pod has ended; the client is told by other means.
        if !data.is_empty() {
            _ = sender.send(Part::Data(data)).await;
        }
        if fin {
            _ = sender.send(Part::End).await;
        }
    }

    /// Breaks off the streams whose other half does not come.
    async fn drop_halves(&mut self) -> Result<(), Gone> {
        let late: Vec<String> = self
            .pairs
            .iter()
            .filter(|(_, half)| half.since.elapsed() >= PAIR_WAIT)
            .map(|(request, _)| request.clone())
            .collect();
        for request in late {
            if let Some(half) = self.pairs.remove(&request) {
                self.open.remove(&half.id);
                let status = CANCEL;
                self.say(Frame::RstStream { id: half.id, status }).await?;
            }
        }
        Ok(())
    }

    async fn say(&self, frame: Frame) -> Result<(), Gone> {
        self.out.send(frame).await.map_err(|_| Gone)
    }
}

/// One connection to a port, from its beginning to its end.
async fn forward(ports: Arc<PodPorts>, pair: Pair, parts: mpsc::Receiver<Part>, out: mpsc::Sender<Frame>) -> Pair {
    let message = match carry(&ports, pair, parts, &out).await {
        Ok(()) => Vec::new(),
        Err(message) => format!(
            "error forwarding port {} to pod {}, uid {}: {message}",
            pair.port, ports.pod, ports.uid
        )
        .into_bytes(),
    };
    let last = |id, data| Frame::Data { id, data, fin: true };
    for frame in [last(pair.error, message), last(pair.data, Vec::new())] {
        // Without the client nobody misses them.
        _ = out.send(frame).await;
    }
    pair
}

async fn carry(
    ports: &PodPorts,
    pair: Pair,
    parts: mpsc::Receiver<Part>,
    out: &mpsc::Sender<Frame>,
) -> Result<(), String> {
    let request = Kind::PortForward(PortForwardRequest {
        namespace: ports.namespace.clone(),
        pod: ports.pod.clone(),
        uid: ports.uid.clone(),
        port: pair.port.into(),
        at_pod_ip: false,
    });
    let answer = ports.nodes.converse(&ports.node, request).await;
    let (feed, replies) = answer.map_err(|error| error.to_string())?;
    tokio::select! {
        ended = pass_up(replies, pair.data, out) => ended,
        // The client has broken the connection off.
        () = pass_down(parts, &feed) => Ok(()),
    }
}

/// Passes what the port sends to the client, until the connection has ended.
async fn pass_up(mut replies: Replies, id: StreamId, out: &mpsc::Sender<Frame>) -> Result<(), String> {
    while let Some(reply) = replies.next().await {
        if !reply.data.is_empty() || reply.channel_end {
            let frame = Frame::Data {
                id,
                data: reply.data,
                fin: reply.channel_end,
            };
            if out.send(frame).await.is_err() {
                return Ok(());
            }
        }
        match reply.end {
            Some(end) if end.status != 200 => return Err(end.message),
            Some(_) => return Ok(()),
            None => {}
        }
    }
    Ok(())
}

/// Passes what the client sends to the port; returns when the client has broken the stream off.
async fn pass_down(mut parts: mpsc::Receiver<Part>, feed: &Feed) {
    while let Some(part) = parts.recv().await {
        // An error means that the connection has ended, which the answer says too.
        _ = match part {
            Part::Data(data) => feed.data(&data).await,
            Part::End => feed.end().await,
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_say_what_a_stream_is_for() {
        let opening_of = |request: &str, role, port| {
            Some(Opening {
                request: request.to_owned(),
                role,
                port,
            })
        };
        for (id, list, expected) in [
            (
                1,
                vec![("streamtype", "error"), ("port", "80"), ("requestid", "7")],
                opening_of("7", Role::Error, 80),
            ),
            (
                3,
                vec![("streamtype", "data"), ("port", "80"), ("requestid", "7")],
                opening_of("7", Role::Data, 80),
            ),
            (
                1,
                vec![("streamtype", "error"), ("port", "80")],
                opening_of("1", Role::Error, 80),
            ),
            (
                3,
                vec![("streamtype", "data"), ("port", "80")],
                opening_of("1", Role::Data, 80),
            ),
            (1, vec![("streamtype", "data"), ("port", "80")], None),
            (1, vec![("streamtype", "data"), ("port", "0")], None),
            (1, vec![("streamtype", "data"), ("port", "65536")], None),
            (1, vec![("streamtype", "stdin"), ("port", "80")], None),
            (1, vec![("port", "80")], None),
        ] {
            let headers: Headers = list
                .iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                .collect();
            assert_eq!(opening(id, &headers), expected, "stream {id} {list:?}");
        }
    }
}
