//! Tests of the desired image.

use api::node_stream::{Node, TargetPort};

use super::*;

fn context() -> NodeContext {
    NodeContext {
        node_name: "n1".to_owned(),
        node_ip: "192.168.0.1".parse().unwrap(),
        pod_cidr: "10.42.1.0/24".parse().unwrap(),
        dns_ip: "10.43.0.10".parse().unwrap(),
        dns_listen: "169.254.20.10:53".parse().unwrap(),
    }
}

fn port(name: &str, protocol: WireProtocol, number: u32, node_port: u32) -> ServicePort {
    ServicePort {
        name: name.to_owned(),
        protocol: protocol as i32,
        port: number,
        node_port,
    }
}

fn web() -> Service {
    Service {
        r#ref: 7,
        namespace: "default".to_owned(),
        name: "web".to_owned(),
        cluster_ips: vec![vec![10, 43, 0, 7]],
        ports: vec![port("http", WireProtocol::Tcp, 80, 30080)],
        ..Service::default()
    }
}

/// `state`: r(eady), t(erminating and serving), n(ot ready), g(one: terminating, no longer serving).
fn endpoint(last: u8, state: char, node: &str) -> (Vec<u8>, Endpoint) {
    let ip = vec![10, 42, 1, last];
    let endpoint = Endpoint {
        ip: ip.clone(),
        targets: vec![TargetPort {
            name: "http".to_owned(),
            protocol: WireProtocol::Tcp as i32,
            port: 8080,
        }],
        ready: state == 'r',
        serving: matches!(state, 'r' | 't'),
        terminating: matches!(state, 't' | 'g'),
        node_name: node.to_owned(),
        ..Endpoint::default()
    };
    (ip, endpoint)
}

fn state(service: Service, endpoints: &[(u8, char, &str)]) -> NetState {
    let mut state = NetState::default();
    state.endpoints.insert(
        service.r#ref,
        endpoints.iter().map(|&(ip, s, node)| endpoint(ip, s, node)).collect(),
    );
    state.services.insert(service.r#ref, service);
    state
}

/// Last octets of the backends of default/web.
fn chosen(image: &Image) -> Vec<u8> {
    let (_, set) = image.sets.iter().find(|(name, _)| name.service == "web").unwrap();
    set.iter()
        .map(|backend| match backend.ip {
            IpAddr::V4(v4) => v4.octets()[3],
            IpAddr::V6(_) => 0,
        })
        .collect()
}

#[test]
fn terminating_endpoints_serve_only_when_nothing_else_is_left() {
    /// Last octet, state, node.
    type Given = (u8, char, &'static str);
    let table: &[(&[Given], &[u8])] = &[
        (&[(1, 'r', "n1"), (2, 'r', "n2")], &[1, 2]),
        (&[(1, 'r', "n1"), (2, 't', "n2")], &[1]),
        (&[(1, 'n', "n1"), (2, 't', "n2")], &[2]),
        (&[(1, 'n', "n1"), (2, 'g', "n2")], &[]),
        (&[], &[]),
    ];
    for (endpoints, expected) in table {
        let image = image(&state(web(), endpoints), &context());
        assert_eq!(chosen(&image), *expected, "{endpoints:?}");
    }
}

#[test]
fn publish_not_ready_takes_all_and_local_policy_takes_this_nodes() {
    let endpoints = [(1, 'n', "n1"), (2, 'r', "n2")];
    let mut service = web();
    service.publish_not_ready = true;
    assert_eq!(chosen(&image(&state(service, &endpoints), &context())), [1, 2]);
    let mut service = web();
    service.internal_traffic_local = true;
    assert_eq!(chosen(&image(&state(service, &endpoints), &context())), [0u8; 0]);
}

#[test]
fn a_service_answers_on_its_cluster_ip_its_external_ips_and_every_node() {
    let mut service = web();
    service.external_ips = vec![vec![203, 0, 113, 5]];
    let image = image(&state(service, &[(1, 'r', "n1")]), &context());
    let listens: Vec<_> = image
        .frontends
        .iter()
        .filter(|(_, set)| set.service == "web")
        .map(|(f, _)| (f.listen, f.port))
        .collect();
    assert_eq!(
        listens,
        [
            (Listen::Inside("10.43.0.7".parse().unwrap()), 80),
            (Listen::Everywhere("203.0.113.5".parse().unwrap()), 80),
            (Listen::Nodes, 30080),
        ]
    );
}

#[test]
fn affinity_is_of_every_port_of_a_service_that_has_it() {
    for affinity_timeout_s in [0, 10_800] {
        let mut service = web();
        service.affinity_timeout_s = affinity_timeout_s;
        service.ports.push(port("admin", WireProtocol::Tcp, 81, 0));
        let image = image(&state(service, &[(1, 'r', "n1")]), &context());
        let of_web: Vec<_> = image.sets.keys().filter(|name| name.service == "web").collect();
        assert_eq!(of_web.len(), 2);
        for name in of_web {
            let found = image.affinities_s.get(name).copied().unwrap_or_default();
            assert_eq!(found, affinity_timeout_s, "{name:?}");
        }
        assert!(image.affinities_s.len() <= 2, "the DNS service has none");
    }
}

#[test]
fn dns_ends_at_this_nodes_server_with_and_without_its_service() {
    let mut dns = web();
    dns.namespace = "kube-system".to_owned();
    dns.name = "kube-dns".to_owned();
    dns.cluster_ips = vec![vec![10, 43, 0, 10]];
    dns.ports = vec![
        port("dns", WireProtocol::Udp, 53, 0),
        port("metrics", WireProtocol::Tcp, 9153, 0),
    ];
    for state in [NetState::default(), state(dns, &[(1, 'r', "n2")])] {
        let image = image(&state, &context());
        for protocol in [Protocol::Udp, Protocol::Tcp] {
            let frontend = Frontend {
                listen: Listen::Inside(context().dns_ip),
                port: 53,
                protocol,
            };
            let set = &image.sets[&image.frontends[&frontend]];
            let backend = Backend {
                ip: "169.254.20.10".parse().unwrap(),
                port: 53,
                protocol,
            };
            assert_eq!(*set, BTreeSet::from([backend]), "{protocol:?}");
        }
    }
}

#[test]
fn nodes_give_addresses_and_routes_and_this_node_is_always_there() {
    let mut state = NetState::default();
    state.nodes.insert(
        "n2".to_owned(),
        Node {
            name: "n2".to_owned(),
            ip: vec![192, 168, 0, 2],
            pod_cidr: "10.42.2.0/24".to_owned(),
            ..Node::default()
        },
    );
    state.nodes.insert(
        "n3".to_owned(),
        Node {
            name: "n3".to_owned(),
            ip: vec![192, 168, 0, 3],
            ..Node::default()
        },
    );
    let image = image(&state, &context());
    let names: Vec<_> = image.nodes.values().map(String::as_str).collect();
    assert_eq!(names, ["n1", "n2", "n3"]);
    let routes: Vec<_> = image
        .routes
        .iter()
        .map(|(range, node)| format!("{range} {node}"))
        .collect();
    assert_eq!(routes, ["10.42.1.0/24 192.168.0.1", "10.42.2.0/24 192.168.0.2"]);
}

#[test]
fn headless_external_and_sctp_services_have_no_frontend() {
    let mut headless = web();
    headless.headless = true;
    let mut external = web();
    external.r#type = service::Type::ExternalName as i32;
    let mut sctp = web();
    sctp.ports = vec![port("http", WireProtocol::Sctp, 80, 0)];
    for service in [headless, external, sctp] {
        let image = image(&state(service, &[]), &context());
        assert!(image.frontends.values().all(|set| set.service == "kube-dns"));
    }
}
