//! Tests of the pod garbage collector.

use std::time::Duration;

use api::{Kind, k8s_openapi::api::core::v1::Pod};
use serde_json::json;

use crate::{
    facts,
    simulation::{Cluster, assert_robust, deployment, is_running, time},
};

#[test]
fn pods_of_a_node_that_is_gone_go_and_are_replaced() {
    let mut cluster = Cluster::with_nodes(2);
    cluster.apply(&deployment("web", 4, "web:1"));
    cluster.tick(Duration::from_secs(60));
    cluster.kill_agent("node-2");
    cluster.delete(Kind::Node, "", "node-2");
    let pods = cluster.all::<Pod>();
    assert_eq!(pods.len(), 4);
    assert!(
        pods.iter()
            .all(|pod| is_running(pod) && facts::node_name(pod) == Some("node-1"))
    );
}

#[test]
fn a_pod_bound_to_a_node_that_may_be_about_to_come_waits() {
    let mut cluster = Cluster::with_nodes(1);
    let early = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"namespace": "default", "name": "early"},
        "spec": {"nodeName": "node-2", "containers": [{"name": "main"}]}});
    cluster.apply(&early);
    cluster.tick(Duration::from_secs(30));
    assert!(cluster.find::<Pod>("default", "early").is_some());
    cluster.tick(Duration::from_secs(10));
    assert!(cluster.find::<Pod>("default", "early").is_none());

    cluster.apply(&early);
    cluster.tick(Duration::from_secs(30));
    cluster.add_node("node-2");
    cluster.tick(Duration::from_secs(60));
    assert!(is_running(cluster.get::<Pod>("default", "early")));
}

#[test]
fn a_pod_deleted_before_it_had_a_node_goes() {
    let mut cluster = Cluster::with_nodes(0);
    cluster.apply(
        &json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"namespace": "default", "name": "early"},
        "spec": {"containers": [{"name": "main"}]}}),
    );
    let mut stuck = cluster.get::<Pod>("default", "early").clone();
    stuck.metadata.deletion_timestamp = Some(time("2026-01-01T00:00:00Z"));
    cluster.server.put(stuck.into());
    cluster.settle();
    assert!(cluster.find::<Pod>("default", "early").is_none());
}

#[test]
fn ends_alike_whatever_happens() {
    assert_robust(|cluster| {
        cluster.add_nodes(3);
        cluster.apply(&deployment("web", 6, "web:1"));
        cluster.tick(Duration::from_secs(50));
        cluster.kill_agent("node-3");
        cluster.delete(Kind::Node, "", "node-3");
        cluster.tick(Duration::from_secs(20));
    });
}
