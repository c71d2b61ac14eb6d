//! The protocols of channels over WebSocket: each message is the number of a channel and bytes.
//!
//! Pure. Source: Kubernetes' WebSocket subprotocols `channel.k8s.io` (to v5), KEP-4006 for closing in v5.

use api::{
    channel::{CLOSE, ERROR, RESIZE, STDERR, STDIN, STDOUT},
    node_stream::TerminalSize,
};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use bytes::Bytes;
use serde::Deserialize;
use tokio_tungstenite::tungstenite::{Message, Utf8Bytes};

use super::remote::{Inbound, Outbound};

/// How messages are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Coding {
    /// A byte, and the bytes, as a binary message.
    Binary,
    /// A digit, and base64, as a text message.
    Base64,
}

/// How the end is told on the error channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum EndForm {
    /// As text, and nothing for a success.
    Text,
    /// As a Status.
    Status,
}

/// One of the subprotocols.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Subprotocol {
    /// Its name; empty if the client asked for none.
    pub(super) name: &'static str,
    pub(super) coding: Coding,
    pub(super) end: EndForm,
    /// Channels can be closed.
    pub(super) closes: bool,
}

const fn row(name: &'static str, coding: Coding, end: EndForm, closes: bool) -> Subprotocol {
    Subprotocol {
        name,
        coding,
        end,
        closes,
    }
}

const SUBPROTOCOLS: [Subprotocol; 7] = [
    row("v5.channel.k8s.io", Coding::Binary, EndForm::Status, true),
    row("v4.channel.k8s.io", Coding::Binary, EndForm::Status, false),
    row("v4.base64.channel.k8s.io", Coding::Base64, EndForm::Status, false),
    row("v3.channel.k8s.io", Coding::Binary, EndForm::Text, false),
    row("v2.channel.k8s.io", Coding::Binary, EndForm::Text, false),
    row("channel.k8s.io", Coding::Binary, EndForm::Text, false),
    row("base64.channel.k8s.io", Coding::Base64, EndForm::Text, false),
];

impl Subprotocol {
    /// The first that a client offers and that is known here; the oldest if it offers none.
    pub(super) fn choose(offered: &[String]) -> Option<Subprotocol> {
        if offered.is_empty() {
            return Some(row("", Coding::Binary, EndForm::Text, false));
        }
        let known = |name: &String| SUBPROTOCOLS.iter().find(|known| known.name == name).copied();
        offered.iter().find_map(known)
    }

    /// What a message of the client says; nothing if it says nothing that matters.
    pub(super) fn decode(self, message: Message) -> Option<Inbound> {
        let (channel, data) = match (self.coding, message) {
            (_, Message::Ping(_) | Message::Pong(_)) => return Some(Inbound::Alive),
            (_, Message::Close(_) | Message::Frame(_)) => return None,
            (Coding::Binary, Message::Binary(bytes)) => split(bytes)?,
            (Coding::Binary, Message::Text(text)) => split(Bytes::from(text))?,
            (Coding::Base64, Message::Text(text)) => from_base64(text.as_bytes())?,
            (Coding::Base64, Message::Binary(bytes)) => from_base64(&bytes)?,
        };
        match channel {
            STDIN => Some(Inbound::Data(data)),
            RESIZE => parse_size(&data).map(Inbound::Size),
            CLOSE if self.closes && data.first() == Some(&STDIN) => Some(Inbound::End),
            _ => None,
        }
    }

    /// The message that says something to the client; nothing if there is none for it.
    pub(super) fn encode(self, outbound: &Outbound) -> Option<Message> {
        let (channel, data) = match outbound {
            Outbound::Stdout(data) => (STDOUT, data.clone()),
            Outbound::Stderr(data) => (STDERR, data.clone()),
            Outbound::End(end) => match self.end {
                EndForm::Status => (ERROR, end.status().to_string().into_bytes()),
                EndForm::Text => (ERROR, end.text()?.into_bytes()),
            },
            Outbound::Ping => return Some(Message::Ping(Bytes::new())),
        };
        Some(self.message(channel, &data))
    }

    /// What tells a client that all is well: an empty message on the lowest channel that it reads.
    pub(super) fn first(self, stdout: bool, stderr: bool) -> Message {
        match (stdout, stderr) {
            (true, _) => self.message(STDOUT, &[]),
            (false, true) => self.message(STDERR, &[]),
            (false, false) => self.message(ERROR, &[]),
        }
    }

    fn message(self, channel: u8, data: &[u8]) -> Message {
        match self.coding {
            Coding::Binary => {
                let mut bytes = Vec::with_capacity(data.len() + 1);
                bytes.push(channel);
                bytes.extend_from_slice(data);
                Message::binary(bytes)
            }
            Coding::Base64 => {
                let mut text = String::from(char::from(b'0' + channel));
                BASE64_STANDARD.encode_string(data, &mut text);
                Message::Text(Utf8Bytes::from(text))
            }
        }
    }
}

fn split(mut bytes: Bytes) -> Option<(u8, Bytes)> {
    let channel = *bytes.first()?;
    Some((channel, bytes.split_off(1)))
}

fn from_base64(text: &[u8]) -> Option<(u8, Bytes)> {
    let (digit, rest) = text.split_first()?;
    let channel = match digit {
        b'0'..=b'9' => digit - b'0',
        other => *other,
    };
    let data = BASE64_STANDARD.decode(rest).ok()?;
    Some((channel, Bytes::from(data)))
}

/// A size as clients write it.
pub(super) fn parse_size(document: &[u8]) -> Option<TerminalSize> {
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Size {
        width: u16,
        height: u16,
    }
    let size: Size = serde_json::from_slice(document).ok()?;
    Some(TerminalSize {
        columns: size.width.into(),
        rows: size.height.into(),
    })
}

#[cfg(test)]
mod tests;
