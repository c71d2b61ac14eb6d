//! Tables of faults: what is changed in a good object, and what is said about it.

mod batch;
mod classes;
mod extensions;
mod networking;
mod pods;
mod quantities;
mod roles;
mod services;
mod volumes;
mod workloads;

use serde_json::{Value, json};

use super::{names, validate_create, validate_update};
use crate::{defaulting, resource::by_path};

/// A change to an object: the value at a JSON pointer; null removes the field.
type Change = (&'static str, Value);

fn put(object: &mut Value, pointer: &str, value: Value) {
    let (parent, field) = pointer.rsplit_once('/').expect("a pointer");
    let parent = object
        .pointer_mut(parent)
        .unwrap_or_else(|| panic!("nothing at {parent}"));
    match (parent, value) {
        (Value::Object(fields), Value::Null) => drop(fields.remove(field)),
        (Value::Object(fields), value) => drop(fields.insert(field.to_owned(), value)),
        (Value::Array(items), value) => match field.parse::<usize>() {
            Ok(index) if index < items.len() => items[index] = value,
            _ => items.push(value),
        },
        (other, _) => panic!("{pointer} is in {other}"),
    }
}

fn with(object: &Value, changes: &[Change]) -> Value {
    let mut object = object.clone();
    for (pointer, value) in changes {
        put(&mut object, pointer, value.clone());
    }
    object
}

/// The row in whose form objects are kept: the preferred version's.
fn row(group: &str, plural: &str) -> &'static crate::resource::Resource {
    let version = if group == "autoscaling" { "v2" } else { "v1" };
    by_path(group, version, plural).unwrap()
}

fn complete(group: &str, plural: &str, object: Value) -> Value {
    let mut object = object;
    defaulting::apply(row(group, plural), &mut object);
    object
}

/// The faults that creating `object` has.
fn create(group: &str, plural: &str, object: &Value) -> Vec<String> {
    validate_create(row(group, plural), object)
        .iter()
        .map(ToString::to_string)
        .collect()
}

fn update(group: &str, plural: &str, new: &Value, old: &Value) -> Vec<String> {
    validate_update(row(group, plural), new, old)
        .iter()
        .map(ToString::to_string)
        .collect()
}

/// Each row: changes to a good object, and the faults they make, each given by how it starts.
fn check_rows(group: &str, plural: &str, good: &Value, rows: &[(Vec<Change>, &[&str])]) {
    assert_eq!(create(group, plural, good), Vec::<String>::new(), "the good one");
    for (changes, faults) in rows {
        let found = create(group, plural, &with(good, changes));
        assert_faults(changes, &found, faults);
    }
}

/// Each row: changes to a good object that stands already, and the faults they make, each given by how it starts.
fn update_rows(group: &str, plural: &str, old: &Value, rows: &[(Vec<Change>, &[&str])]) {
    assert_eq!(update(group, plural, old, old), Vec::<String>::new(), "no change");
    for (changes, faults) in rows {
        let found = update(group, plural, &with(old, changes), old);
        assert_faults(changes, &found, faults);
    }
}

fn assert_faults(row: &dyn std::fmt::Debug, found: &[String], expected: &[&str]) {
    let agree = found.len() == expected.len()
        && found
            .iter()
            .zip(expected)
            .all(|(found, expected)| found.starts_with(expected));
    assert!(agree, "{row:?}\n found {found:#?}\n expected {expected:#?}");
}

fn config_map() -> Value {
    json!({"metadata": {"name": "a", "namespace": "ns"}, "data": {"key": "value"}})
}

#[test]
fn names_follow_their_rules() {
    type Check = fn(&str) -> Result<(), String>;
    let long = "a".repeat(64);
    let very_long = "a".repeat(254);
    let rows: [(Check, &[&str], &[&str]); 7] = [
        (
            names::dns_label,
            &["a", "a-b", "1", "a1"],
            &["", "-a", "a-", "A", "a.b", "a_b", "ä", &long],
        ),
        (
            names::dns_subdomain,
            &["a.b", "a-1.b", "1"],
            &["", ".a", "a..b", "a.-b", "A.b", &very_long],
        ),
        (names::dns_1035_label, &["a", "a-1"], &["1a", "", "a.b", "-a"]),
        (
            names::label_key,
            &["a", "A_b.c", "example.com/a", "a/b"],
            &["", "/a", "a/", "a/b/c", "-a", "EXAMPLE.com/a", "a b", &long],
        ),
        (
            names::label_value,
            &["", "a", "A-b_c.1"],
            &["-a", "a-", "a b", "ä", &long],
        ),
        (
            names::config_key,
            &["a", ".a", "A_b-c.d"],
            &["", ".", "..", "..a", "a/b", "a b"],
        ),
        (
            names::port_name,
            &["web", "a-1", "1a"],
            &["", "80", "a--b", "-a", "a-", "Web", "abcdefghijklmnop"],
        ),
    ];
    for (check, good, bad) in rows {
        for text in good {
            assert_eq!(check(text), Ok(()), "{text:?}");
        }
        for text in bad {
            assert!(check(text).is_err(), "{text:?}");
        }
    }
    assert!(names::env_name("A B_ä").is_err());
    assert!(names::env_name("A=B").is_err());
    assert!(names::env_name("").is_err());
    assert!(names::env_name("my.VAR-1").is_ok());
}

#[test]
fn metadata_on_creation() {
    let long = "x".repeat(300_000);
    let rows: Vec<(Vec<Change>, &[&str])> = vec![
        (
            vec![("/metadata/name", json!(""))],
            &["metadata.name: Required value: name or generateName is required"],
        ),
        (
            vec![("/metadata/name", json!("A_b"))],
            &["metadata.name: Invalid value: \"A_b\": a lowercase RFC 1123 subdomain must consist of"],
        ),
        (vec![("/metadata/generateName", json!("web-"))], &[]),
        (
            vec![("/metadata/generateName", json!("Web-"))],
            &["metadata.generateName: Invalid value: \"Web-\": a lowercase RFC 1123 subdomain"],
        ),
        (
            vec![("/metadata/namespace", Value::Null)],
            &["metadata.namespace: Required value"],
        ),
        (
            vec![("/metadata/labels", json!({"a b": "c", "d": "e f"}))],
            &[
                "metadata.labels: Invalid value: \"a b\": name part must consist of alphanumeric characters",
                "metadata.labels: Invalid value: \"e f\": a valid label must be an empty string or consist of",
            ],
        ),
        (
            vec![("/metadata/annotations", json!({"a b": "anything goes here"}))],
            &["metadata.annotations: Invalid value: \"a b\""],
        ),
        (
            vec![("/metadata/annotations", json!({"a": long}))],
            &["metadata.annotations: Too long: may not be more than 262144 bytes"],
        ),
        (
            vec![(
                "/metadata/finalizers",
                json!(["example.com/x", "orphan", "mine", "a b"]),
            )],
            &[
                "metadata.finalizers[2]: Invalid value: \"mine\": name is neither a standard finalizer name nor",
                "metadata.finalizers[3]: Invalid value: \"a b\"",
            ],
        ),
        (
            vec![(
                "/metadata/ownerReferences",
                json!([
                    {"apiVersion": "v1", "kind": "Pod", "name": "a", "uid": "", "controller": true},
                    {"apiVersion": "v1", "kind": "Pod", "name": "b", "uid": "u", "controller": true},
                ]),
            )],
            &[
                "metadata.ownerReferences[0].uid: Invalid value: \"\": uid must not be empty",
                "metadata.ownerReferences: Invalid value: [",
            ],
        ),
    ];
    check_rows("", "configmaps", &config_map(), &rows);
    let namespace = json!({"metadata": {"name": "a.b", "namespace": "x"}});
    assert_faults(
        &"namespace",
        &create("", "namespaces", &namespace),
        &[
            "metadata.name: Invalid value: \"a.b\": a lowercase RFC 1123 label must consist of",
            "metadata.namespace: Forbidden: not allowed on this type",
        ],
    );
}

#[test]
fn metadata_on_update() {
    let old = with(
        &config_map(),
        &[("/metadata/uid", json!("u")), ("/metadata/generation", json!(2))],
    );
    let rows: Vec<(Vec<Change>, &[&str])> = vec![
        (vec![("/metadata/labels", json!({"a": "b"}))], &[]),
        (
            vec![("/metadata/uid", json!("v"))],
            &["metadata.uid: Invalid value: \"v\": field is immutable"],
        ),
        (
            vec![("/metadata/name", json!("b"))],
            &["metadata.name: Invalid value: \"b\": field is immutable"],
        ),
        (
            vec![("/metadata/generation", json!(1))],
            &["metadata.generation: Invalid value: 1: must not be decremented"],
        ),
        (
            vec![("/metadata/labels", json!({"a": "-"}))],
            &["metadata.labels: Invalid value: \"-\""],
        ),
    ];
    for (changes, faults) in rows {
        assert_faults(&changes, &update("", "configmaps", &with(&old, &changes), &old), faults);
    }
}

#[test]
fn config_maps_and_secrets() {
    let big = "x".repeat(1_048_577);
    let rows: Vec<(Vec<Change>, &[&str])> = vec![
        (
            vec![("/data", json!({"a b": ""}))],
            &["data[a b]: Invalid value: \"a b\": a valid config key must consist of"],
        ),
        (
            vec![("/binaryData", json!({"key": ""}))],
            &["data[key]: Invalid value: \"key\": duplicate of key present in binaryData"],
        ),
        (
            vec![("/data/key", json!(big))],
            &["[]: Too long: may not be more than 1048576 bytes"],
        ),
    ];
    check_rows("", "configmaps", &config_map(), &rows);

    let secret = complete("", "secrets", json!({"metadata": {"name": "a", "namespace": "ns"}}));
    let rows: Vec<(Vec<Change>, &[&str])> = vec![
        (vec![("/data", json!({"..": ""}))], &["data[..]: Invalid value: \"..\""]),
        (
            vec![("/type", json!("kubernetes.io/tls"))],
            &["data[tls.crt]: Required value", "data[tls.key]: Required value"],
        ),
        (
            vec![("/type", json!("kubernetes.io/dockerconfigjson"))],
            &["data[.dockerconfigjson]: Required value"],
        ),
        (
            vec![
                ("/type", json!("kubernetes.io/dockerconfigjson")),
                ("/data", json!({".dockerconfigjson": "bm90IGpzb24="})),
            ],
            &["data[.dockerconfigjson]: Invalid value: \"<secret contents redacted>\""],
        ),
        (
            vec![
                ("/type", json!("kubernetes.io/dockerconfigjson")),
                ("/data", json!({".dockerconfigjson": "e30="})),
            ],
            &[],
        ),
        (
            vec![("/type", json!("kubernetes.io/basic-auth"))],
            &["data[username]: Required value", "data[password]: Required value"],
        ),
        (
            vec![("/type", json!("kubernetes.io/ssh-auth"))],
            &["data[ssh-privatekey]: Required value"],
        ),
        (
            vec![("/type", json!("kubernetes.io/service-account-token"))],
            &["metadata.annotations[kubernetes.io/service-account.name]: Required value"],
        ),
    ];
    check_rows("", "secrets", &secret, &rows);
    assert_faults(
        &"type",
        &update("", "secrets", &with(&secret, &[("/type", json!("other"))]), &secret),
        &["type: Invalid value: \"other\": field is immutable"],
    );
}

#[test]
fn what_is_declared_immutable_stays() {
    let old = with(&config_map(), &[("/immutable", json!(true))]);
    let rows: Vec<(Vec<Change>, &[&str])> = vec![
        (vec![("/metadata/labels", json!({"a": "b"}))], &[]),
        (
            vec![("/data/key", json!("other"))],
            &["data: Forbidden: field is immutable when `immutable` is set"],
        ),
        (
            vec![("/immutable", json!(false))],
            &["immutable: Forbidden: field is immutable when `immutable` is set"],
        ),
        (
            vec![("/binaryData", json!({"a": ""}))],
            &["binaryData: Forbidden: field is immutable when `immutable` is set"],
        ),
    ];
    for (changes, faults) in rows {
        assert_faults(&changes, &update("", "configmaps", &with(&old, &changes), &old), faults);
    }
}

fn deployment() -> Value {
    complete(
        "apps",
        "deployments",
        json!({
            "metadata": {"name": "web", "namespace": "ns"},
            "spec": {
                "selector": {"matchLabels": {"app": "web"}},
                "template": {
                    "metadata": {"labels": {"app": "web"}},
                    "spec": {"containers": [{"name": "a", "image": "nginx"}]},
                },
            },
        }),
    )
}

#[test]
fn deployments() {
    let rows: Vec<(Vec<Change>, &[&str])> = vec![
        (
            vec![("/spec/replicas", json!(-1))],
            &["spec.replicas: Invalid value: -1: must be greater than or equal to 0"],
        ),
        (
            vec![("/spec/selector", Value::Null)],
            &["spec.selector: Required value"],
        ),
        (
            vec![("/spec/selector", json!({}))],
            &["spec.selector: Invalid value: {}: empty selector is invalid for deployment"],
        ),
        (
            vec![("/spec/template/metadata/labels", json!({"app": "x"}))],
            &[
                "spec.template.metadata.labels: Invalid value: {\"app\":\"x\"}: `selector` does not match template `labels`",
            ],
        ),
        (
            vec![(
                "/spec/selector",
                json!({"matchExpressions": [{"key": "app", "operator": "In"}, {"key": "b", "operator": "Near"}]}),
            )],
            &[
                "spec.selector.matchExpressions[0].values: Required value: must be specified when `operator` is 'In'",
                "spec.selector.matchExpressions[1].operator: Invalid value: \"Near\": not a valid selector operator",
            ],
        ),
        (
            vec![("/spec/template/spec/restartPolicy", json!("Never"))],
            &["spec.template.spec.restartPolicy: Unsupported value: \"Never\": supported values: \"Always\""],
        ),
        (
            vec![("/spec/template/spec/containers/0/name", json!("A"))],
            &["spec.template.spec.containers[0].name: Invalid value: \"A\""],
        ),
        (
            vec![("/spec/strategy/type", json!("Recreate"))],
            &["spec.strategy.rollingUpdate: Forbidden: may not be specified when strategy `type` is 'Recreate'"],
        ),
        (
            vec![("/spec/strategy/type", json!("Slowly"))],
            &["spec.strategy.type: Unsupported value: \"Slowly\": supported values: \"Recreate\", \"RollingUpdate\""],
        ),
        (
            vec![(
                "/spec/strategy/rollingUpdate",
                json!({"maxUnavailable": 0, "maxSurge": "0%"}),
            )],
            &["spec.strategy.rollingUpdate.maxUnavailable: Invalid value: 0: may not be 0 when `maxSurge` is 0"],
        ),
        (
            vec![(
                "/spec/strategy/rollingUpdate",
                json!({"maxUnavailable": "120%", "maxSurge": "lots"}),
            )],
            &[
                "spec.strategy.rollingUpdate.maxSurge: Invalid value: \"lots\": a valid percent string must be",
                "spec.strategy.rollingUpdate.maxUnavailable: Invalid value: \"120%\": must not be greater than 100%",
            ],
        ),
        (
            vec![
                ("/spec/progressDeadlineSeconds", json!(5)),
                ("/spec/minReadySeconds", json!(5)),
            ],
            &["spec.progressDeadlineSeconds: Invalid value: 5: must be greater than minReadySeconds"],
        ),
        (
            vec![("/spec/revisionHistoryLimit", json!(-1))],
            &["spec.revisionHistoryLimit: Invalid value: -1: must be greater than or equal to 0"],
        ),
    ];
    check_rows("apps", "deployments", &deployment(), &rows);

    let old = deployment();
    let new = with(
        &old,
        &[
            ("/spec/selector", json!({"matchLabels": {"app": "new"}})),
            ("/spec/template/metadata/labels", json!({"app": "new"})),
        ],
    );
    assert_faults(
        &"selector",
        &update("apps", "deployments", &new, &old),
        &["spec.selector: Invalid value: {\"matchLabels\":{\"app\":\"new\"}}: field is immutable"],
    );
    assert_faults(
        &"replicas",
        &update(
            "apps",
            "deployments",
            &with(&old, &[("/spec/replicas", json!(5))]),
            &old,
        ),
        &[],
    );
}

#[test]
fn nodes_leases_events_and_endpoint_slices() {
    let node = json!({"metadata": {"name": "n1"}, "spec": {"podCIDR": "10.42.0.0/24", "podCIDRs": ["10.42.0.0/24"]}});
    let rows: Vec<(Vec<Change>, &[&str])> = vec![
        (
            vec![(
                "/spec/taints",
                json!([{"key": "a", "effect": "NoSchedule"}, {"key": "a", "effect": "NoSchedule"}, {"key": "b", "effect": "x"}]),
            )],
            &[
                "spec.taints[1]: Duplicate value: {\"effect\":\"NoSchedule\",\"key\":\"a\"}",
                "spec.taints[2].effect: Unsupported value: \"x\"",
            ],
        ),
        (
            vec![("/spec/podCIDRs", json!(["x"])), ("/spec/podCIDR", json!("x"))],
            &["spec.podCIDRs[0]: Invalid value: \"x\": must be a valid CIDR value"],
        ),
    ];
    check_rows("", "nodes", &node, &rows);
    let moved = with(
        &node,
        &[
            ("/spec/podCIDR", json!("10.42.1.0/24")),
            ("/spec/podCIDRs", json!(["10.42.1.0/24"])),
        ],
    );
    assert_faults(
        &"podCIDR",
        &update("", "nodes", &moved, &node),
        &["spec.podCIDRs: Forbidden: node updates may not change podCIDR except from \"\" to valid"],
    );

    let lease = json!({"metadata": {"name": "n1", "namespace": "kube-node-lease"}, "spec": {}});
    let rows: Vec<(Vec<Change>, &[&str])> = vec![(
        vec![("/spec", json!({"leaseDurationSeconds": 0, "leaseTransitions": -1}))],
        &[
            "spec.leaseDurationSeconds: Invalid value: 0: must be greater than 0",
            "spec.leaseTransitions: Invalid value: -1: must be greater than or equal to 0",
        ],
    )];
    check_rows("coordination.k8s.io", "leases", &lease, &rows);

    let event = json!({"metadata": {"name": "e", "namespace": "ns"}, "involvedObject": {"namespace": "ns"}});
    let rows: Vec<(Vec<Change>, &[&str])> = vec![(
        vec![("/involvedObject/namespace", json!("other"))],
        &["involvedObject.namespace: Invalid value: \"other\": does not match event.namespace"],
    )];
    check_rows("", "events", &event, &rows);

    let slice = json!({
        "metadata": {"name": "s", "namespace": "ns"},
        "addressType": "IPv4",
        "endpoints": [{"addresses": ["10.0.0.1"]}],
        "ports": [{"name": "", "port": 80, "protocol": "TCP"}],
    });
    let rows: Vec<(Vec<Change>, &[&str])> = vec![
        (vec![("/addressType", Value::Null)], &["addressType: Required value"]),
        (
            vec![("/addressType", json!("IP"))],
            &["addressType: Unsupported value: \"IP\""],
        ),
        (
            vec![("/endpoints/0/addresses", json!([]))],
            &["endpoints[0].addresses: Required value: must contain at least 1 address"],
        ),
        (
            vec![("/endpoints/0/addresses", json!(["127.0.0.1", "::1", "x"]))],
            &[
                "endpoints[0].addresses[0]: Invalid value: \"127.0.0.1\": may not be in the loopback range",
                "endpoints[0].addresses[1]: Invalid value: \"::1\": must be an IPv4 address",
                "endpoints[0].addresses[2]: Invalid value: \"x\": must be an IPv4 address",
            ],
        ),
        (
            vec![("/endpoints", json!(vec![json!({"addresses": ["10.0.0.1"]}); 1001]))],
            &["endpoints: Too many: 1001: must have at most 1000 items"],
        ),
        (
            vec![("/ports/1", json!({"name": "", "port": 81, "protocol": "TCP"}))],
            &["ports[1].name: Duplicate value: \"\""],
        ),
        (
            vec![("/ports/0/port", json!(70_000))],
            &["ports[0].port: Invalid value: 70000: must be between 1 and 65535, inclusive"],
        ),
    ];
    check_rows("discovery.k8s.io", "endpointslices", &slice, &rows);
    assert_faults(
        &"addressType",
        &update(
            "discovery.k8s.io",
            "endpointslices",
            &with(&slice, &[("/addressType", json!("FQDN"))]),
            &slice,
        )[..],
        &["addressType: Invalid value: \"FQDN\": field is immutable"],
    );
}

#[test]
fn objects_of_any_shape_are_judged_without_harm() {
    let shapes = [
        json!(null),
        json!([]),
        json!({"metadata": 1, "spec": "x", "data": []}),
        json!({"spec": {"containers": [1, null, []], "volumes": {}, "ports": [null], "template": []}}),
        json!({"metadata": {"labels": [], "ownerReferences": [1], "finalizers": [2]}, "endpoints": [[]], "ports": 1}),
    ];
    for row in crate::resource::resources() {
        for shape in &shapes {
            for other in &shapes {
                assert!(!validate_create(row, shape).is_empty());
                drop(validate_update(row, shape, other));
            }
        }
    }
}
