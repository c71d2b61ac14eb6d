use super::*;

pub(super) fn record(message: &str) -> Record {
    Record {
        kind: "Pod".to_owned(),
        api_version: "v1".to_owned(),
        namespace: "default".to_owned(),
        name: "web".to_owned(),
        uid: "u".to_owned(),
        severity: "Normal",
        reason: "Pulled".to_owned(),
        message: message.to_owned(),
        source: "agent".to_owned(),
        host: "n1".to_owned(),
    }
}

#[test]
fn repeats_are_counted_and_written_once_per_interval() {
    let mut repeats = Repeats::default();
    let start = Instant::now();
    // (seconds, message, written count)
    let rows = [
        (0, "a", Some(1)),
        (0, "b", Some(1)),
        (1, "a", None),
        (9, "a", None),
        (10, "a", Some(3)),
        (11, "a", None),
        (30, "b", Some(1)),
    ];
    for (seconds, message, count) in rows {
        let now = start + Duration::from_secs(seconds);
        let entry = repeats.admit(&record(message), now, Timestamp::UNIX_EPOCH);
        assert_eq!(entry.map(|entry| entry.count), count, "{message} at {seconds}");
    }
}

#[test]
fn memory_of_repeats_is_bounded() {
    let mut repeats = Repeats::default();
    let now = Instant::now();
    for at in 0..2 * REMEMBERED_MAX {
        let entry = repeats.admit(&record(&at.to_string()), now, Timestamp::UNIX_EPOCH);
        assert_eq!(entry.map(|entry| entry.count), Some(1));
    }
    assert_eq!(repeats.seen.len(), REMEMBERED_MAX);
    let later = now + REPEAT_INTERVAL;
    repeats.admit(&record("new"), later, Timestamp::UNIX_EPOCH);
    assert_eq!(repeats.seen.len(), 1);
}

#[test]
fn names_are_in_the_order_of_events_and_the_same_for_the_same_event() {
    let mut repeats = Repeats::default();
    let start = Instant::now();
    let moment = |ns: i128| Timestamp::from_nanosecond(1_800_000_000_000_000_000 + ns).unwrap();
    // (message, the clock's nanosecond): it may stand still, or go back.
    let rows = [("Scheduled", 5), ("Pulled", 5), ("Created", 2), ("Started", 9)];
    let named: Vec<String> = rows
        .iter()
        .map(|(message, ns)| {
            let record = record(message);
            name(&record, repeats.admit(&record, start, moment(*ns)).unwrap())
        })
        .collect();
    assert!(named.is_sorted(), "{named:?}");
    let distinct: std::collections::BTreeSet<&String> = named.iter().collect();
    assert_eq!(distinct.len(), rows.len(), "{named:?}");

    let pulled = record("Pulled");
    let again = repeats.admit(&pulled, start + REPEAT_INTERVAL, moment(1_000)).unwrap();
    assert!(again.known);
    assert_eq!(name(&pulled, again), named[1]);
}

#[test]
fn events_about_what_has_no_namespace_are_in_default() {
    let cluster_wide = Record {
        namespace: String::new(),
        ..record("a")
    };
    let entry = Repeats::default()
        .admit(&cluster_wide, Instant::now(), Timestamp::UNIX_EPOCH)
        .unwrap();
    assert_eq!(event(&cluster_wide, entry)["metadata"]["namespace"], "default");
}

#[test]
fn long_messages_are_cut_between_characters() {
    let long = "é".repeat(MESSAGE_BYTES_MAX);
    assert_eq!(shortened(&long).len(), MESSAGE_BYTES_MAX);
    assert_eq!(shortened(&format!("x{long}")).len(), MESSAGE_BYTES_MAX - 1);
}
