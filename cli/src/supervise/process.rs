//! A process by pid and start time, which together are never reused.
//!
//! Source: proc(5), field 22 of /proc/PID/stat; pidfd_open(2).

use std::{
    fs, io,
    os::fd::{AsFd, OwnedFd},
};

use rustix::{
    event::{PollFd, PollFlags, Timespec},
    process::{Pid, PidfdFlags, Signal},
};
use serde::{Deserialize, Serialize};

/// Identity of a process on this machine, until it is rebooted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ProcessId {
    pub(crate) pid: i32,
    /// Clock ticks after boot.
    pub(crate) start_time: u64,
}

impl ProcessId {
    /// The identity of the process that has this pid now, if one lives.
    pub(crate) fn of(pid: i32) -> Option<Self> {
        Self::open_pid(pid).ok()?.map(|(process, _)| process)
    }

    /// This process.
    pub(crate) fn own() -> Option<Self> {
        Self::of(i32::try_from(std::process::id()).ok()?)
    }

    /// True while the process lives, which is as long as one of its threads may hold a file or a lock; a zombie does
    /// not. The state in /proc and the lists of control groups say less: they tell of its first thread.
    pub(crate) fn is_alive(self) -> bool {
        Self::of(self.pid) == Some(self)
    }

    /// A handle that cannot come to mean another process; readable once it has ended. None if it has ended.
    pub(crate) fn open(self) -> io::Result<Option<OwnedFd>> {
        let opened = Self::open_pid(self.pid)?;
        Ok(opened.and_then(|(process, handle)| (process == self).then_some(handle)))
    }

    fn open_pid(pid: i32) -> io::Result<Option<(Self, OwnedFd)>> {
        let Some(number) = Pid::from_raw(pid) else {
            return Ok(None);
        };
        let handle = match rustix::process::pidfd_open(number, PidfdFlags::NONBLOCK) {
            Ok(handle) => handle,
            Err(rustix::io::Errno::SRCH) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let start_time = fs::read_to_string(format!("/proc/{pid}/stat"))
            .ok()
            .and_then(|stat| start_time(&stat));
        // Looked at last: while the process has not ended, its pid is not another's, and what was read is of it.
        let has_ended =
            rustix::event::poll(&mut [PollFd::new(&handle, PollFlags::IN)], Some(&Timespec::default()))? > 0;
        Ok(start_time
            .filter(|_| !has_ended)
            .map(|start_time| (Self { pid, start_time }, handle)))
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

/// The start time in a line of /proc/PID/stat.
fn start_time(stat: &str) -> Option<u64> {
    // The name is in parentheses and may hold anything, parentheses and spaces too.
    let (_, after_name) = stat.rsplit_once(')')?;
    // The state, which comes next, is field 3; the start time is field 22.
    after_name.split_whitespace().nth(19)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn start_time_is_read_past_any_name() {
        let tail = (4..=21).map(|field| field.to_string()).collect::<Vec<_>>().join(" ");
        for name in ["skep", "a) b (c", "a b", ""] {
            let line = format!("12 ({name}) S {tail} 4242 99");
            assert_eq!(start_time(&line), Some(4242), "{line}");
        }
        assert_eq!(start_time("12 (skep) S 4 5"), None);
    }

    #[test]
    fn a_process_that_was_not_waited_for_is_alive_until_it_ends() {
        let mut child = std::process::Command::new("cat")
            .stdin(std::process::Stdio::piped())
            .spawn()
            .expect("start cat");
        let process = ProcessId::of(i32::try_from(child.id()).expect("pids fit")).expect("it waits for input");
        assert!(process.is_alive());
        let handle = process.open().expect("open").expect("it lives");
        process.signal(Signal::KILL).expect("kill");
        rustix::event::poll(&mut [PollFd::new(&handle, PollFlags::IN)], None).expect("poll");
        assert!(!process.is_alive(), "a zombie holds nothing");
        child.wait().expect("reap");
        assert!(process.open().expect("open").is_none());
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
