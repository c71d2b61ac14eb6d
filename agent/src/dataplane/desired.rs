//! What the dataplane's maps should hold, as a pure function of the network state and this node.
//!
//! Never here: ids, generations, map layouts, I/O. `plan` turns the difference into steps.
//! Source: Kubernetes' Service and EndpointSlice reference (ready, serving, terminating).

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, SocketAddr},
};

use api::{
    net_state::{NetState, ip_from_bytes},
    node_stream::{Endpoint, Protocol as WireProtocol, Service, ServicePort, service},
};
use ipnet::IpNet;

/// What an image depends on besides the network state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeContext {
    /// Name of this node as endpoints name it.
    pub node_name: String,
    /// Primary address of this node on the underlay.
    pub node_ip: IpAddr,
    /// The range this node's pods get addresses from.
    pub pod_cidr: IpNet,
    /// Service address of the cluster's DNS.
    pub dns_ip: IpAddr,
    /// Where this node's DNS server listens: the only backend of `dns_ip`, port 53, on this node.
    pub dns_listen: SocketAddr,
}

/// Port of the cluster's DNS service.
const DNS_PORT: u16 = 53;

/// Transport protocols that the programs translate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Protocol {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
}

impl Protocol {
    /// The IP protocol number.
    #[must_use]
    pub fn number(self) -> u8 {
        match self {
            Self::Tcp => dataplane::addr::PROTO_TCP,
            Self::Udp => dataplane::addr::PROTO_UDP,
        }
    }

    /// Kubernetes' name: `TCP` or `UDP`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Tcp => "TCP",
            Self::Udp => "UDP",
        }
    }

    /// SCTP has no translation: its checksum covers the ports with a CRC that no helper updates.
    fn from_wire(wire: i32) -> Option<Self> {
        match WireProtocol::try_from(wire).ok()? {
            WireProtocol::Tcp => Some(Self::Tcp),
            WireProtocol::Udp => Some(Self::Udp),
            WireProtocol::Sctp => None,
        }
    }
}

/// Which addresses a frontend answers on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Listen {
    /// One address, for clients inside the cluster only (a cluster IP).
    Inside(IpAddr),
    /// One address, for all clients (an external or load-balancer address).
    Everywhere(IpAddr),
    /// The primary address of every node.
    Nodes,
}

/// An address, port and protocol that clients connect to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Frontend {
    /// Where it answers.
    pub listen: Listen,
    /// The port clients use.
    pub port: u16,
    /// The protocol.
    pub protocol: Protocol,
}

/// Which service port a set of backends belongs to. Several frontends share one set and its round robin.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SetName {
    /// Namespace of the service.
    pub namespace: String,
    /// Name of the service.
    pub service: String,
    /// Name of the port, empty for a service's only port.
    pub port: String,
    /// Protocol of the port.
    pub protocol: Protocol,
}

/// Where a connection ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Backend {
    /// Address of the pod (or of what else serves).
    pub ip: IpAddr,
    /// Target port.
    pub port: u16,
    /// The protocol.
    pub protocol: Protocol,
}

/// The contents of the maps that follow the cluster's objects. Pods of this node are not here: they come and go
/// with [`super::Dataplane::attach_pod`].
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Image {
    /// Backends that get new connections. Empty: connections are refused.
    pub sets: BTreeMap<SetName, BTreeSet<Backend>>,
    /// Seconds for which a client keeps its backend, of sets with affinity. Every key is one of `sets`.
    pub affinities_s: BTreeMap<SetName, u32>,
    /// Every value is a key of `sets`.
    pub frontends: BTreeMap<Frontend, SetName>,
    /// Addresses of all nodes, this one too.
    pub nodes: BTreeMap<IpAddr, String>,
    /// Pod ranges of all nodes, this one's too, and the node's address.
    pub routes: BTreeMap<IpNet, IpAddr>,
    /// Backends that are still being served (ready, serving or terminating): flows to them stay.
    pub alive: BTreeSet<Backend>,
}

/// The image that `state` calls for on the node of `context`.
#[must_use]
pub fn image(state: &NetState, context: &NodeContext) -> Image {
    let mut image = Image::default();
    add_nodes(&mut image, state, context);
    for service in state.services.values() {
        let none = BTreeMap::new();
        let endpoints = state.endpoints.get(&service.r#ref).unwrap_or(&none);
        add_service(&mut image, service, endpoints, context);
    }
    add_dns(&mut image, context);
    image
}

fn add_nodes(image: &mut Image, state: &NetState, context: &NodeContext) {
    for node in state.nodes.values() {
        let Ok(ip) = ip_from_bytes(&node.ip) else { continue };
        image.nodes.insert(ip, node.name.clone());
        if let Ok(range) = node.pod_cidr.parse::<IpNet>() {
            image.routes.insert(range.trunc(), ip);
        }
    }
    // This node's own entries do not wait for its object to come back over the stream.
    image.nodes.insert(context.node_ip, context.node_name.clone());
    image.routes.insert(context.pod_cidr.trunc(), context.node_ip);
}

fn add_service(image: &mut Image, service: &Service, endpoints: &BTreeMap<Vec<u8>, Endpoint>, context: &NodeContext) {
    if service.headless || service.r#type() == service::Type::ExternalName {
        return;
    }
    for port in &service.ports {
        let Some(protocol) = Protocol::from_wire(port.protocol) else {
            continue;
        };
        let name = SetName {
            namespace: service.namespace.clone(),
            service: service.name.clone(),
            port: port.name.clone(),
            protocol,
        };
        let frontends = frontends(service, port, protocol);
        if frontends.is_empty() {
            continue;
        }
        let candidates = || {
            endpoints
                .values()
                .filter(|endpoint| reachable(service, endpoint, context))
        };
        image
            .alive
            .extend(candidates().filter_map(|endpoint| backend(endpoint, port, protocol)));
        image
            .sets
            .insert(name.clone(), select(service, candidates(), port, protocol));
        if service.affinity_timeout_s != 0 {
            image.affinities_s.insert(name.clone(), service.affinity_timeout_s);
        }
        for frontend in frontends {
            image.frontends.insert(frontend, name.clone());
        }
    }
}

/// `internalTrafficPolicy: Local` keeps to endpoints of this node.
fn reachable(service: &Service, endpoint: &Endpoint, context: &NodeContext) -> bool {
    !service.internal_traffic_local || endpoint.node_name == context.node_name
}

fn frontends(service: &Service, port: &ServicePort, protocol: Protocol) -> Vec<Frontend> {
    let Ok(number) = u16::try_from(port.port) else {
        return Vec::new();
    };
    let addresses = |list: &[Vec<u8>]| -> Vec<IpAddr> { list.iter().filter_map(|ip| v4(ip)).collect() };
    let mut found = Vec::new();
    for ip in addresses(&service.cluster_ips) {
        found.push(Frontend {
            listen: Listen::Inside(ip),
            port: number,
            protocol,
        });
    }
    for list in [&service.external_ips, &service.load_balancer_ips] {
        for ip in addresses(list) {
            found.push(Frontend {
                listen: Listen::Everywhere(ip),
                port: number,
                protocol,
            });
        }
    }
    match u16::try_from(port.node_port) {
        Ok(node_port) if node_port != 0 => found.push(Frontend {
            listen: Listen::Nodes,
            port: node_port,
            protocol,
        }),
        _ => {}
    }
    found
}

/// Ready endpoints; if there are none, those that still serve while they terminate.
fn select<'a>(
    service: &Service,
    endpoints: impl Iterator<Item = &'a Endpoint>,
    port: &ServicePort,
    protocol: Protocol,
) -> BTreeSet<Backend> {
    let (mut ready, mut leaving) = (BTreeSet::new(), BTreeSet::new());
    for endpoint in endpoints {
        let Some(backend) = backend(endpoint, port, protocol) else {
            continue;
        };
        if service.publish_not_ready || (endpoint.ready && !endpoint.terminating) {
            ready.insert(backend);
        } else if endpoint.serving && endpoint.terminating {
            leaving.insert(backend);
        }
    }
    if ready.is_empty() { leaving } else { ready }
}

/// The maps take both families, the programs at devices IPv4 so far: a service of both has its IPv4 side.
fn v4(bytes: &[u8]) -> Option<IpAddr> {
    ip_from_bytes(bytes).ok().filter(IpAddr::is_ipv4)
}

fn backend(endpoint: &Endpoint, port: &ServicePort, protocol: Protocol) -> Option<Backend> {
    let target = endpoint.targets.iter().find(|target| target.name == port.name)?;
    Some(Backend {
        ip: v4(&endpoint.ip)?,
        port: u16::try_from(target.port).ok()?,
        protocol,
    })
}

/// The cluster's DNS answers on every node from that node, whether or not its Service object exists yet.
fn add_dns(image: &mut Image, context: &NodeContext) {
    for protocol in [Protocol::Tcp, Protocol::Udp] {
        let frontend = Frontend {
            listen: Listen::Inside(context.dns_ip),
            port: DNS_PORT,
            protocol,
        };
        let name = image.frontends.get(&frontend).cloned().unwrap_or_else(|| SetName {
            namespace: "kube-system".to_owned(),
            service: "kube-dns".to_owned(),
            port: match protocol {
                Protocol::Tcp => "dns-tcp".to_owned(),
                Protocol::Udp => "dns".to_owned(),
            },
            protocol,
        });
        let backend = Backend {
            ip: context.dns_listen.ip(),
            port: context.dns_listen.port(),
            protocol,
        };
        image.alive.insert(backend);
        image.sets.insert(name.clone(), BTreeSet::from([backend]));
        image.frontends.insert(frontend, name);
    }
}

#[cfg(test)]
mod tests;
