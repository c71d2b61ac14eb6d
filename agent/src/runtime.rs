//! How one container is made, started and entered: the trait, and the runtime that is built in.
//!
//! Called only in the shim: a process of its own with a single thread. (libcontainer clones without exec and then
//! allocates; in a process with threads the child can inherit a locked allocator and hang.)
//! Never here: which containers there should be, images, networks.
//! Source: OCI runtime specification 1.2.

pub(crate) mod bundle;
pub(crate) mod cgroup;
pub(crate) mod embedded;
pub(crate) mod seccomp;
pub(crate) mod spec;
pub(crate) mod user;

use std::{fs::File, os::fd::OwnedFd, path::Path};

use nix::unistd::Pid;

/// The container's standard streams; the runtime closes its copies.
#[derive(Debug)]
pub(crate) struct Stdio {
    pub(crate) stdin: OwnedFd,
    pub(crate) stdout: OwnedFd,
    pub(crate) stderr: OwnedFd,
}

/// What a process gets as its standard streams.
#[derive(Debug)]
pub(crate) enum Streams<'a> {
    /// These.
    Given(Stdio),
    /// A new terminal of the container; its master is sent to the socket of this absolute path.
    Terminal(&'a Path),
}

/// A container or a process in it could not be made.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RuntimeError {
    /// The runtime refused.
    #[error("{step}: {message}")]
    Refused {
        /// What was asked of it.
        step: &'static str,
        /// What it said, sources included.
        message: String,
    },
    /// The program could not be executed.
    #[error("{0}")]
    Exec(String),
    /// A pipe.
    #[error("make a pipe")]
    Pipe(#[source] nix::Error),
    /// What the runtime keeps could not be removed.
    #[error("remove the runtime's files")]
    Forget(#[source] std::io::Error),
}

/// An OCI runtime. One call at a time, from a process with one thread.
pub(crate) trait Runtime {
    /// Makes the container of the bundle in `bundle` and starts its process, which is a child of the caller.
    ///
    /// `state_dir` is where the runtime keeps what it knows; the same for every later call.
    fn run(&self, id: &str, bundle: &Path, state_dir: &Path, streams: Streams<'_>) -> Result<Pid, RuntimeError>;

    /// Starts another process in a running container, as `process` (OCI `process.json`) says; a child of the caller.
    fn exec(&self, id: &str, process: &Path, state_dir: &Path, streams: Streams<'_>) -> Result<Pid, RuntimeError>;

    /// Forgets a container whose processes are gone. Not an error if there is none.
    fn forget(&self, id: &str, state_dir: &Path) -> Result<(), RuntimeError>;
}

/// What the other end of an exec pipe says: nothing if the program was executed.
pub(crate) fn read_exec_failure(pipe: OwnedFd) -> Option<String> {
    use std::io::Read as _;
    let mut text = String::new();
    let _ = File::from(pipe).read_to_string(&mut text);
    (!text.is_empty()).then_some(text)
}
