//! The process beside each container: `skep shim …`, hidden, single-threaded, without a runtime of tasks.
//!
//! `skep shim run DIR` makes and starts the container of the bundle in DIR, writes its log, reaps it, writes down how
//! it ended, and ends itself. It needs nobody: the agent may die and come back, and finds the shim's socket in DIR.
//! `skep shim exec DIR PROCESS.json TIMEOUT-MS` runs one more process in it and exits as that did.
//! `skep shim enter DIR PROCESS.json STREAMS` does, too, and gives the process' streams to the agent.
//! Never here: decisions; threads (see [`crate::runtime`]); anything that grows with the container's age.

mod attached;
mod enter;
mod exec;
pub(crate) mod handover;
mod log_file;
mod run;
mod terminal;

use std::{ffi::OsString, path::PathBuf};

use crate::causes::chain;

pub(crate) use enter::WantedStreams;

/// Exit status of a shim that could not do what it was told.
const FAILED: i32 = 125;
/// Exit status of `shim exec` when the time was up.
pub(crate) const TIMED_OUT: i32 = 124;

/// Runs the shim with the words after `skep shim`; answers the exit status.
///
/// To be called before anything starts a thread.
#[must_use]
pub fn main(args: impl IntoIterator<Item = OsString>) -> i32 {
    let args: Vec<OsString> = args.into_iter().collect();
    let words: Vec<&str> = args.iter().filter_map(|word| word.to_str()).collect();
    let result = match words.as_slice() {
        ["run", dir] => run::run(&PathBuf::from(dir)).map(|()| 0).map_err(|err| chain(&err)),
        ["exec", dir, process, timeout_ms] => match timeout_ms.parse() {
            Ok(timeout_ms) => {
                exec::exec(&PathBuf::from(dir), &PathBuf::from(process), timeout_ms).map_err(|err| chain(&err))
            }
            Err(_) => Err(format!("{timeout_ms:?} is not a number of milliseconds")),
        },
        ["enter", dir, process, streams] => {
            let wanted = WantedStreams::parse(streams);
            enter::enter(&PathBuf::from(dir), &PathBuf::from(process), wanted).map_err(|err| chain(&err))
        }
        _ => Err(
            "usage: skep shim run DIR | exec DIR PROCESS.json TIMEOUT-MS | enter DIR PROCESS.json STREAMS \
             (the agent calls this)"
                .to_owned(),
        ),
    };
    match result {
        Ok(status) => status,
        Err(message) => {
            use std::io::Write as _;
            // Goes to the shim's log, or to whoever waits for `exec`.
            let _ = writeln!(std::io::stderr(), "{message}");
            FAILED
        }
    }
}
