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

#[test]
fn heartbeats_follow_the_control_plane_within_bounds() {
    for (said_ms, every_ms) in [
        (0, 10_000),
        (1, 200),
        (1_000, 1_000),
        (10_000, 10_000),
        (u32::MAX, 10_000),
    ] {
        let welcome = Welcome {
            heartbeat_interval_ms: said_ms,
            ..Welcome::default()
        };
        assert_eq!(
            heartbeat_interval(&welcome),
            Duration::from_millis(every_ms),
            "{said_ms}"
        );
    }
}
