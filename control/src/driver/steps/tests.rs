use api::k8s_openapi::api::{apps::v1::ReplicaSet, core::v1::Pod};

use super::*;

#[test]
fn merge_patches_say_what_differs_and_nothing_else() {
    let rows = [
        (json!({"a": 1}), json!({"a": 1}), None),
        (json!({"a": 1}), json!({"a": 2}), Some(json!({"a": 2}))),
        (json!({"a": 1, "b": 2}), json!({"b": 2}), Some(json!({"a": null}))),
        (
            json!({"a": {"b": 1, "c": 2}}),
            json!({"a": {"b": 1, "d": 3}}),
            Some(json!({"a": {"c": null, "d": 3}})),
        ),
        (json!({"a": [1, 2]}), json!({"a": [1]}), Some(json!({"a": [1]}))),
        (
            json!({"a": {"b": 1}}),
            json!({"a": {}}),
            Some(json!({"a": {"b": null}})),
        ),
        (json!({}), json!({"a": {"b": 1}}), Some(json!({"a": {"b": 1}}))),
    ];
    for (from, to, patch) in rows {
        assert_eq!(merge_diff(&from, &to), patch, "{from} -> {to}");
        let mut applied = from.clone();
        if let Some(patch) = patch {
            json_patch::merge(&mut applied, &patch);
        }
        assert_eq!(applied, to, "{from} -> {to}");
    }
}

fn replica_set(replicas: i32) -> ReplicaSet {
    serde_json::from_value(json!({
        "apiVersion": "apps/v1", "kind": "ReplicaSet",
        "metadata": {"namespace": "default", "name": "web", "uid": "u", "resourceVersion": "7"},
        "spec": {"replicas": replicas, "selector": {}},
        "status": {"replicas": 1},
    }))
    .expect("a ReplicaSet")
}

fn pod(name: &str) -> Object {
    let mut pod = Pod::default();
    pod.metadata.namespace = Some("default".to_owned());
    pod.metadata.name = Some(name.to_owned());
    pod.into()
}

fn delete(name: &str) -> Action {
    Action::Delete {
        key: ObjectKey::new(Kind::Pod, "default", name),
        uid: name.to_owned(),
        how: Removal::Graceful,
    }
}

#[test]
fn updates_become_patches_of_their_part_with_the_version_that_was_read() {
    let mut world = World::default();
    world.put(replica_set(1).into());
    let mut wanted = replica_set(3);
    wanted.status.as_mut().expect("status").replicas = 2;
    let patch = |action| {
        let runs = runs(&world, vec![action]).expect("in the world");
        match runs.as_slice() {
            [] => None,
            [Run::Others(steps)] => match steps.as_slice() {
                [Step::Patch { part, patch, .. }] => Some((*part, patch.clone())),
                other => panic!("{other:?}"),
            },
            other => panic!("{other:?}"),
        }
    };
    let boxed = |set: &ReplicaSet| Box::new(Object::from(set.clone()));
    assert_eq!(
        patch(Action::Update(boxed(&wanted))),
        Some((
            Part::Main,
            json!({"metadata": {"resourceVersion": "7"}, "spec": {"replicas": 3}})
        ))
    );
    assert_eq!(
        patch(Action::UpdateStatus(boxed(&wanted))),
        Some((
            Part::Status,
            json!({"metadata": {"resourceVersion": "7"}, "status": {"replicas": 2}})
        ))
    );
    assert_eq!(patch(Action::Update(boxed(&replica_set(1)))), None, "nothing differs");

    wanted.metadata.resource_version = Some("6".to_owned());
    assert!(
        runs(&world, vec![Action::Update(boxed(&wanted))]).is_err(),
        "planned on another version"
    );
    wanted.metadata.name = Some("other".to_owned());
    assert!(
        runs(&world, vec![Action::Update(boxed(&wanted))]).is_err(),
        "not in the world"
    );
}

#[test]
fn neighbours_of_one_variant_form_a_run() {
    let actions = vec![
        Action::Create(Box::new(pod("a"))),
        Action::Create(Box::new(pod("b"))),
        delete("c"),
        Action::Bind {
            pod: ObjectKey::new(Kind::Pod, "default", "d"),
            uid: "d".to_owned(),
            node: "n".to_owned(),
        },
        delete("e"),
        delete("f"),
        Action::Create(Box::new(pod("g"))),
    ];
    let runs = runs(&World::default(), actions).expect("no updates");
    let shape: Vec<_> = runs
        .iter()
        .map(|run| match run {
            Run::Creations(steps) => ("create", steps.len()),
            Run::Others(steps) => ("other", steps.len()),
            Run::Announcements(list) => ("announce", list.len()),
        })
        .collect();
    assert_eq!(
        shape,
        [("create", 2), ("other", 1), ("other", 1), ("other", 2), ("create", 1)]
    );
}
