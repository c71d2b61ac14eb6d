//! Tests of the scheduler: spreading, capacity, explanations.

use std::collections::BTreeMap;

use api::{
    Kind,
    k8s_openapi::api::core::v1::{Node, Pod},
};
use serde_json::{Value, json};

use crate::{
    facts,
    simulation::{Cluster, Disturbance, assert_robust, deployment},
    world::World,
};

fn asking(mut manifest: Value, cpu: &str) -> Value {
    manifest["spec"]["template"]["spec"]["containers"][0]["resources"] = json!({"requests": {"cpu": cpu}});
    manifest
}

fn pod(name: &str, spec: &Value) -> Value {
    let mut pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"namespace": "default", "name": name},
        "spec": {"containers": [{"name": "main", "resources": {"requests": {"cpu": "1"}}}]}});
    for (field, value) in spec.as_object().unwrap() {
        pod["spec"][field] = value.clone();
    }
    pod
}

fn per_node(cluster: &Cluster) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for node in cluster.all::<Pod>().into_iter().filter_map(facts::node_name) {
        *counts.entry(node.to_owned()).or_default() += 1;
    }
    counts
}

fn scheduled(cluster: &Cluster, name: &str) -> (String, String, String) {
    let condition = facts::pod_condition(cluster.get::<Pod>("default", name), "PodScheduled").unwrap();
    let some = |text: &Option<String>| text.clone().unwrap_or_default();
    (
        condition.status.clone(),
        some(&condition.reason),
        some(&condition.message),
    )
}

#[test]
fn replicas_spread_evenly_over_the_nodes() {
    for seed in 1..6 {
        let mut cluster = Cluster::new(seed, Disturbance::default());
        cluster.add_nodes(3);
        // A node that is already busier than the others still gets its share.
        cluster.apply(&pod("busy", &json!({"nodeName": "node-1"})));
        cluster.apply(&deployment("web", 9, "web:1"));
        let mut counts = per_node(&cluster);
        *counts.get_mut("node-1").unwrap() -= 1;
        assert_eq!(counts.into_values().collect::<Vec<_>>(), [3, 3, 3], "seed {seed}");
    }
}

#[test]
fn the_draw_between_equals_depends_on_the_seed_alone() {
    let first = |seed| {
        let mut cluster = Cluster::new(seed, Disturbance::default());
        cluster.add_nodes(3);
        cluster.apply(&pod("one", &json!({})));
        facts::node_name(cluster.get::<Pod>("default", "one"))
            .unwrap()
            .to_owned()
    };
    let drawn: std::collections::BTreeSet<_> = (1..20).map(first).collect();
    assert_eq!(drawn.len(), 3, "{drawn:?}");
    assert_eq!(first(7), first(7));
}

/// Four cores on each node.
fn no_node_is_overcommitted(world: &World) -> Result<(), String> {
    for node in world.all::<Node>() {
        let name = facts::name(&node.metadata);
        let used = world
            .usage_of(name)
            .and_then(|usage| usage.requests.get("cpu"))
            .copied();
        if used.unwrap_or(0) > 4000 {
            return Err(format!("{name} has to give {used:?} thousandths of a core"));
        }
    }
    Ok(())
}

#[test]
fn many_pods_at_once_never_overcommit_a_node_and_the_rest_wait() {
    for seed in 1..10 {
        println!("seed {seed}");
        let mut cluster = Cluster::new(
            seed,
            Disturbance {
                kill: 10,
                stale: 50,
                reorder: 50,
                duplicate: 10,
            },
        );
        cluster.add_nodes(2);
        cluster.always(no_node_is_overcommitted);
        cluster.apply(&asking(deployment("web", 20, "web:1"), "900m"));
        assert_eq!(per_node(&cluster).into_values().collect::<Vec<_>>(), [4, 4]);
        assert_eq!(cluster.server.world.unbound_pods().len(), 12);
        cluster.apply(&asking(deployment("web", 2, "web:1"), "900m"));
        assert_eq!(cluster.server.world.unbound_pods().len(), 0);
    }
}

#[test]
fn a_pod_that_fits_nowhere_says_why_and_is_placed_when_it_fits() {
    let mut cluster = Cluster::with_nodes(2);
    cluster.edit::<Node>("", "node-2", |node| {
        node.spec.as_mut().unwrap().unschedulable = Some(true)
    });
    cluster.apply(&pod(
        "large",
        &json!({"containers": [{"name": "c", "resources": {"requests": {"cpu": "5"}}}]}),
    ));
    cluster.apply(&pod(
        "second",
        &json!({"nodeSelector": {"kubernetes.io/hostname": "node-2"}}),
    ));
    let message = "0/2 nodes are available: 1 Insufficient cpu, 1 node(s) were unschedulable.";
    assert_eq!(
        scheduled(&cluster, "large"),
        ("False".to_owned(), "Unschedulable".to_owned(), message.to_owned())
    );
    assert!(
        cluster
            .announced
            .iter()
            .any(|said| said.reason == "FailedScheduling" && said.message == message)
    );
    let told = cluster.server.history.len();
    cluster.tick(std::time::Duration::from_secs(60));
    let statuses = cluster.server.history[told..]
        .iter()
        .filter(|change| change.key.kind == Kind::Pod);
    assert_eq!(statuses.count(), 0, "the same reason is not written twice");

    cluster.edit::<Node>("", "node-2", |node| node.spec.as_mut().unwrap().unschedulable = None);
    assert_eq!(scheduled(&cluster, "second").0, "True");
    cluster.add_node("node-3");
    let mut big = cluster.get::<Node>("", "node-3").clone();
    let allocatable = big.status.as_mut().unwrap().allocatable.as_mut().unwrap();
    allocatable.get_mut("cpu").unwrap().0 = "8".to_owned();
    cluster.server.put(big.into());
    cluster.settle();
    assert_eq!(facts::node_name(cluster.get::<Pod>("default", "large")), Some("node-3"));
}

#[test]
fn without_nodes_and_with_gates() {
    let mut cluster = Cluster::with_nodes(0);
    cluster.apply(&pod("early", &json!({})));
    assert_eq!(scheduled(&cluster, "early").2, "no nodes available to schedule pods");
    cluster.apply(&pod(
        "gated",
        &json!({"schedulingGates": [{"name": "example.com/wait"}]}),
    ));
    assert_eq!(scheduled(&cluster, "gated").1, "SchedulingGated");
    cluster.apply(&pod("foreign", &json!({"schedulerName": "other"})));
    assert!(facts::pod_condition(cluster.get::<Pod>("default", "foreign"), "PodScheduled").is_none());
    cluster.add_nodes(1);
    assert!(facts::node_name(cluster.get::<Pod>("default", "early")).is_some());
    assert!(facts::node_name(cluster.get::<Pod>("default", "gated")).is_none());
}

#[test]
fn the_more_important_pod_goes_first() {
    let mut cluster = Cluster::with_nodes(0);
    let four = json!([{"name": "c", "resources": {"requests": {"cpu": "4"}}}]);
    cluster.apply(&pod("a-ordinary", &json!({"containers": four})));
    cluster.apply(&pod("b-important", &json!({"containers": four, "priority": 1000})));
    cluster.add_nodes(1);
    assert_eq!(
        facts::node_name(cluster.get::<Pod>("default", "b-important")),
        Some("node-1")
    );
    assert_eq!(facts::node_name(cluster.get::<Pod>("default", "a-ordinary")), None);
}

#[test]
fn pods_of_a_service_without_a_controller_spread_too() {
    let mut cluster = Cluster::with_nodes(3);
    cluster.apply(&crate::simulation::service("web"));
    for number in 0..6 {
        let mut manifest = pod(&format!("web-{number}"), &json!({"containers": [{"name": "c"}]}));
        manifest["metadata"]["labels"] = json!({"app": "web"});
        cluster.apply(&manifest);
    }
    assert_eq!(per_node(&cluster).into_values().collect::<Vec<_>>(), [2, 2, 2]);
}

#[test]
fn ends_alike_whatever_happens() {
    assert_robust(|cluster| {
        cluster.add_nodes(2);
        cluster.apply(&asking(deployment("web", 6, "web:1"), "1"));
        cluster.apply(&asking(deployment("db", 2, "web:1"), "500m"));
        cluster.add_node("node-3");
        cluster.apply(&asking(deployment("db", 5, "web:1"), "500m"));
    });
}

/// A thousand pods on fifty nodes: planned in a few rounds, each linear in the pods that wait.
#[test]
fn many_pods_are_placed_in_few_plans() {
    let mut cluster = Cluster::with_nodes(50);
    cluster.apply(&asking(deployment("web", 1_000, "web:1"), "100m"));
    assert_eq!(cluster.server.world.unbound_pods().len(), 0);
    assert!(
        per_node(&cluster).into_values().all(|count| count == 20),
        "{:?}",
        per_node(&cluster)
    );
}
