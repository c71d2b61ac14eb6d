//! A connection to a pod for HTTP: through the node's stream, with TLS if it is wanted. To who is no pod, from here.
//!
//! Whom a pod's certificate names is not looked at, as upstream: the way to the pod is the cluster's own.

use std::sync::Arc;

use api::node_stream::{PortForwardRequest, request::Kind};
use futures::StreamExt as _;
use rustls::pki_types::ServerName;
use tokio::{
    io::{
        AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, DuplexStream, ReadHalf, WriteHalf, duplex, split,
    },
    net::TcpStream,
    sync::OwnedSemaphorePermit,
};
use tokio_rustls::TlsConnector;

use super::{
    FIRST_REPLY_WAIT, begin,
    place::{Place, Scheme},
    tls::{self, Trust},
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
            let config = tls::client_config(&Trust::Any, None).map_err(|error| unreachable(&error.to_string()))?;
            let tls = TlsConnector::from(Arc::new(config)).connect(name, stream).await;
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
    let Some(pod) = &place.pod else {
        return connect_from_here(place, held).await;
    };
    let request = Kind::PortForward(PortForwardRequest {
        namespace: pod.namespace.clone(),
        pod: pod.name.clone(),
        uid: pod.uid.clone(),
        port: place.address.port().into(),
        at_pod_ip: true,
    });
    let begun = begin(nodes, &pod.node, request).await;
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

/// Connects to who is no pod.
async fn connect_from_here<Held: Send + 'static>(place: &Place, held: Held) -> Result<DuplexStream, ApiError> {
    let connected = tokio::time::timeout(FIRST_REPLY_WAIT, TcpStream::connect(place.address)).await;
    let connected = connected.map_err(|_| unreachable(&format!("connect to {}: timed out", place.address)))?;
    let mut stream = connected.map_err(|error| unreachable(&format!("connect to {}: {error}", place.address)))?;
    let (mut ours, theirs) = duplex(BUFFER_BYTES);
    tokio::spawn(async move {
        // An error is an end.
        _ = tokio::io::copy_bidirectional(&mut ours, &mut stream).await;
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
