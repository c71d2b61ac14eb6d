//! Where the dataplane lives and what it serves, and what of that the programs need to know.
//!
//! Pure.

use std::{
    net::{IpAddr, SocketAddr},
    ops::RangeInclusive,
    path::PathBuf,
};

use dataplane::{
    addr::{Addr, PortBe, PortRange, Prefix},
    layout::Config,
};
use ipnet::IpNet;

use super::plan::route_key;

/// What a pod sees as its client when it reaches itself through a service: link-local, owned by nothing.
const HAIRPIN: [u8; 4] = [169, 254, 42, 1];
/// Source ports of pods' flows to the outside: above Linux' own range (32768 to 60999) and NodePorts, so that they
/// never meet the node's connections. One destination address and port takes that many flows of a node at a time.
const MASQUERADE_PORTS: PortRange = PortRange {
    first: 61_000,
    last: 65_535,
};

/// Where the dataplane lives and what it serves.
#[derive(Debug, Clone)]
pub struct DataplaneConfig {
    /// Directory for pins. Mounted as bpffs if it is not in one.
    pub bpffs: PathBuf,
    /// cgroup v2 directory whose processes get services at the socket.
    pub socket_cgroup: PathBuf,
    /// The underlay device of this node.
    pub uplink_ifindex: u32,
    /// The VXLAN device (collect_metadata, the same MAC on every node).
    pub overlay_ifindex: u32,
    /// MAC of the VXLAN device.
    pub overlay_mac: [u8; 6],
    /// UDP port of the overlay on the underlay.
    pub vxlan_port: u16,
    /// Address of this node on the underlay.
    pub node_ip: IpAddr,
    /// Range of this node's pods.
    pub pod_cidr: IpNet,
    /// Range of all pods.
    pub cluster_cidr: IpNet,
    /// Range of cluster IPs.
    pub service_cidr: IpNet,
    /// Where this node's DNS server listens; nobody outside may reach it.
    pub dns_listen: SocketAddr,
    /// Ports of NodePort services.
    pub node_port_range: RangeInclusive<u16>,
}

/// The entry of `CONFIG`.
pub(super) fn program_config(config: &DataplaneConfig) -> Config {
    let prefix = |range: &IpNet| {
        let key = route_key(range);
        Prefix::new(key.addr, key.bits)
    };
    Config {
        node: config.node_ip.into(),
        dns: config.dns_listen.ip().into(),
        hairpin: Addr::from_v4(HAIRPIN),
        cluster: prefix(&config.cluster_cidr),
        services: prefix(&config.service_cidr),
        overlay_ifindex: config.overlay_ifindex,
        uplink_ifindex: config.uplink_ifindex,
        overlay_mac: config.overlay_mac,
        vxlan_port: PortBe::new(config.vxlan_port),
        node_ports: PortRange {
            first: *config.node_port_range.start(),
            last: *config.node_port_range.end(),
        },
        masquerade_ports: MASQUERADE_PORTS,
    }
}

#[cfg(test)]
mod tests;
