//! The objects that a cluster begins with: four namespaces, the services `kubernetes` and `kube-dns`, and where the
//! API server answers.
//!
//! Present again soon after somebody deletes them. Never here: the endpoints of `kube-dns`, which each node's dataplane
//! sets to its own resolver.

use std::net::{IpAddr, SocketAddr};

use api::{
    Kind, Object, ObjectKey,
    k8s_openapi::{
        api::{
            core::v1::{Namespace, Service, ServicePort, ServiceSpec},
            discovery::v1::{Endpoint, EndpointConditions, EndpointPort, EndpointSlice},
        },
        apimachinery::pkg::{apis::meta::v1::ObjectMeta, util::intstr::IntOrString},
    },
};

use crate::{
    plan::{Action, Context, Plan, Planner},
    world::{SERVICE_NAME_LABEL, World},
};

const NAMESPACES: [&str; 4] = ["default", "kube-node-lease", "kube-public", "kube-system"];
const API_SERVICE: (&str, &str) = ("default", "kubernetes");
const DNS_SERVICE: (&str, &str) = ("kube-system", "kube-dns");
const HTTPS_PORT: i32 = 443;
const DNS_PORT: i32 = 53;

/// Plans the built-in objects, all under one key.
#[derive(Debug)]
pub(crate) struct Builtin {
    pub(crate) api_service_ip: IpAddr,
    pub(crate) api_endpoint: SocketAddr,
    pub(crate) dns_ip: IpAddr,
}

impl Planner for Builtin {
    fn name(&self) -> &'static str {
        "builtin-objects"
    }

    fn watches(&self) -> &'static [Kind] {
        &[Kind::Namespace, Kind::Service, Kind::EndpointSlice]
    }

    fn at_start(&self) -> Vec<ObjectKey> {
        vec![everything()]
    }

    fn affected(
        &self,
        _world: &World,
        changed: &ObjectKey,
        _before: Option<&Object>,
        _after: Option<&Object>,
    ) -> Vec<ObjectKey> {
        let named = (changed.namespace.as_str(), changed.name.as_str());
        let is_ours = match changed.kind {
            Kind::Namespace => NAMESPACES.contains(&named.1),
            Kind::Service => named == API_SERVICE || named == DNS_SERVICE,
            Kind::EndpointSlice => named == API_SERVICE,
            _ => false,
        };
        if is_ours { vec![everything()] } else { Vec::new() }
    }

    fn plan(&self, world: &World, _key: &ObjectKey, _context: Context) -> Plan {
        let mut plan = Plan::default();
        let missing = NAMESPACES
            .iter()
            .filter(|name| world.typed::<Namespace>("", name).is_none());
        plan.actions.extend(missing.map(|name| {
            let metadata = ObjectMeta {
                name: Some((*name).to_owned()),
                ..ObjectMeta::default()
            };
            let namespace = Namespace {
                metadata,
                ..Namespace::default()
            };
            Action::Create(Box::new(namespace.into()))
        }));
        for service in [self.api_service(), self.dns_service()] {
            let (namespace, name) = (
                service.metadata.namespace.as_deref().unwrap_or_default(),
                service.metadata.name.as_deref().unwrap_or_default(),
            );
            // A service cannot be made before its namespace; that change brings the next plan.
            if is_open(world, namespace) && world.typed::<Service>(namespace, name).is_none() {
                plan.actions.push(Action::Create(Box::new(service.into())));
            }
        }
        if is_open(world, API_SERVICE.0) {
            let wanted = self.api_slice();
            match world.typed::<EndpointSlice>(API_SERVICE.0, API_SERVICE.1) {
                None => plan.actions.push(Action::Create(Box::new(wanted.into()))),
                Some(present)
                    if present.endpoints.as_deref().unwrap_or_default()
                        != wanted.endpoints.as_deref().unwrap_or_default()
                        || present.ports != wanted.ports =>
                {
                    let mut repaired = present.clone();
                    repaired.endpoints = wanted.endpoints;
                    repaired.ports = wanted.ports;
                    plan.actions.push(Action::Update(Box::new(repaired.into())));
                }
                Some(_) => {}
            }
        }
        plan
    }
}

fn everything() -> ObjectKey {
    ObjectKey::new(Kind::Namespace, "", "")
}

fn is_open(world: &World, namespace: &str) -> bool {
    world.typed::<Namespace>("", namespace).is_some() && !world.is_closing(namespace)
}

fn labelled((namespace, name): (&str, &str), labels: &[(&str, &str)]) -> ObjectMeta {
    ObjectMeta {
        namespace: Some(namespace.to_owned()),
        name: Some(name.to_owned()),
        labels: Some(
            labels
                .iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                .collect(),
        ),
        ..ObjectMeta::default()
    }
}

fn port(name: &str, protocol: &str, port: i32, target: i32) -> ServicePort {
    ServicePort {
        name: Some(name.to_owned()),
        protocol: Some(protocol.to_owned()),
        port,
        target_port: Some(IntOrString::Int(target)),
        ..ServicePort::default()
    }
}

impl Builtin {
    fn api_port(&self) -> i32 {
        i32::from(self.api_endpoint.port())
    }

    fn api_service(&self) -> Service {
        Service {
            metadata: labelled(API_SERVICE, &[("component", "apiserver"), ("provider", "kubernetes")]),
            spec: Some(ServiceSpec {
                type_: Some("ClusterIP".to_owned()),
                cluster_ip: Some(self.api_service_ip.to_string()),
                cluster_ips: Some(vec![self.api_service_ip.to_string()]),
                ports: Some(vec![port("https", "TCP", HTTPS_PORT, self.api_port())]),
                ..ServiceSpec::default()
            }),
            status: None,
        }
    }

    /// Without an endpoint if the server only answers on its own machine: no pod can reach that address.
    fn api_slice(&self) -> EndpointSlice {
        let reached_at = Some(self.api_endpoint.ip()).filter(|ip| !ip.is_loopback());
        EndpointSlice {
            metadata: labelled(API_SERVICE, &[(SERVICE_NAME_LABEL, API_SERVICE.1)]),
            address_type: if self.api_endpoint.is_ipv4() { "IPv4" } else { "IPv6" }.to_owned(),
            endpoints: reached_at.map(|ip| {
                vec![Endpoint {
                    addresses: vec![ip.to_string()],
                    conditions: Some(EndpointConditions {
                        ready: Some(true),
                        ..EndpointConditions::default()
                    }),
                    ..Endpoint::default()
                }]
            }),
            ports: Some(vec![EndpointPort {
                name: Some("https".to_owned()),
                protocol: Some("TCP".to_owned()),
                port: Some(self.api_port()),
                app_protocol: None,
            }]),
        }
    }

    fn dns_service(&self) -> Service {
        Service {
            metadata: labelled(
                DNS_SERVICE,
                &[
                    ("k8s-app", "kube-dns"),
                    ("kubernetes.io/cluster-service", "true"),
                    ("kubernetes.io/name", "CoreDNS"),
                ],
            ),
            spec: Some(ServiceSpec {
                type_: Some("ClusterIP".to_owned()),
                cluster_ip: Some(self.dns_ip.to_string()),
                cluster_ips: Some(vec![self.dns_ip.to_string()]),
                ports: Some(vec![
                    port("dns", "UDP", DNS_PORT, DNS_PORT),
                    port("dns-tcp", "TCP", DNS_PORT, DNS_PORT),
                ]),
                ..ServiceSpec::default()
            }),
            status: None,
        }
    }
}

#[cfg(test)]
mod tests;
