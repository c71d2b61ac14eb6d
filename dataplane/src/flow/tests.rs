//! Tests of flows: ports, state, limits.

use super::*;
use crate::{
    layout::{EXIT_ROUTE, KIND_SERVICE, SITE_INNER, SITE_UPLINK_IN},
    model::{Model, addr},
    packet::{TCP_ACK, TCP_SYN},
};

fn packet(flags: u8, source_port: u16) -> Packet {
    let tuple = Tuple {
        source: addr("10.42.1.2"),
        destination: addr("10.43.0.1"),
        source_port: PortBe::new(source_port),
        destination_port: PortBe::new(80),
    };
    let key = FlowKey {
        tuple,
        protocol: PROTO_TCP,
        site: SITE_INNER,
        reserved: 0,
    };
    Packet {
        key,
        tcp_flags: flags,
        ..Packet::default()
    }
}

fn opening(packet: &Packet, keep_port: bool) -> Opening {
    Opening {
        tuple: Tuple {
            destination: addr("10.42.2.2"),
            destination_port: PortBe::new(8080),
            ..packet.key.tuple
        },
        kind: KIND_SERVICE,
        exit: EXIT_ROUTE,
        reply_site: SITE_UPLINK_IN,
        reply_exit: EXIT_ROUTE,
        via: Addr::ANY,
        service: 5,
        backend: 0,
        keep_port,
        ports: PortRange {
            first: 61_000,
            last: 61_003,
        },
    }
}

fn answer_to(sent: &Packet, flags: u8) -> Packet {
    let key = FlowKey {
        tuple: sent.key.tuple.reversed(),
        site: SITE_UPLINK_IN,
        ..sent.key
    };
    Packet {
        key,
        tcp_flags: flags,
        ..Packet::default()
    }
}

/// The joint state of the flow that has this key.
fn state_of(model: &Model, key: &FlowKey) -> u32 {
    let flow = model.flow(key).unwrap();
    let pair = pair(model, key, flow).unwrap();
    joint_state(flow.state.get(), pair.state.get())
}

#[test]
fn both_directions_translate_into_each_other() {
    let model = Model::node_1();
    let first = packet(TCP_SYN, 40_000);
    let mut sent = first;
    open(&model, &mut sent, &opening(&first, true)).unwrap();
    assert_eq!(sent.key.tuple, opening(&first, true).tuple);
    let mut answer = answer_to(&sent, TCP_SYN | TCP_ACK);
    let flow = find(&model, &answer).unwrap();
    translate(&model, &mut answer, flow);
    assert_eq!(answer.key.tuple, first.key.tuple.reversed());
    let forward = find(&model, &first).unwrap();
    assert_eq!(state_of(&model, &first.key), STATE_ANSWERED);
    assert_eq!(forward.state.get(), 0, "an entry tells of its own direction");
}

#[test]
fn a_taken_source_port_is_replaced_until_all_are_taken() {
    let model = Model::node_1();
    let mut ports = Vec::new();
    // Clients that differ in the service's port only: their answers would look the same.
    for client in 0..6 {
        let mut sent = packet(TCP_SYN, 40_000);
        sent.key.tuple.destination_port = PortBe::new(1_000 + client);
        let plan = opening(&sent, true);
        ports.push(open(&model, &mut sent, &plan).map(|()| sent.key.tuple.source_port.get()));
    }
    // Chance is 0 in the model; the first try is the packet's own port, then 1, 2, 3, 0 from the start of the range.
    let taken = Err(Reason::PortsTaken);
    assert_eq!(
        ports,
        [Ok(40_000), Ok(61_001), Ok(61_002), Ok(61_003), Ok(61_000), taken]
    );
}

#[test]
fn a_closed_flow_gives_its_port_and_its_place() {
    let model = Model::node_1();
    let first = packet(TCP_SYN, 40_000);
    let mut sent = first;
    open(&model, &mut sent, &opening(&first, true)).unwrap();
    let reset = answer_to(&sent, TCP_RST);
    translate(&model, &mut reset.clone(), find(&model, &reset).unwrap());
    // Not a new connection: it still belongs to the closed flow.
    assert!(find(&model, &packet(TCP_ACK, 40_000)).is_some());
    // Another service, the same backend and port: it takes the place.
    let mut other = first;
    other.key.tuple.destination_port = PortBe::new(81);
    let plan = opening(&other, true);
    open(&model, &mut other, &plan).unwrap();
    assert_eq!(other.key.tuple.source_port.get(), 40_000);
    assert_eq!(model.flows.borrow().len(), 2);
    // The first one's own SYN finds nothing and starts anew.
    assert!(find(&model, &first).is_none());
}

#[test]
fn a_full_table_refuses_new_flows_and_leaves_no_half() {
    let mut model = Model::node_1();
    model.flows_max = 3;
    let mut results = Vec::new();
    for port in [1, 2] {
        let mut sent = packet(TCP_SYN, port);
        let plan = opening(&sent, true);
        results.push(open(&model, &mut sent, &plan));
    }
    assert_eq!(results, [Ok(()), Err(Reason::FlowsFull)]);
    assert_eq!(model.flows.borrow().len(), 2);
    assert!(find(&model, &packet(TCP_ACK, 1)).is_some());
}

#[test]
fn a_flow_closes_by_a_fin_from_both_sides_or_one_reset() {
    /// Whether in the direction of the first packet, and TCP's flags.
    type Sent = (bool, u8);
    let table: [(&str, &[Sent], bool); 5] = [
        ("nothing", &[], false),
        ("one fin", &[(true, TCP_FIN)], false),
        ("the same fin twice", &[(true, TCP_FIN), (true, TCP_FIN)], false),
        ("both fins", &[(true, TCP_FIN), (false, TCP_FIN | TCP_ACK)], true),
        ("reset", &[(false, TCP_RST)], true),
    ];
    for (name, packets, closed) in table {
        let model = Model::node_1();
        let first = packet(TCP_SYN, 40_000);
        let mut sent = first;
        open(&model, &mut sent, &opening(&first, true)).unwrap();
        for &(forward, flags) in packets {
            let mut next = if forward {
                packet(flags, 40_000)
            } else {
                answer_to(&sent, flags)
            };
            let flow = model.flow(&next.key).unwrap();
            translate(&model, &mut next, flow);
        }
        assert_eq!(is_closed(state_of(&model, &first.key)), closed, "{name}");
        assert_eq!(is_closed(state_of(&model, &answer_to(&sent, 0).key)), closed, "{name}");
        assert_eq!(
            find(&model, &first).is_none(),
            closed,
            "{name}: a new connection starts anew"
        );
    }
}

#[test]
fn both_ends_may_be_seen_at_once() {
    let model = Model::node_1();
    let first = packet(TCP_SYN, 40_000);
    let mut sent = first;
    open(&model, &mut sent, &opening(&first, true)).unwrap();
    // What one processor has read while the other writes: each writes only what is its own.
    let (forward, answer) = (packet(TCP_FIN, 40_000), answer_to(&sent, TCP_FIN));
    let (one, other) = (find(&model, &forward).unwrap(), find(&model, &answer).unwrap());
    let before = (one.state.get(), other.state.get());
    translate(&model, &mut forward.clone(), one);
    let after_one = one.state.get();
    one.state.set(before.0);
    translate(&model, &mut answer.clone(), other);
    assert_eq!(one.state.get(), before.0, "no word of the other direction is written");
    one.state.set(after_one);
    assert!(is_closed(state_of(&model, &first.key)));
}

#[test]
fn a_half_is_not_followed_and_takes_nothing_of_another_flow_along() {
    let model = Model::node_1();
    let first = packet(TCP_SYN, 40_000);
    let mut sent = first;
    open(&model, &mut sent, &opening(&first, true)).unwrap();
    model.remove_flow(&answer_to(&sent, 0).key);
    // Another service with the same backend has the place of the answers now.
    let mut other = first;
    other.key.tuple.destination_port = PortBe::new(81);
    let plan = opening(&other, true);
    let others_key = other.key;
    open(&model, &mut other, &plan).unwrap();
    assert_eq!(other.key.tuple.source_port.get(), 40_000);
    assert!(find(&model, &packet(TCP_ACK, 40_000)).is_some(), "not a new connection");
    assert!(find(&model, &first).is_none(), "a new connection starts anew");
    assert_eq!(model.flows.borrow().len(), 2);
    assert_eq!(state_of(&model, &others_key), 0, "the other flow is whole");

    // Of the answers' direction, a half may be a flow that another processor opens just now.
    model.remove_flow(&others_key);
    let answers = answer_to(&other, 0);
    let plan = opening(&first, true);
    let mut again = first;
    open(&model, &mut again, &plan).unwrap();
    assert_ne!(again.key.tuple.source_port.get(), 40_000);
    model.now.set(model.now.get() + HALF_AGE_S + 1);
    let mut third = packet(TCP_SYN, 40_000);
    third.key.tuple.destination_port = PortBe::new(82);
    let plan = opening(&third, true);
    open(&model, &mut third, &plan).unwrap();
    assert_eq!(answer_to(&third, 0).key, answers.key);
}

#[test]
fn a_repeated_syn_goes_to_the_same_backend() {
    let mut model = Model::node_1();
    model.serve(&[("10.42.2.2", 8080)]);
    let first = packet(TCP_SYN, 40_000);
    let opened = |model: &Model| {
        let mut sent = first;
        let plan = Opening {
            backend: 100,
            ..opening(&first, true)
        };
        open(model, &mut sent, &plan).unwrap();
        sent
    };
    let pass = |model: &Model, mut packet: Packet| {
        let flow = model.flow(&packet.key).unwrap();
        translate(model, &mut packet, flow);
    };
    // An old connection's end answers, and the client resets that.
    let sent = opened(&model);
    pass(&model, answer_to(&sent, TCP_ACK));
    pass(&model, packet(TCP_RST, 40_000));
    assert!(find(&model, &first).is_some(), "it goes where it went");
    assert!(!is_closed(state_of(&model, &first.key)));
    // Not if the server refused it, if it is long ago, or if the backend is gone.
    pass(&model, answer_to(&sent, TCP_RST));
    assert!(find(&model, &first).is_none());
    let _ = opened(&model);
    pass(&model, packet(TCP_RST, 40_000));
    model.now.set(model.now.get() + REPEATED_WITHIN_S + 1);
    assert!(find(&model, &first).is_none());
    let _ = opened(&model);
    pass(&model, packet(TCP_RST, 40_000));
    model.backends.clear();
    assert!(find(&model, &first).is_none());
}

#[test]
fn datagrams_move_on_when_their_backend_is_gone() {
    let mut model = Model::node_1();
    model.serve(&[("10.42.2.2", 8080)]);
    let mut first = packet(0, 40_000);
    first.key.protocol = PROTO_UDP;
    let mut sent = first;
    open(
        &model,
        &mut sent,
        &Opening {
            backend: 100,
            ..opening(&first, true)
        },
    )
    .unwrap();
    assert!(find(&model, &first).is_some());
    model.backends.clear();
    assert!(find(&model, &first).is_none());
    assert!(model.flows.borrow().is_empty());
}

#[test]
fn idle_limits_follow_protocol_and_state() {
    let table = [
        (PROTO_TCP, 0, 60),
        (PROTO_TCP, STATE_ANSWERED, 86_400),
        (PROTO_TCP, STATE_ANSWERED | STATE_FIN, 3_600),
        (PROTO_TCP, STATE_ANSWERED | STATE_FIN | STATE_PAIR_FIN, 10),
        (PROTO_TCP, STATE_RESET, 10),
        (PROTO_UDP, 0, 30),
        (PROTO_UDP, STATE_ANSWERED, 120),
        (1, STATE_ANSWERED, 30),
    ];
    for (protocol, state, expected) in table {
        assert_eq!(idle_limit_s(protocol, state), expected, "{protocol} {state}");
    }
}
