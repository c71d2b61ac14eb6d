//! One more process in a running container: probes and hooks.
//!
//! Its output is this process' output; its exit status becomes this one's. It is killed when the time is up.

use std::{
    io,
    os::fd::AsFd,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use nix::{
    poll::{PollFd, PollFlags, PollTimeout},
    sys::{
        signal::{SigSet, Signal, kill},
        signalfd::{SfdFlags, SignalFd},
        wait::{WaitPidFlag, WaitStatus, waitpid},
    },
};

use super::{TIMED_OUT, run::enter_v2};
use crate::runtime::{
    Runtime, RuntimeError, Stdio, Streams,
    bundle::{Bundle, ShimConfig},
    cgroup::{CgroupError, Hierarchies},
    embedded::Embedded,
};

/// A process could not be run in the container.
#[derive(Debug, thiserror::Error)]
pub(super) enum ExecError {
    #[error("read the bundle {path:?}")]
    Bundle {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error(transparent)]
    Cgroup(#[from] CgroupError),
    #[error("{step}")]
    System {
        step: &'static str,
        #[source]
        source: io::Error,
    },
    #[error(transparent)]
    Runtime(#[from] RuntimeError),
}

impl ExecError {
    pub(super) fn system(step: &'static str) -> impl FnOnce(io::Error) -> ExecError {
        move |source| ExecError::System { step, source }
    }
}

/// Moves this process to where its container is. No way back: it ends with the process it starts there.
pub(super) fn join(dir: &Path) -> Result<ShimConfig, ExecError> {
    let config = Bundle::new(dir).shim_config().map_err(|source| ExecError::Bundle {
        path: dir.to_owned(),
        source,
    })?;
    let hierarchies = Hierarchies::discover()?;
    enter_v2(&hierarchies, &config.cgroup).map_err(ExecError::system("join the container's cgroup"))?;
    Ok(config)
}

pub(super) fn exec(dir: &Path, process: &Path, timeout_ms: u64) -> Result<i32, ExecError> {
    let until = Instant::now() + Duration::from_millis(timeout_ms);
    let system = ExecError::system;
    let config = join(dir)?;
    let mut set = SigSet::empty();
    set.add(Signal::SIGCHLD);
    set.thread_block()
        .map_err(|errno| system("block SIGCHLD")(errno.into()))?;
    let signals = SignalFd::with_flags(&set, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK)
        .map_err(|errno| system("watch SIGCHLD")(errno.into()))?;
    let stdio = Stdio {
        stdin: std::fs::File::open("/dev/null")
            .map_err(system("open /dev/null"))?
            .into(),
        stdout: io::stdout()
            .as_fd()
            .try_clone_to_owned()
            .map_err(system("copy standard output"))?,
        stderr: io::stderr()
            .as_fd()
            .try_clone_to_owned()
            .map_err(system("copy standard error"))?,
    };
    let pid = Embedded.exec(&config.id, process, &config.runtime_dir, Streams::Given(stdio))?;
    loop {
        match waitpid(pid, Some(WaitPidFlag::WNOHANG)) {
            Ok(WaitStatus::Exited(_, code)) => return Ok(code),
            Ok(WaitStatus::Signaled(_, signal, _)) => return Ok(128 + signal as i32),
            Ok(_) => {}
            Err(errno) => return Err(system("wait for the process")(errno.into())),
        }
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            let _ = kill(pid, Signal::SIGKILL);
            let _ = waitpid(pid, None);
            return Ok(TIMED_OUT);
        }
        let mut fds = [PollFd::new(signals.as_fd(), PollFlags::POLLIN)];
        match nix::poll::poll(&mut fds, PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX)) {
            Ok(_) | Err(nix::Error::EINTR) => {}
            Err(errno) => return Err(system("wait")(errno.into())),
        }
        while let Ok(Some(_)) = signals.read_signal() {}
    }
}
