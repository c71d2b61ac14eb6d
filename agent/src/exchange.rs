//! One request's two directions at the agent's end: parts that go up and what comes down, each with its window.
//!
//! Whoever answers waits while its reader is slow; nobody else does. Never here: what requests mean.

use std::sync::Arc;

use api::node_stream::{
    Channel, Credit, FromAgent, PART_BYTES_MAX, Reply, ReplyEnd, TerminalSize, WINDOW_PARTS, from_agent, request_data,
};
use tokio::sync::{Semaphore, mpsc};

/// Parts taken before the server is told: half a window, so that neither side waits for the other.
const CREDIT_PARTS: u32 = WINDOW_PARTS / 2;
/// What may wait for a request's answerer: the window, the end, and some sizes of a terminal that is being drawn larger.
const WAITING_MAX: usize = WINDOW_PARTS as usize + 16;

/// Nobody wants the answer any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("nobody wants the answer any more")]
pub struct Unwanted;

/// Both directions of one request.
#[derive(Debug)]
pub struct Exchange {
    /// What goes up.
    pub outlet: Outlet,
    /// What comes down.
    pub inlet: Inlet,
}

/// The other end of an [`Exchange`]: what the connection does with it.
#[derive(Debug)]
pub(crate) struct Counterpart {
    credit: Arc<Semaphore>,
    down: mpsc::Sender<request_data::Kind>,
}

/// Makes both ends for the request of this number; what goes up goes to `up`.
pub(crate) fn exchange(id: u64, up: mpsc::Sender<FromAgent>) -> (Exchange, Counterpart) {
    let credit = Arc::new(Semaphore::new(WINDOW_PARTS as usize));
    let (down, receiver) = mpsc::channel(WAITING_MAX);
    let outlet = Outlet {
        id,
        up: up.clone(),
        credit: credit.clone(),
    };
    let inlet = Inlet {
        id,
        up,
        receiver,
        taken: 0,
    };
    (Exchange { outlet, inlet }, Counterpart { credit, down })
}

/// The server has sent more than it may.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Overrun;

impl Counterpart {
    /// Something came down.
    ///
    /// # Errors
    /// When it is more than may wait.
    pub(crate) fn take(&self, kind: request_data::Kind) -> Result<(), Overrun> {
        match self.down.try_send(kind) {
            // A size that is soon followed by another, and data for somebody who takes none any more.
            Err(mpsc::error::TrySendError::Full(request_data::Kind::Size(_)))
            | Err(mpsc::error::TrySendError::Closed(_))
            | Ok(()) => Ok(()),
            Err(mpsc::error::TrySendError::Full(_)) => Err(Overrun),
        }
    }

    /// The server's reader has taken parts.
    pub(crate) fn credit(&self, parts: u32) {
        let taken = WINDOW_PARTS.saturating_sub(u32::try_from(self.credit.available_permits()).unwrap_or(0));
        self.credit.add_permits(parts.min(taken) as usize);
    }
}

/// What goes up.
#[derive(Debug, Clone)]
pub struct Outlet {
    id: u64,
    up: mpsc::Sender<FromAgent>,
    credit: Arc<Semaphore>,
}

impl Outlet {
    /// Says that an answer begins, before there is any of it.
    ///
    /// # Errors
    /// When nobody wants it.
    pub async fn begin(&self) -> Result<(), Unwanted> {
        self.say(Reply::default()).await
    }

    /// Sends bytes, in parts; waits while the reader has not taken what was sent before.
    ///
    /// # Errors
    /// When nobody wants it.
    pub async fn data(&self, channel: Channel, data: &[u8]) -> Result<(), Unwanted> {
        for part in data.chunks(PART_BYTES_MAX) {
            let permit = self.credit.acquire().await.map_err(|_| Unwanted)?;
            permit.forget();
            self.say(Reply {
                data: part.to_vec(),
                channel: channel.into(),
                ..Reply::default()
            })
            .await?;
        }
        Ok(())
    }

    /// Says that nothing more comes on a channel.
    ///
    /// # Errors
    /// When nobody wants it.
    pub async fn channel_end(&self, channel: Channel) -> Result<(), Unwanted> {
        self.say(Reply {
            channel: channel.into(),
            channel_end: true,
            ..Reply::default()
        })
        .await
    }

    /// Ends the answer.
    pub async fn end(&self, end: ReplyEnd) {
        // Nobody is left to hear that nobody wants it.
        _ = self
            .say(Reply {
                end: Some(end),
                ..Reply::default()
            })
            .await;
    }

    async fn say(&self, reply: Reply) -> Result<(), Unwanted> {
        let reply = Reply {
            request_id: self.id,
            ..reply
        };
        let message = FromAgent {
            kind: Some(from_agent::Kind::Reply(reply)),
        };
        self.up.send(message).await.map_err(|_| Unwanted)
    }
}

/// What comes down, as whoever answers takes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Down {
    /// Bytes.
    Data(Vec<u8>),
    /// No more bytes.
    End,
    /// The terminal's size.
    Size(TerminalSize),
}

/// What comes down.
#[derive(Debug)]
pub struct Inlet {
    id: u64,
    up: mpsc::Sender<FromAgent>,
    receiver: mpsc::Receiver<request_data::Kind>,
    /// Parts taken that the server has not been told of.
    taken: u32,
}

impl Inlet {
    /// The next of what comes down; None when the request has ended. Whoever calls has dealt with what came before.
    pub async fn next(&mut self) -> Option<Down> {
        if self.taken >= CREDIT_PARTS {
            let credit = Credit {
                request_id: self.id,
                parts: self.taken,
            };
            let message = FromAgent {
                kind: Some(from_agent::Kind::RequestCredit(credit)),
            };
            self.up.send(message).await.ok()?;
            self.taken = 0;
        }
        Some(match self.receiver.recv().await? {
            request_data::Kind::Data(data) => {
                self.taken += 1;
                Down::Data(data)
            }
            request_data::Kind::End(_) => Down::End,
            request_data::Kind::Size(size) => Down::Size(size),
        })
    }
}

#[cfg(test)]
mod tests;
