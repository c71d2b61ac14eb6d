//! Server-side apply: ownership, conflicts, what is given up.

use super::*;

/// One application in a script.
struct Step {
    manager: &'static str,
    force: bool,
    config: Value,
    /// The object's data then, or the refusal.
    expected: Result<Value, &'static str>,
}

fn step(manager: &'static str, config: Value, expected: Result<Value, &'static str>) -> Step {
    Step {
        manager,
        force: false,
        config,
        expected,
    }
}

fn forced(manager: &'static str, config: Value, expected: Value) -> Step {
    Step {
        manager,
        force: true,
        config,
        expected: Ok(expected),
    }
}

/// Applies to an object of the type; the field at `part` is compared.
fn play(definition: &str, part: &str, mut object: Value, mut managers: Managers, script: Vec<Step>) -> Managers {
    for (index, step) in script.into_iter().enumerate() {
        let fields = extract(place(definition), &step.config).unwrap();
        let configuration = Configuration {
            object: &step.config,
            fields: &fields,
            force: step.force,
        };
        let writer = writer(step.manager, T2);
        let applied = apply(
            place(definition),
            &object,
            managers.clone(),
            configuration,
            &writer,
            |_| {},
        );
        match (applied, step.expected) {
            (Ok(applied), Ok(expected)) => {
                let found = applied.object.pointer(part).cloned().unwrap_or_default();
                assert_eq!(found, expected, "step {index} by {}", step.manager);
                object = applied.object;
                object["metadata"]["uid"] = json!("u");
                managers = applied.managers;
            }
            (Err(conflicts), Err(message)) => assert_eq!(conflicts.to_string(), message, "step {index}"),
            (found, expected) => panic!("step {index} by {}: {found:?}, not {expected:?}", step.manager),
        }
    }
    managers
}

fn data(data: Value) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "x"}, "data": data})
}

#[test]
fn appliers_share_objects_and_conflict_over_values() {
    let managers = play(
        CONFIG_MAP,
        "/data",
        json!({}),
        Managers::default(),
        vec![
            step(
                "one",
                data(json!({"a": "1", "b": "1"})),
                Ok(json!({"a": "1", "b": "1"})),
            ),
            // Another adds, and shares what it states with the same value.
            step(
                "two",
                data(json!({"b": "1", "c": "1"})),
                Ok(json!({"a": "1", "b": "1", "c": "1"})),
            ),
            step(
                "two",
                data(json!({"a": "2", "b": "1", "c": "1"})),
                Err("Apply failed with 1 conflict: conflict with \"one\": .data.a"),
            ),
            step(
                "two",
                data(json!({"a": "2", "b": "2"})),
                Err("Apply failed with 2 conflicts: conflicts with \"one\":\n- .data.a\n- .data.b"),
            ),
            // What is given up goes if nobody else owns it.
            step("two", data(json!({"b": "1"})), Ok(json!({"a": "1", "b": "1"}))),
            step("one", data(json!({"a": "1"})), Ok(json!({"a": "1", "b": "1"}))),
            step("two", data(json!({"c": "3"})), Ok(json!({"a": "1", "c": "3"}))),
            forced("two", data(json!({"a": "2", "c": "3"})), json!({"a": "2", "c": "3"})),
        ],
    );
    assert_eq!(
        managers.into_json(),
        json!([entry("two", "Apply", T2, json!({"f:data": {"f:a": {}, "f:c": {}}}))]),
        "the last field of the first was taken over"
    );
}

#[test]
fn what_updaters_own_conflicts_and_survives_its_applier() {
    let object = json!({"metadata": {"uid": "u"}, "data": {"a": "1", "b": "1"}});
    let updater = entry(
        "editor",
        "Update",
        T1,
        json!({"f:data": {".": {}, "f:a": {}, "f:b": {}}}),
    );
    play(
        CONFIG_MAP,
        "/data",
        object,
        managers(json!([updater])),
        vec![
            step(
                "me",
                data(json!({"a": "2"})),
                Err("Apply failed with 1 conflict: conflict with \"editor\" using v1: .data.a"),
            ),
            step("me", data(json!({"a": "1"})), Ok(json!({"a": "1", "b": "1"}))),
            step("me", data(json!({})), Ok(json!({"a": "1", "b": "1"}))),
            forced("me", data(json!({"a": "2"})), json!({"a": "2", "b": "1"})),
            // Nobody else owns it any more.
            step("me", data(json!({})), Ok(json!({"b": "1"}))),
        ],
    );
}

#[test]
fn what_was_there_before_the_first_apply_has_a_manager_of_its_own() {
    let object = json!({"metadata": {"uid": "u", "labels": {"l": "1"}}, "data": {"a": "1", "b": "1"}});
    let managers = play(
        CONFIG_MAP,
        "/data",
        object,
        Managers::default(),
        vec![
            step(
                "me",
                data(json!({"a": "2"})),
                Err("Apply failed with 1 conflict: conflict with \"before-first-apply\" using v1: .data.a"),
            ),
            step(
                "me",
                data(json!({"a": "1", "c": "1"})),
                Ok(json!({"a": "1", "b": "1", "c": "1"})),
            ),
        ],
    );
    let rest = json!({
        "f:data": {".": {}, "f:a": {}, "f:b": {}},
        "f:metadata": {"f:labels": {".": {}, "f:l": {}}},
    });
    assert_eq!(
        managers.into_json(),
        json!([
            entry("me", "Apply", T2, json!({"f:data": {"f:a": {}, "f:c": {}}})),
            entry("before-first-apply", "Update", T2, rest),
        ])
    );
}

#[test]
fn applying_the_same_again_changes_nothing() {
    let config = data(json!({"a": "1"}));
    let object =
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "x", "uid": "u"}, "data": {"a": "1"}});
    let before = managers(json!([entry("me", "Apply", T1, json!({"f:data": {"f:a": {}}}))]));
    let fields = extract(place(CONFIG_MAP), &config).unwrap();
    let configuration = Configuration {
        object: &config,
        fields: &fields,
        force: false,
    };
    let applied = apply(
        place(CONFIG_MAP),
        &object,
        before.clone(),
        configuration,
        &writer("me", T3),
        |_| {},
    )
    .unwrap();
    assert_eq!((applied.object, applied.managers), (object, before));
}

#[test]
fn lists_of_items_are_shared_item_by_item() {
    let ports = |ports: Value| json!({"metadata": {"name": "s"}, "spec": {"ports": ports}});
    play(
        SERVICE,
        "/spec/ports",
        json!({}),
        Managers::default(),
        vec![
            step(
                "one",
                ports(json!([{"port": 80, "name": "http"}])),
                Ok(json!([{"port": 80, "name": "http"}])),
            ),
            step(
                "two",
                ports(json!([{"port": 443, "protocol": "TCP"}])),
                Ok(json!([{"port": 80, "name": "http"}, {"port": 443, "protocol": "TCP"}])),
            ),
            // The default protocol is part of what tells ports apart.
            step(
                "two",
                ports(json!([{"port": 80, "protocol": "TCP", "name": "web"}])),
                Err("Apply failed with 1 conflict: conflict with \"one\": .spec.ports[port=80,protocol=\"TCP\"].name"),
            ),
            step("two", ports(json!([])), Ok(json!([{"port": 80, "name": "http"}]))),
            step("one", ports(json!([{"port": 80}])), Ok(json!([{"port": 80}]))),
            step("one", json!({"metadata": {"name": "s"}}), Ok(Value::Null)),
        ],
    );
}

#[test]
fn structs_go_with_the_last_of_their_fields_and_maps_with_their_owners() {
    let pod = |spec: Value| json!({"metadata": {"name": "p"}, "spec": spec});
    play(
        POD,
        "/spec",
        json!({}),
        Managers::default(),
        vec![
            step(
                "one",
                pod(json!({"securityContext": {"seLinuxOptions": {"level": "x"}}, "nodeName": "n"})),
                Ok(json!({"securityContext": {"seLinuxOptions": {"level": "x"}}, "nodeName": "n"})),
            ),
            step("one", pod(json!({"nodeName": "n"})), Ok(json!({"nodeName": "n"}))),
        ],
    );
    let labels = |labels: Value| json!({"metadata": {"name": "p", "labels": labels}});
    play(
        POD,
        "/metadata/labels",
        json!({}),
        Managers::default(),
        vec![
            step("one", labels(json!({"a": "1"})), Ok(json!({"a": "1"}))),
            step("two", labels(json!({"b": "1"})), Ok(json!({"a": "1", "b": "1"}))),
            step("one", json!({"metadata": {"name": "p"}}), Ok(json!({"b": "1"}))),
            step("two", json!({"metadata": {"name": "p"}}), Ok(Value::Null)),
        ],
    );
}

#[test]
fn kubectl_takes_over_what_it_applied_by_itself_before() {
    let last = data(json!({"a": "1", "b": "1"}));
    let object = |a: &str| {
        let mut object = data(json!({"a": a, "b": "1"}));
        object["metadata"]["uid"] = json!("u");
        object["metadata"]["annotations"] =
            json!({"kubectl.kubernetes.io/last-applied-configuration": format!("{last}\n")});
        object
    };
    let owners = || {
        managers(json!([entry(
            "kubectl-client-side-apply",
            "Update",
            T1,
            json!({"f:data": {"f:a": {}, "f:b": {}}, "f:metadata": {"f:annotations": {".": {}}}})
        )]))
    };
    let wanted = data(json!({"a": "2", "b": "1"}));
    let conflict = "Apply failed with 1 conflict: conflict with \"kubectl-client-side-apply\" using v1: .data.a";
    // (manager, what a is by now, outcome)
    let rows = [
        ("kubectl", "1", Ok(json!({"a": "2", "b": "1"}))),
        // Somebody changed it since: not kubectl's any more.
        ("kubectl", "5", Err(conflict)),
        ("other", "1", Err(conflict)),
    ];
    for (manager, a, expected) in rows {
        play(
            CONFIG_MAP,
            "/data",
            object(a),
            owners(),
            vec![step(manager, wanted.clone(), expected)],
        );
    }
    play(
        CONFIG_MAP,
        "/metadata/annotations",
        object("1"),
        owners(),
        vec![step(
            "kubectl",
            wanted.clone(),
            Ok(json!({"kubectl.kubernetes.io/last-applied-configuration": format!("{wanted}\n")})),
        )],
    );
}

#[test]
fn data_without_a_schema_is_applied_by_its_shape() {
    let apply_to = |live: &Value, managers: Managers, config: &Value| {
        let fields = extract(Deduced, config).unwrap();
        let configuration = Configuration {
            object: config,
            fields: &fields,
            force: false,
        };
        apply(Deduced, live, managers, configuration, &writer("me", T1), |_| {}).unwrap()
    };
    let first = apply_to(
        &json!({}),
        Managers::default(),
        &json!({"spec": {"a": {"b": 1}, "list": [1, 2], "gone": {"x": 1}}}),
    );
    let second = apply_to(
        &first.object,
        first.managers,
        &json!({"spec": {"a": {"b": 2}, "list": [3]}}),
    );
    assert_eq!(second.object, json!({"spec": {"a": {"b": 2}, "list": [3]}}));
}
