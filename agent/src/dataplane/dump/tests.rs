//! Tests of the dumps' small parts; the end-to-end test reads whole dumps.

use super::{processors_in, state};

#[test]
fn processors_are_counted_to_the_highest() {
    for (list, expected) in [
        ("0", Some(1)),
        ("0-3\n", Some(4)),
        ("0-3,8-15", Some(16)),
        ("0,2", Some(3)),
        ("", None),
    ] {
        assert_eq!(processors_in(list), expected, "{list:?}");
    }
}

#[test]
fn states_have_names() {
    for (bits, expected) in [
        (0, "opened"),
        (1, "answered"),
        (3, "closing"),
        (7, "closed"),
        (8, "closed"),
    ] {
        assert_eq!(state(bits), expected, "{bits}");
    }
}
