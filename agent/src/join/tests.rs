use rcgen::{BasicConstraints, DnType, IsCa, Issuer};

use super::*;

const PIN: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

#[test]
fn tokens() {
    let good = format!("abc123.0123456789abcdef:{PIN}");
    let token: JoinToken = good.parse().unwrap();
    assert_eq!(token.bootstrap, "abc123.0123456789abcdef");
    assert_eq!(token.pin.to_string(), PIN);
    assert!(
        !format!("{token:?}").contains("0123456789abcdef"),
        "the secret must not be logged"
    );
    assert!(
        format!("abc123.0123456789abcdef:sha256:{PIN}\n")
            .parse::<JoinToken>()
            .is_ok()
    );

    let rows = [
        ("", BadToken::NoPin),
        ("abc123.0123456789abcdef", BadToken::NoPin),
        ("abc123.0123456789abcdef:", BadToken::BadPin),
        ("abc123.0123456789abcdef:e3b0", BadToken::BadPin),
        (
            &format!("abc123.0123456789abcdef:{}", PIN.replace('e', "g")),
            BadToken::BadPin,
        ),
        (&format!("abc123:{PIN}"), BadToken::BadSecret),
        (&format!("abc12.0123456789abcdef:{PIN}"), BadToken::BadSecret),
        (&format!("ABC123.0123456789abcdef:{PIN}"), BadToken::BadSecret),
    ];
    for (text, expected) in rows {
        assert_eq!(text.parse::<JoinToken>(), Err(expected), "{text}");
    }
}

struct Cluster {
    pem: String,
    issuer: Issuer<'static, KeyPair>,
}

impl Cluster {
    fn new() -> Cluster {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let certificate = params.self_signed(&key).unwrap();
        let issuer = Issuer::from_ca_cert_der(certificate.der(), key).unwrap();
        Cluster {
            pem: certificate.pem(),
            issuer,
        }
    }

    fn pin(&self) -> Fingerprint {
        let certificate = rustls_pemfile::certs(&mut self.pem.as_bytes()).next().unwrap().unwrap();
        Fingerprint::of(&certificate)
    }

    /// The identity file of a node whose certificate ends `life_s` from now.
    fn identity_pem(&self, user: &str, life_s: i64) -> String {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, user);
        let now = SystemTime::now();
        let end = if life_s < 0 {
            now - Duration::from_secs(life_s.unsigned_abs())
        } else {
            now + Duration::from_secs(life_s.unsigned_abs())
        };
        params.not_before = (now - Duration::from_secs(7200)).into();
        params.not_after = end.into();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        format!("{}{}{}", key.serialize_pem(), certificate.pem(), self.pem)
    }
}

fn config(token: Option<String>) -> AgentConfig {
    AgentConfig {
        // Nothing listens there: whoever asks the server waits for ever.
        server: "https://127.0.0.1:1".to_owned(),
        token,
        node_name: "node-1".to_owned(),
        data_dir: PathBuf::new(),
        node_ip: None,
        cgroup_root: "skep/node-1".to_owned(),
        socket_cgroup: None,
        bpffs: PathBuf::new(),
        labels: std::collections::BTreeMap::new(),
    }
}

#[tokio::test]
async fn what_is_stored_decides_whether_the_server_is_asked() {
    let (ours, theirs) = (Cluster::new(), Cluster::new());
    let good = ours.identity_pem("system:node:node-1", 3600);
    let old = ours.identity_pem("system:node:node-1", -10);
    let strange = ours.identity_pem("system:node:node-2", 3600);
    let token = |cluster: &Cluster| Some(format!("abc123.0123456789abcdef:{}", cluster.pin()));
    // (what, stored, token, outcome)
    let rows = [
        ("nothing at all", None, None, "no token"),
        ("a token alone", None, token(&ours), "asks"),
        ("a good certificate", Some(&good), None, "uses"),
        ("a good certificate and its token", Some(&good), token(&ours), "uses"),
        (
            "a token of another cluster",
            Some(&good),
            token(&theirs),
            "other cluster",
        ),
        ("an expired certificate", Some(&old), None, "unusable"),
        ("an expired certificate and a token", Some(&old), token(&ours), "asks"),
        (
            "another node's data directory",
            Some(&strange),
            token(&ours),
            "other node",
        ),
        ("a damaged file", Some(&"rubbish".to_owned()), None, "unusable"),
        (
            "a damaged file and a token",
            Some(&"rubbish".to_owned()),
            token(&ours),
            "asks",
        ),
        ("a malformed token", None, Some("abc".to_owned()), "bad token"),
    ];
    for (what, stored, token, expected) in rows {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("identity.pem");
        if let Some(pem) = stored {
            fs::write(&path, pem).unwrap();
        }
        let outcome = tokio::time::timeout(Duration::from_millis(300), identity(&config(token), &path)).await;
        let seen = match outcome {
            Err(_) => "asks",
            Ok(Ok(_)) => "uses",
            Ok(Err(JoinError::NoToken)) => "no token",
            Ok(Err(JoinError::OtherCluster { .. })) => "other cluster",
            Ok(Err(JoinError::OtherNode { .. })) => "other node",
            Ok(Err(JoinError::Unusable { .. })) => "unusable",
            Ok(Err(JoinError::BadToken(_))) => "bad token",
            Ok(Err(_)) => "other",
        };
        assert_eq!(seen, expected, "{what}");
    }
}
