//! Asking an issuer for its documents: HTTPS only, verified, in bounded time and size.
//!
//! Never here: what the documents mean.

use std::{io, path::Path, path::PathBuf, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{Request, StatusCode, Uri, header};
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper_util::rt::TokioIo;
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::ServerName;
use serde_json::Value;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::parse_url;

/// A request waits for this answer.
const FETCH_TIMEOUT: Duration = Duration::from_secs(10);
/// Bytes of a document; those of large issuers have some ten thousand.
const DOCUMENT_BYTES_MAX: usize = 1 << 20;
const HTTPS_PORT: u16 = 443;

/// Tokens of the issuer cannot be checked with this configuration.
#[derive(Debug, thiserror::Error)]
pub enum OpenOidcError {
    /// The issuer's URL cannot be used.
    #[error("the issuer {0:?} is not a URL of the form https://HOST[:PORT][/PATH]")]
    Issuer(String),
    /// Its tokens could not be told from those of this server.
    #[error("the issuer {0:?} is the one of this server's own tokens")]
    OwnIssuer(String),
    /// The authorities' file cannot be read.
    #[error("read {path}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// There is no authority that could vouch for the issuer.
    #[error("{0} holds no certificate of an authority")]
    NoAuthority(String),
    /// TLS cannot be set up.
    #[error("set up TLS to the issuer")]
    Tls(#[source] rustls::Error),
}

/// A document of the issuer cannot be had.
#[derive(Debug, thiserror::Error)]
pub(super) enum FetchError {
    /// The URL cannot be used.
    #[error("{0:?} is not a URL of the form https://HOST[:PORT][/PATH]")]
    Url(String),
    /// No connection.
    #[error("connect to {host}")]
    Connect {
        /// Host and port.
        host: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// HTTP has failed.
    #[error("ask {url}")]
    Http {
        /// What was asked for.
        url: String,
        /// Why.
        #[source]
        source: hyper::Error,
    },
    /// Not 200.
    #[error("{url} answers {status}")]
    Status {
        /// What was asked for.
        url: String,
        /// The answer.
        status: StatusCode,
    },
    /// The document broke off or is too large.
    #[error("read the answer of {url}")]
    Body {
        /// What was asked for.
        url: String,
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The document is not JSON.
    #[error("{url} answers no JSON")]
    Json {
        /// What was asked for.
        url: String,
        /// Why.
        #[source]
        source: serde_json::Error,
    },
    /// No answer in time.
    #[error("{0} did not answer in time")]
    Timeout(String),
    /// The discovery document is another's.
    #[error("the discovery document is of the issuer {0}")]
    OtherIssuer(String),
    /// The discovery document names no keys.
    #[error("the discovery document has no jwks_uri")]
    NoKeySet,
}

/// Asks an issuer.
pub(super) struct Fetcher {
    tls: TlsConnector,
}

impl Fetcher {
    /// For an issuer that these authorities vouch for, or the system's.
    pub(super) fn new(issuer_url: &str, ca_file: Option<&Path>) -> Result<Fetcher, OpenOidcError> {
        parse_url(issuer_url).ok_or_else(|| OpenOidcError::Issuer(issuer_url.to_owned()))?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(OpenOidcError::Tls)?
            .with_root_certificates(roots(ca_file)?)
            .with_no_client_auth();
        Ok(Fetcher {
            tls: TlsConnector::from(Arc::new(config)),
        })
    }

    /// The JSON document of a URL.
    pub(super) async fn get(&self, url: &str) -> Result<Value, FetchError> {
        let bytes = tokio::time::timeout(FETCH_TIMEOUT, self.bytes(url))
            .await
            .map_err(|_| FetchError::Timeout(url.to_owned()))??;
        serde_json::from_slice(&bytes).map_err(|source| FetchError::Json {
            url: url.to_owned(),
            source,
        })
    }

    async fn bytes(&self, url: &str) -> Result<Bytes, FetchError> {
        let http_error = |source| FetchError::Http {
            url: url.to_owned(),
            source,
        };
        let uri: Uri = parse_url(url).ok_or_else(|| FetchError::Url(url.to_owned()))?;
        let host = uri.host().unwrap_or_default().trim_matches(['[', ']']).to_owned();
        let port = uri.port_u16().unwrap_or(HTTPS_PORT);
        let connect_error = |source| FetchError::Connect {
            host: format!("{host}:{port}"),
            source,
        };
        let name = ServerName::try_from(host.clone()).map_err(|_| FetchError::Url(url.to_owned()))?;
        let stream = TcpStream::connect((host.as_str(), port)).await.map_err(connect_error)?;
        let stream = self.tls.connect(name, stream).await.map_err(connect_error)?;
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
            .await
            .map_err(http_error)?;
        let connection = tokio::spawn(connection);
        let request = Request::get(uri.path())
            .header(
                header::HOST,
                uri.authority().map_or_else(String::new, ToString::to_string),
            )
            .header(header::ACCEPT, "application/json")
            .body(Empty::<Bytes>::new())
            .expect("path and host are parts of a URL that was parsed");
        let response = sender.send_request(request).await.map_err(http_error)?;
        let status = response.status();
        if status != StatusCode::OK {
            return Err(FetchError::Status {
                url: url.to_owned(),
                status,
            });
        }
        let body = Limited::new(response.into_body(), DOCUMENT_BYTES_MAX).collect().await;
        connection.abort();
        body.map(http_body_util::Collected::to_bytes)
            .map_err(|source| FetchError::Body {
                url: url.to_owned(),
                source,
            })
    }
}

fn roots(ca_file: Option<&Path>) -> Result<RootCertStore, OpenOidcError> {
    let (certificates, from) = match ca_file {
        Some(path) => {
            let pem = std::fs::read(path).map_err(|source| OpenOidcError::Read {
                path: path.to_owned(),
                source,
            })?;
            let certificates = rustls_pemfile::certs(&mut &*pem).filter_map(Result::ok).collect();
            (certificates, path.display().to_string())
        }
        None => (rustls_native_certs::load_native_certs().certs, "the system".to_owned()),
    };
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(certificates);
    if roots.is_empty() {
        return Err(OpenOidcError::NoAuthority(from));
    }
    Ok(roots)
}
