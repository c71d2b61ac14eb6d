use super::*;

fn webhook() -> Webhook {
    Webhook::parse(&json!({
        "name": "a.example.com",
        "clientConfig": { "url": "https://localhost/" },
        "admissionReviewVersions": ["v2", "v1"],
        "sideEffects": "None",
    }))
}

fn answer(response: Value) -> Value {
    json!({ "kind": "AdmissionReview", "apiVersion": "admission.k8s.io/v1", "response": response })
}

#[test]
fn an_answer_is_read_or_its_fault_is_told() {
    let patch = STANDARD.encode("[]");
    let rows = [
        (answer(json!({ "uid": "u", "allowed": true })), Ok(None)),
        (
            answer(json!({ "uid": "u", "allowed": true, "patchType": "JSONPatch", "patch": patch })),
            Ok(Some("[]")),
        ),
        (
            answer(json!({ "uid": "u", "allowed": true, "patch": patch })),
            Err("patchType"),
        ),
        (
            answer(json!({ "uid": "u", "allowed": true, "patchType": "JSONPatch", "patch": "%" })),
            Err("base64"),
        ),
        (
            answer(json!({ "uid": "v", "allowed": true })),
            Err("expected response.uid"),
        ),
        (answer(Value::Null), Err("absent")),
        (
            json!({ "response": { "uid": "u", "allowed": true } }),
            Err("Kind=AdmissionReview"),
        ),
    ];
    for (document, expected) in rows {
        let read = webhook().read(Phase::Mutating, "u", document.to_string().as_bytes());
        match (read, expected) {
            (Ok(answered), Ok(patch)) => {
                let patch = patch.map(|text: &str| text.as_bytes().to_vec());
                assert_eq!(answered.answer, Answer::Allowed { patch }, "{document}");
            }
            (Err(error), Err(part)) => assert!(error.contains(part), "{document}: {error}"),
            (read, expected) => panic!("{document}: {read:?}, expected {expected:?}"),
        }
    }
    assert!(webhook().read(Phase::Mutating, "u", b"{").is_err());
    let patching = answer(json!({ "uid": "u", "allowed": true, "patchType": "JSONPatch", "patch": patch }));
    let read = webhook().read(Phase::Validating, "u", patching.to_string().as_bytes());
    assert!(read.is_err(), "a validating webhook does not patch");
}

#[test]
fn a_refusal_says_who_refuses_and_why() {
    let denied = "admission webhook \"a.example.com\" denied the request";
    let rows = [
        (json!({}), 400, "", format!("{denied} without explanation")),
        (json!({ "reason": "Never" }), 400, "Never", format!("{denied}: Never")),
        (
            json!({ "message": "no", "reason": "Never", "code": 402 }),
            402,
            "Never",
            format!("{denied}: no"),
        ),
        (json!({ "code": 200 }), 400, "", format!("{denied} without explanation")),
        (
            json!({ "code": 70_000 }),
            400,
            "",
            format!("{denied} without explanation"),
        ),
    ];
    for (status, code, reason, message) in rows {
        let document = answer(json!({ "uid": "u", "allowed": false, "status": status, "warnings": ["w"] }));
        let read = webhook().read(Phase::Validating, "u", document.to_string().as_bytes());
        let denial = Denial {
            code,
            reason: reason.to_owned(),
            message,
        };
        let expected = Answered {
            answer: Answer::Denied(denial),
            warnings: vec!["w".to_owned()],
        };
        assert_eq!(read, Ok(expected), "{status}");
    }
}

#[test]
fn a_webhook_that_speaks_no_known_version_is_not_asked() {
    let webhook = Webhook::parse(&json!({
        "clientConfig": { "url": "https://localhost/" }, "admissionReviewVersions": ["v7"],
    }));
    assert!(webhook.destination().unwrap_err().contains("AdmissionReview versions"));
    let nowhere = Webhook::parse(&json!({ "clientConfig": {}, "admissionReviewVersions": ["v1"] }));
    assert!(nowhere.destination().unwrap_err().contains("clientConfig"));
}
