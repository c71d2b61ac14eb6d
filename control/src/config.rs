//! What a server is told at its start: addresses, ranges and the times that differ between deployments.
//!
//! Never here: reading files or flags; `cli` fills this in.

use std::{
    collections::BTreeSet,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    ops::RangeInclusive,
    path::PathBuf,
    time::Duration,
};

use ipnet::{IpNet, Ipv4Net};

use crate::auth::OidcConfig;

/// Length of the prefix of one node's range of pod addresses: 254 pods, twice what Kubernetes puts on a node.
pub const NODE_PREFIX_LENGTH: u8 = 24;
/// As kube-controller-manager's `--cluster-signing-duration`: a year.
const SIGNING_DURATION: Duration = Duration::from_secs(365 * 24 * 60 * 60);
/// As in Kubernetes.
const REQUESTS_IN_FLIGHT: usize = 400;
/// As in Kubernetes.
const MUTATING_IN_FLIGHT: usize = 200;
/// A quarter of a year.
const ENCRYPTION_KEY_AGE: Duration = Duration::from_secs(90 * 24 * 60 * 60);

/// What of requests is written down, and where. The meaning is that of kube-apiserver's `--audit-*` flags.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AuditConfig {
    /// An `audit.k8s.io/v1` Policy; without one nothing is written.
    pub policy_file: Option<PathBuf>,
    /// The log's file; `-` is standard output. Without one nothing is written.
    pub log_path: Option<PathBuf>,
    /// Size in MiB at which the file is put aside.
    pub size_mb_max: u64,
    /// Older files that are kept; 0: all.
    pub backups_max: usize,
    /// Days that older files are kept; 0: for ever.
    pub age_days_max: u32,
}

/// Everything [`crate::run`] needs to know.
#[derive(Debug, Clone)]
pub struct ServerConfig {
    /// Where the store, the certificates, the kubeconfig and the join token live. Made with mode 0700.
    pub data_dir: PathBuf,
    /// The one TLS port: REST and the node stream. Port 0 takes a free one; the kubeconfig names it.
    pub listen: SocketAddr,
    /// Names and addresses under which clients reach this server; all go into its certificate, the first into the
    /// kubeconfig. Empty: the listen address, or 127.0.0.1 if that is unspecified.
    pub advertise: Vec<String>,
    /// Pods' addresses; each node gets a part.
    pub cluster_cidr: IpNet,
    /// Services' virtual addresses. The first is the `kubernetes` service.
    pub service_cidr: IpNet,
    /// Service address of the cluster's DNS; inside `service_cidr`.
    pub dns_ip: IpAddr,
    /// DNS suffix of services.
    pub cluster_domain: String,
    /// Ports that services of type NodePort get.
    pub node_port_range: RangeInclusive<u16>,
    /// A node that was silent for this long is marked unreachable.
    pub node_grace: Duration,
    /// How long pods tolerate a node that is not ready or unreachable, unless they say otherwise.
    pub default_not_ready_toleration: Duration,
    /// Collections whose objects are encrypted in the store, for example `secrets`.
    pub encrypted: BTreeSet<String>,
    /// The age at which the key they are encrypted with is replaced.
    pub encryption_key_age: Duration,
    /// How long certificates are good at most that requests ask for, and how long those of nodes are.
    pub signing_duration: Duration,
    /// The issuer whose ID tokens are taken, if there is one.
    pub oidc: Option<OidcConfig>,
    /// Requests that run at once: those that read, and those that change something. Together they are what priority
    /// levels share.
    pub requests_in_flight_max: usize,
    /// Requests that change something and run at once; see there.
    pub mutating_in_flight_max: usize,
    /// How long the server goes on serving after it was told to stop; `/readyz` fails from then on, so that balancers
    /// send their clients elsewhere first.
    pub shutdown_delay: Duration,
    /// The audit log.
    pub audit: AuditConfig,
}

impl ServerConfig {
    /// The addresses for the kubeconfig and the certificate, never empty.
    #[must_use]
    pub fn advertised(&self) -> Vec<String> {
        if !self.advertise.is_empty() {
            return self.advertise.clone();
        }
        let ip = self.listen.ip();
        if ip.is_unspecified() {
            vec![Ipv4Addr::LOCALHOST.to_string()]
        } else {
            vec![ip.to_string()]
        }
    }

    /// The address of the `kubernetes` service: the first of the service range.
    #[must_use]
    pub fn kubernetes_ip(&self) -> IpAddr {
        self.service_cidr
            .hosts()
            .next()
            .unwrap_or_else(|| self.service_cidr.network())
    }

    /// How often nodes have to give a sign of life: every 10 s as in Kubernetes, or, with a short grace, so often that
    /// four are missing before the node counts as gone.
    #[must_use]
    pub fn heartbeat_interval(&self) -> Duration {
        const USUAL: Duration = Duration::from_secs(10);
        const MISSING_BEFORE_GONE: u32 = 4;
        USUAL.min(self.node_grace / MISSING_BEFORE_GONE)
    }
}

impl Default for ServerConfig {
    fn default() -> ServerConfig {
        let v4 = |octets: [u8; 4], prefix| {
            IpNet::V4(Ipv4Net::new(Ipv4Addr::from(octets), prefix).expect("a prefix below 33 is valid"))
        };
        ServerConfig {
            data_dir: PathBuf::from("/var/lib/skep/server"),
            listen: SocketAddr::from((Ipv4Addr::UNSPECIFIED, 6443)),
            advertise: Vec::new(),
            cluster_cidr: v4([10, 42, 0, 0], 16),
            service_cidr: v4([10, 43, 0, 0], 16),
            dns_ip: IpAddr::V4(Ipv4Addr::new(10, 43, 0, 10)),
            cluster_domain: "cluster.local".to_owned(),
            node_port_range: 30000..=32767,
            node_grace: Duration::from_secs(40),
            default_not_ready_toleration: Duration::from_secs(300),
            encrypted: BTreeSet::from(["secrets".to_owned()]),
            encryption_key_age: ENCRYPTION_KEY_AGE,
            signing_duration: SIGNING_DURATION,
            oidc: None,
            requests_in_flight_max: REQUESTS_IN_FLIGHT,
            mutating_in_flight_max: MUTATING_IN_FLIGHT,
            shutdown_delay: Duration::ZERO,
            audit: AuditConfig::default(),
        }
    }
}
