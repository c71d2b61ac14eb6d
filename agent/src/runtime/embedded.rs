//! The built-in runtime: libcontainer.
//!
//! Executes the payload itself, so that a program that cannot be executed is told apart from one that fails.
//! Source: libcontainer 0.7 (youki).

use std::{
    io::{self, Write as _},
    os::{fd::OwnedFd, unix::process::CommandExt as _},
    path::Path,
    process::Command,
    sync::Arc,
    time::Duration,
};

use libcontainer::{
    container::builder::ContainerBuilder,
    oci_spec::runtime::Spec,
    syscall::syscall::SyscallType,
    workload::{Executor, ExecutorError, ExecutorValidationError},
};
use nix::{fcntl::OFlag, unistd::Pid};

use super::{Runtime, RuntimeError, Streams, read_exec_failure};

/// Nobody waits longer than this for a process to be made.
const START_MAX: Duration = Duration::from_secs(120);

/// libcontainer in this process.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Embedded;

impl Runtime for Embedded {
    fn run(&self, id: &str, bundle: &Path, state_dir: &Path, streams: Streams<'_>) -> Result<Pid, RuntimeError> {
        let (read_end, executor) = exec_pipe()?;
        let mut container = builder(id, state_dir, executor, streams)?
            .as_init(bundle)
            .with_systemd(false)
            .with_detach(true)
            .build()
            .map_err(refused("create the container"))?;
        let pid = container.pid().ok_or_else(|| RuntimeError::Refused {
            step: "create the container",
            message: "it has no process".to_owned(),
        })?;
        container.start().map_err(refused("start the container"))?;
        match read_exec_failure(read_end) {
            None => Ok(pid),
            Some(message) => Err(RuntimeError::Exec(message)),
        }
    }

    fn exec(&self, id: &str, process: &Path, state_dir: &Path, streams: Streams<'_>) -> Result<Pid, RuntimeError> {
        let (read_end, executor) = exec_pipe()?;
        let pid = builder(id, state_dir, executor, streams)?
            .as_tenant()
            .with_process(Some(process))
            .with_detach(true)
            .build()
            .map_err(refused("enter the container"))?;
        remove_left_sockets(&state_dir.join(id));
        match read_exec_failure(read_end) {
            None => Ok(pid),
            Some(message) => Err(RuntimeError::Exec(message)),
        }
    }

    fn forget(&self, id: &str, state_dir: &Path) -> Result<(), RuntimeError> {
        // Processes, cgroups and mounts are the shim's business; this is all that libcontainer keeps.
        match std::fs::remove_dir_all(state_dir.join(id)) {
            Err(err) if err.kind() != io::ErrorKind::NotFound => Err(RuntimeError::Forget(err)),
            _ => Ok(()),
        }
    }
}

fn builder(
    id: &str,
    state_dir: &Path,
    executor: Payload,
    streams: Streams<'_>,
) -> Result<ContainerBuilder, RuntimeError> {
    let builder = ContainerBuilder::new(id.to_owned(), SyscallType::default())
        .with_root_path(state_dir)
        .map_err(refused("open the runtime's directory"))?
        .with_executor(executor);
    Ok(match streams {
        Streams::Given(stdio) => builder
            .with_stdin(stdio.stdin)
            .with_stdout(stdio.stdout)
            .with_stderr(stdio.stderr),
        Streams::Terminal(console) => builder.with_console_socket(Some(console)),
    })
}

/// libcontainer leaves a socket behind for each process that it has made in a container. Those that are old are nobody's.
fn remove_left_sockets(container: &Path) {
    for entry in std::fs::read_dir(container).into_iter().flatten().flatten() {
        let is_left = entry.file_name().to_string_lossy().starts_with("tenant-notify-")
            && entry
                .metadata()
                .and_then(|metadata| metadata.modified())
                .is_ok_and(|made| made.elapsed().is_ok_and(|age| age > START_MAX));
        if is_left {
            // The next one tries again.
            let _ = std::fs::remove_file(entry.path());
        }
    }
}

fn refused<E: std::error::Error>(step: &'static str) -> impl FnOnce(E) -> RuntimeError {
    move |err| {
        let mut message = err.to_string();
        let mut source = err.source();
        while let Some(inner) = source {
            let text = inner.to_string();
            if !message.contains(&text) {
                message = format!("{message}: {text}");
            }
            source = inner.source();
        }
        RuntimeError::Refused { step, message }
    }
}

fn exec_pipe() -> Result<(OwnedFd, Payload), RuntimeError> {
    let (read_end, write_end) = nix::unistd::pipe2(OFlag::O_CLOEXEC).map_err(RuntimeError::Pipe)?;
    Ok((
        read_end,
        Payload {
            failure: Arc::new(write_end),
        },
    ))
}

/// Executes the container's program; says why when it cannot. The pipe closes by being executed over.
#[derive(Debug, Clone)]
struct Payload {
    failure: Arc<OwnedFd>,
}

impl Executor for Payload {
    fn exec(&self, spec: &Spec) -> Result<(), ExecutorError> {
        let args = spec
            .process()
            .as_ref()
            .and_then(|process| process.args().as_ref())
            .filter(|args| !args.is_empty())
            .ok_or(ExecutorError::InvalidArg)?;
        // The standard library's exec gives the payload an empty signal mask and the default SIGPIPE.
        let err = Command::new(&args[0]).args(&args[1..]).exec();
        let what = match err.raw_os_error().map(nix::Error::from_raw) {
            Some(nix::Error::ENOENT) => "no such file or directory".to_owned(),
            Some(nix::Error::EACCES) => "permission denied".to_owned(),
            Some(nix::Error::ENOEXEC) => "exec format error".to_owned(),
            _ => err.to_string(),
        };
        let message = format!("exec: \"{}\": {what}", args[0]);
        if let Ok(pipe) = self.failure.try_clone() {
            let _ = std::fs::File::from(pipe).write_all(message.as_bytes());
        }
        Err(ExecutorError::Other(message))
    }

    fn validate(&self, _spec: &Spec) -> Result<(), ExecutorValidationError> {
        // The kernel knows better than a look at mode bits; `exec` tells what it says.
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::{fs::File, time::SystemTime};

    use super::*;

    #[test]
    fn only_old_sockets_are_removed() {
        let dir = tempfile::tempdir().expect("make a directory");
        let old = SystemTime::now() - START_MAX - Duration::from_secs(1);
        // name, made long ago, stays
        for (name, is_old, stays) in [
            ("tenant-notify-1a.sock", true, false),
            ("tenant-notify-2b.sock", false, true),
            ("notify.sock", true, true),
            ("state.json", true, true),
        ] {
            let file = File::create(dir.path().join(name)).expect("make a file");
            if is_old {
                file.set_modified(old).expect("set the time");
            }
            remove_left_sockets(dir.path());
            assert_eq!(dir.path().join(name).exists(), stays, "{name}");
        }
    }
}
