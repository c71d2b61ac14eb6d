//! A TLS connection to the control plane, verified by the cluster's own authority or by its fingerprint.
//!
//! Never here: what is said over it. Source: RFC 8446, RFC 5280; rustls (the web's authorities are not trusted here).

use std::{fmt, io, net::IpAddr, sync::Arc, time::Duration};

use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, OtherError, RootCertStore, SignatureScheme,
    client::{
        WebPkiServerVerifier,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature},
};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use sha2::{Digest, Sha256};
use tokio::{net::TcpStream, time::timeout};
use tokio_rustls::{TlsConnector, client::TlsStream};
use tonic::transport::{Channel, Endpoint, Uri};

/// A server that does not answer within this is not there; the caller tries again.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// A dead peer is found after an interval and a timeout, also when nothing is being sent.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(10);
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(10);
/// Bytes the server may send ahead of the reader; a snapshot of a large cluster is tens of megabytes.
const WINDOW_BYTES: u32 = 4 << 20;
/// The API server's usual port.
const DEFAULT_PORT: u16 = 6443;

/// SHA-256 of a certificate's DER.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Fingerprint(pub [u8; 32]);

impl Fingerprint {
    /// The fingerprint of a certificate.
    #[must_use]
    pub fn of(certificate: &CertificateDer<'_>) -> Fingerprint {
        Fingerprint(Sha256::digest(certificate).into())
    }

    /// Parses 64 hexadecimal digits.
    #[must_use]
    pub fn parse(text: &str) -> Option<Fingerprint> {
        if text.len() != 64 || !text.is_ascii() {
            return None;
        }
        let mut bytes = [0; 32];
        for (index, byte) in bytes.iter_mut().enumerate() {
            *byte = u8::from_str_radix(text.get(2 * index..2 * index + 2)?, 16).ok()?;
        }
        Some(Fingerprint(bytes))
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sha256:{self}")
    }
}

/// Where the control plane is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerAddress {
    host: String,
    port: u16,
}

impl fmt::Display for ServerAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "https://[{}]:{}", self.host, self.port)
        } else {
            write!(f, "https://{}:{}", self.host, self.port)
        }
    }
}

/// The server's address cannot be understood.
#[derive(Debug, thiserror::Error)]
#[error("{0:?} is not a server address; it looks like https://192.0.2.1:6443")]
pub struct BadServerAddress(pub String);

impl std::str::FromStr for ServerAddress {
    type Err = BadServerAddress;

    fn from_str(text: &str) -> Result<ServerAddress, BadServerAddress> {
        let bad = || BadServerAddress(text.to_owned());
        let uri: Uri = text.parse().map_err(|_| bad())?;
        let host = uri.host().filter(|host| !host.is_empty()).ok_or_else(bad)?;
        let plain_path = matches!(uri.path(), "" | "/");
        if uri.scheme_str() != Some("https") || !plain_path || uri.query().is_some() {
            return Err(bad());
        }
        Ok(ServerAddress {
            host: host.trim_start_matches('[').trim_end_matches(']').to_owned(),
            port: uri.port_u16().unwrap_or(DEFAULT_PORT),
        })
    }
}

/// Whom to trust, and who we are.
pub enum Credentials {
    /// The authority with this fingerprint must have signed the server's certificate and be in its chain; we have no
    /// certificate.
    Pin(Fingerprint),
    /// This authority must have signed the server's certificate; we show ours.
    Mutual {
        /// The cluster's authority.
        authority: CertificateDer<'static>,
        /// Our certificate and those it was signed with.
        chain: Vec<CertificateDer<'static>>,
        /// Our key.
        key: PrivateKeyDer<'static>,
    },
}

/// No connection to the control plane.
#[derive(Debug, thiserror::Error)]
pub enum DialError {
    /// The key or a certificate is unusable.
    #[error("use the node's certificate")]
    Credentials(#[source] rustls::Error),
    /// The host has no address, or nothing accepts connections there.
    #[error("connect to {server}")]
    Connect {
        /// The server.
        server: ServerAddress,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// No answer in time.
    #[error("connect to {server}: no answer within {} s", CONNECT_TIMEOUT.as_secs())]
    Timeout {
        /// The server.
        server: ServerAddress,
    },
    /// The server is not of the cluster that the token is for.
    #[error(
        "{server} does not present the certificate authority that the token names (sha256 {pin}); the token is for \
         another cluster, or something sits in between: take the token from the file join-token in the server's data \
         directory"
    )]
    PinMismatch {
        /// The server.
        server: ServerAddress,
        /// What the token names.
        pin: Fingerprint,
    },
    /// The server is not of the cluster that this node has joined.
    #[error(
        "the certificate of {server} is not signed by the authority of the cluster this node has joined; to join \
         another cluster, run the agent's cleanup and start with an empty data directory"
    )]
    OtherCluster {
        /// The server.
        server: ServerAddress,
        /// What rustls said.
        #[source]
        source: io::Error,
    },
    /// The handshake failed.
    #[error("agree on TLS with {server}")]
    Handshake {
        /// The server.
        server: ServerAddress,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// HTTP/2 did not start.
    #[error("start HTTP/2 with {server}")]
    Http {
        /// The server.
        server: ServerAddress,
        /// Why.
        #[source]
        source: tonic::transport::Error,
    },
}

/// Connects. The channel is this one connection: when it ends, calls fail and the caller dials again.
///
/// # Errors
/// [`DialError::PinMismatch`], [`DialError::OtherCluster`] and [`DialError::Credentials`] stay until somebody changes
/// something; the others may pass.
pub async fn dial(server: &ServerAddress, credentials: &Credentials) -> Result<Channel, DialError> {
    let config = client_config(credentials).map_err(DialError::Credentials)?;
    let stream = timeout(CONNECT_TIMEOUT, connect(server, config, credentials))
        .await
        .unwrap_or_else(|_| Err(DialError::Timeout { server: server.clone() }))?;
    over(server, stream).await
}

async fn connect(
    server: &ServerAddress,
    config: ClientConfig,
    credentials: &Credentials,
) -> Result<TlsStream<TcpStream>, DialError> {
    let connect_error = |source| DialError::Connect {
        server: server.clone(),
        source,
    };
    let name = match server.host.parse::<IpAddr>() {
        Ok(ip) => ServerName::from(ip),
        Err(_) => ServerName::try_from(server.host.clone())
            .map_err(|err| connect_error(io::Error::new(io::ErrorKind::InvalidInput, err)))?,
    };
    let tcp = TcpStream::connect((server.host.as_str(), server.port))
        .await
        .map_err(connect_error)?;
    tcp.set_nodelay(true).map_err(connect_error)?;
    TlsConnector::from(Arc::new(config))
        .connect(name, tcp)
        .await
        .map_err(|source| refusal(server, credentials, source))
}

/// What a failed handshake means to whoever runs the agent.
fn refusal(server: &ServerAddress, credentials: &Credentials, source: io::Error) -> DialError {
    let certificate_error = match source.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
        Some(rustls::Error::InvalidCertificate(err)) => Some(err.clone()),
        _ => None,
    };
    let server = server.clone();
    match (credentials, certificate_error) {
        (
            Credentials::Pin(pin),
            Some(CertificateError::Other(_) | CertificateError::UnknownIssuer | CertificateError::BadSignature),
        ) => DialError::PinMismatch { server, pin: *pin },
        (Credentials::Mutual { .. }, Some(CertificateError::UnknownIssuer | CertificateError::BadSignature)) => {
            DialError::OtherCluster { server, source }
        }
        _ => DialError::Handshake { server, source },
    }
}

async fn over(server: &ServerAddress, stream: TlsStream<TcpStream>) -> Result<Channel, DialError> {
    let http_error = |source| DialError::Http {
        server: server.clone(),
        source,
    };
    let endpoint = Endpoint::from_shared(server.to_string())
        .map_err(http_error)?
        .http2_keep_alive_interval(KEEPALIVE_INTERVAL)
        .keep_alive_timeout(KEEPALIVE_TIMEOUT)
        .keep_alive_while_idle(true)
        .initial_stream_window_size(WINDOW_BYTES)
        .initial_connection_window_size(WINDOW_BYTES);
    let once = Arc::new(Mutex::new(Some(stream)));
    endpoint
        .connect_with_connector(tower::service_fn(move |_: Uri| {
            let stream = once.lock().take();
            async move {
                stream
                    .map(TokioIo::new)
                    .ok_or_else(|| io::Error::new(io::ErrorKind::NotConnected, "the connection has ended"))
            }
        }))
        .await
        .map_err(http_error)
}

fn client_config(credentials: &Credentials) -> Result<ClientConfig, rustls::Error> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider.clone()).with_safe_default_protocol_versions()?;
    let mut config = match credentials {
        Credentials::Pin(pin) => builder
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(PinVerifier { pin: *pin, provider }))
            .with_no_client_auth(),
        Credentials::Mutual { authority, chain, key } => {
            let mut roots = RootCertStore::empty();
            roots.add(authority.clone())?;
            builder
                .with_root_certificates(roots)
                .with_client_auth_cert(chain.clone(), key.clone_key())?
        }
    };
    config.alpn_protocols = vec![b"h2".to_vec()];
    Ok(config)
}

/// Trusts whatever the authority of one fingerprint has signed for the server's name.
#[derive(Debug)]
struct PinVerifier {
    pin: Fingerprint,
    provider: Arc<CryptoProvider>,
}

/// No certificate of the chain has the fingerprint.
#[derive(Debug, thiserror::Error)]
#[error("no certificate in the server's chain has the fingerprint {0:?}")]
struct NotInChain(Fingerprint);

impl ServerCertVerifier for PinVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let authority = intermediates
            .iter()
            .find(|certificate| Fingerprint::of(certificate) == self.pin)
            .ok_or_else(|| {
                rustls::Error::InvalidCertificate(CertificateError::Other(OtherError(Arc::new(NotInChain(self.pin)))))
            })?;
        let mut roots = RootCertStore::empty();
        roots.add(authority.clone().into_owned())?;
        WebPkiServerVerifier::builder_with_provider(Arc::new(roots), self.provider.clone())
            .build()
            .map_err(|err| rustls::Error::General(err.to_string()))?
            .verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests;
