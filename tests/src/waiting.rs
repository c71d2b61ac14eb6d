//! Waiting for what is bound to happen.

use std::{
    thread,
    time::{Duration, Instant},
};

/// How often a condition is looked at.
const LOOK_INTERVAL: Duration = Duration::from_millis(100);

/// Looks until there is something, and returns it.
///
/// # Panics
/// When there is nothing within the time; the message says what was waited for.
#[track_caller]
pub fn wait_for<T>(what: &str, within: Duration, mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + within;
    loop {
        if let Some(seen) = look() {
            return seen;
        }
        assert!(Instant::now() < deadline, "waited {within:?} in vain for {what}");
        thread::sleep(LOOK_INTERVAL);
    }
}
