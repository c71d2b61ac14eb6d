//! `skep attach`.

use std::process::ExitCode;

use serde_json::Value;

use super::session::{self, SessionArguments, Wanted};
use crate::client::{ConnectionArguments, object, pod_choice};

/// Connect to what runs in a container already.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct AttachArguments {
    /// `POD`, or `TYPE/NAME` of what has pods.
    #[arg(value_name = "POD | TYPE/NAME")]
    target: String,
    #[command(flatten)]
    session: SessionArguments,
    #[command(flatten)]
    connection: ConnectionArguments,
}

impl AttachArguments {
    pub(crate) async fn run(self) -> anyhow::Result<ExitCode> {
        let connection = self.connection.connect().await?;
        let choice = pod_choice::attachable(&connection, &self.target, self.session.pod_running_timeout).await?;
        let pod = choice.pod()?;
        session::refuse_completed(pod, "attach to")?;
        let quiet = self.session.quiet;
        let container = pod_choice::container(pod, self.session.container.as_deref(), quiet)?;
        let mut tty = session::has_terminal(&self.session);
        match (tty, has_tty(pod, &container)) {
            (true, false) => {
                if !quiet {
                    eprintln!("error: Unable to use a TTY - container {container} did not allocate one");
                }
                tty = false;
            }
            // The process has one output then, which is to be asked for as such.
            (false, true) => tty = true,
            (true, true) | (false, false) => {}
        }
        let wanted = Wanted {
            stdin: self.session.stdin,
            tty,
        };
        if !quiet && wanted.stdin && wanted.tty {
            eprintln!("If you don't see a command prompt, try pressing enter.");
        }
        let code = session::run(&connection, pod, &container, None, wanted).await?;
        if !quiet && wanted.stdin && wanted.tty && pod["spec"]["restartPolicy"] == "Always" {
            outln!(
                "Session ended, resume using 'skep attach {} -c {container} -i -t' command when the pod is running",
                object::name(pod)
            );
        }
        Ok(code)
    }
}

/// Whether a container's process has a terminal.
fn has_tty(pod: &Value, container: &str) -> bool {
    ["containers", "initContainers", "ephemeralContainers"]
        .iter()
        .flat_map(|list| object::items(&pod["spec"][list]))
        .any(|known| known["name"] == container && known["tty"] == true)
}
