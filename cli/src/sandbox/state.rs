//! What the supervisor last knew of its processes, in DIR/state.json. Written by the supervisor alone.
//!
//! A reader checks every process against /proc: the file outlives its writer.

use std::{fs, io, path::PathBuf};

use serde::{Deserialize, Serialize};

use super::registry::{Sandbox, write_atomically};
use crate::supervise::{Report, Supervised, machine};

use crate::supervise::ProcessId;

/// The state of a sandbox's processes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct SandboxState {
    pub(crate) supervisor: Option<ProcessId>,
    pub(crate) processes: Vec<ProcessState>,
}

/// One process.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ProcessState {
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

/// The state file could not be read or written.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StateError {
    #[error("{} is damaged", path.display())]
    Broken {
        path: PathBuf,
        #[source]
        source: serde_json::Error,
    },
    #[error("access {}", path.display())]
    Io {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
}

impl SandboxState {
    /// The state before anything was started.
    pub(crate) fn new(sandbox: &Sandbox) -> Self {
        let units = std::iter::once("server".to_owned()).chain(sandbox.node_numbers().map(|n| sandbox.name.node(n)));
        let processes = units
            .map(|unit| ProcessState {
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

    /// What was last written; the initial state if nothing was.
    pub(crate) fn read(sandbox: &Sandbox) -> Result<Self, StateError> {
        let path = path(sandbox);
        match fs::read(&path) {
            Ok(content) => serde_json::from_slice(&content).map_err(|source| StateError::Broken { path, source }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Self::new(sandbox)),
            Err(source) => Err(StateError::Io { path, source }),
        }
    }

    /// As [`Self::read`], with what has died since.
    pub(crate) fn read_checked(sandbox: &Sandbox) -> Result<Self, StateError> {
        let mut state = Self::read(sandbox)?;
        state.supervisor = state.supervisor.filter(|process| process.is_alive());
        for entry in &mut state.processes {
            entry.process = entry.process.filter(|process| process.is_alive());
            let is_watched = state.supervisor.is_some();
            entry.phase = match (entry.phase, entry.process) {
                (Phase::Stopped, _) => Phase::Stopped,
                (Phase::Stopping, Some(_)) => Phase::Stopping,
                (_, Some(_)) => Phase::Running,
                (_, None) if is_watched => Phase::Waiting,
                (_, None) => Phase::Dead,
            };
        }
        Ok(state)
    }

    pub(crate) fn write(&self, sandbox: &Sandbox) -> Result<(), StateError> {
        let path = path(sandbox);
        let content = serde_json::to_vec_pretty(self).map_err(|source| StateError::Broken {
            path: path.clone(),
            source,
        })?;
        write_atomically(&path, &content, 0o644).map_err(|source| StateError::Io { path, source })
    }

    /// Takes in what became of the process at this place.
    pub(crate) fn record(&mut self, index: usize, report: &Report) {
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
        let resume = |entry: &ProcessState| match (entry.phase, entry.process) {
            (Phase::Stopped | Phase::Stopping, None) => Supervised::Stopped,
            (_, Some(process)) if process.is_alive() => Supervised::Adopted(process),
            (Phase::Stopped | Phase::Stopping, Some(_)) => Supervised::Stopped,
            (Phase::Waiting | Phase::Running | Phase::Dead, _) => Supervised::Started,
        };
        self.processes.iter().map(resume).collect()
    }
}

fn path(sandbox: &Sandbox) -> PathBuf {
    sandbox.data_dir.join("state.json")
}
