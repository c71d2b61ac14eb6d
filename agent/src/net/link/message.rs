//! What netlink's messages say: links, routes and addresses, to and from the kernel's form.
//!
//! Pure. Never here: sending them.

use std::net::{IpAddr, Ipv4Addr};

use ipnet::Ipv4Net;
use rtnetlink::{
    RouteMessageBuilder,
    packet_route::{
        address::{AddressAttribute, AddressMessage},
        link::{InfoKind, LinkAttribute, LinkFlags, LinkInfo, LinkMessage},
        route::{RouteAddress, RouteAttribute, RouteMessage, RouteProtocol, RouteScope, RouteType},
    },
};

/// Routes made by Skep carry this number (`ip route show proto 83`), free in rtnetlink.h and rt_protos.
const ROUTE_PROTOCOL: RouteProtocol = RouteProtocol::Other(83);

/// A link as the kernel has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    /// Its number in this namespace.
    pub index: u32,
    /// Its name.
    pub name: String,
    /// Largest packet, in bytes.
    pub mtu: u32,
    /// Its MAC; empty for a link that has none.
    pub mac: Vec<u8>,
    /// Administratively up.
    pub up: bool,
    /// `veth`, `vxlan`, `dummy`; none for hardware.
    pub kind: Option<InfoKind>,
}

/// Where a route leads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Via {
    /// Neighbours on this link.
    Link {
        /// Index of the link.
        index: u32,
        /// The source address of what the node itself sends there.
        source: Option<Ipv4Addr>,
    },
    /// A gateway on this link.
    Gateway {
        /// Index of the link.
        index: u32,
        /// The gateway.
        gateway: Ipv4Addr,
        /// The source address of what the node itself sends there.
        source: Option<Ipv4Addr>,
    },
    /// Nowhere: the sender is told at once.
    Unreachable,
}

pub(super) fn route_message(destination: Ipv4Net, via: Via) -> RouteMessage {
    let route = RouteMessageBuilder::<Ipv4Addr>::new()
        .protocol(ROUTE_PROTOCOL)
        .destination_prefix(destination.network(), destination.prefix_len());
    let with_source = |route: RouteMessageBuilder<Ipv4Addr>, source: Option<Ipv4Addr>| match source {
        Some(source) => route.pref_source(source),
        None => route,
    };
    match via {
        Via::Link { index, source } => with_source(route.scope(RouteScope::Link).output_interface(index), source),
        Via::Gateway { index, gateway, source } => with_source(route.output_interface(index).gateway(gateway), source),
        Via::Unreachable => route.kind(RouteType::Unreachable),
    }
    .build()
}

pub(super) fn link_of(message: LinkMessage) -> Link {
    let mut link = Link {
        index: message.header.index,
        name: String::new(),
        mtu: 0,
        mac: Vec::new(),
        up: message.header.flags.contains(LinkFlags::Up),
        kind: None,
    };
    for attribute in message.attributes {
        match attribute {
            LinkAttribute::IfName(name) => link.name = name,
            LinkAttribute::Mtu(mtu) => link.mtu = mtu,
            LinkAttribute::Address(mac) => link.mac = mac,
            LinkAttribute::LinkInfo(infos) => {
                link.kind = infos.into_iter().find_map(|info| match info {
                    LinkInfo::Kind(kind) => Some(kind),
                    _ => None,
                });
            }
            _ => {}
        }
    }
    link
}

fn output(route: &RouteMessage) -> Option<u32> {
    route.attributes.iter().find_map(|attribute| match attribute {
        RouteAttribute::Oif(index) => Some(*index),
        _ => None,
    })
}

fn priority(route: &RouteMessage) -> u32 {
    route
        .attributes
        .iter()
        .find_map(|attribute| match attribute {
            RouteAttribute::Priority(priority) => Some(*priority),
            _ => None,
        })
        .unwrap_or(0)
}

pub(super) fn destination(route: &RouteMessage) -> Option<Ipv4Net> {
    route.attributes.iter().find_map(|attribute| match attribute {
        RouteAttribute::Destination(RouteAddress::Inet(ip)) => {
            Ipv4Net::new(*ip, route.header.destination_prefix_length).ok()
        }
        _ => None,
    })
}

/// The IPv4 address in a message, with the index of its link.
pub(super) fn address_of(message: &AddressMessage) -> Option<(u32, Ipv4Addr)> {
    // `Local` is the address itself; `Address` is the peer's on a point-to-point link.
    let local = message.attributes.iter().find_map(|attribute| match attribute {
        AddressAttribute::Local(IpAddr::V4(ip)) => Some(*ip),
        _ => None,
    });
    local.map(|ip| (message.header.index, ip))
}

/// Index of the link that the default route of the lowest metric in the main table leads to.
pub(super) fn default_link(routes: &[RouteMessage]) -> Option<u32> {
    routes
        .iter()
        .filter(|route| {
            route.header.destination_prefix_length == 0
                && route.header.table == libc::RT_TABLE_MAIN
                && route.header.kind == RouteType::Unicast
        })
        .filter_map(|route| Some((priority(route), output(route)?)))
        .min()
        .map(|(_, index)| index)
}

/// Whether Skep made the route, and it leads to the link; without one, nowhere.
pub(super) fn is_ours(route: &RouteMessage, link: Option<u32>) -> bool {
    let leads_there = match link {
        Some(index) => output(route) == Some(index),
        None => route.header.kind == RouteType::Unreachable,
    };
    route.header.protocol == ROUTE_PROTOCOL && leads_there
}

#[cfg(test)]
mod tests;
