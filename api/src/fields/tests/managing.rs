//! Entries of managedFields: reading, order, and what updates do to them.

use super::*;

#[test]
fn entries_are_read_or_refused() {
    let good = entry("m", "Update", T1, json!({"f:data": {"f:a": {}}}));
    let with = |field: &str, value: Value| {
        let mut bad = good.clone();
        bad[field] = value;
        json!([bad])
    };
    let rows = [
        (json!([good]), true),
        (json!(null), true),
        (json!([]), true),
        (with("operation", json!("Apply")), true),
        (with("operation", json!("Patch")), false),
        (with("apiVersion", json!("")), false),
        (with("fieldsType", json!("FieldsV2")), false),
        (with("fieldsType", json!(null)), false),
        (with("fieldsV1", json!({"f:a": 1})), false),
        (with("fieldsV1", json!(null)), true),
        (json!([{}]), false),
        (json!(["m"]), false),
        (json!({}), false),
    ];
    for (list, valid) in rows {
        assert_eq!(Managers::parse(&list).is_ok(), valid, "{list}");
    }
    for (list, resets) in [
        (json!([]), true),
        (json!([{}]), true),
        (json!([{}, {}]), false),
        (json!(null), false),
        (json!([good]), false),
    ] {
        assert_eq!(is_reset(&list), resets, "{list}");
    }
}

#[test]
fn entries_are_written_appliers_first_and_oldest_first() {
    let fields = || json!({"f:data": {"f:a": {}}});
    let list = json!([
        entry("b", "Update", T2, fields()),
        entry("z", "Update", T1, fields()),
        entry("a", "Update", T2, fields()),
        entry("late", "Apply", T3, fields()),
    ]);
    let written = managers(list).into_json();
    let order: Vec<&str> = written
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| entry["manager"].as_str().unwrap())
        .collect();
    assert_eq!(order, ["late", "z", "a", "b"]);
    assert_eq!(Managers::default().into_json(), Value::Null);
}

/// Creates a config map and updates it; answers what the entries are then, as (manager, time, fields).
fn entries(managers: &Managers) -> Vec<(String, String, Value)> {
    managers
        .clone()
        .into_json()
        .as_array()
        .into_iter()
        .flatten()
        .map(|entry| {
            let text = |field: &str| entry[field].as_str().unwrap().to_owned();
            (text("manager"), text("time"), entry["fieldsV1"].clone())
        })
        .collect()
}

fn row(manager: &str, time: &str, fields: Value) -> (String, String, Value) {
    (manager.to_owned(), time.to_owned(), fields)
}

#[test]
fn writers_own_what_they_change_and_lose_what_others_change() {
    let config_map = |data: Value| json!({"metadata": {"name": "x", "uid": "u"}, "data": data});
    let place = place(CONFIG_MAP);
    let created = config_map(json!({"a": "1", "b": "1"}));
    let managers = track(place, &json!({}), &created, Managers::default(), &writer("one", T1));
    let all = json!({"f:data": {".": {}, "f:a": {}, "f:b": {}}});
    assert_eq!(entries(&managers), [row("one", T1, all.clone())]);

    // Nothing changes: no new time, no new entry.
    let same = track(place, &created, &created, managers.clone(), &writer("two", T2));
    assert_eq!(entries(&same), [row("one", T1, all)]);

    // Another changes a and adds c.
    let second = config_map(json!({"a": "2", "b": "1", "c": "1"}));
    let managers = track(place, &created, &second, managers, &writer("two", T2));
    let of_one = json!({"f:data": {".": {}, "f:b": {}}});
    assert_eq!(
        entries(&managers),
        [
            row("one", T1, of_one.clone()),
            row("two", T2, json!({"f:data": {"f:a": {}, "f:c": {}}})),
        ]
    );

    // The same one again: one entry, merged, with the new time. What is gone is nobody's.
    let third = config_map(json!({"b": "1", "c": "2"}));
    let managers = track(place, &second, &third, managers, &writer("two", T3));
    assert_eq!(
        entries(&managers),
        [row("one", T1, of_one), row("two", T3, json!({"f:data": {"f:c": {}}}))]
    );

    // Nobody has anything left, the writer of nothing least of all.
    let managers = track(place, &third, &config_map(json!({})), managers, &writer("three", T3));
    assert_eq!(entries(&managers), [row("one", T1, json!({"f:data": {}}))]);
}

#[test]
fn what_the_server_keeps_is_nobodys_and_a_path_owns_only_what_it_writes() {
    let old = json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "p", "uid": "u", "generation": 1, "resourceVersion": "1"},
        "status": {"phase": "Pending"},
    });
    let mut new = old.clone();
    new["metadata"]["generation"] = json!(2);
    new["metadata"]["labels"] = json!({"a": "b"});
    new["spec"] = json!({"nodeName": "n"});
    new["status"] = json!({"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]});
    let start = managers(json!([entry("m", "Update", T1, json!({"f:status": {"f:phase": {}}}))]));
    let labels = json!({".": {}, "f:a": {}});
    let rows = [
        (
            Filter::Except(&["status"][..]),
            vec![
                row("m", T1, json!({"f:status": {"f:phase": {}}})),
                row(
                    "w",
                    T2,
                    json!({"f:metadata": {"f:labels": labels.clone()}, "f:spec": {"f:nodeName": {}}}),
                ),
            ],
        ),
        (
            Filter::Only(&["metadata", "status"][..]),
            vec![row(
                "w",
                T2,
                json!({
                    "f:metadata": {"f:labels": labels},
                    "f:status": {
                        "f:phase": {},
                        "f:conditions": {
                            ".": {},
                            "k:{\"type\":\"Ready\"}": {".": {}, "f:status": {}, "f:type": {}},
                        },
                    },
                }),
            )],
        ),
    ];
    for (filter, expected) in rows {
        let writer = Writer {
            filter,
            ..writer("w", T2)
        };
        let managers = track(place(POD), &old, &new, start.clone(), &writer);
        assert_eq!(entries(&managers), expected, "{filter:?}");
    }
}

#[test]
fn an_object_without_managers_stays_without_until_it_is_applied_to() {
    let old = json!({"metadata": {"uid": "u"}, "data": {"a": "1"}});
    let new = json!({"metadata": {"uid": "u"}, "data": {"a": "2"}});
    let managers = track(place(CONFIG_MAP), &old, &new, Managers::default(), &writer("w", T1));
    assert_eq!(managers, Managers::default());
}

#[test]
fn a_manager_without_a_name_is_unknown() {
    let new = json!({"data": {"a": "2"}});
    let managers = track(
        place(CONFIG_MAP),
        &json!({}),
        &new,
        Managers::default(),
        &writer("", T1),
    );
    assert_eq!(managers.0[0].manager, "unknown");
}

#[test]
fn the_oldest_of_more_than_ten_updaters_are_merged() {
    let config_map = |n: usize| {
        let data: serde_json::Map<String, Value> = (0..n).map(|i| (format!("k{i}"), json!("v"))).collect();
        json!({"metadata": {"uid": "u"}, "data": data})
    };
    let mut managers = track(
        place(CONFIG_MAP),
        &json!({}),
        &json!({"data": {}}),
        Managers::default(),
        &writer("creator", T1),
    );
    managers.0.push(super::super::Entry {
        manager: "applier".to_owned(),
        operation: Operation::Apply,
        ..managers.0[0].clone()
    });
    for n in 0..12 {
        let time = format!("2026-01-01T00:01:{n:02}Z");
        let name = format!("m{n}");
        let (old, new) = (config_map(n), config_map(n + 1));
        managers = track(place(CONFIG_MAP), &old, &new, managers, &writer(&name, &time));
        let updates = managers
            .0
            .iter()
            .filter(|entry| entry.operation == Operation::Update)
            .count();
        assert_eq!(updates, (n + 2).min(10), "after {name}");
    }
    let ancient = managers
        .0
        .iter()
        .find(|entry| entry.manager == "ancient-changes")
        .unwrap();
    assert_eq!(
        ancient.fields.clone().into_json(),
        json!({"f:data": {".": {}, "f:k0": {}, "f:k1": {}, "f:k2": {}}})
    );
    assert_eq!(ancient.time, "2026-01-01T00:01:02Z");
    assert!(managers.0.iter().any(|entry| entry.manager == "applier"));
}
