//! Parsing and matching of selectors.

use serde_json::json;

use super::{FieldSelector, LabelSelector, SELECTOR_BYTES_MAX};
use crate::resource::by_path;

#[test]
fn label_selectors_match_as_documented() {
    let pod = json!({"metadata": {"labels": {"app": "web", "tier": "front", "n": "5", "empty": ""}}});
    let rows = [
        ("", true),
        ("app=web", true),
        ("app==web", true),
        ("app = web", true),
        ("app=db", false),
        ("app!=db", true),
        ("app!=web", false),
        ("absent!=x", true),
        ("app", true),
        ("absent", false),
        ("!absent", true),
        ("!app", false),
        ("tier in (front, back)", true),
        ("tier in (back)", false),
        ("tier notin (back)", true),
        ("absent notin (a)", true),
        ("empty=", true),
        ("empty in ()", true),
        ("app=web,tier=front", true),
        ("app=web,tier=back", false),
        ("n>4", true),
        ("n>5", false),
        ("n<6", true),
        ("app>1", false),
        ("app in (web),!absent,n", true),
    ];
    for (text, expected) in rows {
        let selector = LabelSelector::parse(text).unwrap_or_else(|err| panic!("{text}: {err}"));
        assert_eq!(selector.matches_object(&pod), expected, "{text}");
    }
}

#[test]
fn an_object_without_labels_matches_only_what_asks_for_none() {
    let bare = json!({"metadata": {}});
    assert!(LabelSelector::parse("!a").unwrap().matches_object(&bare));
    assert!(!LabelSelector::parse("a").unwrap().matches_object(&bare));
    assert!(!LabelSelector::nothing().matches_object(&bare));
}

#[test]
fn bad_label_selectors_are_refused() {
    for text in [
        "=web",
        "app=web,",
        "app in web",
        "app in (web",
        "app web",
        "!",
        "a b=c",
        "app=we b",
        "-a=b",
        "a=b c",
        "n>x",
        "a=-",
        "((",
        "a=b=c",
    ] {
        assert!(LabelSelector::parse(text).is_err(), "{text}");
    }
    assert!(LabelSelector::parse(&"a".repeat(SELECTOR_BYTES_MAX + 1)).is_err());
}

#[test]
fn label_selectors_print_in_the_form_the_scale_subresource_shows() {
    let rows = [
        ("b=1,a=2", "a=2,b=1"),
        ("a in (y,x)", "a in (x,y)"),
        ("a notin (x)", "a!=x"),
        ("!a,b", "!a,b"),
    ];
    for (text, printed) in rows {
        assert_eq!(LabelSelector::parse(text).unwrap().to_string(), printed, "{text}");
    }
}

#[test]
fn selectors_in_objects_match_labels_and_expressions() {
    let selector = LabelSelector::from_value(&json!({
        "matchLabels": {"app": "web"},
        "matchExpressions": [{"key": "tier", "operator": "NotIn", "values": ["back"]}],
    }))
    .unwrap();
    assert!(selector.matches_object(&json!({"metadata": {"labels": {"app": "web"}}})));
    assert!(!selector.matches_object(&json!({"metadata": {"labels": {"app": "web", "tier": "back"}}})));
    assert!(LabelSelector::from_value(&json!({})).unwrap().is_everything());
    assert!(
        LabelSelector::from_value(&json!({"matchExpressions": [{"key": "a", "operator": "In", "values": []}]}))
            .is_err()
    );
    assert!(LabelSelector::from_value(&json!({"matchExpressions": [{"key": "a", "operator": "Near"}]})).is_err());
}

#[test]
fn field_selectors_compare_the_fields_text() {
    let pod = json!({
        "metadata": {"name": "a", "namespace": "ns"},
        "spec": {"nodeName": "n1"},
        "status": {"phase": "Running"},
    });
    let rows = [
        ("", true),
        ("metadata.name=a", true),
        ("metadata.name==a,spec.nodeName=n1", true),
        ("metadata.name=b", false),
        ("status.phase!=Failed", true),
        ("status.phase!=Running", false),
        ("status.podIP=", true),
        ("spec.hostNetwork=false", true),
        ("status.phase=Run\\,ning", false),
    ];
    for (text, expected) in rows {
        let selector = FieldSelector::parse(text).unwrap_or_else(|err| panic!("{text}: {err}"));
        assert_eq!(selector.matches(&pod), expected, "{text}");
        selector.check(by_path("", "v1", "pods").unwrap()).unwrap();
    }
    let event = json!({"source": {}, "reportingComponent": "scheduler"});
    assert!(FieldSelector::parse("source=scheduler").unwrap().matches(&event));
}

#[test]
fn bad_field_selectors_and_foreign_fields_are_refused() {
    for text in ["metadata.name", "a,b=c", "a=\\x", "a!b"] {
        assert!(FieldSelector::parse(text).is_err(), "{text}");
    }
    let nodes = by_path("", "v1", "nodes").unwrap();
    let error = FieldSelector::parse("spec.nodeName=a")
        .unwrap()
        .check(nodes)
        .unwrap_err();
    assert_eq!(error.to_string(), "field label not supported: spec.nodeName");
    assert!(
        FieldSelector::parse("metadata.namespace=a")
            .unwrap()
            .check(nodes)
            .is_err()
    );
    assert_eq!(
        FieldSelector::parse("metadata.name=a")
            .unwrap()
            .required("metadata.name"),
        Some("a")
    );
}
