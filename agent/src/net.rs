//! The node's part of the cluster network below the dataplane: links, addresses, routes and namespaces.
//!
//! A node has an overlay device towards the other nodes, an address for the DNS server, and for each pod a namespace and a veth pair. Everything is found again after a restart, and what is right is not touched.
//! Never here: eBPF (the dataplane has it), iptables, nftables, other programs (`ip` is not run).
//! Source: Linux `vxlan.rst`, ip-sysctl.rst; architecture.md.

pub mod descriptors;
pub mod ipam;
pub mod link;
pub mod netns;
mod pod;
pub mod port;
mod resolver;
pub mod uplink;

use std::{
    collections::BTreeSet,
    io,
    net::Ipv4Addr,
    path::{Path, PathBuf},
    sync::Arc,
};

use ipnet::Ipv4Net;
use parking_lot::Mutex;
use tracing::info;

use crate::durable;

use link::{AddressScope, Link, LinkError, Netlink, Via, Vxlan};
pub use pod::{PodNet, PodNetConfig};
pub use port::{Port, PortError, Ports};
pub use resolver::PodResolver;
pub use uplink::{Uplink, UplinkError};

/// Name of the overlay device.
pub const OVERLAY_LINK: &str = "skep-overlay";
/// The link of every namespace that carries [`DNS_ADDRESS`]: not every kernel has dummy links.
const LOOPBACK_LINK: &str = "lo";
/// Where the node's DNS server listens: link-local, so that it is never routed off the node.
pub const DNS_ADDRESS: Ipv4Addr = Ipv4Addr::new(169, 254, 20, 10);
/// UDP port of the tunnel between nodes; the Linux kernel's own default.
pub const OVERLAY_PORT: u16 = 8472;
/// MAC of every node's overlay device: locally administered.
pub const OVERLAY_MAC: [u8; 6] = [0x02, 0x53, 0x4b, 0x45, 0x50, 0x02];
/// What the tunnel adds to a packet: outer IPv4 20, UDP 8, VXLAN 8, inner Ethernet 14 bytes.
pub const OVERLAY_OVERHEAD: u32 = 50;
/// Below this the IPv4 stack does not work as hosts expect (RFC 791: 576 bytes must be accepted).
const POD_MTU_MIN: u32 = 576;

/// The node's network could not be made.
#[derive(Debug, thiserror::Error)]
pub enum NodeNetError {
    /// The uplink's packets are too small for a tunnel.
    #[error("interface {name} has MTU {mtu}, too small for the overlay; it needs at least {}", POD_MTU_MIN + OVERLAY_OVERHEAD)]
    MtuTooSmall {
        /// The uplink.
        name: String,
        /// Its MTU.
        mtu: u32,
    },
    /// A link, address or route could not be made.
    #[error(transparent)]
    Link(#[from] LinkError),
    /// The namespace the network is in could not be written down.
    #[error("record the node's network namespace in {path}")]
    Record {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}

/// The node's links and routes.
#[derive(Debug)]
pub struct NodeNet {
    netlink: Arc<Netlink>,
    uplink: Uplink,
    overlay: Link,
    pod_cidr: Ipv4Net,
    /// Routes to other nodes' ranges that are known to be in the kernel.
    routes: Mutex<BTreeSet<Ipv4Net>>,
}

/// Whether the list of nodes is known to be all of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Listing {
    /// More may come: nothing is removed.
    Partial,
    /// What is not listed is gone.
    Complete,
}

impl NodeNet {
    /// Makes the overlay device, the DNS address and the settings that routing needs, or finds them.
    ///
    /// # Errors
    /// What was made stays and is found by the next try.
    pub async fn set_up(
        netlink: Arc<Netlink>,
        uplink: Uplink,
        pod_cidr: Ipv4Net,
        record_dir: &Path,
    ) -> Result<NodeNet, NodeNetError> {
        let mtu = pod_mtu(&uplink.link)?;
        record_namespace(record_dir)?;
        link::set("net/ipv4/ip_forward", "1")?;
        // The kernel takes the stricter of "all" and the link's own. Client addresses that are kept across nodes
        // come in through the overlay although their route is the uplink; the dataplane refuses forged sources.
        link::set("net/ipv4/conf/all/rp_filter", "0")?;

        let overlay = netlink
            .ensure_vxlan(&Vxlan {
                name: OVERLAY_LINK,
                port: OVERLAY_PORT,
                mac: OVERLAY_MAC,
                mtu,
            })
            .await?;
        link::set(&format!("net/ipv4/conf/{OVERLAY_LINK}/rp_filter"), "0")?;
        link::set_if_there(&format!("net/ipv6/conf/{OVERLAY_LINK}/disable_ipv6"), "1")?;
        // An address of ours that no pod holds: tell the sender instead of sending it out of the default route.
        netlink.ensure_route(pod_cidr, Via::Unreachable).await?;

        let loopback = netlink.existing(LOOPBACK_LINK).await?;
        netlink.ensure_up(&loopback).await?;
        // Of host scope: never chosen as the source of what the node itself sends.
        netlink
            .ensure_address(&loopback, DNS_ADDRESS, AddressScope::Host)
            .await?;

        let routes = netlink.our_routes(overlay.index).await?.into_iter().collect();
        info!(uplink = uplink.link.name, node_ip = %uplink.ip, %pod_cidr, mtu, "node network is up");
        Ok(NodeNet {
            netlink,
            uplink,
            overlay,
            pod_cidr,
            routes: Mutex::new(routes),
        })
    }

    /// The interface towards the other nodes.
    #[must_use]
    pub fn uplink(&self) -> &Uplink {
        &self.uplink
    }

    /// Index of the overlay device.
    #[must_use]
    pub fn overlay_index(&self) -> u32 {
        self.overlay.index
    }

    /// The range this node's pods get addresses from.
    #[must_use]
    pub fn pod_cidr(&self) -> Ipv4Net {
        self.pod_cidr
    }

    /// Largest packet of a pod.
    #[must_use]
    pub fn pod_mtu(&self) -> u32 {
        self.uplink.link.mtu - OVERLAY_OVERHEAD
    }

    /// The socket to this namespace's links.
    #[must_use]
    pub fn netlink(&self) -> &Arc<Netlink> {
        &self.netlink
    }

    /// Makes the routes to other nodes' pod ranges what `nodes` says. Ranges are unique; this node's own is ignored.
    ///
    /// # Errors
    /// The first that failed; the others were still tried, and the next call tries again.
    pub async fn sync_routes(&self, nodes: &BTreeSet<Ipv4Net>, listing: Listing) -> Result<(), LinkError> {
        let via = Via::Link {
            index: self.overlay.index,
            source: Some(self.uplink.ip),
        };
        let (missing, extra) = route_changes(&self.routes.lock(), nodes, self.pod_cidr, listing);
        let mut first_failure = Ok(());
        for destination in missing {
            match self.netlink.ensure_route(destination, via).await {
                Ok(()) => _ = self.routes.lock().insert(destination),
                Err(err) => first_failure = first_failure.and(Err(err)),
            }
        }
        for destination in extra {
            match self.netlink.remove_route(destination, via).await {
                Ok(()) => _ = self.routes.lock().remove(&destination),
                Err(err) => first_failure = first_failure.and(Err(err)),
            }
        }
        first_failure
    }
}

/// Routes to make and routes to remove.
fn route_changes(
    have: &BTreeSet<Ipv4Net>,
    want: &BTreeSet<Ipv4Net>,
    own: Ipv4Net,
    listing: Listing,
) -> (Vec<Ipv4Net>, Vec<Ipv4Net>) {
    let missing = want
        .iter()
        .filter(|range| **range != own && !have.contains(range))
        .copied()
        .collect();
    let extra = match listing {
        Listing::Partial => Vec::new(),
        Listing::Complete => have.iter().filter(|range| !want.contains(range)).copied().collect(),
    };
    (missing, extra)
}

fn pod_mtu(uplink: &Link) -> Result<u32, NodeNetError> {
    uplink
        .mtu
        .checked_sub(OVERLAY_OVERHEAD)
        .filter(|mtu| *mtu >= POD_MTU_MIN)
        .ok_or_else(|| NodeNetError::MtuTooSmall {
            name: uplink.name.clone(),
            mtu: uplink.mtu,
        })
}

fn namespace_record(dir: &Path) -> PathBuf {
    dir.join("namespace")
}

/// Writes down in which namespace the node's links are, so that cleanup never removes another node's.
fn record_namespace(dir: &Path) -> Result<(), NodeNetError> {
    let path = namespace_record(dir);
    let inode = netns::current_inode().map_err(LinkError::from)?;
    durable::replace(&path, inode.to_string().as_bytes(), durable::Sync::No)
        .map_err(|source| NodeNetError::Record { path, source })
}

/// What [`remove_links`] has removed.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct RemovedLinks {
    /// Names of links.
    pub links: Vec<String>,
    /// Addresses of links that stay.
    pub addresses: Vec<Ipv4Addr>,
}

/// Removes the node's links, addresses and routes from the calling thread's namespace, if that is the one they were
/// made in.
///
/// # Errors
/// When one is there and stays.
pub async fn remove_links(record_dir: &Path) -> Result<RemovedLinks, LinkError> {
    let recorded = std::fs::read_to_string(namespace_record(record_dir))
        .ok()
        .and_then(|text| text.trim().parse::<u64>().ok());
    let mut removed = RemovedLinks::default();
    if recorded != Some(netns::current_inode()?) {
        return Ok(removed);
    }
    let netlink = Netlink::open()?;
    for link in netlink.links().await? {
        let ours = link.name == OVERLAY_LINK || pod::is_pod_link(&link);
        if ours && netlink.remove(&link.name).await? {
            removed.links.push(link.name);
        } else if link.name == LOOPBACK_LINK && netlink.remove_address(&link, DNS_ADDRESS).await? {
            removed.addresses.push(DNS_ADDRESS);
        }
    }
    for destination in netlink.our_unreachable_routes().await? {
        netlink.remove_route(destination, Via::Unreachable).await?;
    }
    Ok(removed)
}

#[cfg(test)]
mod tests;
