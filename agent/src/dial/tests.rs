use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls_pki_types::PrivatePkcs8KeyDer;
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use super::*;

struct Authority {
    certificate: CertificateDer<'static>,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    fn new() -> Authority {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let certificate = params.self_signed(&key).unwrap().der().clone();
        let issuer = Issuer::from_ca_cert_der(&certificate, key).unwrap();
        Authority { certificate, issuer }
    }

    fn issue(&self, name: &str) -> (CertificateDer<'static>, PrivateKeyDer<'static>) {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        (certificate.der().clone(), key)
    }
}

/// Accepts TLS with this chain until the test ends.
async fn serve(chain: Vec<CertificateDer<'static>>, key: PrivateKeyDer<'static>) -> ServerAddress {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .unwrap();
    config.alpn_protocols = vec![b"h2".to_vec()];
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    tokio::spawn(async move {
        let mut open = Vec::new();
        while let Ok((tcp, _)) = listener.accept().await {
            open.extend(acceptor.accept(tcp).await);
        }
    });
    format!("https://127.0.0.1:{port}").parse().unwrap()
}

#[tokio::test]
async fn a_pin_is_met_only_by_a_chain_that_ends_in_its_authority() {
    let (ours, theirs) = (Authority::new(), Authority::new());
    let (leaf, key) = ours.issue("127.0.0.1");
    let (elsewhere, elsewhere_key) = ours.issue("192.0.2.1");
    let (forged, forged_key) = theirs.issue("127.0.0.1");
    let rows = [
        (
            "good",
            vec![leaf.clone(), ours.certificate.clone()],
            key.clone_key(),
            "ok",
        ),
        ("no authority in the chain", vec![leaf.clone()], key, "pin"),
        (
            "another authority",
            vec![forged.clone(), theirs.certificate.clone()],
            forged_key.clone_key(),
            "pin",
        ),
        (
            "signed by another authority",
            vec![forged, ours.certificate.clone()],
            forged_key,
            "pin",
        ),
        (
            "another host",
            vec![elsewhere, ours.certificate.clone()],
            elsewhere_key,
            "handshake",
        ),
    ];
    for (what, chain, key, expected) in rows {
        let server = serve(chain, key).await;
        let result = dial(&server, &Credentials::Pin(Fingerprint::of(&ours.certificate))).await;
        let seen = match result {
            Ok(_) => "ok",
            Err(DialError::PinMismatch { .. }) => "pin",
            Err(DialError::Handshake { .. }) => "handshake",
            Err(_) => "other",
        };
        assert_eq!(seen, expected, "{what}");
    }
}

#[tokio::test]
async fn a_member_tells_its_cluster_from_another() {
    let (ours, theirs) = (Authority::new(), Authority::new());
    let (leaf, key) = ours.issue("127.0.0.1");
    let server = serve(vec![leaf, ours.certificate.clone()], key).await;
    let credentials = |authority: &Authority| {
        let (certificate, key) = authority.issue("node");
        Credentials::Mutual {
            authority: authority.certificate.clone(),
            chain: vec![certificate],
            key,
        }
    };
    assert!(dial(&server, &credentials(&ours)).await.is_ok());
    let refused = dial(&server, &credentials(&theirs)).await.unwrap_err();
    assert!(matches!(refused, DialError::OtherCluster { .. }), "{refused}");
}

#[tokio::test]
async fn nobody_there_is_told_apart() {
    let port = TcpListener::bind("127.0.0.1:0")
        .await
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let server: ServerAddress = format!("https://127.0.0.1:{port}").parse().unwrap();
    let refused = dial(&server, &Credentials::Pin(Fingerprint([0; 32])))
        .await
        .unwrap_err();
    assert!(matches!(refused, DialError::Connect { .. }), "{refused}");
}

#[test]
fn server_addresses() {
    let rows = [
        ("https://192.0.2.1:6443", Some("https://192.0.2.1:6443")),
        ("https://192.0.2.1", Some("https://192.0.2.1:6443")),
        ("https://server.example:443/", Some("https://server.example:443")),
        ("https://[2001:db8::1]:6443", Some("https://[2001:db8::1]:6443")),
        ("http://192.0.2.1:6443", None),
        ("192.0.2.1:6443", None),
        ("https://", None),
        ("https://192.0.2.1:6443/path", None),
        ("", None),
    ];
    for (text, expected) in rows {
        let address = text.parse::<ServerAddress>().ok().map(|address| address.to_string());
        assert_eq!(address.as_deref(), expected, "{text}");
    }
}
