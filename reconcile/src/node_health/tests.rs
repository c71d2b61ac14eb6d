//! Tests of node health: silence, taints, withdrawal, and return.

use std::time::Duration;

use api::{
    Kind,
    k8s_openapi::{
        api::{
            coordination::v1::Lease,
            core::v1::{Node, Pod},
            discovery::v1::EndpointSlice,
        },
        apimachinery::pkg::apis::meta::v1::MicroTime,
    },
};
use serde_json::json;

use crate::{
    facts,
    simulation::{Cluster, Disturbance, assert_robust, deployment, service},
};

fn ready(cluster: &Cluster, node: &str) -> (String, Option<String>) {
    let condition = facts::node_condition(cluster.get::<Node>("", node), "Ready").unwrap();
    (condition.status.clone(), condition.reason.clone())
}

fn taints(cluster: &Cluster, node: &str) -> Vec<String> {
    let spec = cluster.get::<Node>("", node).spec.clone().unwrap_or_default();
    let mut taints: Vec<_> = spec
        .taints
        .iter()
        .flatten()
        .map(|taint| {
            format!(
                "{}:{}",
                taint.key.trim_start_matches("node.kubernetes.io/"),
                taint.effect
            )
        })
        .collect();
    taints.sort();
    taints
}

fn ready_endpoints(cluster: &Cluster) -> usize {
    cluster
        .all::<EndpointSlice>()
        .iter()
        .filter(|slice| facts::label(&slice.metadata, "kubernetes.io/service-name") == Some("web"))
        .flat_map(|slice| slice.endpoints.iter().flatten())
        .filter(|endpoint| endpoint.conditions.as_ref().unwrap().ready == Some(true))
        .count()
}

#[test]
fn a_silent_node_is_marked_withdrawn_and_welcomed_back() {
    let mut cluster = Cluster::with_nodes(3);
    cluster.apply(&service("web"));
    cluster.apply(&deployment("web", 3, "web:1"));
    assert_eq!((taints(&cluster, "node-2"), ready_endpoints(&cluster)), (vec![], 3));
    cluster.kill_agent("node-2");
    cluster.tick(Duration::from_secs(30));
    assert_eq!(ready(&cluster, "node-2").0, "True");
    cluster.tick(Duration::from_secs(10));
    assert_eq!(
        ready(&cluster, "node-2"),
        ("Unknown".to_owned(), Some("NodeStatusUnknown".to_owned()))
    );
    assert_eq!(
        taints(&cluster, "node-2"),
        ["unreachable:NoExecute", "unreachable:NoSchedule"]
    );
    assert_eq!(ready_endpoints(&cluster), 2);
    let on_node: Vec<&Pod> = cluster.server.world.pods_on("node-2").collect();
    assert!(!on_node.is_empty() && on_node.iter().all(|pod| !facts::is_ready(pod)));
    assert!(
        cluster
            .announced
            .iter()
            .any(|said| said.reason == "NodeNotReady" && said.about.kind == Kind::Node)
    );

    cluster.start_agent("node-2");
    assert_eq!(
        (ready(&cluster, "node-2").0.as_str(), taints(&cluster, "node-2")),
        ("True", vec![])
    );
}

#[test]
fn pods_of_a_node_that_was_only_late_are_ready_again_without_a_word_about_them() {
    let mut cluster = Cluster::with_nodes(2);
    cluster.apply(&service("web"));
    cluster.apply(&deployment("web", 2, "web:1"));
    let works = cluster.get::<Node>("", "node-2").clone();
    for pod in cluster.all::<Pod>().into_iter().cloned().collect::<Vec<_>>() {
        let mut pod = pod;
        let containers_ready = serde_json::from_value(json!({"type": "ContainersReady", "status": "True"})).unwrap();
        pod.status
            .as_mut()
            .unwrap()
            .conditions
            .as_mut()
            .unwrap()
            .push(containers_ready);
        cluster.server.put(pod.into());
    }
    cluster.kill_agent("node-2");
    cluster.tick(Duration::from_secs(50));
    assert_eq!(ready_endpoints(&cluster), 1);
    cluster.server.put(works.into());
    cluster.edit::<Lease>("kube-node-lease", "node-2", |lease| {
        lease.spec.as_mut().unwrap().renew_time = Some(MicroTime("2026-01-01T01:00:00Z".parse().unwrap()));
    });
    assert_eq!(ready_endpoints(&cluster), 2);
}

#[test]
fn a_node_that_says_it_is_not_ready_is_tainted_so() {
    let mut cluster = Cluster::with_nodes(2);
    let mut node = cluster.get::<Node>("", "node-1").clone();
    for condition in node.status.as_mut().unwrap().conditions.as_mut().unwrap() {
        let sick = matches!(condition.type_.as_str(), "DiskPressure");
        condition.status = if sick { "True" } else { "False" }.to_owned();
    }
    cluster.server.put(node.into());
    cluster.settle();
    assert_eq!(
        taints(&cluster, "node-1"),
        [
            "disk-pressure:NoSchedule",
            "not-ready:NoExecute",
            "not-ready:NoSchedule"
        ]
    );
}

#[test]
fn a_cordoned_node_is_tainted_and_taints_of_others_stay() {
    let mut cluster = Cluster::with_nodes(1);
    cluster.edit::<Node>("", "node-1", |node| {
        let spec = node.spec.get_or_insert_default();
        spec.unschedulable = Some(true);
        spec.taints = serde_json::from_value(json!([{"key": "mine", "effect": "NoExecute"}])).unwrap();
    });
    assert_eq!(
        taints(&cluster, "node-1"),
        ["mine:NoExecute", "unschedulable:NoSchedule"]
    );
    let spec = cluster.get::<Node>("", "node-1").spec.clone().unwrap();
    assert!(
        spec.taints.unwrap()[0].time_added.is_some(),
        "evictions count from here"
    );
    cluster.edit::<Node>("", "node-1", |node| node.spec.as_mut().unwrap().unschedulable = None);
    assert_eq!(taints(&cluster, "node-1"), ["mine:NoExecute"]);
}

#[test]
fn when_all_nodes_are_silent_nobody_is_evicted() {
    let mut cluster = Cluster::with_nodes(2);
    cluster.apply(&deployment("web", 2, "web:1"));
    cluster.kill_agent("node-1");
    cluster.kill_agent("node-2");
    cluster.tick(Duration::from_secs(600));
    assert_eq!(taints(&cluster, "node-1"), ["unreachable:NoSchedule"]);
    assert!(cluster.all::<Pod>().iter().all(|pod| facts::is_active(pod)));
    cluster.start_agent("node-1");
    assert_eq!(
        taints(&cluster, "node-2"),
        ["unreachable:NoExecute", "unreachable:NoSchedule"]
    );
}

#[test]
fn time_in_which_the_server_did_not_listen_does_not_count() {
    let mut cluster = Cluster::with_nodes(1);
    cluster.now = cluster.now.checked_add(Duration::from_secs(3600)).unwrap();
    cluster.restart();
    cluster.settle();
    assert_eq!(ready(&cluster, "node-1").0, "True");
    cluster.kill_agent("node-1");
    cluster.tick(Duration::from_secs(40));
    assert_eq!(ready(&cluster, "node-1").0, "Unknown");
}

#[test]
fn a_node_that_never_speaks_is_found_out() {
    let mut cluster = Cluster::new(1, Disturbance::default());
    cluster.apply(&json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "mute"}}));
    assert_eq!(taints(&cluster, "mute"), ["not-ready:NoSchedule"]);
    cluster.tick(Duration::from_secs(40));
    assert_eq!(
        ready(&cluster, "mute"),
        ("Unknown".to_owned(), Some("NodeStatusNeverUpdated".to_owned()))
    );
    assert_eq!(taints(&cluster, "mute"), ["unreachable:NoSchedule"]);
}

#[test]
fn ends_alike_whatever_happens() {
    assert_robust(|cluster| {
        cluster.add_nodes(3);
        cluster.apply(&service("web"));
        cluster.apply(&deployment("web", 3, "web:1"));
        cluster.kill_agent("node-1");
        cluster.tick(Duration::from_secs(50));
        cluster.start_agent("node-1");
        cluster.kill_agent("node-2");
        cluster.tick(Duration::from_secs(60));
    });
}
