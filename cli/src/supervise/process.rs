//! A process by pid and start time, which together are never reused.
//!
//! Source: proc(5), field 22 of /proc/PID/stat; pidfd_open(2).

use std::{
    fs, io,
    os::fd::{AsFd, OwnedFd},
};

use rustix::process::{Pid, PidfdFlags, Signal};
use serde::{Deserialize, Serialize};

/// Identity of a process on this machine, until it is rebooted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ProcessId {
    pub(crate) pid: i32,
    /// Clock ticks after boot.
    pub(crate) start_time: u64,
}

impl ProcessId {
    /// The identity of the process that has this pid now, if one lives.
    pub(crate) fn of(pid: i32) -> Option<Self> {
        let start_time = start_time_of_living(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)?;
        Some(Self { pid, start_time })
    }

    /// This process.
    pub(crate) fn own() -> Option<Self> {
        Self::of(i32::try_from(std::process::id()).ok()?)
    }

    /// True while the process lives; a zombie does not.
    pub(crate) fn is_alive(self) -> bool {
        Self::of(self.pid) == Some(self)
    }

    /// A handle that cannot come to mean another process; readable once it has ended. None if it has ended.
    pub(crate) fn open(self) -> io::Result<Option<OwnedFd>> {
        let Some(pid) = Pid::from_raw(self.pid) else {
            return Ok(None);
        };
        match rustix::process::pidfd_open(pid, PidfdFlags::NONBLOCK) {
            // The pid may have been reused before it was opened, not after.
            Ok(handle) => Ok(self.is_alive().then_some(handle)),
            Err(rustix::io::Errno::SRCH) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Sends a signal. Ok if the process has already ended.
    pub(crate) fn signal(self, signal: Signal) -> io::Result<()> {
        let Some(handle) = self.open()? else { return Ok(()) };
        match rustix::process::pidfd_send_signal(handle.as_fd(), signal) {
            Ok(()) | Err(rustix::io::Errno::SRCH) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}

/// The start time in a line of /proc/PID/stat, unless the process is dead or a zombie.
fn start_time_of_living(stat: &str) -> Option<u64> {
    // The name is in parentheses and may hold anything, parentheses and spaces too.
    let (_, after_name) = stat.rsplit_once(')')?;
    let mut fields = after_name.split_whitespace();
    let state = fields.next()?;
    if matches!(state, "Z" | "X" | "x") {
        return None;
    }
    // `state` was field 3; the start time is field 22.
    fields.nth(18)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn start_time_is_read_past_any_name() {
        let tail = (4..=21).map(|field| field.to_string()).collect::<Vec<_>>().join(" ");
        for (name, state, expected) in [
            ("skep", "S", Some(4242)),
            ("a) b (c", "R", Some(4242)),
            ("skep", "Z", None),
            ("skep", "X", None),
        ] {
            let line = format!("12 ({name}) {state} {tail} 4242 99");
            assert_eq!(start_time_of_living(&line), expected, "{line}");
        }
    }

    #[test]
    fn this_process_is_alive_and_its_twin_is_not() {
        let pid = i32::try_from(std::process::id()).expect("pids fit");
        let own = ProcessId::of(pid).expect("we live");
        assert!(own.is_alive());
        assert!(
            !ProcessId {
                start_time: own.start_time + 1,
                ..own
            }
            .is_alive()
        );
    }
}
