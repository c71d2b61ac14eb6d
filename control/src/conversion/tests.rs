use serde_json::{Value, json};

use super::{BATCH_BYTES_MAX, BATCH_OBJECTS_MAX, Fault, Hook, batches};

fn hook(versions: &Value) -> Hook {
    let conversion = json!({
        "strategy": "Webhook",
        "webhook": {
            "clientConfig": { "url": "https://localhost:8443/convert" },
            "conversionReviewVersions": versions,
        },
    });
    Hook::parse(&conversion).unwrap()
}

fn object(version: &str, name: &str) -> Value {
    json!({
        "apiVersion": format!("example.com/{version}"), "kind": "Gear",
        "metadata": { "name": name, "namespace": "a", "uid": "u", "labels": { "x": "y" }, "generation": 3 },
    })
}

fn review(response: &Value) -> Value {
    json!({ "kind": "ConversionReview", "apiVersion": "apiextensions.k8s.io/v1", "response": response })
}

fn success(objects: &Value) -> Value {
    review(&json!({ "uid": "r", "result": { "status": "Success" }, "convertedObjects": objects }))
}

fn read(document: &Value) -> Result<Vec<Value>, String> {
    let before = object("v1", "one");
    let answer = hook(&json!(["v2", "v1"])).read(
        "r",
        "example.com/v2",
        std::slice::from_ref(&before),
        document.to_string().as_bytes(),
    );
    answer.map_err(|fault| fault.message(&before))
}

#[test]
fn only_the_strategy_of_webhooks_has_one() {
    assert!(Hook::parse(&Value::Null).is_none());
    assert!(Hook::parse(&json!({ "strategy": "None" })).is_none());
    assert!(hook(&json!(["v1"])).destination().is_ok());
    assert_eq!(
        hook(&json!(["v7"])).destination().unwrap_err(),
        "no supported conversion review versions"
    );
}

#[test]
fn the_review_is_of_the_first_version_that_is_known_here() {
    for (versions, expected) in [
        (json!(["v1", "v1beta1"]), "apiextensions.k8s.io/v1"),
        (json!(["v3", "v1beta1", "v1"]), "apiextensions.k8s.io/v1beta1"),
    ] {
        let document = hook(&versions).review("r", "example.com/v2", &[object("v1", "one")]);
        let review: Value = serde_json::from_slice(&document).unwrap();
        assert_eq!(review["apiVersion"], expected);
        assert_eq!(review["kind"], "ConversionReview");
        assert_eq!(
            review["request"],
            json!({ "uid": "r", "desiredAPIVersion": "example.com/v2", "objects": [object("v1", "one")] })
        );
    }
}

#[test]
fn an_answer_changes_everything_but_the_metadata() {
    let mut answer = object("v2", "one");
    answer["spec"] = json!({ "teeth": 5 });
    answer["metadata"] = json!({
        "name": "one", "namespace": "a", "uid": "u", "generation": 9, "finalizers": ["x/y"],
        "labels": { "x": "z" }, "annotations": { "Example.com/a": "b" },
    });
    let converted = read(&success(&json!([answer]))).unwrap();
    assert_eq!(
        converted,
        [json!({
            "apiVersion": "example.com/v2", "kind": "Gear", "spec": { "teeth": 5 },
            "metadata": {
                "name": "one", "namespace": "a", "uid": "u", "generation": 3,
                "labels": { "x": "z" }, "annotations": { "Example.com/a": "b" },
            },
        })]
    );
    answer["metadata"]["labels"].take();
    let converted = read(&success(&json!([answer]))).unwrap();
    assert_eq!(converted[0]["metadata"].get("labels"), None, "taken away");
}

#[test]
fn what_is_no_answer_is_told_as_kubernetes_tells_it() {
    let changed = |pointer: &str, value: Value| {
        let mut answer = object("v2", "one");
        let (parent, field) = pointer.rsplit_once('/').unwrap();
        answer.pointer_mut(parent).unwrap()[field] = value;
        success(&json!([answer]))
    };
    let mut bare = object("v2", "one");
    bare.as_object_mut().unwrap().remove("metadata");
    let mut unnamed = object("v1", "one");
    unnamed["metadata"].take();
    let at_0 = "returned invalid converted object at index 0: ";
    let rows = [
        (
            json!({}),
            "failed: expected webhook response of apiextensions.k8s.io/v1, Kind=ConversionReview, got , Kind="
                .to_owned(),
        ),
        (review(&Value::Null), "failed: no response provided".to_owned()),
        (
            review(&json!({ "uid": "q" })),
            "failed: expected response.uid=\"r\", got \"q\"".to_owned(),
        ),
        (
            review(&json!({ "uid": "r", "result": { "status": "Failed", "message": "no way" } })),
            "failed: no way".to_owned(),
        ),
        (
            review(&json!({ "uid": "r", "result": { "status": "Failed" } })),
            "failed: response.result.status was 'Failed', not 'Success'".to_owned(),
        ),
        (
            review(&json!({ "uid": "r" })),
            "failed: response.result.status was '', not 'Success'".to_owned(),
        ),
        (success(&json!([])), "returned 0 objects, expected 1".to_owned()),
        (success(&Value::Null), "returned 0 objects, expected 1".to_owned()),
        (
            success(&json!([object("v2", "one"), object("v2", "two")])),
            "returned 2 objects, expected 1".to_owned(),
        ),
        (
            success(&json!([object("v1", "one")])),
            format!("{at_0}invalid groupVersion (expected example.com/v2, received example.com/v1)"),
        ),
        (
            changed("/kind", json!("Rig")),
            format!("{at_0}invalid kind (expected Gear, received Rig)"),
        ),
        (
            changed("/metadata/name", json!("two")),
            format!("{at_0}must have the same name: one != two"),
        ),
        (
            changed("/metadata/namespace", Value::Null),
            format!("{at_0}must have the same namespace: a != "),
        ),
        (
            changed("/metadata/uid", json!("v")),
            format!("{at_0}must have the same UID: u != v"),
        ),
        (
            success(&json!([bare])),
            format!("{at_0}must have the same name: one != "),
        ),
        (
            changed("/metadata/labels", json!(["x"])),
            format!("{at_0}invalid metadata.labels in converted object: it is no object"),
        ),
        (
            changed("/metadata/annotations", json!({ "a": 5 })),
            format!("{at_0}invalid metadata.annotations in converted object: the value of \"a\" is no string"),
        ),
    ];
    for (document, expected) in rows {
        let expected = format!("conversion webhook for example.com/v1, Kind=Gear {expected}");
        assert_eq!(read(&document), Err(expected), "{document}");
    }
    let bad_label = changed("/metadata/labels", json!({ "x": "y", "no label": "" }));
    assert!(read(&bad_label).unwrap_err().contains("invalid metadata.labels"));
    let garbage = hook(&json!(["v1"])).read("r", "example.com/v2", &[unnamed], b"<html>");
    assert!(matches!(garbage, Err(Fault::NoAnswer(_))), "{garbage:?}");
}

#[test]
fn objects_are_asked_about_together_but_not_too_many() {
    let sizes = |list: &[usize]| batches(list.iter().copied());
    assert_eq!(sizes(&[]), Vec::<usize>::new());
    assert_eq!(sizes(&[10, 10, 10]), [3]);
    assert_eq!(sizes(&[BATCH_BYTES_MAX + 1, 1, BATCH_BYTES_MAX, 1]), [1, 1, 1, 1]);
    assert_eq!(sizes(&vec![1; BATCH_OBJECTS_MAX + 1]), [BATCH_OBJECTS_MAX, 1]);
}
