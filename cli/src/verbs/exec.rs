//! `skep exec`.

use std::process::ExitCode;

use anyhow::bail;

use super::session::{self, SessionArguments, Wanted};
use crate::client::{ConnectionArguments, pod_choice};

/// Run a command in a container.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct ExecArguments {
    /// `POD`, or `TYPE/NAME` of what has pods.
    #[arg(value_name = "POD | TYPE/NAME")]
    target: Option<String>,
    /// The command and its arguments, after `--`.
    #[arg(last = true, value_name = "COMMAND")]
    command: Vec<String>,
    #[command(flatten)]
    session: SessionArguments,
    #[command(flatten)]
    connection: ConnectionArguments,
}

impl ExecArguments {
    /// The command's exit code is ours.
    pub(crate) async fn run(self) -> anyhow::Result<ExitCode> {
        let Some(target) = &self.target else {
            bail!("pod or type/name must be specified");
        };
        if self.command.is_empty() {
            bail!("you must specify at least one command for the container");
        }
        let connection = self.connection.connect().await?;
        let choice = pod_choice::attachable(&connection, target, self.session.pod_running_timeout).await?;
        let pod = choice.pod()?;
        session::refuse_completed(pod, "exec into")?;
        let container = pod_choice::container(pod, self.session.container.as_deref(), self.session.quiet)?;
        let wanted = Wanted {
            stdin: self.session.stdin,
            tty: session::has_terminal(&self.session),
        };
        session::run(&connection, pod, &container, Some(&self.command), wanted).await
    }
}
