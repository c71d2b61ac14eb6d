use std::collections::{BTreeMap, BTreeSet};

use super::*;

impl Level {
    fn running(&self) -> usize {
        self.running
    }

    fn waiting(&self) -> usize {
        self.queues.iter().map(|queue| queue.waiting.len()).sum()
    }
}

const QUEUED: Overflow = Overflow::Queue {
    queues: 64,
    hand: 6,
    length_max: 50,
};
const NOISY: u64 = 0x9e37_79b9_7f4a_7c15;
const QUIET: u64 = 0x1234_5678_9abc_def0;

#[test]
fn a_hand_has_different_cards_of_the_deck() {
    for (hash, deck, count) in [(0, 8, 8), (NOISY, 64, 6), (u64::MAX, 128, 6), (7, 1, 1), (7, 3, 9)] {
        let hand = deal(hash, deck, count);
        let cards: BTreeSet<usize> = hand.iter().copied().collect();
        assert_eq!(hand.len(), count.min(deck), "{hash} {deck} {count}");
        assert_eq!(cards.len(), hand.len(), "{hash} {deck} {count}: {hand:?}");
        assert!(cards.iter().all(|card| *card < deck), "{hash} {deck} {count}: {hand:?}");
    }
    assert_eq!(deal(0, 8, 4), [0, 1, 2, 3]);
}

#[test]
fn requests_run_then_wait_then_are_refused() {
    let rows = [
        (Overflow::Reject, vec![Arrival::Runs, Arrival::NoSeat, Arrival::NoSeat]),
        (
            Overflow::Queue {
                queues: 2,
                hand: 1,
                length_max: 1,
            },
            vec![Arrival::Runs, Arrival::Waits, Arrival::QueueFull],
        ),
        (
            Overflow::Queue {
                queues: 2,
                hand: 2,
                length_max: 1,
            },
            vec![Arrival::Runs, Arrival::Waits, Arrival::Waits, Arrival::QueueFull],
        ),
    ];
    for (overflow, expected) in rows {
        let mut level = Level::new(1, overflow);
        let arrivals: Vec<Arrival> = (0..expected.len() as u64)
            .map(|ticket| level.arrive(ticket, 0))
            .collect();
        assert_eq!(arrivals, expected, "{overflow:?}");
    }
}

#[test]
fn a_flow_with_hundreds_of_requests_does_not_starve_another() {
    let mut level = Level::new(4, QUEUED);
    let mut refused = 0;
    for ticket in 0..500 {
        if level.arrive(ticket, NOISY) == Arrival::QueueFull {
            refused += 1;
        }
    }
    // Its own hand is full: four run, six queues of fifty wait.
    assert_eq!((level.running(), level.waiting(), refused), (4, 300, 196));
    for ticket in 1000..1010 {
        assert_eq!(level.arrive(ticket, QUIET), Arrival::Waits);
    }
    let mut turns = Vec::new();
    while level.running() > 0 {
        turns.extend(level.leave());
    }
    let quiet: Vec<usize> = (0..turns.len()).filter(|turn| turns[*turn] >= 1000).collect();
    assert_eq!(quiet.len(), 10);
    // Ten requests in six queues, against six queues of the other flow: two rounds of the twelve queues at most.
    assert!(quiet.iter().all(|turn| *turn < 24), "{quiet:?}");
    assert_eq!(turns.len(), 310);
}

#[test]
fn queues_that_all_have_something_take_turns() {
    let one_each = Overflow::Queue {
        queues: 3,
        hand: 1,
        length_max: 100,
    };
    let mut level = Level::new(1, one_each);
    level.arrive(0, 0);
    for ticket in 0..90 {
        level.arrive(1 + ticket, ticket / 30);
    }
    let mut served: BTreeMap<u64, usize> = BTreeMap::new();
    for turn in 0..90 {
        let [ticket] = level.leave()[..] else {
            panic!("one seat, one turn")
        };
        *served.entry((ticket - 1) / 30).or_default() += 1;
        let (most, least) = (served.values().max().unwrap(), served.values().min().unwrap());
        assert!(turn < 2 || most - least <= 1, "turn {turn}: {served:?}");
    }
}

#[test]
fn who_was_idle_saves_no_turns() {
    let one_each = Overflow::Queue {
        queues: 2,
        hand: 1,
        length_max: 100,
    };
    let mut level = Level::new(1, one_each);
    level.arrive(0, 0);
    for ticket in 1..=50 {
        level.arrive(ticket, 0);
    }
    for _ in 0..40 {
        level.leave();
    }
    for ticket in 100..110 {
        level.arrive(ticket, 1);
    }
    let next: Vec<u64> = (0..6).flat_map(|_| level.leave()).collect();
    let late = next.iter().filter(|ticket| **ticket >= 100).count();
    assert_eq!(late, 3, "{next:?}");
}

#[test]
fn who_goes_away_gives_its_place_back() {
    let mut level = Level::new(1, QUEUED);
    level.arrive(1, QUIET);
    level.arrive(2, QUIET);
    level.arrive(3, QUIET);
    assert!(level.abandon(2));
    assert!(!level.abandon(2));
    assert!(!level.abandon(1), "it runs");
    assert_eq!(level.leave(), [3]);
    assert_eq!(level.leave(), [] as [Ticket; 0]);
    assert_eq!((level.running(), level.waiting()), (0, 0));
}

#[test]
fn nobody_is_lost_when_the_limits_change() {
    for overflow in [
        QUEUED,
        Overflow::Reject,
        Overflow::Queue {
            queues: 2,
            hand: 1,
            length_max: 1,
        },
    ] {
        let mut level = Level::new(1, QUEUED);
        for ticket in 0..20 {
            level.arrive(ticket, ticket % 3);
        }
        let mut turns = level.configure(3, overflow);
        assert_eq!(turns.len(), 2, "{overflow:?}");
        while level.running() > 0 {
            turns.extend(level.leave());
        }
        turns.sort_unstable();
        assert_eq!(turns, (1..20).collect::<Vec<_>>(), "{overflow:?}");
    }
}
