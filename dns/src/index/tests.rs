use api::node_stream::{EndpointKey, Node};
use rand::{Rng, SeedableRng, rngs::StdRng};

use super::*;

fn zone() -> Zone {
    Zone::new(
        "cluster.local",
        "10.43.0.10".parse().unwrap(),
        vec!["10.42.0.0/16".parse().unwrap()],
    )
    .unwrap()
}

/// A change such as the stream sends, out of few services and addresses, so that they meet.
fn random_change(random: &mut StdRng) -> change::Kind {
    let service_ref = random.random_range(1..6);
    let ip = |random: &mut StdRng| vec![10, 42, 0, random.random_range(1..6)];
    match random.random_range(0..10) {
        0..=3 => change::Kind::Service(Service {
            r#ref: service_ref,
            namespace: ["a", "b"][random.random_range(0..2)].to_owned(),
            // One name, one number, as long as the service lives.
            name: format!("s{service_ref}"),
            headless: random.random(),
            cluster_ips: vec![ip(random)],
            ..Service::default()
        }),
        4 => change::Kind::ServiceRemoved(service_ref),
        5 => change::Kind::Node(Node::default()),
        _ => change::Kind::Endpoints(EndpointsDelta {
            service_ref,
            replace: random.random_range(0..4) == 0,
            removed: vec![EndpointKey { ip: ip(random) }],
            upserted: (0..random.random_range(0..3))
                .map(|_| Endpoint {
                    ip: ip(random),
                    ready: random.random(),
                    hostname: ["", "pet"][random.random_range(0..2)].to_owned(),
                    ..Endpoint::default()
                })
                .collect(),
        }),
    }
}

#[test]
fn change_by_change_it_becomes_what_the_whole_state_says() {
    let seed = rand::random();
    let mut random = StdRng::seed_from_u64(seed);
    for round in 0..200 {
        let mut state = NetState::default();
        let mut index = Index::new(zone());
        for step in 0..40 {
            let change = Change {
                kind: Some(random_change(&mut random)),
            };
            state.apply(&change);
            index.apply(&change);
            let whole = Index::from_state(zone(), &state);
            let message = format!("seed {seed}, round {round}, step {step}: {change:?}");
            assert_eq!(index.names, whole.names, "{message}");
            assert_eq!(index.addresses, whole.addresses, "{message}");
            let known = |index: &Index| -> BTreeMap<u32, Entry> {
                let entries = index.entries.iter();
                // An entry of nothing is no entry.
                entries
                    .filter(|(_, entry)| **entry != Entry::default())
                    .map(|(service_ref, entry)| (*service_ref, entry.clone()))
                    .collect()
            };
            assert_eq!(known(&index), known(&whole), "{message}");
        }
    }
}

#[test]
fn a_service_made_anew_under_another_number_keeps_its_name() {
    let mut index = Index::new(zone());
    let service = |number| Change {
        kind: Some(change::Kind::Service(Service {
            r#ref: number,
            namespace: "a".to_owned(),
            name: "web".to_owned(),
            ..Service::default()
        })),
    };
    index.apply(&service(1));
    index.apply(&service(2));
    index.apply(&Change {
        kind: Some(change::Kind::ServiceRemoved(1)),
    });
    assert!(index.service("a", "web").is_some());
    assert_eq!(index.len(), 1);
    index.apply(&Change {
        kind: Some(change::Kind::ServiceRemoved(2)),
    });
    assert!(index.is_empty());
}

#[test]
fn one_change_among_fifty_thousand_services_is_quick() {
    let mut state = NetState::default();
    for number in 1..=50_000_u32 {
        state.services.insert(
            number,
            Service {
                r#ref: number,
                namespace: format!("ns{}", number % 100),
                name: format!("service-{number}"),
                cluster_ips: vec![(0x0a2b_0000 + number).to_be_bytes().to_vec()],
                ..Service::default()
            },
        );
    }
    let mut index = Index::from_state(zone(), &state);
    assert_eq!(index.len(), 50_000);
    let change = Change {
        kind: Some(change::Kind::Endpoints(EndpointsDelta {
            service_ref: 25_000,
            replace: true,
            upserted: vec![Endpoint {
                ip: vec![10, 42, 0, 7],
                ready: true,
                ..Endpoint::default()
            }],
            ..EndpointsDelta::default()
        })),
    };
    let began = std::time::Instant::now();
    for _ in 0..1_000 {
        index.apply(&change);
    }
    // Some microseconds each; building anew takes tens of milliseconds.
    assert!(
        began.elapsed() < std::time::Duration::from_secs(1),
        "{:?}",
        began.elapsed()
    );
}
