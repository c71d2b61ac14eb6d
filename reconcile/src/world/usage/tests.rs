//! Tables of effective requests and clashes of ports.

use serde_json::{Value, from_value, json};

use super::{Amounts, HostPort, Pod, Quantity, Usage, amount, footprint};

fn pod(spec: Value) -> Pod {
    from_value(json!({ "spec": spec })).unwrap()
}

fn container(cpu: &str, memory: &str) -> Value {
    json!({"name": "c", "resources": {"requests": {"cpu": cpu, "memory": memory}}})
}

fn amounts(cpu: i64, memory: i64) -> Amounts {
    [("cpu".to_owned(), cpu), ("memory".to_owned(), memory)].into()
}

#[test]
fn effective_requests() {
    let mut sidecar = container("50m", "10Mi");
    sidecar["restartPolicy"] = json!("Always");
    const MI: i64 = 1024 * 1024;
    for (name, spec, wanted) in [
        (
            "sum",
            json!({"containers": [container("100m", "1Mi"), container("0.2", "2Mi")]}),
            amounts(300, 3 * MI),
        ),
        (
            "largest init step",
            json!({"initContainers": [container("1", "1Mi"), container("500m", "8Mi")],
                   "containers": [container("100m", "1Mi")]}),
            amounts(1000, 8 * MI),
        ),
        (
            "sidecars run beside later steps and the containers",
            json!({"initContainers": [sidecar, container("1", "1Mi")], "containers": [container("100m", "1Mi")]}),
            amounts(1050, 11 * MI),
        ),
        (
            "overhead",
            json!({"containers": [container("100m", "1Mi")], "overhead": {"cpu": "10m", "memory": "1Mi"}}),
            amounts(110, 2 * MI),
        ),
        (
            "requests of the pod",
            json!({"containers": [container("100m", "1Mi")], "resources": {"requests": {"cpu": "2"}}}),
            amounts(2000, MI),
        ),
    ] {
        assert_eq!(footprint(&pod(spec)).requests, wanted, "{name}");
    }
}

#[test]
fn what_is_added_and_subtracted_leaves_nothing() {
    let taken = footprint(&pod(json!({"containers": [
        {"name": "c", "ports": [{"containerPort": 80, "hostPort": 80}], "resources": {"requests": {"cpu": "1"}}}]})));
    let mut usage = Usage::default();
    usage.add(&taken);
    usage.add(&taken);
    assert_eq!((usage.pods, usage.requests["cpu"]), (2, 2000));
    usage.subtract(&taken);
    usage.subtract(&taken);
    assert_eq!((usage.pods, usage.requests["cpu"], usage.host_ports.len()), (0, 0, 0));
}

#[test]
fn host_ports_clash_on_the_same_or_every_address() {
    let port = |protocol: &str, address: &str, port| HostPort {
        protocol: protocol.to_owned(),
        address: address.to_owned(),
        port,
    };
    let all = port("TCP", "0.0.0.0", 80);
    assert!(all.clashes_with(&port("TCP", "10.0.0.1", 80)));
    assert!(!all.clashes_with(&port("UDP", "0.0.0.0", 80)));
    assert!(!port("TCP", "10.0.0.1", 80).clashes_with(&port("TCP", "10.0.0.2", 80)));
    assert!(!all.clashes_with(&port("TCP", "0.0.0.0", 81)));
}

#[test]
fn amounts_of_quantities() {
    for (resource, text, wanted) in [
        ("cpu", "100m", 100),
        ("cpu", "0.1", 100),
        ("cpu", "1.5", 1500),
        ("cpu", "4", 4000),
        ("cpu", "1u", 1),
        ("memory", "128Mi", 134_217_728),
        ("memory", "1.5Gi", 1_610_612_736),
        ("memory", "1e3", 1000),
        ("memory", "2G", 2_000_000_000),
        ("memory", "100m", 1),
        ("memory", "-1", 0),
        ("memory", "much", 0),
    ] {
        assert_eq!(
            amount(resource, &Quantity(text.to_owned())),
            wanted,
            "{resource} {text}"
        );
    }
}
