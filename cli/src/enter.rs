//! `skep enter` (hidden): becomes another program inside a network namespace and control group.
//!
//! The same process throughout, so that whoever spawned it watches the program itself. Changes no mount namespace:
//! the control group and bpf file systems stay visible.

use std::{ffi::OsString, os::unix::process::CommandExt, path::PathBuf, process::Command};

use anyhow::{Context, anyhow};
use nix::sys::{prctl, signal::Signal};

use crate::sandbox::{cgroups, netns};

/// Run a program somewhere else.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct EnterArguments {
    /// The network namespace, by its bind mount.
    #[arg(long)]
    netns: Option<PathBuf>,
    /// The control group, below the root of every hierarchy.
    #[arg(long)]
    cgroup: Option<String>,
    /// End when the process that started this one ends.
    #[arg(long)]
    die_with_parent: bool,
    /// The program and its arguments.
    #[arg(last = true, required = true)]
    command: Vec<OsString>,
}

impl EnterArguments {
    /// Returns only if the program could not be started.
    pub(crate) fn run(self) -> anyhow::Error {
        match self.become_program() {
            Ok(never) => match never {},
            Err(error) => error,
        }
    }

    fn become_program(self) -> anyhow::Result<std::convert::Infallible> {
        if let Some(group) = &self.cgroup {
            cgroups::enter(group)?;
        }
        if let Some(path) = &self.netns {
            netns::enter(path)?;
        }
        if self.die_with_parent {
            prctl::set_pdeathsig(Signal::SIGTERM).context("tie this process to its parent")?;
        }
        become_command(&self.command)
    }
}

/// Replaces this process by a program.
pub(crate) fn become_command(command: &[OsString]) -> anyhow::Result<std::convert::Infallible> {
    let (program, arguments) = command.split_first().ok_or_else(|| anyhow!("no program was given"))?;
    let error = Command::new(program).args(arguments).exec();
    Err(error).with_context(|| format!("start {}", program.to_string_lossy()))
}
