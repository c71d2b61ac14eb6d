//! How commands reach a sandbox's supervisor: one JSON line each way over a socket only root may open.

use std::{
    io::{self, BufRead, BufReader, Write},
    os::unix::net::UnixStream,
    path::PathBuf,
    time::Duration,
};

use serde::{Deserialize, Serialize};

use super::registry::Sandbox;
use crate::{supervise::record::Record, whole_file::FileError};

/// Longest that carrying a request out takes: the grace of every process, one after the other, is well below it.
const ANSWER_WITHIN: Duration = Duration::from_secs(120);
/// Longest that the supervisor takes to say what it knows, which waits for nothing.
const STATUS_WITHIN: Duration = Duration::from_secs(5);
/// Longest request: a unit's number.
pub(super) const LINE_BYTES_MAX: u64 = 4096;

/// What the supervisor is asked for. Units are counted as in the state file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum Request {
    /// Answer, nothing else.
    Ping,
    /// Start a unit.
    Start { unit: usize },
    /// Stop a unit until it is started.
    Stop { unit: usize },
    /// Say what is known of the processes.
    Status,
}

/// The answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum Answer {
    Done,
    Status { record: Record },
    Refused { reason: String },
}

/// The supervisor could not be asked.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AskError {
    #[error("reach the supervisor at {}", path.display())]
    Reach {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("the supervisor refused: {reason}")]
    Refused { reason: String },
    #[error("the supervisor's answer cannot be read")]
    Answer(#[source] serde_json::Error),
}

/// Asks, and waits until it is done.
pub(crate) fn ask(sandbox: &Sandbox, request: Request) -> Result<(), AskError> {
    match exchange(sandbox, request, ANSWER_WITHIN)? {
        Answer::Done | Answer::Status { .. } => Ok(()),
        Answer::Refused { reason } => Err(AskError::Refused { reason }),
    }
}

/// What the supervisor knows of its processes; if none answers, what was last recorded of them.
pub(crate) fn status(sandbox: &Sandbox) -> Result<Record, FileError> {
    match exchange(sandbox, Request::Status, STATUS_WITHIN) {
        Ok(Answer::Status { record }) => Ok(record),
        // Nobody there, no right to ask, or an older one that does not know this request.
        Ok(Answer::Done | Answer::Refused { .. }) | Err(_) => sandbox.processes(),
    }
}

fn exchange(sandbox: &Sandbox, request: Request, within: Duration) -> Result<Answer, AskError> {
    let path = sandbox.control_socket();
    let exchanged = || -> io::Result<String> {
        let mut stream = UnixStream::connect(&path)?;
        stream.set_read_timeout(Some(within))?;
        let mut line = serde_json::to_vec(&request)?;
        line.push(b'\n');
        stream.write_all(&line)?;
        let mut answer = String::new();
        BufReader::new(stream).read_line(&mut answer)?;
        Ok(answer)
    };
    let line = exchanged().map_err(|source| AskError::Reach {
        path: path.clone(),
        source,
    })?;
    serde_json::from_str(&line).map_err(AskError::Answer)
}
