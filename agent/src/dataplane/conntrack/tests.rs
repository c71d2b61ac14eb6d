//! Tests of which flows are idle.

use dataplane::{
    addr::{Addr, PROTO_TCP, PROTO_UDP, PortBe},
    layout::{STATE_ANSWERED, Shared, Tuple},
};

use super::*;

/// Both directions of a flow, last seen at these seconds.
fn pair(port: u16, protocol: u8, state: u32, seen: u32, seen_reply: u32) -> [(FlowKey, Flow); 2] {
    let tuple = Tuple {
        source: Addr::from_v4([10, 42, 1, 2]),
        destination: Addr::from_v4([10, 43, 0, 1]),
        source_port: PortBe::new(port),
        destination_port: PortBe::new(80),
    };
    let translated = Tuple {
        destination: Addr::from_v4([10, 42, 2, 2]),
        ..tuple
    };
    let flow = |tuple, reply, seen| Flow {
        tuple,
        reply,
        seen: Shared::new(seen),
        state: Shared::new(state),
        ..Flow::default()
    };
    let key = |tuple| FlowKey {
        tuple,
        protocol,
        site: 0,
        reserved: 0,
    };
    [
        (key(tuple), flow(translated, 0, seen)),
        (key(translated.reversed()), flow(tuple.reversed(), 1, seen_reply)),
    ]
}

#[test]
fn both_directions_go_together_by_the_younger_of_the_two() {
    let table = [
        ("unanswered tcp", PROTO_TCP, 0, 1_000, 1_000, 1_060, 0),
        ("unanswered tcp, later", PROTO_TCP, 0, 1_000, 1_000, 1_061, 2),
        ("one direction is busy", PROTO_UDP, STATE_ANSWERED, 500, 1_000, 1_100, 0),
        ("both were idle", PROTO_UDP, STATE_ANSWERED, 500, 1_000, 1_121, 2),
        ("a clock behind", PROTO_UDP, 0, 1_000, 1_000, 990, 0),
    ];
    for (name, protocol, state, seen, seen_reply, now, expected) in table {
        assert_eq!(
            idle(&pair(1, protocol, state, seen, seen_reply), now).len(),
            expected,
            "{name}"
        );
    }
}

#[test]
fn a_half_that_lost_the_other_goes_by_itself() {
    let [half, _] = pair(1, PROTO_UDP, 0, 1_000, 1_000);
    assert_eq!(idle(std::slice::from_ref(&half), 1_030), [0usize; 0]);
    assert_eq!(idle(&[half], 1_031), [0]);
}
