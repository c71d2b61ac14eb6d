use serde_json::json;

use super::*;
use crate::certificates::examples::{object, of_node, request};

const LIFE_MAX: Duration = Duration::from_secs(365 * 24 * 3600);

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn with(mut request: Value, conditions: &[&str]) -> Value {
    let condition = |kind: &&str| json!({ "type": kind, "status": "True", "lastUpdateTime": "2026-01-01T01:00:00Z" });
    request["status"]["conditions"] = conditions.iter().map(condition).collect();
    request
}

fn client(usages: &[&str]) -> Value {
    let request = request("jane", &["dev"], Vec::new());
    object("kubernetes.io/kube-apiserver-client", usages, &request)
}

fn name_of(due: &Due) -> String {
    match due {
        Due::Nothing => "nothing".to_owned(),
        Due::Approve(recognized) => format!("{recognized:?}"),
        Due::Fail(message) => format!("fail: {message}"),
        Due::Sign(_) => "sign".to_owned(),
        Due::Delete => "delete".to_owned(),
    }
}

#[test]
fn what_is_due_follows_the_decision_and_the_signer() {
    let own = |mut request: Value| {
        request["spec"]["username"] = json!("system:node:n1");
        request
    };
    let issued = |mut request: Value| {
        request["status"]["certificate"] = json!("eA==");
        request
    };
    let of = |signer: &str| {
        let mut request = client(&["client auth"]);
        request["spec"]["signerName"] = json!(signer);
        request
    };
    let broken = |mut request: Value| {
        request["spec"]["request"] = json!("eA==");
        request
    };
    let good = || client(&["client auth"]);
    let rows = [
        ("pending", good(), "nothing"),
        ("approved", with(good(), &["Approved"]), "sign"),
        ("denied", with(good(), &["Denied"]), "nothing"),
        ("failed", with(good(), &["Approved", "Failed"]), "nothing"),
        ("issued", issued(with(good(), &["Approved"])), "nothing"),
        (
            "wrong usages",
            with(client(&["server auth"]), &["Approved"]),
            "fail: invalid usage for client certificate: server auth",
        ),
        (
            "no request",
            broken(with(good(), &["Approved"])),
            "fail: the request is not a PEM block of type CERTIFICATE REQUEST",
        ),
        (
            "another's signer",
            with(of("example.com/own"), &["Approved"]),
            "nothing",
        ),
        (
            "legacy signer",
            with(of("kubernetes.io/legacy-unknown"), &["Approved"]),
            "nothing",
        ),
        ("a node for itself", own(of_node("n1")), "[SelfNodeClient, NodeClient]"),
        ("a node for another", own(of_node("n2")), "[NodeClient]"),
        ("somebody for a node", of_node("n1"), "[NodeClient]"),
        ("denied node", with(of_node("n1"), &["Denied"]), "nothing"),
        ("approved node", with(of_node("n1"), &["Approved"]), "sign"),
    ];
    for (row, request, expected) in rows {
        let plan = plan(&request, LIFE_MAX, at("2026-01-01T01:00:00Z"));
        assert_eq!(name_of(&plan.due), expected, "{row}");
    }
}

#[test]
fn requests_are_kept_for_their_time() {
    let issued = |mut request: Value| {
        request["status"]["certificate"] = json!("eA==");
        request
    };
    let good = || client(&["client auth"]);
    let rows = [
        ("pending: a day", good(), Some("2026-01-02T00:00:00Z")),
        ("approved, not signed yet", with(good(), &["Approved"]), None),
        (
            "issued",
            issued(with(good(), &["Approved"])),
            Some("2026-01-01T02:00:00Z"),
        ),
        ("denied", with(good(), &["Denied"]), Some("2026-01-01T02:00:00Z")),
        (
            "failed",
            with(good(), &["Approved", "Failed"]),
            Some("2026-01-01T02:00:00Z"),
        ),
    ];
    for (row, request, until) in rows {
        let until = until.map(at);
        assert_eq!(
            plan(&request, LIFE_MAX, at("2026-01-01T01:00:00Z")).look_again,
            until,
            "{row}"
        );
        if let Some(until) = until {
            assert_eq!(plan(&request, LIFE_MAX, until).due, Due::Delete, "{row}");
        }
    }
}

#[test]
fn a_request_goes_when_its_certificate_has_ended() {
    let mut params = rcgen::CertificateParams::default();
    params.not_before = rcgen::date_time_ymd(2020, 1, 1);
    params.not_after = rcgen::date_time_ymd(2021, 1, 1);
    let ended = params.self_signed(&rcgen::KeyPair::generate().unwrap()).unwrap();
    let mut request = with(client(&["client auth"]), &["Approved"]);
    request["status"]["certificate"] = json!(base64::Engine::encode(
        &base64::engine::general_purpose::STANDARD,
        ended.pem()
    ));
    assert_eq!(plan(&request, LIFE_MAX, at("2026-01-01T01:00:00Z")).due, Due::Delete);
}
