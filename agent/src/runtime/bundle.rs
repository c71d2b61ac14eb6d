//! One attempt of a container on disk: the bundle, and what its shim is told and leaves behind.
//!
//! ```text
//! <dir>/config.json    OCI runtime configuration
//! <dir>/shim.json      what the shim needs besides: [`ShimConfig`]
//! <dir>/state.json     where the attempt is, written by the shim: [`State`]
//! <dir>/shim.sock      the shim listens here while it lives
//! <dir>/shim.log       what the shim complained about
//! <dir>/rootfs upper work   the root filesystem (overlayfs)
//! ```

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use api::Timestamp;
use serde::{Deserialize, Serialize};

use crate::durable;

/// What a shim is told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ShimConfig {
    /// Id for the runtime: unique on the machine, short.
    pub(crate) id: String,
    /// Where the runtime keeps its state.
    pub(crate) runtime_dir: PathBuf,
    /// Directory that `lower` is relative to.
    pub(crate) layers_dir: PathBuf,
    /// Lower directories of the root filesystem, top first.
    pub(crate) lower: Vec<String>,
    /// A directory inside the root filesystem that is made if it is missing.
    pub(crate) working_dir: String,
    /// The container's cgroup below every hierarchy, without leading slash.
    pub(crate) cgroup: String,
    /// The log file.
    pub(crate) log: PathBuf,
    /// The log is rotated when it is larger.
    pub(crate) log_bytes_max: u64,
    /// Log files kept, the current one included.
    pub(crate) log_files_max: u32,
    /// What the container's standard input is.
    #[serde(default)]
    pub(crate) stdin: Stdin,
    /// Its standard streams are a terminal.
    #[serde(default)]
    pub(crate) terminal: bool,
}

/// What a container's standard input is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Stdin {
    /// /dev/null
    #[default]
    Null,
    /// Open until the container ends; whoever attaches writes to it.
    Open,
    /// Open until the first who attaches is through.
    Once,
}

/// Where an attempt is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "phase", rename_all = "snake_case")]
pub(crate) enum State {
    /// Its process runs.
    Running {
        /// The first process, in the node's pid namespace.
        pid: i32,
        /// When it was executed.
        started_at: Timestamp,
    },
    /// It never ran.
    Failed {
        /// When it was given up.
        at: Timestamp,
        /// Why.
        message: String,
    },
    /// It ended.
    Exited {
        /// When it was executed.
        started_at: Timestamp,
        /// When it was reaped.
        finished_at: Timestamp,
        /// Exit code; 128 and the signal for a killed process.
        code: i32,
        /// The signal that killed it.
        signal: Option<i32>,
        /// The kernel killed something in it for want of memory.
        oom: bool,
    },
}

/// What a shim can be asked, one JSON document per line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "ask", rename_all = "snake_case")]
pub(crate) enum Ask {
    /// Send this signal to the first process.
    Signal {
        /// Its number.
        number: i32,
    },
    /// Give the standard streams, as far as there are.
    Attach {
        /// Standard input.
        stdin: bool,
        /// Standard output from now on.
        stdout: bool,
        /// Standard error from now on.
        stderr: bool,
    },
}

/// Names of an attempt's files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Bundle {
    dir: PathBuf,
}

impl Bundle {
    pub(crate) fn new(dir: impl Into<PathBuf>) -> Bundle {
        Bundle { dir: dir.into() }
    }

    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    pub(crate) fn config(&self) -> PathBuf {
        self.dir.join("config.json")
    }

    pub(crate) fn rootfs(&self) -> PathBuf {
        self.dir.join("rootfs")
    }

    pub(crate) fn shim_log(&self) -> PathBuf {
        self.dir.join("shim.log")
    }

    pub(crate) fn termination_log(&self) -> PathBuf {
        self.dir.join("termination-log")
    }

    /// The socket's name within the directory: socket paths are too short for the whole.
    pub(crate) const SOCKET: &'static str = "shim.sock";

    pub(crate) fn shim_config(&self) -> io::Result<ShimConfig> {
        read_json(&self.dir.join("shim.json"))
    }

    pub(crate) fn write_shim_config(&self, config: &ShimConfig) -> io::Result<()> {
        let bytes = serde_json::to_vec(config).map_err(io::Error::other)?;
        durable::replace(&self.dir.join("shim.json"), &bytes, durable::Sync::No)
    }

    /// Where the attempt is; nothing if its shim has not got that far.
    pub(crate) fn state(&self) -> io::Result<Option<State>> {
        match read_json(&self.dir.join("state.json")) {
            Ok(state) => Ok(Some(state)),
            Err(err) if err.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(err) => Err(err),
        }
    }

    /// Survives the death of everything but the disk.
    pub(crate) fn write_state(&self, state: &State) -> io::Result<()> {
        let bytes = serde_json::to_vec(state).map_err(io::Error::other)?;
        durable::replace(&self.dir.join("state.json"), &bytes, durable::Sync::Yes)
    }
}

fn read_json<T: serde::de::DeserializeOwned>(path: &Path) -> io::Result<T> {
    serde_json::from_slice(&fs::read(path)?).map_err(io::Error::other)
}
