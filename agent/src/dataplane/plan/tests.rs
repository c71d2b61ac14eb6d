//! Tests of the steps from one state of the maps to the next.

use super::*;
use crate::dataplane::desired::Protocol;

fn node() -> Addr {
    Addr::from_v4([192, 168, 0, 1])
}

fn set_name(service: &str) -> SetName {
    let (namespace, port) = ("default".to_owned(), "http".to_owned());
    SetName {
        namespace,
        service: service.to_owned(),
        port,
        protocol: Protocol::Tcp,
    }
}

fn backend(last: u8) -> Backend {
    Backend {
        ip: [10, 42, 1, last].into(),
        port: 8080,
        protocol: Protocol::Tcp,
    }
}

/// Services with their backends' last octets, at 10.43.0.N port 80 and node port 30000 + N, N from 1.
fn image(services: &[(&str, &[u8])]) -> Image {
    let mut image = Image::default();
    for (n, (service, backends)) in (1u8..).zip(services) {
        image
            .sets
            .insert(set_name(service), backends.iter().map(|&last| backend(last)).collect());
        // The number in a service's name fixes its addresses, whatever else there is.
        let n = service
            .bytes()
            .last()
            .filter(u8::is_ascii_digit)
            .map_or(n, |digit| digit - b'0');
        for (listen, port) in [
            (Listen::Inside([10, 43, 0, n].into()), 80),
            (Listen::Nodes, 30_000 + u16::from(n)),
        ] {
            image.frontends.insert(
                Frontend {
                    listen,
                    port,
                    protocol: Protocol::Tcp,
                },
                set_name(service),
            );
        }
    }
    image.nodes.insert([192, 168, 0, 1].into(), "n1".to_owned());
    image.nodes.insert([192, 168, 0, 2].into(), "n2".to_owned());
    image
        .routes
        .insert("10.42.2.0/24".parse().unwrap(), [192, 168, 0, 2].into());
    image
}

fn names(steps: &[Step]) -> Vec<&'static str> {
    let name = |step: &Step| match step {
        Step::PutNodes(_) => "put nodes",
        Step::PutRoutes(_) => "put routes",
        Step::PutBackends(_) => "put backends",
        Step::PutSlots(_) => "put slots",
        Step::PutFrontends(_) => "put frontends",
        Step::DeleteFrontends(_) => "delete frontends",
        Step::WaitForReaders => "wait",
        Step::DeleteSlots(_) => "delete slots",
        Step::DeleteBackends(_) => "delete backends",
        Step::DeleteRoutes(_) => "delete routes",
        Step::DeleteNodes(_) => "delete nodes",
    };
    steps.iter().map(name).collect()
}

/// What a program that reads one frontend would choose from: last octets, or what is wrong.
fn read(state: &State, key: &FrontendKey) -> Result<Option<BTreeSet<u8>>, String> {
    let Some(frontend) = state.frontends.get(key) else {
        return Ok(None);
    };
    let mut found = BTreeSet::new();
    for slot in 0..frontend.count {
        let key = SlotKey {
            service: frontend.service,
            generation: frontend.generation,
            slot,
        };
        let id = state.slots.get(&key).ok_or_else(|| format!("a hole at {key:?}"))?;
        let backend = state.backends.get(id).ok_or_else(|| format!("no backend {id}"))?;
        found.insert(backend.addr.octets()[15]);
    }
    if found.len() != frontend.count as usize {
        return Err(format!("a backend twice in {frontend:?}"));
    }
    Ok(Some(found))
}

/// Carries the steps out one by one; between any two, every reader sees the old set or the new one.
fn advance(state: &mut State, image: &Image) -> Vec<&'static str> {
    let steps = plan(state, image, node()).unwrap();
    let mut target = state.clone();
    steps.iter().for_each(|step| target.record(step));
    let keys: BTreeSet<_> = state.frontends.keys().chain(target.frontends.keys()).copied().collect();
    let before = state.clone();
    for step in &steps {
        state.record(step);
        for key in &keys {
            let (old, new) = (read(&before, key).unwrap(), read(&target, key).unwrap());
            let seen = read(state, key).unwrap_or_else(|wrong| panic!("after {step:?}: {wrong}"));
            assert!(
                seen == old || seen == new,
                "after {step:?}: {seen:?} is neither {old:?} nor {new:?}"
            );
        }
    }
    assert_eq!(
        plan(state, image, node()).unwrap(),
        [],
        "a second plan has nothing to do"
    );
    names(&steps)
}

fn seen(state: &State, n: u8) -> Option<Vec<u8>> {
    let key = FrontendKey {
        addr: Addr::from_v4([10, 43, 0, n]),
        port: PortBe::new(80),
        protocol: Protocol::Tcp.number(),
        scope: SCOPE_ADDRESS,
    };
    read(state, &key).unwrap().map(|set| set.into_iter().collect())
}

#[test]
fn steps_come_in_an_order_that_leaves_no_hole() {
    let mut state = State::default();
    let steps = advance(&mut state, &image(&[("a1", &[1, 2]), ("b2", &[3])]));
    assert_eq!(
        steps,
        ["put nodes", "put routes", "put backends", "put slots", "put frontends"]
    );
    let steps = advance(&mut state, &image(&[("a1", &[2, 4]), ("b2", &[3])]));
    assert_eq!(
        steps,
        [
            "put backends",
            "put slots",
            "put frontends",
            "wait",
            "delete slots",
            "delete backends"
        ]
    );
    let steps = advance(&mut state, &image(&[("b2", &[3])]));
    assert_eq!(steps, ["delete frontends", "wait", "delete slots", "delete backends"]);
    let mut gone = image(&[("b2", &[3])]);
    gone.nodes.remove(&[192, 168, 0, 2].into());
    gone.routes.clear();
    assert_eq!(advance(&mut state, &gone), ["delete routes", "delete nodes"]);
}

#[test]
fn a_random_walk_of_images_is_followed_exactly() {
    for seed in 1..=40u64 {
        let mut random = seed;
        let mut next = |limit: u64| {
            random = random
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            (random >> 33) % limit
        };
        let mut state = State::default();
        for round in 0..12 {
            let mut sets: Vec<(String, Vec<u8>)> = Vec::new();
            for n in 1..=4 {
                let members = (1..=5).filter(|_| next(2) > 0).collect();
                if next(4) > 0 {
                    sets.push((format!("s{n}"), members));
                }
            }
            let list: Vec<(&str, &[u8])> = sets.iter().map(|(name, set)| (name.as_str(), set.as_slice())).collect();
            advance(&mut state, &image(&list));
            for n in 1..=4u8 {
                let expected = sets
                    .iter()
                    .find(|(name, _)| *name == format!("s{n}"))
                    .map(|(_, set)| set.clone());
                assert_eq!(seen(&state, n), expected, "seed {seed} round {round} service {n}");
            }
            let wanted: BTreeSet<u8> = sets.iter().flat_map(|(_, set)| set.clone()).collect();
            assert_eq!(state.backends.len(), wanted.len(), "seed {seed} round {round}");
        }
    }
}

#[test]
fn ids_survive_whatever_else_comes_and_goes() {
    let mut state = State::default();
    advance(&mut state, &image(&[("a1", &[1]), ("b2", &[2]), ("c3", &[3])]));
    let id = |state: &State, n: u16| {
        let key = |key: &&FrontendKey| key.scope == SCOPE_NODE_PORT && key.port == PortBe::new(30_000 + n);
        state.frontends[state.frontends.keys().find(key).unwrap()].service
    };
    let (b, c) = (id(&state, 2), id(&state, 3));
    // A new agent knows nothing but the maps.
    let mut adopted = state.clone();
    advance(&mut adopted, &image(&[("b2", &[2, 9]), ("c3", &[3]), ("d4", &[3])]));
    assert_eq!((id(&adopted, 2), id(&adopted, 3)), (b, c));
    let ids: BTreeSet<_> = adopted.frontends.values().map(|frontend| frontend.service).collect();
    assert_eq!(ids.len(), 3, "one id per service");
}

#[test]
fn a_set_that_does_not_change_is_not_written_and_those_that_stay_keep_their_slots() {
    let mut state = State::default();
    advance(&mut state, &image(&[("a1", &[1, 2, 3])]));
    let before = state.clone();
    assert_eq!(advance(&mut state, &image(&[("a1", &[3, 2, 1])])), [""; 0]);
    advance(&mut state, &image(&[("a1", &[1, 2, 3, 4])]));
    let order = |state: &State| state.slots.values().copied().collect::<Vec<_>>();
    assert_eq!(order(&state)[..3], order(&before)[..]);
}

#[test]
fn sets_with_affinity_have_their_members_under_their_ids_too() {
    let mut state = State::default();
    let with = |affinity_s: u32, backends: &[u8]| {
        let mut image = image(&[("a1", backends), ("b2", &[1, 2])]);
        if affinity_s != 0 {
            image.affinities_s.insert(set_name("a1"), affinity_s);
        }
        image
    };
    let (slots, flip) = (
        ["put slots", "put frontends", "wait", "delete slots"],
        ["put frontends"],
    );
    let same_set: [(u32, &[&str]); 5] = [(10_800, &slots), (60, &flip), (60, &[]), (u32::MAX, &flip), (0, &slots)];
    advance(&mut state, &with(0, &[1, 2]));
    for (affinity_s, steps) in same_set {
        assert_eq!(advance(&mut state, &with(affinity_s, &[1, 2])), steps, "{affinity_s}");
        check_members(&state, affinity_s.min(AFFINITY_S_MAX));
    }
    for backends in [&[1, 2][..], &[2, 3, 4], &[], &[1]] {
        advance(&mut state, &with(60, backends));
        check_members(&state, 60);
    }
}

/// Every frontend says how long clients of its service keep their backend, and who is a member, if need be.
fn check_members(state: &State, affinity_of_a1_s: u32) {
    for (key, frontend) in &state.frontends {
        let is_a1 = key.addr == Addr::from_v4([10, 43, 0, 1]) || key.port == PortBe::new(30_001);
        let expected_s = if is_a1 { affinity_of_a1_s } else { 0 };
        assert_eq!(frontend.affinity_s(), expected_s, "{key:?}");
        let (mut chosen, mut members) = (BTreeSet::new(), BTreeSet::new());
        for (slot, &id) in state.slots.iter().filter(|(slot, _)| slot.service == frontend.service) {
            assert_eq!(slot.generation, frontend.generation, "{key:?}");
            if slot.slot & SLOT_OF_MEMBER == 0 {
                chosen.insert(id);
            } else {
                assert_eq!(slot.slot, SLOT_OF_MEMBER | id, "{key:?}");
                members.insert(id);
            }
        }
        let expected = if expected_s == 0 { BTreeSet::new() } else { chosen };
        assert_eq!(members, expected, "{key:?}");
    }
}

#[test]
fn leftovers_of_an_agent_that_died_between_steps_are_cleared() {
    let mut state = State::default();
    advance(&mut state, &image(&[("a1", &[1, 2])]));
    let steps = plan(&state, &image(&[("a1", &[2, 3])]), node()).unwrap();
    // Dead after every possible number of steps; then a third image.
    for done in 0..=steps.len() {
        let mut left = state.clone();
        steps[..done].iter().for_each(|step| left.record(step));
        advance(&mut left, &image(&[("a1", &[1, 3])]));
        assert_eq!(seen(&left, 1), Some(vec![1, 3]), "{done} steps");
        assert_eq!((left.slots.len(), left.backends.len()), (2, 2), "{done} steps");
    }
}

#[test]
fn backends_that_only_old_flows_use_stay_known() {
    let mut state = State::default();
    let mut leaving = image(&[("a1", &[1])]);
    leaving.alive.insert(backend(2));
    advance(&mut state, &leaving);
    assert_eq!(seen(&state, 1), Some(vec![1]));
    assert_eq!(state.backends.len(), 2);
}

#[test]
fn an_image_that_does_not_fit_changes_nothing() {
    let mut large = image(&[]);
    let many = (0..=u16::try_from(BACKENDS_MAX - 1).unwrap()).map(|n| Backend { port: n, ..backend(1) });
    large.sets.insert(set_name("a1"), many.chain([backend(2)]).collect());
    let full = plan(&State::default(), &large, node()).unwrap_err();
    assert_eq!(
        full,
        FullError {
            map: "BACKENDS",
            limit: BACKENDS_MAX,
            wanted: BACKENDS_MAX + 1
        }
    );
}

#[test]
fn nodes_and_routes_are_as_the_programs_read_them() {
    let mut state = State::default();
    advance(&mut state, &image(&[]));
    let local: Vec<_> = state
        .nodes
        .iter()
        .filter(|(_, known)| known.flags & NODE_LOCAL != 0)
        .collect();
    assert_eq!(local, [(&node(), &KnownNode { flags: NODE_LOCAL })]);
    let key = RouteKey {
        bits: 96 + 24,
        addr: Addr::from_v4([10, 42, 2, 0]),
    };
    assert_eq!(
        state.routes.get(&key),
        Some(&Route {
            node: Addr::from_v4([192, 168, 0, 2])
        })
    );
}
