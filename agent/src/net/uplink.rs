//! Which interface and address tie this node to the others.
//!
//! Never here: changing anything.

use std::net::{IpAddr, Ipv4Addr};

use super::link::{Link, LinkError, Netlink};

/// The interface that carries traffic to other nodes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Uplink {
    /// The interface.
    pub link: Link,
    /// The node's address on it.
    pub ip: Ipv4Addr,
}

/// No interface could be chosen.
#[derive(Debug, thiserror::Error)]
pub enum UplinkError {
    /// The given address is on no interface.
    #[error("no interface has the node address {0}; give --node-ip one of this machine's addresses")]
    NoSuchAddress(IpAddr),
    /// The given address is not IPv4.
    #[error("the node address {0} is not an IPv4 address; IPv6 underlays are not supported yet")]
    NotIpv4(IpAddr),
    /// Nothing to go by.
    #[error("there is no default route to tell the node's address; give it with --node-ip")]
    NoDefaultRoute,
    /// The interface of the default route has no address.
    #[error("interface {0} of the default route has no IPv4 address; give the node's address with --node-ip")]
    NoAddress(String),
    /// The kernel could not be asked.
    #[error(transparent)]
    Read(#[from] LinkError),
}

/// The interface that owns `node_ip`, or else that of the default route with its first address.
///
/// # Errors
/// See the variants; each says what to do.
pub async fn detect(netlink: &Netlink, node_ip: Option<IpAddr>) -> Result<Uplink, UplinkError> {
    let links = netlink.links().await?;
    let addresses = netlink.addresses().await?;
    let (index, ip) = match node_ip {
        Some(IpAddr::V4(wanted)) => *addresses
            .iter()
            .find(|(_, ip)| *ip == wanted)
            .ok_or(UplinkError::NoSuchAddress(IpAddr::V4(wanted)))?,
        Some(wanted) => return Err(UplinkError::NotIpv4(wanted)),
        None => {
            let index = netlink.default_route_link().await?.ok_or(UplinkError::NoDefaultRoute)?;
            *addresses
                .iter()
                .find(|(owner, _)| *owner == index)
                .ok_or_else(|| UplinkError::NoAddress(name_of(&links, index)))?
        }
    };
    let link = links
        .into_iter()
        .find(|link| link.index == index)
        .ok_or(UplinkError::NoDefaultRoute)?;
    Ok(Uplink { link, ip })
}

fn name_of(links: &[Link], index: u32) -> String {
    links
        .iter()
        .find(|link| link.index == index)
        .map_or_else(|| format!("number {index}"), |link| link.name.clone())
}
