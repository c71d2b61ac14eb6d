//! When certificates are renewed: at two thirds of their life, so that a third is left for what may go wrong.
//!
//! Never here: how a certificate is had.

use std::time::Duration;

use api::Timestamp;

/// Attempts that failed are repeated after a pause between these.
const RETRY_MIN: Duration = Duration::from_secs(1);
const RETRY_MAX: Duration = Duration::from_secs(3600);
/// That many attempts fit into the life that is left.
const ATTEMPTS_LEFT: u32 = 10;

/// When a certificate that is good from `begin` to `end` is to be renewed.
#[must_use]
pub fn renew_at(begin: Timestamp, end: Timestamp) -> Timestamp {
    let (begin, end) = (begin.as_second(), end.as_second());
    let life = end.saturating_sub(begin).max(0);
    Timestamp::from_second(begin + life / 3 * 2 + life % 3 * 2 / 3).expect("between two times there is only time")
}

/// How long to wait after an attempt at `now` has failed to renew a certificate that is good until `end`.
#[must_use]
pub fn retry_in(now: Timestamp, end: Timestamp) -> Duration {
    let left = Duration::try_from(end.duration_since(now)).unwrap_or_default();
    (left / ATTEMPTS_LEFT).clamp(RETRY_MIN, RETRY_MAX)
}

#[cfg(test)]
mod tests;
