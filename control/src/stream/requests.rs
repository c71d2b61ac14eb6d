//! Requests to a node, and what flows between who asked and who answers.
//!
//! Each request has a window of parts each way (`WINDOW_PARTS`), so that a slow reader holds up only itself, and what
//! waits for it is bounded; the node's stream never waits for one request. An answer that nobody reads any more is
//! cancelled. Never here: what requests mean.

use std::{
    collections::HashMap,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll, ready},
};

use api::node_stream::{
    CancelRequest, Credit, PART_BYTES_MAX, Reply, ReplyEnd, Request, RequestData, TerminalSize, ToAgent, WINDOW_PARTS,
    request, request_data, to_agent,
};
use futures::Stream;
use parking_lot::Mutex;
use tokio::sync::{Semaphore, mpsc};
use tokio_util::sync::PollSender;

use super::Session;

/// Parts of an answer that wait for its reader: the window, and what needs no credit (the first word, the end of each
/// channel, the end).
const WAITING_PARTS_MAX: usize = WINDOW_PARTS as usize + 4;
/// Parts that the reader has taken before the agent is told: half a window, so that neither side waits for the other.
const CREDIT_PARTS: u32 = WINDOW_PARTS / 2;

/// HTTP status of an answer whose node went away.
const STATUS_GONE: u32 = 503;

/// The node has no stream.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("node {0:?} is not connected")]
pub struct NodeUnreachable(pub String);

/// The request has ended: nobody takes what is said.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the request has ended")]
pub struct RequestEnded;

/// The requests of one session that are not answered yet.
#[derive(Default)]
pub(super) struct Requests {
    last: AtomicU64,
    open: Mutex<HashMap<u64, Open>>,
}

struct Open {
    parts: mpsc::Sender<Reply>,
    /// Parts that may be sent down.
    credit: Arc<Semaphore>,
}

impl Drop for Open {
    fn drop(&mut self) {
        // Whoever waits to send more learns that it is over.
        self.credit.close();
    }
}

impl Requests {
    /// Passes a part on to who asked.
    pub(super) fn deliver(&self, session: &Session, part: Reply) {
        let id = part.request_id;
        let is_last = part.end.is_some();
        let mut open = self.open.lock();
        let Some(request) = open.get(&id) else {
            // Cancelled meanwhile; the agent will hear of it.
            return;
        };
        let delivered = request.parts.try_send(part).is_ok();
        if delivered && !is_last {
            return;
        }
        // Ended; or the reader is gone, or the agent sends more than it may. Dropping the sender ends what is read.
        open.remove(&id);
        drop(open);
        if !is_last {
            cancel(session, id);
        }
    }

    /// The agent's reader has taken parts.
    pub(super) fn credit(&self, credit: Credit) {
        if let Some(request) = self.open.lock().get(&credit.request_id) {
            let taken = WINDOW_PARTS.saturating_sub(u32::try_from(request.credit.available_permits()).unwrap_or(0));
            request.credit.add_permits(credit.parts.min(taken) as usize);
        }
    }

    /// Ends all answers: the stream is down.
    pub(super) fn end_all(&self) {
        self.open.lock().clear();
    }
}

/// Sends a request down a session.
pub(super) async fn send(session: Arc<Session>, kind: request::Kind) -> Result<(Feed, Replies), NodeUnreachable> {
    let id = session.requests.last.fetch_add(1, Ordering::Relaxed) + 1;
    let (parts, receiver) = mpsc::channel(WAITING_PARTS_MAX);
    let credit = Arc::new(Semaphore::new(WINDOW_PARTS as usize));
    let open = Open {
        parts,
        credit: credit.clone(),
    };
    session.requests.open.lock().insert(id, open);
    let feed = Feed {
        id,
        credit,
        outgoing: session.request_messages.clone(),
    };
    let replies = Replies {
        id,
        outgoing: PollSender::new(session.request_messages.clone()),
        session,
        receiver,
        taken: 0,
        has_ended: false,
    };
    let closed = replies.session.closer.token.clone();
    let unreachable = || NodeUnreachable(replies.session.node.clone());
    let message = to_agent::Kind::Request(Request { id, kind: Some(kind) });
    tokio::select! {
        sent = feed.outgoing.send(ToAgent { kind: Some(message) }) => sent.map_err(|_| unreachable())?,
        () = closed.cancelled() => return Err(unreachable()),
    }
    if closed.is_cancelled() {
        return Err(unreachable());
    }
    Ok((feed, replies))
}

/// Tells the agent that an answer is not wanted, now or as soon as there is room.
fn cancel(session: &Session, id: u64) {
    let message = ToAgent {
        kind: Some(to_agent::Kind::CancelRequest(CancelRequest { id })),
    };
    let Err(mpsc::error::TrySendError::Full(message)) = session.request_messages.try_send(message) else {
        return;
    };
    let outgoing = session.request_messages.clone();
    let closed = session.closer.token.clone();
    // At most one per request; ends with the stream. Without a runtime the server is ending, and every stream with it.
    if let Ok(runtime) = tokio::runtime::Handle::try_current() {
        runtime.spawn(async move { closed.run_until_cancelled(outgoing.send(message)).await });
    }
}

/// What goes down for a request while it is answered.
#[derive(Debug)]
pub struct Feed {
    id: u64,
    credit: Arc<Semaphore>,
    outgoing: mpsc::Sender<ToAgent>,
}

impl Feed {
    /// Sends bytes on the request's main channel; waits while the other side has not taken what was sent before.
    ///
    /// # Errors
    /// When the request has ended.
    pub async fn data(&self, data: &[u8]) -> Result<(), RequestEnded> {
        for part in data.chunks(PART_BYTES_MAX) {
            let permit = self.credit.acquire().await.map_err(|_| RequestEnded)?;
            permit.forget();
            self.say(request_data::Kind::Data(part.to_vec())).await?;
        }
        Ok(())
    }

    /// Nothing more comes on the main channel.
    ///
    /// # Errors
    /// When the request has ended.
    pub async fn end(&self) -> Result<(), RequestEnded> {
        self.say(request_data::Kind::End(true)).await
    }

    /// The client's terminal has this size.
    ///
    /// # Errors
    /// When the request has ended.
    pub async fn size(&self, size: TerminalSize) -> Result<(), RequestEnded> {
        self.say(request_data::Kind::Size(size)).await
    }

    async fn say(&self, kind: request_data::Kind) -> Result<(), RequestEnded> {
        if self.credit.is_closed() {
            return Err(RequestEnded);
        }
        let message = to_agent::Kind::RequestData(RequestData {
            request_id: self.id,
            kind: Some(kind),
        });
        let sent = self.outgoing.send(ToAgent { kind: Some(message) }).await;
        sent.map_err(|_| RequestEnded)
    }
}

/// The parts of an answer, in order; the last one carries `end`.
pub struct Replies {
    id: u64,
    session: Arc<Session>,
    receiver: mpsc::Receiver<Reply>,
    outgoing: PollSender<ToAgent>,
    /// Parts taken that the agent has not been told of.
    taken: u32,
    has_ended: bool,
}

impl Replies {
    /// Tells the agent of the parts that were taken, if there is room; else this is tried again when there is.
    fn give_credit(&mut self, context: &mut Context<'_>) {
        if self.taken < CREDIT_PARTS {
            return;
        }
        // An error means that the stream is down, which the receiver says too.
        if let Poll::Ready(Ok(())) = self.outgoing.poll_reserve(context) {
            let credit = Credit {
                request_id: self.id,
                parts: std::mem::take(&mut self.taken),
            };
            let message = ToAgent {
                kind: Some(to_agent::Kind::ReplyCredit(credit)),
            };
            // Cannot fail: the room is reserved, and a closed stream needs no credit.
            _ = self.outgoing.send_item(message);
        }
    }
}

impl Stream for Replies {
    type Item = Reply;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Reply>> {
        if self.has_ended {
            return Poll::Ready(None);
        }
        self.give_credit(context);
        let part = ready!(self.receiver.poll_recv(context)).unwrap_or_else(|| Reply {
            request_id: self.id,
            end: Some(ReplyEnd {
                status: STATUS_GONE,
                message: "the connection to the node ended before the answer did".to_owned(),
                exit_code: None,
            }),
            ..Reply::default()
        });
        self.has_ended = part.end.is_some();
        if !part.data.is_empty() {
            self.taken += 1;
        }
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
