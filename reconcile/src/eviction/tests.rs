//! Tests of taint-based eviction: how long pods stay, and where they go.

use std::time::Duration;

use api::{
    Timestamp,
    k8s_openapi::api::core::v1::{Pod, Taint},
};
use serde_json::{Value, from_value, json};

use super::{Stay, stays};
use crate::{
    facts,
    plan::Context,
    simulation::{Cluster, assert_robust, deployment, is_running},
};

fn tolerating(tolerations: Value) -> Pod {
    from_value(json!({"spec": {"containers": [], "tolerations": tolerations}})).unwrap()
}

#[test]
fn how_long_a_pod_stays() {
    let taint = |key: &str| -> Taint {
        from_value(json!({"key": key, "effect": "NoExecute", "timeAdded": "2026-01-01T00:00:00Z"})).unwrap()
    };
    let (one, two) = (taint("one"), taint("two"));
    let now: Timestamp = "2026-01-01T00:00:10Z".parse().unwrap();
    let exists = |key: &str, seconds: Option<i64>| json!({"key": key, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": seconds});
    let seconds = |seconds| Stay::For(Duration::from_secs(seconds));
    for (name, tolerations, taints, wanted) in [
        ("nothing tolerated", json!([]), vec![&one], seconds(0)),
        ("for ever", json!([exists("one", None)]), vec![&one], Stay::Forever),
        ("for a while", json!([exists("one", Some(30))]), vec![&one], seconds(20)),
        (
            "the while is over",
            json!([exists("one", Some(5))]),
            vec![&one],
            seconds(0),
        ),
        (
            "one of two taints",
            json!([exists("one", None)]),
            vec![&one, &two],
            seconds(0),
        ),
        (
            "the shorter of two",
            json!([exists("one", Some(60)), exists("two", Some(30))]),
            vec![&one, &two],
            seconds(20),
        ),
        (
            "everything",
            json!([{"operator": "Exists"}]),
            vec![&one, &two],
            Stay::Forever,
        ),
    ] {
        assert_eq!(
            stays(&tolerating(tolerations), &taints, Context { now, seed: 0 }),
            wanted,
            "{name}"
        );
    }
}

fn patient(mut manifest: Value, seconds: u64) -> Value {
    manifest["spec"]["template"]["spec"]["tolerations"] = json!([
        {"key": "node.kubernetes.io/unreachable", "operator": "Exists", "effect": "NoExecute",
            "tolerationSeconds": seconds},
        {"key": "node.kubernetes.io/not-ready", "operator": "Exists", "effect": "NoExecute",
            "tolerationSeconds": seconds},
    ]);
    manifest
}

#[test]
fn pods_of_a_dead_node_are_replaced_elsewhere_after_their_patience() {
    let mut cluster = Cluster::with_nodes(2);
    cluster.apply(&patient(deployment("web", 2, "web:1"), 60));
    cluster.kill_agent("node-2");
    cluster.tick(Duration::from_secs(90));
    assert_eq!(cluster.all::<Pod>().len(), 2, "40 s of grace, 60 s of patience");
    cluster.tick(Duration::from_secs(20));
    let running: Vec<&Pod> = cluster.all::<Pod>().into_iter().filter(|pod| is_running(pod)).collect();
    assert_eq!(running.len(), 2);
    assert!(running.iter().all(|pod| facts::node_name(pod) == Some("node-1")));
    let stuck: Vec<&Pod> = cluster.server.world.pods_on("node-2").collect();
    assert_eq!(
        stuck.len(),
        1,
        "the old one is terminating until its node says that it ended"
    );
    assert!(facts::is_terminating(&stuck[0].metadata));
    let condition = facts::pod_condition(stuck[0], "DisruptionTarget").unwrap();
    assert_eq!(condition.reason.as_deref(), Some("DeletionByTaintManager"));
    cluster.start_agent("node-2");
    assert_eq!(cluster.all::<Pod>().len(), 2);
}

#[test]
fn a_node_that_comes_back_in_time_keeps_its_pods() {
    let mut cluster = Cluster::with_nodes(2);
    cluster.apply(&patient(deployment("web", 2, "web:1"), 60));
    let names = |cluster: &Cluster| -> Vec<String> {
        cluster
            .all::<Pod>()
            .iter()
            .map(|pod| facts::name(&pod.metadata).to_owned())
            .collect()
    };
    let before = names(&cluster);
    cluster.kill_agent("node-2");
    cluster.tick(Duration::from_secs(80));
    cluster.start_agent("node-2");
    cluster.tick(Duration::from_secs(120));
    assert_eq!(names(&cluster), before);
}

#[test]
fn ends_alike_whatever_happens() {
    assert_robust(|cluster| {
        cluster.add_nodes(3);
        cluster.apply(&patient(deployment("web", 6, "web:1"), 30));
        cluster.apply(&patient(deployment("hasty", 3, "web:1"), 0));
        cluster.kill_agent("node-3");
        cluster.tick(Duration::from_secs(120));
        cluster.start_agent("node-3");
        cluster.tick(Duration::from_secs(20));
    });
}
