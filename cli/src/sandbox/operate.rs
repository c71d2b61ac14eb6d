//! `skep sandbox stop` and `start`.

use std::{
    net::{SocketAddr, TcpStream},
    process::ExitCode,
    time::{Duration, Instant},
};

use anyhow::Context;

use super::{
    NameArgument,
    control_socket::{self, Request},
    registry::{self, Sandbox},
    supervisor,
};
use crate::supervise::record::Phase;

/// How long a server may take to open its store and listen.
const LISTENS_WITHIN: Duration = Duration::from_secs(30);
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
            control_socket::ask(&sandbox, Request::Start { unit })?;
            if target == "server" {
                wait_until_it_listens(&sandbox)?;
            }
            outln!("{target} started");
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// Whoever starts the server wants to talk to it next.
fn wait_until_it_listens(sandbox: &Sandbox) -> anyhow::Result<()> {
    let address = SocketAddr::from((sandbox.server_address(), sandbox.api_port));
    let deadline = Instant::now() + LISTENS_WITHIN;
    while let Err(error) = TcpStream::connect_timeout(&address, LISTENS_WITHIN) {
        if Instant::now() > deadline {
            let log = supervisor::log_file(sandbox, "server");
            return Err(error).with_context(|| format!("the server does not listen; its log is {}", log.display()));
        }
        std::thread::sleep(LOOK_INTERVAL);
    }
    Ok(())
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
