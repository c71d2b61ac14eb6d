//! Which keys are to be planned, and when: pure, with the time and the world's revision as arguments.
//!
//! Invariants: a key is planned by one plan at a time; never on a world older than the writes of its own last plan
//! (it would create its pods twice); a key that fails comes back with growing delay, one that is wanted by a change
//! not before a short pause; what has nothing to do takes no memory.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BinaryHeap, HashMap, VecDeque},
    time::{Duration, Instant},
};

use api::ObjectKey;

use crate::store::Revision;

/// First delay after a failure; doubled by each further one.
const BACKOFF_FIRST: Duration = Duration::from_millis(100);
/// Longest delay after failures: short enough for an operator who has just made room to see it work.
const BACKOFF_MAX: Duration = Duration::from_secs(60);
/// Longest time that a change of the world has to wait for a key that failed.
const PAUSE_MAX: Duration = Duration::from_secs(1);
/// Stale plans in a row that are planned again at once; further ones count as failures. Others are faster that often
/// only when something is wrong.
const STALE_MAX: u32 = 3;

/// One key of one planner.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Task {
    /// Index of the planner.
    pub(super) planner: usize,
    pub(super) key: ObjectKey,
}

/// How a plan ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// All actions were carried out.
    Done { requeue_after: Option<Duration> },
    /// An object was not as the world had it.
    Stale,
    /// An action was refused or the disk failed.
    Failed,
}

/// Where a task is.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// Nowhere, or behind a timer.
    #[default]
    Idle,
    /// In `ready`.
    Ready,
    /// In `unseen`.
    Unseen,
    /// With whoever took it from [`Queue::next`].
    Running,
}

#[derive(Debug, Default)]
struct State {
    place: Place,
    /// To be planned as soon as its place allows.
    wanted: bool,
    /// Not to be planned on a world before this.
    awaits: Revision,
    due: Option<Instant>,
    /// After a failure: changes do not make it ready before this.
    not_before: Option<Instant>,
    failures: u32,
    stale: u32,
    /// Since when it is in `ready`.
    ready_since: Option<Instant>,
}

#[derive(Debug, Default)]
pub(super) struct Queue {
    tasks: HashMap<Task, State>,
    ready: VecDeque<Task>,
    /// By the revision that the world must reach before they can be planned or forgotten.
    unseen: BTreeMap<Revision, Vec<Task>>,
    /// May hold entries whose task has another time by now.
    timers: BinaryHeap<Reverse<(Instant, Task)>>,
    seen: Revision,
    running: usize,
    /// Planners of tasks that became ready and were not counted yet.
    entered: Vec<usize>,
}

impl Queue {
    /// A change concerns this task.
    pub(super) fn want(&mut self, task: Task, now: Instant) {
        let state = self.tasks.entry(task.clone()).or_default();
        state.wanted = true;
        self.place(task, now);
    }

    /// The next task to plan; it counts as running until [`Queue::end`].
    pub(super) fn next(&mut self) -> Option<Task> {
        let task = self.ready.pop_front()?;
        let state = self.tasks.get_mut(&task).expect("a ready task has a state");
        state.place = Place::Running;
        state.wanted = false;
        state.due = None;
        self.running += 1;
        Some(task)
    }

    /// A running task's plan ended. `awaits` is the newest revision that the plan wrote, or that a stale world lacks.
    pub(super) fn end(&mut self, task: Task, end: End, awaits: Revision, now: Instant) {
        let state = self.tasks.get_mut(&task).expect("a running task has a state");
        assert_eq!(state.place, Place::Running, "{task:?} ended twice");
        state.place = Place::Idle;
        self.running -= 1;
        state.awaits = state.awaits.max(awaits);
        match end {
            End::Done { requeue_after } => {
                state.failures = 0;
                state.stale = 0;
                state.not_before = None;
                state.due = requeue_after.map(|after| now + after);
            }
            End::Stale if state.stale < STALE_MAX => {
                state.stale += 1;
                state.wanted = true;
            }
            End::Stale | End::Failed => {
                let delay = backoff(state.failures);
                state.failures = state.failures.saturating_add(1);
                state.not_before = Some(now + delay.min(PAUSE_MAX));
                state.due = Some(now + delay);
            }
        }
        if let Some(due) = state.due {
            self.timers.push(Reverse((due, task.clone())));
        }
        self.place(task, now);
    }

    /// The world has reached a revision.
    pub(super) fn seen(&mut self, revision: Revision, now: Instant) {
        self.seen = self.seen.max(revision);
        while let Some(entry) = self.unseen.first_entry()
            && *entry.key() <= self.seen
        {
            for task in entry.remove() {
                if let Some(state) = self.tasks.get_mut(&task) {
                    state.place = Place::Idle;
                    self.place(task, now);
                }
            }
        }
    }

    /// Makes ready what is due.
    pub(super) fn expire(&mut self, now: Instant) {
        while let Some(Reverse((at, _))) = self.timers.peek()
            && *at <= now
        {
            let Some(Reverse((at, task))) = self.timers.pop() else {
                return;
            };
            let Some(state) = self.tasks.get_mut(&task) else {
                continue;
            };
            if state.due == Some(at) {
                state.due = None;
                state.not_before = None;
                state.wanted = true;
                self.place(task, now);
            }
        }
    }

    /// When [`Queue::expire`] has something to do next.
    pub(super) fn next_timer(&mut self) -> Option<Instant> {
        while let Some(Reverse((at, task))) = self.timers.peek() {
            if self.tasks.get(task).is_some_and(|state| state.due == Some(*at)) {
                return Some(*at);
            }
            self.timers.pop();
        }
        None
    }

    /// How long a task that was just taken had been ready.
    pub(super) fn waited(&self, task: &Task, now: Instant) -> Duration {
        let since = self.tasks.get(task).and_then(|state| state.ready_since);
        since.map_or(Duration::ZERO, |since| now.saturating_duration_since(since))
    }

    /// The planners of tasks that became ready since the last call.
    pub(super) fn take_entered(&mut self) -> Vec<usize> {
        std::mem::take(&mut self.entered)
    }

    /// Whether [`Queue::next`] has a task.
    pub(super) fn has_ready(&self) -> bool {
        !self.ready.is_empty()
    }

    /// How many tasks were taken and have not ended.
    pub(super) fn running(&self) -> usize {
        self.running
    }

    /// Puts an idle task where it belongs.
    fn place(&mut self, task: Task, now: Instant) {
        let Some(state) = self.tasks.get_mut(&task) else { return };
        if state.place != Place::Idle {
            return;
        }
        if state.awaits > self.seen {
            // Also if it is not wanted: what it waits for must be remembered until it has come.
            state.place = Place::Unseen;
            self.unseen.entry(state.awaits).or_default().push(task);
            return;
        }
        if !state.wanted {
            if state.due.is_none() && state.failures == 0 && state.stale == 0 {
                self.tasks.remove(&task);
            }
            return;
        }
        match state.not_before {
            Some(pause) if pause > now => {
                if state.due.is_none_or(|due| due > pause) {
                    state.due = Some(pause);
                    self.timers.push(Reverse((pause, task)));
                }
            }
            _ => {
                state.place = Place::Ready;
                state.ready_since = Some(now);
                self.entered.push(task.planner);
                self.ready.push_back(task);
            }
        }
    }
}

fn backoff(failures: u32) -> Duration {
    BACKOFF_FIRST.saturating_mul(1 << failures.min(16)).min(BACKOFF_MAX)
}

#[cfg(test)]
mod tests;
