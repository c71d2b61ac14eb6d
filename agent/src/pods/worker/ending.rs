//! How attempts end, in the API's words: from what a shim wrote down, or from what a killed one left out.
//!
//! Pure. Never here: reading and removing what is left.

use api::Timestamp;
use reconcile::pod::{Exit, ExitReason};

use crate::runtime::bundle::State;

/// Most of a log's end that stands in for a missing message: kubelet's limits.
const FALLBACK_LINES_MAX: usize = 80;
const FALLBACK_BYTES_MAX: usize = 2048;
/// What a killed container exits with, as shells count.
const EXIT_KILLED: i32 = 137;
/// What a container that never ran "exits" with.
const EXIT_NOT_STARTED: i32 = 128;

/// The end that a shim wrote down; none if it wrote down none.
pub(super) fn recorded(state: &State) -> Option<Exit> {
    match state {
        State::Exited {
            started_at,
            finished_at,
            code,
            signal,
            oom,
        } => Some(Exit {
            started_at: Some(*started_at),
            finished_at: *finished_at,
            code: *code,
            signal: *signal,
            reason: match (oom, code) {
                (true, _) => ExitReason::OomKilled,
                (false, 0) => ExitReason::Completed,
                (false, _) => ExitReason::Error,
            },
            message: String::new(),
        }),
        State::Failed { at, message } => Some(not_started(*at, message.clone())),
        State::Running { .. } => None,
    }
}

/// The end of an attempt that never ran.
fn not_started(at: Timestamp, message: String) -> Exit {
    Exit {
        started_at: None,
        finished_at: at,
        code: EXIT_NOT_STARTED,
        signal: None,
        reason: ExitReason::StartError,
        message,
    }
}

/// The end of an attempt whose shim was killed, and how it is written down. An end that is written down stands.
/// `complaints` is what the shim said before.
pub(super) fn lost(state: Option<State>, complaints: String, now: Timestamp) -> (State, Exit) {
    let exit = state.as_ref().and_then(recorded);
    match (state, exit) {
        (Some(state), Some(exit)) => (state, exit),
        (Some(State::Running { started_at, .. }), None) => {
            let left = State::Exited {
                started_at,
                finished_at: now,
                code: EXIT_KILLED,
                signal: None,
                oom: false,
            };
            let exit = Exit {
                started_at: Some(started_at),
                finished_at: now,
                code: EXIT_KILLED,
                signal: None,
                reason: ExitReason::Unknown,
                message: "The container could not be located when the pod was terminated".to_owned(),
            };
            (left, exit)
        }
        (Some(State::Exited { .. } | State::Failed { .. }) | None, _) => {
            let message = if complaints.is_empty() {
                "the container's shim was killed before it had started it".to_owned()
            } else {
                complaints
            };
            let left = State::Failed {
                at: now,
                message: message.clone(),
            };
            (left, not_started(now, message))
        }
    }
}

/// What stands in for a termination message: the end of a log, of whose lines only what the container wrote counts.
pub(super) fn last_words(log: &str) -> String {
    let lines: Vec<&str> = log.lines().filter_map(|line| line.splitn(4, ' ').nth(3)).collect();
    let tail = lines[lines.len().saturating_sub(FALLBACK_LINES_MAX)..].join("\n");
    let start = tail.len().saturating_sub(FALLBACK_BYTES_MAX);
    let start = (start..tail.len())
        .find(|at| tail.is_char_boundary(*at))
        .unwrap_or(tail.len());
    tail[start..].to_owned()
}

#[cfg(test)]
mod tests;
