//! The cluster's network as nodes are told of it: a pure fold of Nodes, Services and EndpointSlices into changes.
//!
//! An endpoint change of one pod becomes one entry of tens of bytes. Services have numbers that are the same on every
//! stream and are never given again while the server runs. Never here: who is told, and when.
//! Source: EndpointSlice and Service of the Kubernetes API reference.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use api::{
    k8s_openapi::api::{
        core::v1::{Node as NodeObject, Service as ServiceObject},
        discovery::v1::EndpointSlice,
    },
    net_state::{NetState, ip_to_bytes},
    node_stream::{
        Change, Endpoint, EndpointKey, EndpointsDelta, Node, Protocol, Service, ServicePort, TargetPort, change,
        service,
    },
};

/// The label that names the service of an EndpointSlice.
const SERVICE_NAME_LABEL: &str = "kubernetes.io/service-name";
const ZONE_LABEL: &str = "topology.kubernetes.io/zone";
/// Kubernetes' default of `sessionAffinityConfig.clientIP.timeoutSeconds`.
const AFFINITY_TIMEOUT_S: u32 = 10_800;

/// Namespace and name.
type Name = (String, String);
/// By address bytes.
type Endpoints = BTreeMap<Vec<u8>, Endpoint>;

#[derive(Debug, Default)]
struct Slice {
    /// Namespace and name of its service.
    service: Name,
    endpoints: Endpoints,
}

/// What all nodes know, and what it was made of.
#[derive(Debug, Default)]
pub(super) struct Network {
    state: NetState,
    last_ref: u32,
    refs: HashMap<Name, u32>,
    slices: HashMap<Name, Slice>,
    /// Slices by service, also of services that do not exist yet.
    slices_of: HashMap<Name, BTreeSet<Name>>,
    pod_cidrs: HashMap<String, String>,
}

impl Network {
    /// The range of a node's pods, once it has one.
    pub(super) fn pod_cidr(&self, node: &str) -> Option<&str> {
        self.pod_cidrs.get(node).map(String::as_str)
    }

    /// A node came, changed or went. Nodes are told of it once it has an address and a range.
    pub(super) fn node_changed(&mut self, name: &str, node: Option<&NodeObject>) -> Vec<Change> {
        match node.and_then(pod_cidr) {
            Some(cidr) => self.pod_cidrs.insert(name.to_owned(), cidr.to_owned()),
            None => self.pod_cidrs.remove(name),
        };
        let after = node.and_then(|object| node_message(name, object));
        let change = match (self.state.nodes.get(name), after) {
            (None, None) => return Vec::new(),
            (Some(before), Some(after)) if *before == after => return Vec::new(),
            (_, Some(after)) => change::Kind::Node(after),
            (Some(_), None) => change::Kind::NodeRemoved(name.to_owned()),
        };
        self.made(vec![change])
    }

    /// A service came, changed or went.
    pub(super) fn service_changed(
        &mut self,
        namespace: &str,
        name: &str,
        object: Option<&ServiceObject>,
    ) -> Vec<Change> {
        let key = (namespace.to_owned(), name.to_owned());
        let Some(object) = object else {
            let removed = self.refs.remove(&key);
            return self.made(removed.map(change::Kind::ServiceRemoved).into_iter().collect());
        };
        let known = self.refs.get(&key).copied();
        let number = known.unwrap_or_else(|| {
            self.last_ref += 1;
            self.refs.insert(key.clone(), self.last_ref);
            self.last_ref
        });
        let message = service_message(number, namespace, name, object);
        if self.state.services.get(&number) == Some(&message) {
            return Vec::new();
        }
        let mut changes = vec![change::Kind::Service(message)];
        if known.is_none() {
            let endpoints: Vec<Endpoint> = self.addresses_of(&key).into_values().collect();
            if !endpoints.is_empty() {
                changes.push(change::Kind::Endpoints(EndpointsDelta {
                    service_ref: number,
                    replace: true,
                    upserted: endpoints,
                    removed: Vec::new(),
                }));
            }
        }
        self.made(changes)
    }

    /// A slice came, changed or went.
    pub(super) fn slice_changed(&mut self, namespace: &str, name: &str, object: Option<&EndpointSlice>) -> Vec<Change> {
        let key = (namespace.to_owned(), name.to_owned());
        let after = object.and_then(slice);
        // A slice can be given to another service, so both may have changed.
        let mut touched: BTreeMap<Name, BTreeSet<Vec<u8>>> = BTreeMap::new();
        if let Some(before) = self.slices.remove(&key) {
            self.forget_slice(&before.service, &key);
            touched
                .entry(before.service)
                .or_default()
                .extend(before.endpoints.into_keys());
        }
        if let Some(after) = after {
            touched
                .entry(after.service.clone())
                .or_default()
                .extend(after.endpoints.keys().cloned());
            self.slices_of
                .entry(after.service.clone())
                .or_default()
                .insert(key.clone());
            self.slices.insert(key, after);
        }
        let changes = touched
            .into_iter()
            .filter_map(|(service, addresses)| self.delta(&service, addresses))
            .map(change::Kind::Endpoints)
            .collect();
        self.made(changes)
    }

    /// All there is, as changes from nothing.
    pub(super) fn snapshot(&self) -> impl Iterator<Item = Change> + '_ {
        let nodes = self.state.nodes.values().cloned().map(change::Kind::Node);
        let services = self.state.services.iter().flat_map(|(number, service)| {
            let endpoints = self
                .state
                .endpoints
                .get(number)
                .filter(|endpoints| !endpoints.is_empty());
            let endpoints = endpoints.map(|endpoints| {
                change::Kind::Endpoints(EndpointsDelta {
                    service_ref: *number,
                    replace: true,
                    upserted: endpoints.values().cloned().collect(),
                    removed: Vec::new(),
                })
            });
            std::iter::once(change::Kind::Service(service.clone())).chain(endpoints)
        });
        nodes.chain(services).map(|kind| Change { kind: Some(kind) })
    }

    fn made(&mut self, kinds: Vec<change::Kind>) -> Vec<Change> {
        let changes: Vec<Change> = kinds.into_iter().map(|kind| Change { kind: Some(kind) }).collect();
        for change in &changes {
            self.state.apply(change);
        }
        changes
    }

    fn forget_slice(&mut self, service: &Name, slice: &Name) {
        if let Some(slices) = self.slices_of.get_mut(service) {
            slices.remove(slice);
            if slices.is_empty() {
                self.slices_of.remove(service);
            }
        }
    }

    /// What of these addresses differs from what nodes were told.
    fn delta(&self, service: &Name, addresses: BTreeSet<Vec<u8>>) -> Option<EndpointsDelta> {
        let number = *self.refs.get(service)?;
        let told = self.state.endpoints.get(&number);
        let mut delta = EndpointsDelta {
            service_ref: number,
            ..EndpointsDelta::default()
        };
        for ip in addresses {
            let before = told.and_then(|told| told.get(&ip));
            match (before, self.address(service, &ip)) {
                (Some(before), Some(after)) if *before == after => {}
                (_, Some(after)) => delta.upserted.push(after),
                (Some(_), None) => delta.removed.push(EndpointKey { ip }),
                (None, None) => {}
            }
        }
        (!delta.upserted.is_empty() || !delta.removed.is_empty()).then_some(delta)
    }

    /// One address of a service: what all its slices say of it.
    fn address(&self, service: &Name, ip: &[u8]) -> Option<Endpoint> {
        self.slices_of
            .get(service)?
            .iter()
            .filter_map(|slice| self.slices.get(slice)?.endpoints.get(ip).cloned())
            .reduce(merge)
    }

    fn addresses_of(&self, service: &Name) -> Endpoints {
        let mut all = Endpoints::new();
        let slices = self.slices_of.get(service).into_iter().flatten();
        for (ip, endpoint) in slices
            .filter_map(|slice| self.slices.get(slice))
            .flat_map(|slice| &slice.endpoints)
        {
            let merged = match all.remove(ip) {
                Some(before) => merge(before, endpoint.clone()),
                None => endpoint.clone(),
            };
            all.insert(ip.clone(), merged);
        }
        all
    }
}

/// One address in two slices: typically each has other ports.
fn merge(mut one: Endpoint, other: Endpoint) -> Endpoint {
    for target in other.targets {
        if !one.targets.contains(&target) {
            one.targets.push(target);
        }
    }
    one.ready |= other.ready;
    one.serving |= other.serving;
    one.terminating &= other.terminating;
    one
}

fn pod_cidr(node: &NodeObject) -> Option<&str> {
    node.spec.as_ref()?.pod_cidr.as_deref().filter(|cidr| !cidr.is_empty())
}

fn node_message(name: &str, node: &NodeObject) -> Option<Node> {
    let addresses = node.status.as_ref()?.addresses.iter().flatten();
    let ip = addresses
        .filter(|address| address.type_ == "InternalIP")
        .find_map(|address| ip_bytes(&address.address))?;
    Some(Node {
        name: name.to_owned(),
        ip,
        pod_cidr: pod_cidr(node)?.to_owned(),
        zone: node
            .metadata
            .labels
            .as_ref()
            .and_then(|labels| labels.get(ZONE_LABEL))
            .cloned()
            .unwrap_or_default(),
    })
}

fn service_message(number: u32, namespace: &str, name: &str, object: &ServiceObject) -> Service {
    let spec = object.spec.clone().unwrap_or_default();
    let addresses = spec
        .cluster_ips
        .filter(|list| !list.is_empty())
        .unwrap_or_else(|| spec.cluster_ip.clone().into_iter().collect());
    let all_bytes = |list: Vec<String>| list.iter().filter_map(|ip| ip_bytes(ip)).collect();
    let ports = spec.ports.unwrap_or_default();
    let affinity = spec
        .session_affinity_config
        .and_then(|config| config.client_ip?.timeout_seconds);
    let ingress = object.status.iter().flat_map(|status| status.load_balancer.iter());
    Service {
        r#ref: number,
        namespace: namespace.to_owned(),
        name: name.to_owned(),
        r#type: match spec.type_.as_deref() {
            Some("NodePort") => service::Type::NodePort,
            Some("LoadBalancer") => service::Type::LoadBalancer,
            Some("ExternalName") => service::Type::ExternalName,
            _ => service::Type::ClusterIp,
        }
        .into(),
        headless: addresses.iter().any(|address| address == "None"),
        cluster_ips: all_bytes(addresses),
        ports: ports
            .into_iter()
            .map(|port| ServicePort {
                name: port.name.unwrap_or_default(),
                protocol: protocol(port.protocol.as_deref()).into(),
                port: number_or_zero(Some(port.port)),
                node_port: number_or_zero(port.node_port),
            })
            .collect(),
        external_name: spec.external_name.unwrap_or_default(),
        external_ips: all_bytes(spec.external_ips.unwrap_or_default()),
        load_balancer_ips: ingress
            .flat_map(|status| status.ingress.iter().flatten())
            .filter_map(|ingress| ip_bytes(ingress.ip.as_deref()?))
            .collect(),
        affinity_timeout_s: match spec.session_affinity.as_deref() {
            Some("ClientIP") => affinity.map_or(AFFINITY_TIMEOUT_S, |seconds| number_or_zero(Some(seconds))),
            _ => 0,
        },
        internal_traffic_local: spec.internal_traffic_policy.as_deref() == Some("Local"),
        external_traffic_local: spec.external_traffic_policy.as_deref() == Some("Local"),
        publish_not_ready: spec.publish_not_ready_addresses == Some(true),
    }
}

/// The service of a slice and its endpoints; none for slices of names (FQDN) and of no service.
fn slice(object: &EndpointSlice) -> Option<Slice> {
    if object.address_type == "FQDN" {
        return None;
    }
    let service = object.metadata.labels.as_ref()?.get(SERVICE_NAME_LABEL)?;
    let namespace = object.metadata.namespace.clone().unwrap_or_default();
    let targets: Vec<TargetPort> = object
        .ports
        .iter()
        .flatten()
        .filter_map(|port| {
            Some(TargetPort {
                name: port.name.clone().unwrap_or_default(),
                protocol: protocol(port.protocol.as_deref()).into(),
                port: number_or_zero(Some(port.port?)),
            })
        })
        .collect();
    let mut endpoints = Endpoints::new();
    for endpoint in object.endpoints.iter().flatten() {
        let conditions = endpoint.conditions.clone().unwrap_or_default();
        let ready = conditions.ready.unwrap_or(true);
        for ip in endpoint.addresses.iter().filter_map(|address| ip_bytes(address)) {
            let message = Endpoint {
                ip: ip.clone(),
                targets: targets.clone(),
                ready,
                serving: conditions.serving.unwrap_or(ready),
                terminating: conditions.terminating.unwrap_or(false),
                node_name: endpoint.node_name.clone().unwrap_or_default(),
                hostname: endpoint.hostname.clone().unwrap_or_default(),
                zone: endpoint.zone.clone().unwrap_or_default(),
            };
            // Old and new pod of one address may overlap for a moment in a slice.
            let merged = match endpoints.remove(&ip) {
                Some(before) => newer(before, message),
                None => message,
            };
            endpoints.insert(ip, merged);
        }
    }
    Some(Slice {
        service: (namespace, service.clone()),
        endpoints,
    })
}

/// Of two endpoints of one address in a slice, the one that takes connections.
fn newer(one: Endpoint, other: Endpoint) -> Endpoint {
    let rank = |endpoint: &Endpoint| (endpoint.ready, !endpoint.terminating, endpoint.serving);
    if rank(&one) >= rank(&other) { one } else { other }
}

fn protocol(name: Option<&str>) -> Protocol {
    match name {
        Some("UDP") => Protocol::Udp,
        Some("SCTP") => Protocol::Sctp,
        _ => Protocol::Tcp,
    }
}

/// Ports and seconds were validated to be positive when the object was written.
fn number_or_zero(number: Option<i32>) -> u32 {
    number.and_then(|number| u32::try_from(number).ok()).unwrap_or(0)
}

fn ip_bytes(address: &str) -> Option<Vec<u8>> {
    address.parse().ok().map(ip_to_bytes)
}

#[cfg(test)]
mod tests;
