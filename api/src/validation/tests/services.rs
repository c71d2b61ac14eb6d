//! Faults of services.

use serde_json::{Value, json};

use super::{Change, assert_faults, check_rows, complete, update, update_rows, with};

fn service() -> Value {
    complete(
        "",
        "services",
        json!({
            "metadata": {"name": "web", "namespace": "ns"},
            "spec": {"selector": {"app": "web"}, "ports": [{"port": 80}]},
        }),
    )
}

#[test]
fn creation() {
    let second = json!({"name": "b", "port": 80, "protocol": "TCP", "targetPort": 80});
    let rows: Vec<(Vec<Change>, &[&str])> = vec![
        (
            vec![("/metadata/name", json!("1web"))],
            &["metadata.name: Invalid value: \"1web\": a DNS-1035 label must consist of"],
        ),
        (vec![("/spec/ports", json!([]))], &["spec.ports: Required value"]),
        (
            vec![("/spec/ports", json!([])), ("/spec/clusterIP", json!("None"))],
            &[],
        ),
        (
            vec![("/spec/type", json!("Magic"))],
            &[
                "spec.type: Unsupported value: \"Magic\": supported values: \"ClusterIP\", \"ExternalName\", \
               \"LoadBalancer\", \"NodePort\"",
            ],
        ),
        (
            vec![("/spec/ports/0/port", json!(0))],
            &["spec.ports[0].port: Invalid value: 0: must be between 1 and 65535, inclusive"],
        ),
        (
            vec![("/spec/ports/0/targetPort", json!("Web"))],
            &["spec.ports[0].targetPort: Invalid value: \"Web\""],
        ),
        (
            vec![("/spec/ports/1", second.clone())],
            &[
                "spec.ports[0].name: Required value",
                "spec.ports[1]: Duplicate value: {\"port\":80,\"protocol\":\"TCP\"}",
            ],
        ),
        (
            vec![
                ("/spec/ports/0/name", json!("b")),
                ("/spec/ports/1", second),
                ("/spec/ports/1/port", json!(81)),
            ],
            &["spec.ports[1].name: Duplicate value: \"b\""],
        ),
        (
            vec![("/spec/ports/0/nodePort", json!(30_000))],
            &["spec.ports[0].nodePort: Forbidden: may not be used when `type` is 'ClusterIP'"],
        ),
        (
            vec![("/spec/clusterIP", json!("x"))],
            &["spec.clusterIPs[0]: Invalid value: \"x\": must be a valid IP address"],
        ),
        (
            vec![
                ("/spec/clusterIP", json!("10.43.0.5")),
                ("/spec/clusterIPs", json!(["10.43.0.6"])),
            ],
            &["spec.clusterIPs: Invalid value: [\"10.43.0.6\"]: first value must match `clusterIP`"],
        ),
        (
            vec![("/spec/type", json!("NodePort")), ("/spec/clusterIP", json!("None"))],
            &["spec.clusterIPs[0]: Invalid value: \"None\": may not be set to 'None' for NodePort services"],
        ),
        (
            vec![
                ("/spec/type", json!("ExternalName")),
                ("/spec/internalTrafficPolicy", Value::Null),
            ],
            &["spec.externalName: Required value"],
        ),
        (
            vec![
                ("/spec/type", json!("ExternalName")),
                ("/spec/externalName", json!("example.com.")),
            ],
            &[],
        ),
        (
            vec![("/spec/selector", json!({"a b": "c"}))],
            &["spec.selector: Invalid value: \"a b\""],
        ),
        (
            vec![("/spec/sessionAffinity", json!("Cookie"))],
            &["spec.sessionAffinity: Unsupported value: \"Cookie\": supported values: \"ClientIP\", \"None\""],
        ),
        (
            vec![
                ("/spec/sessionAffinity", json!("ClientIP")),
                (
                    "/spec/sessionAffinityConfig",
                    json!({"clientIP": {"timeoutSeconds": 100_000}}),
                ),
            ],
            &["spec.sessionAffinityConfig.clientIP.timeoutSeconds: Invalid value: 100000: must be greater than 0 and"],
        ),
        (
            vec![("/spec/externalTrafficPolicy", json!("Local"))],
            &[
                "spec.externalTrafficPolicy: Invalid value: \"Local\": may only be set for externally-accessible services",
            ],
        ),
        (
            vec![("/spec/internalTrafficPolicy", json!("Near"))],
            &["spec.internalTrafficPolicy: Unsupported value: \"Near\": supported values: \"Cluster\", \"Local\""],
        ),
        (
            vec![("/spec/externalIPs", json!(["127.0.0.1", "x"]))],
            &[
                "spec.externalIPs[0]: Invalid value: \"127.0.0.1\": may not be in the loopback range",
                "spec.externalIPs[1]: Invalid value: \"x\": must be a valid IP address",
            ],
        ),
    ];
    check_rows("", "services", &service(), &rows);
}

#[test]
fn an_address_never_changes() {
    let old = with(
        &service(),
        &[
            ("/spec/clusterIP", json!("10.43.0.5")),
            ("/spec/clusterIPs", json!(["10.43.0.5"])),
        ],
    );
    let rows: Vec<(Vec<Change>, &[&str])> = vec![
        (vec![("/spec/ports/0/port", json!(81))], &[]),
        (
            vec![
                ("/spec/clusterIP", json!("10.43.0.6")),
                ("/spec/clusterIPs", json!(["10.43.0.6"])),
            ],
            &["spec.clusterIPs[0]: Invalid value: [\"10.43.0.6\"]: may not change once set"],
        ),
        (
            vec![("/spec/clusterIP", Value::Null), ("/spec/clusterIPs", Value::Null)],
            &[],
        ),
    ];
    for (changes, faults) in rows {
        assert_faults(&changes, &update("", "services", &with(&old, &changes), &old), faults);
    }
}

#[test]
fn what_is_for_load_balancers_is_only_for_them() {
    let rows: Vec<(Vec<Change>, &[&str])> = vec![
        (
            vec![("/spec/loadBalancerClass", json!("example.com/a"))],
            &["spec.loadBalancerClass: Forbidden: may only be used when `type` is 'LoadBalancer'"],
        ),
        (
            vec![("/spec/allocateLoadBalancerNodePorts", json!(true))],
            &["spec.allocateLoadBalancerNodePorts: Forbidden: may only be used when `type` is 'LoadBalancer'"],
        ),
        (
            vec![("/spec/healthCheckNodePort", json!(30_000))],
            &["spec.healthCheckNodePort: Invalid value: 30000: may only be set when `type` is 'LoadBalancer' and"],
        ),
        (
            vec![("/spec/trafficDistribution", json!("Far"))],
            &["spec.trafficDistribution: Unsupported value: \"Far\": supported values: \"PreferClose\""],
        ),
        (
            vec![("/spec/ipFamilies", json!(["IPv4", "IPv4"]))],
            &["spec.ipFamilies[1]: Duplicate value: \"IPv4\""],
        ),
    ];
    check_rows("", "services", &service(), &rows);
    let balanced = with(
        &service(),
        &[
            ("/spec/type", json!("LoadBalancer")),
            ("/spec/loadBalancerClass", json!("example.com/a")),
        ],
    );
    let rows: Vec<(Vec<Change>, &[&str])> = vec![(
        vec![("/spec/loadBalancerClass", json!("example.com/b"))],
        &["spec.loadBalancerClass: Invalid value: \"example.com/b\": field is immutable"],
    )];
    update_rows("", "services", &balanced, &rows);
}
