//! A table of what keeps a pod from a node.

use api::{
    Kind, Object,
    k8s_openapi::api::core::v1::{Node, Pod},
};
use serde_json::{Value, from_value, json};

use super::{Candidate, Wanted, check, explain};
use crate::world::World;

fn node(change: &[(&str, Value)]) -> Node {
    let mut node = json!({
        "metadata": {"name": "one", "labels": {"zone": "a"}},
        "spec": {"unschedulable": false, "taints": []},
        "status": {"allocatable": {"cpu": "1", "memory": "1Gi", "pods": "3"}},
    });
    for (at, value) in change {
        *node.pointer_mut(at).unwrap_or_else(|| panic!("{at}")) = value.clone();
    }
    from_value(node).unwrap()
}

fn pod(spec: &Value) -> Pod {
    let mut pod = json!({"metadata": {"name": "new"}, "spec": {"containers": [{"name": "c"}]}});
    for (field, value) in spec.as_object().unwrap() {
        pod["spec"][field] = value.clone();
    }
    from_value(pod).unwrap()
}

fn asking(cpu: &str, memory: &str) -> Value {
    json!({"containers": [{"name": "c", "resources": {"requests": {"cpu": cpu, "memory": memory}}}]})
}

fn on_port(port: u16, address: &str) -> Value {
    json!({"containers": [{"name": "c", "ports": [{"containerPort": 80, "hostPort": port, "hostIP": address}]}]})
}

/// On the node run one pod that asks for half a core and 100 MiB, and one that takes port 80.
fn running() -> World {
    let mut world = World::default();
    for (name, mut spec) in [("busy", asking("500m", "100Mi")), ("port", on_port(80, "10.0.0.1"))] {
        spec["nodeName"] = json!("one");
        let pod = json!({"metadata": {"namespace": "a", "name": name}, "spec": spec});
        world.put(Object::decode(Kind::Pod, pod.to_string().as_bytes()).unwrap());
    }
    world
}

#[test]
fn what_keeps_a_pod_from_a_node() {
    let tainted = |effect: &str| {
        (
            "/spec/taints",
            json!([{"key": "gpu", "value": "yes", "effect": effect}]),
        )
    };
    let affinity = |values: Value| {
        json!({"affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [
            {"matchExpressions": [{"key": "zone", "operator": "In", "values": values}]}]}}}})
    };
    let plain = json!({});
    for (name, change, spec, wanted) in [
        ("nothing", vec![], plain.clone(), vec![]),
        ("fits", vec![], asking("500m", "900Mi"), vec![]),
        ("cpu", vec![], asking("501m", "1Mi"), vec!["Insufficient cpu"]),
        (
            "both",
            vec![],
            asking("2", "2Gi"),
            vec!["Insufficient cpu", "Insufficient memory"],
        ),
        (
            "a resource that the node has not",
            vec![],
            json!({"containers": [{"name": "c", "resources": {"requests": {"example.com/gpu": "1"}}}]}),
            vec!["Insufficient example.com/gpu"],
        ),
        (
            "pods",
            vec![("/status/allocatable/pods", json!("2"))],
            plain.clone(),
            vec!["Too many pods"],
        ),
        (
            "cordon",
            vec![("/spec/unschedulable", json!(true))],
            plain.clone(),
            vec!["node(s) were unschedulable"],
        ),
        (
            "cordon, tolerated",
            vec![("/spec/unschedulable", json!(true))],
            json!({"tolerations": [{"key": "node.kubernetes.io/unschedulable", "operator": "Exists"}]}),
            vec![],
        ),
        (
            "taint",
            vec![tainted("NoSchedule")],
            plain.clone(),
            vec!["node(s) had untolerated taint {gpu: yes}"],
        ),
        (
            "taint that only asks",
            vec![tainted("PreferNoSchedule")],
            plain.clone(),
            vec![],
        ),
        (
            "taint, tolerated",
            vec![tainted("NoExecute")],
            json!({"tolerations": [{"key": "gpu", "value": "yes"}]}),
            vec![],
        ),
        ("selector", vec![], json!({"nodeSelector": {"zone": "a"}}), vec![]),
        (
            "other selector",
            vec![],
            json!({"nodeSelector": {"zone": "b"}}),
            vec!["node(s) didn't match Pod's node affinity/selector"],
        ),
        ("affinity", vec![], affinity(json!(["a", "b"])), vec![]),
        (
            "other affinity",
            vec![],
            affinity(json!(["b"])),
            vec!["node(s) didn't match Pod's node affinity/selector"],
        ),
        (
            "port",
            vec![],
            on_port(80, "0.0.0.0"),
            vec!["node(s) didn't have free ports for the requested pod ports"],
        ),
        ("port of another address", vec![], on_port(80, "10.0.0.2"), vec![]),
        ("other port", vec![], on_port(81, "0.0.0.0"), vec![]),
    ] {
        let world = running();
        let (node, pod) = (node(&change), pod(&spec));
        let wanted_by_pod = Wanted::of(&pod, pod.spec.as_ref().unwrap());
        let found: Vec<String> = match check(&wanted_by_pod, &Candidate::new(&node, world.usage_of("one"))) {
            Ok(()) => vec![],
            Err(refusals) => refusals.iter().map(ToString::to_string).collect(),
        };
        assert_eq!(found, wanted, "{name}");
    }
}

#[test]
fn an_explanation_counts_nodes_by_reason() {
    let reasons = [
        ("Insufficient memory".to_owned(), 2),
        ("node(s) had untolerated taint {gpu: yes}".to_owned(), 1),
    ];
    assert_eq!(
        explain(3, &reasons.into()),
        "0/3 nodes are available: 1 node(s) had untolerated taint {gpu: yes}, 2 Insufficient memory."
    );
    assert_eq!(explain(0, &[].into()), "no nodes available to schedule pods");
}
