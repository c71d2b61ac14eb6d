//! `skep up`: a whole cluster on this host: a server and an agent, supervised by one process, in one process group.

use std::{
    ffi::OsString,
    fs, io,
    net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener},
    path::{Path, PathBuf},
    process::ExitCode,
    time::Duration,
};

use anyhow::{Context, bail};
use serde::{Deserialize, Serialize};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::{API_PORT, DATA_DIR, mistakes, oidc_arguments::OidcArguments, server_arguments::ClusterArguments};
use crate::{
    logging::{LogArguments, LogFormat},
    supervise::{self, Output, Supervised, Supervisor, Unit, record::Record},
    whole_file::{read_json, write_json},
};

/// How long the server and the agent may take to end in an orderly way.
pub(super) const STOP_GRACE: Duration = Duration::from_secs(10);
/// Names in the data directory: the processes that run, the lock of the one that runs them, what they run as, and what
/// clients use.
pub(super) const RECORD: &str = "state.json";
pub(super) const LOCK: &str = "up.lock";
pub(super) const IDENTITY: &str = "up.json";
pub(super) const KUBECONFIG: &str = "kubeconfig";
/// What the server and the agent keep.
pub(super) const SERVER: &str = "server";
pub(super) const AGENT: &str = "agent";
/// Where the kubeconfig leads.
const SERVERS_KUBECONFIG: &str = "server/kubeconfig";

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
    #[command(flatten)]
    pub(crate) oidc: OidcArguments,
}

impl UpArguments {
    /// Runs until SIGINT or SIGTERM, then stops both. Pods stay, as they do when a node's agent is upgraded.
    pub(crate) fn run(self, log: &LogArguments) -> anyhow::Result<ExitCode> {
        mistakes::check_cluster(&self.cluster)?;
        mistakes::check_known_port(self.listen)?;
        let node_name = match &self.node_name {
            Some(name) => name.clone(),
            None => super::host_name()?,
        };
        mistakes::check_node_name(&node_name)?;
        let data_dir = std::path::absolute(&self.data_dir).context("resolve --data-dir")?;
        // Before anything is made, which would stay, and before the port is tried, which the other one has.
        if supervise::is_locked(&data_dir.join(LOCK))? {
            return Err(occupied(&data_dir));
        }
        if let Some(other) = agent::claim::other_owner(&data_dir.join(AGENT)) {
            bail!(
                "this host is the node of another cluster, whose agent has the data directory {}; `skep down --data-dir \
                 DIR` removes it from this host",
                other.display()
            );
        }
        // The server would say the same in its log, again and again.
        drop(TcpListener::bind(self.listen).with_context(|| {
            format!(
                "listen on {}; is another server running? --listen takes another address",
                self.listen
            )
        })?);
        fs::create_dir_all(&data_dir).with_context(|| format!("create {}", data_dir.display()))?;
        let _only_one = supervise::lock(&data_dir.join(LOCK))?.ok_or_else(|| occupied(&data_dir))?;
        let units = self.units(&data_dir, &node_name, log)?;
        let (file, identity) = (data_dir.join(IDENTITY), Identity { node_name });
        // What is there as it should be is left: a cluster must start on a full disk.
        if !read_json(&file).is_ok_and(|present| present.as_ref() == Some(&identity)) {
            write_json(&file, &identity)?;
        }
        let record = Record::new(units.iter().map(|unit| unit.name.clone()));
        let publish = record.begin(data_dir.join(RECORD)).publish();
        let kubeconfig = link_kubeconfig(&data_dir)?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .context("start the supervisor")?;
        runtime.block_on(async {
            let mut interrupt = signal(SignalKind::interrupt()).context("listen for SIGINT")?;
            let mut terminate = signal(SignalKind::terminate()).context("listen for SIGTERM")?;
            let ending = CancellationToken::new();
            let supervisor = Supervisor::start_until(
                units.into_iter().map(|unit| (unit, Supervised::Started)).collect(),
                publish,
                ending.clone(),
            );
            info!(kubeconfig = %kubeconfig.display(), "a server and an agent are starting");
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
            ending.cancel();
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

    fn units(&self, data_dir: &Path, node_name: &str, log: &LogArguments) -> anyhow::Result<Vec<Unit>> {
        let skep = std::env::current_exe().context("find the skep binary")?;
        let server_dir = data_dir.join(SERVER);
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
        server.extend(self.oidc.as_flags()?);

        let mut agent = base(&["agent"]);
        agent.extend(["--server".into(), format!("https://{reached_at}").into()]);
        agent.extend(["--token-file".into(), token_file.clone().into()]);
        agent.extend(["--data-dir".into(), data_dir.join(AGENT).into()]);
        if let Some(address) = self.node_address() {
            agent.extend(["--node-ip".into(), address.to_string().into()]);
        }
        agent.extend(["--node-name".into(), node_name.into()]);
        if let Some(cgroup) = whole_host()? {
            agent.extend(["--socket-cgroup".into(), cgroup.into()]);
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

fn occupied(data_dir: &Path) -> anyhow::Error {
    anyhow::anyhow!(
        "another `skep up` runs with the data directory {}; stop it, or give this one another --data-dir",
        data_dir.display()
    )
}

/// What `skep down` must know of an earlier `skep up`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Identity {
    pub(super) node_name: String,
}

/// The control group of all processes: the shells of this host see services, too, not only its pods.
fn whole_host() -> anyhow::Result<Option<PathBuf>> {
    let hierarchies = agent::hierarchies::mounted().context("read the mounted cgroup hierarchies")?;
    Ok(agent::hierarchies::v2(&hierarchies).map(Path::to_owned))
}

/// Makes DIR/kubeconfig lead to the one the server writes, and returns the path to use: a file of somebody else's that
/// is there stays.
fn link_kubeconfig(data_dir: &Path) -> anyhow::Result<PathBuf> {
    let kubeconfig = data_dir.join(KUBECONFIG);
    match std::os::unix::fs::symlink(SERVERS_KUBECONFIG, &kubeconfig) {
        Ok(()) => Ok(kubeconfig),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            if is_our_link(&kubeconfig) {
                return Ok(kubeconfig);
            }
            let used = data_dir.join(SERVERS_KUBECONFIG);
            warn!(
                kept = %kubeconfig.display(),
                kubeconfig = %used.display(),
                "a kubeconfig that is not ours is in the way and stays; use the server's"
            );
            Ok(used)
        }
        Err(error) => Err(error).with_context(|| format!("create {}", kubeconfig.display())),
    }
}

/// Whether this is the link that `skep up` makes.
pub(super) fn is_our_link(kubeconfig: &Path) -> bool {
    fs::read_link(kubeconfig).is_ok_and(|target| target == Path::new(SERVERS_KUBECONFIG))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kubeconfig_of_somebody_else_stays_and_the_servers_is_used() {
        let directory = tempfile::tempdir().expect("make a directory");
        let (own, servers) = (
            directory.path().join(KUBECONFIG),
            directory.path().join(SERVERS_KUBECONFIG),
        );
        for round in ["made", "found"] {
            assert_eq!(link_kubeconfig(directory.path()).expect(round), own, "{round}");
        }
        fs::remove_file(&own).expect("remove the link");
        fs::write(&own, "another cluster's").expect("write a file");
        assert_eq!(link_kubeconfig(directory.path()).expect("kept"), servers);
        assert_eq!(fs::read_to_string(&own).expect("it is there"), "another cluster's");
    }
}
