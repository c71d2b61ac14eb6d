//! The network state of the cluster as the node stream tells it: nodes, services, endpoints.
//!
//! A pure fold of [`Change`]s. The agent keeps one as its mirror (and persists it); DNS records and the desired
//! image of the dataplane's maps are functions of it; the server keeps one to know what a stream has been told.

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use crate::node_stream::{Change, Endpoint, EndpointsDelta, Node, Service, change};

/// An address of 4 or 16 bytes in network order.
///
/// # Errors
/// When the length is neither; the sender is broken and the change is refused.
pub fn ip_from_bytes(bytes: &[u8]) -> Result<IpAddr, AddressLength> {
    if let Ok(v4) = <[u8; 4]>::try_from(bytes) {
        return Ok(IpAddr::V4(Ipv4Addr::from(v4)));
    }
    <[u8; 16]>::try_from(bytes)
        .map(|v6| IpAddr::V6(Ipv6Addr::from(v6)))
        .map_err(|_| AddressLength(bytes.len()))
}

/// The bytes of an address, network order: 4 or 16.
#[must_use]
pub fn ip_to_bytes(ip: IpAddr) -> Vec<u8> {
    match ip {
        IpAddr::V4(v4) => v4.octets().to_vec(),
        IpAddr::V6(v6) => v6.octets().to_vec(),
    }
}

/// An address had neither 4 nor 16 bytes.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("an address has 4 or 16 bytes, not {0}")]
pub struct AddressLength(pub usize);

/// Nodes, services and endpoints known so far.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct NetState {
    /// By node name.
    pub nodes: BTreeMap<String, Node>,
    /// By [`Service::ref`].
    pub services: BTreeMap<u32, Service>,
    /// By [`Service::ref`], then address bytes. A service without endpoints may be absent.
    pub endpoints: BTreeMap<u32, BTreeMap<Vec<u8>, Endpoint>>,
}

impl NetState {
    /// Takes one change in. True if it was about the network (pods, config maps and secrets are not).
    pub fn apply(&mut self, change: &Change) -> bool {
        match &change.kind {
            Some(change::Kind::Node(node)) => {
                self.nodes.insert(node.name.clone(), node.clone());
            }
            Some(change::Kind::NodeRemoved(name)) => {
                self.nodes.remove(name);
            }
            Some(change::Kind::Service(service)) => {
                self.services.insert(service.r#ref, service.clone());
            }
            Some(change::Kind::ServiceRemoved(service_ref)) => {
                self.services.remove(service_ref);
                self.endpoints.remove(service_ref);
            }
            Some(change::Kind::Endpoints(delta)) => self.apply_endpoints(delta),
            Some(
                change::Kind::Pod(_)
                | change::Kind::PodRemoved(_)
                | change::Kind::ConfigMap(_)
                | change::Kind::ConfigMapRemoved(_)
                | change::Kind::Secret(_)
                | change::Kind::SecretRemoved(_),
            )
            | None => return false,
        }
        true
    }

    fn apply_endpoints(&mut self, delta: &EndpointsDelta) {
        let endpoints = self.endpoints.entry(delta.service_ref).or_default();
        if delta.replace {
            endpoints.clear();
        }
        for key in &delta.removed {
            endpoints.remove(&key.ip);
        }
        for endpoint in &delta.upserted {
            endpoints.insert(endpoint.ip.clone(), endpoint.clone());
        }
    }
}
