use serde_json::{Value, json};

use super::*;

fn shown(spec: &Value, side: Side) -> String {
    let spec: PodSpec = serde_json::from_value(spec.clone()).unwrap();
    let amounts = effective(&spec, side);
    let list: Vec<String> = amounts
        .iter()
        .map(|(name, amount)| format!("{name}={amount}"))
        .collect();
    list.join(",")
}

fn container(cpu: &str) -> Value {
    json!({"name": "c", "resources": {"requests": {"cpu": cpu}, "limits": {"cpu": cpu}}})
}

fn sidecar(cpu: &str) -> Value {
    let mut container = container(cpu);
    container["restartPolicy"] = json!("Always");
    container
}

#[test]
fn a_pod_asks_for_what_its_containers_need_at_any_time() {
    let rows = [
        ("nothing", json!({"containers": [{"name": "c"}]}), "", ""),
        (
            "the sum",
            json!({"containers": [container("100m"), container("200m")]}),
            "cpu=300m",
            "cpu=300m",
        ),
        (
            "a bigger init step",
            json!({"containers": [container("100m")], "initContainers": [container("1")]}),
            "cpu=1",
            "cpu=1",
        ),
        (
            "a sidecar runs beside",
            json!({"containers": [container("100m")], "initContainers": [sidecar("50m"), container("200m")]}),
            "cpu=250m",
            "cpu=250m",
        ),
        (
            "the pod as a whole",
            json!({"containers": [container("100m")], "resources": {"requests": {"cpu": "2"}, "limits": {"cpu": "3"}}}),
            "cpu=2",
            "cpu=3",
        ),
        (
            "overhead adds to limits that there are",
            json!({"containers": [container("100m")], "overhead": {"cpu": "10m", "memory": "1Mi"}}),
            "cpu=110m,memory=1Mi",
            "cpu=110m",
        ),
    ];
    for (row, spec, requests, limits) in rows {
        assert_eq!(shown(&spec, Side::Requests), requests, "{row}");
        assert_eq!(shown(&spec, Side::Limits), limits, "{row}");
    }
}
