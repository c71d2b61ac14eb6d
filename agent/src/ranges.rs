//! The cluster's ranges as the control plane tells them in Welcome, parsed.
//!
//! Pure. A node keeps them for its life: links, addresses and maps depend on them.

use std::{net::IpAddr, ops::RangeInclusive};

use api::{
    net_state::{AddressLength, ip_from_bytes},
    node_stream::Welcome,
};
use ipnet::{IpNet, Ipv4Net};

/// The cluster's ranges, and this node's part of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ranges {
    /// Where this node's pods get addresses from.
    pub pod_cidr: Ipv4Net,
    /// Of all pods.
    pub cluster_cidr: IpNet,
    /// Of all services.
    pub service_cidr: IpNet,
    /// Service address of the cluster's DNS.
    pub dns_ip: IpAddr,
    /// `cluster.local`
    pub cluster_domain: String,
    /// Ports of NodePort services.
    pub node_ports: RangeInclusive<u16>,
}

/// The control plane said something that makes no sense.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum BadWelcome {
    /// Not a range, or not one of IPv4.
    #[error("{field} {value:?} is not an IPv4 range")]
    Range {
        /// Which.
        field: &'static str,
        /// What it was.
        value: String,
    },
    /// Not an address.
    #[error("dns_ip")]
    DnsIp(#[source] AddressLength),
    /// The ports are not ports, or the wrong way round.
    #[error("node ports {min} to {max}")]
    NodePorts {
        /// The first.
        min: u32,
        /// The last.
        max: u32,
    },
    /// Not a domain.
    #[error("cluster_domain {0:?} is not a domain name")]
    Domain(String),
}

impl TryFrom<&Welcome> for Ranges {
    type Error = BadWelcome;

    fn try_from(welcome: &Welcome) -> Result<Ranges, BadWelcome> {
        let range = |field, value: &str| {
            value.parse::<Ipv4Net>().map_err(|_| BadWelcome::Range {
                field,
                value: value.to_owned(),
            })
        };
        let bad_ports = || BadWelcome::NodePorts {
            min: welcome.node_port_min,
            max: welcome.node_port_max,
        };
        let port = |number: u32| u16::try_from(number).map_err(|_| bad_ports());
        let (min, max) = (port(welcome.node_port_min)?, port(welcome.node_port_max)?);
        if min > max {
            return Err(bad_ports());
        }
        let dns_ip = ip_from_bytes(&welcome.dns_ip).map_err(BadWelcome::DnsIp)?;
        if dns::Zone::new(&welcome.cluster_domain, dns_ip, Vec::new()).is_err() {
            return Err(BadWelcome::Domain(welcome.cluster_domain.clone()));
        }
        Ok(Ranges {
            pod_cidr: range("pod_cidr", &welcome.pod_cidr)?,
            cluster_cidr: range("cluster_cidr", &welcome.cluster_cidr)?.into(),
            service_cidr: range("service_cidr", &welcome.service_cidr)?.into(),
            dns_ip,
            cluster_domain: welcome.cluster_domain.clone(),
            node_ports: min..=max,
        })
    }
}

#[cfg(test)]
mod tests;
