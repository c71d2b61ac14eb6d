//! At the host side of a pod's veth.

use crate::{
    addr::{Addr, Mac},
    flow::{self, Opening},
    layout::{Config, EXIT_ROUTE, Frontend, KIND_DIRECT, KIND_SERVICE, SITE_INNER, Tuple},
    packet::Packet,
    path::{begin, follow, route},
    service::{self, Client},
    tables::Tables,
    verdict::{Reason, Verdict},
};

/// A packet that a pod sent: `link` is the index of the device it came in by.
#[inline(always)]
pub fn from_pod<T: Tables>(tables: &T, link: u32, source_mac: &Mac, packet: &mut Packet) -> Verdict {
    let Some(config) = tables.config() else {
        return Verdict::drop(Reason::NotConfigured);
    };
    let is_owner = match tables.pod(&packet.key.tuple.source) {
        Some(pod) => pod.ifindex == link && same_mac(&pod.mac, source_mac),
        None => false,
    };
    if !is_owner {
        return Verdict::drop(Reason::SpoofedSource);
    }
    packet.key.site = SITE_INNER;
    if let Some(flow) = flow::find(tables, packet) {
        return follow(tables, config, packet, flow);
    }
    let Tuple {
        destination,
        destination_port,
        ..
    } = packet.key.tuple;
    let protocol = packet.key.protocol;
    // One place that opens flows, for the verifier's sake.
    let opening = match service::frontend(tables, config, Client::Inside, &destination, destination_port, protocol) {
        Some(frontend) => to_service(tables, config, packet, &frontend),
        None if packet.is_syn() && flow::would_take_answers(tables, packet) => Ok(beside(config, packet)),
        None => Err(route(tables, config, &packet.key.tuple)),
    };
    match opening {
        Ok(opening) => begin(tables, config, packet, &opening),
        Err(verdict) => verdict,
    }
}

/// The first packet to a service from a client that the socket hook did not see: a flow, or what becomes of it without.
#[inline(always)]
fn to_service<T: Tables>(
    tables: &T,
    config: &Config,
    packet: &Packet,
    frontend: &Frontend,
) -> Result<Opening, Verdict> {
    if packet.is_tcp_midway() {
        return Err(Verdict::refuse(Reason::NoFlow));
    }
    let chosen = match service::choose(tables, frontend, &packet.key.tuple.source) {
        Ok(chosen) => chosen,
        Err(reason) => return Err(Verdict::refuse(reason)),
    };
    let tuple = &packet.key.tuple;
    // A pod does not accept packets from its own address: where it reaches itself it sees another.
    let source = if chosen.addr == tuple.source {
        config.hairpin
    } else {
        tuple.source
    };
    Ok(Opening {
        tuple: Tuple {
            source,
            destination: chosen.addr,
            source_port: tuple.source_port,
            destination_port: chosen.port,
        },
        kind: KIND_SERVICE,
        exit: EXIT_ROUTE,
        reply_site: SITE_INNER,
        reply_exit: EXIT_ROUTE,
        via: Addr::ANY,
        service: chosen.service,
        backend: chosen.id,
        keep_port: true,
        ports: config.masquerade_ports,
    })
}

/// A connection without a service whose source port a service's flow to the same end holds: from another port, so
/// that the answers of both can be told apart.
#[inline(always)]
const fn beside(config: &Config, packet: &Packet) -> Opening {
    Opening {
        tuple: packet.key.tuple,
        kind: KIND_DIRECT,
        exit: EXIT_ROUTE,
        reply_site: SITE_INNER,
        reply_exit: EXIT_ROUTE,
        via: Addr::ANY,
        service: 0,
        backend: 0,
        keep_port: false,
        ports: config.masquerade_ports,
    }
}

/// A packet that the host's stack sends to a pod: answers of what is not a pod get the service's address back.
#[inline(always)]
pub fn to_pod<T: Tables>(tables: &T, link: u32, packet: &mut Packet) -> Verdict {
    let is_owner = match tables.pod(&packet.key.tuple.destination) {
        Some(pod) => pod.ifindex == link,
        None => false,
    };
    if !is_owner {
        return Verdict::drop(Reason::NoPod);
    }
    packet.key.site = SITE_INNER;
    if let Some(flow) = flow::find(tables, packet) {
        flow::translate(tables, packet, flow);
    }
    Verdict::PASS
}

#[inline(always)]
fn same_mac(a: &Mac, b: &Mac) -> bool {
    a[5] == b[5] && a[4] == b[4] && a[3] == b[3] && a[2] == b[2] && a[1] == b[1] && a[0] == b[0]
}
