//! `skep sandbox stop` and `start`.

use std::{
    process::ExitCode,
    time::{Duration, Instant},
};

use anyhow::{Context, bail};

use super::{
    NameArgument,
    control_socket::{self, Request},
    registry::{self, Sandbox},
    supervisor,
};
use crate::{
    client::{ConnectionArguments, connection::RequestError},
    supervise::record::{Phase, ProcessRecord},
};

/// How long a server may take to open its store and answer.
const ANSWERS_WITHIN: Duration = Duration::from_secs(30);
/// How often we look whether it does.
const LOOK_INTERVAL: Duration = Duration::from_millis(20);

/// Stop the server or a node's agent until `start`. Pods keep running.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct StopArguments {
    #[command(flatten)]
    name: NameArgument,
    /// `server`, or the name of a node. May be repeated.
    #[arg(value_name = "NODE|server", required = true)]
    targets: Vec<String>,
}

/// Start what was stopped. Without a target: whatever of the sandbox is not running.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct StartArguments {
    #[command(flatten)]
    name: NameArgument,
    /// `server`, or the name of a node. May be repeated.
    #[arg(value_name = "NODE|server")]
    targets: Vec<String>,
}

impl StopArguments {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        super::require_root()?;
        let sandbox = registry::find(&self.name.name)?;
        let units = places(&sandbox, &self.targets)?;
        supervisor::ensure(&sandbox)?;
        for (unit, target) in units.into_iter().zip(&self.targets) {
            control_socket::ask(&sandbox, Request::Stop { unit })?;
            outln!("{target} stopped");
        }
        Ok(ExitCode::SUCCESS)
    }
}

impl StartArguments {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        super::require_root()?;
        let sandbox = registry::find(&self.name.name)?;
        supervisor::ensure(&sandbox)?;
        let targets = if self.targets.is_empty() {
            not_running(&sandbox)?
        } else {
            self.targets
        };
        for (unit, target) in places(&sandbox, &targets)?.into_iter().zip(&targets) {
            let restarts_before = server_of(&sandbox)?.restarts;
            control_socket::ask(&sandbox, Request::Start { unit })?;
            if target == "server" {
                wait_until_it_answers(&sandbox, restarts_before)?;
            }
            outln!("{target} started");
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// Whoever starts the server wants to talk to it next. That it has ended is an error, not a reason to wait for its
/// restart.
fn wait_until_it_answers(sandbox: &Sandbox, restarts_before: u32) -> anyhow::Result<()> {
    let deadline = Instant::now() + ANSWERS_WITHIN;
    let runtime = super::runtime()?;
    while let Err(error) = runtime.block_on(greet(sandbox)) {
        let server = server_of(sandbox)?;
        if server.restarts > restarts_before {
            bail!(
                "the server ended ({}); its log ends with\n{}",
                server.last_end.as_deref().unwrap_or("nobody saw how"),
                supervisor::log_tail(sandbox, &server.unit)
            );
        }
        if Instant::now() > deadline {
            let log = supervisor::log_file(sandbox, "server");
            return Err(error).with_context(|| format!("the server does not answer; its log is {}", log.display()));
        }
        std::thread::sleep(LOOK_INTERVAL);
    }
    Ok(())
}

/// Ok if it is this sandbox's server that answers, whatever it says: another program may listen on its port.
async fn greet(sandbox: &Sandbox) -> anyhow::Result<()> {
    let kubeconfig = sandbox.server_dir().join("kubeconfig");
    let connection = ConnectionArguments::for_kubeconfig(&kubeconfig).connect().await?;
    match connection.get_json("/version").await {
        Ok(_) | Err(RequestError::Refused(_)) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

fn server_of(sandbox: &Sandbox) -> anyhow::Result<ProcessRecord> {
    let mut processes = control_socket::status(sandbox)?.processes.into_iter();
    processes.next().context("the record has no server")
}

fn places(sandbox: &Sandbox, targets: &[String]) -> anyhow::Result<Vec<usize>> {
    targets
        .iter()
        .map(|target| supervisor::place_of(sandbox, target))
        .collect()
}

fn not_running(sandbox: &Sandbox) -> anyhow::Result<Vec<String>> {
    let state = control_socket::status(sandbox)?.checked();
    let stopped = state
        .processes
        .into_iter()
        .filter(|entry| entry.phase != Phase::Running);
    Ok(stopped.map(|entry| entry.unit).collect())
}
