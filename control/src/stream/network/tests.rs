use prost::Message;
use serde_json::{Value, json};

use super::*;

fn service(spec: Value) -> ServiceObject {
    serde_json::from_value(json!({"spec": spec})).expect("a service")
}

fn web() -> ServiceObject {
    service(json!({"clusterIP": "10.43.0.5", "clusterIPs": ["10.43.0.5"], "ports": [{"port": 80}]}))
}

/// `(address, ready, terminating)` each.
fn slice_of(service: &str, port: i32, endpoints: &[(&str, bool, bool)]) -> EndpointSlice {
    let endpoints: Vec<Value> = endpoints
        .iter()
        .map(|(ip, ready, terminating)| {
            json!({
                "addresses": [ip], "nodeName": "n1",
                "conditions": {"ready": ready, "serving": true, "terminating": terminating},
            })
        })
        .collect();
    serde_json::from_value(json!({
        "metadata": {"namespace": "default", "labels": {SERVICE_NAME_LABEL: service}},
        "addressType": "IPv4",
        "endpoints": endpoints,
        "ports": [{"name": "", "port": port, "protocol": "TCP"}],
    }))
    .expect("a slice")
}

/// What the changes say, for people.
fn told(changes: &[Change]) -> Vec<String> {
    changes
        .iter()
        .map(|change| match change.kind.as_ref().expect("a kind") {
            change::Kind::Node(node) => format!("node {} {} {}", node.name, address(&node.ip), node.pod_cidr),
            change::Kind::NodeRemoved(name) => format!("-node {name}"),
            change::Kind::Service(service) => format!("service {} {}", service.r#ref, service.name),
            change::Kind::ServiceRemoved(number) => format!("-service {number}"),
            change::Kind::Endpoints(delta) => {
                let mut text = format!("endpoints {}", delta.service_ref);
                if delta.replace {
                    text.push_str(" replace");
                }
                for endpoint in &delta.upserted {
                    let ports: Vec<String> = endpoint.targets.iter().map(|target| target.port.to_string()).collect();
                    let state = if endpoint.ready { "ready" } else { "not" };
                    text.push_str(&format!(" +{}:{}:{state}", address(&endpoint.ip), ports.join(",")));
                }
                for key in &delta.removed {
                    text.push_str(&format!(" -{}", address(&key.ip)));
                }
                text
            }
            other => panic!("{other:?}"),
        })
        .collect()
}

fn address(bytes: &[u8]) -> String {
    api::net_state::ip_from_bytes(bytes).expect("an address").to_string()
}

#[test]
fn endpoints_are_told_as_what_differs() {
    let mut network = Network::default();
    let slice = |endpoints: &[(&str, bool, bool)]| slice_of("web", 8080, endpoints);
    let a = ("10.42.0.1", true, false);
    let b = ("10.42.0.2", true, false);
    assert_eq!(
        told(&network.slice_changed("default", "s", Some(&slice(&[a])))),
        [""; 0],
        "no service yet"
    );
    assert_eq!(
        told(&network.service_changed("default", "web", Some(&web()))),
        ["service 1 web", "endpoints 1 replace +10.42.0.1:8080:ready"]
    );
    type Step<'a> = (&'a [(&'a str, bool, bool)], &'a [&'a str]);
    let steps: [Step<'_>; 5] = [
        (&[a, b], &["endpoints 1 +10.42.0.2:8080:ready"]),
        (&[b, a], &[]),
        (&[a, ("10.42.0.2", false, true)], &["endpoints 1 +10.42.0.2:8080:not"]),
        (&[a], &["endpoints 1 -10.42.0.2"]),
        (&[b], &["endpoints 1 +10.42.0.2:8080:ready -10.42.0.1"]),
    ];
    for (endpoints, expected) in steps {
        assert_eq!(
            told(&network.slice_changed("default", "s", Some(&slice(endpoints)))),
            expected
        );
    }
    assert_eq!(
        told(&network.service_changed("default", "web", Some(&web()))),
        [""; 0],
        "nothing changed"
    );
    assert_eq!(told(&network.service_changed("default", "web", None)), ["-service 1"]);
    assert_eq!(
        told(&network.service_changed("default", "web", Some(&web()))),
        ["service 2 web", "endpoints 2 replace +10.42.0.2:8080:ready"],
        "a number is not given again"
    );
    assert_eq!(
        told(&network.slice_changed("default", "s", None)),
        ["endpoints 2 -10.42.0.2"]
    );
    assert!(network.slices.is_empty());
}

#[test]
fn an_address_in_two_slices_has_the_ports_of_both() {
    let mut network = Network::default();
    network.service_changed("default", "web", Some(&web()));
    let a = ("10.42.0.1", true, false);
    network.slice_changed("default", "s1", Some(&slice_of("web", 1, &[a])));
    assert_eq!(
        told(&network.slice_changed("default", "s2", Some(&slice_of("web", 2, &[a])))),
        ["endpoints 1 +10.42.0.1:1,2:ready"]
    );
    assert_eq!(
        told(&network.slice_changed("default", "s1", None)),
        ["endpoints 1 +10.42.0.1:2:ready"]
    );
    assert_eq!(
        told(&network.slice_changed("default", "s2", Some(&slice_of("other", 2, &[a])))),
        ["endpoints 1 -10.42.0.1"],
        "given to another service"
    );
    assert!(
        !network
            .slices_of
            .contains_key(&("default".to_owned(), "web".to_owned()))
    );
}

#[test]
fn nodes_are_told_once_they_have_an_address_and_a_range() {
    let node = |ip: Option<&str>, cidr: Option<&str>| -> NodeObject {
        let addresses: Vec<Value> = ip
            .iter()
            .map(|ip| json!({"type": "InternalIP", "address": ip}))
            .collect();
        serde_json::from_value(json!({"spec": {"podCIDR": cidr}, "status": {"addresses": addresses}})).expect("a node")
    };
    let mut network = Network::default();
    let cidr = Some("10.42.0.0/24");
    assert_eq!(
        told(&network.node_changed("n", Some(&node(Some("192.0.2.1"), None)))),
        [""; 0]
    );
    assert_eq!(network.pod_cidr("n"), None);
    assert_eq!(
        told(&network.node_changed("n", Some(&node(Some("192.0.2.1"), cidr)))),
        ["node n 192.0.2.1 10.42.0.0/24"]
    );
    assert_eq!(network.pod_cidr("n"), cidr);
    assert_eq!(
        told(&network.node_changed("n", Some(&node(Some("192.0.2.1"), cidr)))),
        [""; 0]
    );
    assert_eq!(told(&network.node_changed("n", None)), ["-node n"]);
    assert_eq!(told(&network.node_changed("n", None)), [""; 0]);
}

#[test]
fn services_are_told_with_all_that_the_dataplane_needs() {
    let object: ServiceObject = serde_json::from_value(json!({
        "spec": {
            "type": "LoadBalancer", "clusterIPs": ["10.43.0.5", "fd00::5"],
            "ports": [{"name": "dns", "port": 53, "protocol": "UDP", "nodePort": 30053}],
            "externalIPs": ["192.0.2.9"], "sessionAffinity": "ClientIP",
            "internalTrafficPolicy": "Local", "externalTrafficPolicy": "Local", "publishNotReadyAddresses": true,
        },
        "status": {"loadBalancer": {"ingress": [{"ip": "192.0.2.10"}, {"hostname": "x"}]}},
    }))
    .expect("a service");
    let message = service_message(7, "ns", "dns", &object);
    assert_eq!((message.r#ref, message.r#type()), (7, service::Type::LoadBalancer));
    assert_eq!(message.cluster_ips.iter().map(Vec::len).collect::<Vec<_>>(), [4, 16]);
    assert_eq!(message.ports[0].protocol(), Protocol::Udp);
    assert_eq!((message.ports[0].port, message.ports[0].node_port), (53, 30053));
    assert_eq!(message.load_balancer_ips, [vec![192, 0, 2, 10]]);
    assert_eq!(message.affinity_timeout_s, 10_800);
    assert!(message.internal_traffic_local && message.external_traffic_local && message.publish_not_ready);
    let headless = service_message(
        1,
        "ns",
        "h",
        &service(json!({"clusterIP": "None", "clusterIPs": ["None"]})),
    );
    assert!(headless.headless && headless.cluster_ips.is_empty());
}

#[test]
fn a_snapshot_makes_the_same_state_and_one_endpoint_costs_tens_of_bytes() {
    let mut network = Network::default();
    let mut mirror = NetState::default();
    let mut seen = Vec::new();
    for at in 1..=20_u8 {
        let name = format!("svc{at}");
        seen.extend(network.service_changed("default", &name, Some(&web())));
        let ips: Vec<String> = (0..at).map(|host| format!("10.42.{at}.{host}")).collect();
        let endpoints: Vec<(&str, bool, bool)> = ips.iter().map(|ip| (ip.as_str(), true, false)).collect();
        seen.extend(network.slice_changed("default", &name, Some(&slice_of(&name, 80, &endpoints))));
    }
    seen.extend(network.service_changed("default", "svc3", None));
    for change in &seen {
        mirror.apply(change);
    }
    assert_eq!(mirror, network.state);
    let mut fresh = NetState::default();
    for change in network.snapshot() {
        fresh.apply(&change);
    }
    assert_eq!(fresh, network.state);

    let one = network.slice_changed(
        "default",
        "svc1",
        Some(&slice_of(
            "svc1",
            80,
            &[("10.42.1.0", true, false), ("10.42.1.1", true, false)],
        )),
    );
    assert!(one[0].encoded_len() < 40, "{} bytes", one[0].encoded_len());
}
