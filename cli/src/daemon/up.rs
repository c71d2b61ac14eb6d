//! `skep up`: a whole cluster on this host: a server and an agent, supervised by one process, in one process group.

use std::{
    ffi::OsString,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    process::ExitCode,
    sync::Arc,
    time::Duration,
};

use anyhow::Context;
use tokio::signal::unix::{SignalKind, signal};
use tracing::info;

use super::{API_PORT, DATA_DIR, server_arguments::ClusterArguments};
use crate::{
    logging::{LogArguments, LogFormat},
    supervise::{Output, Supervised, Supervisor, Unit},
};

/// How long the server and the agent may take to end in an orderly way.
const STOP_GRACE: Duration = Duration::from_secs(10);

/// Run a server and an agent on this host, in the foreground.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct UpArguments {
    /// Where everything is kept; the kubeconfig is DIR/kubeconfig.
    #[arg(long, value_name = "DIR", default_value = DATA_DIR)]
    pub(crate) data_dir: PathBuf,
    /// The server's address.
    #[arg(long, value_name = "IP:PORT", default_value_t = SocketAddr::from((Ipv4Addr::UNSPECIFIED, API_PORT)))]
    pub(crate) listen: SocketAddr,
    /// Name of the node. Default: this machine's name.
    #[arg(long, value_name = "NAME")]
    pub(crate) node_name: Option<String>,
    #[command(flatten)]
    pub(crate) cluster: ClusterArguments,
}

impl UpArguments {
    /// Runs until SIGINT or SIGTERM, then stops both. Pods stay, as they do when a node's agent is upgraded.
    pub(crate) fn run(self, log: &LogArguments) -> anyhow::Result<ExitCode> {
        let data_dir = std::path::absolute(&self.data_dir).context("resolve --data-dir")?;
        std::fs::create_dir_all(&data_dir).with_context(|| format!("create {}", data_dir.display()))?;
        let units = self.units(&data_dir, log)?;
        let kubeconfig = data_dir.join("kubeconfig");
        link_kubeconfig(&kubeconfig)?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .context("start the supervisor")?;
        runtime.block_on(async {
            let mut interrupt = signal(SignalKind::interrupt()).context("listen for SIGINT")?;
            let mut terminate = signal(SignalKind::terminate()).context("listen for SIGTERM")?;
            let supervisor = Supervisor::start(
                units.into_iter().map(|unit| (unit, Supervised::Started)).collect(),
                Arc::new(|_, _| {}),
            );
            info!(kubeconfig = %kubeconfig.display(), "a server and an agent are starting");
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
            info!("stopping; pods keep running");
            supervisor.shut_down().await;
            Ok(ExitCode::SUCCESS)
        })
    }

    /// The node's address: not loopback, over which the agent may well reach the server.
    fn node_address(&self) -> Option<IpAddr> {
        let listen = self.listen.ip();
        if listen.is_unspecified() || listen.is_loopback() {
            super::primary_address().map(IpAddr::V4)
        } else {
            Some(listen)
        }
    }

    fn units(&self, data_dir: &Path, log: &LogArguments) -> anyhow::Result<Vec<Unit>> {
        let skep = std::env::current_exe().context("find the skep binary")?;
        let server_dir = data_dir.join("server");
        let token_file = server_dir.join("join-token");
        let reached_at = if self.listen.ip().is_unspecified() {
            SocketAddr::from((Ipv4Addr::LOCALHOST, self.listen.port()))
        } else {
            self.listen
        };
        // The children must not outlive us: a service manager that kills us starts us again.
        let base = |words: &[&str]| -> Vec<OsString> {
            let mut command: Vec<OsString> = vec![
                skep.clone().into(),
                "enter".into(),
                "--die-with-parent".into(),
                "--".into(),
            ];
            command.extend([skep.clone().into(), "--log".into(), log.log.clone().into()]);
            let format = match log.log_format {
                LogFormat::Human => "human",
                LogFormat::Json => "json",
            };
            command.extend(["--log-format".into(), format.into()]);
            command.extend(words.iter().map(OsString::from));
            command
        };
        let mut server = base(&["server"]);
        server.extend([
            "--data-dir".into(),
            server_dir.into(),
            "--listen".into(),
            self.listen.to_string().into(),
        ]);
        server.extend(self.cluster.as_flags());

        let mut agent = base(&["agent"]);
        agent.extend(["--server".into(), format!("https://{reached_at}").into()]);
        agent.extend(["--token-file".into(), token_file.clone().into()]);
        agent.extend(["--data-dir".into(), data_dir.join("agent").into()]);
        if let Some(address) = self.node_address() {
            agent.extend(["--node-ip".into(), address.to_string().into()]);
        }
        if let Some(name) = &self.node_name {
            agent.extend(["--node-name".into(), name.into()]);
        }
        let unit = |name: &str, command, requires| Unit {
            name: name.to_owned(),
            command,
            output: Output::Inherited,
            grace: STOP_GRACE,
            requires,
        };
        Ok(vec![
            unit("server", server, None),
            unit("agent", agent, Some(token_file)),
        ])
    }
}

/// Makes DIR/kubeconfig lead to the one the server writes.
fn link_kubeconfig(kubeconfig: &Path) -> anyhow::Result<()> {
    match std::os::unix::fs::symlink("server/kubeconfig", kubeconfig) {
        Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => {
            Err(error).with_context(|| format!("create {}", kubeconfig.display()))
        }
        Ok(()) | Err(_) => Ok(()),
    }
}
