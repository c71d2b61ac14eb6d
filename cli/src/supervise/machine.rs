//! The life of one supervised process, as a pure state machine: times in milliseconds of any one clock are arguments.
//!
//! ```text
//!            start              spawned
//! Stopped ─────────► Starting ─────────► Running ──exited──► Waiting ──timer/start──► Starting
//!    ▲                  │ spawn failed      │ stop              │ stop
//!    │                  └──────► Waiting    ▼                   ▼
//!    └──────────── exited ─────────────  Stopping            Stopped
//!                                     (timer: kill)
//! ```

use super::ProcessId;

/// First delay before a restart; an agent that was killed is back before anybody notices.
pub(crate) const BACKOFF_FIRST_MS: u64 = 200;
/// Longest delay: a process that cannot start costs next to nothing, and is back soon after its cause is mended.
pub(crate) const BACKOFF_MAX_MS: u64 = 10_000;
/// A process that ran this long is healthy again: the next delay is the first one.
pub(crate) const STABLE_AFTER_MS: u64 = 30_000;

/// Where a process is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    /// Not running, by request.
    Stopped,
    /// Being spawned.
    Starting { failures: u32 },
    /// Running since a time.
    Running {
        process: ProcessId,
        since_ms: u64,
        failures: u32,
    },
    /// Died; is started again at a time.
    Waiting { until_ms: u64, failures: u32 },
    /// Asked to end; is killed at a time.
    Stopping {
        process: ProcessId,
        kill_at_ms: u64,
        next: Next,
    },
}

/// What follows a stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Next {
    /// Stay stopped.
    Stay,
    /// A start was asked for while it was stopping.
    Start,
}

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Event {
    StartAsked,
    StopAsked,
    Spawned(ProcessId),
    SpawnFailed,
    Exited,
    /// The time of [`State::timer_ms`] has come.
    TimerElapsed,
}

/// What is to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Action {
    None,
    Spawn,
    /// SIGTERM.
    Terminate(ProcessId),
    /// SIGKILL.
    Kill(ProcessId),
}

impl State {
    /// When [`Event::TimerElapsed`] is due.
    pub(crate) fn timer_ms(self) -> Option<u64> {
        match self {
            Self::Waiting { until_ms, .. } => Some(until_ms),
            Self::Stopping { kill_at_ms, .. } => Some(kill_at_ms),
            Self::Stopped | Self::Starting { .. } | Self::Running { .. } => None,
        }
    }

    /// The process, if there is one.
    pub(crate) fn process(self) -> Option<ProcessId> {
        match self {
            Self::Running { process, .. } | Self::Stopping { process, .. } => Some(process),
            Self::Stopped | Self::Starting { .. } | Self::Waiting { .. } => None,
        }
    }
}

/// Delay before the restart that follows this many failures in a row.
pub(crate) fn backoff_ms(failures: u32) -> u64 {
    BACKOFF_FIRST_MS
        .saturating_mul(1 << failures.min(16))
        .min(BACKOFF_MAX_MS)
}

/// The next state and what to do. `grace_ms` is how long a process has between SIGTERM and SIGKILL.
pub(crate) fn step(state: State, event: Event, now_ms: u64, grace_ms: u64) -> (State, Action) {
    let wait = |failures: u32| State::Waiting {
        until_ms: now_ms + backoff_ms(failures),
        failures: failures.saturating_add(1),
    };
    match (state, event) {
        (State::Stopped, Event::StartAsked) => (State::Starting { failures: 0 }, Action::Spawn),
        (
            State::Stopped,
            Event::StopAsked | Event::Spawned(_) | Event::SpawnFailed | Event::Exited | Event::TimerElapsed,
        ) => (state, Action::None),

        (State::Starting { failures }, Event::Spawned(process)) => (
            State::Running {
                process,
                since_ms: now_ms,
                failures,
            },
            Action::None,
        ),
        (State::Starting { failures }, Event::SpawnFailed) => (wait(failures), Action::None),
        (State::Starting { .. }, Event::StopAsked) => (State::Stopped, Action::None),
        (State::Starting { .. }, Event::StartAsked | Event::Exited | Event::TimerElapsed) => (state, Action::None),

        (State::Running { process, .. }, Event::StopAsked) => {
            let kill_at_ms = now_ms + grace_ms;
            (
                State::Stopping {
                    process,
                    kill_at_ms,
                    next: Next::Stay,
                },
                Action::Terminate(process),
            )
        }
        (State::Running { since_ms, failures, .. }, Event::Exited) => {
            let was_stable = now_ms.saturating_sub(since_ms) >= STABLE_AFTER_MS;
            (wait(if was_stable { 0 } else { failures }), Action::None)
        }
        (State::Running { .. }, Event::StartAsked | Event::Spawned(_) | Event::SpawnFailed | Event::TimerElapsed) => {
            (state, Action::None)
        }

        (State::Waiting { failures, .. }, Event::StartAsked | Event::TimerElapsed) => {
            (State::Starting { failures }, Action::Spawn)
        }
        (State::Waiting { .. }, Event::StopAsked) => (State::Stopped, Action::None),
        (State::Waiting { .. }, Event::Spawned(_) | Event::SpawnFailed | Event::Exited) => (state, Action::None),

        (
            State::Stopping {
                process, kill_at_ms, ..
            },
            Event::StartAsked,
        ) => (
            State::Stopping {
                process,
                kill_at_ms,
                next: Next::Start,
            },
            Action::None,
        ),
        (
            State::Stopping {
                process, kill_at_ms, ..
            },
            Event::StopAsked,
        ) => (
            State::Stopping {
                process,
                kill_at_ms,
                next: Next::Stay,
            },
            Action::None,
        ),
        (State::Stopping { next: Next::Stay, .. }, Event::Exited) => (State::Stopped, Action::None),
        (State::Stopping { next: Next::Start, .. }, Event::Exited) => (State::Starting { failures: 0 }, Action::Spawn),
        (State::Stopping { process, next, .. }, Event::TimerElapsed) => {
            // Killed again after another grace, should the kernel be slow to let it go.
            (
                State::Stopping {
                    process,
                    kill_at_ms: now_ms + grace_ms,
                    next,
                },
                Action::Kill(process),
            )
        }
        (State::Stopping { .. }, Event::Spawned(_) | Event::SpawnFailed) => (state, Action::None),
    }
}

#[cfg(test)]
mod tests;
