//! Tests of which flows are idle.

use dataplane::{
    addr::{Addr, PROTO_TCP, PROTO_UDP, PortBe},
    layout::{STATE_ANSWERED, STATE_FIN, Shared, Tuple, is_closed},
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
    let both = vec![vec![0usize, 1]];
    let table = [
        ("unanswered tcp", PROTO_TCP, 0, 1_000, 1_000, 1_060, vec![]),
        ("unanswered tcp, later", PROTO_TCP, 0, 1_000, 1_000, 1_061, both.clone()),
        (
            "one direction is busy",
            PROTO_UDP,
            STATE_ANSWERED,
            500,
            1_000,
            1_100,
            vec![],
        ),
        ("both were idle", PROTO_UDP, STATE_ANSWERED, 500, 1_000, 1_121, both),
        ("a clock behind", PROTO_UDP, 0, 1_000, 1_000, 990, vec![]),
    ];
    for (name, protocol, state, seen, seen_reply, now, expected) in table {
        let entries = pair(1, protocol, state, seen, seen_reply);
        assert_eq!(Flows::new(&entries).idle(now), expected, "{name}");
    }
}

#[test]
fn both_directions_are_judged_by_what_both_have_seen() {
    let entries = pair(1, PROTO_TCP, 0, 1_000, 1_000);
    // A FIN each way, each told by the entry of its own direction.
    entries[0].1.state.set(STATE_FIN);
    entries[1].1.state.set(STATE_FIN | STATE_ANSWERED);
    let flows = Flows::new(&entries);
    assert!(is_closed(flows.state(0)) && is_closed(flows.state(1)));
    assert_eq!(flows.idle(1_010), [[0usize; 0]; 0]);
    assert_eq!(flows.idle(1_011), [[0, 1]]);
}

#[test]
fn a_half_that_lost_the_other_goes_by_itself() {
    let [half, _] = pair(1, PROTO_TCP, STATE_ANSWERED | STATE_FIN, 1_000, 1_000);
    let entries = [half];
    assert_eq!(Flows::new(&entries).idle(1_010), [[0usize; 0]; 0]);
    assert_eq!(Flows::new(&entries).idle(1_011), [[0]]);
}

#[test]
fn what_has_the_others_key_may_be_of_another_flow() {
    let [half, _] = pair(1, PROTO_TCP, STATE_ANSWERED, 1_000, 1_000);
    let [mut other, mut answers] = pair(1, PROTO_TCP, 0, 5_000, 5_000);
    // Another service with the same backend: its answers look as those of the half did.
    other.0.tuple.destination_port = PortBe::new(81);
    answers.1.tuple.source_port = PortBe::new(81);
    let entries = [half, other, answers];
    assert_eq!(Flows::new(&entries).idle(5_001), [[0]], "only the half");
}
