//! The rules one by one.

use api::{Timestamp, k8s_openapi::api::core::v1::PodSpec};
use serde_json::json;

use crate::pod::{
    Qos, backoff,
    probe::{Schedule, Streak},
    qos,
};

#[test]
fn delays_double_up_to_five_minutes() {
    for (level, seconds) in [
        (0, 0),
        (1, 10),
        (2, 20),
        (3, 40),
        (4, 80),
        (5, 160),
        (6, 300),
        (7, 300),
        (u32::MAX, 300),
    ] {
        assert_eq!(backoff::delay(level).as_secs(), seconds, "level {level}");
    }
}

#[test]
fn a_restart_is_forgiven_by_ten_minutes_of_running() {
    let at = |second| Timestamp::from_second(second).unwrap();
    // level, began, ended, may start, next level
    for (level, began, ended, may_start, next) in [
        (0, Some(0), 5, 5, 1),
        (1, Some(0), 5, 15, 2),
        (6, Some(0), 599, 899, 7),
        (6, Some(0), 600, 600, 1),
        (3, None, 5, 45, 4),
        // The clock went back while it ran.
        (1, Some(100), 50, 60, 2),
    ] {
        let answer = backoff::restart(level, began.map(at), at(ended));
        assert_eq!(answer, (at(may_start), next), "level {level}, {began:?} to {ended}");
    }
}

#[test]
fn the_class_follows_from_requests_and_limits() {
    let both = json!({"limits": {"cpu": "1", "memory": "1Gi"}, "requests": {"cpu": "1000m", "memory": "1024Mi"}});
    let none = json!({});
    for (a, b, class) in [
        (none.clone(), none.clone(), Qos::BestEffort),
        (json!({"requests": {"cpu": "0"}}), none.clone(), Qos::BestEffort),
        (both.clone(), both.clone(), Qos::Guaranteed),
        (
            json!({"limits": {"cpu": "1", "memory": "1Gi"}}),
            both.clone(),
            Qos::Guaranteed,
        ),
        (both.clone(), none.clone(), Qos::Burstable),
        (json!({"requests": {"cpu": "1"}}), none.clone(), Qos::Burstable),
        (json!({"limits": {"cpu": "1"}}), both, Qos::Burstable),
    ] {
        let row = format!("{a} {b}");
        let spec: PodSpec = serde_json::from_value(json!({
            "containers": [{"name": "a", "resources": a}, {"name": "b", "resources": b}],
        }))
        .unwrap();
        assert_eq!(qos(&spec), class, "{row}");
    }
}

#[test]
fn a_verdict_needs_consecutive_results() {
    let probe = serde_json::from_value(json!({"failureThreshold": 3, "successThreshold": 2})).unwrap();
    let schedule = Schedule::of(&probe);
    let mut streak = Streak::default();
    for (number, (success, verdict)) in [
        (true, None),
        (true, Some(true)),
        (true, Some(true)),
        (false, None),
        (false, None),
        (true, None),
        (false, None),
        (false, None),
        (false, Some(false)),
        (false, Some(false)),
    ]
    .into_iter()
    .enumerate()
    {
        assert_eq!(streak.record(success, &schedule), verdict, "result {number}");
    }
}
