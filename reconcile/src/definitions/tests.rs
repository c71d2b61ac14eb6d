//! Who gets which names, and what the conditions say of it.

use std::collections::BTreeMap;

use api::Timestamp;
use serde_json::{Value, json};

use super::{status, terminating};

fn definition(plural: &str, kind: &str, short: &[&str]) -> Value {
    json!({
        "metadata": { "name": format!("{plural}.example.com") },
        "spec": {
            "group": "example.com",
            "names": {
                "plural": plural, "singular": kind.to_lowercase(), "kind": kind, "listKind": format!("{kind}List"),
                "shortNames": short,
            },
        },
    })
}

fn condition<'a>(status: &'a Value, kind: &str) -> (&'a str, &'a str, &'a str) {
    let list = status["conditions"].as_array().unwrap();
    let found = list.iter().find(|condition| condition["type"] == kind).unwrap();
    let text = |field: &str| found[field].as_str().unwrap();
    (text("status"), text("reason"), text("message"))
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

#[test]
fn free_names_are_accepted_and_the_kind_is_established() {
    let one = definition("widgets", "Widget", &["wd"]);
    let told = status(&one, &BTreeMap::new(), None, at(1)).unwrap();
    assert_eq!(
        condition(&told, "NamesAccepted"),
        ("True", "NoConflicts", "no conflicts found")
    );
    assert_eq!(
        condition(&told, "Established"),
        ("True", "InitialNamesAccepted", "the initial names have been accepted")
    );
    assert_eq!(told["acceptedNames"]["plural"], "widgets");
    let mut settled = one;
    settled["status"] = told;
    assert_eq!(
        status(&settled, &BTreeMap::new(), None, at(9)),
        None,
        "nothing more to say"
    );
}

#[test]
fn names_that_another_has_are_refused_by_kind_of_name() {
    let mut first = definition("widgets", "Widget", &["wd"]);
    first["status"] = status(&first, &BTreeMap::new(), None, at(1)).unwrap();
    let others = BTreeMap::from([("widgets.example.com".to_owned(), first)]);
    let rows = [
        (
            definition("gadgets", "Widget", &[]),
            "KindConflict",
            "\"Widget\" is already in use",
        ),
        (
            definition("gadgets", "Gadget", &["wd"]),
            "ShortNamesConflict",
            "\"wd\" is already in use",
        ),
        (
            definition("wd", "Gadget", &[]),
            "PluralConflict",
            "\"wd\" is already in use",
        ),
    ];
    for (second, reason, message) in rows {
        let mut second = second;
        if reason == "KindConflict" {
            second["spec"]["names"]["singular"] = json!("gadget");
        }
        let told = status(&second, &others, None, at(2)).unwrap();
        assert_eq!(condition(&told, "NamesAccepted"), ("False", reason, message));
        assert_eq!(
            condition(&told, "Established"),
            ("False", "NotAccepted", "not all names are accepted"),
            "{reason}"
        );
    }
    let mut elsewhere = definition("widgets", "Widget", &["wd"]);
    elsewhere["spec"]["group"] = json!("other.example.com");
    elsewhere["metadata"]["name"] = json!("widgets.other.example.com");
    let told = status(&elsewhere, &others, None, at(2)).unwrap();
    assert_eq!(
        condition(&told, "NamesAccepted").0,
        "True",
        "names are taken within a group"
    );
}

#[test]
fn a_refusal_of_the_server_is_told() {
    let told = status(
        &definition("widgets", "Widget", &[]),
        &BTreeMap::new(),
        Some("too many"),
        at(1),
    )
    .unwrap();
    assert_eq!(
        condition(&told, "Established"),
        ("False", "TooManyVersions", "too many")
    );
}

#[test]
fn a_definition_that_goes_says_how_far_it_is() {
    let one = definition("widgets", "Widget", &[]);
    let told = terminating(&one, "InstanceDeletionPending", "soon", at(1)).unwrap();
    assert_eq!(
        condition(&told, "Terminating"),
        ("True", "InstanceDeletionPending", "soon")
    );
    let mut second = one;
    second["status"] = told.clone();
    let told_again = terminating(&second, "InstanceDeletionInProgress", "now", at(5)).unwrap();
    let times = |status: &Value| status["conditions"][0]["lastTransitionTime"].clone();
    assert_eq!(times(&told), times(&told_again), "the status is still True");
}
