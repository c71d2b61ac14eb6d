use serde_json::json;

use super::*;
use crate::certificates::examples::{object, request};

#[test]
fn decisions_take_approve_and_all_else_of_the_status_takes_sign() {
    let approved = json!({ "type": "Approved", "status": "True" });
    let failed = json!({ "type": "Failed", "status": "True" });
    let rows = [
        (json!({}), json!({}), vec![]),
        (json!({}), json!({ "conditions": [approved] }), vec![Right::Approve]),
        (json!({}), json!({ "conditions": [failed] }), vec![Right::Sign]),
        (
            json!({ "conditions": [approved] }),
            json!({ "conditions": [approved], "certificate": "eA==" }),
            vec![Right::Sign],
        ),
        (
            json!({}),
            json!({ "conditions": [approved, failed] }),
            vec![Right::Approve, Right::Sign],
        ),
    ];
    for (old, new, expected) in rows {
        let (old, new) = (json!({ "status": old }), json!({ "status": new }));
        assert_eq!(needed(&old, &new), expected, "{old} -> {new}");
    }
}

#[test]
fn a_right_is_over_a_signer_or_its_whole_domain() {
    let names = Right::Sign.requests("example.com/a").map(|request| match request {
        Request::Resource(request) => format!("{} {} {}", request.verb, request.path(), request.name),
        Request::Path { .. } => unreachable!(),
    });
    assert_eq!(names, ["sign signers example.com/a", "sign signers example.com/*"]);
}

#[test]
fn nobody_gets_a_client_certificate_of_masters() {
    let rows = [
        ("kubernetes.io/kube-apiserver-client", ["dev", "system:masters"], true),
        ("kubernetes.io/kube-apiserver-client", ["dev", "ops"], false),
        ("example.com/own", ["dev", "system:masters"], false),
    ];
    for (signer, groups, is_refused) in rows {
        let request = object(signer, &["client auth"], &request("jane", &groups, Vec::new()));
        assert_eq!(subject_fault(&request).is_some(), is_refused, "{signer} {groups:?}");
    }
}
