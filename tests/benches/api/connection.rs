//! One client: a connection to the server over TLS and HTTP/2, as client libraries open it.

use std::{path::Path, sync::Arc};

use anyhow::{Context as _, Result};
use http::{Request, Response, Uri, header};
use http_body_util::{BodyExt as _, Full};
use hyper::{
    body::{Bytes, Incoming},
    client::conn::http2,
};
use hyper_util::rt::{TokioExecutor, TokioIo};
use kube::{
    Config,
    client::ConfigExt as _,
    config::{KubeConfigOptions, Kubeconfig},
};
use tokio::net::TcpStream;
use tokio_rustls::{
    TlsConnector,
    rustls::{ClientConfig, pki_types::ServerName},
};

use crate::load::Call;

/// Windows as big as those of Go's client, so that long lists are not held up here.
const STREAM_WINDOW_BYTES: u32 = 4 << 20;
const CONNECTION_WINDOW_BYTES: u32 = 1 << 30;

/// The server, and who asks it.
#[derive(Clone)]
pub(crate) struct Target {
    url: Uri,
    tls: Arc<ClientConfig>,
}

impl Target {
    /// What a kubeconfig says.
    pub(crate) async fn read(kubeconfig: &Path) -> Result<Target> {
        let kubeconfig = Kubeconfig::read_from(kubeconfig)?;
        let config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await?;
        let mut tls = config.rustls_client_config()?;
        tls.alpn_protocols = vec![b"h2".to_vec()];
        Ok(Target {
            url: config.cluster_url.clone(),
            tls: Arc::new(tls),
        })
    }
}

/// An open connection. Its requests may be made one after the other or at once.
#[derive(Clone)]
pub(crate) struct Connection {
    requests: http2::SendRequest<Full<Bytes>>,
    origin: String,
}

impl Connection {
    pub(crate) async fn open(target: &Target) -> Result<Connection> {
        let host = target.url.host().context("the kubeconfig names a host")?;
        let port = target.url.port_u16().context("the kubeconfig names a port")?;
        let stream = TcpStream::connect((host, port)).await?;
        stream.set_nodelay(true)?;
        let name = ServerName::try_from(host.to_owned())?;
        let tls = TlsConnector::from(target.tls.clone()).connect(name, stream).await?;
        let (requests, connection) = http2::Builder::new(TokioExecutor::new())
            .initial_stream_window_size(STREAM_WINDOW_BYTES)
            .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
            .handshake(TokioIo::new(tls))
            .await?;
        // Ends when the last handle to it is gone; its errors are those of its requests.
        tokio::spawn(connection);
        Ok(Connection {
            requests,
            origin: format!("https://{host}:{port}"),
        })
    }

    /// Sends a request; answers when the answer's head is there.
    pub(crate) async fn send(&mut self, call: Call) -> Result<Response<Incoming>> {
        let request = Request::builder()
            .method(call.method)
            .uri(format!("{}{}", self.origin, call.path))
            .header(header::CONTENT_TYPE, "application/json")
            .header(header::ACCEPT, "application/json")
            .body(Full::from(call.body))?;
        Ok(self.requests.send_request(request).await?)
    }

    /// Sends a request and takes the whole answer, of which it answers the size in bytes.
    ///
    /// # Errors
    /// When the answer is a refusal, with what it says.
    pub(crate) async fn call(&mut self, call: Call) -> Result<usize> {
        let asked = format!("{} {}", call.method, call.path);
        let response = self.send(call).await?;
        let status = response.status();
        let mut body = response.into_body();
        if !status.is_success() {
            let said = body.collect().await?.to_bytes();
            anyhow::bail!("{asked}: {status}: {}", String::from_utf8_lossy(&said));
        }
        let mut bytes = 0;
        // Not kept: a hundred lists at once would measure the memory of this process.
        while let Some(frame) = body.frame().await {
            bytes += frame?.data_ref().map_or(0, Bytes::len);
        }
        Ok(bytes)
    }
}
