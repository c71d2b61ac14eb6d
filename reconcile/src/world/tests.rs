//! Tests of the indices: they follow every object, and lookups cost no scans.

use api::{Kind, Object, ObjectKey};
use serde_json::{Value, json};

use super::World;

fn object(kind: Kind, value: &Value) -> Object {
    Object::decode(kind, value.to_string().as_bytes()).unwrap()
}

fn pod(name: &str, node: &str, phase: &str, app: &str) -> Object {
    object(
        Kind::Pod,
        &json!({
            "metadata": {"namespace": "a", "name": name, "uid": format!("uid-{name}"), "labels": {"app": app},
                "ownerReferences": [{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web", "uid": "set",
                    "controller": true}]},
            "spec": {"nodeName": node, "containers": [{"name": "c", "resources": {"requests": {"cpu": "1"}}}]},
            "status": {"phase": phase},
        }),
    )
}

#[test]
fn every_index_follows_an_object_through_its_life() {
    let mut world = World::default();
    let key = ObjectKey::new(Kind::Pod, "a", "one");
    let labels = [("app".to_owned(), "web".to_owned())].into();

    world.put(pod("one", "", "Pending", "web"));
    assert_eq!(world.unbound_pods().len(), 1);
    assert_eq!(world.owned_by("set").count(), 1);
    assert_eq!(world.pods_with("a", &labels).count(), 1);

    world.put(pod("one", "node-1", "Running", "web"));
    assert_eq!(world.unbound_pods().len(), 0);
    assert_eq!(world.pods_on("node-1").count(), 1);
    assert_eq!(world.usage_of("node-1").unwrap().requests["cpu"], 1000);

    world.put(pod("one", "node-1", "Succeeded", "db"));
    assert_eq!(world.finished_pods().len(), 1);
    assert!(world.usage_of("node-1").is_none(), "a finished pod takes nothing");
    assert_eq!(world.pods_on("node-1").count(), 1);
    assert_eq!(world.pods_with("a", &labels).count(), 0);

    assert!(world.remove(&key).is_some());
    assert_eq!(world.finished_pods().len(), 0);
    assert_eq!(world.owned_by("set").count(), 0);
    assert!(world.by_uid("uid-one").is_none());
    assert_eq!(world.nodes_with_pods().count(), 0);
}

#[test]
fn services_are_found_by_a_pods_labels() {
    let mut world = World::default();
    for (name, selector) in [
        ("web", json!({"app": "web"})),
        ("web-front", json!({"app": "web", "tier": "front"})),
        ("none", json!({})),
    ] {
        world.put(object(
            Kind::Service,
            &json!({"metadata": {"namespace": "a", "name": name}, "spec": {"selector": selector}}),
        ));
    }
    let found = |world: &World, pod: &Object| -> Vec<String> {
        let mut names: Vec<_> = world
            .services_selecting(pod.metadata())
            .map(|service| service.metadata.name.clone().unwrap())
            .collect();
        names.sort();
        names
    };
    assert_eq!(found(&world, &pod("one", "", "Pending", "web")), ["web"]);
    assert_eq!(found(&world, &pod("one", "", "Pending", "db")), [""; 0]);
    world.remove(&ObjectKey::new(Kind::Service, "a", "web"));
    assert_eq!(found(&world, &pod("one", "", "Pending", "web")), [""; 0]);
}

/// Twelve seconds and more where every pod is compared with every service; a fraction of one with the index.
#[test]
fn fifty_thousand_services_cost_a_pod_a_lookup() {
    let mut world = World::default();
    for number in 0..50_000 {
        let name = format!("service-{number}");
        world.put(object(
            Kind::Service,
            &json!({"metadata": {"namespace": "a", "name": name},
                "spec": {"selector": {"app.kubernetes.io/part-of": "mesh", "name": name}}}),
        ));
    }
    let started = std::time::Instant::now();
    for number in 0..2_000 {
        let mut pod = pod(&format!("pod-{number}"), "", "Pending", "web");
        let labels = pod.metadata_mut().labels.get_or_insert_default();
        labels.insert("app.kubernetes.io/part-of".to_owned(), "mesh".to_owned());
        labels.insert("name".to_owned(), format!("service-{number}"));
        assert_eq!(world.services_selecting(pod.metadata()).count(), 1);
        world.put(pod);
        let selector = [
            ("app.kubernetes.io/part-of".to_owned(), "mesh".to_owned()),
            ("name".to_owned(), format!("service-{number}")),
        ];
        assert_eq!(world.pods_with("a", &selector.into()).count(), 1);
    }
    let taken = started.elapsed();
    assert!(taken < std::time::Duration::from_secs(5), "{taken:?}");
}
