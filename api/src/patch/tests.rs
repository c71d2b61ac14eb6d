//! Tables of patches: what is there, the patch, what comes of it.

use serde_json::{Value, json};

use super::{PatchError, json_merge, json_patch, strategic_merge};
use crate::resource::by_path;

fn strategic(object: Value, patch: Value) -> Result<Value, PatchError> {
    let mut object = object;
    strategic_merge(by_path("apps", "v1", "deployments").unwrap(), &mut object, &patch)?;
    Ok(object)
}

fn pod_spec(spec: Value) -> Value {
    json!({ "spec": { "template": { "spec": spec } } })
}

#[test]
fn strategic_merge_of_maps_and_scalars() {
    let rows = [
        (
            json!({"spec": {"replicas": 1}}),
            json!({"spec": {"replicas": 2}}),
            json!({"spec": {"replicas": 2}}),
        ),
        (
            json!({"metadata": {"labels": {"a": "1", "b": "2"}}}),
            json!({"metadata": {"labels": {"a": null, "c": "3", "d": null}}}),
            json!({"metadata": {"labels": {"b": "2", "c": "3"}}}),
        ),
        (
            json!({"metadata": {}}),
            json!({"metadata": {"labels": {"a": "1", "b": null}}}),
            json!({"metadata": {"labels": {"a": "1"}}}),
        ),
        (
            json!({"spec": {"strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1}}}}),
            json!({"spec": {"strategy": {"$retainKeys": ["type"], "type": "Recreate"}}}),
            json!({"spec": {"strategy": {"type": "Recreate"}}}),
        ),
        (
            json!({"spec": {"selector": {"matchLabels": {"a": "1"}}}}),
            json!({"spec": {"selector": {"$patch": "replace", "matchLabels": {"b": "2"}}}}),
            json!({"spec": {"selector": {"matchLabels": {"b": "2"}}}}),
        ),
        (
            json!({"spec": {"selector": {"matchLabels": {"a": "1"}}, "replicas": 1}}),
            json!({"spec": {"selector": {"$patch": "delete"}}}),
            json!({"spec": {"replicas": 1}}),
        ),
    ];
    for (object, patch, expected) in rows {
        let shown = patch.to_string();
        assert_eq!(strategic(object, patch), Ok(expected), "{shown}");
    }
}

#[test]
fn strategic_merge_of_lists_by_their_keys() {
    let two = json!({"containers": [{"name": "a", "image": "1"}, {"name": "b", "image": "1"}]});
    let rows = [
        (
            "an element merges, a new one is added at the end",
            two.clone(),
            json!({"containers": [{"name": "c", "image": "9"}, {"name": "a", "image": "2"}]}),
            json!({"containers": [
                {"name": "a", "image": "2"}, {"name": "b", "image": "1"}, {"name": "c", "image": "9"},
            ]}),
        ),
        (
            "an element goes",
            two.clone(),
            json!({"containers": [{"name": "a", "$patch": "delete"}]}),
            json!({"containers": [{"name": "b", "image": "1"}]}),
        ),
        (
            "the list is replaced",
            two.clone(),
            json!({"containers": [{"$patch": "replace"}, {"name": "z"}]}),
            json!({"containers": [{"name": "z"}]}),
        ),
        (
            "the order is set; what the order does not name stays where it stood",
            json!({"containers": [{"name": "server"}, {"name": "a"}, {"name": "b"}]}),
            json!({
                "$setElementOrder/containers": [{"name": "b"}, {"name": "a"}],
                "containers": [{"name": "b", "image": "2"}],
            }),
            json!({"containers": [{"name": "server"}, {"name": "b", "image": "2"}, {"name": "a"}]}),
        ),
        (
            "the order alone",
            two.clone(),
            json!({"$setElementOrder/containers": [{"name": "b"}, {"name": "a"}]}),
            json!({"containers": [{"name": "b", "image": "1"}, {"name": "a", "image": "1"}]}),
        ),
        (
            "nested lists merge by their own keys",
            json!({"containers": [{"name": "a", "env": [{"name": "X", "value": "1"}, {"name": "Y", "value": "1"}],
                "ports": [{"containerPort": 80, "name": "web"}], "command": ["a", "b"]}]}),
            json!({"containers": [{"name": "a", "env": [{"name": "X", "value": "2"}],
                "ports": [{"containerPort": 80, "name": "http"}, {"containerPort": 81}], "command": ["c"]}]}),
            json!({"containers": [{"name": "a", "env": [{"name": "X", "value": "2"}, {"name": "Y", "value": "1"}],
                "ports": [{"containerPort": 80, "name": "http"}, {"containerPort": 81}], "command": ["c"]}]}),
        ),
        (
            "a volume changes its source",
            json!({"volumes": [{"name": "v", "emptyDir": {}}]}),
            json!({"volumes": [{"name": "v", "$retainKeys": ["name", "hostPath"], "hostPath": {"path": "/x"}}]}),
            json!({"volumes": [{"name": "v", "hostPath": {"path": "/x"}}]}),
        ),
        (
            "an absent list is made without nulls and directives",
            json!({}),
            json!({"$setElementOrder/containers": [{"name": "a"}], "containers": [
                {"name": "a", "image": null, "resources": {"limits": null}}, {"name": "b", "$patch": "delete"},
            ]}),
            json!({"containers": [{"name": "a", "resources": {}}]}),
        ),
        (
            "a list that does not merge is replaced",
            json!({"tolerations": [{"key": "a"}]}),
            json!({"tolerations": [{"key": "b"}]}),
            json!({"tolerations": [{"key": "b"}]}),
        ),
    ];
    for (name, object, patch, expected) in rows {
        assert_eq!(
            strategic(pod_spec(object), pod_spec(patch)),
            Ok(pod_spec(expected)),
            "{name}"
        );
    }
}

#[test]
fn strategic_merge_of_lists_of_scalars() {
    let finalizers = |list: Value| json!({ "metadata": { "finalizers": list } });
    let patched = strategic(
        finalizers(json!(["a", "b"])),
        json!({"metadata": {"$deleteFromPrimitiveList/finalizers": ["a"], "finalizers": ["c", "b"]}}),
    );
    assert_eq!(patched, Ok(finalizers(json!(["b", "c"]))));
    let patched = strategic(
        finalizers(json!(["a", "b"])),
        json!({"metadata": {"$deleteFromPrimitiveList/finalizers": ["a"]}}),
    );
    assert_eq!(patched, Ok(finalizers(json!(["b"]))));
    let patched = strategic(
        finalizers(json!(["x", "a"])),
        json!({"metadata": {"$setElementOrder/finalizers": ["b", "a"], "finalizers": ["b"]}}),
    );
    assert_eq!(patched, Ok(finalizers(json!(["b", "x", "a"]))));
}

#[test]
fn malformed_strategic_patches_leave_the_object_alone() {
    let rows = [
        json!([]),
        json!({"spec": {"$patch": "explode"}}),
        json!({"spec": {"$patch": 1}}),
        json!({"spec": {"strategy": {"$retainKeys": "type"}}}),
        json!({"spec": {"strategy": {"$retainKeys": ["type"], "rollingUpdate": {}}}}),
        json!({"metadata": {"$deleteFromPrimitiveList/finalizers": 1}}),
        pod_spec(json!({"containers": [{"image": "x"}]})),
        pod_spec(json!({"containers": ["a"]})),
        pod_spec(json!({"$setElementOrder/containers": 1, "containers": [{"name": "a"}]})),
    ];
    let before = json!({
        "metadata": {"finalizers": ["a"]},
        "spec": {"strategy": {"type": "x"}, "template": {"spec": {"containers": [{"name": "a"}]}}},
    });
    for patch in rows {
        let mut object = before.clone();
        let result = strategic_merge(by_path("apps", "v1", "deployments").unwrap(), &mut object, &patch);
        assert!(matches!(result, Err(PatchError::Malformed(_))), "{patch}: {result:?}");
        assert_eq!(object, before, "{patch}");
    }
}

#[test]
fn json_merge_patches() {
    let mut object = json!({"a": {"b": 1, "c": [1, 2]}, "d": 1});
    json_merge(&mut object, &json!({"a": {"b": null, "c": [3], "e": {"f": null}}})).unwrap();
    assert_eq!(object, json!({"a": {"c": [3], "e": {}}, "d": 1}));
    assert!(json_merge(&mut object, &json!([1])).is_err());
}

#[test]
fn json_patches_apply_wholly_or_not_at_all() {
    let before = json!({"spec": {"replicas": 1, "list": [1, 2]}});
    let rows: [(&str, Result<Value, &str>); 6] = [
        (
            r#"[{"op":"replace","path":"/spec/replicas","value":2}]"#,
            Ok(json!({"spec": {"replicas": 2, "list": [1, 2]}})),
        ),
        (
            r#"[{"op":"test","path":"/spec/replicas","value":1},{"op":"add","path":"/spec/list/-","value":3}]"#,
            Ok(json!({"spec": {"replicas": 1, "list": [1, 2, 3]}})),
        ),
        (
            r#"[{"op":"remove","path":"/spec/list"},{"op":"test","path":"/spec/replicas","value":5}]"#,
            Err("test failed"),
        ),
        (r#"[{"op":"remove","path":"/nothing/here"}]"#, Err("inapplicable")),
        (r#"{"op":"remove"}"#, Err("malformed")),
        (r#"[{"op":"explode","path":"/spec"}]"#, Err("malformed")),
    ];
    for (patch, expected) in rows {
        let mut object = before.clone();
        let result = json_patch(&mut object, patch.as_bytes());
        match (expected, result) {
            (Ok(expected), Ok(())) => assert_eq!(object, expected, "{patch}"),
            (Err("inapplicable"), Err(PatchError::Inapplicable(_)))
            | (Err("test failed"), Err(PatchError::TestFailed(_)))
            | (Err("malformed"), Err(PatchError::Malformed(_))) => assert_eq!(object, before, "{patch}"),
            (expected, result) => panic!("{patch}: {result:?} instead of {expected:?}"),
        }
    }
}

#[test]
fn json_patches_cannot_blow_up_or_nest_without_bound() {
    let double = r#"{"op":"copy","from":"/a","path":"/a/-"},"#;
    let patch = format!("[{}{}]", double.repeat(200), r#"{"op":"remove","path":"/b"}"#);
    let mut object = json!({"a": ["x".repeat(1000)], "b": 1});
    let before = object.clone();
    assert!(matches!(
        json_patch(&mut object, patch.as_bytes()),
        Err(PatchError::Malformed(_))
    ));
    assert_eq!(object, before);

    let nest = r#"{"op":"copy","from":"/c","path":"/c/0"},"#;
    let patch = format!("[{}{}]", nest.repeat(5000), r#"{"op":"remove","path":"/b"}"#);
    let mut object = json!({"b": 1, "c": [1]});
    assert!(matches!(
        json_patch(&mut object, patch.as_bytes()),
        Err(PatchError::Malformed(_))
    ));

    let many = format!("[{}]", vec![r#"{"op":"test","path":"/b","value":1}"#; 10_001].join(","));
    assert!(matches!(
        json_patch(&mut object, many.as_bytes()),
        Err(PatchError::Malformed(_))
    ));
}
