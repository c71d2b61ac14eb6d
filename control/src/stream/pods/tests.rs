use serde_json::{Value, json};

use super::*;

fn key(name: &str) -> ObjectKey {
    ObjectKey::new(Kind::Pod, "default", name)
}

fn config_map(name: &str) -> ObjectKey {
    ObjectKey::new(Kind::ConfigMap, "default", name)
}

fn pod(node: &str, maps: &[&str]) -> Pod {
    let volumes: Vec<Value> = maps
        .iter()
        .map(|name| json!({"name": name, "configMap": {"name": name}}))
        .collect();
    serde_json::from_value(json!({
        "metadata": {"uid": "u"},
        "spec": {"nodeName": node, "containers": [], "volumes": volumes},
    }))
    .expect("a pod")
}

#[test]
fn every_way_to_reference_is_found() {
    let spec: PodSpec = serde_json::from_value(json!({
        "imagePullSecrets": [{"name": "s1"}],
        "containers": [{
            "name": "c",
            "envFrom": [{"configMapRef": {"name": "m1"}}, {"secretRef": {"name": "s2"}}],
            "env": [
                {"name": "A", "valueFrom": {"configMapKeyRef": {"name": "m2", "key": "k"}}},
                {"name": "B", "valueFrom": {"secretKeyRef": {"name": "s3", "key": "k"}}},
            ],
        }],
        "initContainers": [{"name": "i", "envFrom": [{"configMapRef": {"name": "m3"}}]}],
        "volumes": [
            {"name": "a", "configMap": {"name": "m4"}},
            {"name": "b", "secret": {"secretName": "s4"}},
            {"name": "c", "projected": {"sources": [{"configMap": {"name": "m5"}}, {"secret": {"name": "s5"}}]}},
            {"name": "d", "emptyDir": {}},
        ],
    }))
    .expect("a spec");
    let found: Vec<String> = references("ns", &spec).into_iter().map(|key| key.name).collect();
    assert_eq!(found, ["m1", "m2", "m3", "m4", "m5", "s1", "s2", "s3", "s4", "s5"]);
}

#[test]
fn references_are_counted_per_node() {
    let mut index = PodIndex::default();
    let on = |change: PodChange| change.on.map(|on| (on.newly_used, on.unused));
    assert_eq!(
        index.changed(&key("a"), Some(&pod("", &["m"]))),
        PodChange::default(),
        "no node yet"
    );
    assert_eq!(
        on(index.changed(&key("a"), Some(&pod("n1", &["m"])))),
        Some((vec![config_map("m")], vec![]))
    );
    assert_eq!(
        on(index.changed(&key("b"), Some(&pod("n1", &["m"])))),
        Some((vec![], vec![]))
    );
    assert_eq!(
        on(index.changed(&key("c"), Some(&pod("n2", &["m"])))),
        Some((vec![config_map("m")], vec![]))
    );
    assert_eq!(index.users(&config_map("m")).collect::<Vec<_>>(), ["n1", "n2"]);
    assert_eq!(
        on(index.changed(&key("c"), Some(&pod("n2", &["x"])))),
        Some((vec![config_map("x")], vec![config_map("m")]))
    );
    let left = |change: PodChange| change.left.map(|left| (left.node, left.unused));
    assert_eq!(left(index.changed(&key("a"), None)), Some(("n1".to_owned(), vec![])));
    assert_eq!(index.on("n1").collect::<Vec<_>>(), [&key("b")]);
    assert_eq!(
        left(index.changed(&key("b"), None)),
        Some(("n1".to_owned(), vec![config_map("m")]))
    );
    assert_eq!(index.changed(&key("b"), None), PodChange::default());
    assert_eq!(index.referenced_on("n2"), BTreeSet::from([&config_map("x")]));
    index.changed(&key("c"), None);
    assert!(index.placed.is_empty() && index.by_node.is_empty() && index.users.is_empty());
}
