use super::*;
use crate::driver::recorder::tests::record;

#[test]
fn many_messages_become_one_event() {
    let mut similar = Similar::default();
    let start = Instant::now();
    // (seconds, message, combined)
    let mut rows: Vec<(u64, String, bool)> = (0..9).map(|at| (at, format!("m{at}"), false)).collect();
    rows.extend([
        (10, "m9".to_owned(), true),
        (11, "m10".to_owned(), true),
        // What was told by itself goes on being counted by itself.
        (12, "m3".to_owned(), false),
        // Much later it begins anew.
        (700, "m11".to_owned(), false),
    ]);
    for (seconds, message, combined) in rows {
        let told = similar.combine(record(&message), start + Duration::from_secs(seconds));
        if combined {
            assert_eq!(told.same, record(""), "{message} at {seconds}");
            let expected = format!("(combined from similar events): {message}");
            assert_eq!(told.record.message, expected, "at {seconds}");
        } else {
            assert_eq!(told.same, record(&message), "{message} at {seconds}");
            assert_eq!(told.record, told.same, "{message} at {seconds}");
        }
    }
}

#[test]
fn events_that_differ_in_more_are_not_similar() {
    let mut similar = Similar::default();
    let now = Instant::now();
    for at in 0..100 {
        let other = Record {
            name: at.to_string(),
            ..record(&at.to_string())
        };
        let told = similar.combine(other.clone(), now);
        assert_eq!(told.record, other);
    }
}

#[test]
fn memory_of_similar_events_is_bounded() {
    let mut similar = Similar::default();
    let now = Instant::now();
    for at in 0..2 * REMEMBERED_MAX {
        let other = Record {
            name: at.to_string(),
            ..record("a")
        };
        similar.combine(other, now);
    }
    assert_eq!(similar.groups.len(), REMEMBERED_MAX);
}
