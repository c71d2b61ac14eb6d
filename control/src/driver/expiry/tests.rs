use bytes::Bytes;

use super::*;

fn key(name: &str) -> StoreKey {
    StoreKey::new("events", "default", name)
}

fn stored(name: &str, modified: Revision, last: &str) -> Stored {
    Stored {
        key: key(name),
        value: Bytes::from(format!(
            r#"{{"metadata":{{}},"involvedObject":{{}},"lastTimestamp":"{last}"}}"#
        )),
        created: modified,
        modified,
    }
}

#[test]
fn events_are_due_an_hour_after_their_last_change() {
    let start = Instant::now();
    let now: Timestamp = "2026-01-01T12:00:00Z".parse().expect("a time");
    let items = [
        stored("young", 5, "2026-01-01T11:50:00Z"),
        stored("old", 6, "2026-01-01T10:00:00Z"),
        stored("unclear", 7, "not a time"),
    ];
    let mut deadlines = Deadlines::begin(&items, now, start);
    let minutes = |minutes: u64| start + Duration::from_secs(60 * minutes);
    assert_eq!(deadlines.take_due(start), [(key("old"), 6)]);
    assert_eq!(deadlines.next(), Some(minutes(50)));
    deadlines.changed(&key("young"), Some(8), minutes(10));
    assert_eq!(deadlines.take_due(minutes(50)), [], "it happened again");
    deadlines.changed(&key("unclear"), None, minutes(55));
    assert_eq!(deadlines.take_due(minutes(69)), [], "it is gone already");
    assert_eq!(deadlines.take_due(minutes(70)), [(key("young"), 8)]);
    assert_eq!(deadlines.next(), None);
    assert!(deadlines.versions.is_empty());
}
