//! Tests of whose turn it is.

use super::*;
use crate::{
    addr::PROTO_TCP,
    model::{Model, addr},
};

const BACKENDS: [(&str, u16); 3] = [("10.42.1.2", 80), ("10.42.2.2", 80), ("10.42.3.2", 80)];
const AFFINITY_S: u32 = 100;

/// Which of [`BACKENDS`] gets a new connection of a client.
fn chosen(model: &Model, client: Addr) -> usize {
    let config = model.config().unwrap();
    let port = PortBe::new(80);
    let frontend = frontend(model, config, Client::Inside, &addr("10.43.0.1"), port, PROTO_TCP).unwrap();
    let chosen = choose(model, &frontend, &client).unwrap();
    BACKENDS.iter().position(|(ip, _)| addr(ip) == chosen.addr).unwrap()
}

#[test]
fn a_client_keeps_its_backend_for_the_time_of_affinity() {
    let mut model = Model::node_1();
    model.serve(&BACKENDS);
    model.keep_clients(AFFINITY_S);
    let clients = [addr("10.42.1.2"), addr("203.0.113.7"), Addr::of_namespace(7)];
    // Seconds since the last row, and where each client goes.
    let table = [
        (0, [0, 1, 2]),
        (0, [0, 1, 2]),
        (AFFINITY_S - 1, [0, 1, 2]),
        // Every new connection begins the time anew.
        (AFFINITY_S - 1, [0, 1, 2]),
        // Too long: all are new again, and three turns have been taken before.
        (AFFINITY_S, [0, 1, 2]),
    ];
    for (row, (later_s, expected)) in table.into_iter().enumerate() {
        model.now.set(model.now.get() + later_s);
        assert_eq!(clients.map(|client| chosen(&model, client)), expected, "row {row}");
    }
    assert_eq!(model.turns.borrow()[&5], 6, "turns taken");
    // A fourth client's turn is the first backend's.
    assert_eq!(chosen(&model, addr("10.42.1.4")), 0);
}

#[test]
fn a_backend_that_left_the_set_is_not_used_though_it_is_known() {
    let mut model = Model::node_1();
    model.serve(&BACKENDS);
    model.keep_clients(AFFINITY_S);
    let client = addr("10.42.1.2");
    assert_eq!(chosen(&model, client), 0);
    // The next generation lacks the first backend, which terminates and keeps its flows.
    let old: Vec<_> = model.slots.drain().collect();
    for (key, id) in old.into_iter().filter(|(_, id)| *id != 100) {
        let slot = if key.slot < SLOT_OF_MEMBER {
            key.slot - 1
        } else {
            key.slot
        };
        let key = SlotKey {
            generation: 2,
            slot,
            ..key
        };
        model.slots.insert(key, id);
    }
    for frontend in model.frontends.values_mut() {
        frontend.generation = 2;
        frontend.count = 2;
    }
    let next = chosen(&model, client);
    assert_ne!(next, 0);
    assert_eq!([(); 3].map(|()| chosen(&model, client)), [next; 3]);
}

#[test]
fn without_affinity_every_connection_takes_its_turn_and_no_client_is_remembered() {
    let mut model = Model::node_1();
    model.serve(&BACKENDS);
    let client = addr("10.42.1.2");
    assert_eq!([(); 4].map(|()| chosen(&model, client)), [0, 1, 2, 0]);
    assert!(model.affinities.borrow().is_empty());
}
