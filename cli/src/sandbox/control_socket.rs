//! How commands reach a sandbox's supervisor: one JSON line each way over a socket only root may open.

use std::{
    io::{self, BufRead, BufReader, Write},
    os::unix::net::UnixStream,
    path::PathBuf,
    time::Duration,
};

use serde::{Deserialize, Serialize};

use super::registry::Sandbox;

/// Longest that carrying a request out takes: the grace of every process, one after the other, is well below it.
const ANSWER_WITHIN: Duration = Duration::from_secs(120);
/// Longest request or answer: a unit's name and a sentence.
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
}

/// The answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum Answer {
    Done,
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
    let path = sandbox.control_socket();
    let exchange = || -> io::Result<String> {
        let mut stream = UnixStream::connect(&path)?;
        stream.set_read_timeout(Some(ANSWER_WITHIN))?;
        let mut line = serde_json::to_vec(&request)?;
        line.push(b'\n');
        stream.write_all(&line)?;
        let mut answer = String::new();
        BufReader::new(stream).read_line(&mut answer)?;
        Ok(answer)
    };
    let line = exchange().map_err(|source| AskError::Reach {
        path: path.clone(),
        source,
    })?;
    match serde_json::from_str(&line).map_err(AskError::Answer)? {
        Answer::Done => Ok(()),
        Answer::Refused { reason } => Err(AskError::Refused { reason }),
    }
}
