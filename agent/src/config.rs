//! What an agent is told when it starts, and where it keeps its things.
//!
//! Never here: reading files or the environment; the command line fills [`AgentConfig`].

use std::{
    collections::BTreeMap,
    net::IpAddr,
    path::{Path, PathBuf},
};

/// The file in an agent's data directory that the agent holds locked while it runs.
pub const LOCK: &str = "agent.lock";

/// What an agent needs to know to be a node.
#[derive(Debug, Clone)]
pub struct AgentConfig {
    /// The control plane's address: `https://host:port`.
    pub server: String,
    /// Join token `id.secret:sha256-of-the-CA`. Needed only while the node has no certificate of its own.
    pub token: Option<String>,
    /// Name of the Node object. A DNS subdomain in lower case.
    pub node_name: String,
    /// Where the agent keeps its identity, its mirror of the cluster's state, images and pods. Made with mode 0700.
    pub data_dir: PathBuf,
    /// The node's address on the underlay; by default the address of the interface of the default route.
    pub node_ip: Option<IpAddr>,
    /// Directory of this node below every cgroup hierarchy, without a leading slash: `skep/NAME-1`.
    pub cgroup_root: String,
    /// cgroup v2 directory that the socket hooks attach to; by default `cgroup_root` in the v2 hierarchy.
    pub socket_cgroup: Option<PathBuf>,
    /// Directory for the dataplane's pins. A bpf filesystem is mounted there if it is not on one.
    pub bpffs: PathBuf,
    /// Labels of the Node object that the agent sets.
    pub labels: BTreeMap<String, String>,
}

impl AgentConfig {
    /// The agent's files.
    #[must_use]
    pub fn paths(&self) -> Paths {
        Paths {
            data_dir: self.data_dir.clone(),
        }
    }
}

/// Names of the agent's files and directories below its data directory.
#[derive(Debug, Clone)]
pub struct Paths {
    data_dir: PathBuf,
}

impl Paths {
    /// The directory itself.
    #[must_use]
    pub fn data_dir(&self) -> &Path {
        &self.data_dir
    }

    /// Locked by the running agent.
    #[must_use]
    pub fn lock(&self) -> PathBuf {
        self.data_dir.join(LOCK)
    }

    /// Key, certificate and authority of the node, one file so that it changes as one.
    #[must_use]
    pub fn identity(&self) -> PathBuf {
        self.data_dir.join("identity.pem")
    }

    /// The mirror of the cluster's state.
    #[must_use]
    pub fn mirror(&self) -> PathBuf {
        self.data_dir.join("mirror")
    }

    /// Address assignments and what the node's network was made in.
    #[must_use]
    pub fn net(&self) -> PathBuf {
        self.data_dir.join("net")
    }

    /// One bind-mounted network namespace per pod, named by its uid.
    #[must_use]
    pub fn netns(&self) -> PathBuf {
        self.data_dir.join("netns")
    }

    /// Where the holder of the DNS sockets listens.
    #[must_use]
    pub fn dns_sockets(&self) -> PathBuf {
        self.data_dir.join("dns.sock")
    }
}
