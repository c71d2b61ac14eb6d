//! Tests of nodes' address ranges.

use std::collections::BTreeSet;

use api::{Kind, Object, ObjectKey, Timestamp, k8s_openapi::api::core::v1::Node};
use serde_json::{Value, json};

use super::NodeRanges;
use crate::{
    plan::{Action, Context, Planner},
    simulation::{Cluster, assert_robust},
    world::World,
};

fn ranges(cluster: &Cluster) -> Vec<String> {
    cluster
        .all::<Node>()
        .iter()
        .map(|node| node.spec.as_ref().unwrap().pod_cidr.clone().unwrap())
        .collect()
}

#[test]
fn every_node_has_a_range_of_its_own_and_a_free_one_is_used_again() {
    let mut cluster = Cluster::with_nodes(3);
    assert_eq!(ranges(&cluster), ["10.42.0.0/24", "10.42.1.0/24", "10.42.2.0/24"]);
    let spec = cluster.get::<Node>("", "node-1").spec.clone().unwrap();
    assert_eq!(spec.pod_cidrs, Some(vec!["10.42.0.0/24".to_owned()]));
    cluster.delete(Kind::Node, "", "node-2");
    cluster.add_node("node-4");
    assert_eq!(ranges(&cluster), ["10.42.0.0/24", "10.42.2.0/24", "10.42.1.0/24"]);
}

fn plan(cluster_cidr: &str, nodes: &[Value]) -> Vec<String> {
    let mut world = World::default();
    for (number, spec) in nodes.iter().enumerate() {
        let node = json!({"metadata": {"name": format!("node-{number}")}, "spec": spec});
        world.put(Object::decode(Kind::Node, node.to_string().as_bytes()).unwrap());
    }
    let planner = NodeRanges {
        cluster_cidr: cluster_cidr.parse().unwrap(),
        node_prefix_length: 24,
    };
    let now = Timestamp::UNIX_EPOCH;
    let plan = planner.plan(&world, &ObjectKey::new(Kind::Node, "", ""), Context { now, seed: 1 });
    plan.actions
        .iter()
        .map(|action| match action {
            Action::Update(object) => {
                let node = object.get::<Node>().unwrap();
                node.spec.as_ref().unwrap().pod_cidr.clone().unwrap()
            }
            Action::Announce(said) => said.reason.to_owned(),
            other => panic!("{other:?}"),
        })
        .collect()
}

#[test]
fn ranges_of_any_size_are_respected_and_exhaustion_is_told() {
    assert_eq!(
        plan(
            "10.42.0.0/22",
            &[json!({"podCIDR": "10.42.0.0/23"}), json!({}), json!({}), json!({})]
        ),
        ["10.42.2.0/24", "10.42.3.0/24", "CIDRNotAvailable"]
    );
    assert_eq!(
        plan("10.42.0.0/24", &[json!({"podCIDR": "10.42.0.0/25"}), json!({})]),
        ["CIDRNotAvailable"]
    );
    assert_eq!(plan("10.42.0.0/16", &[json!({"podCIDR": "10.42.7.0/24"})]), [""; 0]);
}

#[test]
fn ends_alike_whatever_happens() {
    assert_robust(|cluster| {
        cluster.add_nodes(4);
        cluster.delete(Kind::Node, "", "node-1");
        cluster.add_node("node-5");
        cluster.add_node("node-6");
        let all = ranges(cluster);
        assert_eq!(all.iter().collect::<BTreeSet<_>>().len(), 5, "{all:?}");
    });
}
