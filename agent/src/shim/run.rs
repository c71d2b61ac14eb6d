//! The life of one container: make, start, log, reap, write down, clean up, end.
//!
//! ```text
//!   (begin) ─▶ Running ─ container exits ─▶ Exited      each is on disk before anybody is told
//!      └─ cannot be made ─▶ Failed
//! ```
//!
//! Whoever is connected is told `Running`, and is given the standard streams if it asks; the end is told by the end of
//! the connection, when nothing of the container is left but its files. Never here: restarting; anything about other
//! containers.

use std::{
    fs, io,
    io::{Read as _, Write as _},
    os::{
        fd::{AsFd, OwnedFd},
        unix::net::{UnixListener, UnixStream},
    },
    path::{Component, Path, PathBuf},
    time::{Duration, Instant},
};

use api::Timestamp;
use nix::{
    fcntl::OFlag,
    mount::{MntFlags, MsFlags},
    poll::{PollFd, PollFlags, PollTimeout},
    sys::{
        signal::{SigSet, Signal},
        signalfd::{SfdFlags, SignalFd},
        wait::{WaitPidFlag, WaitStatus, waitpid},
    },
    unistd::Pid,
};
use rustix::fs::{Mode, OFlags, ResolveFlags};

use super::{
    attached::{Life, Readers},
    enter::take_agent_connection,
    handover::{self, Ends, Said},
    log_file::{Lines, LogFile, Stream},
    terminal::ConsoleSocket,
};
use crate::{
    causes::chain,
    runtime::{
        Runtime, RuntimeError, Stdio, Streams,
        bundle::{Ask, Bundle, ShimConfig, State, Stdin},
        cgroup::{CgroupError, Hierarchies},
        embedded::Embedded,
    },
};

/// Output that is still in the pipes when the container has ended is read for so long; only a process outside the
/// container's pid namespace can hold them open.
const DRAIN_MAX: Duration = Duration::from_secs(2);
/// Connections at a time: the agent's, that of its successor, and those of who is attached.
const CONNECTIONS_MAX: usize = 16;
/// Longest request.
const ASK_BYTES_MAX: usize = 4096;

/// The shim could not do its work.
#[derive(Debug, thiserror::Error)]
pub(super) enum RunError {
    #[error("read the bundle {path:?}")]
    Bundle {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("{step}")]
    System {
        step: &'static str,
        #[source]
        source: io::Error,
    },
    #[error("write the state of the container")]
    State(#[source] io::Error),
    #[error(transparent)]
    Cgroup(#[from] CgroupError),
}

fn system<E: Into<io::Error>>(step: &'static str) -> impl FnOnce(E) -> RunError {
    move |source| RunError::System {
        step,
        source: source.into(),
    }
}

/// Why the container could not be made, as its status says it.
#[derive(Debug, thiserror::Error)]
enum StartError {
    #[error("mount the root filesystem")]
    Mount(#[source] io::Error),
    #[error("make the working directory {0:?}")]
    WorkingDir(String, #[source] io::Error),
    #[error("join the container's cgroup")]
    Join(#[source] io::Error),
    #[error("make a pipe")]
    Pipe(#[source] nix::Error),
    #[error("make a terminal")]
    Terminal(#[source] io::Error),
    #[error(transparent)]
    Runtime(#[from] RuntimeError),
}

pub(super) fn run(dir: &Path) -> Result<(), RunError> {
    let bundle = Bundle::new(dir);
    let config = bundle.shim_config().map_err(|source| RunError::Bundle {
        path: dir.to_owned(),
        source,
    })?;
    // A session of its own: signals to the agent's group are not for the container.
    let _ = nix::unistd::setsid();
    nix::sys::stat::umask(nix::sys::stat::Mode::from_bits_truncate(0o022));
    let agent = take_agent_connection().map_err(system("take the agent's connection"))?;
    let listener = listen(bundle.dir())?;
    let hierarchies = Hierarchies::discover()?;
    let signals = child_signals()?;
    let log = LogFile::open(&config.log, config.log_bytes_max, config.log_files_max).map_err(system("open the log"))?;

    let state = match start(&bundle, &config, &hierarchies) {
        Ok(started) => {
            let pid = started.pid;
            let started_at = Timestamp::now();
            let running = State::Running {
                pid: pid.as_raw(),
                started_at,
            };
            bundle.write_state(&running).map_err(RunError::State)?;
            let mut monitor = Monitor {
                pid,
                running,
                signals,
                listener,
                connections: Vec::new(),
                stdout: Output::new(Some(started.stdout), Stream::Stdout),
                stderr: Output::new(started.stderr, Stream::Stderr),
                input: started.input,
                readers: Readers::default(),
                log,
            };
            monitor.greet(agent);
            let status = monitor.watch()?;
            if monitor.log.lost() > 0 {
                complain(&format!("{} log lines could not be written", monitor.log.lost()));
            }
            let exited = exit_state(started_at, status, hierarchies.oom_kills(&config.cgroup) > 0);
            bundle.write_state(&exited).map_err(RunError::State)?;
            // Connections stay open until nothing is left.
            clean_up(&bundle, &config, &hierarchies);
            drop(monitor);
            return Ok(());
        }
        Err(err) => State::Failed {
            at: Timestamp::now(),
            message: chain(&err),
        },
    };
    bundle.write_state(&state).map_err(RunError::State)?;
    clean_up(&bundle, &config, &hierarchies);
    drop(agent);
    Ok(())
}

fn listen(dir: &Path) -> Result<UnixListener, RunError> {
    // By its short name from within: a socket's path has at most 107 bytes.
    std::env::set_current_dir(dir).map_err(system("enter the bundle"))?;
    match fs::remove_file(Bundle::SOCKET) {
        Err(err) if err.kind() != io::ErrorKind::NotFound => return Err(system("remove the old socket")(err)),
        _ => {}
    }
    let listener = UnixListener::bind(Bundle::SOCKET).map_err(system("listen"))?;
    listener.set_nonblocking(true).map_err(system("listen"))?;
    std::env::set_current_dir("/").map_err(system("leave the bundle"))?;
    Ok(listener)
}

fn child_signals() -> Result<SignalFd, RunError> {
    let mut set = SigSet::empty();
    set.add(Signal::SIGCHLD);
    // The payload gets an empty mask again when it is executed.
    set.thread_block().map_err(system("block SIGCHLD"))?;
    SignalFd::with_flags(&set, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK).map_err(system("watch SIGCHLD"))
}

/// A container that runs.
struct Started {
    pid: Pid,
    /// With a terminal, its master.
    stdout: OwnedFd,
    stderr: Option<OwnedFd>,
    input: Input,
}

/// What leads to the container's standard input.
enum Input {
    /// Nothing.
    None,
    /// A pipe, held open between those who attach; not after the first, if `once`.
    Pipe { pipe: OwnedFd, once: bool },
    /// A terminal's master; what is typed goes to it if `typed`.
    Terminal { master: OwnedFd, typed: bool },
}

fn start(bundle: &Bundle, config: &ShimConfig, hierarchies: &Hierarchies) -> Result<Started, StartError> {
    mount_rootfs(bundle, config).map_err(StartError::Mount)?;
    make_working_dir(&bundle.rootfs(), &config.working_dir)
        .map_err(|source| StartError::WorkingDir(config.working_dir.clone(), source))?;
    if config.terminal {
        let socket = ConsoleSocket::listen(bundle.dir()).map_err(StartError::Terminal)?;
        let pid = run_in_cgroup(bundle, config, hierarchies, Streams::Terminal(socket.path()))?;
        let master = socket.take().map_err(StartError::Terminal)?;
        return Ok(Started {
            pid,
            stdout: master.try_clone().map_err(StartError::Terminal)?,
            stderr: None,
            input: Input::Terminal {
                master,
                typed: config.stdin != Stdin::Null,
            },
        });
    }
    let pipe = || nix::unistd::pipe2(OFlag::O_CLOEXEC).map_err(StartError::Pipe);
    let (stdout_read, stdout) = pipe()?;
    let (stderr_read, stderr) = pipe()?;
    let (stdin, input) = match config.stdin {
        Stdin::Null => {
            let null = fs::File::open("/dev/null").map_err(StartError::Mount)?;
            (null.into(), Input::None)
        }
        Stdin::Open | Stdin::Once => {
            let (read, pipe) = pipe()?;
            let once = config.stdin == Stdin::Once;
            (read, Input::Pipe { pipe, once })
        }
    };
    let streams = Streams::Given(Stdio { stdin, stdout, stderr });
    Ok(Started {
        pid: run_in_cgroup(bundle, config, hierarchies, streams)?,
        stdout: stdout_read,
        stderr: Some(stderr_read),
        input,
    })
}

fn run_in_cgroup(
    bundle: &Bundle,
    config: &ShimConfig,
    hierarchies: &Hierarchies,
    streams: Streams<'_>,
) -> Result<Pid, StartError> {
    // The container inherits this process' v2 directory, which the runtime does not know of beside v1.
    let home = enter_v2(hierarchies, &config.cgroup).map_err(StartError::Join)?;
    let oom_score = fs::read_to_string(OOM_SCORE).unwrap_or_default();
    let result = Embedded.run(&config.id, bundle.dir(), &config.runtime_dir, streams);
    // The runtime sets the container's score on its caller, too.
    let _ = fs::write(OOM_SCORE, oom_score.trim());
    if let Some(home) = home {
        fs::write(home.join("cgroup.procs"), "0").map_err(StartError::Join)?;
    }
    Ok(result?)
}

const OOM_SCORE: &str = "/proc/self/oom_score_adj";

/// Moves this process into the container's v2 directory, where v1 has the controllers; answers where it was.
pub(super) fn enter_v2(hierarchies: &Hierarchies, cgroup: &str) -> io::Result<Option<PathBuf>> {
    if hierarchies.is_unified() {
        return Ok(None);
    }
    let (Some(root), Some(target)) = (hierarchies.v2_dir(""), hierarchies.v2_dir(cgroup)) else {
        return Ok(None);
    };
    let own = fs::read_to_string("/proc/self/cgroup")?;
    let home = own
        .lines()
        .find_map(|line| line.strip_prefix("0::/"))
        .unwrap_or_default();
    fs::create_dir_all(&target)?;
    fs::write(target.join("cgroup.procs"), "0")?;
    Ok(Some(root.join(home)))
}

fn mount_rootfs(bundle: &Bundle, config: &ShimConfig) -> io::Result<()> {
    // Everything is named from the layers' directory: the options must fit into one page, and names of our own making
    // have no commas or colons.
    std::env::set_current_dir(&config.layers_dir)?;
    let beside = relative(&config.layers_dir, bundle.dir());
    let options = format!(
        "lowerdir={},upperdir={},workdir={}",
        config.lower.join(":"),
        beside.join("upper").display(),
        beside.join("work").display()
    );
    let mounted = nix::mount::mount(
        Some("overlay"),
        &bundle.rootfs(),
        Some("overlay"),
        MsFlags::empty(),
        Some(options.as_str()),
    );
    std::env::set_current_dir("/")?;
    Ok(mounted?)
}

/// `to` as seen from `from`; both absolute.
fn relative(from: &Path, to: &Path) -> PathBuf {
    let from: Vec<Component<'_>> = from.components().collect();
    let to: Vec<Component<'_>> = to.components().collect();
    let shared = from.iter().zip(&to).take_while(|(a, b)| a == b).count();
    let up = std::iter::repeat_n(Component::ParentDir, from.len() - shared);
    up.chain(to[shared..].iter().copied()).collect()
}

/// Makes a directory inside the root filesystem, whatever links the image has laid.
fn make_working_dir(rootfs: &Path, dir: &str) -> io::Result<()> {
    let root = rustix::fs::open(
        rootfs,
        OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC,
        Mode::empty(),
    )?;
    let mut path = PathBuf::from(".");
    for component in Path::new(dir).components() {
        let Component::Normal(name) = component else { continue };
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
        let above = rustix::fs::openat2(&root, &path, flags, Mode::empty(), resolve)?;
        path.push(name);
        match rustix::fs::mkdirat(&above, name, Mode::from_raw_mode(0o755)) {
            Err(err) if err != rustix::io::Errno::EXIST => return Err(err.into()),
            _ => {}
        }
    }
    Ok(())
}

fn exit_state(started_at: Timestamp, status: WaitStatus, oom: bool) -> State {
    let (code, signal) = match status {
        WaitStatus::Exited(_, code) => (code, None),
        WaitStatus::Signaled(_, signal, _) => (128 + signal as i32, Some(signal as i32)),
        _ => (255, None),
    };
    State::Exited {
        started_at,
        finished_at: Timestamp::now(),
        code,
        signal,
        oom: oom && code != 0,
    }
}

/// What is left is found by the agent's sweep.
fn clean_up(bundle: &Bundle, config: &ShimConfig, hierarchies: &Hierarchies) {
    hierarchies.kill(&config.cgroup);
    if let Err(err) = hierarchies.remove(&config.cgroup) {
        complain(&chain(&err));
    }
    if let Err(err) = Embedded.forget(&config.id, &config.runtime_dir) {
        complain(&chain(&err));
    }
    match nix::mount::umount2(&bundle.rootfs(), MntFlags::MNT_DETACH) {
        Ok(()) | Err(nix::Error::EINVAL | nix::Error::ENOENT) => {}
        Err(err) => complain(&format!("unmount the root filesystem: {err}")),
    }
    let _ = fs::remove_file(bundle.dir().join(Bundle::SOCKET));
}

fn complain(message: &str) {
    let _ = writeln!(io::stderr(), "{message}");
}

/// One stream of the container.
struct Output {
    /// Closed when the last writer is gone.
    pipe: Option<fs::File>,
    stream: Stream,
    lines: Lines,
}

impl Output {
    fn new(pipe: Option<OwnedFd>, stream: Stream) -> Output {
        Output {
            pipe: pipe.map(fs::File::from),
            stream,
            lines: Lines::new(stream),
        }
    }

    /// Reads once: poll has said that there is something.
    fn read(&mut self, log: &mut LogFile, readers: &mut Readers) {
        let Some(pipe) = &mut self.pipe else { return };
        let mut buffer = [0_u8; 16 * 1024];
        match pipe.read(&mut buffer) {
            Ok(0) => self.end(log),
            Ok(count) => {
                self.lines.take(&buffer[..count], Timestamp::now(), log);
                readers.pass(self.stream, &buffer[..count], Instant::now());
            }
            // Who is attached to a terminal shares its master, and does not want to wait for it.
            Err(err) if matches!(err.kind(), io::ErrorKind::Interrupted | io::ErrorKind::WouldBlock) => {}
            // Among others: the last process that had the terminal has closed it.
            Err(_) => self.end(log),
        }
    }

    fn end(&mut self, log: &mut LogFile) {
        self.pipe = None;
        self.lines.end(Timestamp::now(), log);
    }
}

struct Connection {
    stream: UnixStream,
    asked: Vec<u8>,
}

struct Monitor {
    pid: Pid,
    running: State,
    signals: SignalFd,
    listener: UnixListener,
    connections: Vec<Connection>,
    stdout: Output,
    stderr: Output,
    input: Input,
    readers: Readers,
    log: LogFile,
}

/// What poll woke for.
#[derive(Clone, Copy)]
enum Source {
    Signals,
    Listener,
    Stdout,
    Stderr,
    Connection(usize),
    Reader(usize),
}

impl Monitor {
    /// Serves until the container has ended and its output is read.
    fn watch(&mut self) -> Result<WaitStatus, RunError> {
        let mut ended: Option<(WaitStatus, Instant)> = self.reap().map(|status| (status, Instant::now() + DRAIN_MAX));
        loop {
            let life = if ended.is_some() { Life::Ended } else { Life::Running };
            let stuck_in = self.readers.let_stuck_go(Instant::now());
            let timeout = match &ended {
                None => stuck_in.map_or(PollTimeout::NONE, |left| {
                    PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX)
                }),
                Some((status, until)) => {
                    let left = until.saturating_duration_since(Instant::now());
                    if (self.stdout.pipe.is_none() && self.stderr.pipe.is_none()) || left.is_zero() {
                        self.stdout.end(&mut self.log);
                        self.stderr.end(&mut self.log);
                        self.readers.finish(Instant::now());
                        return Ok(*status);
                    }
                    PollTimeout::try_from(left).unwrap_or(PollTimeout::ZERO)
                }
            };
            let (mut woken, mut later) = (Vec::new(), Vec::new());
            for source in self.ready(timeout, life)? {
                match source {
                    Source::Signals => {
                        while let Ok(Some(_)) = self.signals.read_signal() {}
                        if let Some(status) = self.reap() {
                            ended = Some((status, Instant::now() + DRAIN_MAX));
                        }
                    }
                    Source::Listener => {
                        if let Ok((stream, _)) = self.listener.accept() {
                            self.greet(stream);
                        }
                    }
                    // Before anything that may add a reader or let one go.
                    Source::Reader(number) => woken.push(number),
                    Source::Stdout | Source::Stderr | Source::Connection(_) => later.push(source),
                }
            }
            self.readers.woken(&woken, Instant::now());
            for source in later {
                match source {
                    Source::Stdout => self.stdout.read(&mut self.log, &mut self.readers),
                    Source::Stderr => self.stderr.read(&mut self.log, &mut self.readers),
                    Source::Connection(index) => self.hear(index, ended.is_some()),
                    Source::Signals | Source::Listener | Source::Reader(_) => {}
                }
            }
            self.connections
                .retain(|connection| connection.asked.len() <= ASK_BYTES_MAX);
        }
    }

    fn ready(&self, timeout: PollTimeout, life: Life) -> Result<Vec<Source>, RunError> {
        let mut sources = vec![Source::Signals, Source::Listener];
        let mut fds = vec![
            PollFd::new(self.signals.as_fd(), PollFlags::POLLIN),
            PollFd::new(self.listener.as_fd(), PollFlags::POLLIN),
        ];
        for (source, output) in [(Source::Stdout, &self.stdout), (Source::Stderr, &self.stderr)] {
            if let Some(pipe) = &output.pipe
                && !self.readers.hold_up(output.stream, life)
            {
                sources.push(source);
                fds.push(PollFd::new(pipe.as_fd(), PollFlags::POLLIN));
            }
        }
        for (index, connection) in self.connections.iter().enumerate() {
            sources.push(Source::Connection(index));
            fds.push(PollFd::new(connection.stream.as_fd(), PollFlags::POLLIN));
        }
        for (number, fd) in self.readers.poll_fds().enumerate() {
            sources.push(Source::Reader(number));
            fds.push(fd);
        }
        match nix::poll::poll(&mut fds, timeout) {
            Ok(_) | Err(nix::Error::EINTR) => {}
            Err(errno) => return Err(system("wait")(errno)),
        }
        let woken = fds.iter().zip(sources).filter(|(fd, _)| fd.any().unwrap_or(false));
        Ok(woken.map(|(_, source)| source).collect())
    }

    /// Reaps whatever ended; answers the status of the container's first process.
    fn reap(&self) -> Option<WaitStatus> {
        let mut first = None;
        loop {
            match waitpid(None, Some(WaitPidFlag::WNOHANG)) {
                Ok(WaitStatus::StillAlive) | Err(_) => return first,
                Ok(status) => {
                    if status.pid() == Some(self.pid) {
                        first = Some(status);
                    }
                }
            }
        }
    }

    /// Takes a connection and tells it where the container is.
    fn greet(&mut self, mut stream: UnixStream) {
        if self.connections.len() >= CONNECTIONS_MAX {
            return;
        }
        let Ok(mut line) = serde_json::to_vec(&self.running) else {
            return;
        };
        line.push(b'\n');
        if stream.set_nonblocking(true).is_ok() && stream.write_all(&line).is_ok() {
            self.connections.push(Connection {
                stream,
                asked: Vec::new(),
            });
        }
    }

    fn hear(&mut self, index: usize, ended: bool) {
        let connection = &mut self.connections[index];
        let mut buffer = [0_u8; 512];
        match connection.stream.read(&mut buffer) {
            Ok(count) if count > 0 => connection.asked.extend_from_slice(&buffer[..count]),
            Err(err) if matches!(err.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {}
            // Closed: marked for removal by an impossible length.
            Ok(_) | Err(_) => connection.asked = vec![0; ASK_BYTES_MAX + 1],
        }
        while let Some(end) = self.connections[index].asked.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = self.connections[index].asked.drain(..=end).collect();
            match serde_json::from_slice::<Ask>(&line) {
                Ok(Ask::Signal { number }) if !ended => {
                    // A child that is not reaped yet keeps its pid: this cannot hit another process.
                    let signal = Signal::try_from(number).unwrap_or(Signal::SIGTERM);
                    let _ = nix::sys::signal::kill(self.pid, signal);
                }
                Ok(Ask::Signal { .. }) => {}
                Ok(Ask::Attach { stdin, stdout, stderr }) => {
                    if let Err(err) = self.attach(index, stdin, stdout, stderr, ended) {
                        complain(&format!("give the streams: {err}"));
                    }
                }
                Err(err) => complain(&format!("not a request: {err}")),
            }
        }
    }
}

impl Monitor {
    /// Gives the streams that are wanted to who is connected.
    fn attach(&mut self, index: usize, stdin: bool, stdout: bool, stderr: bool, ended: bool) -> io::Result<()> {
        let socket = &self.connections[index].stream;
        if ended {
            let message = "the container has ended".to_owned();
            return handover::say(socket, &Said::Failed { message });
        }
        let mut ends = Ends::default();
        if stdout {
            ends.stdout = Some(self.readers.add(Stream::Stdout)?);
        }
        if stderr && self.stderr.pipe.is_some() {
            ends.stderr = Some(self.readers.add(Stream::Stderr)?);
        }
        match &self.input {
            Input::None => {}
            Input::Pipe { pipe, .. } if stdin => ends.stdin = Some(pipe.try_clone()?),
            Input::Pipe { .. } => {}
            Input::Terminal { master, typed } => {
                ends.terminal = Some(master.try_clone()?);
                if stdin && *typed {
                    ends.stdin = Some(master.try_clone()?);
                }
            }
        }
        handover::give(socket, &ends)?;
        if stdin && matches!(self.input, Input::Pipe { once: true, .. }) {
            // Now it ends with who has got it.
            self.input = Input::None;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::relative;

    #[test]
    fn a_path_is_seen_from_another() {
        for (from, to, seen) in [
            ("/d/images/layers", "/d/pods/u/c", "../../pods/u/c"),
            ("/d", "/d/x", "x"),
            ("/a", "/b", "../b"),
        ] {
            assert_eq!(relative(Path::new(from), Path::new(to)), Path::new(seen));
        }
    }
}
