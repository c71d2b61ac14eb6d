//! From an HTTP/1.1 request to a connection of another protocol: WebSocket, or SPDY/3.1 of older clients.
//!
//! Source: RFC 9110, section 7.8; RFC 6455, section 4.2; `X-Stream-Protocol-Version` as Kubernetes' clients use it.

use api::node_stream::Streams;
use axum::body::Body;
use bytes::Bytes;
use futures::Stream;
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode, header};
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tracing::debug;

use super::{
    channels::{Coding, Subprotocol},
    remote::{Client, ClientGone},
    spdy_client, websocket,
    wire::{self, Connection, Transport},
};
use crate::{engine::ApiError, rest::Context};

const STREAM_PROTOCOL: HeaderName = HeaderName::from_static("x-stream-protocol-version");
const SPDY: &str = "SPDY/3.1";
/// The SPDY frames of a port-forward in WebSocket messages.
const TUNNEL: &str = "SPDY/3.1+portforward.k8s.io";
const PORT_FORWARD: &str = "portforward.k8s.io";
/// The messages of a log are its bytes.
const LOG: [(Coding, &str); 2] = [
    (Coding::Binary, "binary.k8s.io"),
    (Coding::Base64, "base64.binary.k8s.io"),
];
/// Over SPDY, in the order that is preferred here.
const REMOTE_COMMAND: [&str; 4] = [
    "v4.channel.k8s.io",
    "v3.channel.k8s.io",
    "v2.channel.k8s.io",
    "channel.k8s.io",
];

/// What a connection becomes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wire {
    WebSocket(Subprotocol),
    Tunnel,
    Log(Coding),
    Spdy(&'static str),
}

/// A connection that can become another.
pub(super) struct Offer {
    on_upgrade: OnUpgrade,
    wire: Wire,
    answer: Response<Body>,
}

/// For exec and attach.
pub(super) struct RemoteCommandOffer(Offer);

/// For portforward.
pub(super) struct PortForwardOffer(Offer);

/// For a log.
pub(super) struct LogOffer(Offer, Coding);

/// The protocol of a client of exec or attach.
///
/// # Errors
/// When the request asks for no other protocol, or for none that is known.
pub(super) fn remote_command(context: &Context) -> Result<RemoteCommandOffer, ApiError> {
    if is_websocket(&context.headers) {
        let offered = list(&context.headers, &header::SEC_WEBSOCKET_PROTOCOL);
        let subprotocol = Subprotocol::choose(&offered).ok_or_else(|| unknown(&offered))?;
        let offer = websocket_offer(context, Wire::WebSocket(subprotocol), subprotocol.name);
        return offer.map(RemoteCommandOffer);
    }
    spdy_offer(context, &REMOTE_COMMAND).map(RemoteCommandOffer)
}

/// The protocol of a client of portforward.
///
/// # Errors
/// When the request asks for no other protocol, or for none that is known.
pub(super) fn port_forward(context: &Context) -> Result<PortForwardOffer, ApiError> {
    if is_websocket(&context.headers) {
        let offered = list(&context.headers, &header::SEC_WEBSOCKET_PROTOCOL);
        if !offered.iter().any(|name| name == TUNNEL) {
            return Err(unknown(&offered));
        }
        return websocket_offer(context, Wire::Tunnel, TUNNEL).map(PortForwardOffer);
    }
    spdy_offer(context, &[PORT_FORWARD]).map(PortForwardOffer)
}

/// The protocol of a client that reads a log as messages; none if it reads it as a body.
///
/// # Errors
/// When the request asks for a protocol that is not known.
pub(super) fn log(context: &Context) -> Result<Option<LogOffer>, ApiError> {
    if !is_websocket(&context.headers) {
        return Ok(None);
    }
    let offered = list(&context.headers, &header::SEC_WEBSOCKET_PROTOCOL);
    let (coding, name) = match offered.as_slice() {
        [] => (Coding::Binary, ""),
        offered => LOG
            .iter()
            .find(|(_, name)| offered.iter().any(|offered| offered == name))
            .copied()
            .ok_or_else(|| unknown(offered))?,
    };
    let offer = websocket_offer(context, Wire::Log(coding), name)?;
    Ok(Some(LogOffer(offer, coding)))
}

/// Whether a request asks for WebSocket.
fn is_websocket(headers: &HeaderMap) -> bool {
    asks_for(headers, "websocket")
}

impl RemoteCommandOffer {
    /// Answers; `serve` gets the client when the connection has become another.
    pub(super) fn accept<F>(self, streams: Streams, serve: impl FnOnce(Client) -> F + Send + 'static) -> Response<Body>
    where
        F: Future<Output = ()> + Send,
    {
        let wire = self.0.wire;
        self.0.accept(move |connection| async move {
            let client = match wire {
                Wire::WebSocket(subprotocol) => {
                    let first = subprotocol.first(streams.stdout, streams.stderr);
                    websocket::client(connection, subprotocol, first).await
                }
                Wire::Spdy(version) => spdy_client::client(wire::spdy(connection), streams, version).await,
                Wire::Tunnel | Wire::Log(_) => return,
            };
            match client {
                Ok(client) => serve(client).await,
                Err(ClientGone) => debug!("a client went before it had begun"),
            }
        })
    }
}

impl PortForwardOffer {
    /// Answers; `serve` gets the frames when the connection has become another.
    pub(super) fn accept<F>(self, serve: impl FnOnce(Transport) -> F + Send + 'static) -> Response<Body>
    where
        F: Future<Output = ()> + Send,
    {
        let wire = self.0.wire;
        self.0.accept(move |connection| async move {
            match wire {
                Wire::Tunnel => serve(websocket::tunnel(connection).await).await,
                Wire::Spdy(_) => serve(wire::spdy(connection)).await,
                Wire::WebSocket(_) | Wire::Log(_) => {}
            }
        })
    }
}

impl LogOffer {
    /// Answers; what comes in `bytes` is sent when the connection has become another, until the client goes. `held` is
    /// kept until then.
    pub(super) fn accept(
        self,
        bytes: impl Stream<Item = Bytes> + Send + 'static,
        held: impl Send + 'static,
    ) -> Response<Body> {
        let LogOffer(offer, coding) = self;
        offer.accept(move |connection| async move {
            websocket::send_all(connection, coding, bytes).await;
            drop(held);
        })
    }
}

impl Offer {
    fn accept<F>(self, serve: impl FnOnce(Connection) -> F + Send + 'static) -> Response<Body>
    where
        F: Future<Output = ()> + Send,
    {
        let on_upgrade = self.on_upgrade;
        tokio::spawn(async move {
            match on_upgrade.await {
                Ok(upgraded) => serve(TokioIo::new(upgraded)).await,
                Err(error) => debug!(
                    error = &error as &dyn std::error::Error,
                    "a connection stayed what it was"
                ),
            }
        });
        self.answer
    }
}

fn websocket_offer(context: &Context, wire: Wire, subprotocol: &'static str) -> Result<Offer, ApiError> {
    let headers = &context.headers;
    let version = headers.get(header::SEC_WEBSOCKET_VERSION).map(HeaderValue::as_bytes);
    if version != Some(b"13") {
        return Err(ApiError::BadRequest("the WebSocket version must be 13".to_owned()));
    }
    let key = headers.get(header::SEC_WEBSOCKET_KEY);
    let key = key.ok_or_else(|| ApiError::BadRequest("Sec-WebSocket-Key is missing".to_owned()))?;
    let accept = HeaderValue::from_str(&derive_accept_key(key.as_bytes())).expect("base64 makes a header");
    let mut offer = offer(context, wire, "websocket")?;
    let answer = offer.answer.headers_mut();
    answer.insert(header::SEC_WEBSOCKET_ACCEPT, accept);
    if !subprotocol.is_empty() {
        answer.insert(header::SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(subprotocol));
    }
    Ok(offer)
}

fn spdy_offer(context: &Context, known: &[&'static str]) -> Result<Offer, ApiError> {
    if !asks_for(&context.headers, SPDY) {
        return Err(ApiError::BadRequest("Upgrade request required".to_owned()));
    }
    let offered = list(&context.headers, &STREAM_PROTOCOL);
    // Who names none is older than the names.
    let version = match (offered.as_slice(), known.last()) {
        ([], Some(oldest)) => *oldest,
        _ => known
            .iter()
            .find(|known| offered.iter().any(|name| name == **known))
            .copied()
            .ok_or_else(|| unknown(&offered))?,
    };
    let mut offer = offer(context, Wire::Spdy(version), SPDY)?;
    let answer = offer.answer.headers_mut();
    answer.insert(STREAM_PROTOCOL, HeaderValue::from_static(version));
    Ok(offer)
}

fn offer(context: &Context, wire: Wire, protocol: &'static str) -> Result<Offer, ApiError> {
    // HTTP/2 has no such thing.
    let on_upgrade = context.on_upgrade.clone();
    let on_upgrade = on_upgrade.ok_or_else(|| ApiError::BadRequest("Upgrade request required".to_owned()))?;
    let mut answer = Response::new(Body::empty());
    *answer.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = answer.headers_mut();
    headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(header::UPGRADE, HeaderValue::from_static(protocol));
    Ok(Offer {
        on_upgrade,
        wire,
        answer,
    })
}

fn unknown(offered: &[String]) -> ApiError {
    ApiError::BadRequest(format!(
        "unable to upgrade: unable to negotiate protocol: none of {offered:?} is known"
    ))
}

fn asks_for(headers: &HeaderMap, protocol: &str) -> bool {
    let has =
        |name: &HeaderName, wanted: &str| list(headers, name).iter().any(|word| word.eq_ignore_ascii_case(wanted));
    has(&header::CONNECTION, "upgrade") && has(&header::UPGRADE, protocol)
}

/// The words of a header that is a list, or comes more than once.
fn list(headers: &HeaderMap, name: &HeaderName) -> Vec<String> {
    let values = headers
        .get_all(name)
        .into_iter()
        .filter_map(|value| value.to_str().ok());
    values
        .flat_map(|value| value.split(','))
        .map(|word| word.trim().to_owned())
        .filter(|word| !word.is_empty())
        .collect()
}
