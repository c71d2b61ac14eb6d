//! A client of exec or attach and its node: what one says is passed to the other, each at the other's pace.
//!
//! Ends with the node's answer, or when the client goes. Never here: how either of them puts it on the wire.

use std::{pin::Pin, time::Duration};

use api::node_stream::{Channel, ReplyEnd, TerminalSize};
use bytes::Bytes;
use futures::{Sink, SinkExt as _, StreamExt as _, stream::BoxStream};
use serde_json::{Value, json};
use tokio::time::{MissedTickBehavior, interval, timeout};

use crate::stream::{Feed, Replies};

/// A client is sent something so often, so that proxies between keep the connection, and that one to a client that has
/// vanished breaks.
const PING_INTERVAL: Duration = Duration::from_secs(30);
/// A client that has been told the end closes the connection, or it is closed.
pub(super) const CLOSE_WAIT: Duration = Duration::from_secs(5);

/// What a client says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Inbound {
    /// For standard input.
    Data(Bytes),
    /// Standard input has ended.
    End,
    /// Its terminal has this size.
    Size(TerminalSize),
    /// It lives.
    Alive,
}

/// What a client is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Outbound {
    /// From standard output.
    Stdout(Vec<u8>),
    /// From standard error.
    Stderr(Vec<u8>),
    /// It is over.
    End(End),
    /// Are you there?
    Ping,
}

/// How it ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct End(pub(super) ReplyEnd);

impl End {
    /// The Status that newer clients read.
    pub(super) fn status(&self) -> Value {
        match (self.0.status, self.0.exit_code) {
            (200, None | Some(0)) => json!({ "metadata": {}, "status": "Success" }),
            (200, Some(code)) => json!({
                "metadata": {},
                "status": "Failure",
                "message": format!("command terminated with exit code {code}"),
                "reason": "NonZeroExitCode",
                "details": { "causes": [{ "reason": "ExitCode", "message": code.to_string() }] },
            }),
            _ => json!({
                "metadata": {},
                "status": "Failure",
                "message": format!("Internal error occurred: {}", self.0.message),
                "reason": "InternalError",
                "details": { "causes": [{ "message": self.0.message }] },
                "code": 500,
            }),
        }
    }

    /// The words that older clients read; none for a success.
    pub(super) fn text(&self) -> Option<String> {
        self.status()["message"].as_str().map(str::to_owned)
    }
}

/// The client has closed the connection, or it broke.
#[derive(Debug, Clone, Copy, thiserror::Error)]
#[error("the client is gone")]
pub(super) struct ClientGone;

/// A client, however it is connected.
pub(super) struct Client {
    pub(super) input: BoxStream<'static, Inbound>,
    pub(super) output: Pin<Box<dyn Sink<Outbound, Error = ClientGone> + Send>>,
}

/// Passes on until one of both has ended.
pub(super) async fn serve(client: Client, feed: Feed, replies: Replies) {
    let Client { mut input, mut output } = client;
    let ended = tokio::select! {
        ended = pass_up(replies, &mut output) => ended,
        () = pass_down(&mut input, &feed) => Err(ClientGone),
    };
    if ended.is_err() {
        return;
    }
    // What the client still sends is read, so that the end that it has been told is not lost with the connection.
    let rest = async { while input.next().await.is_some() {} };
    // An error means that it takes its time, which is over.
    _ = timeout(CLOSE_WAIT, rest).await;
}

/// Passes the node's answer to the client. Dropping the answer tells the node that it is not wanted.
async fn pass_up(
    mut replies: Replies,
    output: &mut Pin<Box<dyn Sink<Outbound, Error = ClientGone> + Send>>,
) -> Result<(), ClientGone> {
    let mut pings = interval(PING_INTERVAL);
    pings.set_missed_tick_behavior(MissedTickBehavior::Delay);
    // The first tick is now.
    pings.tick().await;
    loop {
        let reply = tokio::select! {
            reply = replies.next() => reply,
            _ = pings.tick() => {
                output.send(Outbound::Ping).await?;
                continue;
            }
        };
        let Some(reply) = reply else { return Ok(()) };
        let channel = reply.channel();
        if !reply.data.is_empty() {
            output
                .send(match channel {
                    Channel::Main => Outbound::Stdout(reply.data),
                    Channel::Stderr => Outbound::Stderr(reply.data),
                })
                .await?;
        }
        if let Some(end) = reply.end {
            output.send(Outbound::End(End(end))).await?;
            return output.close().await;
        }
    }
}

/// Passes what the client says to the node, until the client is gone. What comes after the request's end is dropped.
async fn pass_down(input: &mut BoxStream<'static, Inbound>, feed: &Feed) {
    while let Some(inbound) = input.next().await {
        let passed = match inbound {
            Inbound::Data(data) => feed.data(&data).await,
            Inbound::End => feed.end().await,
            Inbound::Size(size) => feed.size(size).await,
            Inbound::Alive => Ok(()),
        };
        if passed.is_err() {
            // The answer's end is on its way to the client; until it is told, it is listened to.
            while input.next().await.is_some() {}
            return;
        }
    }
}
