//! The two command lines, `skep` and kubectl, given the same words.

use std::{
    io::Write,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

use crate::programs;

/// A command line client of the API.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Client {
    /// Ours.
    Skep,
    /// Kubernetes'.
    Kubectl,
}

/// Both, in the order in which tests use them.
pub const BOTH: [Client; 2] = [Client::Kubectl, Client::Skep];

impl Client {
    /// As people write it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Skep => "skep",
            Self::Kubectl => "kubectl",
        }
    }

    /// The client with these words, for the cluster of a kubeconfig.
    ///
    /// # Panics
    /// When there is no kubectl.
    #[must_use]
    pub fn command<S: AsRef<str>>(self, kubeconfig: &Path, words: &[S]) -> Command {
        let program: PathBuf = match self {
            Self::Skep => programs::skep(),
            Self::Kubectl => programs::kubectl(),
        };
        let mut command = Command::new(program);
        command
            .env("KUBECONFIG", kubeconfig)
            .args(words.iter().map(AsRef::as_ref));
        command
    }

    /// Runs the client with a text at its standard input.
    ///
    /// # Panics
    /// When it cannot be started.
    #[must_use]
    pub fn run<S: AsRef<str>>(self, kubeconfig: &Path, words: &[S], input: &str) -> Said {
        run_with_input(self.command(kubeconfig, words), input)
    }
}

/// Runs a command with a text at its standard input.
///
/// # Panics
/// When it cannot be started.
#[must_use]
pub fn run_with_input(mut command: Command, input: &str) -> Said {
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command
        .spawn()
        .unwrap_or_else(|error| panic!("start {command:?}: {error}"));
    // A command that does not read its input may have ended by now.
    let _ = child.stdin.take().expect("a pipe").write_all(input.as_bytes());
    let output = child.wait_with_output().expect("wait for the command");
    output.into()
}

/// How a command ended, and what it said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Said {
    /// Exit status 0.
    pub success: bool,
    /// Standard output.
    pub out: String,
    /// Standard error.
    pub err: String,
}

impl From<Output> for Said {
    fn from(output: Output) -> Self {
        Self {
            success: output.status.success(),
            out: String::from_utf8_lossy(&output.stdout).into_owned(),
            err: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}

impl Said {
    /// What it printed.
    ///
    /// # Panics
    /// When it failed, with what it said.
    #[track_caller]
    #[must_use]
    pub fn succeeded(self, what: &str) -> String {
        assert!(self.success, "{what} failed:\n{}{}", self.out, self.err);
        self.out
    }
}
