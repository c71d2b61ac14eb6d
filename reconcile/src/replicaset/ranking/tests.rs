//! A table of who goes first.

use api::{Timestamp, k8s_openapi::api::core::v1::Pod};
use serde_json::{Value, from_value, json};

use super::first_to_go;

const NOW: &str = "2026-01-02T00:00:00Z";

fn pod(name: &str, change: &[(&str, Value)]) -> Pod {
    let mut pod = json!({
        "metadata": {"name": name, "uid": name, "creationTimestamp": "2026-01-01T00:00:00Z", "annotations": {}},
        "spec": {"nodeName": "one", "containers": []},
        "status": {
            "phase": "Running",
            "conditions": [{"type": "Ready", "status": "True", "lastTransitionTime": "2026-01-01T00:00:00Z"}],
            "containerStatuses": [
                {"name": "c", "image": "i", "imageID": "i", "ready": true, "restartCount": 0}],
        },
    });
    for (at, value) in change {
        *pod.pointer_mut(at).unwrap_or_else(|| panic!("{at}")) = value.clone();
    }
    from_value(pod).unwrap()
}

#[test]
fn who_goes_before_an_ordinary_pod() {
    let cost = |cost: &str| json!({"controller.kubernetes.io/pod-deletion-cost": cost});
    for (name, first, change) in [
        ("unbound", true, vec![("/spec/nodeName", json!(""))]),
        ("pending", true, vec![("/status/phase", json!("Pending"))]),
        ("unknown", true, vec![("/status/phase", json!("Unknown"))]),
        ("not ready", true, vec![("/status/conditions/0/status", json!("False"))]),
        ("cheaper", true, vec![("/metadata/annotations", cost("-1"))]),
        ("dearer", false, vec![("/metadata/annotations", cost("1"))]),
        (
            "ready later",
            true,
            vec![("/status/conditions/0/lastTransitionTime", json!("2026-01-01T23:00:00Z"))],
        ),
        (
            "restarted",
            true,
            vec![("/status/containerStatuses/0/restartCount", json!(3))],
        ),
        (
            "younger",
            true,
            vec![("/metadata/creationTimestamp", json!("2026-01-01T23:59:00Z"))],
        ),
    ] {
        let (ordinary, special) = (pod("z-ordinary", &[]), pod("a-special", &change));
        let both = [&ordinary, &special];
        let now: Timestamp = NOW.parse().unwrap();
        let order = first_to_go(&both, &both, now);
        assert_eq!(order[0] == &special, first, "{name}");
    }
}

#[test]
fn a_node_with_several_gives_first() {
    let (alone, one, two) = (
        pod("a-alone", &[]),
        pod("b-one", &[("/spec/nodeName", json!("two"))]),
        pod("c-two", &[("/spec/nodeName", json!("two"))]),
    );
    let order = first_to_go(&[&alone, &one, &two], &[&alone, &one, &two], NOW.parse().unwrap());
    assert_eq!(order, [&one, &two, &alone]);
}
