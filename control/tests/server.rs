//! A whole server on a loopback port: what it leaves on disk, who is let in, and that it comes back as it was.

#![expect(clippy::unwrap_used, reason = "a test says so by failing")]

use std::{net::Ipv4Addr, path::Path, sync::Arc, time::Duration};

use api::node_stream::JoinRequest;
use axum::body::Body;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use control::{ServerConfig, ServerError};
use http::{Request, StatusCode};
use http_body_util::BodyExt as _;
use hyper_util::rt::{TokioExecutor, TokioIo};
use prost::Message as _;
use rustls::{ClientConfig, RootCertStore, pki_types::ServerName};
use serde_json::{Value, json};
use tokio::{net::TcpStream, task::JoinHandle};
use tokio_rustls::TlsConnector;
use tokio_util::sync::CancellationToken;

struct Server {
    port: u16,
    stop: CancellationToken,
    task: JoinHandle<Result<(), ServerError>>,
}

fn config(dir: &Path, port: u16) -> ServerConfig {
    ServerConfig {
        data_dir: dir.to_owned(),
        listen: (Ipv4Addr::LOCALHOST, port).into(),
        ..ServerConfig::default()
    }
}

/// Starts a server on a free port and waits until it answers.
async fn start(dir: &Path) -> Server {
    let stop = CancellationToken::new();
    let task = tokio::spawn(control::run(config(dir, 0), stop.clone()));
    for _ in 0..200 {
        assert!(!task.is_finished(), "the server ended");
        if let Some(port) = port(dir)
            && let Ok((StatusCode::OK, _)) = request(dir, port, Who::Nobody, "GET", "/readyz", None).await
        {
            return Server { port, stop, task };
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("the server did not become ready");
}

impl Server {
    async fn stop(self) {
        self.stop.cancel();
        self.task.await.unwrap().unwrap();
    }
}

fn kubeconfig(dir: &Path) -> Option<Value> {
    serde_yaml_ng::from_str(&std::fs::read_to_string(dir.join("kubeconfig")).ok()?).ok()
}

fn port(dir: &Path) -> Option<u16> {
    let kubeconfig = kubeconfig(dir)?;
    let url = kubeconfig["clusters"][0]["cluster"]["server"].as_str()?;
    url.rsplit(':').next()?.parse().ok()
}

#[derive(Clone, Copy)]
enum Who {
    Nobody,
    Admin,
}

fn tls(dir: &Path, who: Who) -> ClientConfig {
    let kubeconfig = kubeconfig(dir).unwrap();
    let pem = |value: &Value| STANDARD.decode(value.as_str().unwrap()).unwrap();
    let certificates = |pem: &[u8]| {
        rustls_pemfile::certs(&mut &*pem)
            .collect::<Result<Vec<_>, _>>()
            .unwrap()
    };
    let mut roots = RootCertStore::empty();
    let authority = pem(&kubeconfig["clusters"][0]["cluster"]["certificate-authority-data"]);
    for certificate in certificates(&authority) {
        roots.add(certificate).unwrap();
    }
    let builder = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots);
    match who {
        Who::Nobody => builder.with_no_client_auth(),
        Who::Admin => {
            let user = &kubeconfig["users"][0]["user"];
            let key = pem(&user["client-key-data"]);
            let key = rustls_pemfile::private_key(&mut &*key).unwrap().unwrap();
            builder
                .with_client_auth_cert(certificates(&pem(&user["client-certificate-data"])), key)
                .unwrap()
        }
    }
}

async fn request(
    dir: &Path,
    port: u16,
    who: Who,
    method: &str,
    path: &str,
    body: Option<Value>,
) -> std::io::Result<(StatusCode, String)> {
    let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await?;
    let name = ServerName::try_from("kubernetes.default.svc").unwrap();
    let stream = TlsConnector::from(Arc::new(tls(dir, who)))
        .connect(name, stream)
        .await?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
        .await
        .unwrap();
    let connection = tokio::spawn(connection);
    let body = body.map_or_else(Body::empty, |body| Body::from(body.to_string()));
    let request = Request::builder().method(method).uri(path).header("host", "skep");
    let response = sender.send_request(request.body(body).unwrap()).await.unwrap();
    let status = response.status();
    let bytes = response.into_body().collect().await.unwrap().to_bytes();
    drop(sender);
    connection.await.unwrap().unwrap();
    Ok((status, String::from_utf8(bytes.to_vec()).unwrap()))
}

#[tokio::test]
async fn a_server_lets_the_administrator_in_and_comes_back_as_it_was() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let server = start(dir).await;
    let token = std::fs::read_to_string(dir.join("join-token")).unwrap();
    let (secret, pin) = token.trim().split_once(':').unwrap();
    assert_eq!((secret.len(), &secret[6..7], pin.len()), (23, ".", 64));

    let path = "/api/v1/namespaces/kube-system/secrets";
    let (status, _) = request(dir, server.port, Who::Nobody, "GET", path, None).await.unwrap();
    assert_eq!(status, StatusCode::FORBIDDEN);
    let (status, secrets) = request(dir, server.port, Who::Admin, "GET", path, None).await.unwrap();
    assert_eq!(status, StatusCode::OK);
    assert!(
        secrets.contains(&format!("bootstrap-token-{}", &secret[..6])),
        "{secrets}"
    );

    let object = json!({ "metadata": { "name": "kept" }, "data": { "a": "1" } });
    let path = "/api/v1/namespaces/default/configmaps";
    let (status, _) = request(dir, server.port, Who::Admin, "POST", path, Some(object))
        .await
        .unwrap();
    assert_eq!(status, StatusCode::CREATED);
    let before = std::fs::read(dir.join("pki/ca.crt")).unwrap();
    server.stop().await;

    let server = start(dir).await;
    assert_eq!(std::fs::read(dir.join("pki/ca.crt")).unwrap(), before);
    assert_eq!(std::fs::read_to_string(dir.join("join-token")).unwrap(), token);
    let path = "/api/v1/namespaces/default/configmaps/kept";
    let (status, kept) = request(dir, server.port, Who::Admin, "GET", path, None).await.unwrap();
    assert_eq!(status, StatusCode::OK, "{kept}");
    server.stop().await;
}

#[tokio::test]
async fn bodies_that_are_too_large_or_of_no_use_are_refused_in_words() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let server = start(dir).await;
    let object = json!({ "metadata": { "name": "large" }, "data": { "a": "x".repeat(16 << 20) } });
    let config_maps = "/api/v1/namespaces/default/configmaps";
    for (who, path, code, said) in [
        (
            Who::Admin,
            config_maps,
            413,
            "Request entity too large: limit is 3145728",
        ),
        (Who::Nobody, config_maps, 403, "cannot create resource"),
        (Who::Admin, "/api/v1/namespaces/default/gizmos", 404, "could not find"),
    ] {
        // A client writes its whole body before it reads: all of it must be taken, or it reports a broken pipe.
        let (status, answer) = request(dir, server.port, who, "POST", path, Some(object.clone()))
            .await
            .unwrap();
        assert_eq!(status.as_u16(), code, "{path}: {answer}");
        assert!(answer.contains(said), "{path}: {answer}");
    }
    server.stop().await;
}

/// Calls the node stream's `Join` over HTTP/2, answers its gRPC status.
async fn join(dir: &Path, port: u16, token: &str) -> String {
    let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await.unwrap();
    let name = ServerName::try_from("localhost").unwrap();
    let mut tls = tls(dir, Who::Nobody);
    tls.alpn_protocols = vec![b"h2".to_vec()];
    let stream = TlsConnector::from(Arc::new(tls)).connect(name, stream).await.unwrap();
    let io = TokioIo::new(stream);
    let (mut sender, connection) = hyper::client::conn::http2::handshake(TokioExecutor::new(), io)
        .await
        .unwrap();
    let connection = tokio::spawn(connection);
    let message = JoinRequest {
        token: token.to_owned(),
        node_name: "n1".to_owned(),
        csr_der: b"not a request".to_vec(),
    };
    let message = message.encode_to_vec();
    let mut frame = vec![0];
    frame.extend(u32::try_from(message.len()).unwrap().to_be_bytes());
    frame.extend(message);
    let request = Request::builder()
        .method("POST")
        .uri(format!("https://localhost:{port}/skep.node.v1.NodeStream/Join"))
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .body(Body::from(frame))
        .unwrap();
    let response = sender.send_request(request).await.unwrap();
    let (parts, body) = response.into_parts();
    let trailers = body.collect().await.unwrap().trailers().cloned();
    connection.abort();
    let status = parts
        .headers
        .get("grpc-status")
        .or(trailers.as_ref().and_then(|map| map.get("grpc-status")));
    status.expect("a gRPC answer").to_str().unwrap().to_owned()
}

#[tokio::test]
async fn agents_join_on_the_same_port() {
    let dir = tempfile::tempdir().unwrap();
    let server = start(dir.path()).await;
    let token = std::fs::read_to_string(dir.path().join("join-token")).unwrap();
    let token = token.split(':').next().unwrap();
    // gRPC: 16 is Unauthenticated, 3 is InvalidArgument.
    assert_eq!(join(dir.path(), server.port, "aaaaaa.bbbbbbbbbbbbbbbb").await, "16");
    assert_eq!(join(dir.path(), server.port, token).await, "3");
    server.stop().await;
}

#[tokio::test]
async fn a_taken_port_and_a_store_in_use_are_told() {
    let dir = tempfile::tempdir().unwrap();
    let server = start(dir.path()).await;
    let other = tempfile::tempdir().unwrap();
    let error = control::run(config(other.path(), server.port), CancellationToken::new()).await;
    assert!(matches!(error, Err(ServerError::Listen { .. })), "{error:?}");
    let error = control::run(config(dir.path(), 0), CancellationToken::new()).await;
    assert!(matches!(error, Err(ServerError::Store(_))), "{error:?}");
    server.stop().await;
}

#[tokio::test]
async fn a_store_that_is_gone_is_no_new_cluster() {
    let dir = tempfile::tempdir().unwrap();
    start(dir.path()).await.stop().await;
    let store = dir.path().join("store.redb");
    let backup = std::fs::read(&store).unwrap();
    std::fs::remove_file(&store).unwrap();
    for content in [None, Some(&b""[..]), Some(&[0; 4096][..])] {
        if let Some(content) = content {
            std::fs::write(&store, content).unwrap();
        }
        let error = control::run(config(dir.path(), 0), CancellationToken::new()).await;
        assert!(
            matches!(error, Err(ServerError::StoreLost { .. })),
            "{content:?}: {error:?}"
        );
    }
    std::fs::write(&store, backup).unwrap();
    start(dir.path()).await.stop().await;
}

#[tokio::test]
async fn a_kubeconfig_follows_the_server_and_one_of_somebody_else_stays() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("kubeconfig");
    let server = start(dir.path()).await;
    server.stop().await;
    // Ours, of another address and another authority: as after a move of the server.
    let ours = std::fs::read_to_string(&path).unwrap();
    let port = port(dir.path()).unwrap();
    let stale = ours
        .replace(&format!(":{port}"), ":1")
        .replace("certificate-authority-data: ", "certificate-authority-data: AAAA");
    for (present, kept) in [(stale, false), (ours.replace("name: skep\n", "name: mine\n"), true)] {
        std::fs::write(&path, &present).unwrap();
        let stop = CancellationToken::new();
        let task = tokio::spawn(control::run(config(dir.path(), port), stop.clone()));
        // Until the kubeconfig is right, its authority is not the server's, and nothing can be asked.
        let mut answer = None;
        for _ in 0..200 {
            answer = request(dir.path(), port, Who::Nobody, "GET", "/readyz", None)
                .await
                .ok();
            if answer.is_some() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        assert_eq!(answer.unwrap().0, StatusCode::OK, "kept: {kept}");
        stop.cancel();
        task.await.unwrap().unwrap();
        let expected = if kept { &present } else { &ours };
        assert_eq!(&std::fs::read_to_string(&path).unwrap(), expected);
    }
}
