//! HTTPS requests to what an object's configuration names.
//!
//! Every request has a connection of its own.

use std::{error::Error, io, time::Duration};

use axum::body::Body;
use bytes::Bytes;
use http::{Method, Request, StatusCode, header};
use http_body_util::{BodyExt as _, Limited};
use hyper_util::rt::TokioIo;
use rustls::pki_types::InvalidDnsNameError;

use super::{Destination, pod::Stream};
use crate::{
    engine::{ApiError, Engine, chain},
    stream::Nodes,
};

/// Bytes of an answer that are read: as many as an object may have, and its frame.
const ANSWER_BYTES_MAX: usize = 4 << 20;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CallError {
    /// The configuration says neither a URL nor a service that can be used.
    #[error("clientConfig names no URL and no service")]
    NoDestination,
    /// The CA bundle is no list of certificates.
    #[error("unable to load root certificates: the caBundle has none")]
    NoRoots,
    /// The host's name is none.
    #[error("{0:?} is not a host name")]
    HostName(String, #[source] InvalidDnsNameError),
    /// The service, or a pod of it, cannot be found or reached.
    #[error("reach the service")]
    Service(#[source] Box<ApiError>),
    /// No connection to the host.
    #[error("connect to {0}")]
    Connect(String, #[source] io::Error),
    /// The other side's certificate is not good, or it does not speak TLS.
    #[error("TLS")]
    Tls(#[source] io::Error),
    /// The connection broke, or what came is not HTTP.
    #[error("HTTP")]
    Http(#[source] hyper::Error),
    /// The answer is too long or ended early.
    #[error("read the answer")]
    Answer(#[source] Box<dyn Error + Send + Sync>),
    /// It took too long.
    #[error("context deadline exceeded")]
    TooLate,
}

/// Sends a JSON document to a webhook and answers what it answers.
///
/// # Errors
/// Why there is no good answer in time, in the words that clients are told.
pub(crate) async fn post(
    engine: &Engine,
    nodes: &Nodes,
    destination: &Destination,
    body: Vec<u8>,
    time: Duration,
) -> Result<Bytes, String> {
    let request = posted(destination, body, time);
    match send(engine, nodes, destination, request, time).await {
        Ok((status, answer)) if status.is_success() => Ok(answer),
        Ok((status, _)) => Err(format!("the server answered {status}")),
        Err(error) => {
            let (url, seconds) = (destination.url(), time.as_secs());
            Err(format!("Post \"{url}?timeout={seconds}s\": {}", chain(&error)))
        }
    }
}

/// Sends a request and answers what comes back.
///
/// # Errors
/// When nothing comes back in time.
pub(crate) async fn send(
    engine: &Engine,
    nodes: &Nodes,
    destination: &Destination,
    mut request: Request<Body>,
    time: Duration,
) -> Result<(StatusCode, Bytes), CallError> {
    if let Ok(host) = http::HeaderValue::from_str(&destination.server_name()) {
        request.headers_mut().insert(header::HOST, host);
    }
    let sent = async { exchange(destination.connect(engine, nodes, ()).await?, request).await };
    tokio::time::timeout(time, sent).await.map_err(|_| CallError::TooLate)?
}

fn posted(destination: &Destination, body: Vec<u8>, time: Duration) -> Request<Body> {
    let separator = if destination.path.contains('?') { '&' } else { '?' };
    let uri = format!("{}{separator}timeout={}s", destination.path, time.as_secs());
    let mut request = Request::new(Body::from(body));
    *request.method_mut() = Method::POST;
    *request.uri_mut() = uri.parse().unwrap_or_default();
    let headers = request.headers_mut();
    let json = http::HeaderValue::from_static("application/json");
    headers.insert(header::CONTENT_TYPE, json.clone());
    headers.insert(header::ACCEPT, json);
    request
}

async fn exchange(stream: Box<dyn Stream>, request: Request<Body>) -> Result<(StatusCode, Bytes), CallError> {
    let shaken = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await;
    let (mut sender, connection) = shaken.map_err(CallError::Http)?;
    // What goes wrong with the connection is told to the request on it.
    let driven = tokio::spawn(connection);
    let answer = async {
        let answer = sender.send_request(request).await.map_err(CallError::Http)?;
        let status = answer.status();
        let body = Limited::new(answer.into_body(), ANSWER_BYTES_MAX).collect().await;
        Ok((status, body.map_err(CallError::Answer)?.to_bytes()))
    };
    let answer = answer.await;
    driven.abort();
    answer
}
