use std::os::unix::fs::PermissionsExt as _;

use rcgen::CertificateParams;

use super::*;
use crate::{
    auth::Caller,
    certificates::{Asked, Order, Usage},
};

const DAY: Duration = Duration::from_secs(24 * 3600);

#[test]
fn authority_is_made_once_and_found_again() {
    let dir = tempfile::tempdir().unwrap();
    let first = Authority::open(dir.path()).unwrap();
    let again = Authority::open(dir.path()).unwrap();
    assert_eq!(first.fingerprint(), again.fingerprint());
    assert_eq!(first.fingerprint().len(), 64);
    let mode = fs::metadata(dir.path().join("ca.key")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn a_lost_key_is_told_and_a_key_alone_is_replaced() {
    let dir = tempfile::tempdir().unwrap();
    Authority::open(dir.path()).unwrap();
    fs::remove_file(dir.path().join("ca.key")).unwrap();
    assert!(matches!(
        Authority::open(dir.path()),
        Err(OpenAuthorityError::KeyLost { .. })
    ));
    fs::remove_file(dir.path().join("ca.crt")).unwrap();
    fs::write(dir.path().join("ca.key"), "half").unwrap();
    Authority::open(dir.path()).unwrap();
}

#[test]
fn admin_credential_is_kept_and_names_a_master() {
    let dir = tempfile::tempdir().unwrap();
    let authority = Authority::open(dir.path()).unwrap();
    let admin = authority.admin().unwrap();
    assert_eq!(admin.key_pem, authority.admin().unwrap().key_pem);
    let caller = Caller::from_certificate(&first_certificate(&admin.certificate_pem).unwrap()).unwrap();
    assert!(caller.is_master(), "{caller:?}");
    let renewed = renew_at(&admin.certificate_pem).unwrap().as_second() - Timestamp::now().as_second();
    assert!((renewed - 365 * 24 * 3600 / 3 * 2).abs() < 3600, "{renewed}");
    assert_eq!(
        authority.admin_renewed_at().unwrap(),
        renew_at(&admin.certificate_pem).unwrap()
    );
    fs::write(dir.path().join("admin.pem"), "half").unwrap();
    assert_ne!(admin.key_pem, authority.admin().unwrap().key_pem);
}

#[test]
fn a_node_gets_the_name_the_server_chose() {
    let dir = tempfile::tempdir().unwrap();
    let authority = Authority::open(dir.path()).unwrap();
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::default();
    params.distinguished_name = name("intruder", &[MASTERS_GROUP]);
    let csr = params.serialize_request(&key).unwrap();
    let pem = authority.sign_node("n1", csr.der(), DAY).unwrap();
    let caller = Caller::from_certificate(&first_certificate(&pem).unwrap()).unwrap();
    assert_eq!(caller.node_name(), Some("n1"));
    assert!(!caller.is_master());
    assert!(matches!(
        authority.sign_node("n1", b"nonsense", DAY),
        Err(IssueError::BadRequest(_))
    ));
}

#[test]
fn a_server_certificate_takes_names_and_addresses() {
    let dir = tempfile::tempdir().unwrap();
    let authority = Authority::open(dir.path()).unwrap();
    let names = ["localhost", "127.0.0.1", "::1", "kubernetes.default.svc"].map(str::to_owned);
    OwnCertificate::new(authority.clone(), names.to_vec()).unwrap();
    assert!(matches!(
        OwnCertificate::new(authority, vec!["Käse".to_owned()]),
        Err(IssueError::BadName { .. })
    ));
}

#[test]
fn kubeconfig_is_yaml_with_the_credential() {
    let dir = tempfile::tempdir().unwrap();
    let authority = Authority::open(dir.path()).unwrap();
    let admin = authority.admin().unwrap();
    let text = kubeconfig("https://10.0.0.1:6443", authority.certificate_pem(), &admin);
    let value: serde_json::Value = serde_yaml_ng::from_str(&text).unwrap();
    assert_eq!(value["clusters"][0]["cluster"]["server"], "https://10.0.0.1:6443");
    assert!(value["users"][0]["user"]["client-key-data"].as_str().unwrap().len() > 100);
}

#[test]
fn a_kubeconfig_that_somebody_has_changed_is_not_ours() {
    let dir = tempfile::tempdir().unwrap();
    let authority = Authority::open(dir.path()).unwrap();
    let own = kubeconfig(
        "https://10.0.0.1:6443",
        authority.certificate_pem(),
        &authority.admin().unwrap(),
    );
    let merged = format!("{own}- name: another\n");
    let renamed = own.replace("name: skep\n", "name: mine\n");
    for (name, text, expected) in [
        ("as made", own.as_str(), true),
        ("of another address", &own.replace("10.0.0.1", "10.0.0.2"), true),
        ("with another cluster in it", &merged, false),
        ("with another name", &renamed, false),
        ("empty", "", false),
    ] {
        assert_eq!(is_own_kubeconfig(text), expected, "{name}");
    }
}

#[test]
fn a_signed_order_keeps_subject_key_and_names_and_ends_with_the_authority() {
    let dir = tempfile::tempdir().unwrap();
    let authority = Authority::open(dir.path()).unwrap();
    let mut params = CertificateParams::default();
    params.distinguished_name = name("jane", &["dev"]);
    params
        .distinguished_name
        .push(DnType::CustomDnType(vec![2, 5, 4, 10]), "ops");
    params.subject_alt_names = vec![SanType::DnsName("n.example".try_into().unwrap())];
    for algorithm in [
        &rcgen::PKCS_ECDSA_P256_SHA256,
        &rcgen::PKCS_ECDSA_P384_SHA384,
        &rcgen::PKCS_ED25519,
    ] {
        let key = KeyPair::generate_for(algorithm).unwrap();
        let request = params.serialize_request(&key).unwrap();
        let order = |life| Order {
            asked: Asked::from_der(request.der()).unwrap(),
            usages: vec![Usage::DigitalSignature, Usage::ClientAuth],
            life,
        };
        let pem = authority.sign_order(&order(DAY)).unwrap();
        let der = first_certificate(&pem).unwrap();
        let (_, certificate) = x509_parser::parse_x509_certificate(&der).unwrap();
        let (_, issuer) = x509_parser::parse_x509_certificate(authority.certificate_der()).unwrap();
        certificate.verify_signature(Some(issuer.public_key())).unwrap();
        assert_eq!(certificate.public_key().raw, &order(DAY).asked.public_key_der[..]);
        assert!(certificate.validity().is_valid());
        let names = certificate.subject_alternative_name().unwrap().unwrap();
        assert_eq!(names.value.general_names.len(), 1);
        let caller = Caller::from_certificate(&der).unwrap();
        assert_eq!(
            (caller.user.as_str(), &caller.groups[..2]),
            ("jane", &["dev".to_owned(), "ops".to_owned()][..])
        );

        let long = authority.sign_order(&order(DAY * 9999)).unwrap();
        let der = first_certificate(&long).unwrap();
        let (_, certificate) = x509_parser::parse_x509_certificate(&der).unwrap();
        let ends = [&certificate, &issuer].map(|certificate| certificate.validity().not_after.timestamp());
        assert!((ends[0] - ends[1]).abs() <= 1, "{ends:?}");
    }
}

#[test]
fn the_servers_certificate_is_another_after_two_thirds_of_its_life() {
    let dir = tempfile::tempdir().unwrap();
    let authority = Authority::open(dir.path()).unwrap();
    let certificate = OwnCertificate::with_life(authority, vec!["localhost".to_owned()], DAY).unwrap();
    let now = Timestamp::now();
    let after = |seconds: i64| {
        let at = Timestamp::from_second(now.as_second() + seconds).unwrap();
        certificate.at(at).cert[0].clone()
    };
    // From an hour, the skew of clocks, ago.
    let renewed_after = (25 * 3600) / 3 * 2 - 3600;
    let first = after(0);
    assert_eq!(after(renewed_after - 60), first);
    let second = after(renewed_after + 60);
    assert_ne!(second, first);
}
