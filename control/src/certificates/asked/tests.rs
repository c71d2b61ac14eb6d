use std::net::Ipv4Addr;

use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair, SanType};

use super::*;
use crate::certificates::examples::{object, request};

#[test]
fn subject_names_and_key_are_read() {
    let names = vec![
        SanType::DnsName("n.example".try_into().unwrap()),
        SanType::IpAddress(IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1))),
        SanType::Rfc822Name("a@b".try_into().unwrap()),
        SanType::URI("spiffe://x".try_into().unwrap()),
    ];
    let asked = Asked::of(&object("s/s", &[], &request("jane", &["dev", "ops"], names))).unwrap();
    assert_eq!(asked.common_name, "jane");
    assert_eq!(asked.organizations, ["dev", "ops"]);
    assert_eq!(
        asked.names,
        [
            AlternativeName::Dns("n.example".to_owned()),
            AlternativeName::Ip(IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1))),
            AlternativeName::Email("a@b".to_owned()),
            AlternativeName::Uri("spiffe://x".to_owned()),
        ]
    );
    assert!(!asked.public_key_der.is_empty());
}

#[test]
fn a_request_that_may_be_read_in_two_ways_or_not_at_all_is_refused() {
    let good = request("jane", &[], Vec::new());
    let mut forged = good.der().to_vec();
    let at = forged.windows(4).position(|window| window == b"jane").unwrap();
    forged[at..at + 4].copy_from_slice(b"root");
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, "a");
    params
        .distinguished_name
        .push(DnType::CustomDnType(vec![2, 5, 4, 3]), "b");
    let two = params.serialize_request(&KeyPair::generate().unwrap()).unwrap();
    let mut longer = good.der().to_vec();
    longer.push(0);
    let rows = [
        ("forged", forged, AskedError::Signature),
        ("two common names", two.der().to_vec(), AskedError::CommonNames),
        ("bytes after it", longer, AskedError::Malformed),
        ("nonsense", b"nonsense".to_vec(), AskedError::Malformed),
    ];
    for (row, der, error) in rows {
        assert_eq!(Asked::from_der(&der), Err(error), "{row}");
    }
    let mut object = object("s/s", &[], &good);
    object["spec"]["request"] = "bm9uc2Vuc2U=".into();
    assert_eq!(Asked::of(&object), Err(AskedError::Envelope));
}
