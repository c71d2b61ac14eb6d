//! What pods ask of a node: their requests, and the sum of them for each node, kept as pods come and go.
//!
//! Never here: how a pod's requests follow from its containers' (`pod_resources`).

use std::collections::BTreeMap;

use api::{
    k8s_openapi::{
        api::core::v1::{Container, Pod},
        apimachinery::pkg::api::resource::Quantity,
    },
    quantity,
};

use crate::pod_resources::{self, Side, is_sidecar};

/// Amounts by resource name: cpu in thousandths of a core, everything else in its unit. Never negative.
pub type Amounts = BTreeMap<String, i64>;

/// A port of the node's own addresses that a pod takes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct HostPort {
    /// `TCP`, `UDP` or `SCTP`.
    pub protocol: String,
    /// The address, `0.0.0.0` for all of the node's.
    pub address: String,
    /// The port.
    pub port: i32,
}

impl HostPort {
    /// True if both cannot be on one node.
    #[must_use]
    pub fn clashes_with(&self, other: &HostPort) -> bool {
        const ANY: &str = "0.0.0.0";
        self.port == other.port
            && self.protocol == other.protocol
            && (self.address == other.address || self.address == ANY || other.address == ANY)
    }
}

/// What one pod takes from its node.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Footprint {
    /// Requests.
    pub requests: Amounts,
    /// Ports of the node.
    pub host_ports: Vec<HostPort>,
}

/// What a pod that asks for nothing is taken to use when nodes are compared, so that such pods spread too: a tenth of a
/// core and 200 MiB, as in Kubernetes.
const ASSUMED: [(&str, i64); 2] = [("cpu", 100), ("memory", 200 * 1024 * 1024)];

impl Footprint {
    /// The requests for cpu and memory, or what is assumed in their place.
    pub fn weights(&self) -> impl Iterator<Item = (&'static str, i64)> {
        ASSUMED.iter().map(|(resource, assumed)| {
            let asked = self.requests.get(*resource).copied().unwrap_or(0);
            (*resource, if asked == 0 { *assumed } else { asked })
        })
    }
}

/// What the pods of one node take together. Finished pods take nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Usage {
    /// Sum of requests.
    pub requests: Amounts,
    /// Sum of [`Footprint::weights`].
    pub weights: Amounts,
    /// Number of pods.
    pub pods: i64,
    /// Taken ports, with how many pods take each (more than one only if somebody bound pods by hand).
    pub host_ports: BTreeMap<HostPort, usize>,
}

impl Usage {
    /// Adds a pod.
    pub fn add(&mut self, footprint: &Footprint) {
        self.pods += 1;
        for (resource, amount) in &footprint.requests {
            *self.requests.entry(resource.clone()).or_default() += amount;
        }
        for (resource, weight) in footprint.weights() {
            *self.weights.entry(resource.to_owned()).or_default() += weight;
        }
        for port in &footprint.host_ports {
            *self.host_ports.entry(port.clone()).or_default() += 1;
        }
    }

    /// Takes a pod off that was added.
    pub fn subtract(&mut self, footprint: &Footprint) {
        self.pods -= 1;
        for (resource, amount) in &footprint.requests {
            if let Some(sum) = self.requests.get_mut(resource) {
                *sum -= amount;
            }
        }
        for (resource, weight) in footprint.weights() {
            if let Some(sum) = self.weights.get_mut(resource) {
                *sum -= weight;
            }
        }
        for port in &footprint.host_ports {
            if let Some(count) = self.host_ports.get_mut(port) {
                *count -= 1;
                if *count == 0 {
                    self.host_ports.remove(port);
                }
            }
        }
    }
}

/// What this pod takes from its node.
#[must_use]
pub fn footprint(pod: &Pod) -> Footprint {
    let Some(spec) = &pod.spec else {
        return Footprint::default();
    };
    let requests = pod_resources::effective(spec, Side::Requests);
    Footprint {
        requests: requests
            .into_iter()
            .map(|(resource, quantity)| {
                let amount = rounded(&resource, quantity);
                (resource, amount)
            })
            .collect(),
        host_ports: host_ports(
            spec.containers.iter().chain(
                spec.init_containers
                    .iter()
                    .flatten()
                    .filter(|container| is_sidecar(container)),
            ),
        ),
    }
}

/// The amount a quantity stands for, rounded up; zero if it is none (the API server does not admit such).
#[must_use]
pub fn amount(resource: &str, quantity: &Quantity) -> i64 {
    quantity::Quantity::parse(&quantity.0).map_or(0, |parsed| rounded(resource, parsed))
}

fn rounded(resource: &str, quantity: quantity::Quantity) -> i64 {
    let amount = if resource == "cpu" {
        quantity.milli_value()
    } else {
        quantity.value()
    };
    amount.max(0)
}

fn host_ports<'a>(containers: impl Iterator<Item = &'a Container>) -> Vec<HostPort> {
    containers
        .flat_map(|container| container.ports.iter().flatten())
        .filter_map(|port| {
            let number = port.host_port.filter(|number| *number > 0)?;
            let or = |text: &Option<String>, default: &str| {
                text.clone()
                    .filter(|text| !text.is_empty())
                    .unwrap_or_else(|| default.to_owned())
            };
            Some(HostPort {
                protocol: or(&port.protocol, "TCP"),
                address: or(&port.host_ip, "0.0.0.0"),
                port: number,
            })
        })
        .collect()
}

#[cfg(test)]
mod tests;
