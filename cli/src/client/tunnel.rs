//! Connections to ports of a pod: one WebSocket with SPDY frames for each, so that a slow one holds up only itself.
//!
//! Source: Kubernetes' `SPDY/3.1+portforward.k8s.io`: two streams with the same `requestid`, one for bytes and one on
//! which the server says what went wrong.

use bytes::Bytes;
use control::spdy::{Decoder, Encoder, Frame, FrameError, StreamId};
use futures::{SinkExt as _, StreamExt as _};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};
use tokio_tungstenite::tungstenite::{self, Message};

use super::{Connection, connection::RequestError, object, websocket::WebSocket};

const PROTOCOL: &str = "SPDY/3.1+portforward.k8s.io";
/// Streams that a client begins have odd numbers; the one for errors comes first.
const ERROR: StreamId = 1;
const DATA: StreamId = 3;
/// Bytes that are read at once.
const READ_BYTES: usize = 32 << 10;
/// Longest reason that is kept.
const REASON_BYTES_MAX: usize = 4 << 10;

/// What went wrong with one connection.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TunnelError {
    #[error(transparent)]
    Request(#[from] RequestError),
    #[error("the pod cannot be reached any more")]
    WebSocket(#[source] tungstenite::Error),
    #[error("the server does not speak SPDY/3.1")]
    Frame(#[from] FrameError),
    #[error("{0}")]
    Refused(String),
    #[error("lost connection to pod")]
    Ended,
}

/// A pod whose ports are wanted.
#[derive(Clone)]
pub(crate) struct PodPorts {
    pub(crate) connection: Connection,
    pub(crate) namespace: String,
    pub(crate) pod: String,
}

impl PodPorts {
    async fn open(&self) -> Result<WebSocket, RequestError> {
        let path = format!(
            "/api/v1/namespaces/{}/pods/{}/portforward",
            object::encoded(&self.namespace),
            object::encoded(&self.pod)
        );
        self.connection.websocket(&path, PROTOCOL).await
    }

    /// Asks whether the pod's ports may be had.
    pub(crate) async fn check(&self) -> Result<(), RequestError> {
        self.open().await.map(drop)
    }

    /// Carries a connection to a port, until both sides have ended it.
    ///
    /// # Errors
    /// When the port does not take the connection, or the way there breaks. That the client goes is no error.
    pub(crate) async fn carry(&self, client: TcpStream, port: u16) -> Result<(), TunnelError> {
        let (mut sink, mut source) = self.open().await?.split();
        let mut encoder = Encoder::new();
        for (id, role) in [(ERROR, "error"), (DATA, "data")] {
            let headers = [("streamtype", role), ("port", &port.to_string()), ("requestid", "0")];
            let headers = headers
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .to_vec();
            // Nothing is said on the stream for errors.
            let fin = id == ERROR;
            let bytes = encoder.encode(&Frame::SynStream { id, headers, fin });
            sink.send(Message::binary(bytes))
                .await
                .map_err(TunnelError::WebSocket)?;
        }
        let (mut reader, mut writer) = client.into_split();
        let send = async {
            let mut buffer = vec![0; READ_BYTES];
            loop {
                // A client that broke its connection off says no more.
                let count = reader.read(&mut buffer).await.unwrap_or_default();
                let data = buffer[..count].to_vec();
                let fin = count == 0;
                let bytes = encoder.encode(&Frame::Data { id: DATA, data, fin });
                if let Err(error) = sink.send(Message::binary(bytes)).await {
                    return TunnelError::WebSocket(error);
                }
                if fin {
                    // What the pod still says is read on; the other future ends this one.
                    std::future::pending::<()>().await;
                }
            }
        };
        let receive = async {
            let mut decoder = Decoder::new();
            let mut streams = Received::default();
            while let Some(message) = source.next().await {
                let Message::Binary(bytes) = message.map_err(TunnelError::WebSocket)? else {
                    continue;
                };
                decoder.put(&bytes);
                while let Some(frame) = decoder.next()? {
                    if let Some(bytes) = streams.take(frame)
                        && writer.write_all(&bytes).await.is_err()
                    {
                        return Ok(());
                    }
                }
                if streams.data_ended {
                    // The client sees the end while it may still send.
                    _ = writer.shutdown().await;
                }
                if let Some(ended) = streams.ended() {
                    return ended;
                }
            }
            Err(TunnelError::Ended)
        };
        tokio::select! {
            received = receive => received,
            error = send => Err(error),
        }
    }
}

/// What the server has said on both streams.
#[derive(Debug, Default)]
struct Received {
    data_ended: bool,
    error_ended: bool,
    reason: Vec<u8>,
}

impl Received {
    /// Takes a frame in; the bytes it has for the client.
    fn take(&mut self, frame: Frame) -> Option<Bytes> {
        match frame {
            Frame::Data { id: DATA, data, fin } => {
                self.data_ended |= fin;
                return (!data.is_empty()).then(|| Bytes::from(data));
            }
            Frame::Data { id: ERROR, data, fin } => {
                let room = REASON_BYTES_MAX - self.reason.len();
                self.reason.extend_from_slice(&data[..data.len().min(room)]);
                self.error_ended |= fin;
            }
            Frame::RstStream { id: DATA, .. } => self.data_ended = true,
            Frame::RstStream { id: ERROR, .. } => self.error_ended = true,
            Frame::Data { .. }
            | Frame::RstStream { .. }
            | Frame::SynStream { .. }
            | Frame::SynReply { .. }
            | Frame::Ping(_)
            | Frame::GoAway { .. }
            | Frame::Headers { .. }
            | Frame::WindowUpdate { .. }
            | Frame::Settings => {}
        }
        None
    }

    /// How it ended, when it has: a reason is the end, whatever the other stream does.
    fn ended(&self) -> Option<Result<(), TunnelError>> {
        if self.error_ended && !self.reason.is_empty() {
            let reason = String::from_utf8_lossy(&self.reason).into_owned();
            return Some(Err(TunnelError::Refused(reason)));
        }
        (self.data_ended && self.error_ended).then_some(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn data(id: StreamId, text: &str, fin: bool) -> Frame {
        let data = text.as_bytes().to_vec();
        Frame::Data { id, data, fin }
    }

    #[test]
    fn connections_end_with_both_streams_or_with_a_reason() {
        for (frames, passed, ended) in [
            (vec![data(DATA, "a", false)], "a", None),
            (vec![data(DATA, "a", true)], "a", None),
            (vec![data(DATA, "a", true), data(ERROR, "", true)], "a", Some("")),
            (vec![data(ERROR, "no", false)], "", None),
            (vec![data(ERROR, "n", false), data(ERROR, "o", true)], "", Some("no")),
            (vec![Frame::Ping(1), data(7, "x", true)], "", None),
        ] {
            let mut received = Received::default();
            let shown = format!("{frames:?}");
            let mut bytes = Vec::new();
            for frame in frames {
                bytes.extend(received.take(frame).into_iter().flatten());
            }
            let said = received.ended().map(|ended| match ended {
                Ok(()) => String::new(),
                Err(error) => error.to_string(),
            });
            assert_eq!(
                (bytes.as_slice(), said.as_deref()),
                (passed.as_bytes(), ended),
                "{shown}"
            );
        }
    }
}
