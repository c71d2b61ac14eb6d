//! Strict parsing, unknown fields, types and pruning.

use serde_json::{Value, json};

use super::{DEPTH_MAX, check_fields, check_types, parse_strict, prune, types};
use crate::resource::{by_path, resources};

fn deployment() -> Value {
    json!({
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "web", "labels": {"anything": "goes"}},
        "spec": {
            "replicas": 3,
            "template": {"spec": {"containers": [
                {"name": "a", "image": "i", "resources": {"limits": {"cpu": "1", "memory": "1Gi"}}},
            ]}},
        },
    })
}

fn apps() -> &'static crate::resource::Resource {
    by_path("apps", "v1", "deployments").unwrap()
}

#[test]
fn every_row_has_its_type_and_the_type_has_the_rows_kind() {
    for row in resources() {
        let id = types().get(row.definition);
        assert!(id.is_some(), "{}", row.definition);
        assert_eq!(types().by_kind(row.group, row.version, row.kind), id, "{}", row.kind);
        for sub in row.subresources.iter().filter(|sub| !sub.is_stream()) {
            assert!(types().get(sub.definition).is_some(), "{}", sub.definition);
        }
    }
    assert!(types().by_kind("", "v1", "DeleteOptions").is_some());
}

#[test]
fn duplicate_fields_are_named_by_their_path() {
    let text = br#"{"a":1,"a":2,"spec":{"list":[{"b":1},{"b":1,"b":2,"b":3}],"c":{"d":1,"d":1}}}"#;
    let parsed = parse_strict(text).unwrap();
    assert_eq!(
        parsed.duplicates,
        [
            r#"duplicate field "a""#,
            r#"duplicate field "spec.list[1].b""#,
            r#"duplicate field "spec.c.d""#,
        ]
    );
    assert_eq!(parsed.value["a"], 2);
    assert_eq!(parsed.value["spec"]["list"][1]["b"], 3);
}

#[test]
fn what_is_no_json_or_too_deep_is_refused() {
    for text in ["", "{", "{\"a\":}", "nul", "{} {}", "[1,]"] {
        assert!(parse_strict(text.as_bytes()).is_err(), "{text}");
    }
    let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    assert!(parse_strict(nested(DEPTH_MAX).as_bytes()).is_ok());
    assert!(parse_strict(nested(DEPTH_MAX + 1).as_bytes()).is_err());
    assert!(parse_strict(nested(1_000_000).as_bytes()).is_err());
}

#[test]
fn unknown_fields_are_named_by_their_path() {
    let mut object = deployment();
    assert_eq!(check_fields(apps(), &object), Vec::<String>::new());
    object["bogus"] = json!(1);
    object["spec"]["foo"] = json!({"inner": 1});
    object["spec"]["template"]["spec"]["containers"][0]["Image"] = json!("x");
    object["spec"]["template"]["spec"]["containers"][0]["resources"]["limit"] = json!({});
    assert_eq!(
        check_fields(apps(), &object),
        [
            r#"unknown field "bogus""#,
            r#"unknown field "spec.foo""#,
            r#"unknown field "spec.template.spec.containers[0].Image""#,
            r#"unknown field "spec.template.spec.containers[0].resources.limit""#,
        ]
    );
}

#[test]
fn values_of_the_wrong_type_are_refused_in_the_decoders_words() {
    let rows = [
        (
            "/spec/replicas",
            json!("3"),
            "json: cannot unmarshal string into Go struct field DeploymentSpec.spec.replicas of type int32",
        ),
        (
            "/spec/replicas",
            json!(1.5),
            "json: cannot unmarshal number 1.5 into Go struct field DeploymentSpec.spec.replicas of type int32",
        ),
        (
            "/spec/replicas",
            json!(3_000_000_000_u64),
            "json: cannot unmarshal number 3000000000 into Go struct field DeploymentSpec.spec.replicas of type int32",
        ),
        (
            "/metadata/labels/anything",
            json!(1),
            "json: cannot unmarshal number into Go struct field ObjectMeta.metadata.labels of type string",
        ),
        (
            "/spec/template/spec/containers",
            json!({}),
            "json: cannot unmarshal object into Go struct field PodSpec.spec.template.spec.containers of type \
             []v1.Container",
        ),
        (
            "/spec/template/spec/containers/0/name",
            json!(true),
            "json: cannot unmarshal bool into Go struct field Container.spec.template.spec.containers.name of type \
             string",
        ),
        (
            "/spec/template/spec/containers/0/resources/limits/cpu",
            json!("lots"),
            "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'",
        ),
        (
            "/spec",
            json!([]),
            "json: cannot unmarshal array into Go struct field Deployment.spec of type v1.DeploymentSpec",
        ),
    ];
    assert_eq!(check_types(apps(), &deployment()), Ok(()));
    for (path, value, message) in rows {
        let mut object = deployment();
        *object.pointer_mut(path).unwrap() = value;
        let error = check_types(apps(), &object).expect_err(path);
        assert_eq!(error.to_string(), message, "{path}");
    }
    let pods = by_path("", "v1", "pods").unwrap();
    assert_eq!(
        check_types(pods, &json!([])).unwrap_err().to_string(),
        "json: cannot unmarshal array into Go value of type v1.Pod"
    );
    let secrets = by_path("", "v1", "secrets").unwrap();
    assert!(check_types(secrets, &json!({"data": {"a": "YQ=="}})).is_ok());
    assert!(check_types(secrets, &json!({"data": {"a": "not base64"}})).is_err());
    assert!(check_types(secrets, &json!({"metadata": {"creationTimestamp": "yesterday"}})).is_err());
    assert!(check_types(secrets, &json!({"metadata": {"creationTimestamp": null}})).is_ok());
}

#[test]
fn pruning_leaves_the_stored_form() {
    let mut object = json!({
        "kind": "Pod",
        "bogus": 1,
        "metadata": {"name": "a", "creationTimestamp": null, "generateName": "", "labels": {"a": "", "b": null},
            "annotations": {}, "ownerReferences": []},
        "spec": {
            "hostNetwork": false,
            "nodeSelector": {},
            "tolerations": [],
            "volumes": [{"name": "v", "emptyDir": {}}],
            "affinity": {"podAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": []}},
            "initContainers": [],
            "automountServiceAccountToken": false,
            "containers": [{
                "name": "c",
                "image": "",
                "env": [{"name": "E", "value": ""}],
                "ports": [{"containerPort": 80, "hostPort": 0}],
                "resources": {"limits": {"cpu": 1, "memory": "1024Mi"}, "requests": {}, "extra": {}},
            }],
        },
    });
    let expected = json!({
        "kind": "Pod",
        "metadata": {"name": "a", "labels": {"a": "", "b": ""}},
        "spec": {
            "automountServiceAccountToken": false,
            "volumes": [{"name": "v", "emptyDir": {}}],
            "affinity": {"podAffinity": {}},
            "containers": [{
                "name": "c",
                "env": [{"name": "E"}],
                "ports": [{"containerPort": 80}],
                "resources": {"limits": {"cpu": "1", "memory": "1Gi"}},
            }],
        },
    });
    let pods = by_path("", "v1", "pods").unwrap();
    prune(pods, &mut object);
    assert_eq!(object, expected);
    prune(pods, &mut object);
    assert_eq!(object, expected, "pruning again changes nothing");
}

#[test]
fn what_is_required_stays_even_when_it_is_empty() {
    let rows = [
        ("", "v1", "pods", json!({"spec": {"containers": []}})),
        (
            "autoscaling",
            "v1",
            "horizontalpodautoscalers",
            json!({"status": {"currentReplicas": 0, "desiredReplicas": 0}}),
        ),
        ("scheduling.k8s.io", "v1", "priorityclasses", json!({"value": 0})),
    ];
    for (group, version, plural, object) in rows {
        let mut pruned = object.clone();
        prune(by_path(group, version, plural).unwrap(), &mut pruned);
        assert_eq!(pruned, object, "{plural}");
    }
}
