//! What a supervisor last knew of its processes, in a file beside their data. Written by the supervisor alone.
//!
//! A reader checks every process against /proc: the file outlives its writer.

use std::{
    io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread,
    time::{Duration, Instant},
};

use rustix::process::Signal;
use serde::{Deserialize, Serialize};
use tracing::error;

use super::{ProcessId, Report, Supervised, machine, runner::Publish};
use crate::whole_file::write_json;

/// How long killed processes may take to be gone.
const KILLED_WITHIN: Duration = Duration::from_secs(10);
const LOOK_INTERVAL: Duration = Duration::from_millis(20);

/// A supervisor and its processes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Record {
    pub(crate) supervisor: Option<ProcessId>,
    pub(crate) processes: Vec<ProcessRecord>,
}

/// One process.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ProcessRecord {
    /// "server", or the node's name.
    pub(crate) unit: String,
    pub(crate) phase: Phase,
    pub(crate) process: Option<ProcessId>,
    pub(crate) restarts: u32,
    pub(crate) last_end: Option<String>,
}

/// What is known of a process, in one word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Phase {
    /// Waits for its turn, or for the restart after a failure.
    Waiting,
    Running,
    Stopping,
    /// Stopped by request.
    Stopped,
    /// Not running, and nobody restarts it: the supervisor is gone.
    Dead,
}

impl Phase {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Running => "running",
            Self::Stopping => "stopping",
            Self::Stopped => "stopped",
            Self::Dead => "dead",
        }
    }
}

/// Processes could not be killed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum KillError {
    #[error("kill process {pid}")]
    Signal {
        pid: i32,
        #[source]
        source: io::Error,
    },
    #[error("processes do not end though killed")]
    StillThere,
}

impl Record {
    /// The record before anything was started.
    pub(crate) fn new(units: impl IntoIterator<Item = String>) -> Self {
        let processes = units
            .into_iter()
            .map(|unit| ProcessRecord {
                unit,
                phase: Phase::Waiting,
                process: None,
                restarts: 0,
                last_end: None,
            })
            .collect();
        Self {
            supervisor: None,
            processes,
        }
    }

    /// The record, with what has died since it was written.
    pub(crate) fn checked(mut self) -> Self {
        self.supervisor = self.supervisor.filter(|process| process.is_alive());
        for entry in &mut self.processes {
            entry.process = entry.process.filter(|process| process.is_alive());
            let is_watched = self.supervisor.is_some();
            entry.phase = match (entry.phase, entry.process) {
                (Phase::Stopped, _) => Phase::Stopped,
                (Phase::Stopping, Some(_)) => Phase::Stopping,
                (_, Some(_)) => Phase::Running,
                (_, None) if is_watched => Phase::Waiting,
                (_, None) => Phase::Dead,
            };
        }
        self
    }

    /// Makes this process the supervisor and writes the record, which is kept up to date from then on. On a full disk the
    /// processes run all the same, with a file that is out of date.
    pub(crate) fn begin(mut self, path: PathBuf) -> Kept {
        self.supervisor = ProcessId::own();
        let kept = Kept {
            path,
            state: Arc::new(Mutex::new(State {
                record: self,
                is_written: false,
            })),
        };
        kept.write_again();
        kept
    }

    /// The supervisor and its processes, in this order.
    pub(crate) fn all(&self) -> impl Iterator<Item = ProcessId> {
        let processes = self.processes.iter().filter_map(|entry| entry.process);
        self.supervisor.into_iter().chain(processes)
    }

    /// Kills them all: the supervisor first, or it would restart what we end. Returns when they are gone.
    pub(crate) fn kill(&self) -> Result<(), KillError> {
        for process in self.all() {
            let failed = |source| KillError::Signal {
                pid: process.pid,
                source,
            };
            process.signal(Signal::KILL).map_err(failed)?;
        }
        if self.ends_within(KILLED_WITHIN) {
            Ok(())
        } else {
            Err(KillError::StillThere)
        }
    }

    /// Waits until they have all ended; false if they have not within this time.
    pub(crate) fn ends_within(&self, within: Duration) -> bool {
        let deadline = Instant::now() + within;
        while self.all().any(ProcessId::is_alive) {
            if Instant::now() > deadline {
                return false;
            }
            thread::sleep(LOOK_INTERVAL);
        }
        true
    }

    /// Takes in what became of the process at this place.
    fn record(&mut self, index: usize, report: &Report) {
        let entry = &mut self.processes[index];
        entry.process = report.state.process();
        entry.restarts = report.restarts;
        entry.last_end.clone_from(&report.last_end);
        entry.phase = match report.state {
            machine::State::Stopped => Phase::Stopped,
            machine::State::Starting { .. } | machine::State::Waiting { .. } => Phase::Waiting,
            machine::State::Running { .. } => Phase::Running,
            machine::State::Stopping { .. } => Phase::Stopping,
        };
    }

    /// How a new supervisor takes each process up: those that run are watched, those that were stopped stay so.
    pub(crate) fn resumed(&self) -> Vec<Supervised> {
        let resume = |entry: &ProcessRecord| match (entry.phase, entry.process) {
            (Phase::Stopped | Phase::Stopping, None) => Supervised::Stopped,
            (_, Some(process)) if process.is_alive() => Supervised::Adopted(process),
            (Phase::Stopped | Phase::Stopping, Some(_)) => Supervised::Stopped,
            (Phase::Waiting | Phase::Running | Phase::Dead, _) => Supervised::Started,
        };
        self.processes.iter().map(resume).collect()
    }
}

/// The record of the supervisor that runs, and its file. Clones share one.
#[derive(Clone)]
pub(crate) struct Kept {
    path: PathBuf,
    state: Arc<Mutex<State>>,
}

struct State {
    record: Record,
    /// The file holds this record.
    is_written: bool,
}

impl Kept {
    /// What keeps the record up to date.
    pub(crate) fn publish(&self) -> Publish {
        let kept = self.clone();
        Arc::new(move |index, report| {
            let mut state = kept.lock();
            state.record.record(index, report);
            state.write(&kept.path);
        })
    }

    /// The record as it is now, whatever the file holds.
    pub(crate) fn now(&self) -> Record {
        self.lock().record.clone()
    }

    /// Writes the file if that failed last.
    pub(crate) fn write_again(&self) {
        let mut state = self.lock();
        if !state.is_written {
            state.write(&self.path);
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn write(&mut self, path: &Path) {
        let written = write_json(path, &self.record);
        self.is_written = written.is_ok();
        if let Err(failure) = written {
            error!(error = %crate::daemon::chain(&failure), "record state failed");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_that_could_not_be_written_is_known_and_written_later() {
        let directory = tempfile::tempdir().expect("make a directory");
        let path = directory.path().join("not-yet").join("state.json");
        let kept = Record::new(["server".to_owned()]).begin(path.clone());
        let report = Report {
            state: machine::State::Stopped,
            restarts: 3,
            last_end: None,
        };
        kept.publish()(0, &report);
        let known = kept.now();
        assert_eq!(
            (known.processes[0].phase, known.processes[0].restarts),
            (Phase::Stopped, 3)
        );
        kept.write_again();
        assert!(!path.exists());

        std::fs::create_dir(directory.path().join("not-yet")).expect("make a directory");
        kept.write_again();
        let written: Option<Record> = crate::whole_file::read_json(&path).expect("read");
        assert_eq!(written, Some(known));
    }
}
