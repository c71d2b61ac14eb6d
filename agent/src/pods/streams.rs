//! Reaching into a container: one more process in it (exec), or the streams of the one that runs (attach).
//!
//! The container's shim, or one of the process' own, gives the streams as descriptors; `pump` moves what flows. When the
//! client goes, the streams are closed, and the process does what it does then. Never here: probes and hooks (`check`).
//! Source: Kubernetes API reference, "connect GET/POST requests to exec/attach of Pod"; CRI `Exec`, `Attach`.

mod pump;

use std::{
    io,
    os::{fd::OwnedFd, unix::net::UnixStream as StdUnixStream},
    process::Stdio,
    time::Duration,
};

use api::{
    k8s_openapi::api::core::v1::PodStatus,
    node_stream::{AttachRequest, ExecRequest, ReplyEnd, Streams},
};
use tokio::{
    io::AsyncReadExt as _,
    net::UnixStream,
    process::{Child, Command},
};

use super::{FoundPod, check::process_file, sandbox::blocking, shim_link};
use crate::{
    exchange::Exchange,
    runtime::bundle::{Ask, Bundle, State},
    shim::{
        WantedStreams,
        handover::{Ends, Hearing, Said},
    },
};
use pump::pump;

const OK: u32 = 200;
const INTERNAL_ERROR: u32 = 500;

/// A process is made within a second, or the node is not well; on a busy machine it takes longer.
const START_MAX: Duration = Duration::from_secs(60);
/// What is still in the streams when the process has ended is passed on for so long, unless the reader is slow; only
/// other processes can hold them open.
const DRAIN_MAX: Duration = Duration::from_secs(2);

/// Runs a command in a container.
pub(crate) async fn exec(pod: &FoundPod, request: &ExecRequest, exchange: Exchange) -> ReplyEnd {
    let wanted = request.streams.unwrap_or_default();
    let bundle = match running(pod, &request.container) {
        Ok(bundle) => bundle,
        Err(end) => return end,
    };
    if exchange.outlet.begin().await.is_err() {
        return success();
    }
    let process = match process_file(&bundle, &request.command, wanted.tty) {
        Ok(process) => process,
        Err(err) => return not_executed(&err),
    };
    let wanted_ends = WantedStreams {
        stdin: wanted.stdin && !wanted.tty,
        stdout: wanted.stdout && !wanted.tty,
        stderr: wanted.stderr && !wanted.tty,
        terminal: wanted.tty,
    };
    let arguments = [
        "enter".into(),
        bundle.dir().as_os_str().to_owned(),
        process.path.clone().into(),
        wanted_ends.word().into(),
    ];
    let started = async {
        let (ours, theirs) = StdUnixStream::pair()?;
        ours.set_read_timeout(Some(START_MAX))?;
        let child = Command::new(&pod.shim_program)
            .arg0("skep-shim")
            .arg("shim")
            .args(arguments)
            .env_clear()
            .current_dir("/")
            .stdin(Stdio::from(OwnedFd::from(theirs)))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        let (ends, socket, rest) = take_streams(ours).await?;
        Ok::<_, io::Error>((child, of_terminal(ends, wanted)?, socket, rest))
    };
    let (child, ends, socket, rest) = match started.await {
        Ok(started) => started,
        Err(err) => return not_executed(&err),
    };
    drop(process);
    let exit = exit_code(child, socket, rest);
    let mut exit_code = None;
    let ended = async { exit_code = exit.await };
    if let Err(err) = pump(ends, exchange, ended, DRAIN_MAX).await {
        return internal(format!("move the streams: {err}"));
    }
    match exit_code {
        Some(code) => ReplyEnd {
            status: OK,
            exit_code: Some(code),
            ..ReplyEnd::default()
        },
        None => internal("the process' shim has ended without saying how the process did".to_owned()),
    }
}

/// Connects to the streams of a container's first process.
pub(crate) async fn attach(pod: &FoundPod, request: &AttachRequest, exchange: Exchange) -> ReplyEnd {
    let wanted = request.streams.unwrap_or_default();
    let bundle = match running(pod, &request.container) {
        Ok(bundle) => bundle,
        Err(end) => return end,
    };
    if exchange.outlet.begin().await.is_err() {
        return success();
    }
    let attached = async {
        let socket = shim_link::connect_blocking(&bundle)?;
        socket.set_read_timeout(Some(START_MAX))?;
        let mut ask = serde_json::to_vec(&Ask::Attach {
            stdin: wanted.stdin,
            stdout: wanted.stdout,
            stderr: wanted.stderr,
        })
        .map_err(io::Error::other)?;
        ask.push(b'\n');
        io::Write::write_all(&mut &socket, &ask)?;
        take_streams(socket).await
    };
    let (ends, mut socket, _) = match attached.await {
        Ok(attached) => attached,
        Err(err) => return internal(format!("attach to container {:?}: {err}", request.container)),
    };
    // The shim closes the connection when nothing of the container is left.
    let ended = async {
        let mut dropped = [0; 256];
        while socket.read(&mut dropped).await.is_ok_and(|count| count > 0) {}
    };
    match pump(ends, exchange, ended, DRAIN_MAX).await {
        Ok(()) => success(),
        Err(err) => internal(format!("move the streams: {err}")),
    }
}

/// The bundle of a container that runs.
fn running(pod: &FoundPod, container: &str) -> Result<Bundle, ReplyEnd> {
    let is_running = is_running(&pod.status.lock(), container);
    let attempt = pod.home.attempts(container).last().copied();
    let bundle = attempt.map(|attempt| pod.home.bundle(container, attempt));
    bundle
        .filter(|bundle| is_running && matches!(bundle.state(), Ok(Some(State::Running { .. }))))
        // As the kubelet and the API server in front of it say it.
        .ok_or_else(|| {
            internal(format!(
                "unable to upgrade connection: container not found ({container:?})"
            ))
        })
}

fn is_running(status: &PodStatus, container: &str) -> bool {
    let init = status.init_container_statuses.iter().flatten();
    let ephemeral = status.ephemeral_container_statuses.iter().flatten();
    init.chain(status.container_statuses.iter().flatten())
        .chain(ephemeral)
        .find(|known| known.name == container)
        .and_then(|known| known.state.as_ref())
        .is_some_and(|state| state.running.is_some())
}

async fn take_streams(socket: StdUnixStream) -> io::Result<(Ends, UnixStream, Vec<u8>)> {
    let (ends, hearing) = blocking(move || {
        let mut hearing = Hearing::new(socket);
        hearing.take_streams().map(|ends| (ends, hearing))
    })
    .await?;
    let (socket, rest) = hearing.into_rest();
    socket.set_nonblocking(true)?;
    Ok((ends, UnixStream::from_std(socket)?, rest))
}

/// The streams of a process that has a terminal are the terminal's.
fn of_terminal(mut ends: Ends, wanted: Streams) -> io::Result<Ends> {
    if let Some(master) = &ends.terminal {
        ends.stdin = wanted.stdin.then(|| master.try_clone()).transpose()?;
        ends.stdout = Some(master.try_clone()?);
    }
    Ok(ends)
}

/// What the shim says of the end of its process; nothing if it was killed.
async fn exit_code(mut child: Child, mut socket: UnixStream, mut heard: Vec<u8>) -> Option<i32> {
    // A few lines at most, and then the end.
    let read = socket.read_to_end(&mut heard).await;
    // Leaves no zombie; what it says stands in the line.
    let _ = child.wait().await;
    read.ok()?;
    heard
        .split(|byte| *byte == b'\n')
        .find_map(|line| match serde_json::from_slice(line) {
            Ok(Said::Exited { code }) => Some(code),
            _ => None,
        })
}

fn success() -> ReplyEnd {
    ReplyEnd {
        status: OK,
        ..ReplyEnd::default()
    }
}

fn internal(message: String) -> ReplyEnd {
    ReplyEnd {
        status: INTERNAL_ERROR,
        message,
        exit_code: None,
    }
}

fn not_executed(err: &io::Error) -> ReplyEnd {
    internal(format!("error executing command in container: {err}"))
}
