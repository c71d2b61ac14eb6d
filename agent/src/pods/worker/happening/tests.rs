//! Tests of what happenings change.

use super::*;

#[test]
fn refusals_in_a_row_are_counted_per_reason() {
    use RefusalReason::{CreateContainerConfigError, ErrImagePull};
    let at = Timestamp::from_second(100).unwrap();
    let table = [
        (ErrImagePull, 1),
        (ErrImagePull, 2),
        (ErrImagePull, 3),
        (CreateContainerConfigError, 1),
        (ErrImagePull, 1),
    ];
    let mut former: Option<Refusal> = None;
    for (row, (reason, level)) in table.into_iter().enumerate() {
        let message = format!("{row}");
        let mut next = refusal(former.as_ref(), Refused { reason, message }, at);
        assert_eq!((next.level, next.retry_now), (level, false), "row {row}");
        assert_eq!(next.message, row.to_string());
        // An image that came asks for a try at once: that has been had with the next refusal.
        next.retry_now = true;
        former = Some(next);
    }
    let most = Refusal {
        level: u32::MAX,
        ..former.unwrap()
    };
    let refused = Refused {
        reason: most.reason,
        message: String::new(),
    };
    assert_eq!(refusal(Some(&most), refused, at).level, u32::MAX);
}

#[test]
fn verdicts_of_probes_change_what_they_are_about() {
    let failed = |what: &str| Health {
        failed: Some(what.to_owned()),
        failed_grace_s: Some(5),
        ..Health::default()
    };
    let started = Health {
        started: true,
        ..Health::default()
    };
    let ready = Health {
        ready: true,
        ..Health::default()
    };
    let table = [
        (ProbeKind::Readiness, true, ready.clone()),
        (ProbeKind::Readiness, false, Health::default()),
        (ProbeKind::Startup, true, started),
        (ProbeKind::Startup, false, failed("failed startup probe")),
        (ProbeKind::Liveness, true, Health::default()),
        (ProbeKind::Liveness, false, failed("failed liveness probe")),
    ];
    for (kind, verdict, expected) in table {
        let mut health = Health::default();
        judge(&mut health, kind, verdict, Some(5));
        assert_eq!(health, expected, "{kind:?} {verdict}");
    }
    // One that was ready and fails is not ready, and nothing else.
    let mut health = ready;
    judge(&mut health, ProbeKind::Readiness, false, None);
    assert_eq!(health, Health::default());
}
