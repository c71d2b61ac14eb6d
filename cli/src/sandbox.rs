//! `skep sandbox`: a cluster of several nodes on this machine.
//!
//! A node is a network namespace with its own agent process, control group, bpf directory and data directory; nodes
//! and the host meet on a bridge. The server runs on the host. A detached supervisor keeps the processes alive.
//! What exists is found by name, from the registry in /run and from the kernel, so that everything can be removed
//! after any crash.

use std::process::ExitCode;

use clap::Subcommand;

pub(crate) mod cgroups;
mod control_socket;
mod create;
mod delete;
mod execute;
mod interruption;
mod keeper;
mod load;
pub(crate) mod name;
pub(crate) mod netns;
mod operate;
mod registry;
mod status;
mod supervisor;
mod underlay;

use name::SandboxName;

/// A cluster of several nodes on this machine, each a network namespace.
#[derive(Debug, Clone, Subcommand)]
pub(crate) enum SandboxCommand {
    /// Make a cluster and wait until its nodes are ready.
    Create(create::CreateArguments),
    /// List the sandboxes of this machine.
    List(status::ListArguments),
    /// Show the processes of a sandbox.
    Status(status::StatusArguments),
    /// Run a program on a node.
    Exec(execute::ExecArguments),
    /// Give images to all nodes.
    Load(load::LoadArguments),
    /// Stop the server or a node's agent until `start`. Pods keep running.
    Stop(operate::StopArguments),
    /// Start what was stopped, or whatever of the sandbox is not running.
    Start(operate::StartArguments),
    /// Remove a sandbox and everything it made.
    Delete(delete::DeleteArguments),
    /// Keep a sandbox's processes alive (started by `create` and `start`).
    #[command(hide = true)]
    Supervise(supervisor::SuperviseArguments),
    /// Restart a sandbox's supervisor when it dies (started by the supervisor).
    #[command(hide = true)]
    Keep(keeper::KeepArguments),
}

/// Which sandbox.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct NameArgument {
    /// Name of the sandbox; its nodes are NAME-1, NAME-2, …
    #[arg(long, default_value = "skep", env = "SKEP_SANDBOX")]
    pub(crate) name: SandboxName,
}

impl SandboxCommand {
    /// True for those that run for long and write a log; the others talk to a person.
    pub(crate) fn logs(&self) -> bool {
        matches!(self, Self::Supervise(_) | Self::Keep(_))
    }

    /// Runs the command.
    pub(crate) fn run(self) -> anyhow::Result<ExitCode> {
        match self {
            Self::Create(arguments) => arguments.run(),
            Self::List(arguments) => arguments.run(),
            Self::Status(arguments) => arguments.run(),
            Self::Exec(arguments) => arguments.run(),
            Self::Load(arguments) => arguments.run(),
            Self::Stop(arguments) => arguments.run(),
            Self::Start(arguments) => arguments.run(),
            Self::Delete(arguments) => arguments.run(),
            Self::Supervise(arguments) => arguments.run(),
            Self::Keep(arguments) => arguments.run(),
        }
    }
}

/// A runtime for the short commands.
fn runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    use anyhow::Context;
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("start the asynchronous runtime")
}

fn require_root() -> anyhow::Result<()> {
    crate::require_root("making network namespaces and control groups for a sandbox")
}
