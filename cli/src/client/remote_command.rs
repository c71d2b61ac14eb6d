//! A command in a container, or one that runs there already, and its standard streams.
//!
//! Never here: terminals and files of this machine; what comes and goes does so through bounded queues.
//! Source: Kubernetes' `v5.channel.k8s.io`, KEP-4006.

use std::time::Duration;

use anyhow::{Context, bail};
use api::channel::{CLOSE, ERROR, RESIZE, STDERR, STDIN, STDOUT};
use bytes::Bytes;
use futures::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use tokio::{
    sync::mpsc,
    time::{MissedTickBehavior, interval},
};
use tokio_tungstenite::tungstenite::Message;

use super::{Connection, object, websocket::WebSocket};

const PROTOCOL: &str = "v5.channel.k8s.io";
/// So that nobody on the way takes a quiet connection for a dead one.
const PING_EVERY: Duration = Duration::from_secs(20);
/// Parts of a stream that wait to be taken; each has some tens of kilobytes at most.
pub(crate) const PARTS_WAITING_MAX: usize = 16;

/// What is to be connected to.
pub(crate) struct Request<'a> {
    pub(crate) namespace: &'a str,
    pub(crate) pod: &'a str,
    pub(crate) container: &'a str,
    /// None: the container's own process.
    pub(crate) command: Option<&'a [String]>,
    pub(crate) tty: bool,
}

/// The streams of this side. What is not wanted is None; with a terminal there is no standard error.
pub(crate) struct Streams {
    pub(crate) stdin: Option<mpsc::Receiver<Bytes>>,
    pub(crate) stdout: Option<mpsc::Sender<Bytes>>,
    pub(crate) stderr: Option<mpsc::Sender<Bytes>>,
    /// Sizes of the terminal: columns and rows.
    pub(crate) sizes: Option<mpsc::Receiver<(u16, u16)>>,
}

/// How a command ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum End {
    /// With this exit code.
    Code(i32),
    /// It was not run, or its end is not known.
    Failed(String),
    /// Nobody here takes its output any more.
    NotRead,
}

/// What the server says.
#[derive(Debug, PartialEq, Eq)]
enum Said {
    Stdout(Bytes),
    Stderr(Bytes),
    End(End),
}

impl Request<'_> {
    fn path(&self, streams: &Streams) -> String {
        let what = if self.command.is_some() { "exec" } else { "attach" };
        let mut parameters = vec![("container", self.container.to_owned())];
        let words = self.command.into_iter().flatten();
        parameters.extend(words.map(|word| ("command", word.clone())));
        for (name, wanted) in [
            ("stdin", streams.stdin.is_some()),
            ("stdout", streams.stdout.is_some()),
            ("stderr", streams.stderr.is_some()),
            ("tty", self.tty),
        ] {
            if wanted {
                parameters.push((name, "true".to_owned()));
            }
        }
        format!(
            "/api/v1/namespaces/{}/pods/{}/{what}{}",
            object::encoded(self.namespace),
            object::encoded(self.pod),
            object::query(&parameters)
        )
    }
}

/// Begins, and passes on what comes and goes until the end.
pub(crate) async fn run(connection: &Connection, request: &Request<'_>, streams: Streams) -> anyhow::Result<End> {
    let socket = connection.websocket(&request.path(&streams), PROTOCOL).await?;
    Ok(pass(socket, streams).await?)
}

/// The connection broke.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BrokenError {
    #[error("send to the container")]
    Send(#[source] tokio_tungstenite::tungstenite::Error),
    #[error("read from the container")]
    Read(#[source] tokio_tungstenite::tungstenite::Error),
    #[error("the connection ended before the command did")]
    Ended,
}

async fn pass(socket: WebSocket, streams: Streams) -> Result<End, BrokenError> {
    let Streams {
        mut stdin,
        stdout,
        stderr,
        mut sizes,
    } = streams;
    let (mut sink, mut source) = socket.split();
    let mut pings = interval(PING_EVERY);
    pings.set_missed_tick_behavior(MissedTickBehavior::Delay);
    pings.reset();
    // Reading goes on while sending waits, and the other way round.
    let send = async {
        loop {
            let message = tokio::select! {
                // What is typed may ask for the size: the one that is known by then goes first.
                biased;
                size = next(&mut sizes) => match size {
                    Some((columns, rows)) => {
                        message(RESIZE, json!({"Width": columns, "Height": rows}).to_string().as_bytes())
                    }
                    None => {
                        sizes = None;
                        continue;
                    }
                },
                _ = pings.tick() => Message::Ping(Bytes::new()),
                part = next(&mut stdin) => match part {
                    Some(part) => message(STDIN, &part),
                    None => {
                        stdin = None;
                        message(CLOSE, &[STDIN])
                    }
                },
            };
            if let Err(error) = sink.send(message).await {
                return error;
            }
        }
    };
    let read = async {
        while let Some(message) = source.next().await {
            let out = match said(message.map_err(BrokenError::Read)?) {
                None => continue,
                Some(Said::End(end)) => return Ok(end),
                Some(Said::Stdout(bytes)) => stdout.as_ref().map(|stdout| stdout.send(bytes)),
                Some(Said::Stderr(bytes)) => stderr.as_ref().map(|stderr| stderr.send(bytes)),
            };
            if let Some(out) = out
                && out.await.is_err()
            {
                return Ok(End::NotRead);
            }
        }
        Err(BrokenError::Ended)
    };
    let mut read = std::pin::pin!(read);
    tokio::select! {
        ended = &mut read => ended,
        error = send => {
            // A server that has said how it ended takes nothing more: that is what counts.
            match read.await {
                Err(_) => Err(BrokenError::Send(error)),
                ended => ended,
            }
        }
    }
}

/// The next part; waits for ever where there are none.
async fn next<T>(parts: &mut Option<mpsc::Receiver<T>>) -> Option<T> {
    match parts {
        Some(parts) => parts.recv().await,
        None => std::future::pending().await,
    }
}

fn message(channel: u8, data: &[u8]) -> Message {
    let mut bytes = Vec::with_capacity(data.len() + 1);
    bytes.push(channel);
    bytes.extend_from_slice(data);
    Message::binary(bytes)
}

fn said(message: Message) -> Option<Said> {
    let Message::Binary(mut bytes) = message else {
        return None;
    };
    let channel = *bytes.first()?;
    let data = bytes.split_off(1);
    match channel {
        STDOUT if !data.is_empty() => Some(Said::Stdout(data)),
        STDERR if !data.is_empty() => Some(Said::Stderr(data)),
        ERROR if !data.is_empty() => Some(Said::End(end(&data))),
        _ => None,
    }
}

/// What a Status says of a command's end.
fn end(document: &[u8]) -> End {
    let Ok(status) = serde_json::from_slice::<Value>(document) else {
        return End::Failed(String::from_utf8_lossy(document).into_owned());
    };
    if status["status"] == "Success" {
        return End::Code(0);
    }
    let causes = object::items(&status["details"]["causes"]);
    let code = causes.iter().find(|cause| cause["reason"] == "ExitCode");
    let code = code.and_then(|cause| cause["message"].as_str()?.parse().ok());
    match code {
        Some(code) if status["reason"] == "NonZeroExitCode" => End::Code(code),
        _ => End::Failed(object::text(&status["message"])),
    }
}

/// Runs a command that reads and says little; its exit code, and what it said on both.
pub(crate) async fn ask(connection: &Connection, request: &Request<'_>) -> anyhow::Result<(i32, String)> {
    /// Most of what is kept of it.
    const SAID_BYTES_MAX: usize = 64 << 10;
    let (out, mut parts) = mpsc::channel::<Bytes>(PARTS_WAITING_MAX);
    let streams = Streams {
        stdin: None,
        stdout: Some(out.clone()),
        stderr: Some(out),
        sizes: None,
    };
    let collect = async {
        let mut all = Vec::new();
        while let Some(part) = parts.recv().await {
            let room = SAID_BYTES_MAX - all.len();
            all.extend_from_slice(&part[..part.len().min(room)]);
        }
        String::from_utf8_lossy(&all).into_owned()
    };
    let (end, text) = futures::join!(run(connection, request, streams), collect);
    match end.with_context(|| format!("run a command in pod {}", request.pod))? {
        End::Code(code) => Ok((code, text)),
        End::Failed(message) => bail!("{message}"),
        End::NotRead => bail!("the command's output was not read"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends_are_understood() {
        let code = |code: &str| {
            json!({"status": "Failure", "reason": "NonZeroExitCode", "message": "command terminated",
                   "details": {"causes": [{"reason": "ExitCode", "message": code}]}})
        };
        for (document, expected) in [
            (json!({"status": "Success"}).to_string(), End::Code(0)),
            (code("7").to_string(), End::Code(7)),
            (code("x").to_string(), End::Failed("command terminated".to_owned())),
            (
                json!({"status": "Failure", "reason": "InternalError", "message": "no"}).to_string(),
                End::Failed("no".to_owned()),
            ),
            ("plain".to_owned(), End::Failed("plain".to_owned())),
        ] {
            assert_eq!(end(document.as_bytes()), expected, "{document}");
        }
    }

    #[test]
    fn channels_are_told_apart() {
        let out = |bytes: &'static [u8]| Some(Said::Stdout(Bytes::from_static(bytes)));
        for (message, expected) in [
            (message(STDOUT, b"a"), out(b"a")),
            (message(STDERR, b"a"), Some(Said::Stderr(Bytes::from_static(b"a")))),
            (message(STDOUT, b""), None),
            (message(9, b"a"), None),
            (Message::binary(Vec::new()), None),
            (Message::Ping(Bytes::new()), None),
        ] {
            assert_eq!(said(message), expected);
        }
    }
}
