//! HTTPS requests to what an object's `clientConfig` names: a URL, or a service of the cluster.
//!
//! Every request has a connection of its own. Whose certificate it must be is said by the configuration: the service's
//! name in the cluster, or the URL's host.
//! Source: Kubernetes API reference, WebhookClientConfig; "Dynamic Admission Control", "Contacting the webhook".

use std::{
    error::Error,
    io,
    sync::{Arc, OnceLock},
    time::Duration,
};

use axum::body::Body;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use http::{Method, Request, StatusCode, Uri, header};
use http_body_util::{BodyExt as _, Limited};
use hyper_util::rt::TokioIo;
use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, InvalidDnsNameError, ServerName, pem::PemObject as _},
};
use serde_json::Value;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::{Scheme, Target, place, pod};
use crate::{
    driver::resource_of,
    engine::{ApiError, Engine},
    stream::Nodes,
};

/// Bytes of an answer that are read: as many as an object may have, and its frame.
const ANSWER_BYTES_MAX: usize = 4 << 20;
const HTTPS_PORT: u16 = 443;

/// Where a request goes.
#[derive(Debug)]
pub(crate) struct Destination {
    at: At,
    path: String,
    /// The certificates to trust, in PEM; the system's if there are none.
    ca_pem: Vec<u8>,
    /// Made from them for the first request; kept, so that sessions are resumed.
    tls: OnceLock<Arc<ClientConfig>>,
}

#[derive(Debug)]
enum At {
    Url { host: String, port: u16 },
    Service { namespace: String, name: String, port: u16 },
}

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

impl Destination {
    /// Reads a `clientConfig`.
    ///
    /// # Errors
    /// When it names nothing that can be asked.
    pub(crate) fn parse(config: &Value) -> Result<Destination, CallError> {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let ca_pem = STANDARD.decode(text(&config["caBundle"])).unwrap_or_default();
        if let Some(url) = config["url"].as_str() {
            let uri: Uri = url.parse().map_err(|_| CallError::NoDestination)?;
            return Ok(Destination {
                at: At::Url {
                    host: uri.host().ok_or(CallError::NoDestination)?.to_owned(),
                    port: uri.port_u16().unwrap_or(HTTPS_PORT),
                },
                path: uri.path_and_query().map_or_else(|| "/".to_owned(), ToString::to_string),
                ca_pem,
                tls: OnceLock::new(),
            });
        }
        let service = &config["service"];
        if !service.is_object() {
            return Err(CallError::NoDestination);
        }
        let path = text(&service["path"]);
        Ok(Destination {
            at: At::Service {
                namespace: text(&service["namespace"]),
                name: text(&service["name"]),
                port: service["port"]
                    .as_u64()
                    .and_then(|port| u16::try_from(port).ok())
                    .unwrap_or(HTTPS_PORT),
            },
            path: if path.starts_with('/') {
                path
            } else {
                format!("/{path}")
            },
            ca_pem,
            tls: OnceLock::new(),
        })
    }

    fn tls(&self) -> Result<TlsConnector, CallError> {
        let config = match self.tls.get() {
            Some(made) => made,
            None => {
                let made = Arc::new(client_config(&self.ca_pem)?);
                self.tls.get_or_init(|| made)
            }
        };
        Ok(TlsConnector::from(config.clone()))
    }

    /// The name that its certificate must have.
    fn server_name(&self) -> String {
        match &self.at {
            At::Url { host, .. } => host.trim_matches(['[', ']']).to_owned(),
            At::Service { namespace, name, .. } => format!("{name}.{namespace}.svc"),
        }
    }

    /// As errors name it.
    pub(crate) fn url(&self) -> String {
        match &self.at {
            At::Url { host, port: HTTPS_PORT } => format!("https://{host}{}", self.path),
            At::Url { host, port } => format!("https://{host}:{port}{}", self.path),
            At::Service { port, .. } => format!("https://{}:{port}{}", self.server_name(), self.path),
        }
    }
}

/// Sends a JSON document and answers what comes back.
///
/// # Errors
/// When nothing comes back in time.
pub(crate) async fn post(
    engine: &Engine,
    nodes: &Nodes,
    destination: &Destination,
    body: Vec<u8>,
    time: Duration,
) -> Result<(StatusCode, Bytes), CallError> {
    let called = call(engine, nodes, destination, body, time);
    tokio::time::timeout(time, called)
        .await
        .map_err(|_| CallError::TooLate)?
}

async fn call(
    engine: &Engine,
    nodes: &Nodes,
    destination: &Destination,
    body: Vec<u8>,
    time: Duration,
) -> Result<(StatusCode, Bytes), CallError> {
    let name = destination.server_name();
    let server_name = ServerName::try_from(name.clone()).map_err(|error| CallError::HostName(name.clone(), error))?;
    let tls = destination.tls()?;
    let request = request(destination, &name, body, time);
    match &destination.at {
        At::Url { host, port } => {
            let address = (host.trim_matches(['[', ']']), *port);
            let stream = TcpStream::connect(address).await;
            let stream = stream.map_err(|error| CallError::Connect(format!("{host}:{port}"), error))?;
            exchange(tls.connect(server_name, stream).await.map_err(CallError::Tls)?, request).await
        }
        At::Service { namespace, name, port } => {
            let service = |error| CallError::Service(Box::new(error));
            let port = port.to_string();
            let target = Target {
                scheme: Scheme::Https,
                name,
                port: &port,
            };
            let place = place(engine, resource_of(api::Kind::Service), namespace, target);
            let place = place.await.map_err(service)?;
            let stream = pod::connect(nodes, &place, ()).await.map_err(service)?;
            exchange(tls.connect(server_name, stream).await.map_err(CallError::Tls)?, request).await
        }
    }
}

fn request(destination: &Destination, host: &str, body: Vec<u8>, time: Duration) -> Request<Body> {
    let separator = if destination.path.contains('?') { '&' } else { '?' };
    let uri = format!("{}{separator}timeout={}s", destination.path, time.as_secs());
    let mut request = Request::new(Body::from(body));
    *request.method_mut() = Method::POST;
    *request.uri_mut() = uri.parse().unwrap_or_default();
    let headers = request.headers_mut();
    let json = http::HeaderValue::from_static("application/json");
    headers.insert(header::CONTENT_TYPE, json.clone());
    headers.insert(header::ACCEPT, json);
    if let Ok(host) = http::HeaderValue::from_str(host) {
        headers.insert(header::HOST, host);
    }
    request
}

async fn exchange<Stream>(stream: Stream, request: Request<Body>) -> Result<(StatusCode, Bytes), CallError>
where
    Stream: tokio::io::AsyncRead + tokio::io::AsyncWrite + Send + Unpin + 'static,
{
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

fn client_config(ca_pem: &[u8]) -> Result<ClientConfig, CallError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("ring has the default versions");
    let mut roots = RootCertStore::empty();
    if ca_pem.is_empty() {
        for certificate in rustls_native_certs::load_native_certs().certs {
            // One that cannot be used is one that nobody is trusted by.
            let _ = roots.add(certificate);
        }
    } else {
        for certificate in CertificateDer::pem_slice_iter(ca_pem) {
            let certificate = certificate.map_err(|_| CallError::NoRoots)?;
            roots.add(certificate).map_err(|_| CallError::NoRoots)?;
        }
        if roots.is_empty() {
            return Err(CallError::NoRoots);
        }
    }
    Ok(builder.with_root_certificates(roots).with_no_client_auth())
}

#[cfg(test)]
mod tests;
