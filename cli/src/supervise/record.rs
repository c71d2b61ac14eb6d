//! What a supervisor last knew of its processes, in a file beside their data. Written by the supervisor alone.
//!
//! A reader checks every process against /proc: the file outlives its writer.

use std::{
    io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
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

    /// Makes this process the supervisor, writes the record, and returns what keeps it up to date from then on. On a full
    /// disk the processes run all the same, with a record that is out of date.
    pub(crate) fn begin(mut self, path: PathBuf) -> Publish {
        self.supervisor = ProcessId::own();
        self.keep(&path);
        let record = Mutex::new(self);
        Arc::new(move |index, report| {
            let mut record = record.lock().unwrap_or_else(PoisonError::into_inner);
            record.record(index, report);
            record.keep(&path);
        })
    }

    fn keep(&self, path: &Path) {
        if let Err(failure) = write_json(path, self) {
            error!(error = %crate::daemon::chain(&failure), "record state failed");
        }
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
