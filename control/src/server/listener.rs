//! The one TLS port: connections, their callers, and their end.
//!
//! HTTP/1.1 and HTTP/2 by ALPN. Who a connection's client is, is read from its certificate once and put into the
//! extensions of each of its requests as [`Caller`].

use std::{net::SocketAddr, sync::Arc, time::Duration};

use axum::{Router, body::Body};
use http::Request;
use hyper::{body::Incoming, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::conn::auto,
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Semaphore,
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tower::ServiceExt as _;
use tracing::{debug, warn};

use crate::{auth::Caller, rest::Peer};

/// Connections at once; more wait in the kernel's queue. Each costs some 30 KB, and clients share theirs.
const CONNECTIONS_MAX: usize = 10_000;
/// Requests of one HTTP/2 connection at once. Every watch is one; a controller with all kinds in view has hundreds.
const STREAMS_MAX: u32 = 1_000;
/// Bytes that a client may send ahead per request and per connection: a whole body of the biggest kind in a few turns.
const STREAM_WINDOW_BYTES: u32 = 256 << 10;
const CONNECTION_WINDOW_BYTES: u32 = 1 << 20;
/// Bytes of a request's headers, its path and query among them; selectors can be long.
const HEADER_BYTES_MAX: u32 = 64 << 10;
/// Bytes that wait for one request's client; a reader that is slower than that holds up only itself.
const SEND_BUFFER_BYTES: usize = 64 << 10;
/// A client that does not finish its handshake or its headers within this time is not a client.
const HANDSHAKE_WAIT: Duration = Duration::from_secs(10);
const HEADER_WAIT: Duration = Duration::from_secs(10);
/// A peer that vanished without a word is noticed after these.
const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(30);
const KEEP_ALIVE_WAIT: Duration = Duration::from_secs(20);
/// Accepting fails when file descriptors run out; trying at once again would only burn the processor.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Serves until `stop`, then lets what is under way end for at most `stop_wait`.
pub(super) async fn serve(
    listener: TcpListener,
    acceptor: TlsAcceptor,
    router: Router,
    stop: CancellationToken,
    stop_wait: Duration,
) {
    let connections = TaskTracker::new();
    let permits = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        let permit = tokio::select! {
            () = stop.cancelled() => break,
            permit = permits.clone().acquire_owned() => permit,
        };
        let Ok(permit) = permit else { break };
        let accepted = tokio::select! {
            () = stop.cancelled() => break,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, peer)) => {
                let (acceptor, router, stop) = (acceptor.clone(), router.clone(), stop.clone());
                connections.spawn(async move {
                    if let Err(error) = connection(stream, peer, acceptor, router, stop).await {
                        debug!(%peer, error, "connection ended");
                    }
                    drop(permit);
                });
            }
            Err(error) => {
                warn!(error = &error as &dyn std::error::Error, "accept failed");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    drop(listener);
    connections.close();
    if tokio::time::timeout(stop_wait, connections.wait()).await.is_err() {
        warn!(
            open = connections.len(),
            "connections were still open when the server stopped"
        );
    }
}

type ConnectionError = Box<dyn std::error::Error + Send + Sync>;

async fn connection(
    stream: TcpStream,
    peer: SocketAddr,
    acceptor: TlsAcceptor,
    router: Router,
    stop: CancellationToken,
) -> Result<(), ConnectionError> {
    // Watch events are small and must not wait for a full segment.
    stream.set_nodelay(true)?;
    let tls = tokio::time::timeout(HANDSHAKE_WAIT, acceptor.accept(stream)).await??;
    let (caller, peer) = (caller(&tls)?, Peer(peer.ip().to_canonical()));
    let service = service_fn(move |request: Request<Incoming>| {
        let mut request = request.map(Body::new);
        request.extensions_mut().insert(caller.clone());
        request.extensions_mut().insert(peer);
        router.clone().oneshot(request)
    });
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_WAIT);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(STREAMS_MAX)
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .max_header_list_size(HEADER_BYTES_MAX)
        .max_send_buf_size(SEND_BUFFER_BYTES)
        .keep_alive_interval(KEEP_ALIVE_INTERVAL)
        .keep_alive_timeout(KEEP_ALIVE_WAIT);
    let mut serving = std::pin::pin!(builder.serve_connection_with_upgrades(TokioIo::new(tls), service));
    tokio::select! {
        result = &mut serving => result,
        () = stop.cancelled() => {
            serving.as_mut().graceful_shutdown();
            serving.await
        }
    }
}

fn caller(tls: &TlsStream<TcpStream>) -> Result<Caller, ConnectionError> {
    match tls.get_ref().1.peer_certificates() {
        Some([certificate, ..]) => Ok(Caller::from_certificate(certificate)?),
        _ => Ok(Caller::anonymous()),
    }
}
