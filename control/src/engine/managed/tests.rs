use api::resource::by_path;

use super::*;

const T1: &str = "2026-01-01T00:00:01Z";

fn config_maps() -> &'static Resource {
    by_path("", "v1", "configmaps").unwrap()
}

fn entry(manager: &str, fields: Value) -> Value {
    json!({
        "manager": manager,
        "operation": "Update",
        "apiVersion": "v1",
        "time": T1,
        "fieldsType": "FieldsV1",
        "fieldsV1": fields,
    })
}

fn config_map(data: Value, managed: Value) -> Value {
    let mut object = json!({
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "x", "uid": "u"},
        "data": data,
    });
    if !managed.is_null() {
        object["metadata"][FIELD] = managed;
    }
    object
}

fn by<'a>(manager: &'a str, subresource: &'a str) -> Record<'a> {
    Record::Changes { manager, subresource }
}

/// Managers with their fields, by name.
fn owners(managers: &Managers) -> Value {
    managers
        .0
        .iter()
        .map(|entry| (entry.manager.clone(), entry.fields.clone().into_json()))
        .collect::<serde_json::Map<String, Value>>()
        .into()
}

#[test]
fn what_clients_write_into_managed_fields_counts_if_it_is_valid() {
    let a = json!({"f:data": {"f:a": {}}});
    let there = json!([entry("owner", a.clone())]);
    let live = config_map(json!({"a": "1"}), there.clone());
    let kept = json!({"owner": a});
    let mut unknown_version = entry("ghost", a.clone());
    unknown_version["apiVersion"] = json!("v9");
    // (what the client sends, subresource, who owns what then)
    let rows = [
        (json!(null), "", kept.clone()),
        (there, "", kept.clone()),
        (json!([entry("other", a.clone())]), "", json!({"other": a})),
        (json!([]), "", json!({})),
        (json!([{}]), "", json!({})),
        (json!([{"manager": "broken"}]), "", kept.clone()),
        (json!([unknown_version]), "", json!({})),
        (json!([entry("other", a.clone())]), "status", kept),
    ];
    for (sent, subresource, expected) in rows {
        let mut wanted = config_map(json!({"a": "1"}), sent.clone());
        let managers = of_update(config_maps(), Part::Main, &live, &mut wanted, by("me", subresource));
        assert_eq!(owners(&managers), expected, "{sent} {subresource}");
    }
}

#[test]
fn a_change_of_owners_is_a_change_of_the_object_only_if_there_is_one() {
    let list = json!([entry("owner", json!({"f:data": {"f:a": {}}}))]);
    let live = config_map(json!({"a": "1"}), list.clone());
    let mut retimed = list.clone();
    retimed[0]["time"] = json!("2027-01-01T00:00:00Z");
    let mut renamed = list;
    renamed[0]["manager"] = json!("other");
    for (sent, nothing_to_write) in [(retimed, true), (renamed, false), (json!([]), false)] {
        let mut wanted = config_map(json!({"a": "1"}), sent.clone());
        let managers = of_update(config_maps(), Part::Main, &live, &mut wanted, by("me", ""));
        let found = is_retimed_only(config_maps(), &live, &wanted, &managers);
        assert_eq!(found, nothing_to_write, "{sent}");
    }
    let mut wanted = config_map(json!({"a": "1", "b": "2"}), json!(null));
    let managers = of_update(config_maps(), Part::Main, &live, &mut wanted, by("me", ""));
    assert_eq!(
        owners(&managers),
        json!({"owner": {"f:data": {"f:a": {}}}, "me": {"f:data": {"f:b": {}}}})
    );
}

#[test]
fn a_creation_is_its_creators_whatever_it_claims() {
    let claimed = json!([entry("other", json!({"f:data": {"f:a": {}, "f:z": {}}}))]);
    let mut object = config_map(json!({"a": "1"}), claimed);
    let managers = of_creation(config_maps(), &object, by("me", ""));
    assert_eq!(owners(&managers)["me"], json!({"f:data": {".": {}, "f:a": {}}}));
    take(&mut object);
    assert!(metadata(&object).get(FIELD).is_none());
}

/// Prints what a pod's status costs with and without managedFields: `cargo test -p control -- --nocapture cost`.
#[test]
fn the_cost_of_a_status_write_is_printed() {
    const ROUNDS: u32 = 2000;
    let pods = by_path("", "v1", "pods").unwrap();
    let mut pod = json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "p", "namespace": "a", "uid": "u", "labels": {"app": "web"}},
        "spec": {
            "containers": [{
                "name": "c",
                "image": "i",
                "env": [{"name": "A", "value": "1"}, {"name": "B", "value": "2"}],
                "ports": [{"containerPort": 80, "protocol": "TCP"}],
                "resources": {"limits": {"cpu": "1", "memory": "1Gi"}},
                "volumeMounts": [{"name": "v", "mountPath": "/v"}],
            }],
            "volumes": [{"name": "v", "emptyDir": {}}],
        },
        "status": {"phase": "Pending", "conditions": [{"type": "Ready", "status": "False"}]},
    });
    let managers = of_creation(pods, &pod, by("skep-server", ""));
    put(&mut pod, managers);
    let mut wanted = pod.clone();
    wanted["status"]["conditions"][0]["status"] = json!("True");
    wanted["status"]["podIP"] = json!("10.0.0.1");
    let time = |work: &mut dyn FnMut()| {
        let start = std::time::Instant::now();
        (0..ROUNDS).for_each(|_| work());
        start.elapsed() / ROUNDS
    };
    let tracking = time(&mut || {
        let mut wanted = wanted.clone();
        let managers = of_update(pods, Part::Status, &pod, &mut wanted, by("skep-agent", "status"));
        put(&mut wanted, managers);
    });
    let copying = time(&mut || assert!(wanted.clone().is_object()));
    let text = serde_json::to_vec(&pod).unwrap();
    let codec = time(&mut || {
        let decoded: Value = serde_json::from_slice(&text).unwrap();
        assert!(!serde_json::to_vec(&decoded).unwrap().is_empty());
    });
    let tracking = tracking.saturating_sub(copying);
    println!("tracking a status write: {tracking:?}; decoding and encoding the pod: {codec:?}");
}
