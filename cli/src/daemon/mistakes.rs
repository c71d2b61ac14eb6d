//! What a cluster or a node cannot be told at its start: found before anything is made.
//!
//! Pure. Never here: the form of one flag's value alone, which its parser checks.

use std::net::{IpAddr, SocketAddr};

use api::{resource::resources, validation::names};
use control::config::NODE_PREFIX_LENGTH;
use ipnet::IpNet;

use super::server_arguments::ClusterArguments;

/// Flags that make no cluster.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Mistake {
    #[error("--cluster-cidr {pods} overlaps --service-cidr {services}: pods and services need addresses of their own")]
    Overlap { pods: IpNet, services: IpNet },
    #[error("--cluster-cidr {pods} is too small: every node gets a /{NODE_PREFIX_LENGTH} of it")]
    TooSmall { pods: IpNet },
    #[error("{flag} {range}: only IPv4 is supported")]
    NotIpv4 { flag: &'static str, range: IpNet },
    #[error("--cluster-dns {dns} is not an address of a service in --service-cidr {services}")]
    DnsOutside { dns: IpAddr, services: IpNet },
    #[error("--cluster-dns {dns} is the address of the service `kubernetes`, the first of --service-cidr {services}")]
    DnsTaken { dns: IpAddr, services: IpNet },
    #[error(
        "--encrypt {kind}: there is no such kind; a kind is its plural name with its group behind it, as in secrets or deployments.apps"
    )]
    UnknownKind { kind: String },
    #[error("--node-name {name}: {reason}")]
    NodeName { name: String, reason: String },
    #[error("--listen {listen}: the agent must know the port, so it cannot be 0")]
    PortZero { listen: SocketAddr },
}

/// The cluster can be made so.
pub(crate) fn check_cluster(cluster: &ClusterArguments) -> Result<(), Mistake> {
    let (pods, services, dns) = (cluster.cluster_cidr, cluster.service_cidr, cluster.cluster_dns);
    for (flag, range) in [("--cluster-cidr", pods), ("--service-cidr", services)] {
        if !range.addr().is_ipv4() {
            return Err(Mistake::NotIpv4 { flag, range });
        }
    }
    if pods.contains(&services.addr()) || services.contains(&pods.addr()) {
        return Err(Mistake::Overlap { pods, services });
    }
    if pods.prefix_len() > NODE_PREFIX_LENGTH {
        return Err(Mistake::TooSmall { pods });
    }
    if !services.contains(&dns) || dns == services.network() || dns == services.broadcast() {
        return Err(Mistake::DnsOutside { dns, services });
    }
    if services.hosts().next() == Some(dns) {
        return Err(Mistake::DnsTaken { dns, services });
    }
    match cluster.encrypt.iter().find(|kind| !may_be_stored(kind)) {
        None => Ok(()),
        Some(kind) => Err(Mistake::UnknownKind { kind: kind.clone() }),
    }
}

/// Whether objects of this kind may come to be in the store. What is in a group that is not built in may be made by a
/// CustomResourceDefinition, whose group has a `.`.
fn may_be_stored(kind: &str) -> bool {
    let (plural, group) = kind.split_once('.').unwrap_or((kind, ""));
    let mut of_group = resources().iter().filter(|row| row.group == group).peekable();
    match of_group.peek() {
        Some(_) => of_group.any(|row| row.plural == plural && row.stored_as.is_none()),
        None => group.contains('.'),
    }
}

/// A node can have this name.
pub(crate) fn check_node_name(name: &str) -> Result<(), Mistake> {
    names::dns_subdomain(name).map_err(|reason| Mistake::NodeName {
        name: name.to_owned(),
        reason,
    })
}

/// Others can be told this address before anybody listens there.
pub(crate) fn check_known_port(listen: SocketAddr) -> Result<(), Mistake> {
    match listen.port() {
        0 => Err(Mistake::PortZero { listen }),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Flags {
        #[command(flatten)]
        cluster: ClusterArguments,
    }

    #[test]
    fn impossible_clusters_are_refused_by_the_flag_that_is_wrong() {
        for (flags, expected) in [
            ("", None),
            ("--cluster-cidr 10.0.0.0/24", None),
            (
                "--cluster-cidr 10.43.0.0/16",
                Some("--cluster-cidr 10.43.0.0/16 overlaps --service-cidr"),
            ),
            (
                "--cluster-cidr 10.43.7.0/24",
                Some("--cluster-cidr 10.43.7.0/24 overlaps --service-cidr"),
            ),
            (
                "--cluster-cidr 10.0.0.0/8",
                Some("--cluster-cidr 10.0.0.0/8 overlaps --service-cidr"),
            ),
            (
                "--cluster-cidr 10.0.0.0/30",
                Some("--cluster-cidr 10.0.0.0/30 is too small: every node gets a /24"),
            ),
            ("--cluster-cidr fd00::/16", Some("--cluster-cidr fd00::/16: only IPv4")),
            (
                "--service-cidr fd00::/112",
                Some("--service-cidr fd00::/112: only IPv4"),
            ),
            ("--service-cidr 10.96.0.0/12 --cluster-dns 10.96.0.10", None),
            (
                "--service-cidr 10.96.0.0/12",
                Some("--cluster-dns 10.43.0.10 is not an address of a service"),
            ),
            (
                "--cluster-dns 1.1.1.1",
                Some("--cluster-dns 1.1.1.1 is not an address of a service"),
            ),
            (
                "--cluster-dns 10.43.0.0",
                Some("--cluster-dns 10.43.0.0 is not an address of a service"),
            ),
            (
                "--cluster-dns fd00::1",
                Some("--cluster-dns fd00::1 is not an address of a service"),
            ),
            (
                "--cluster-dns 10.43.0.1",
                Some("--cluster-dns 10.43.0.1 is the address of the service `kubernetes`"),
            ),
            ("--encrypt secrets,deployments.apps", None),
            ("--encrypt certificates.cert-manager.io", None),
            ("--encrypt nope", Some("--encrypt nope: there is no such kind")),
            (
                "--encrypt secrets,secret",
                Some("--encrypt secret: there is no such kind"),
            ),
            (
                "--encrypt deployments",
                Some("--encrypt deployments: there is no such kind"),
            ),
            (
                "--encrypt deployments.app",
                Some("--encrypt deployments.app: there is no such kind"),
            ),
            (
                "--encrypt ingress.networking.k8s.io",
                Some("--encrypt ingress.networking.k8s.io: there is no such"),
            ),
        ] {
            let words = ["skep"].into_iter().chain(flags.split_whitespace());
            let cluster = Flags::try_parse_from(words).expect(flags).cluster;
            match (check_cluster(&cluster), expected) {
                (Ok(()), None) => {}
                (Err(mistake), Some(said)) if mistake.to_string().starts_with(said) => {}
                (outcome, _) => panic!("{flags}: {outcome:?}"),
            }
        }
    }

    #[test]
    fn nodes_have_names_of_dns() {
        for (name, is_one) in [
            ("node-1", true),
            ("a.example", true),
            ("Bad_", false),
            ("", false),
            ("-a", false),
        ] {
            assert_eq!(check_node_name(name).is_ok(), is_one, "{name:?}");
        }
    }

    #[test]
    fn a_port_that_others_must_know_is_not_0() {
        for (listen, is_known) in [("127.0.0.1:0", false), ("127.0.0.1:6443", true)] {
            let listen = listen.parse().expect("valid");
            assert_eq!(check_known_port(listen).is_ok(), is_known, "{listen}");
        }
    }
}
