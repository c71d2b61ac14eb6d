//! At the underlay device: clients outside, and pods on their way there.

use crate::{
    addr::{Addr, PortRange},
    flow::{self, Opening},
    layout::{
        Config, EXIT_NODE_AS_CLIENT, EXIT_ROUTE, EXIT_STACK, EXIT_UPLINK, Frontend, KIND_MASQUERADE, KIND_NODE_PORT,
        SITE_INNER, SITE_UPLINK_IN, SITE_UPLINK_OUT, Tuple,
    },
    packet::Packet,
    path::{begin, follow},
    service::{self, Chosen, Client},
    tables::Tables,
    verdict::{Reason, Verdict},
};

/// A packet that came in from the underlay.
#[inline(always)]
pub fn from_uplink<T: Tables>(tables: &T, packet: &mut Packet) -> Verdict {
    let Some(config) = tables.config() else {
        return Verdict::PASS;
    };
    let Tuple {
        source,
        destination,
        destination_port,
        ..
    } = packet.key.tuple;
    if packet.is_udp_to(config.vxlan_port) && destination == config.node {
        return Verdict::PASS;
    }
    if destination == config.dns {
        return Verdict::drop(Reason::DnsFromOutside);
    }
    if config.cluster.contains(&source) {
        return Verdict::drop(Reason::SpoofedSource);
    }
    packet.key.site = SITE_UPLINK_IN;
    if let Some(flow) = flow::find(tables, packet) {
        return follow(tables, config, packet, flow);
    }
    let protocol = packet.key.protocol;
    match service::frontend(
        tables,
        config,
        Client::Outside,
        &destination,
        destination_port,
        protocol,
    ) {
        Some(frontend) => to_service(tables, config, packet, &frontend),
        None if config.cluster.contains(&destination) => Verdict::drop(Reason::PodFromOutside),
        None => Verdict::PASS,
    }
}

/// The first packet of a client outside to a service. The client keeps its address wherever the backend is a pod.
#[inline(always)]
fn to_service<T: Tables>(tables: &T, config: &Config, packet: &mut Packet, frontend: &Frontend) -> Verdict {
    if packet.is_tcp_midway() {
        return Verdict::refuse(Reason::NoFlow);
    }
    let chosen = match service::choose(tables, frontend, &packet.key.tuple.source) {
        Ok(chosen) => chosen,
        Err(reason) => return Verdict::refuse(reason),
    };
    let way = way_to(tables, config, &chosen);
    let tuple = &packet.key.tuple;
    let opening = Opening {
        tuple: Tuple {
            source: if way.as_node { config.node } else { tuple.source },
            destination: chosen.addr,
            source_port: tuple.source_port,
            destination_port: chosen.port,
        },
        kind: KIND_NODE_PORT,
        exit: way.exit,
        reply_site: way.reply_site,
        reply_exit: way.reply_exit,
        via: way.via,
        service: chosen.service,
        backend: chosen.id,
        keep_port: !way.as_node,
        ports: config.masquerade_ports,
    };
    begin(tables, config, packet, &opening)
}

struct Way {
    exit: u8,
    via: Addr,
    reply_site: u8,
    reply_exit: u8,
    as_node: bool,
}

#[inline(always)]
fn way_to<T: Tables>(tables: &T, config: &Config, chosen: &Chosen) -> Way {
    let pod = |exit, via| Way {
        exit,
        via,
        reply_site: SITE_INNER,
        reply_exit: EXIT_UPLINK,
        as_node: false,
    };
    if tables.pod(&chosen.addr).is_some() {
        return pod(EXIT_ROUTE, Addr::ANY);
    }
    if config.cluster.contains(&chosen.addr)
        && let Some(route) = tables.route(&chosen.addr)
    {
        return pod(EXIT_NODE_AS_CLIENT, route.node);
    }
    if chosen.addr == config.node {
        // A process of this node.
        let (exit, reply_site) = (EXIT_STACK, SITE_UPLINK_OUT);
        return Way {
            exit,
            via: Addr::ANY,
            reply_site,
            reply_exit: EXIT_STACK,
            as_node: false,
        };
    }
    // Beyond the underlay: only the node's own address brings answers back here.
    Way {
        exit: EXIT_UPLINK,
        via: Addr::ANY,
        reply_site: SITE_UPLINK_IN,
        reply_exit: EXIT_UPLINK,
        as_node: true,
    }
}

/// A packet that leaves to the underlay.
#[inline(always)]
pub fn to_uplink<T: Tables>(tables: &T, packet: &mut Packet) -> Verdict {
    let Some(config) = tables.config() else {
        return Verdict::PASS;
    };
    let Tuple {
        source, destination, ..
    } = packet.key.tuple;
    if packet.is_udp_to(config.vxlan_port) && source == config.node {
        return Verdict::PASS;
    }
    if config.services.contains(&destination) {
        return Verdict::drop(Reason::NoService);
    }
    packet.key.site = SITE_UPLINK_OUT;
    let is_pod = config.cluster.contains(&source);
    if is_pod && config.cluster.contains(&destination) {
        return Verdict::drop(Reason::NoRoute);
    }
    if is_pod && packet.is_icmp_other() {
        return Verdict::drop(Reason::Icmp);
    }
    if let Some(flow) = flow::find(tables, packet) {
        return follow(tables, config, packet, flow);
    }
    if is_pod {
        masquerade(tables, config, packet)
    } else {
        Verdict::PASS
    }
}

#[inline(always)]
fn masquerade<T: Tables>(tables: &T, config: &Config, packet: &mut Packet) -> Verdict {
    let ports: PortRange = config.masquerade_ports;
    let opening = Opening {
        tuple: Tuple {
            source: config.node,
            ..packet.key.tuple
        },
        kind: KIND_MASQUERADE,
        exit: EXIT_STACK,
        reply_site: SITE_UPLINK_IN,
        reply_exit: EXIT_STACK,
        via: Addr::ANY,
        service: 0,
        backend: 0,
        keep_port: false,
        ports,
    };
    begin(tables, config, packet, &opening)
}
