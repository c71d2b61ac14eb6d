use super::*;

fn record(message: &str) -> Record {
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
        assert_eq!(repeats.admit(&record(message), now), count, "{message} at {seconds}");
    }
}

#[test]
fn memory_of_repeats_is_bounded() {
    let mut repeats = Repeats::default();
    let now = Instant::now();
    for at in 0..2 * REMEMBERED_MAX {
        assert_eq!(repeats.admit(&record(&at.to_string()), now), Some(1));
    }
    assert_eq!(repeats.seen.len(), REMEMBERED_MAX);
    let later = now + REPEAT_INTERVAL;
    repeats.admit(&record("new"), later);
    assert_eq!(repeats.seen.len(), 1);
}

#[test]
fn the_same_event_has_the_same_name_and_another_has_another() {
    assert_eq!(name(&record("a")), name(&record("a")));
    assert_ne!(name(&record("a")), name(&record("b")));
    assert!(name(&record("a")).starts_with("web."));
    let cluster_wide = Record {
        namespace: String::new(),
        ..record("a")
    };
    assert_eq!(
        event(&cluster_wide, 1, Timestamp::UNIX_EPOCH)["metadata"]["namespace"],
        "default"
    );
}

#[test]
fn long_messages_are_cut_between_characters() {
    let long = "é".repeat(MESSAGE_BYTES_MAX);
    assert_eq!(shortened(&long).len(), MESSAGE_BYTES_MAX);
    assert_eq!(shortened(&format!("x{long}")).len(), MESSAGE_BYTES_MAX - 1);
}
