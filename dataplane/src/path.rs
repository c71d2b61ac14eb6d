//! The paths of packets through a node: one function per hook, from packet and maps to verdict.
//!
//! ```text
//!   pod ──from_pod──▶ local pod │ overlay │ host's stack ──to_pod──▶ pod
//!   overlay ──from_overlay──▶ pod │ host's stack │ uplink (answers to clients of this node)
//!   host's stack ──to_overlay──▶ overlay          host's stack ──to_uplink──▶ uplink (as the node)
//!   uplink ──from_uplink──▶ pod │ overlay │ host's stack
//! ```
//! Never here: reading and writing packets; the programs do that.

mod overlay;
mod pod;
mod uplink;

pub use overlay::{from_overlay, to_overlay};
pub use pod::{from_pod, to_pod};
pub use uplink::{from_uplink, to_uplink};

use crate::{
    flow::{self, Opening},
    layout::{Config, EXIT_NODE, EXIT_NODE_AS_CLIENT, EXIT_STACK, EXIT_UPLINK, Flow, NODE_LOCAL, Tuple},
    packet::Packet,
    tables::Tables,
    verdict::{Reason, VNI_CLIENT, VNI_POD, Verdict},
};

/// Translates a packet of a known flow and sends it on its way.
#[inline(always)]
fn follow<T: Tables>(tables: &T, config: &Config, packet: &mut Packet, flow: &Flow) -> Verdict {
    flow::translate(tables, packet, flow);
    exit(tables, config, &packet.key.tuple, flow.exit, flow.via)
}

/// Opens a flow and sends its first packet on its way.
#[inline(always)]
fn begin<T: Tables>(tables: &T, config: &Config, packet: &mut Packet, opening: &Opening) -> Verdict {
    match flow::open(tables, packet, opening) {
        Ok(()) => exit(tables, config, &packet.key.tuple, opening.exit, opening.via),
        Err(reason) => Verdict::drop(reason),
    }
}

#[inline(always)]
fn exit<T: Tables>(tables: &T, config: &Config, tuple: &Tuple, exit: u8, via: crate::addr::Addr) -> Verdict {
    match exit {
        EXIT_STACK => Verdict::PASS,
        EXIT_UPLINK => Verdict::UPLINK,
        EXIT_NODE => Verdict::tunnel(via, VNI_POD),
        EXIT_NODE_AS_CLIENT => Verdict::tunnel(via, VNI_CLIENT),
        _ => route(tables, config, tuple),
    }
}

/// The way to a destination inside the cluster; everything else is the host's stack's business.
#[inline(always)]
fn route<T: Tables>(tables: &T, config: &Config, tuple: &Tuple) -> Verdict {
    let destination = &tuple.destination;
    if let Some(pod) = tables.pod(destination) {
        return Verdict::deliver(pod);
    }
    if config.cluster.contains(destination) {
        return match tables.route(destination) {
            Some(route) if route.node == config.node => Verdict::drop(Reason::NoPod),
            Some(route) => Verdict::tunnel(route.node, VNI_POD),
            None => Verdict::drop(Reason::NoRoute),
        };
    }
    if config.services.contains(destination) {
        return Verdict::refuse(Reason::NoService);
    }
    match tables.node(destination) {
        // Other nodes see the pod's own address: the overlay keeps it, the underlay could not.
        Some(node) if node.flags & NODE_LOCAL == 0 => Verdict::tunnel(*destination, VNI_POD),
        Some(_) | None => Verdict::PASS,
    }
}

#[cfg(test)]
mod tests;
