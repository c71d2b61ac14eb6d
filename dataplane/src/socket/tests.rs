//! Tests of selection at the socket.

use super::{DATAGRAM_IDLE_S, Selection, answers, holds, select};
use crate::{
    addr::{Addr, PROTO_TCP, PROTO_UDP, PortBe},
    layout::{SOCKET_PEERS_MAX, SocketPeer, SocketPeers},
    model::{Model, addr},
    verdict::Reason,
};

const PORT: PortBe = PortBe::new(80);
const CLIENT: Addr = Addr::of_namespace(1);

fn peer(model: &Model, to: &str, port: u16) -> SocketPeer {
    match select(model, &CLIENT, &addr(to), PortBe::new(port), PROTO_TCP) {
        Selection::Peer(peer) => peer,
        other => panic!("{other:?}"),
    }
}

#[test]
fn turns_go_round_all_backends_on_all_addresses_of_a_service() {
    let mut model = Model::node_1();
    model.serve(&[("10.42.1.2", 8080), ("10.42.2.2", 8080), ("10.42.3.2", 8080)]);
    let addresses = [
        ("10.43.0.1", 80),
        ("203.0.113.9", 80),
        ("192.168.0.1", 30080),
        ("192.168.0.3", 30080),
        ("10.43.0.1", 80),
    ];
    let chosen: Vec<_> = addresses
        .iter()
        .map(|(ip, port)| peer(&model, ip, *port).backend)
        .collect();
    let expected = ["10.42.1.2", "10.42.2.2", "10.42.3.2", "10.42.1.2", "10.42.2.2"].map(addr);
    assert_eq!(chosen, expected);
}

#[test]
fn what_is_no_service_stays_and_what_has_no_backend_is_refused() {
    let mut model = Model::node_1();
    model.serve(&[]);
    let table = [
        ("10.43.0.1", 80, Selection::Refused(Reason::NoBackend)),
        ("192.168.0.2", 30080, Selection::Refused(Reason::NoBackend)),
        ("10.43.0.1", 81, Selection::Unchanged),
        ("192.168.0.2", 30081, Selection::Unchanged),
        // A node port is on nodes only.
        ("192.168.0.9", 30080, Selection::Unchanged),
        ("10.42.1.2", 80, Selection::Unchanged),
    ];
    for (ip, port, expected) in table {
        assert_eq!(
            select(&model, &CLIENT, &addr(ip), PortBe::new(port), PROTO_TCP),
            expected,
            "{ip}:{port}"
        );
    }
    model.config = None;
    assert_eq!(
        select(&model, &CLIENT, &addr("10.43.0.1"), PORT, PROTO_TCP),
        Selection::Unchanged
    );
}

#[test]
fn a_selection_for_datagrams_holds_while_it_is_used_and_its_backend_serves() {
    let mut model = Model::node_1();
    model.serve(&[("10.42.1.2", 53)]);
    let Selection::Peer(held) = select(&model, &CLIENT, &addr("10.43.0.1"), PORT, PROTO_UDP) else {
        panic!()
    };
    let now = held.seen;
    let service = addr("10.43.0.1");
    assert!(holds(&model, &held, &service, PORT, now));
    assert!(holds(&model, &held, &service, PORT, now + DATAGRAM_IDLE_S - 1));
    assert!(!holds(&model, &held, &service, PORT, now + DATAGRAM_IDLE_S));
    assert!(!holds(&model, &held, &addr("10.43.0.2"), PORT, now));
    assert!(!holds(&model, &held, &service, PortBe::new(81), now));
    assert!(!holds(&model, &SocketPeer::default(), &addr("::"), PortBe::new(0), 0));
    // Another backend has the id now.
    model.backends.get_mut(&held.backend_id).unwrap().addr = addr("10.42.1.3");
    assert!(!holds(&model, &held, &service, PORT, now));
    model.backends.clear();
    assert!(!holds(&model, &held, &service, PORT, now));
}

#[test]
fn answers_come_from_the_backend() {
    let mut model = Model::node_1();
    model.serve(&[("10.42.1.2", 53)]);
    let held = peer(&model, "10.43.0.1", 80);
    assert!(answers(&held, &addr("10.42.1.2"), PortBe::new(53)));
    assert!(!answers(&held, &addr("10.42.1.2"), PortBe::new(54)));
    assert!(!answers(&held, &addr("10.42.1.3"), PortBe::new(53)));
    assert!(!answers(&SocketPeer::default(), &addr("::"), PortBe::new(0)));
}

#[test]
fn a_socket_remembers_one_selection_per_service_and_forgets_the_oldest() {
    let mut peers = SocketPeers::default();
    let entry = |n: u32| SocketPeer {
        frontend: addr("10.43.0.1"),
        frontend_port: PortBe::new(n as u16 + 1),
        backend_id: n + 1,
        ..SocketPeer::default()
    };
    for n in 0..SOCKET_PEERS_MAX as u32 {
        peers.remember(&entry(n));
    }
    let again = SocketPeer {
        backend_id: 77,
        ..entry(3)
    };
    peers.remember(&again);
    assert_eq!(peers.peers[3].backend_id, 77);
    assert_eq!(
        peers
            .peers
            .iter()
            .filter(|peer| peer.frontend_port == again.frontend_port)
            .count(),
        1
    );
    peers.remember(&entry(100));
    assert_eq!(peers.peers[0], entry(100));
    assert_eq!(peers.peers[1], entry(1));
}
