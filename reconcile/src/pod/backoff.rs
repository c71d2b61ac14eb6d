//! How long the next try waits.
//!
//! Source: Kubernetes documentation, "Container restarts": 10 s, doubling up to 300 s, forgotten after 10 minutes of
//! running.

use std::time::Duration;

use api::Timestamp;

/// Delay of the second restart in a row.
pub const DELAY_MIN: Duration = Duration::from_secs(10);
/// No delay is longer.
pub const DELAY_MAX: Duration = Duration::from_secs(300);
/// A container that ran for so long starts again as if it had never failed.
pub const FORGIVEN_AFTER: Duration = Duration::from_secs(600);

/// The delay after `level` failures in a row have already been answered with a new try.
///
/// 0: none, 1: 10 s, 2: 20 s, … up to 300 s.
#[must_use]
pub fn delay(level: u32) -> Duration {
    match level {
        0 => Duration::ZERO,
        _ => DELAY_MAX.min(DELAY_MIN.saturating_mul(1 << (level - 1).min(8))),
    }
}

/// When a container that exited may start again, and the level of that start.
///
/// `level` is that of the attempt that exited.
#[must_use]
pub fn restart(level: u32, started_at: Option<Timestamp>, finished_at: Timestamp) -> (Timestamp, u32) {
    let ran = started_at.map_or(Duration::ZERO, |started| {
        Duration::try_from(finished_at.duration_since(started)).unwrap_or(Duration::ZERO)
    });
    let level = if ran >= FORGIVEN_AFTER { 0 } else { level };
    (super::after(finished_at, delay(level)), level.saturating_add(1))
}
