//! Tests of the paths: what each hook makes of a packet, as tables.

use super::*;
use crate::{
    addr::{Addr, PROTO_ICMP, PROTO_TCP, PROTO_UDP, PortBe},
    layout::FlowKey,
    model::{Model, POD_MAC, addr},
    packet::{TCP_ACK, TCP_FIN, TCP_RST, TCP_SYN},
    verdict::Action,
};

fn end(text: &str) -> (Addr, PortBe) {
    let (ip, port) = text.rsplit_once(':').unwrap();
    (addr(ip), PortBe::new(port.parse().unwrap()))
}

fn packet(from: &str, to: &str, protocol: u8, tcp_flags: u8) -> Packet {
    let ((source, source_port), (destination, destination_port)) = (end(from), end(to));
    let tuple = Tuple {
        source,
        destination,
        source_port,
        destination_port,
    };
    Packet {
        key: FlowKey {
            tuple,
            protocol,
            site: 0,
            reserved: 0,
        },
        tcp_flags,
        ..Packet::default()
    }
}

fn syn(from: &str, to: &str) -> Packet {
    packet(from, to, PROTO_TCP, TCP_SYN)
}

/// The packet as text: `source > destination`.
fn shown(packet: &Packet) -> String {
    let Tuple {
        source,
        destination,
        source_port,
        destination_port,
    } = packet.key.tuple;
    let ip = core::net::IpAddr::from;
    format!(
        "{}:{} > {}:{}",
        ip(source),
        source_port.get(),
        ip(destination),
        destination_port.get()
    )
}

fn said(verdict: Verdict) -> String {
    let node = core::net::IpAddr::from(verdict.node);
    match verdict.action {
        Action::Pass => "pass".to_owned(),
        Action::Drop => format!("drop {}", verdict.reason.name()),
        Action::Refuse => format!("refuse {}", verdict.reason.name()),
        Action::Deliver => format!("deliver {}", verdict.link),
        Action::Tunnel if verdict.vni == VNI_CLIENT => format!("tunnel {node} for a client"),
        Action::Tunnel => format!("tunnel {node}"),
        Action::Uplink => "uplink".to_owned(),
    }
}

fn pod_sends(model: &Model, mut packet: Packet) -> (String, String) {
    let link = model.pods.get(&packet.key.tuple.source).map_or(2, |pod| pod.ifindex);
    let verdict = from_pod(model, link, &POD_MAC, &mut packet);
    (said(verdict), shown(&packet))
}

fn overlay_brings(model: &Model, sender: &str, vni: u32, mut packet: Packet) -> (String, String) {
    let verdict = from_overlay(model, &addr(sender), vni, &mut packet);
    (said(verdict), shown(&packet))
}

fn uplink_brings(model: &Model, mut packet: Packet) -> (String, String) {
    let verdict = from_uplink(model, &mut packet);
    (said(verdict), shown(&packet))
}

fn uplink_takes(model: &Model, mut packet: Packet) -> (String, String) {
    let verdict = to_uplink(model, &mut packet);
    (said(verdict), shown(&packet))
}

fn pair(verdict: &str, packet: &str) -> (String, String) {
    (verdict.to_owned(), packet.to_owned())
}

#[test]
fn a_pods_packets_go_where_their_destination_is() {
    let model = Model::node_1();
    let table = [
        ("10.42.1.3:80", "deliver 3"),
        ("10.42.1.9:80", "drop no_such_pod"),
        ("10.42.2.2:80", "tunnel 192.168.0.2"),
        ("10.42.9.2:80", "drop no_route"),
        ("10.43.0.9:80", "refuse no_such_service"),
        ("192.168.0.1:6443", "pass"),
        ("192.168.0.2:9100", "tunnel 192.168.0.2"),
        ("169.254.20.10:53", "pass"),
        ("203.0.113.7:443", "pass"),
    ];
    for (to, expected) in table {
        let sent = syn("10.42.1.2:40000", to);
        assert_eq!(pod_sends(&model, sent), pair(expected, &shown(&sent)), "{to}");
    }
}

#[test]
fn a_pod_sends_from_its_own_address_mac_and_device_only() {
    let model = Model::node_1();
    let table = [
        ("10.42.1.2", 2, POD_MAC, "deliver 3"),
        ("10.42.1.2", 3, POD_MAC, "drop spoofed_source"),
        ("10.42.1.2", 2, [2, 0, 0, 0, 0, 8], "drop spoofed_source"),
        ("10.42.1.4", 2, POD_MAC, "drop spoofed_source"),
        ("10.42.2.2", 2, POD_MAC, "drop spoofed_source"),
        ("203.0.113.1", 2, POD_MAC, "drop spoofed_source"),
    ];
    for (source, link, mac, expected) in table {
        let mut sent = syn(&format!("{source}:1"), "10.42.1.3:80");
        assert_eq!(
            said(from_pod(&model, link, &mac, &mut sent)),
            expected,
            "{source} {link} {mac:?}"
        );
    }
    let blank = Model::default();
    assert_eq!(
        pod_sends(&blank, syn("10.42.1.2:1", "10.42.1.3:80")).0,
        "drop not_configured"
    );
}

#[test]
fn a_service_is_translated_there_and_back_for_a_local_and_a_remote_backend() {
    let mut model = Model::node_1();
    model.serve(&[("10.42.1.3", 8080), ("10.42.2.2", 8080)]);
    let client = "10.42.1.2:40000";
    let local = pod_sends(&model, syn(client, "10.43.0.1:80"));
    assert_eq!(local, pair("deliver 3", "10.42.1.2:40000 > 10.42.1.3:8080"));
    let back = pod_sends(&model, packet("10.42.1.3:8080", client, PROTO_TCP, TCP_SYN | TCP_ACK));
    assert_eq!(back, pair("deliver 2", "10.43.0.1:80 > 10.42.1.2:40000"));
    let client = "10.42.1.2:40001";
    let remote = pod_sends(&model, syn(client, "10.43.0.1:80"));
    assert_eq!(remote, pair("tunnel 192.168.0.2", "10.42.1.2:40001 > 10.42.2.2:8080"));
    let reply = packet("10.42.2.2:8080", client, PROTO_TCP, TCP_SYN | TCP_ACK);
    let back = overlay_brings(&model, "192.168.0.2", VNI_POD, reply);
    assert_eq!(back, pair("deliver 2", "10.43.0.1:80 > 10.42.1.2:40001"));
    // The same connection stays with its backend; the next one takes the next turn.
    for _ in 0..3 {
        let same = pod_sends(&model, packet("10.42.1.2:40000", "10.43.0.1:80", PROTO_TCP, TCP_ACK));
        assert_eq!(same, pair("deliver 3", "10.42.1.2:40000 > 10.42.1.3:8080"));
    }
    assert_eq!(pod_sends(&model, syn("10.42.1.2:40002", "10.43.0.1:80")).0, "deliver 3");
}

#[test]
fn turns_of_new_connections_are_exact_per_packet() {
    let mut model = Model::node_1();
    model.flows_max = 10_000;
    let backends = [("10.42.1.3", 80), ("10.42.2.2", 80), ("10.42.3.2", 80)];
    model.serve(&backends);
    let mut counts = [0; 3];
    for port in 1..=300 {
        let (_, sent) = pod_sends(&model, syn(&format!("10.42.1.2:{port}"), "10.43.0.1:80"));
        let at = backends
            .iter()
            .position(|(ip, _)| sent.ends_with(&format!("> {ip}:80")))
            .unwrap();
        counts[at] += 1;
        // A retransmission is no new connection.
        pod_sends(&model, syn(&format!("10.42.1.2:{port}"), "10.43.0.1:80"));
    }
    assert_eq!(counts, [100, 100, 100]);
}

#[test]
fn a_pod_that_reaches_itself_sees_another_address() {
    let mut model = Model::node_1();
    model.serve(&[("10.42.1.2", 8080)]);
    let there = pod_sends(&model, syn("10.42.1.2:40000", "10.43.0.1:80"));
    assert_eq!(there, pair("deliver 2", "169.254.42.1:40000 > 10.42.1.2:8080"));
    let back = pod_sends(
        &model,
        packet("10.42.1.2:8080", "169.254.42.1:40000", PROTO_TCP, TCP_SYN | TCP_ACK),
    );
    assert_eq!(back, pair("deliver 2", "10.43.0.1:80 > 10.42.1.2:40000"));
}

/// What a backend sends back, wherever it is.
fn backend_answers(model: &Model, backend: &str, to: &str, protocol: u8, flags: u8) -> (String, String) {
    let answer = packet(backend, to, protocol, flags);
    if model.pods.contains_key(&answer.key.tuple.source) {
        pod_sends(model, answer)
    } else {
        overlay_brings(model, "192.168.0.2", VNI_POD, answer)
    }
}

#[test]
fn a_direct_connection_is_never_answered_as_the_service_that_had_its_port() {
    /// Whether in the direction of the first packet, and TCP's flags.
    type Sent = (bool, u8);
    let client = "10.42.1.2:40000";
    let fins: &[Sent] = &[(true, TCP_FIN | TCP_ACK), (false, TCP_FIN | TCP_ACK)];
    // What the service's connection went through, seconds until the direct one, and the source port that this sees.
    let table: [(&str, &[Sent], u32, u16); 6] = [
        ("reset", &[(false, TCP_RST)], 0, 40_000),
        ("closed", fins, 0, 40_000),
        ("never answered, long ago", &[], 61, 40_000),
        ("never answered, just now", &[], 0, 61_000),
        ("open", &[(false, TCP_SYN | TCP_ACK)], 0, 61_000),
        ("closed in one direction", &fins[..1], 0, 61_000),
    ];
    for (backend, out) in [
        ("10.42.1.3:8080", "deliver 3"),
        ("10.42.2.2:8080", "tunnel 192.168.0.2"),
    ] {
        for (name, packets, later_s, port) in table {
            let what = format!("{name}, {backend}");
            let mut model = Model::node_1();
            let (ip, service_port) = backend.split_once(':').unwrap();
            model.serve(&[(ip, service_port.parse().unwrap())]);
            pod_sends(&model, syn(client, "10.43.0.1:80"));
            for &(forward, flags) in packets {
                if forward {
                    pod_sends(&model, packet(client, "10.43.0.1:80", PROTO_TCP, flags));
                } else {
                    backend_answers(&model, backend, client, PROTO_TCP, flags);
                }
            }
            model.now.set(model.now.get() + later_s);
            let seen = format!("10.42.1.2:{port}");
            for flags in [TCP_SYN, TCP_SYN, TCP_ACK] {
                let sent = pod_sends(&model, packet(client, backend, PROTO_TCP, flags));
                assert_eq!(sent, pair(out, &format!("{seen} > {backend}")), "{what}");
            }
            let back = backend_answers(&model, backend, &seen, PROTO_TCP, TCP_SYN | TCP_ACK);
            assert_eq!(back, pair("deliver 2", &format!("{backend} > {client}")), "{what}");
            if port == 40_000 {
                assert!(model.flows.borrow().is_empty(), "{what}: nothing is left to translate");
                continue;
            }
            // The service's connection lives on beside it.
            let sent = pod_sends(&model, packet(client, "10.43.0.1:80", PROTO_TCP, TCP_ACK));
            assert_eq!(sent, pair(out, &format!("{client} > {backend}")), "{what}");
            let back = backend_answers(&model, backend, client, PROTO_TCP, TCP_ACK);
            assert_eq!(back, pair("deliver 2", &format!("10.43.0.1:80 > {client}")), "{what}");
        }
    }
}

#[test]
fn datagrams_sent_directly_are_answered_as_such_once_the_service_flow_is_idle() {
    let (client, backend) = ("10.42.1.2:40000", "10.42.2.2:8080");
    let sent = |model: &Model, to: &str| pod_sends(model, packet(client, to, PROTO_UDP, 0));
    let answered = |model: &Model| backend_answers(model, backend, client, PROTO_UDP, 0).1;
    let (as_service, as_itself) = ("10.43.0.1:80 > 10.42.1.2:40000", "10.42.2.2:8080 > 10.42.1.2:40000");
    // Whether the service answered; seconds until the direct datagram.
    for (was_answered, later_s, expected) in [
        (false, 30, as_service),
        (false, 31, as_itself),
        (true, 31, as_service),
        (true, 120, as_service),
        (true, 121, as_itself),
    ] {
        let mut model = Model::node_1();
        model.serve(&[("10.42.2.2", 8080)]);
        sent(&model, "10.43.0.1:80");
        if was_answered {
            assert_eq!(answered(&model), as_service);
        }
        model.now.set(model.now.get() + later_s);
        let direct = sent(&model, backend);
        assert_eq!(direct, pair("tunnel 192.168.0.2", &format!("{client} > {backend}")));
        assert_eq!(answered(&model), expected, "answered {was_answered}, {later_s} s later");
    }
    // A client that goes on sending keeps its flow, however late the first answer is.
    let mut model = Model::node_1();
    model.serve(&[("10.42.2.2", 8080)]);
    for _ in 0..4 {
        sent(&model, "10.43.0.1:80");
        model.now.set(model.now.get() + 20);
    }
    assert_eq!(answered(&model), as_service);
}

#[test]
fn a_packet_that_needs_no_translation_costs_one_look_up_and_the_start_of_a_connection_two() {
    let model = Model::node_1();
    for to in ["10.42.1.3:80", "10.42.2.2:80"] {
        for (what, protocol, flags, expected) in [
            ("syn", PROTO_TCP, TCP_SYN, 2),
            ("answer to a syn", PROTO_TCP, TCP_SYN | TCP_ACK, 1),
            ("segment", PROTO_TCP, TCP_ACK, 1),
            ("datagram", PROTO_UDP, 0, 1),
            ("echo", PROTO_ICMP, 0, 1),
        ] {
            model.flow_lookups.set(0);
            pod_sends(&model, packet("10.42.1.2:1", to, protocol, flags));
            assert_eq!(model.flow_lookups.get(), expected, "{what} to {to}");
        }
    }
}

#[test]
fn what_cannot_be_served_is_refused() {
    let mut model = Model::node_1();
    model.serve(&[]);
    let midway = |to| packet("10.42.1.2:1", to, PROTO_TCP, TCP_ACK);
    assert_eq!(
        pod_sends(&model, syn("10.42.1.2:1", "10.43.0.1:80")).0,
        "refuse service_without_backend"
    );
    assert_eq!(
        pod_sends(&model, syn("10.42.1.2:1", "192.168.0.3:30080")).0,
        "refuse service_without_backend"
    );
    assert_eq!(pod_sends(&model, midway("10.43.0.1:80")).0, "refuse no_such_flow");
    assert_eq!(
        uplink_brings(&model, syn("203.0.113.7:1", "192.168.0.1:30080")).0,
        "refuse service_without_backend"
    );
    assert!(model.flows.borrow().is_empty());
}

#[test]
fn a_node_port_keeps_the_clients_address_to_a_local_pod() {
    let mut model = Model::node_1();
    model.serve(&[("10.42.1.3", 8080)]);
    let there = uplink_brings(&model, syn("203.0.113.7:5000", "192.168.0.1:30080"));
    assert_eq!(there, pair("deliver 3", "203.0.113.7:5000 > 10.42.1.3:8080"));
    let back = pod_sends(
        &model,
        packet("10.42.1.3:8080", "203.0.113.7:5000", PROTO_TCP, TCP_SYN | TCP_ACK),
    );
    assert_eq!(back, pair("uplink", "192.168.0.1:30080 > 203.0.113.7:5000"));
}

#[test]
fn a_node_port_goes_through_the_overlay_and_answers_return_by_the_same_node() {
    let mut ingress = Model::node_1();
    ingress.serve(&[("10.42.2.2", 8080)]);
    let there = uplink_brings(&ingress, syn("203.0.113.7:5000", "192.168.0.1:30080"));
    assert_eq!(
        there,
        pair("tunnel 192.168.0.2 for a client", "203.0.113.7:5000 > 10.42.2.2:8080")
    );
    // The pod's node, seen as node 1 of its own model, whose ingress is node 3.
    let backend = Model::node_1();
    let request = syn("203.0.113.7:5000", "10.42.1.2:8080");
    let arrives = overlay_brings(&backend, "192.168.0.3", VNI_CLIENT, request);
    assert_eq!(arrives, pair("deliver 2", "203.0.113.7:5000 > 10.42.1.2:8080"));
    let back = pod_sends(
        &backend,
        packet("10.42.1.2:8080", "203.0.113.7:5000", PROTO_TCP, TCP_SYN | TCP_ACK),
    );
    assert_eq!(back, pair("tunnel 192.168.0.3", "10.42.1.2:8080 > 203.0.113.7:5000"));
    // The same client and port by another node cannot be told apart in the answers.
    let twice = overlay_brings(&backend, "192.168.0.2", VNI_CLIENT, request);
    assert_eq!(twice.0, "drop source_ports_taken");
    let reply = packet("10.42.2.2:8080", "203.0.113.7:5000", PROTO_TCP, TCP_SYN | TCP_ACK);
    let leaves = overlay_brings(&ingress, "192.168.0.2", VNI_POD, reply);
    assert_eq!(leaves, pair("uplink", "192.168.0.1:30080 > 203.0.113.7:5000"));
}

#[test]
fn a_node_port_whose_backend_is_no_pod_goes_as_the_node() {
    let mut model = Model::node_1();
    model.serve(&[("192.168.0.2", 9000), ("192.168.0.1", 9000)]);
    let remote = uplink_brings(&model, syn("203.0.113.7:5000", "192.168.0.1:30080"));
    assert_eq!(remote, pair("uplink", "192.168.0.1:61000 > 192.168.0.2:9000"));
    let back = uplink_brings(
        &model,
        packet("192.168.0.2:9000", "192.168.0.1:61000", PROTO_TCP, TCP_SYN | TCP_ACK),
    );
    assert_eq!(back, pair("uplink", "192.168.0.1:30080 > 203.0.113.7:5000"));
    let here = uplink_brings(&model, syn("203.0.113.7:5001", "192.168.0.1:30080"));
    assert_eq!(here, pair("pass", "203.0.113.7:5001 > 192.168.0.1:9000"));
    let back = uplink_takes(
        &model,
        packet("192.168.0.1:9000", "203.0.113.7:5001", PROTO_TCP, TCP_SYN | TCP_ACK),
    );
    assert_eq!(back, pair("pass", "192.168.0.1:30080 > 203.0.113.7:5001"));
}

#[test]
fn the_outside_reaches_what_is_offered_to_it_and_nothing_else() {
    let mut model = Model::node_1();
    model.serve(&[("10.42.1.3", 8080)]);
    let table = [
        ("203.0.113.7:1", "203.0.113.9:80", "deliver 3"),
        ("203.0.113.7:1", "10.43.0.1:80", "pass"),
        ("203.0.113.7:1", "192.168.0.2:30080", "pass"),
        ("203.0.113.7:1", "192.168.0.1:22", "pass"),
        ("203.0.113.7:1", "10.42.1.3:8080", "drop pod_from_outside"),
        ("203.0.113.7:1", "169.254.20.10:53", "drop dns_from_outside"),
        ("10.42.2.2:1", "192.168.0.1:30080", "drop spoofed_source"),
    ];
    for (from, to, expected) in table {
        assert_eq!(uplink_brings(&model, syn(from, to)).0, expected, "{from} {to}");
    }
    let overlay = packet("192.168.0.2:9", "192.168.0.1:8472", PROTO_UDP, 0);
    assert_eq!(uplink_brings(&model, overlay).0, "pass");
}

#[test]
fn pods_leave_as_the_node_and_answers_find_them() {
    let model = Model::node_1();
    let out = uplink_takes(&model, syn("10.42.1.2:40000", "203.0.113.7:443"));
    assert_eq!(out, pair("pass", "192.168.0.1:61000 > 203.0.113.7:443"));
    let other = uplink_takes(&model, syn("10.42.1.3:40000", "203.0.113.7:443"));
    assert_eq!(other, pair("pass", "192.168.0.1:61001 > 203.0.113.7:443"));
    let back = uplink_brings(
        &model,
        packet("203.0.113.7:443", "192.168.0.1:61001", PROTO_TCP, TCP_ACK),
    );
    assert_eq!(back, pair("pass", "203.0.113.7:443 > 10.42.1.3:40000"));
    // Another destination may use the same source port.
    let elsewhere = uplink_takes(&model, syn("10.42.1.4:40000", "203.0.113.8:443"));
    assert_eq!(elsewhere, pair("pass", "192.168.0.1:61000 > 203.0.113.8:443"));
    let echo = Packet {
        icmp_type: 8,
        ..packet("10.42.1.2:77", "203.0.113.7:0", PROTO_ICMP, 0)
    };
    assert_eq!(
        uplink_takes(&model, echo),
        pair("pass", "192.168.0.1:61000 > 203.0.113.7:0")
    );
    let reply = packet("203.0.113.7:0", "192.168.0.1:61000", PROTO_ICMP, 0);
    assert_eq!(
        uplink_brings(&model, reply),
        pair("pass", "203.0.113.7:0 > 10.42.1.2:77")
    );
}

#[test]
fn a_service_beyond_the_underlay_is_translated_twice_and_back() {
    let mut model = Model::node_1();
    model.serve(&[("203.0.113.50", 6443)]);
    let out = pod_sends(&model, syn("10.42.1.2:40000", "10.43.0.1:80"));
    assert_eq!(out, pair("pass", "10.42.1.2:40000 > 203.0.113.50:6443"));
    let leaves = uplink_takes(&model, syn("10.42.1.2:40000", "203.0.113.50:6443"));
    assert_eq!(leaves, pair("pass", "192.168.0.1:61000 > 203.0.113.50:6443"));
    let back = uplink_brings(
        &model,
        packet("203.0.113.50:6443", "192.168.0.1:61000", PROTO_TCP, TCP_ACK),
    );
    assert_eq!(back, pair("pass", "203.0.113.50:6443 > 10.42.1.2:40000"));
    let mut last = packet("203.0.113.50:6443", "10.42.1.2:40000", PROTO_TCP, TCP_ACK);
    assert_eq!(said(to_pod(&model, 2, &mut last)), "pass");
    assert_eq!(shown(&last), "10.43.0.1:80 > 10.42.1.2:40000");
}

#[test]
fn nothing_of_the_cluster_leaks_to_the_underlay() {
    let model = Model::node_1();
    let table = [
        ("10.42.1.2:1", "10.42.9.9:80", "drop no_route"),
        ("10.42.1.2:1", "10.43.0.9:80", "drop no_such_service"),
        ("192.168.0.1:1", "10.43.0.9:80", "drop no_such_service"),
        ("192.168.0.1:1", "203.0.113.7:80", "pass"),
        ("192.168.0.1:1", "192.168.0.2:80", "pass"),
    ];
    for (from, to, expected) in table {
        assert_eq!(uplink_takes(&model, syn(from, to)).0, expected, "{from} {to}");
    }
    let error = Packet {
        icmp_type: 3,
        ..packet("10.42.1.2:0", "203.0.113.7:0", PROTO_ICMP, 0)
    };
    assert_eq!(uplink_takes(&model, error).0, "drop icmp_untranslated");
}

#[test]
fn the_overlay_brings_what_its_sender_owns_to_what_is_here() {
    let model = Model::node_1();
    let table = [
        ("192.168.0.2", VNI_POD, "10.42.2.2:1", "10.42.1.3:80", "deliver 3"),
        ("192.168.0.2", VNI_POD, "192.168.0.2:1", "10.42.1.3:80", "deliver 3"),
        ("192.168.0.2", VNI_POD, "10.42.2.2:1", "192.168.0.1:80", "pass"),
        (
            "192.168.0.2",
            VNI_POD,
            "10.42.3.2:1",
            "10.42.1.3:80",
            "drop spoofed_source",
        ),
        (
            "192.168.0.2",
            VNI_POD,
            "192.168.0.3:1",
            "10.42.1.3:80",
            "drop spoofed_source",
        ),
        (
            "192.168.0.2",
            VNI_POD,
            "203.0.113.7:1",
            "10.42.1.3:80",
            "drop spoofed_source",
        ),
        (
            "192.168.0.2",
            VNI_POD,
            "10.42.2.2:1",
            "10.42.1.9:80",
            "drop no_such_pod",
        ),
        (
            "192.168.0.2",
            VNI_POD,
            "10.42.2.2:1",
            "10.42.3.2:80",
            "drop no_such_pod",
        ),
        (
            "192.168.0.9",
            VNI_POD,
            "10.42.2.2:1",
            "10.42.1.3:80",
            "drop unknown_node",
        ),
        (
            "192.168.0.1",
            VNI_POD,
            "10.42.1.2:1",
            "10.42.1.3:80",
            "drop unknown_node",
        ),
        ("192.168.0.2", 9, "10.42.2.2:1", "10.42.1.3:80", "drop unknown_node"),
        (
            "192.168.0.2",
            VNI_CLIENT,
            "10.42.2.2:1",
            "10.42.1.3:80",
            "drop spoofed_source",
        ),
        (
            "192.168.0.2",
            VNI_CLIENT,
            "192.168.0.3:1",
            "10.42.1.3:80",
            "drop spoofed_source",
        ),
        (
            "192.168.0.2",
            VNI_CLIENT,
            "203.0.113.7:1",
            "192.168.0.1:80",
            "drop no_such_pod",
        ),
    ];
    for (sender, vni, from, to, expected) in table {
        let got = overlay_brings(&model, sender, vni, syn(from, to)).0;
        assert_eq!(got, expected, "{sender} {vni} {from} {to}");
    }
}

#[test]
fn the_host_sends_into_the_overlay_as_itself_and_to_other_nodes_pods() {
    let model = Model::node_1();
    let table = [
        ("192.168.0.1:1", "10.42.2.2:80", "tunnel 192.168.0.2"),
        ("10.42.1.2:1", "10.42.3.2:80", "tunnel 192.168.0.3"),
        ("192.168.0.1:1", "10.42.1.9:80", "drop no_such_pod"),
        ("192.168.0.1:1", "10.42.9.9:80", "drop no_route"),
        ("203.0.113.7:1", "10.42.2.2:80", "drop spoofed_source"),
    ];
    for (from, to, expected) in table {
        assert_eq!(said(to_overlay(&model, &syn(from, to))), expected, "{from} {to}");
    }
}

#[test]
fn the_host_reaches_a_pod_on_its_own_device() {
    let model = Model::node_1();
    for (to, link, expected) in [
        ("10.42.1.2:1", 2, "pass"),
        ("10.42.1.2:1", 3, "drop no_such_pod"),
        ("10.42.2.2:1", 2, "drop no_such_pod"),
    ] {
        assert_eq!(
            said(to_pod(&model, link, &mut syn("192.168.0.1:1", to))),
            expected,
            "{to} {link}"
        );
    }
}
