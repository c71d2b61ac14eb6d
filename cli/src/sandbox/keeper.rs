//! `skep sandbox keep`: restarts a sandbox's supervisor when it dies, as the supervisor restarts everything else.
//!
//! The supervisor keeps its keeper alive, so that either may die alone. It holds no state and does nothing until then.

use std::process::ExitCode;

use anyhow::Context;
use rustix::event::{PollFd, PollFlags};
use tracing::{info, warn};

use super::{
    NameArgument,
    registry::{self, RegistryError, Sandbox},
    supervisor,
};
use crate::supervise::ProcessId;

/// Restart a sandbox's supervisor when it dies.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct KeepArguments {
    #[command(flatten)]
    name: NameArgument,
}

impl KeepArguments {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        let sandbox = registry::find(&self.name.name)?;
        let Some(supervisor) = sandbox.processes()?.supervisor else {
            anyhow::bail!("the record of the sandbox {} names no supervisor", sandbox.name);
        };
        wait_for_end(supervisor)?;
        // Whoever deletes the sandbox ends its supervisor, too, and holds this until nothing is left.
        let _one_at_a_time = registry::lock_operation(&sandbox.name)?;
        restart(&sandbox)?;
        Ok(ExitCode::SUCCESS)
    }
}

fn restart(sandbox: &Sandbox) -> anyhow::Result<()> {
    match registry::find(&sandbox.name) {
        Ok(found) if found.created == sandbox.created => {
            warn!(
                sandbox = sandbox.name.as_str(),
                "the supervisor died; it is started again"
            );
            supervisor::ensure(&found)
        }
        Ok(_) | Err(RegistryError::Unknown { .. }) => {
            info!(sandbox = sandbox.name.as_str(), "the sandbox is gone");
            Ok(())
        }
        Err(error) => Err(error.into()),
    }
}

fn wait_for_end(process: ProcessId) -> anyhow::Result<()> {
    let Some(handle) = process.open().context("open the supervisor's process")? else {
        return Ok(());
    };
    loop {
        match rustix::event::poll(&mut [PollFd::new(&handle, PollFlags::IN)], None) {
            Ok(_) => return Ok(()),
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error).context("wait for the supervisor's end"),
        }
    }
}
