use super::*;

fn class(name: &str, created: &str, mark: &str) -> Value {
    json!({"metadata": {"name": name, "creationTimestamp": created, "annotations": {
        "storageclass.kubernetes.io/is-default-class": mark, "ingressclass.kubernetes.io/is-default-class": mark,
    }}})
}

#[test]
fn the_newest_default_class_is_given_to_who_names_none() {
    let (old, new) = ("2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z");
    let two = vec![
        class("b", new, "true"),
        class("a", new, "true"),
        class("c", old, "true"),
    ];
    let rows = [
        ("none is there", json!({"spec": {}}), vec![], Value::Null),
        (
            "none is marked",
            json!({"spec": {}}),
            vec![class("a", old, "false")],
            Value::Null,
        ),
        (
            "the newest",
            json!({"spec": {}}),
            vec![class("a", old, "true"), class("b", new, "true")],
            json!("b"),
        ),
        ("the first by name", json!({"spec": {}}), two.clone(), json!("a")),
        (
            "one is named",
            json!({"spec": {"storageClassName": "x", "ingressClassName": "x"}}),
            two.clone(),
            json!("x"),
        ),
        (
            "none is wanted",
            json!({"spec": {"storageClassName": "", "ingressClassName": ""}}),
            two.clone(),
            json!(""),
        ),
        (
            "one is named as of old",
            json!({"metadata": {"annotations": {STORAGE_CLASS_ANNOTATION: "x", INGRESS_CLASS_ANNOTATION: "x"}}, "spec": {}}),
            two,
            Value::Null,
        ),
    ];
    for (row, object, classes, expected) in rows {
        let (mut claim, mut ingress) = (object.clone(), object);
        give_storage_class(&mut claim, &classes);
        give_ingress_class(&mut ingress, &classes);
        assert_eq!(claim["spec"]["storageClassName"], expected, "{row}");
        assert_eq!(ingress["spec"]["ingressClassName"], expected, "{row}");
    }
}

#[test]
fn claims_grow_where_their_class_lets_them() {
    let claim = |size: &str| json!({"spec": {"resources": {"requests": {"storage": size}}}});
    let (open, closed) = (json!({"allowVolumeExpansion": true}), json!({}));
    let rows = [
        ("1Gi", "2Gi", Some(&open), true),
        ("1Gi", "2Gi", Some(&closed), false),
        ("1Gi", "2Gi", None, false),
        ("1Gi", "1Gi", None, true),
        ("2Gi", "1Gi", None, true),
    ];
    for (old, new, class, is_fine) in rows {
        let fault = growth_fault(&claim(old), &claim(new), class);
        assert_eq!(fault.is_none(), is_fine, "{old} to {new} in {class:?}");
    }
}

#[test]
fn pods_get_what_their_runtime_class_needs() {
    let class = json!({
        "overhead": {"podFixed": {"cpu": "100m"}},
        "scheduling": {"nodeSelector": {"vm": "yes"}, "tolerations": [{"key": "vm", "operator": "Exists"}]},
    });
    let complete = |spec: Value| {
        let mut pod = json!({ "spec": spec });
        let named = (pod["spec"]["runtimeClassName"] == "vm").then_some(&class);
        complete_runtime(&mut pod, named)
            .map(|()| pod["spec"].clone())
            .map_err(|error| error.to_string())
    };
    let toleration = json!({"key": "vm", "operator": "Exists"});
    let full = json!({
        "runtimeClassName": "vm", "overhead": {"cpu": "100m"}, "nodeSelector": {"vm": "yes"},
        "tolerations": [toleration],
    });
    let rows = [
        (json!({}), Ok(json!({}))),
        (json!({"runtimeClassName": "vm"}), Ok(full.clone())),
        (full.clone(), Ok(full)),
        (
            json!({"runtimeClassName": "x"}),
            Err("pod rejected: RuntimeClass \"x\" not found"),
        ),
        (
            json!({"overhead": {"cpu": "1"}}),
            Err("pod rejected: Pod Overhead set without corresponding RuntimeClass defined Overhead"),
        ),
        (
            json!({"runtimeClassName": "vm", "overhead": {"cpu": "1"}}),
            Err("pod rejected: Pod's Overhead doesn't match RuntimeClass's defined Overhead"),
        ),
        (
            json!({"runtimeClassName": "vm", "nodeSelector": {"vm": "no"}}),
            Err("conflict: runtimeClass.scheduling.nodeSelector[vm] = yes; pod.spec.nodeSelector[vm] = no"),
        ),
    ];
    for (spec, expected) in rows {
        assert_eq!(complete(spec.clone()), expected.map_err(str::to_owned), "{spec}");
    }
}
