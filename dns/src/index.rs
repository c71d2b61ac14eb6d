//! What names need of the network state, found by name and by address.
//!
//! One change touches one service: the index is never built anew for a change. Pure.

use std::{
    collections::{BTreeMap, HashMap},
    net::IpAddr,
};

use api::{
    net_state::{NetState, ip_from_bytes},
    node_stream::{Change, Endpoint, EndpointsDelta, Protocol, Service, change, service},
};
use hickory_proto::{
    ProtoError,
    rr::{LowerName, Name},
};
use ipnet::IpNet;

/// The cluster's corner of the name space.
#[derive(Debug, Clone)]
pub struct Zone {
    /// `cluster.local.`, lower case.
    pub domain: Name,
    /// Service address of the cluster's DNS.
    pub dns_ip: IpAddr,
    /// Addresses whose reverse names are answered here and nowhere else: pods' and services'.
    pub own_ranges: Vec<IpNet>,
}

impl Zone {
    /// A zone for `cluster_domain`, with or without a final dot.
    ///
    /// # Errors
    /// When it is not a domain name.
    pub fn new(cluster_domain: &str, dns_ip: IpAddr, own_ranges: Vec<IpNet>) -> Result<Zone, ProtoError> {
        let mut domain = Name::from_ascii(cluster_domain)?.to_lowercase();
        domain.set_fqdn(true);
        Ok(Zone {
            domain,
            dns_ip,
            own_ranges,
        })
    }

    /// Labels of `name` before the zone's own, the last first; none if it is not in the zone.
    pub(crate) fn relative(&self, name: &LowerName) -> Option<Vec<String>> {
        let name: &Name = name;
        if !self.domain.zone_of_case(name) {
            return None;
        }
        let own = usize::from(self.domain.num_labels());
        let labels: Vec<String> = name
            .iter()
            .rev()
            .skip(own)
            .map(|label| String::from_utf8_lossy(label).into_owned())
            .collect();
        Some(labels)
    }
}

/// A service port as names see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Port {
    /// Lower case; empty for a service's only port.
    pub(crate) name: String,
    pub(crate) protocol: Protocol,
    pub(crate) port: u16,
}

/// What a service's name stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Stands {
    /// Addresses of its own.
    ClusterIps(Vec<IpAddr>),
    /// The addresses of its endpoints.
    Headless,
    /// Another name.
    External(String),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ServiceNames {
    pub(crate) namespace: String,
    pub(crate) name: String,
    pub(crate) stands: Stands,
    pub(crate) ports: Vec<Port>,
    pub(crate) publish_not_ready: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct EndpointNames {
    /// Lower case; the endpoint's own, or its address with dashes.
    pub(crate) hostname: String,
    pub(crate) ready: bool,
    pub(crate) targets: Vec<Port>,
}

/// A service and its endpoints; either may be known before the other.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) service: Option<ServiceNames>,
    pub(crate) endpoints: BTreeMap<IpAddr, EndpointNames>,
}

impl Entry {
    /// The endpoints that names lead to.
    pub(crate) fn published(&self) -> impl Iterator<Item = (IpAddr, &EndpointNames)> {
        let all = self.service.as_ref().is_some_and(|service| service.publish_not_ready);
        self.endpoints
            .iter()
            .filter(move |(_, endpoint)| all || endpoint.ready)
            .map(|(ip, endpoint)| (*ip, endpoint))
    }
}

/// Everything the cluster's names depend on.
#[derive(Debug, Clone)]
pub struct Index {
    zone: Zone,
    /// By `Service.ref`.
    entries: HashMap<u32, Entry>,
    /// Namespace, then name, then `Service.ref`.
    names: HashMap<String, HashMap<String, u32>>,
    /// Services whose own address or endpoint it is.
    addresses: HashMap<IpAddr, Vec<u32>>,
    /// Changes taken so far: the zone's serial number.
    serial: u32,
}

impl Index {
    /// No services.
    #[must_use]
    pub fn new(zone: Zone) -> Index {
        Index {
            zone,
            entries: HashMap::new(),
            names: HashMap::new(),
            addresses: HashMap::new(),
            serial: 1,
        }
    }

    /// The index of a whole state, as after a snapshot.
    #[must_use]
    pub fn from_state(zone: Zone, state: &NetState) -> Index {
        let mut index = Index::new(zone);
        for service in state.services.values() {
            index.put_service(service);
        }
        for (service_ref, endpoints) in &state.endpoints {
            for endpoint in endpoints.values() {
                index.put_endpoint(*service_ref, endpoint);
            }
        }
        index
    }

    /// The zone.
    #[must_use]
    pub fn zone(&self) -> &Zone {
        &self.zone
    }

    /// Services known.
    #[must_use]
    pub fn len(&self) -> usize {
        self.names.values().map(HashMap::len).sum()
    }

    /// Whether no service is known.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.names.is_empty()
    }

    /// Takes one change in; those that are not about services pass by.
    pub fn apply(&mut self, change: &Change) {
        match &change.kind {
            Some(change::Kind::Service(service)) => self.put_service(service),
            Some(change::Kind::ServiceRemoved(service_ref)) => self.remove(*service_ref),
            Some(change::Kind::Endpoints(delta)) => self.change_endpoints(delta),
            Some(
                change::Kind::Node(_)
                | change::Kind::NodeRemoved(_)
                | change::Kind::Pod(_)
                | change::Kind::PodRemoved(_)
                | change::Kind::ConfigMap(_)
                | change::Kind::ConfigMapRemoved(_)
                | change::Kind::Secret(_)
                | change::Kind::SecretRemoved(_),
            )
            | None => return,
        }
        self.serial = self.serial.wrapping_add(1);
    }

    pub(crate) fn serial(&self) -> u32 {
        self.serial
    }

    /// The service of a name, in lower case.
    pub(crate) fn service(&self, namespace: &str, name: &str) -> Option<&Entry> {
        let service_ref = self.names.get(namespace)?.get(name)?;
        self.entries.get(service_ref)
    }

    /// Whether the namespace has a service.
    pub(crate) fn has_namespace(&self, namespace: &str) -> bool {
        self.names.contains_key(namespace)
    }

    /// The services that an address belongs to, itself or through an endpoint, in a fixed order.
    pub(crate) fn at(&self, ip: IpAddr) -> impl Iterator<Item = &Entry> {
        let refs = self.addresses.get(&ip).map(Vec::as_slice).unwrap_or_default();
        refs.iter().filter_map(|service_ref| self.entries.get(service_ref))
    }

    fn put_service(&mut self, service: &Service) {
        let service_ref = service.r#ref;
        let names = service_names(service);
        self.forget_service(service_ref);
        self.names
            .entry(names.namespace.clone())
            .or_default()
            .insert(names.name.clone(), service_ref);
        if let Stands::ClusterIps(ips) = &names.stands {
            for ip in ips {
                add_ref(&mut self.addresses, *ip, service_ref);
            }
        }
        self.entries.entry(service_ref).or_default().service = Some(names);
    }

    /// Takes the service out, but not its endpoints.
    fn forget_service(&mut self, service_ref: u32) {
        let Some(entry) = self.entries.get_mut(&service_ref) else {
            return;
        };
        let Some(old) = entry.service.take() else {
            return;
        };
        if let Stands::ClusterIps(ips) = &old.stands {
            for ip in ips {
                if !entry.endpoints.contains_key(ip) {
                    remove_ref(&mut self.addresses, *ip, service_ref);
                }
            }
        }
        if let Some(in_namespace) = self.names.get_mut(&old.namespace) {
            // A service made anew under the name has another number and stays.
            if in_namespace.get(&old.name) == Some(&service_ref) {
                in_namespace.remove(&old.name);
            }
            if in_namespace.is_empty() {
                self.names.remove(&old.namespace);
            }
        }
    }

    fn remove(&mut self, service_ref: u32) {
        self.forget_service(service_ref);
        if let Some(entry) = self.entries.remove(&service_ref) {
            for ip in entry.endpoints.keys() {
                remove_ref(&mut self.addresses, *ip, service_ref);
            }
        }
    }

    fn change_endpoints(&mut self, delta: &EndpointsDelta) {
        if delta.replace {
            let all: Vec<IpAddr> = self
                .entries
                .get(&delta.service_ref)
                .map(|entry| entry.endpoints.keys().copied().collect())
                .unwrap_or_default();
            for ip in all {
                self.remove_endpoint(delta.service_ref, ip);
            }
        }
        for key in &delta.removed {
            if let Ok(ip) = ip_from_bytes(&key.ip) {
                self.remove_endpoint(delta.service_ref, ip);
            }
        }
        for endpoint in &delta.upserted {
            self.put_endpoint(delta.service_ref, endpoint);
        }
    }

    fn put_endpoint(&mut self, service_ref: u32, endpoint: &Endpoint) {
        let Ok(ip) = ip_from_bytes(&endpoint.ip) else {
            return;
        };
        add_ref(&mut self.addresses, ip, service_ref);
        self.entries
            .entry(service_ref)
            .or_default()
            .endpoints
            .insert(ip, endpoint_names(ip, endpoint));
    }

    fn remove_endpoint(&mut self, service_ref: u32, ip: IpAddr) {
        let Some(entry) = self.entries.get_mut(&service_ref) else {
            return;
        };
        entry.endpoints.remove(&ip);
        let its_own = matches!(
            entry.service.as_ref().map(|service| &service.stands),
            Some(Stands::ClusterIps(ips)) if ips.contains(&ip)
        );
        if !its_own {
            remove_ref(&mut self.addresses, ip, service_ref);
        }
    }
}

fn add_ref(addresses: &mut HashMap<IpAddr, Vec<u32>>, ip: IpAddr, service_ref: u32) {
    let refs = addresses.entry(ip).or_default();
    if let Err(at) = refs.binary_search(&service_ref) {
        refs.insert(at, service_ref);
    }
}

fn remove_ref(addresses: &mut HashMap<IpAddr, Vec<u32>>, ip: IpAddr, service_ref: u32) {
    if let Some(refs) = addresses.get_mut(&ip) {
        refs.retain(|other| *other != service_ref);
        if refs.is_empty() {
            addresses.remove(&ip);
        }
    }
}

fn service_names(service: &Service) -> ServiceNames {
    let stands = match service.r#type() {
        service::Type::ExternalName => Stands::External(service.external_name.clone()),
        _ if service.headless => Stands::Headless,
        service::Type::ClusterIp | service::Type::NodePort | service::Type::LoadBalancer => Stands::ClusterIps(
            service
                .cluster_ips
                .iter()
                .filter_map(|ip| ip_from_bytes(ip).ok())
                .collect(),
        ),
    };
    let ports = service
        .ports
        .iter()
        .filter_map(|port| wire_port(&port.name, port.protocol(), port.port))
        .collect();
    ServiceNames {
        namespace: service.namespace.to_ascii_lowercase(),
        name: service.name.to_ascii_lowercase(),
        stands,
        ports,
        publish_not_ready: service.publish_not_ready,
    }
}

fn endpoint_names(ip: IpAddr, endpoint: &Endpoint) -> EndpointNames {
    let hostname = if endpoint.hostname.is_empty() {
        dashed(ip)
    } else {
        endpoint.hostname.to_ascii_lowercase()
    };
    EndpointNames {
        hostname,
        ready: endpoint.ready,
        targets: endpoint
            .targets
            .iter()
            .filter_map(|target| wire_port(&target.name, target.protocol(), target.port))
            .collect(),
    }
}

fn wire_port(name: &str, protocol: Protocol, port: u32) -> Option<Port> {
    Some(Port {
        name: name.to_ascii_lowercase(),
        protocol,
        port: u16::try_from(port).ok()?,
    })
}

/// `10-42-0-7`; colons of an IPv6 address become dashes too.
pub(crate) fn dashed(ip: IpAddr) -> String {
    ip.to_string().replace(['.', ':'], "-")
}

#[cfg(test)]
mod tests;
