//! When and how far history is cut. Pure: the writer thread asks, and cuts in steps between its batches.
//!
//! Each interval cuts to where the store was one interval ago, so that a client may continue from any revision that
//! is younger than that.

use std::time::{Duration, Instant};

use super::Revision;

/// Log entries cut in one transaction: some milliseconds, so that writes do not notice.
pub(super) const STEP_ENTRIES_MAX: usize = 1000;

/// What is left to cut, and when to think again.
#[derive(Debug)]
pub(super) struct Schedule {
    interval: Duration,
    kept_revisions: u64,
    due: Instant,
    /// Where the store was when the interval began.
    mark: Revision,
    /// Cut up to here, if further than what is cut.
    goal: Revision,
}

impl Schedule {
    pub(super) fn new(interval: Duration, kept_revisions: u64, revision: Revision, now: Instant) -> Schedule {
        Schedule {
            interval,
            kept_revisions,
            due: now + interval,
            mark: revision,
            goal: 0,
        }
    }

    /// When [`Schedule::tick`] has something to do next.
    pub(super) fn due(&self) -> Instant {
        self.due
    }

    /// Begins a new interval if the last has ended.
    pub(super) fn tick(&mut self, revision: Revision, now: Instant) {
        if now < self.due {
            return;
        }
        self.aim(self.mark, revision);
        self.mark = revision;
        self.due = now + self.interval;
    }

    /// Cuts up to `through`, as far as the kept revisions allow.
    pub(super) fn aim(&mut self, through: Revision, revision: Revision) {
        self.goal = self.goal.max(through.min(revision.saturating_sub(self.kept_revisions)));
    }

    /// The revision to cut to next, if anything is left.
    pub(super) fn goal(&self, compacted: Revision) -> Option<Revision> {
        (self.goal > compacted).then_some(self.goal)
    }

    /// Leaves the rest for the next interval, after a failure.
    pub(super) fn give_up(&mut self) {
        self.goal = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_interval_cuts_to_where_the_store_was_one_interval_ago() {
        let start = Instant::now();
        let interval = Duration::from_secs(300);
        let mut schedule = Schedule::new(interval, 1000, 1, start);
        // (intervals passed, revision then, goal then)
        for (intervals, revision, goal) in [
            (1, 500, None),
            (2, 5_000, Some(500)),
            (3, 6_000, Some(5_000)),
            (4, 6_100, Some(5_100)),
        ] {
            schedule.tick(revision, start + interval * intervals);
            assert_eq!(schedule.goal(1), goal, "after {intervals} intervals at {revision}");
        }
        schedule.tick(90_000, start + interval * 4 + Duration::from_secs(1));
        assert_eq!(schedule.goal(1), Some(5_100), "not before the interval has ended");
    }
}
