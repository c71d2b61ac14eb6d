//! The agent's end of a container's shim: starting it, finding it again, asking it, hearing the end.
//!
//! One task per running container reads its connection. The end of the connection is the end of the container: what
//! happened then stands in the bundle. Never here: what follows from it.

use std::{
    ffi::OsString,
    fs::{self, File},
    io,
    os::{fd::OwnedFd, unix::net::UnixStream as StdUnixStream},
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use api::Timestamp;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader},
    net::UnixStream,
    process::{Child, Command},
    sync::mpsc,
};

use crate::runtime::bundle::{Ask, Bundle, State};

/// Requests that may wait for one shim: a stop signal and a kill, and then some.
const ASKS_WAITING_MAX: usize = 8;
/// Longest line of a shim.
const LINE_BYTES_MAX: u64 = 64 * 1024;
/// A shim that has been started binds its socket within milliseconds; it is looked for this often.
const SOCKET_RETRY: Duration = Duration::from_millis(10);

/// A shim could not be started or reached.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LinkError {
    #[error("make a connection for the shim")]
    Connection(#[source] io::Error),
    #[error("open the shim's log {path:?}")]
    Log {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("start {program:?}")]
    Spawn {
        program: PathBuf,
        #[source]
        source: io::Error,
    },
}

/// What a shim told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Heard {
    /// The container runs.
    Running { started_at: Timestamp },
    /// The shim is gone; this is what it left. Nothing, or `Running`: it was killed, and the container may still run.
    Ended(Option<State>),
}

/// A way to ask a shim.
#[derive(Debug, Clone)]
pub(crate) struct ShimLink {
    asks: mpsc::Sender<Ask>,
}

impl ShimLink {
    /// Sends a signal to the container's first process. Lost if the container has ended.
    pub(crate) fn signal(&self, number: i32) {
        // The queue is only full when the shim hangs; its container is killed through its cgroup then.
        let _ = self.asks.try_send(Ask::Signal { number });
    }
}

/// Starts the shim of a bundle. `hear` is called from a task of its own.
pub(crate) fn start(
    program: &Path,
    bundle: &Bundle,
    hear: impl FnMut(Heard) + Send + 'static,
) -> Result<ShimLink, LinkError> {
    let (ours, theirs) = StdUnixStream::pair().map_err(LinkError::Connection)?;
    ours.set_nonblocking(true).map_err(LinkError::Connection)?;
    let ours = UnixStream::from_std(ours).map_err(LinkError::Connection)?;
    let log = lock_log(bundle)?;
    let child = Command::new(program)
        .arg0("skep-shim")
        .args([OsString::from("shim"), OsString::from("run"), bundle.dir().into()])
        .env_clear()
        .current_dir("/")
        .stdin(Stdio::from(OwnedFd::from(theirs)))
        .stdout(Stdio::null())
        .stderr(Stdio::from(log))
        .spawn()
        .map_err(|source| LinkError::Spawn {
            program: program.to_owned(),
            source,
        })?;
    Ok(watch(ours, bundle.clone(), Some(child), hear))
}

/// What became of the shim of an attempt that a former agent started.
#[derive(Debug)]
pub(crate) enum Adopted {
    /// It lives. The state is that on disk; `Running` will be heard again.
    Alive(ShimLink, Option<State>),
    /// It is gone; this is what it left.
    Gone(Option<State>),
}

/// Finds the shim of a bundle again. Waits for one that has just been started.
pub(crate) async fn adopt(bundle: &Bundle, hear: impl FnMut(Heard) + Send + 'static) -> Adopted {
    loop {
        if let Ok(stream) = connect(bundle) {
            let state = bundle.state().ok().flatten();
            return Adopted::Alive(watch(stream, bundle.clone(), None, hear), state);
        }
        // A living shim holds the lock on its log from before it was born.
        if !is_locked(bundle) {
            return Adopted::Gone(bundle.state().ok().flatten());
        }
        tokio::time::sleep(SOCKET_RETRY).await;
    }
}

/// Whether the shim of a bundle lives. Takes no part in its life.
pub(crate) fn is_locked(bundle: &Bundle) -> bool {
    use rustix::fs::{FlockOperation, flock};
    match File::open(bundle.shim_log()) {
        Ok(log) => flock(&log, FlockOperation::NonBlockingLockExclusive).is_err(),
        Err(_) => false,
    }
}

fn lock_log(bundle: &Bundle) -> Result<File, LinkError> {
    let path = bundle.shim_log();
    let error = |source| LinkError::Log {
        path: path.clone(),
        source,
    };
    let log = File::options().create(true).append(true).open(&path).map_err(error)?;
    // Shared with the shim through its standard error: the lock lasts as long as the shim.
    rustix::fs::flock(&log, rustix::fs::FlockOperation::NonBlockingLockExclusive)
        .map_err(|errno| error(errno.into()))?;
    Ok(log)
}

/// Connects by way of the directory's descriptor: a socket's path has at most 107 bytes.
pub(super) fn connect_blocking(bundle: &Bundle) -> io::Result<StdUnixStream> {
    use std::os::fd::AsRawFd as _;
    let dir = File::open(bundle.dir())?;
    let path = format!("/proc/self/fd/{}/{}", dir.as_raw_fd(), Bundle::SOCKET);
    StdUnixStream::connect(path)
}

fn connect(bundle: &Bundle) -> io::Result<UnixStream> {
    let stream = connect_blocking(bundle)?;
    stream.set_nonblocking(true)?;
    UnixStream::from_std(stream)
}

fn watch(
    stream: UnixStream,
    bundle: Bundle,
    child: Option<Child>,
    mut hear: impl FnMut(Heard) + Send + 'static,
) -> ShimLink {
    let (asks, mut asked) = mpsc::channel::<Ask>(ASKS_WAITING_MAX);
    tokio::spawn(async move {
        let (reader, mut writer) = stream.into_split();
        let mut lines = BufReader::with_capacity(512, tokio::io::AsyncReadExt::take(reader, LINE_BYTES_MAX)).lines();
        loop {
            tokio::select! {
                line = lines.next_line() => match line {
                    Ok(Some(line)) => {
                        if let Ok(State::Running { started_at, .. }) = serde_json::from_str(&line) {
                            hear(Heard::Running { started_at });
                        }
                    }
                    Ok(None) | Err(_) => break,
                },
                // When nobody can ask any more, the container is still watched to its end.
                Some(ask) = asked.recv() => {
                    let mut line = serde_json::to_vec(&ask).expect("a request encodes");
                    line.push(b'\n');
                    if writer.write_all(&line).await.is_err() {
                        break;
                    }
                }
            }
        }
        if let Some(mut child) = child {
            // Leaves no zombie; its status says nothing that the bundle does not.
            let _ = child.wait().await;
        }
        let state = tokio::task::spawn_blocking(move || bundle.state().ok().flatten()).await;
        hear(Heard::Ended(state.ok().flatten()));
    });
    ShimLink { asks }
}

/// What the shim complained about, for a message; the end of it if it is long.
pub(crate) fn complaints(bundle: &Bundle) -> String {
    let text = fs::read_to_string(bundle.shim_log()).unwrap_or_default();
    let tail = text.trim();
    tail.chars()
        .rev()
        .take(1000)
        .collect::<Vec<_>>()
        .into_iter()
        .rev()
        .collect()
}
