//! Requests to a node and their answers, as streams of parts.
//!
//! An answer that nobody reads is cancelled: at once if its reader is gone, after a bounded wait if its reader is
//! slow, since a stream carries everything else of its node too.

use std::{
    collections::HashMap,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll, ready},
    time::{Duration, Instant},
};

use api::node_stream::{CancelRequest, Reply, ReplyEnd, Request, ToAgent, request, to_agent};
use futures::Stream;
use parking_lot::Mutex;
use tokio::sync::mpsc;

use super::Session;

/// Parts of an answer that wait for its reader. With parts of 64 KiB this is 16 MiB, which smooths a large log.
const WAITING_PARTS_MAX: usize = 256;

/// HTTP status of an answer whose node went away.
const STATUS_GONE: u32 = 503;

/// The node has no stream.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("node {0:?} is not connected")]
pub struct NodeUnreachable(pub String);

/// The requests of one session that are not answered yet.
pub(super) struct Requests {
    /// See [`super::Patience::stall`].
    stall_max: Duration,
    last: AtomicU64,
    open: Mutex<HashMap<u64, Open>>,
}

struct Open {
    parts: mpsc::Sender<Reply>,
    stalled: Duration,
}

impl Requests {
    pub(super) fn new(stall_max: Duration) -> Requests {
        Requests {
            stall_max,
            last: AtomicU64::new(0),
            open: Mutex::default(),
        }
    }

    /// Passes a part on to who asked. May wait while the reader is slow.
    pub(super) async fn deliver(&self, session: &Session, part: Reply) {
        let id = part.request_id;
        let is_last = part.end.is_some();
        let Some((parts, stalled)) = self.open.lock().get(&id).map(|open| (open.parts.clone(), open.stalled)) else {
            // Cancelled meanwhile; the agent will hear of it.
            return;
        };
        let began = Instant::now();
        let wait = self.stall_max.saturating_sub(stalled);
        match tokio::time::timeout(wait, parts.send(part)).await {
            Ok(Ok(())) if !is_last => {
                if let Some(open) = self.open.lock().get_mut(&id) {
                    open.stalled += began.elapsed();
                }
            }
            Ok(Ok(())) => {
                self.open.lock().remove(&id);
            }
            Ok(Err(_)) | Err(_) => {
                // The reader is gone, or too slow; dropping the sender ends what it reads.
                self.open.lock().remove(&id);
                if !is_last {
                    cancel(session, id);
                }
            }
        }
    }

    /// Ends all answers: the stream is down.
    pub(super) fn end_all(&self) {
        self.open.lock().clear();
    }
}

/// Sends a request down a session.
pub(super) async fn send(session: Arc<Session>, kind: request::Kind) -> Result<Replies, NodeUnreachable> {
    let id = session.requests.last.fetch_add(1, Ordering::Relaxed) + 1;
    let (parts, receiver) = mpsc::channel(WAITING_PARTS_MAX);
    let open = Open {
        parts,
        stalled: Duration::ZERO,
    };
    session.requests.open.lock().insert(id, open);
    let replies = Replies {
        id,
        session,
        receiver,
        has_ended: false,
    };
    let message = to_agent::Kind::Request(Request { id, kind: Some(kind) });
    let unreachable = || NodeUnreachable(replies.session.node.clone());
    tokio::select! {
        sent = replies.session.outgoing.send(ToAgent { kind: Some(message) }) => sent.map_err(|_| unreachable())?,
        () = replies.session.closer.token.cancelled() => return Err(unreachable()),
    }
    if replies.session.closer.token.is_cancelled() {
        return Err(unreachable());
    }
    Ok(replies)
}

fn cancel(session: &Session, id: u64) {
    let message = to_agent::Kind::CancelRequest(CancelRequest { id });
    if session.outgoing.try_send(ToAgent { kind: Some(message) }).is_err() {
        tracing::debug!(node = %session.node, request = id, "the agent was not told that a request is cancelled");
    }
}

/// The parts of an answer, in order; the last one carries `end`.
pub struct Replies {
    id: u64,
    session: Arc<Session>,
    receiver: mpsc::Receiver<Reply>,
    has_ended: bool,
}

impl Stream for Replies {
    type Item = Reply;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Reply>> {
        if self.has_ended {
            return Poll::Ready(None);
        }
        let part = ready!(self.receiver.poll_recv(context)).unwrap_or_else(|| Reply {
            request_id: self.id,
            data: Vec::new(),
            end: Some(ReplyEnd {
                status: STATUS_GONE,
                message: "the connection to the node ended before the answer did".to_owned(),
            }),
        });
        self.has_ended = part.end.is_some();
        Poll::Ready(Some(part))
    }
}

impl Drop for Replies {
    fn drop(&mut self) {
        let was_open = self.session.requests.open.lock().remove(&self.id).is_some();
        if was_open {
            cancel(&self.session, self.id);
        }
    }
}
