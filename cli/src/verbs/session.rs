//! The standard streams of this process, connected to those in a container: what `exec` and `attach` have in common.

use std::{
    io::{Read as _, Write},
    process::ExitCode,
    thread::JoinHandle,
    time::Duration,
};

use anyhow::{Context, bail};
use bytes::Bytes;
use serde_json::Value;
use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    sync::mpsc,
};

use crate::{
    client::{
        Connection, object,
        remote_command::{self, End, PARTS_WAITING_MAX, Request, Streams},
    },
    raw_terminal::{self, RawTerminal},
};

/// Bytes that are read at once.
const READ_BYTES: usize = 32 << 10;
/// Sizes that wait to be told; a later one makes an earlier one void.
const SIZES_WAITING_MAX: usize = 4;
/// Exit code of a program that a closed pipe ended.
const CLOSED_PIPE: u8 = 128 + 13;

/// Flags that exec and attach have in common.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct SessionArguments {
    /// The container. Default: the pod's first.
    #[arg(short, long)]
    pub(super) container: Option<String>,
    /// Pass standard input on to the container.
    #[arg(short = 'i', long)]
    pub(super) stdin: bool,
    /// Standard input is a terminal.
    #[arg(short = 't', long)]
    pub(super) tty: bool,
    /// Print only what the container prints.
    #[arg(short, long)]
    pub(super) quiet: bool,
    /// How long to wait for there to be a pod: 5s, 2m, 3h.
    #[arg(long, value_name = "DURATION", default_value = "1m", value_parser = humantime::parse_duration)]
    pub(super) pod_running_timeout: Duration,
}

/// What of a terminal is wanted, and can be had.
pub(super) fn has_terminal(arguments: &SessionArguments) -> bool {
    if !arguments.stdin || !arguments.tty {
        return false;
    }
    if !raw_terminal::is_terminal() {
        if !arguments.quiet {
            eprintln!("Unable to use a TTY - input is not a terminal or the right kind of file");
        }
        return false;
    }
    true
}

/// Refuses pods whose containers have all ended.
pub(super) fn refuse_completed(pod: &Value, what: &str) -> anyhow::Result<()> {
    match pod["status"]["phase"].as_str().unwrap_or_default() {
        phase @ ("Succeeded" | "Failed") => {
            bail!("cannot {what} a container in a completed pod; current phase is {phase}")
        }
        _ => Ok(()),
    }
}

/// Connects until the command ends.
pub(super) async fn run(
    connection: &Connection,
    pod: &Value,
    container: &str,
    command: Option<&[String]>,
    wanted: Wanted,
) -> anyhow::Result<ExitCode> {
    let is_raw = wanted.tty && wanted.stdin;
    let request = Request {
        namespace: connection.namespace(),
        pod: object::name(pod),
        container,
        command,
        tty: wanted.tty,
    };
    let mut ending = Ending::new(is_raw)?;
    let terminal = if is_raw {
        Some(RawTerminal::enter().context("make the terminal raw")?)
    } else {
        None
    };
    let (stdout, stdout_writer) = writer(std::io::stdout);
    let (stderr, stderr_writer) = if wanted.tty {
        (None, None)
    } else {
        let (sender, writer) = writer(std::io::stderr);
        (Some(sender), Some(writer))
    };
    let streams = Streams {
        stdin: wanted.stdin.then(read_stdin),
        stdout: Some(stdout),
        stderr,
        sizes: if wanted.tty { Some(sizes()?) } else { None },
    };
    let ended = tokio::select! {
        ended = remote_command::run(connection, &request, streams) => Ok(ended),
        code = ending.wait() => Err(code),
    };
    // What has come is printed before we go; a signal does not wait for that.
    let ended = match ended {
        Ok(ended) => {
            let written = [Some(stdout_writer), stderr_writer].into_iter().flatten();
            written.for_each(|writer| _ = writer.join());
            ended
        }
        Err(code) => {
            drop(terminal);
            return Ok(ExitCode::from(code));
        }
    };
    drop(terminal);
    match ended? {
        End::Code(0) => Ok(ExitCode::SUCCESS),
        End::Code(code) => {
            eprintln!("command terminated with exit code {code}");
            Ok(ExitCode::from(u8::try_from(code).unwrap_or(1)))
        }
        End::Failed(message) => bail!("{message}"),
        End::NotRead => Ok(ExitCode::from(CLOSED_PIPE)),
    }
}

/// Which streams a session has.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wanted {
    pub(super) stdin: bool,
    pub(super) tty: bool,
}

/// Signals that would end us with the terminal still raw.
struct Ending(Option<[(Signal, u8); 4]>);

impl Ending {
    fn new(is_raw: bool) -> anyhow::Result<Ending> {
        if !is_raw {
            return Ok(Ending(None));
        }
        let of = |kind: SignalKind| -> anyhow::Result<(Signal, u8)> {
            let number = u8::try_from(kind.as_raw_value()).unwrap_or_default();
            Ok((signal(kind).context("listen for signals")?, 128 + number))
        };
        let kinds = [
            of(SignalKind::hangup())?,
            of(SignalKind::interrupt())?,
            of(SignalKind::quit())?,
            of(SignalKind::terminate())?,
        ];
        Ok(Ending(Some(kinds)))
    }

    /// The exit code that a signal asks for.
    async fn wait(&mut self) -> u8 {
        match &mut self.0 {
            None => std::future::pending().await,
            Some([hangup, interrupt, quit, terminate]) => tokio::select! {
                _ = hangup.0.recv() => hangup.1,
                _ = interrupt.0.recv() => interrupt.1,
                _ = quit.0.recv() => quit.1,
                _ = terminate.0.recv() => terminate.1,
            },
        }
    }
}

/// Standard input, read by a thread of its own: reading cannot be broken off.
fn read_stdin() -> mpsc::Receiver<Bytes> {
    let (sender, parts) = mpsc::channel(PARTS_WAITING_MAX);
    std::thread::spawn(move || {
        let mut input = std::io::stdin().lock();
        let mut buffer = vec![0; READ_BYTES];
        loop {
            match input.read(&mut buffer) {
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Ok(0) | Err(_) => return,
                Ok(count) => {
                    if sender.blocking_send(Bytes::copy_from_slice(&buffer[..count])).is_err() {
                        return;
                    }
                }
            }
        }
    });
    parts
}

/// Writes parts as they come, by a thread of its own: who reads us slowly does not hold the other streams up.
fn writer<W: Write>(open: impl FnOnce() -> W + Send + 'static) -> (mpsc::Sender<Bytes>, JoinHandle<()>) {
    let (sender, mut parts) = mpsc::channel::<Bytes>(PARTS_WAITING_MAX);
    let thread = std::thread::spawn(move || {
        let mut out = open();
        while let Some(part) = parts.blocking_recv() {
            if out.write_all(&part).and_then(|()| out.flush()).is_err() {
                return;
            }
        }
    });
    (sender, thread)
}

/// The terminal's size, now and whenever it changes.
fn sizes() -> anyhow::Result<mpsc::Receiver<(u16, u16)>> {
    let mut changes = signal(SignalKind::window_change()).context("listen for changes of the window")?;
    let (sender, sizes) = mpsc::channel(SIZES_WAITING_MAX);
    tokio::spawn(async move {
        loop {
            if let Some(size) = raw_terminal::size()
                && sender.send(size).await.is_err()
            {
                return;
            }
            if changes.recv().await.is_none() {
                return;
            }
        }
    });
    Ok(sizes)
}
