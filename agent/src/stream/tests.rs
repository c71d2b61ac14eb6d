use super::*;

#[test]
fn waits_double_up_to_a_limit_and_are_spread() {
    for (attempt, full) in [
        (0, 100),
        (1, 200),
        (3, 800),
        (5, 3_200),
        (6, 5_000),
        (40, 5_000),
        (u32::MAX, 5_000),
    ] {
        assert_eq!(retry_wait_ms(attempt, 0), full / 2, "{attempt}");
        assert_eq!(retry_wait_ms(attempt, u32::MAX), full, "{attempt}");
        let middle = retry_wait_ms(attempt, u32::MAX / 2);
        assert!(middle > full / 2 && middle < full, "{attempt}");
    }
}
