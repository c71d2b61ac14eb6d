//! The dataplane end to end: real TCP and UDP between pods, nodes and the outside, through the loaded programs.
//!
//! Needs root, network namespaces, cgroup v2 and bpffs; where it cannot run it fails.
#![expect(clippy::unwrap_used, reason = "a failed step of a test is a panic")]

#[path = "dataplane_network/fabric.rs"]
mod fabric;
#[path = "dataplane_network/worker.rs"]
mod worker;

use std::collections::BTreeMap;

use api::{
    net_state::NetState,
    node_stream::{self, Endpoint, Protocol, Service, ServicePort, TargetPort},
};

use fabric::{Fabric, OUTSIDE, ip};
use worker::Worker;

const WEB: &str = "10.43.0.7:80";
const UDP: &str = "10.43.0.8:5300";
const EMPTY: &str = "10.43.0.9:80";
const NODE_PORT: u16 = 30080;

/// Not a test: the body of worker processes.
#[test]
fn worker_process() {
    worker::serve_commands();
}

fn octets(ip: &str) -> Vec<u8> {
    ip.split('.').map(|part| part.parse().unwrap()).collect()
}

fn service(number: u32, name: &str, cluster_ip: &str, protocol: Protocol, port: u32, node_port: u32) -> Service {
    Service {
        r#ref: number,
        namespace: "default".to_owned(),
        name: name.to_owned(),
        cluster_ips: vec![octets(cluster_ip)],
        ports: vec![ServicePort {
            name: "main".to_owned(),
            protocol: protocol as i32,
            port,
            node_port,
        }],
        ..Service::default()
    }
}

fn endpoint(ip: &str, protocol: Protocol, port: u32) -> (Vec<u8>, Endpoint) {
    let endpoint = Endpoint {
        ip: octets(ip),
        targets: vec![TargetPort {
            name: "main".to_owned(),
            protocol: protocol as i32,
            port,
        }],
        ready: true,
        serving: true,
        ..Endpoint::default()
    };
    (octets(ip), endpoint)
}

/// A TCP service with node port and a UDP service on all four pods, and one without endpoints.
fn state() -> NetState {
    let mut state = NetState::default();
    for number in 1..=2u8 {
        let name = format!("n{number}");
        let node = node_stream::Node {
            name: name.clone(),
            ip: vec![192, 168, 99, number],
            pod_cidr: format!("10.42.{number}.0/24"),
            ..node_stream::Node::default()
        };
        state.nodes.insert(name, node);
    }
    let pods = ["10.42.1.2", "10.42.1.3", "10.42.2.2", "10.42.2.3"];
    state
        .services
        .insert(1, service(1, "web", "10.43.0.7", Protocol::Tcp, 80, NODE_PORT.into()));
    state
        .endpoints
        .insert(1, pods.iter().map(|ip| endpoint(ip, Protocol::Tcp, 8080)).collect());
    state
        .services
        .insert(2, service(2, "echo", "10.43.0.8", Protocol::Udp, 5300, 30053));
    state
        .endpoints
        .insert(2, pods.iter().map(|ip| endpoint(ip, Protocol::Udp, 5301)).collect());
    state
        .services
        .insert(3, service(3, "empty", "10.43.0.9", Protocol::Tcp, 80, 30081));
    state
}

struct Cluster {
    servers: Vec<Worker>,
    fabric: Fabric,
}

impl Cluster {
    fn start() -> Self {
        let mut fabric = Fabric::new();
        for node in &mut fabric.nodes {
            node.start(&state());
        }
        let mut servers = Vec::new();
        for (number, node) in fabric.nodes.iter().enumerate() {
            for pod in &node.pods {
                let mut server = fabric.worker(&pod.namespace, number, true);
                let name = format!("p{}", &pod.ip[6..]);
                server.run(&format!("serve-tcp 0.0.0.0:8080 {name}"));
                server.run(&format!("serve-udp 0.0.0.0:5301 {name}"));
                servers.push(server);
            }
        }
        Self { servers, fabric }
    }

    /// A client in the first pod of the first node.
    fn client(&self, socket_hook: bool) -> Worker {
        self.fabric
            .worker(&self.fabric.nodes[0].pods[0].namespace, 0, socket_hook)
    }

    fn outside(&self) -> Worker {
        self.fabric.worker(&self.fabric.outside, 0, false)
    }

    /// What every node counted, for a failed assertion.
    fn drops(&self) -> String {
        let rows: Vec<_> = self
            .fabric
            .nodes
            .iter()
            .map(|node| node.dataplane().drops_json().unwrap())
            .collect();
        format!("drops {rows:?}")
    }
}

fn each(count: u32) -> BTreeMap<String, u32> {
    ["p1.2", "p1.3", "p2.2", "p2.3"]
        .map(|name| (name.to_owned(), count))
        .into()
}

#[test]
fn connections_reach_every_backend_equally_and_look_like_the_service() {
    let cluster = Cluster::start();
    for socket_hook in [true, false] {
        let mut client = cluster.client(socket_hook);
        let context = || format!("socket hook {socket_hook}: {}", cluster.drops());
        assert_eq!(client.tally("tcp", WEB, 40), each(10), "{}", context());
        let answer = client.run(&format!("tcp {WEB}"));
        assert!(answer.ends_with(WEB), "peer of {answer}, {}", context());
        // The one above, and three more: whole rounds again.
        client.tally("tcp", WEB, 3);
        assert_eq!(client.tally("udp", UDP, 20), each(5), "{}", context());
        assert_eq!(client.tally("udp-to", UDP, 20), each(5), "{}", context());
        let answer = client.run(&format!("udp-to {UDP}"));
        assert!(answer.ends_with(UDP), "source of {answer}, {}", context());
        client.tally("udp-to", UDP, 3);
        assert_eq!(client.tally("tcp-mapped", WEB, 8), each(2), "{}", context());
    }
}

#[test]
fn packets_without_a_service_keep_their_addresses() {
    let cluster = Cluster::start();
    let mut client = cluster.client(true);
    for (target, name) in [("10.42.1.3:8080", "p1.3"), ("10.42.2.2:8080", "p2.2")] {
        let answer = client.run(&format!("tcp {target}"));
        assert!(
            answer.starts_with(&format!("{name} 10.42.1.2:")),
            "{answer}, {}",
            cluster.drops()
        );
    }
    // From the node itself, to a pod here and a pod elsewhere; and from a pod to another node.
    let mut host = cluster.fabric.worker(&cluster.fabric.nodes[0].namespace, 0, true);
    for target in ["10.42.1.2:8080", "10.42.2.3:8080"] {
        let answer = host.run(&format!("tcp {target}"));
        assert!(answer.contains(" 192.168.99.1:"), "{answer}, {}", cluster.drops());
    }
    assert_eq!(host.tally("tcp", WEB, 8), each(2), "{}", cluster.drops());
    let mut other = cluster.fabric.worker(&cluster.fabric.nodes[1].namespace, 1, true);
    other.run("serve-tcp 0.0.0.0:9100 host2");
    let answer = client.run("tcp 192.168.99.2:9100");
    assert!(answer.starts_with("host2 10.42.1.2:"), "{answer}, {}", cluster.drops());
}

#[test]
fn a_pod_reaches_itself_through_its_service() {
    let cluster = Cluster::start();
    let mut client = cluster.client(false);
    let mut seen = Vec::new();
    for _ in 0..4 {
        let answer = client.run(&format!("tcp {WEB}"));
        if answer.starts_with("p1.2 ") {
            seen.push(answer);
        }
    }
    assert_eq!(seen.len(), 1, "{}", cluster.drops());
    assert!(seen[0].contains(" 169.254.42.1:") && seen[0].ends_with(WEB), "{seen:?}");
}

#[test]
fn node_ports_answer_on_every_node_and_keep_the_clients_address() {
    let cluster = Cluster::start();
    let mut outside = cluster.outside();
    for node in ["192.168.99.1", "192.168.99.2"] {
        let address = format!("{node}:{NODE_PORT}");
        assert_eq!(
            outside.tally("tcp", &address, 40),
            each(10),
            "{node} {}",
            cluster.drops()
        );
        for _ in 0..4 {
            let answer = outside.run(&format!("tcp {address}"));
            assert!(
                answer.contains(&format!(" {OUTSIDE}:")) && answer.ends_with(&address),
                "{answer}"
            );
        }
        assert_eq!(
            outside.tally("udp", &format!("{node}:30053"), 8),
            each(2),
            "{node} {}",
            cluster.drops()
        );
        // From a pod, by both hooks.
        for socket_hook in [true, false] {
            let mut client = cluster.client(socket_hook);
            let tally = client.tally("tcp", &address, 8);
            assert_eq!(tally, each(2), "{node} {socket_hook} {}", cluster.drops());
        }
    }
    // A service address is for the inside only.
    ip(&format!(
        "-n {} route add 10.43.0.0/16 via 192.168.99.1",
        cluster.fabric.outside
    ));
    assert!(outside.try_run(&format!("tcp {WEB}")).is_err());
}

#[test]
fn pods_reach_the_outside_as_their_node_and_are_not_reached_from_it() {
    let cluster = Cluster::start();
    let mut outside = cluster.outside();
    outside.run(&format!("serve-tcp {OUTSIDE}:9000 out"));
    outside.run(&format!("serve-udp {OUTSIDE}:9001 out"));
    for (how, port) in [("tcp", 9000), ("udp", 9001), ("udp-to", 9001)] {
        let answer = cluster.client(true).run(&format!("{how} {OUTSIDE}:{port}"));
        assert!(
            answer.starts_with("out 192.168.99.1:6"),
            "{how}: {answer}, {}",
            cluster.drops()
        );
    }
    for node in &cluster.fabric.nodes {
        ip(&format!(
            "-n {} route add {} via {}",
            cluster.fabric.outside, node.config.pod_cidr, node.config.node_ip
        ));
    }
    assert!(outside.try_run("tcp 10.42.1.2:8080").is_err());
    assert!(
        cluster.fabric.nodes[0].drops("from_uplink", "pod_from_outside") > 0,
        "{}",
        cluster.drops()
    );
}

#[test]
fn services_without_backends_refuse_at_once() {
    let cluster = Cluster::start();
    let mut clients = [cluster.client(true), cluster.client(false), cluster.outside()];
    let node_port = "192.168.99.2:30081";
    for (client, address) in [(0, EMPTY), (1, EMPTY), (0, node_port), (1, node_port), (2, node_port)] {
        let error = clients[client].try_run(&format!("tcp {address}")).unwrap_err();
        assert!(
            error.starts_with("ConnectionRefused"),
            "{address}: {error}, {}",
            cluster.drops()
        );
    }
    let drops = &cluster.fabric.nodes[0];
    assert_eq!(
        drops.drops("socket", "service_without_backend"),
        2,
        "{}",
        cluster.drops()
    );
    // A cluster IP that no service has.
    let error = clients[1].try_run("tcp 10.43.9.9:80").unwrap_err();
    assert!(error.starts_with("ConnectionRefused"), "{error}");
}

#[test]
fn the_dns_address_ends_at_the_pods_own_node_and_is_closed_to_the_outside() {
    let cluster = Cluster::start();
    let mut servers = Vec::new();
    for (number, node) in cluster.fabric.nodes.iter().enumerate() {
        let mut server = cluster.fabric.worker(&node.namespace, number, true);
        for kind in ["tcp", "udp"] {
            server.run(&format!("serve-{kind} 169.254.20.10:53 dns{}", number + 1));
        }
        servers.push(server);
    }
    for (number, node) in cluster.fabric.nodes.iter().enumerate() {
        for socket_hook in [true, false] {
            let mut client = cluster.fabric.worker(&node.pods[1].namespace, number, socket_hook);
            for how in ["udp", "udp-to", "tcp"] {
                let answer = client.run(&format!("{how} 10.43.0.10:53"));
                let expected = format!("dns{} {}:", number + 1, node.pods[1].ip);
                assert!(
                    answer.starts_with(&expected) && answer.ends_with(" 10.43.0.10:53"),
                    "{how}: {answer}"
                );
            }
        }
    }
    ip(&format!(
        "-n {} route add 169.254.20.10 via 192.168.99.1",
        cluster.fabric.outside
    ));
    let mut outside = cluster.outside();
    assert!(outside.try_run("udp-from 0.0.0.0:0 169.254.20.10:53").is_err());
    assert_eq!(
        cluster.fabric.nodes[0].drops("from_uplink", "dns_from_outside"),
        1,
        "{}",
        cluster.drops()
    );
}

#[test]
fn a_pod_cannot_send_from_another_address() {
    let cluster = Cluster::start();
    let pod = &cluster.fabric.nodes[0].pods[0];
    ip(&format!("-n {} addr add 10.42.1.3/32 dev lo", pod.namespace));
    ip(&format!("-n {} addr add 203.0.113.1/32 dev lo", pod.namespace));
    let mut client = cluster.client(true);
    for source in ["10.42.1.3:0", "203.0.113.1:0"] {
        assert!(
            client.try_run(&format!("udp-from {source} 10.42.2.2:5301")).is_err(),
            "{source}"
        );
    }
    assert_eq!(
        cluster.fabric.nodes[0].drops("from_pod", "spoofed_source"),
        2,
        "{}",
        cluster.drops()
    );
    assert!(client.try_run("udp-from 10.42.1.2:0 10.42.2.2:5301").is_ok());
}

#[test]
fn large_transfers_and_fragments_arrive_whole() {
    let cluster = Cluster::start();
    let mut outside = cluster.outside();
    outside.run(&format!("serve-tcp {OUTSIDE}:9000 out"));
    outside.run(&format!("serve-udp {OUTSIDE}:9001 out"));
    let expected = ((8 << 20) + 1).to_string();
    let (mut hooked, mut packets) = (cluster.client(true), cluster.client(false));
    for address in [WEB, "10.42.1.3:8080", "10.42.2.3:8080", &format!("{OUTSIDE}:9000")] {
        for _ in 0..4 {
            for client in [&mut hooked, &mut packets] {
                let answer = client.run(&format!("bulk {address} 8"));
                assert!(answer.ends_with(&expected), "{address}: {answer}");
            }
        }
    }
    for _ in 0..4 {
        let answer = outside.run(&format!("bulk 192.168.99.1:{NODE_PORT} 8"));
        assert!(answer.ends_with(&expected), "{answer}");
    }
    for address in ["10.42.1.3:5301", "10.42.2.3:5301", &format!("{OUTSIDE}:9001"), UDP] {
        let answer = packets.run(&format!("udp-large {address} 9000"));
        assert!(answer.ends_with(" 9000"), "{address}: {answer}, {}", cluster.drops());
    }
}

#[test]
fn a_restart_loses_no_connection_and_no_turn() {
    let mut cluster = Cluster::start();
    let mut clients = [cluster.client(true), cluster.client(false), cluster.outside()];
    clients[2].run(&format!("serve-tcp {OUTSIDE}:9000 out"));
    let node_port = format!("192.168.99.1:{NODE_PORT}");
    let out = format!("{OUTSIDE}:9000");
    // At the socket, per packet, through a node port, masqueraded.
    let ways = [(0, WEB), (1, WEB), (2, node_port.as_str()), (1, out.as_str())];
    let mut before = Vec::new();
    for round in 0..4 {
        for (client, address) in ways {
            let id = format!("{round}-{address}");
            let answer = clients[client].run(&format!("hold {id} {address}"));
            before.push((client, id, answer));
        }
    }
    let mut check = |when: &str| {
        for (client, id, expected) in &before {
            assert_eq!(&clients[*client].run(&format!("say {id}")), expected, "{id} {when}");
        }
    };
    check("before");
    let services = cluster.fabric.nodes[0].dataplane().services_json().unwrap();
    for node in &mut cluster.fabric.nodes {
        node.stop();
    }
    check("without an agent");
    // New ones too: everything is in the kernel.
    let mut fresh = cluster.client(true);
    assert_eq!(fresh.tally("tcp", WEB, 4), each(1));
    for node in &mut cluster.fabric.nodes {
        node.start(&state());
    }
    check("after the restart");
    assert_eq!(fresh.tally("tcp", WEB, 4), each(1));
    let again = cluster.fabric.nodes[0].dataplane().services_json().unwrap();
    for (old, new) in services.as_array().unwrap().iter().zip(again.as_array().unwrap()) {
        for field in ["service", "address", "id", "generation", "backends"] {
            assert_eq!(old[field], new[field], "{field} of {new}");
        }
    }
    assert_eq!(cluster.servers.len(), 4);
}

#[test]
fn backends_come_and_go_without_a_failed_connection() {
    let cluster = Cluster::start();
    let node = &cluster.fabric.nodes[0];
    let mut client = cluster.client(true);
    let all = state();
    let mut fewer = state();
    fewer.endpoints.get_mut(&1).unwrap().remove(&octets("10.42.1.2")[..]);
    for round in 0..10 {
        let applied = node.dataplane().apply(&node.image(&fewer)).unwrap();
        assert!(applied.removed > 0, "round {round}");
        let tally = client.tally("tcp", WEB, 6);
        assert_eq!(
            tally.values().copied().collect::<Vec<_>>(),
            [2, 2, 2],
            "round {round}: {tally:?}"
        );
        node.dataplane().apply(&node.image(&all)).unwrap();
        assert_eq!(client.tally("tcp", WEB, 4), each(1), "round {round}");
    }
    // Nothing changed: nothing is written.
    let applied = node.dataplane().apply(&node.image(&all)).unwrap();
    assert_eq!((applied.written, applied.removed), (0, 0));
    assert_eq!(node.dataplane().services_json().unwrap().as_array().unwrap().len(), 8);
    let maps = node.dataplane().maps_json().unwrap();
    let slots = maps
        .as_array()
        .unwrap()
        .iter()
        .find(|row| row["name"] == "SLOTS")
        .unwrap();
    assert_eq!(slots["entries"], 4 + 4 + 2, "old generations are gone");
}

#[test]
fn a_client_of_a_service_with_affinity_keeps_its_backend() {
    let cluster = Cluster::start();
    let node = &cluster.fabric.nodes[0];
    let mut sticky = state();
    for service in sticky.services.values_mut() {
        service.affinity_timeout_s = 10_800;
    }
    node.dataplane().apply(&node.image(&sticky)).unwrap();
    let node_port = format!("192.168.99.1:{NODE_PORT}");
    let mut clients = [cluster.client(true), cluster.client(false), cluster.outside()];
    let ways = [
        (0, "tcp", WEB),
        (1, "tcp", WEB),
        (2, "tcp", node_port.as_str()),
        (0, "udp", UDP),
        (1, "udp", UDP),
    ];
    let mut taken = BTreeMap::new();
    for (client, how, address) in ways {
        let tally = clients[client].tally(how, address, 6);
        assert_eq!(tally.len(), 1, "{how} {address}: {tally:?}, {}", cluster.drops());
        taken.insert((client, how), tally.into_keys().next().unwrap());
    }
    // Three clients of one service came one after the other: each took its turn.
    let of_web: std::collections::BTreeSet<_> = (0..3).map(|client| &taken[&(client, "tcp")]).collect();
    assert_eq!(of_web.len(), 3, "{taken:?}");
    // By the node port it is the same service, and the same client.
    assert_eq!(
        clients[0].tally("tcp", &node_port, 2).into_keys().next(),
        taken.get(&(0, "tcp")).cloned()
    );
    // Its backend terminates while another client's stays.
    let gone = &taken[&(0, "tcp")];
    let mut fewer = sticky.clone();
    for endpoint in fewer.endpoints.get_mut(&1).unwrap().values_mut() {
        let [.., node, pod] = endpoint.ip[..] else { panic!() };
        if *gone == format!("p{node}.{pod}") {
            (endpoint.ready, endpoint.terminating) = (false, true);
        }
    }
    node.dataplane().apply(&node.image(&fewer)).unwrap();
    let tally = clients[0].tally("tcp", WEB, 6);
    assert!(tally.len() == 1 && !tally.contains_key(gone), "{tally:?}");
    assert_eq!(
        clients[1].tally("tcp", WEB, 2).into_keys().next(),
        taken.get(&(1, "tcp")).cloned()
    );
    // Away for longer than a second.
    let mut short = state();
    short.services.get_mut(&1).unwrap().affinity_timeout_s = 1;
    node.dataplane().apply(&node.image(&short)).unwrap();
    let mut seen = BTreeMap::new();
    for _ in 0..4 {
        std::thread::sleep(std::time::Duration::from_millis(1_100));
        seen.extend(clients[0].tally("tcp", WEB, 1));
    }
    assert_eq!(seen, each(1));
    node.dataplane().apply(&node.image(&state())).unwrap();
    assert_eq!(clients[0].tally("tcp", WEB, 8), each(2));
}

#[test]
fn idle_flows_go_and_busy_ones_stay() {
    let cluster = Cluster::start();
    let mut client = cluster.client(false);
    client.run(&format!("hold a {WEB}"));
    for _ in 0..3 {
        client.run(&format!("udp {UDP}"));
        client.run(&format!("tcp {WEB}"));
    }
    let node = &cluster.fabric.nodes[0];
    let kinds = |protocol: &str| {
        let flows = node.dataplane().conntrack_json().unwrap();
        flows
            .as_array()
            .unwrap()
            .iter()
            .filter(|flow| flow["protocol"] == protocol)
            .count()
    };
    assert_eq!((kinds("TCP"), kinds("UDP")), (8, 6));
    let uptime = std::fs::read_to_string("/proc/uptime").unwrap();
    let now_s: u32 = uptime.split('.').next().unwrap().parse().unwrap();
    assert_eq!(node.dataplane().remove_idle_flows(now_s).unwrap(), 0);
    // Three connections are closed or closing, three datagrams were answered; the held connection is good for a day.
    assert_eq!(node.dataplane().remove_idle_flows(now_s + 4_000).unwrap(), 12);
    assert_eq!((kinds("TCP"), kinds("UDP")), (2, 0));
    client.run("say a");
    assert_eq!(node.dataplane().remove_idle_flows(now_s + 100_000).unwrap(), 2);
}

#[test]
fn connections_to_a_backend_that_is_gone_are_reset_and_datagrams_move_on() {
    let cluster = Cluster::start();
    let node = &cluster.fabric.nodes[0];
    let mut client = cluster.client(false);
    let mut only = state();
    for service in [1, 2] {
        only.endpoints
            .get_mut(&service)
            .unwrap()
            .retain(|ip, _| *ip == octets("10.42.2.2"));
    }
    node.dataplane().apply(&node.image(&only)).unwrap();
    assert!(client.run(&format!("hold a {WEB}")).starts_with("p2.2 "));
    let source = client.run(&format!("udp-from 0.0.0.0:40404 {UDP}"));
    assert!(source.starts_with("p2.2 "), "{source}");
    let mut other = state();
    for service in [1, 2] {
        other
            .endpoints
            .get_mut(&service)
            .unwrap()
            .retain(|ip, _| *ip == octets("10.42.1.3"));
    }
    node.dataplane().apply(&node.image(&other)).unwrap();
    let error = client.try_run("say a").unwrap_err();
    assert!(error.starts_with("ConnectionReset"), "{error}, {}", cluster.drops());
    let source = client.run(&format!("udp-from 0.0.0.0:40404 {UDP}"));
    assert!(source.starts_with("p1.3 "), "{source}");
}

#[test]
fn a_direct_connection_lives_beside_a_services_flow_with_its_port_and_after_it() {
    let cluster = Cluster::start();
    let node = &cluster.fabric.nodes[0];
    // Of one pod: connections of the first are translated packet by packet, those of the second at the socket.
    let mut clients = [cluster.client(false), cluster.client(true)];
    for (number, ip, name) in [(0, "10.42.1.3", "p1.3"), (1, "10.42.2.2", "p2.2")] {
        let mut only = state();
        only.endpoints.get_mut(&1).unwrap().retain(|at, _| *at == octets(ip));
        node.dataplane().apply(&node.image(&only)).unwrap();
        let check = |what: &str, answer: &str, port: &str| {
            let expected = format!("{name} 10.42.1.2:{port}");
            assert!(
                answer.starts_with(&expected),
                "{what}: {answer} is not {expected}, {}",
                cluster.drops()
            );
        };
        for (direct, client, port) in [(&*format!("{ip}:8080"), 0, 45_000 + number), (WEB, 1, 45_010 + number)] {
            let own = port.to_string();
            check("service", &clients[0].run(&format!("hold-from a {port} {WEB}")), &own);
            let answer = clients[client].run(&format!("hold-from b {port} {direct}"));
            check("direct beside it", &answer, "6");
            check("service again", &clients[0].run("say a"), &own);
            check("direct again", &clients[client].run("say b"), "6");
            let port = port + 100;
            let own = port.to_string();
            check("service", &clients[0].run(&format!("hold-from c {port} {WEB}")), &own);
            clients[0].run("drop c");
            wait_until_closed(node, port);
            let answer = clients[client].run(&format!("hold-from d {port} {direct}"));
            check("direct after it", &answer, &own);
        }
    }
}

/// Until the flow from a source port has seen the end of both sides.
fn wait_until_closed(node: &fabric::Node, port: u16) {
    let source = format!("10.42.1.2:{port}");
    for _ in 0..100 {
        let flows = node.dataplane().conntrack_json().unwrap();
        let mut of_port = flows
            .as_array()
            .unwrap()
            .iter()
            .filter(|flow| flow["source"] == *source);
        if of_port.all(|flow| flow["state"] == "closed") {
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    panic!(
        "the flow from {source} did not close: {:?}",
        node.dataplane().conntrack_json()
    );
}

#[test]
fn flows_are_listed_and_pods_can_leave() {
    let cluster = Cluster::start();
    let mut client = cluster.client(false);
    client.run(&format!("hold a {WEB}"));
    let node = &cluster.fabric.nodes[0];
    let flows = node.dataplane().conntrack_json().unwrap();
    let flows = flows.as_array().unwrap();
    assert_eq!(flows.len(), 2, "{flows:?}");
    let original = flows.iter().find(|flow| flow["direction"] == "original").unwrap();
    assert_eq!(
        (&original["kind"], &original["destination"]),
        (&"service".into(), &WEB.into())
    );
    assert_eq!(original["state"], "answered");
    assert_eq!(node.dataplane().pods().unwrap().len(), 2);
    let leaving = node
        .dataplane()
        .pods()
        .unwrap()
        .into_iter()
        .find(|pod| pod.ip.to_string() == "10.42.1.3")
        .unwrap();
    node.dataplane().detach_pod(&leaving.uid).unwrap();
    node.dataplane().detach_pod(&leaving.uid).unwrap();
    assert_eq!(node.dataplane().pods().unwrap().len(), 1);
    assert!(client.try_run("udp-from 0.0.0.0:0 10.42.1.3:5301").is_err());
    assert!(node.drops("from_pod", "no_such_pod") > 0, "{}", cluster.drops());
}
