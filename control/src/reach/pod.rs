//! A connection to a pod for HTTP: through the node's stream, with TLS if it is wanted.
//!
//! Whom a pod's certificate names is not looked at, as upstream: the way to the pod is the cluster's own.

use std::sync::Arc;

use api::node_stream::{PortForwardRequest, request::Kind};
use futures::StreamExt as _;
use rustls::{
    ClientConfig, DigitallySignedStruct, SignatureScheme,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature},
    pki_types::{CertificateDer, ServerName, UnixTime},
};
use tokio::{
    io::{
        AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, DuplexStream, ReadHalf, WriteHalf, duplex, split,
    },
    sync::OwnedSemaphorePermit,
};
use tokio_rustls::TlsConnector;

use super::{
    begin,
    place::{Place, Scheme},
    unreachable,
};
use crate::{
    engine::ApiError,
    stream::{Feed, Nodes, Replies},
};

/// Bytes between HTTP and the node's stream, each way.
const BUFFER_BYTES: usize = 64 << 10;

/// What HTTP reads and writes.
pub(crate) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// Connects; the permit is held for as long as the connection lasts.
///
/// # Errors
/// When the node cannot be asked, or the pod does not take the connection.
pub(crate) async fn open(
    nodes: &Nodes,
    place: &Place,
    permit: OwnedSemaphorePermit,
) -> Result<Box<dyn Stream>, ApiError> {
    let stream = connect(nodes, place, permit).await?;
    match place.scheme {
        Scheme::Http => Ok(Box::new(stream)),
        Scheme::Https => {
            let name = ServerName::IpAddress(place.address.ip().into());
            let tls = TlsConnector::from(Arc::new(client_config()))
                .connect(name, stream)
                .await;
            tls.map(|tls| Box::new(tls) as Box<dyn Stream>)
                .map_err(|error| unreachable(&error.to_string()))
        }
    }
}

/// Connects, whatever the scheme; what is given to hold is held for as long as the connection lasts.
///
/// # Errors
/// When the node cannot be asked.
pub(super) async fn connect<Held: Send + 'static>(
    nodes: &Nodes,
    place: &Place,
    held: Held,
) -> Result<DuplexStream, ApiError> {
    let request = Kind::PortForward(PortForwardRequest {
        namespace: place.namespace.clone(),
        pod: place.pod.clone(),
        uid: place.uid.clone(),
        port: place.address.port().into(),
        at_pod_ip: true,
    });
    let begun = begin(nodes, &place.node, request).await;
    let (feed, replies) = begun.map_err(|error| unreachable(&error.to_string()))?;
    let (ours, theirs) = duplex(BUFFER_BYTES);
    tokio::spawn(async move {
        let (reader, writer) = split(ours);
        tokio::select! {
            () = up(replies, writer) => {}
            // HTTP has dropped its end: nobody reads.
            () = down(reader, &feed) => {}
        }
        drop(held);
    });
    Ok(theirs)
}

/// What the pod sends.
async fn up(mut replies: Replies, mut writer: WriteHalf<DuplexStream>) {
    while let Some(reply) = replies.next().await {
        if !reply.data.is_empty() && writer.write_all(&reply.data).await.is_err() {
            return;
        }
        if reply.channel_end && writer.shutdown().await.is_err() {
            return;
        }
    }
    // HTTP may have dropped its end.
    _ = writer.shutdown().await;
}

/// What HTTP sends; ends with its end of the connection.
async fn down(mut reader: ReadHalf<DuplexStream>, feed: &Feed) {
    let mut buffer = vec![0; BUFFER_BYTES];
    while let Ok(count) = reader.read(&mut buffer).await {
        if count == 0 || feed.data(&buffer[..count]).await.is_err() {
            return;
        }
    }
}

fn client_config() -> ClientConfig {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    ClientConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .expect("ring has the default versions")
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(AnyCertificate(provider)))
        .with_no_client_auth()
}

/// Takes any certificate whose key the other side has.
#[derive(Debug)]
struct AnyCertificate(Arc<CryptoProvider>);

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
