//! A table of which of two nodes is better.

use api::k8s_openapi::api::core::v1::{Node, Pod};
use serde_json::{Value, from_value, json};

use super::scores;
use crate::{
    scheduler::filter::{Candidate, Wanted},
    world::usage::{Footprint, Usage},
};

fn node(name: &str, taints: Value) -> Node {
    from_value(json!({
        "metadata": {"name": name, "labels": {"name": name}},
        "spec": {"taints": taints},
        "status": {"allocatable": {"cpu": "4", "memory": "8Gi", "pods": "110"}},
    }))
    .unwrap()
}

fn used(cpu: i64) -> Usage {
    let mut usage = Usage::default();
    usage.add(&Footprint {
        requests: [("cpu".to_owned(), cpu), ("memory".to_owned(), cpu * 2 * 1024 * 1024)].into(),
        ..Footprint::default()
    });
    usage
}

#[test]
fn pods_that_ask_for_nothing_count_too() {
    let (one, two) = (node("one", json!([])), node("two", json!([])));
    let pod: Pod = from_value(json!({"spec": {"containers": [{"name": "c"}]}})).unwrap();
    let wanted = Wanted::of(&pod, pod.spec.as_ref().unwrap());
    let mut silent = Usage::default();
    silent.add(&Footprint::default());
    silent.add(&Footprint::default());
    let found = scores(
        &wanted,
        &[
            (&Candidate::new(&one, None), 0),
            (&Candidate::new(&two, Some(&silent)), 0),
        ],
    );
    assert!(found[0] > found[1], "{found:?}");
}

#[test]
fn which_of_two_nodes_is_better() {
    let prefers = json!({"nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [
        {"weight": 10, "preference": {"matchExpressions": [{"key": "name", "operator": "In", "values": ["one"]}]}}]}});
    let undesired = json!([{"key": "old", "effect": "PreferNoSchedule"}]);
    for (name, affinity, taints_two, used_one, used_two, held) in [
        ("less used", json!(null), json!([]), 100, 3000, (0, 0)),
        ("fewer of the same", json!(null), json!([]), 2000, 100, (0, 1)),
        ("preferred", prefers, json!([]), 2000, 100, (0, 0)),
        ("no undesired taint", json!(null), undesired, 3000, 100, (0, 0)),
    ] {
        let (one, two) = (node("one", json!([])), node("two", taints_two));
        let pod: Pod = from_value(json!({"spec": {"affinity": affinity, "containers": [
            {"name": "c", "resources": {"requests": {"cpu": "100m", "memory": "200Mi"}}}]}}))
        .unwrap();
        let wanted = Wanted::of(&pod, pod.spec.as_ref().unwrap());
        let (first, second) = (
            Candidate::new(&one, Some(&used(used_one))),
            Candidate::new(&two, Some(&used(used_two))),
        );
        let found = scores(&wanted, &[(&first, held.0), (&second, held.1)]);
        assert!(found[0] > found[1], "{name}: {found:?}");
    }
}
