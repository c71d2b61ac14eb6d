//! At the VXLAN device.

use crate::{
    addr::Addr,
    flow::{self, Opening},
    layout::{Config, EXIT_NODE, EXIT_ROUTE, KIND_FORWARDED, NODE_LOCAL, SITE_INNER},
    packet::Packet,
    path::{begin, exit, follow},
    tables::Tables,
    verdict::{Reason, VNI_CLIENT, VNI_POD, Verdict},
};

/// A packet that came out of the overlay: `sender` is its outer source, `vni` its network identifier.
#[inline(always)]
pub fn from_overlay<T: Tables>(tables: &T, sender: &Addr, vni: u32, packet: &mut Packet) -> Verdict {
    let Some(config) = tables.config() else {
        return Verdict::drop(Reason::NotConfigured);
    };
    match tables.node(sender) {
        Some(node) if node.flags & NODE_LOCAL == 0 => {}
        Some(_) | None => return Verdict::drop(Reason::UnknownNode),
    }
    packet.key.site = SITE_INNER;
    match vni {
        VNI_CLIENT => for_client(tables, config, sender, packet),
        VNI_POD => from_node(tables, config, sender, packet),
        _ => Verdict::drop(Reason::UnknownNode),
    }
}

/// From the sender's pods, or the sender itself.
#[inline(always)]
fn from_node<T: Tables>(tables: &T, config: &Config, sender: &Addr, packet: &mut Packet) -> Verdict {
    let source = &packet.key.tuple.source;
    let is_owner = *source == *sender
        || match tables.route(source) {
            Some(route) => route.node == *sender,
            None => false,
        };
    if !is_owner {
        return Verdict::drop(Reason::SpoofedSource);
    }
    if let Some(flow) = flow::find(tables, packet) {
        return follow(tables, config, packet, flow);
    }
    arrive(tables, config, packet)
}

/// For a pod here or for this node: nothing else has business here.
#[inline(always)]
fn arrive<T: Tables>(tables: &T, config: &Config, packet: &Packet) -> Verdict {
    let destination = &packet.key.tuple.destination;
    if let Some(pod) = tables.pod(destination) {
        return Verdict::deliver(pod);
    }
    if *destination == config.node {
        Verdict::PASS
    } else {
        Verdict::drop(Reason::NoPod)
    }
}

/// From a client outside, by way of the sender: answers must go back that way.
#[inline(always)]
fn for_client<T: Tables>(tables: &T, config: &Config, sender: &Addr, packet: &mut Packet) -> Verdict {
    let tuple = packet.key.tuple;
    if config.cluster.contains(&tuple.source) || tables.node(&tuple.source).is_some() {
        return Verdict::drop(Reason::SpoofedSource);
    }
    if tables.pod(&tuple.destination).is_none() {
        return Verdict::drop(Reason::NoPod);
    }
    if let Some(flow) = flow::find(tables, packet) {
        // The same client, port and backend through two nodes at once cannot be told apart in the answers.
        if flow.via != *sender {
            return Verdict::drop(Reason::PortsTaken);
        }
        flow::translate(tables, packet, flow);
        return exit(tables, config, &packet.key.tuple, EXIT_ROUTE, Addr::ANY);
    }
    if packet.is_tcp_midway() {
        return Verdict::refuse(Reason::NoFlow);
    }
    let opening = Opening {
        tuple,
        kind: KIND_FORWARDED,
        exit: EXIT_ROUTE,
        reply_site: SITE_INNER,
        reply_exit: EXIT_NODE,
        via: *sender,
        service: 0,
        backend: 0,
        keep_port: true,
        ports: config.masquerade_ports,
    };
    begin(tables, config, packet, &opening)
}

/// A packet that the host's stack sends into the overlay: from this node or a pod of it to a pod elsewhere.
/// [`Action::Tunnel`](crate::verdict::Action::Tunnel) names the tunnel; the packet is on the device already.
#[inline(always)]
pub fn to_overlay<T: Tables>(tables: &T, packet: &Packet) -> Verdict {
    let Some(config) = tables.config() else {
        return Verdict::drop(Reason::NotConfigured);
    };
    let tuple = &packet.key.tuple;
    if tuple.source != config.node && tables.pod(&tuple.source).is_none() {
        return Verdict::drop(Reason::SpoofedSource);
    }
    match tables.route(&tuple.destination) {
        Some(route) if route.node != config.node => Verdict::tunnel(route.node, VNI_POD),
        Some(_) => Verdict::drop(Reason::NoPod),
        None => Verdict::drop(Reason::NoRoute),
    }
}
