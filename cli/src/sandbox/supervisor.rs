//! `skep sandbox supervise`: the detached process that keeps a sandbox's server and agents alive.
//!
//! Its death disturbs nothing: the processes run on, and the next supervisor, which [`super::keeper`] starts, watches
//! them again.

use std::{
    ffi::OsString,
    fs::{self, File},
    io,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Command, ExitCode, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context, bail};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{UnixListener, UnixStream},
    signal::unix::{SignalKind, signal},
    sync::Mutex,
};
use tracing::{error, info};

use super::{
    NameArgument, cgroups,
    control_socket::{self, Answer, LINE_BYTES_MAX, Request},
    name::SandboxName,
    netns,
    registry::{self, Sandbox},
};
use crate::supervise::{self, Output, Supervised, Supervisor, Unit, record::Kept};

/// Name of the file in the data directory that the one supervisor holds.
pub(super) const LOCK: &str = "supervisor.lock";
/// How long a server or agent may take to end in an orderly way before it is killed.
const STOP_GRACE: Duration = Duration::from_secs(10);
/// How long a new supervisor may take to answer.
const ANSWERS_WITHIN: Duration = Duration::from_secs(10);

/// Lines of a log that are shown.
const LOG_LINES: usize = 5;
/// How often a record that could not be written is written again: whoever frees the disk wants the next supervisor to
/// know what runs.
const WRITE_AGAIN_INTERVAL: Duration = Duration::from_secs(5);

/// Keep a sandbox's processes alive.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct SuperviseArguments {
    #[command(flatten)]
    name: NameArgument,
}

/// Starts a supervisor unless one answers.
pub(super) fn ensure(sandbox: &Sandbox) -> anyhow::Result<()> {
    if control_socket::ask(sandbox, Request::Ping).is_ok() {
        return Ok(());
    }
    let log_path = sandbox.log_dir().join("supervisor.log");
    fs::create_dir_all(sandbox.log_dir()).with_context(|| format!("create {}", sandbox.log_dir().display()))?;
    let log = File::options()
        .create(true)
        .append(true)
        .open(&log_path)
        .with_context(|| format!("open {}", log_path.display()))?;
    let mut child = Command::new(&sandbox.skep)
        .args(["sandbox", "supervise", "--name", sandbox.name.as_str()])
        .stdin(Stdio::null())
        .stdout(log.try_clone().context("share the supervisor's log")?)
        .stderr(log)
        .current_dir("/")
        .spawn()
        .with_context(|| format!("start the supervisor, {}", sandbox.skep.display()))?;
    let deadline = Instant::now() + ANSWERS_WITHIN;
    loop {
        if control_socket::ask(sandbox, Request::Ping).is_ok() {
            return Ok(());
        }
        if let Some(status) = child.try_wait().context("look after the supervisor")? {
            bail!("the supervisor ended with {status}; its log is {}", log_path.display());
        }
        if Instant::now() > deadline {
            bail!("the supervisor does not answer; its log is {}", log_path.display());
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

impl SuperviseArguments {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        let sandbox = registry::find(&self.name.name)?;
        // A session of its own: the terminal that made the sandbox may close.
        nix::unistd::setsid().context("leave the terminal's session")?;
        let _only_one = supervise::lock(&sandbox.data_dir.join(LOCK))?
            .with_context(|| format!("the sandbox {} has a supervisor already", sandbox.name))?;
        cgroups::enter(&format!("{}/{}", sandbox.name.server_cgroup(), cgroups::HOST))?;
        super::runtime()?.block_on(supervise(sandbox))?;
        Ok(ExitCode::SUCCESS)
    }
}

async fn supervise(sandbox: Sandbox) -> anyhow::Result<()> {
    let mut terminate = signal(SignalKind::terminate()).context("listen for SIGTERM")?;
    let record = sandbox.processes()?;
    let resumed = record.resumed();
    let kept = record.begin(sandbox.record());
    let units = units(&sandbox).into_iter().zip(resumed).collect();
    let desk = Arc::new(Desk {
        supervisor: Supervisor::start(units, kept.publish()),
        units: usize::from(sandbox.nodes) + 1,
        kept: kept.clone(),
        order: Mutex::new(()),
    });
    // Not in the record, which tells what of the sandbox a person may stop and start.
    let keeper = Supervisor::start(vec![(keeper(&sandbox), Supervised::Started)], Arc::new(|_, _| {}));
    let listener = listen(&sandbox.control_socket())?;
    info!(sandbox = sandbox.name.as_str(), nodes = sandbox.nodes, "supervising");
    let mut again = tokio::time::interval(WRITE_AGAIN_INTERVAL);
    loop {
        tokio::select! {
            _ = again.tick() => kept.write_again(),
            connection = listener.accept() => match connection {
                Ok((stream, _)) => drop(tokio::spawn(Arc::clone(&desk).serve(stream))),
                Err(failure) => error!(error = &failure as &dyn std::error::Error, "accept failed"),
            },
            // Processes run on without us; who wants them stopped says so.
            _ = terminate.recv() => {
                keeper.shut_down().await;
                return Ok(());
            }
        }
    }
}

fn listen(path: &Path) -> anyhow::Result<UnixListener> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            return Err(error).with_context(|| format!("remove the old {}", path.display()));
        }
        Ok(()) | Err(_) => {}
    }
    let listener = UnixListener::bind(path).with_context(|| format!("listen on {}", path.display()))?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o600))
        .with_context(|| format!("protect {}", path.display()))?;
    Ok(listener)
}

/// Where requests are answered.
struct Desk {
    supervisor: Supervisor,
    units: usize,
    kept: Kept,
    /// One start or stop at a time: they come from people, and their order matters.
    order: Mutex<()>,
}

impl Desk {
    async fn serve(self: Arc<Self>, stream: UnixStream) {
        if let Err(failure) = self.answer(stream).await {
            error!(error = &failure as &dyn std::error::Error, "answer failed");
        }
    }

    async fn answer(&self, stream: UnixStream) -> io::Result<()> {
        let (reader, mut writer) = stream.into_split();
        let mut line = String::new();
        BufReader::new(reader.take(LINE_BYTES_MAX)).read_line(&mut line).await?;
        let answer = match serde_json::from_str::<Request>(&line) {
            Ok(Request::Ping) => Answer::Done,
            Ok(Request::Status) => Answer::Status {
                record: self.kept.now(),
            },
            Ok(Request::Start { unit } | Request::Stop { unit }) if unit >= self.units => Answer::Refused {
                reason: format!("there is no process number {unit}"),
            },
            Ok(Request::Start { unit }) => {
                let _in_turn = self.order.lock().await;
                self.supervisor.start_unit(unit).await;
                Answer::Done
            }
            Ok(Request::Stop { unit }) => {
                let _in_turn = self.order.lock().await;
                self.supervisor.stop_unit(unit).await;
                Answer::Done
            }
            Err(error) => Answer::Refused {
                reason: format!("the request cannot be read: {error}"),
            },
        };
        let mut line = serde_json::to_vec(&answer)?;
        line.push(b'\n');
        writer.write_all(&line).await
    }
}

/// The server, then the agents, in the order of the state file.
fn units(sandbox: &Sandbox) -> Vec<Unit> {
    let mut units = vec![unit(sandbox, "server".to_owned(), server_command(sandbox), None)];
    let token_file = sandbox.server_dir().join("join-token");
    for number in sandbox.node_numbers() {
        let command = agent_command(sandbox, number, &token_file);
        units.push(unit(
            sandbox,
            sandbox.name.node(number),
            command,
            Some(token_file.clone()),
        ));
    }
    units
}

fn unit(sandbox: &Sandbox, name: String, command: Vec<OsString>, requires: Option<PathBuf>) -> Unit {
    let output = Output::Log(log_file(sandbox, &name));
    Unit {
        name,
        command,
        output,
        grace: STOP_GRACE,
        requires,
    }
}

/// What restarts this process.
fn keeper(sandbox: &Sandbox) -> Unit {
    let mut command: Vec<OsString> = vec![sandbox.skep.clone().into()];
    command.extend(["sandbox", "keep", "--name", sandbox.name.as_str()].map(OsString::from));
    unit(sandbox, "keeper".to_owned(), command, None)
}

/// Where the output of a process goes.
pub(super) fn log_file(sandbox: &Sandbox, unit: &str) -> PathBuf {
    sandbox.log_dir().join(format!("{unit}.log"))
}

/// The last lines that a process wrote, indented.
pub(super) fn log_tail(sandbox: &Sandbox, unit: &str) -> String {
    let content = fs::read_to_string(log_file(sandbox, unit)).unwrap_or_default();
    let lines: Vec<&str> = content.lines().collect();
    let tail = &lines[lines.len().saturating_sub(LOG_LINES)..];
    tail.iter()
        .map(|line| format!("  {line}"))
        .collect::<Vec<_>>()
        .join("\n")
}

fn server_command(sandbox: &Sandbox) -> Vec<OsString> {
    let address = sandbox.server_address();
    let mut command = enter(
        sandbox,
        &format!("{}/{}", sandbox.name.server_cgroup(), cgroups::HOST),
        None,
    );
    command.extend(["server".into(), "--data-dir".into(), sandbox.server_dir().into()]);
    command.extend(["--listen".into(), format!("{address}:{}", sandbox.api_port).into()]);
    command.extend(["--advertise".into(), address.to_string().into()]);
    command.extend(["--node-grace-period".into(), milliseconds(sandbox.node_grace_period_ms)]);
    command.extend([
        "--not-ready-toleration".into(),
        milliseconds(sandbox.not_ready_toleration_ms),
    ]);
    command
}

fn agent_command(sandbox: &Sandbox, number: u16, token_file: &Path) -> Vec<OsString> {
    let group = sandbox.name.node_cgroup(number);
    let node = sandbox.name.node(number);
    let mut command = enter(
        sandbox,
        &format!("{group}/{}", cgroups::HOST),
        Some(&netns::path(&node)),
    );
    command.extend(["agent".into(), "--server".into(), sandbox.server_url().into()]);
    command.extend(["--token-file".into(), token_file.into()]);
    command.extend(["--node-name".into(), node.into()]);
    command.extend(["--node-ip".into(), sandbox.node_address(number).to_string().into()]);
    command.extend(["--data-dir".into(), sandbox.node_dir(number).into()]);
    command.extend(["--cgroup-root".into(), group.into()]);
    command.extend(["--bpffs".into(), sandbox.bpf_dir(number).into()]);
    command
}

/// `skep enter … -- skep`: the process moves itself into its node before it becomes what it is.
fn enter(sandbox: &Sandbox, group: &str, netns: Option<&Path>) -> Vec<OsString> {
    let mut command: Vec<OsString> = vec![
        sandbox.skep.clone().into(),
        "enter".into(),
        "--cgroup".into(),
        group.into(),
    ];
    if let Some(path) = netns {
        command.extend(["--netns".into(), path.into()]);
    }
    command.extend(["--".into(), sandbox.skep.clone().into()]);
    command
}

fn milliseconds(milliseconds: u64) -> OsString {
    format!("{milliseconds}ms").into()
}

/// The place of a unit in the state file, by the name a person uses.
pub(super) fn place_of(sandbox: &Sandbox, target: &str) -> anyhow::Result<usize> {
    if target == "server" {
        return Ok(0);
    }
    sandbox
        .number_of(target)
        .map(usize::from)
        .with_context(|| unknown_target(&sandbox.name, sandbox.nodes, target))
}

fn unknown_target(name: &SandboxName, nodes: u16, target: &str) -> String {
    let known = match nodes {
        1 => name.node(1),
        _ => format!("{} to {}", name.node(1), name.node(nodes)),
    };
    format!("{target:?} is neither `server` nor a node of the sandbox {name} (its nodes: {known})")
}
