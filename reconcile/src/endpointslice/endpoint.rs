//! What one pod contributes to a service: its address, its conditions, the numbers behind the service's ports.
//!
//! Source: API reference discovery.k8s.io/v1 Endpoint; KEP-1672 (terminating endpoints).

use std::net::IpAddr;

use api::k8s_openapi::{
    api::{
        core::v1::{Container, ObjectReference, Pod, Service, ServicePort, ServiceSpec},
        discovery::v1::{Endpoint, EndpointConditions, EndpointPort},
    },
    apimachinery::pkg::util::intstr::IntOrString,
};

use crate::{facts, pod_resources::is_sidecar};

/// The node label that places its pods in a zone.
pub(super) const ZONE_LABEL: &str = "topology.kubernetes.io/zone";

/// `spec.ipFamilies` of a service, `addressType` of a slice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Family {
    V4,
    V6,
}

impl Family {
    pub(super) const fn address_type(self) -> &'static str {
        match self {
            Family::V4 => "IPv4",
            Family::V6 => "IPv6",
        }
    }

    fn has(self, ip: IpAddr) -> bool {
        match self {
            Family::V4 => ip.is_ipv4(),
            Family::V6 => ip.is_ipv6(),
        }
    }
}

/// The families a service has; IPv4 if it does not say.
pub(super) fn families(spec: &ServiceSpec) -> Vec<Family> {
    let mut families: Vec<Family> = spec
        .ip_families
        .iter()
        .flatten()
        .map(|family| if family == "IPv6" { Family::V6 } else { Family::V4 })
        .collect();
    if families.is_empty() {
        let address = spec.cluster_ip.as_deref().and_then(|ip| ip.parse::<IpAddr>().ok());
        families.push(if address.is_some_and(|ip| ip.is_ipv6()) {
            Family::V6
        } else {
            Family::V4
        });
    }
    families.dedup();
    families
}

pub(super) fn is_headless(service: &Service) -> bool {
    service
        .spec
        .as_ref()
        .is_some_and(|spec| spec.cluster_ip.as_deref() == Some("None"))
}

/// The pod's endpoint; `None` while it has no address, and once its containers have ended for good.
pub(super) fn of_pod(
    service: &Service,
    pod: &Pod,
    family: Family,
    zone: impl FnOnce() -> Option<String>,
) -> Option<Endpoint> {
    if facts::is_finished(pod) {
        return None;
    }
    let address = address(pod, family)?;
    let serving = facts::is_ready(pod);
    let terminating = facts::is_terminating(&pod.metadata);
    let publish_not_ready = service
        .spec
        .as_ref()
        .is_some_and(|spec| spec.publish_not_ready_addresses == Some(true));
    Some(Endpoint {
        addresses: vec![address],
        conditions: Some(EndpointConditions {
            ready: Some(publish_not_ready || (serving && !terminating)),
            serving: Some(serving),
            terminating: Some(terminating),
        }),
        hostname: hostname(service, pod),
        node_name: facts::node_name(pod).map(str::to_owned),
        target_ref: Some(ObjectReference {
            kind: Some("Pod".to_owned()),
            namespace: pod.metadata.namespace.clone(),
            name: pod.metadata.name.clone(),
            uid: pod.metadata.uid.clone(),
            ..ObjectReference::default()
        }),
        zone: zone(),
        ..Endpoint::default()
    })
}

fn address(pod: &Pod, family: Family) -> Option<String> {
    let status = pod.status.as_ref()?;
    let all = status.pod_ips.iter().flatten().map(|ip| ip.ip.as_str());
    all.chain(status.pod_ip.as_deref())
        .find(|ip| ip.parse().is_ok_and(|ip| family.has(ip)))
        .map(str::to_owned)
}

/// A pod that names this service as its subdomain has a DNS name of its own.
fn hostname(service: &Service, pod: &Pod) -> Option<String> {
    let spec = pod.spec.as_ref()?;
    (spec.subdomain.is_some() && spec.subdomain == service.metadata.name)
        .then(|| spec.hostname.clone())
        .flatten()
        .filter(|hostname| !hostname.is_empty())
}

/// The service's ports as this pod answers them; a named port that the pod does not have is left out.
pub(super) fn ports(service: &Service, pod: &Pod) -> Vec<EndpointPort> {
    let ports = service.spec.iter().flat_map(|spec| spec.ports.iter().flatten());
    ports
        .filter_map(|port| {
            Some(EndpointPort {
                name: Some(port.name.clone().unwrap_or_default()),
                protocol: Some(protocol(port.protocol.as_deref()).to_owned()),
                port: Some(target(port, pod)?),
                app_protocol: port.app_protocol.clone().filter(|name| !name.is_empty()),
            })
        })
        .collect()
}

/// Ports with nothing left to a default, so that they compare by meaning.
pub(super) fn complete(ports: &[EndpointPort]) -> Vec<EndpointPort> {
    ports
        .iter()
        .map(|port| EndpointPort {
            name: Some(port.name.clone().unwrap_or_default()),
            protocol: Some(protocol(port.protocol.as_deref()).to_owned()),
            port: port.port,
            app_protocol: port.app_protocol.clone().filter(|name| !name.is_empty()),
        })
        .collect()
}

fn target(port: &ServicePort, pod: &Pod) -> Option<i32> {
    let name = match &port.target_port {
        None | Some(IntOrString::Int(0)) => return Some(port.port),
        Some(IntOrString::Int(number)) => return Some(*number),
        Some(IntOrString::String(name)) => name,
    };
    let wanted = protocol(port.protocol.as_deref());
    serving_containers(pod)
        .flat_map(|container| container.ports.iter().flatten())
        .find(|candidate| candidate.name.as_ref() == Some(name) && protocol(candidate.protocol.as_deref()) == wanted)
        .map(|found| found.container_port)
}

fn serving_containers(pod: &Pod) -> impl Iterator<Item = &Container> {
    pod.spec.iter().flat_map(|spec| {
        let sidecars = spec
            .init_containers
            .iter()
            .flatten()
            .filter(|container| is_sidecar(container));
        spec.containers.iter().chain(sidecars)
    })
}

fn protocol(protocol: Option<&str>) -> &str {
    protocol.filter(|protocol| !protocol.is_empty()).unwrap_or("TCP")
}

/// True if two versions of a pod give the same endpoint in whatever service.
pub(super) fn is_alike(before: &Pod, after: &Pod) -> bool {
    let addresses = |pod: &Pod| {
        let status = pod.status.as_ref();
        (
            status.and_then(|status| status.pod_ip.clone()),
            status.and_then(|status| status.pod_ips.clone()),
        )
    };
    let placed = |pod: &Pod| {
        let spec = pod.spec.as_ref();
        (
            spec.and_then(|spec| spec.node_name.clone()),
            spec.and_then(|spec| spec.hostname.clone()),
            spec.and_then(|spec| spec.subdomain.clone()),
        )
    };
    before.metadata.uid == after.metadata.uid
        && before.metadata.labels == after.metadata.labels
        && facts::is_terminating(&before.metadata) == facts::is_terminating(&after.metadata)
        && facts::is_finished(before) == facts::is_finished(after)
        && facts::is_ready(before) == facts::is_ready(after)
        && addresses(before) == addresses(after)
        && placed(before) == placed(after)
}
