//! Ingresses, policies, storage classes, certificate requests, flow control.

use serde_json::{Value, json};

use super::{check_rows, complete, update, with};

#[test]
fn ingresses_lead_to_backends() {
    let good = complete(
        "networking.k8s.io",
        "ingresses",
        json!({
            "metadata": { "name": "i", "namespace": "default" },
            "spec": { "rules": [{ "host": "a.example", "http": { "paths": [{
                "path": "/", "pathType": "Prefix",
                "backend": { "service": { "name": "web", "port": { "number": 80 } } },
            }] } }] },
        }),
    );
    check_rows(
        "networking.k8s.io",
        "ingresses",
        &good,
        &[
            (vec![], &[]),
            (
                vec![("/spec/rules/0/host", json!("10.0.0.1"))],
                &["spec.rules[0].host: Invalid value: \"10.0.0.1\": must be a DNS name, not an IP address"],
            ),
            (
                vec![("/spec/rules/0/http/paths/0/pathType", Value::Null)],
                &["spec.rules[0].http.paths[0].pathType: Required value: pathType must be specified"],
            ),
            (
                vec![("/spec/rules/0/http/paths/0/path", json!("a"))],
                &["spec.rules[0].http.paths[0].path: Invalid value: \"a\": must be an absolute path"],
            ),
            (
                vec![("/spec/rules/0/http/paths/0/backend/service/port", json!({}))],
                &["spec.rules[0].http.paths[0].backend: Required value: port name or number is required"],
            ),
        ],
    );
}

#[test]
fn policies_get_their_directions_and_name_peers() {
    let policy = |spec: Value| {
        complete(
            "networking.k8s.io",
            "networkpolicies",
            json!({ "metadata": { "name": "p", "namespace": "default" }, "spec": spec }),
        )
    };
    let good = policy(json!({ "podSelector": {}, "egress": [{ "ports": [{ "port": 53 }] }] }));
    assert_eq!(good["spec"]["policyTypes"], json!(["Ingress", "Egress"]));
    assert_eq!(good["spec"]["egress"][0]["ports"][0]["protocol"], "TCP");
    assert_eq!(
        policy(json!({ "podSelector": {} }))["spec"]["policyTypes"],
        json!(["Ingress"])
    );
    check_rows(
        "networking.k8s.io",
        "networkpolicies",
        &good,
        &[
            (vec![], &[]),
            (
                vec![("/spec/ingress", json!([{ "from": [{}] }]))],
                &["spec.ingress[0].from[0]: Required value: must specify a peer"],
            ),
            (
                vec![(
                    "/spec/ingress",
                    json!([{ "from": [{ "ipBlock": { "cidr": "10.0.0.0/8", "except": ["11.0.0.0/16"] } }] }]),
                )],
                &[
                    "spec.ingress[0].from[0].ipBlock.except[0]: Invalid value: \"11.0.0.0/16\": must be a strict subset of `cidr`",
                ],
            ),
        ],
    );
}

#[test]
fn storage_classes_are_complete_and_stay_as_they_are() {
    let old = complete(
        "storage.k8s.io",
        "storageclasses",
        json!({ "metadata": { "name": "fast" }, "provisioner": "example.com/disk" }),
    );
    assert_eq!(old["reclaimPolicy"], "Delete");
    assert_eq!(old["volumeBindingMode"], "Immediate");
    check_rows("storage.k8s.io", "storageclasses", &old, &[(vec![], &[])]);
    let new = with(&old, &[("/provisioner", json!("other"))]);
    assert_eq!(
        update("storage.k8s.io", "storageclasses", &new, &old),
        ["provisioner: Forbidden: updates to provisioner are forbidden."]
    );
}

#[test]
fn certificate_requests_hold_a_request_for_a_signer() {
    // The envelope around an empty sequence.
    let request =
        "LS0tLS1CRUdJTiBDRVJUSUZJQ0FURSBSRVFVRVNULS0tLS0KTUFBPQotLS0tLUVORCBDRVJUSUZJQ0FURSBSRVFVRVNULS0tLS0K";
    let good = json!({
        "metadata": { "name": "c" },
        "spec": { "request": request, "signerName": "example.com/a", "usages": ["client auth"] },
    });
    check_rows(
        "certificates.k8s.io",
        "certificatesigningrequests",
        &good,
        &[
            (vec![], &[]),
            (
                vec![("/spec/request", json!("YQ=="))],
                &["spec.request: Invalid value: \"YQ==\": PEM block type must be CERTIFICATE REQUEST"],
            ),
            (
                vec![("/spec/signerName", json!("a"))],
                &["spec.signerName: Invalid value: \"a\": must be a fully qualified domain and path"],
            ),
            (
                vec![("/spec/expirationSeconds", json!(60))],
                &[
                    "spec.expirationSeconds: Invalid value: 60: may not specify a duration less than 600 seconds (10 minutes)",
                ],
            ),
        ],
    );
}

#[test]
fn only_the_exempt_level_is_exempt() {
    let good = complete(
        "flowcontrol.apiserver.k8s.io",
        "prioritylevelconfigurations",
        json!({
            "metadata": { "name": "p" },
            "spec": { "type": "Limited", "limited": { "limitResponse": { "type": "Queue", "queuing": {} } } },
        }),
    );
    assert_eq!(good["spec"]["limited"]["nominalConcurrencyShares"], 30);
    assert_eq!(good["spec"]["limited"]["limitResponse"]["queuing"]["queues"], 64);
    check_rows(
        "flowcontrol.apiserver.k8s.io",
        "prioritylevelconfigurations",
        &good,
        &[
            (vec![], &[]),
            (
                vec![("/metadata/name", json!("exempt"))],
                &["spec.type: Invalid value: \"Limited\": type must be 'Exempt' if and only if name is 'exempt'"],
            ),
            (
                vec![("/spec/limited/limitResponse/queuing/handSize", json!(65))],
                &[
                    "spec.limited.limitResponse.queuing.handSize: Invalid value: 65: should not be greater than queues (64)",
                ],
            ),
        ],
    );
}
