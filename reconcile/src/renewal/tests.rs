use super::*;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

#[test]
fn a_certificate_is_renewed_at_two_thirds_of_its_life() {
    let rows = [
        (0, 3, 2),
        (0, 90, 60),
        (100, 103, 102),
        (100, 105, 103),
        // Never good: at once.
        (100, 100, 100),
        (100, 50, 100),
    ];
    for (begin, end, expected) in rows {
        assert_eq!(renew_at(at(begin), at(end)), at(expected), "{begin}..{end}");
    }
    let year = 365 * 24 * 3600;
    assert_eq!(renew_at(at(0), at(year)), at(year / 3 * 2));
}

#[test]
fn what_failed_is_tried_ten_times_in_the_life_that_is_left() {
    let rows = [(0, 100, 10), (0, 5, 1), (10, 5, 1), (0, 1_000_000, 3600)];
    for (now, end, expected) in rows {
        assert_eq!(retry_in(at(now), at(end)).as_secs(), expected, "{now}..{end}");
    }
}
