use std::net::Ipv4Addr;

use super::*;

const SIGNATURE: &str = "digital signature";
const ENCIPHERMENT: &str = "key encipherment";
const CLIENT: &str = "client auth";
const SERVER: &str = "server auth";

fn asked(common_name: &str, organizations: &[&str], names: &[&AlternativeName]) -> Asked {
    Asked {
        common_name: common_name.to_owned(),
        organizations: organizations.iter().map(|name| (*name).to_owned()).collect(),
        names: names.iter().map(|name| (*name).clone()).collect(),
        ..Asked::default()
    }
}

#[test]
fn each_signer_signs_what_is_right_for_it() {
    let dns = AlternativeName::Dns("n1".to_owned());
    let ip = AlternativeName::Ip(Ipv4Addr::LOCALHOST.into());
    let email = AlternativeName::Email("a@b".to_owned());
    let uri = AlternativeName::Uri("x://y".to_owned());
    let node = |names: &[&AlternativeName]| asked("system:node:n1", &["system:nodes"], names);
    let (client, node_client, serving) = (Signer::ApiClient, Signer::NodeClient, Signer::NodeServing);
    #[rustfmt::skip]
    let rows: Vec<(Signer, Asked, &[&str], &str)> = vec![
        (client, asked("jane", &["dev"], &[]), &[CLIENT], ""),
        (client, asked("jane", &[], &[&dns]), &[CLIENT, SIGNATURE, ENCIPHERMENT], ""),
        (client, asked("jane", &[], &[]), &[SIGNATURE], "missing required usage for client certificate: client auth"),
        (client, asked("jane", &[], &[]), &[CLIENT, SERVER], "invalid usage for client certificate: server auth"),
        (client, asked("jane", &[], &[]), &[CLIENT, "cert sign"], "invalid usage for client certificate: cert sign"),
        (node_client, node(&[]), &[CLIENT, SIGNATURE], ""),
        (node_client, node(&[]), &[CLIENT, SIGNATURE, ENCIPHERMENT], ""),
        (node_client, node(&[]), &[CLIENT], "usages did not match [client auth digital signature]"),
        (node_client, node(&[]), &[CLIENT, SIGNATURE, SERVER], "usages did not match [client auth digital signature]"),
        (node_client, node(&[]), &[CLIENT, SIGNATURE, "any"], "usages did not match [client auth digital signature]"),
        (node_client, node(&[&dns]), &[CLIENT, SIGNATURE], "DNS subjectAltNames are not allowed"),
        (node_client, node(&[&ip]), &[CLIENT, SIGNATURE], "IP subjectAltNames are not allowed"),
        (node_client, asked("n1", &["system:nodes"], &[]), &[CLIENT, SIGNATURE], "subject common name does not begin with system:node:"),
        (node_client, asked("system:node:n1", &[], &[]), &[CLIENT, SIGNATURE], "subject organization is not system:nodes"),
        (node_client, asked("system:node:n1", &["system:nodes", "system:masters"], &[]), &[CLIENT, SIGNATURE], "subject organization is not system:nodes"),
        (serving, node(&[&dns, &ip]), &[SERVER, SIGNATURE], ""),
        (serving, node(&[&dns]), &[SERVER, SIGNATURE, ENCIPHERMENT], ""),
        (serving, node(&[]), &[SERVER, SIGNATURE], "DNS or IP subjectAltName is required"),
        (serving, node(&[&email]), &[SERVER, SIGNATURE], "DNS or IP subjectAltName is required"),
        (serving, node(&[&dns, &email]), &[SERVER, SIGNATURE], "Email subjectAltNames are not allowed"),
        (serving, node(&[&dns, &uri]), &[SERVER, SIGNATURE], "URI subjectAltNames are not allowed"),
        (serving, node(&[&dns]), &[CLIENT, SIGNATURE], "usages did not match [server auth digital signature]"),
        (serving, asked("x", &["system:nodes"], &[&dns]), &[SERVER, SIGNATURE], "subject common name does not begin with system:node:"),
    ];
    for (signer, asked, usages, fault) in rows {
        let said = judge(signer, &asked, usages).map_or_else(|fault| fault.to_string(), |_| String::new());
        assert_eq!(said, fault, "{signer:?} {asked:?} {usages:?}");
    }
}

#[test]
fn signers_have_kubernetes_names() {
    let rows = [
        ("kubernetes.io/kube-apiserver-client", Some(Signer::ApiClient)),
        ("kubernetes.io/kube-apiserver-client-kubelet", Some(Signer::NodeClient)),
        ("kubernetes.io/kubelet-serving", Some(Signer::NodeServing)),
        ("kubernetes.io/legacy-unknown", None),
        ("example.com/own", None),
    ];
    for (name, signer) in rows {
        assert_eq!(Signer::by_name(name), signer, "{name}");
    }
}

#[test]
fn a_life_is_between_ten_minutes_and_what_the_server_signs_for() {
    const LIFE_MAX: Duration = Duration::from_secs(365 * 24 * 3600);
    let rows = [
        (None, LIFE_MAX),
        (Some(3600), Duration::from_secs(3600)),
        (Some(1), LIFE_MIN),
        (Some(-5), LIFE_MIN),
        (Some(i64::MAX), LIFE_MAX),
    ];
    for (seconds, expected) in rows {
        assert_eq!(life(seconds, LIFE_MAX), expected, "{seconds:?}");
    }
}
