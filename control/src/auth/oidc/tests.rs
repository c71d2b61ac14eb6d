use std::sync::atomic::{AtomicUsize, Ordering};

use http_body_util::Full;
use hyper::service::service_fn;
use rcgen::{CertificateParams, KeyPair};
use rustls_pki_types::PrivatePkcs8KeyDer;
use serde_json::json;
use tokio_rustls::TlsAcceptor;

use super::{examples::Signer, *};

/// An issuer on loopback, over HTTPS.
struct Issuer {
    url: String,
    keys: Arc<Mutex<Vec<Value>>>,
    asked: Arc<AtomicUsize>,
    ca_file: PathBuf,
    _dir: tempfile::TempDir,
}

impl Issuer {
    async fn start() -> Issuer {
        let dir = tempfile::tempdir().unwrap();
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        let certificate = params.self_signed(&key).unwrap();
        let ca_file = dir.path().join("ca.crt");
        std::fs::write(&ca_file, certificate.pem()).unwrap();
        let private = PrivatePkcs8KeyDer::from(key.serialize_der());
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let tls = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], private.into())
            .unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(tls));
        let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let url = format!("https://localhost:{}/realm", listener.local_addr().unwrap().port());
        let keys: Arc<Mutex<Vec<Value>>> = Arc::default();
        let asked = Arc::new(AtomicUsize::new(0));
        let (served, count, own) = (keys.clone(), asked.clone(), url.clone());
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (acceptor, served, count, own) = (acceptor.clone(), served.clone(), count.clone(), own.clone());
                tokio::spawn(async move {
                    let Ok(stream) = acceptor.accept(stream).await else {
                        return;
                    };
                    let answer = service_fn(move |request: http::Request<hyper::body::Incoming>| {
                        let document = match request.uri().path() {
                            "/realm/.well-known/openid-configuration" => {
                                json!({ "issuer": own, "jwks_uri": format!("{own}/keys") })
                            }
                            _ => {
                                count.fetch_add(1, Ordering::SeqCst);
                                json!({ "keys": *served.lock() })
                            }
                        };
                        async move {
                            let body = Full::new(bytes::Bytes::from(document.to_string()));
                            Ok::<_, std::convert::Infallible>(http::Response::new(body))
                        }
                    });
                    let io = hyper_util::rt::TokioIo::new(stream);
                    let _ = hyper::server::conn::http1::Builder::new()
                        .serve_connection(io, answer)
                        .await;
                });
            }
        });
        Issuer {
            url,
            keys,
            asked,
            ca_file,
            _dir: dir,
        }
    }

    fn config(&self) -> OidcConfig {
        OidcConfig {
            signing_algorithms: vec![Algorithm::Es256],
            ca_file: Some(self.ca_file.clone()),
            ..OidcConfig::new(&self.url, "skep")
        }
    }

    fn token(&self, signer: &Signer) -> String {
        signer.token(&json!({ "iss": self.url, "aud": "skep", "sub": "jane", "exp": 2_000 }))
    }
}

#[tokio::test]
async fn keys_are_fetched_once_and_again_for_a_new_key_but_not_too_often() {
    let issuer = Issuer::start().await;
    let (first, second) = (Signer::new("1"), Signer::new("2"));
    issuer.keys.lock().push(first.public());
    let oidc = Oidc::open(issuer.config()).unwrap();
    let token = issuer.token(&first);
    assert_eq!(oidc.verify(&token, 1_000), Err(OidcError::UnknownKey));
    for _ in 0..3 {
        oidc.prepare(&token, 1_000).await;
        assert_eq!(oidc.verify(&token, 1_000).unwrap().user, format!("{}#jane", issuer.url));
    }
    assert_eq!(issuer.asked.load(Ordering::SeqCst), 1);

    issuer.keys.lock().push(second.public());
    let token = issuer.token(&second);
    oidc.prepare(&token, 1_000).await;
    assert_eq!(
        oidc.verify(&token, 1_000),
        Err(OidcError::UnknownKey),
        "asked a moment ago"
    );
    oidc.inner.known.lock().tried = Instant::now().checked_sub(FETCH_PAUSE);
    oidc.prepare(&token, 1_000).await;
    assert!(oidc.verify(&token, 1_000).is_ok());
    assert_eq!(issuer.asked.load(Ordering::SeqCst), 2);

    // Old keys still serve, and others are fetched meanwhile.
    let old = Instant::now().checked_sub(KEYS_AGE_MAX);
    {
        let mut known = oidc.inner.known.lock();
        (known.tried, known.fetched) = (old, old);
    }
    oidc.prepare(&token, 1_000).await;
    assert!(oidc.verify(&token, 1_000).is_ok());
    let started = Instant::now();
    while issuer.asked.load(Ordering::SeqCst) < 3 {
        assert!(
            started.elapsed() < Duration::from_secs(10),
            "old keys were not fetched again"
        );
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn an_issuer_that_is_not_trusted_or_not_there_gives_no_keys() {
    let (issuer, other) = (Issuer::start().await, Issuer::start().await);
    let signer = Signer::new("1");
    issuer.keys.lock().push(signer.public());
    let untrusted = OidcConfig {
        ca_file: Some(other.ca_file.clone()),
        ..issuer.config()
    };
    let oidc = Oidc::open(untrusted).unwrap();
    let token = issuer.token(&signer);
    oidc.prepare(&token, 1_000).await;
    assert_eq!(oidc.verify(&token, 1_000), Err(OidcError::UnknownKey));
    assert_eq!(issuer.asked.load(Ordering::SeqCst), 0);
    let foreign = other.token(&signer);
    oidc.prepare(&foreign, 1_000).await;
    assert!(!oidc.is_concerned(&foreign));
}

#[test]
fn only_an_issuer_behind_https_is_taken() {
    let dir = tempfile::tempdir().unwrap();
    let empty = dir.path().join("empty");
    std::fs::write(&empty, "").unwrap();
    for url in [
        "http://issuer",
        "issuer",
        "https://a@issuer",
        "https://issuer?a=b",
        "https://issuer#a",
        "",
    ] {
        let opened = Oidc::open(OidcConfig::new(url, "skep"));
        assert!(matches!(opened, Err(OpenOidcError::Issuer(_))), "{url}");
    }
    let with = |ca_file: PathBuf| {
        Oidc::open(OidcConfig {
            ca_file: Some(ca_file),
            ..OidcConfig::new("https://issuer", "skep")
        })
    };
    assert!(matches!(with(empty), Err(OpenOidcError::NoAuthority(_))));
    assert!(matches!(with(dir.path().join("none")), Err(OpenOidcError::Read { .. })));
}

#[test]
fn keys_are_asked_for_at_times_that_depend_on_nothing_else() {
    let now = Instant::now();
    let ago = |seconds: u64| now.checked_sub(Duration::from_secs(seconds));
    for (tried, expected) in [(None, true), (ago(9), false), (ago(10), true)] {
        assert_eq!(may_fetch(tried, now), expected, "{tried:?}");
    }
    for (fetched, expected) in [(None, true), (ago(60), false), (ago(3600), true)] {
        assert_eq!(is_old(fetched, now), expected, "{fetched:?}");
    }
}
