use serde_json::json;

use super::*;
use crate::resource::by_path;

#[test]
fn each_field_is_named_where_it_stands_first() {
    let cases = [
        (json!({"containers": [{"ports": [{"containerPort": 80}]}]}), vec![]),
        (
            json!({"containers": [{"ports": [{"hostPort": 0}]}], "setHostnameAsFQDN": false}),
            vec![],
        ),
        (
            json!({"affinity": {"podAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": []}}}),
            vec![],
        ),
        (
            json!({"containers": [{}, {"ports": [{"containerPort": 1}, {"hostPort": 80}, {"hostPort": 81}]}]}),
            vec!["spec.containers[1].ports[1].hostPort: "],
        ),
        // Such a pod has the node's ports anyway.
        (
            json!({"hostNetwork": true, "containers": [{"ports": [{"hostPort": 80}]}]}),
            vec![],
        ),
        (
            json!({"setHostnameAsFQDN": true, "runtimeClassName": "kata"}),
            vec!["spec.runtimeClassName: ", "spec.setHostnameAsFQDN: "],
        ),
        (
            json!({"affinity": {
                "nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [{"weight": 1}]},
                "podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [{"topologyKey": "z"}]},
            }}),
            vec!["spec.affinity.podAntiAffinity: "],
        ),
    ];
    let pods = by_path("", "v1", "pods").unwrap();
    for (spec, expected) in cases {
        let said = warnings(pods, None, &json!({ "spec": spec }));
        assert_eq!(said.len(), expected.len(), "{spec}: {said:?}");
        for (said, expected) in said.iter().zip(expected) {
            assert!(said.starts_with(expected), "{spec}: {said}");
        }
    }
}

#[test]
fn templates_of_pods_are_looked_at_in_every_kind_that_has_one() {
    let spec = json!({"runtimeClassName": "kata"});
    for (group, plural, path) in [
        ("", "pods", "spec"),
        ("", "podtemplates", "template.spec"),
        ("", "replicationcontrollers", "spec.template.spec"),
        ("apps", "deployments", "spec.template.spec"),
        ("apps", "replicasets", "spec.template.spec"),
        ("apps", "statefulsets", "spec.template.spec"),
        ("apps", "daemonsets", "spec.template.spec"),
        ("batch", "jobs", "spec.template.spec"),
        ("batch", "cronjobs", "spec.jobTemplate.spec.template.spec"),
    ] {
        let object = path
            .split('.')
            .rev()
            .fold(spec.clone(), |inner, field| json!({ field: inner }));
        let said = warnings(by_path(group, "v1", plural).unwrap(), None, &object);
        assert_eq!(said.len(), 1, "{plural}");
        assert!(
            said[0].starts_with(&format!("{path}.runtimeClassName: ")),
            "{plural}: {said:?}"
        );
    }
    let services = by_path("", "v1", "services").unwrap();
    assert!(warnings(services, None, &json!({ "spec": spec })).is_empty());
}

#[test]
fn a_change_of_something_else_says_nothing_again() {
    let pods = by_path("", "v1", "pods").unwrap();
    let pod = |port: u16, name: &str| json!({"spec": {"containers": [{"name": name, "ports": [{"hostPort": port}]}]}});
    for (before, after, expected) in [
        (pod(0, "a"), pod(80, "a"), 1),
        (pod(80, "a"), pod(80, "b"), 0),
        (pod(80, "a"), pod(0, "a"), 0),
    ] {
        assert_eq!(
            warnings(pods, Some(&before), &after).len(),
            expected,
            "{before} {after}"
        );
    }
}
