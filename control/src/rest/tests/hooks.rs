//! A server of webhooks, by HTTPS on the loopback interface.

use std::sync::Arc;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use super::*;

/// Answers reviews by the path that they are sent to, and keeps them.
pub(super) struct Hooks {
    pub(super) port: u16,
    pub(super) ca: String,
    pub(super) asked: Arc<Mutex<Vec<(String, Value)>>>,
}

impl Hooks {
    /// Answers with what this makes of a path and a review.
    pub(super) async fn answering(answer: fn(&str, &Value) -> Value) -> Hooks {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let key = rustls::pki_types::PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
        let config = rustls::ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![made.cert.der().clone()], key)
            .unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let hooks = Hooks {
            port: listener.local_addr().unwrap().port(),
            ca: STANDARD.encode(made.cert.pem()),
            asked: Arc::default(),
        };
        let asked = hooks.asked.clone();
        tokio::spawn(async move {
            let acceptor = TlsAcceptor::from(Arc::new(config));
            while let Ok((stream, _)) = listener.accept().await {
                let (acceptor, asked) = (acceptor.clone(), asked.clone());
                tokio::spawn(async move {
                    let Ok(stream) = acceptor.accept(stream).await else {
                        return;
                    };
                    let service = service_fn(async |request: http::Request<hyper::body::Incoming>| {
                        let path = request.uri().path().to_owned();
                        let body = request.into_body().collect().await?.to_bytes();
                        let review: Value = serde_json::from_slice(&body).unwrap();
                        let answer = answer(&path, &review);
                        asked.lock().push((path, review["request"].clone()));
                        Ok::<_, hyper::Error>(http::Response::new(Body::from(answer.to_string())))
                    });
                    let served =
                        hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service);
                    _ = served.await;
                });
            }
        });
        hooks
    }
}
