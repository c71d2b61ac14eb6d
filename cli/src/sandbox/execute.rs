//! `skep sandbox exec`: becomes a program on a node. Input, output and exit code are the program's own.

use std::{ffi::OsString, process::ExitCode};

use anyhow::Context;

use super::{NameArgument, cgroups, netns, registry, supervisor};
use crate::enter::become_command;

/// Run a program on a node: in its network namespace and control group, with this machine's files.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct ExecArguments {
    #[command(flatten)]
    name: NameArgument,
    /// Name of the node.
    node: String,
    /// The program and its arguments.
    #[arg(last = true, required = true, value_name = "CMD")]
    command: Vec<OsString>,
}

impl ExecArguments {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        super::require_root()?;
        let sandbox = registry::find(&self.name.name)?;
        // Says which nodes there are, if this is none of them.
        supervisor::place_of(&sandbox, &self.node)?;
        let number = sandbox
            .number_of(&self.node)
            .context("the server runs on this machine itself: run the program without `skep sandbox exec`")?;
        cgroups::enter(&format!("{}/{}", sandbox.name.node_cgroup(number), cgroups::HOST))?;
        netns::enter(&netns::path(&self.node))?;
        match become_command(&self.command)? {}
    }
}
