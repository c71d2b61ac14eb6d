//! `skep server`: arguments of the control plane.

use std::{
    ffi::OsString,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    ops::RangeInclusive,
    path::PathBuf,
    process::ExitCode,
    time::Duration,
};

use ipnet::IpNet;

use super::{API_PORT, DATA_DIR, mistakes, oidc_arguments::OidcArguments};

/// An audit log's size where none is chosen: what kube-apiserver's 0 means.
const AUDIT_LOG_MB: u64 = 100;

/// Run the control plane: API server, store, controllers and scheduler.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct ServerArguments {
    /// Where objects, certificates, the kubeconfig and the join token are kept.
    #[arg(long, value_name = "DIR", default_value_os_t = PathBuf::from(DATA_DIR).join("server"))]
    pub(crate) data_dir: PathBuf,
    /// The one TLS address of the API and of the agents' streams.
    #[arg(long, value_name = "IP:PORT", default_value_t = SocketAddr::from((Ipv4Addr::UNSPECIFIED, API_PORT)))]
    pub(crate) listen: SocketAddr,
    /// A name or address by which clients reach the server; the first one goes into the kubeconfig. May be repeated.
    /// Default: the listening address, or this machine's.
    #[arg(long, value_name = "NAME|IP")]
    pub(crate) advertise: Vec<String>,
    #[command(flatten)]
    pub(crate) cluster: ClusterArguments,
    /// Requests that read and run at once. With those that change something it is what priority levels share.
    #[arg(long, value_name = "COUNT", default_value_t = 400)]
    pub(crate) max_requests_inflight: usize,
    /// Requests that change something and run at once.
    #[arg(long, value_name = "COUNT", default_value_t = 200)]
    pub(crate) max_mutating_requests_inflight: usize,
    /// How long to go on serving after the signal to stop; /readyz fails from then on.
    #[arg(long, value_name = "DURATION", default_value = "0s", value_parser = humantime::parse_duration)]
    pub(crate) shutdown_delay_duration: Duration,
    #[command(flatten)]
    pub(crate) audit: AuditArguments,
    /// How long certificates of nodes are good, and certificates that requests ask for at most.
    #[arg(long, value_name = "DURATION", default_value = "365days", value_parser = parse_signing_duration)]
    pub(crate) cluster_signing_duration: Duration,
    #[command(flatten)]
    pub(crate) oidc: OidcArguments,
}

/// What of requests is written down; named as kube-apiserver names it.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct AuditArguments {
    /// An audit.k8s.io/v1 Policy that says which requests are written to the audit log; without one none are.
    #[arg(long, value_name = "FILE")]
    pub(crate) audit_policy_file: Option<PathBuf>,
    /// The audit log's file, one JSON event a line; - is standard output.
    #[arg(long, value_name = "FILE|-")]
    pub(crate) audit_log_path: Option<PathBuf>,
    /// Size in MB at which the audit log is put aside and a new one begun; 0: 100.
    #[arg(long, value_name = "MB", default_value_t = 0)]
    pub(crate) audit_log_maxsize: u64,
    /// Older audit logs that are kept; 0: all.
    #[arg(long, value_name = "COUNT", default_value_t = 0)]
    pub(crate) audit_log_maxbackup: usize,
    /// Days that older audit logs are kept; 0: for ever.
    #[arg(long, value_name = "DAYS", default_value_t = 0)]
    pub(crate) audit_log_maxage: u32,
}

impl From<AuditArguments> for control::AuditConfig {
    fn from(arguments: AuditArguments) -> Self {
        control::AuditConfig {
            policy_file: arguments.audit_policy_file,
            log_path: arguments.audit_log_path,
            size_mb_max: match arguments.audit_log_maxsize {
                0 => AUDIT_LOG_MB,
                size => size,
            },
            backups_max: arguments.audit_log_maxbackup,
            age_days_max: arguments.audit_log_maxage,
        }
    }
}

/// What the cluster is made of; the same for every way of starting a server.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct ClusterArguments {
    /// Range of pod addresses; every node gets a /24 of it.
    #[arg(long, value_name = "CIDR", default_value = "10.42.0.0/16")]
    pub(crate) cluster_cidr: IpNet,
    /// Range of service addresses.
    #[arg(long, value_name = "CIDR", default_value = "10.43.0.0/16")]
    pub(crate) service_cidr: IpNet,
    /// Service address of the cluster's DNS.
    #[arg(long, value_name = "IP", default_value = "10.43.0.10")]
    pub(crate) cluster_dns: IpAddr,
    /// Domain of the cluster's names.
    #[arg(long, value_name = "DOMAIN", default_value = "cluster.local")]
    pub(crate) cluster_domain: String,
    /// Ports that NodePort services get.
    #[arg(long, value_name = "FIRST-LAST", default_value = "30000-32767", value_parser = parse_port_range)]
    pub(crate) service_node_port_range: PortRange,
    /// How long a node may be silent before it is marked as not ready; at least 1s.
    #[arg(long, value_name = "DURATION", default_value = "50s", value_parser = parse_grace)]
    pub(crate) node_grace_period: Duration,
    /// How long pods stay on a node that is not ready, unless they say otherwise.
    #[arg(long, value_name = "DURATION", default_value = "300s", value_parser = humantime::parse_duration)]
    pub(crate) not_ready_toleration: Duration,
    /// Kinds whose objects are encrypted in the store, named as in `kubectl get`: secrets, deployments.apps.
    #[arg(long, value_name = "KIND,...", value_delimiter = ',', default_value = "secrets", value_parser = parse_encrypted)]
    pub(crate) encrypt: Vec<String>,
    /// The age at which the key they are encrypted with is replaced and all of them are encrypted anew.
    #[arg(long, value_name = "DURATION", default_value = "90days", value_parser = humantime::parse_duration)]
    pub(crate) encryption_key_age: Duration,
}

/// First and last port.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PortRange {
    pub(crate) first: u16,
    pub(crate) last: u16,
}

impl From<PortRange> for RangeInclusive<u16> {
    fn from(range: PortRange) -> Self {
        range.first..=range.last
    }
}

/// A node's silence that means something: shorter ones happen to every node that is busy for a moment.
pub(crate) fn parse_grace(text: &str) -> Result<Duration, String> {
    const GRACE_MIN: Duration = Duration::from_secs(1);
    let grace = humantime::parse_duration(text).map_err(|error| error.to_string())?;
    if grace < GRACE_MIN {
        return Err("must be at least 1s".to_owned());
    }
    Ok(grace)
}

/// A life that leaves an agent time to renew its certificate.
fn parse_signing_duration(text: &str) -> Result<Duration, String> {
    const LIFE_MIN: Duration = Duration::from_secs(120);
    let life = humantime::parse_duration(text).map_err(|error| error.to_string())?;
    if life < LIFE_MIN {
        return Err("must be at least 2min".to_owned());
    }
    Ok(life)
}

fn parse_encrypted(text: &str) -> Result<String, String> {
    let is_name = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'.' | b'-');
    if text.starts_with(|first: char| first.is_ascii_lowercase()) && text.bytes().all(is_name) {
        Ok(text.to_owned())
    } else {
        Err("a kind is its plural name with its group behind it, as in secrets or deployments.apps".to_owned())
    }
}

/// Where the store keeps the kind that clients call `deployments.apps`.
fn collection(kind: &str) -> String {
    match kind.split_once('.') {
        Some((plural, group)) => format!("{group}/{plural}"),
        None => kind.to_owned(),
    }
}

fn parse_port_range(text: &str) -> Result<PortRange, String> {
    let (first, last) = text
        .split_once('-')
        .ok_or("a port range is FIRST-LAST, as in 30000-32767")?;
    let port = |text: &str| text.parse::<u16>().map_err(|error| format!("{text}: {error}"));
    let range = PortRange {
        first: port(first)?,
        last: port(last)?,
    };
    if range.first == 0 || range.first > range.last {
        return Err("the first port must be at least 1 and at most the last".to_owned());
    }
    Ok(range)
}

impl ClusterArguments {
    /// The same choices as flags of `skep server`.
    pub(crate) fn as_flags(&self) -> Vec<OsString> {
        let range = self.service_node_port_range;
        [
            ("--cluster-cidr", self.cluster_cidr.to_string()),
            ("--service-cidr", self.service_cidr.to_string()),
            ("--cluster-dns", self.cluster_dns.to_string()),
            ("--cluster-domain", self.cluster_domain.clone()),
            ("--service-node-port-range", format!("{}-{}", range.first, range.last)),
            (
                "--node-grace-period",
                humantime::format_duration(self.node_grace_period).to_string(),
            ),
            (
                "--not-ready-toleration",
                humantime::format_duration(self.not_ready_toleration).to_string(),
            ),
            ("--encrypt", self.encrypt.join(",")),
            (
                "--encryption-key-age",
                humantime::format_duration(self.encryption_key_age).to_string(),
            ),
        ]
        .into_iter()
        .flat_map(|(flag, value)| [flag.into(), value.into()])
        .collect()
    }
}

impl ServerArguments {
    /// Runs the server until it is told to stop.
    pub(crate) fn run(self) -> anyhow::Result<ExitCode> {
        mistakes::check_cluster(&self.cluster)?;
        let config = self.config()?;
        super::run_until_signal(|cancel| control::run(config, cancel))
    }

    fn config(self) -> anyhow::Result<control::ServerConfig> {
        let advertise = if self.advertise.is_empty() {
            default_names(self.listen.ip())?
        } else {
            self.advertise
        };
        let cluster = self.cluster;
        Ok(control::ServerConfig {
            data_dir: self.data_dir,
            listen: self.listen,
            advertise,
            cluster_cidr: cluster.cluster_cidr,
            service_cidr: cluster.service_cidr,
            dns_ip: cluster.cluster_dns,
            cluster_domain: cluster.cluster_domain,
            node_port_range: cluster.service_node_port_range.into(),
            node_grace: cluster.node_grace_period,
            default_not_ready_toleration: cluster.not_ready_toleration,
            encrypted: cluster.encrypt.iter().map(|kind| collection(kind)).collect(),
            encryption_key_age: cluster.encryption_key_age,
            signing_duration: self.cluster_signing_duration,
            oidc: self.oidc.config(),
            requests_in_flight_max: self.max_requests_inflight,
            mutating_in_flight_max: self.max_mutating_requests_inflight,
            shutdown_delay: self.shutdown_delay_duration,
            audit: self.audit.into(),
        })
    }
}

fn default_names(listen: IpAddr) -> anyhow::Result<Vec<String>> {
    if !listen.is_unspecified() {
        return Ok(vec![listen.to_string(), "localhost".to_owned()]);
    }
    let address = super::primary_address().unwrap_or(Ipv4Addr::LOCALHOST);
    let mut names = vec![
        address.to_string(),
        "127.0.0.1".to_owned(),
        "localhost".to_owned(),
        super::host_name()?,
    ];
    names.dedup();
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn port_ranges_are_read_or_refused() {
        for (text, expected) in [
            ("30000-32767", Some((30_000, 32_767))),
            ("80-80", Some((80, 80))),
            ("0-10", None),
            ("10-9", None),
            ("80", None),
            ("80-70000", None),
        ] {
            let parsed = parse_port_range(text).ok().map(|range| (range.first, range.last));
            assert_eq!(parsed, expected, "{text}");
        }
    }
}
