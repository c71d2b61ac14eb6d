//! `skep agent`: arguments of a node.

use std::{
    collections::BTreeMap,
    net::IpAddr,
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::{Context, bail};

use super::{DATA_DIR, mistakes};

/// Where programs and maps are pinned unless somebody says otherwise.
const BPFFS: &str = "/sys/fs/bpf/skep";

/// Run a node: its pods, its network, its part of every service.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct AgentArguments {
    /// The server's address.
    #[arg(long, value_name = "URL")]
    pub(crate) server: String,
    /// Token that lets a new node join (the server writes it to DIR/join-token). Not needed again afterwards.
    #[arg(long, env = "SKEP_TOKEN", hide_env_values = true)]
    pub(crate) token: Option<String>,
    /// Read the token from a file, which keeps it out of the list of processes.
    #[arg(long, value_name = "FILE", conflicts_with = "token")]
    pub(crate) token_file: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) node: NodeArguments,
}

/// What identifies a node on its machine: enough to clean up after it, too.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct NodeArguments {
    /// Name of the node. Default: this machine's name.
    #[arg(long, value_name = "NAME")]
    pub(crate) node_name: Option<String>,
    /// Where images, containers and the node's certificate are kept.
    #[arg(long, value_name = "DIR", default_value_os_t = PathBuf::from(DATA_DIR).join("agent"))]
    pub(crate) data_dir: PathBuf,
    /// Address by which other nodes reach this one. Default: the one the server is reached from.
    #[arg(long, value_name = "IP")]
    pub(crate) node_ip: Option<IpAddr>,
    /// The node's directory below the root of every cgroup hierarchy. Default: skep/NODE.
    #[arg(long, value_name = "PATH")]
    pub(crate) cgroup_root: Option<String>,
    /// The cgroup v2 directory whose sockets see services. Default: the node's.
    #[arg(long, value_name = "DIR")]
    pub(crate) socket_cgroup: Option<PathBuf>,
    /// Where programs and maps are pinned.
    #[arg(long, value_name = "DIR", default_value = BPFFS)]
    pub(crate) bpffs: PathBuf,
    /// A label of the node. May be repeated.
    #[arg(long = "label", value_name = "KEY=VALUE", value_parser = parse_label)]
    pub(crate) labels: Vec<(String, String)>,
}

fn parse_label(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err("a label is KEY=VALUE".to_owned()),
    }
}

impl AgentArguments {
    /// Runs the agent until it is told to stop. Its pods stay.
    pub(crate) fn run(self) -> anyhow::Result<ExitCode> {
        let token = match (self.token, &self.token_file) {
            (None, Some(file)) => {
                let content = std::fs::read_to_string(file).with_context(|| {
                    format!(
                        "read the join token from {} (the server writes it when it first starts)",
                        file.display()
                    )
                })?;
                Some(content.trim().to_owned())
            }
            (token, _) => token,
        };
        if !self.server.starts_with("https://") {
            bail!("--server {}: give the server as https://ADDRESS:PORT", self.server);
        }
        let config = self.node.config(self.server, token)?;
        mistakes::check_node_name(&config.node_name)?;
        super::run_until_signal(|cancel| agent::run(config, cancel))
    }
}

impl NodeArguments {
    /// The node of `skep up`.
    pub(crate) fn of_up(data_dir: &Path, node_name: Option<String>) -> Self {
        Self::in_directory(data_dir.join("agent"), node_name)
    }

    /// A node with nothing but its directory and its name.
    pub(crate) fn in_directory(data_dir: PathBuf, node_name: Option<String>) -> Self {
        Self {
            node_name,
            data_dir,
            node_ip: None,
            cgroup_root: None,
            socket_cgroup: None,
            bpffs: BPFFS.into(),
            labels: Vec::new(),
        }
    }

    /// The agent's configuration; for cleaning up, the server and the token do not matter.
    pub(crate) fn config(self, server: String, token: Option<String>) -> anyhow::Result<agent::AgentConfig> {
        let node_name = match self.node_name {
            Some(name) => name,
            None => super::host_name()?,
        };
        let cgroup_root = self.cgroup_root.unwrap_or_else(|| format!("skep/{node_name}"));
        Ok(agent::AgentConfig {
            server,
            token,
            node_name,
            data_dir: self.data_dir,
            node_ip: self.node_ip,
            cgroup_root,
            socket_cgroup: self.socket_cgroup,
            bpffs: self.bpffs,
            labels: self.labels.into_iter().collect::<BTreeMap<_, _>>(),
        })
    }
}
