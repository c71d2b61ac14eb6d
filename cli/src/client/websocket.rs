//! WebSocket connections to the server, under the credentials of the others.
//!
//! Not those of the kube crate: there one loop reads and writes in turns, so that a command whose output nobody takes
//! yet and whose input does not fit would wait for ever, and what becomes of a port-forward is not told.
//! Source: RFC 6455, section 4.1.

use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{
        handshake::{client::generate_key, derive_accept_key},
        protocol::{Role, WebSocketConfig},
    },
};

/// A WebSocket whose messages go both ways.
pub(crate) type WebSocket = WebSocketStream<TokioIo<Upgraded>>;

/// Largest message that is taken; servers send parts of some tens of kilobytes.
const MESSAGE_BYTES_MAX: usize = 16 << 20;

/// The connection did not become a WebSocket.
#[derive(Debug, thiserror::Error)]
pub(crate) enum HandshakeError {
    #[error("the answer is not to our request: Sec-WebSocket-Accept does not fit")]
    Key,
    #[error("the server chose the protocol {chosen:?}, which was not asked for")]
    Protocol { chosen: String },
    #[error("the connection was not handed over")]
    Upgrade(#[source] hyper::Error),
}

/// The headers of a request for a WebSocket of one of these protocols; what the answer has to fit.
pub(super) fn ask(headers: &mut http::HeaderMap, protocol: &'static str) -> Asked {
    let key = generate_key();
    for (name, value) in [
        (http::header::CONNECTION, "Upgrade"),
        (http::header::UPGRADE, "websocket"),
        (http::header::SEC_WEBSOCKET_VERSION, "13"),
        (http::header::SEC_WEBSOCKET_PROTOCOL, protocol),
    ] {
        headers.insert(name, http::HeaderValue::from_static(value));
    }
    let value = http::HeaderValue::from_str(&key).expect("base64 makes a header");
    headers.insert(http::header::SEC_WEBSOCKET_KEY, value);
    Asked { key, protocol }
}

/// What was asked for.
pub(super) struct Asked {
    key: String,
    protocol: &'static str,
}

impl Asked {
    /// Makes the connection of a 101 answer the WebSocket that it is.
    pub(super) async fn accept<B>(self, response: http::Response<B>) -> Result<WebSocket, HandshakeError> {
        self.check(response.headers())?;
        let upgraded = hyper::upgrade::on(response).await.map_err(HandshakeError::Upgrade)?;
        let config = WebSocketConfig::default()
            .write_buffer_size(0)
            .max_message_size(Some(MESSAGE_BYTES_MAX))
            .max_frame_size(Some(MESSAGE_BYTES_MAX));
        Ok(WebSocketStream::from_raw_socket(TokioIo::new(upgraded), Role::Client, Some(config)).await)
    }

    fn check(&self, headers: &http::HeaderMap) -> Result<(), HandshakeError> {
        let header = |name| {
            let value = headers.get(name);
            value.and_then(|value| value.to_str().ok()).unwrap_or_default()
        };
        if header(http::header::SEC_WEBSOCKET_ACCEPT) != derive_accept_key(self.key.as_bytes()) {
            return Err(HandshakeError::Key);
        }
        let chosen = header(http::header::SEC_WEBSOCKET_PROTOCOL);
        if chosen != self.protocol {
            let chosen = chosen.to_owned();
            return Err(HandshakeError::Protocol { chosen });
        }
        Ok(())
    }
}
