//! How kinds may be named.

use serde_json::json;

use super::*;

/// A few kinds as a server lists them.
pub(crate) fn sample() -> Discovery {
    let row = |group: &str, version: &str, plural: &str, singular: &str, kind: &str, short: &[&str], namespaced| {
        ResourceType {
            group: group.into(),
            version: version.into(),
            plural: plural.into(),
            singular: singular.into(),
            kind: kind.into(),
            short_names: short.iter().map(ToString::to_string).collect(),
            categories: if namespaced { vec!["all".into()] } else { Vec::new() },
            namespaced,
        }
    };
    Discovery::of(vec![
        row("", "v1", "pods", "pod", "Pod", &["po"], true),
        row("", "v1", "services", "service", "Service", &["svc"], true),
        row("", "v1", "nodes", "node", "Node", &["no"], false),
        row("", "v1", "events", "event", "Event", &["ev"], true),
        row("events.k8s.io", "v1", "events", "event", "Event", &["ev"], true),
        row(
            "apps",
            "v1",
            "deployments",
            "deployment",
            "Deployment",
            &["deploy"],
            true,
        ),
    ])
}

#[test]
fn kinds_are_found_by_every_name_they_have() {
    let discovery = sample();
    for (text, expected) in [
        ("pods", Some(("", "pods"))),
        ("Pod", Some(("", "pods"))),
        ("po", Some(("", "pods"))),
        ("svc", Some(("", "services"))),
        ("deploy", Some(("apps", "deployments"))),
        ("deployments.apps", Some(("apps", "deployments"))),
        ("deployment.v1.apps", Some(("apps", "deployments"))),
        ("deployments.batch", None),
        ("events", Some(("", "events"))),
        ("events.events.k8s.io", Some(("events.k8s.io", "events"))),
        ("nonsense", None),
    ] {
        let found = discovery
            .named(text)
            .ok()
            .map(|found| (found.group.as_str(), found.plural.as_str()));
        assert_eq!(found, expected, "{text}");
    }
}

#[test]
fn a_slip_of_the_pen_gets_a_suggestion() {
    for (word, suggestion) in [
        ("deploymnet", "; did you mean \"deployment\"?"),
        ("pdos", ""),
        ("podz", "; did you mean \"pod\"?"),
        ("foo", ""),
        ("x", ""),
        ("", ""),
    ] {
        let error = sample().named(word).expect_err("unknown").to_string();
        assert_eq!(
            error,
            format!("the server doesn't have a resource type {word:?}{suggestion}")
        );
    }
}

#[test]
fn objects_say_their_kind() {
    let discovery = sample();
    let found = discovery
        .of_object(&json!({"apiVersion": "apps/v1", "kind": "Deployment"}))
        .expect("known");
    assert_eq!(found.plural, "deployments");
    for (object, hint) in [
        (
            json!({"apiVersion": "v1", "kind": "Deployment"}),
            "no matches for kind \"Deployment\" in version \"v1\": the server has Deployment in apps/v1",
        ),
        (json!({"apiVersion": "v1", "kind": "Gizmo"}), "api-resources"),
        (json!({"kind": "Pod"}), "needs both"),
    ] {
        let error = discovery.of_object(&object).expect_err("unknown").to_string();
        assert!(error.contains(hint), "{error}");
    }
}

#[test]
fn both_forms_of_discovery_say_the_same() {
    let aggregated = json!({"items": [{"metadata": {"name": "apps"}, "versions": [{"version": "v1", "resources": [{
        "resource": "deployments", "responseKind": {"kind": "Deployment"}, "scope": "Namespaced",
        "singularResource": "deployment", "shortNames": ["deploy"], "categories": ["all"]}]}]}]});
    let found = from_aggregated(&aggregated);
    assert_eq!(
        found.iter().collect::<Vec<_>>(),
        [sample().named("deploy").expect("known")]
    );
}
