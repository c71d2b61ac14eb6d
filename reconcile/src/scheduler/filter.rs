//! Whether a node can take a pod, and if not, why: in Kubernetes' words, first obstacle first.

use std::{collections::BTreeMap, fmt};

use api::k8s_openapi::api::core::v1::{Node, NodeAffinity, Pod, PodSpec, Taint, Toleration};

use crate::{
    facts, matching,
    world::usage::{Amounts, Footprint, Usage, footprint},
};

/// A node as this round sees it.
pub(super) struct Candidate<'a> {
    pub(super) name: &'a str,
    pub(super) node: &'a Node,
    pub(super) allocatable: Amounts,
    /// With the pods that were placed in this round.
    pub(super) used: Usage,
}

impl<'a> Candidate<'a> {
    pub(super) fn new(node: &'a Node, used: Option<&Usage>) -> Candidate<'a> {
        Candidate {
            name: facts::name(&node.metadata),
            node,
            allocatable: super::allocatable(node),
            used: used.cloned().unwrap_or_default(),
        }
    }

    pub(super) fn taints(&self) -> impl Iterator<Item = &'a Taint> + use<'a> {
        self.node.spec.iter().flat_map(|spec| spec.taints.iter().flatten())
    }
}

/// What a pod asks of its node.
pub(super) struct Wanted<'a> {
    pub(super) pod: &'a Pod,
    pub(super) spec: &'a PodSpec,
    pub(super) footprint: Footprint,
}

impl<'a> Wanted<'a> {
    pub(super) fn of(pod: &'a Pod, spec: &'a PodSpec) -> Wanted<'a> {
        Wanted {
            pod,
            spec,
            footprint: footprint(pod),
        }
    }

    pub(super) fn tolerations(&self) -> &'a [Toleration] {
        self.spec.tolerations.as_deref().unwrap_or_default()
    }

    pub(super) fn node_affinity(&self) -> Option<&'a NodeAffinity> {
        self.spec.affinity.as_ref()?.node_affinity.as_ref()
    }
}

/// Why a node cannot take a pod; Display is Kubernetes' wording.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Refusal {
    Unschedulable,
    Taint { key: String, value: String },
    Affinity,
    HostPorts,
    TooManyPods,
    Insufficient(String),
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Refusal::Unschedulable => f.write_str("node(s) were unschedulable"),
            Refusal::Taint { key, value } => write!(f, "node(s) had untolerated taint {{{key}: {value}}}"),
            Refusal::Affinity => f.write_str("node(s) didn't match Pod's node affinity/selector"),
            Refusal::HostPorts => f.write_str("node(s) didn't have free ports for the requested pod ports"),
            Refusal::TooManyPods => f.write_str("Too many pods"),
            Refusal::Insufficient(resource) => write!(f, "Insufficient {resource}"),
        }
    }
}

/// `0/3 nodes are available: 1 Insufficient cpu, 2 Too many pods.`
pub(super) fn explain(nodes: usize, reasons: &BTreeMap<String, usize>) -> String {
    if nodes == 0 {
        return "no nodes available to schedule pods".to_owned();
    }
    let mut parts: Vec<String> = reasons
        .iter()
        .map(|(reason, count)| format!("{count} {reason}"))
        .collect();
    parts.sort();
    format!("0/{nodes} nodes are available: {}.", parts.join(", "))
}

/// # Errors
/// The first obstacle; of resources, all that are short.
pub(super) fn check(wanted: &Wanted<'_>, node: &Candidate<'_>) -> Result<(), Vec<Refusal>> {
    let refusal = unschedulable(wanted, node)
        .or_else(|| untolerated(wanted, node))
        .or_else(|| unwanted(wanted, node))
        .or_else(|| port_taken(wanted, node));
    if let Some(refusal) = refusal {
        return Err(vec![refusal]);
    }
    let short = short_of(wanted, node);
    if short.is_empty() { Ok(()) } else { Err(short) }
}

fn unschedulable(wanted: &Wanted<'_>, node: &Candidate<'_>) -> Option<Refusal> {
    let taint = Taint {
        key: "node.kubernetes.io/unschedulable".to_owned(),
        effect: "NoSchedule".to_owned(),
        ..Taint::default()
    };
    let is_cordoned = node
        .node
        .spec
        .as_ref()
        .is_some_and(|spec| spec.unschedulable == Some(true));
    let tolerated = || {
        wanted
            .tolerations()
            .iter()
            .any(|toleration| matching::tolerates(toleration, &taint))
    };
    (is_cordoned && !tolerated()).then_some(Refusal::Unschedulable)
}

fn untolerated(wanted: &Wanted<'_>, node: &Candidate<'_>) -> Option<Refusal> {
    node.taints()
        .filter(|taint| matches!(taint.effect.as_str(), "NoSchedule" | "NoExecute"))
        .find(|taint| {
            !wanted
                .tolerations()
                .iter()
                .any(|toleration| matching::tolerates(toleration, taint))
        })
        .map(|taint| Refusal::Taint {
            key: taint.key.clone(),
            value: taint.value.clone().unwrap_or_default(),
        })
}

fn unwanted(wanted: &Wanted<'_>, node: &Candidate<'_>) -> Option<Refusal> {
    let selected = wanted
        .spec
        .node_selector
        .as_ref()
        .is_none_or(|selector| matching::has_all(node.node.metadata.labels.as_ref(), selector));
    let required = wanted
        .node_affinity()
        .and_then(|affinity| affinity.required_during_scheduling_ignored_during_execution.as_ref());
    let attracted = required.is_none_or(|required| matching::node_satisfies(required, node.node));
    (!selected || !attracted).then_some(Refusal::Affinity)
}

fn port_taken(wanted: &Wanted<'_>, node: &Candidate<'_>) -> Option<Refusal> {
    let mut ports = wanted.footprint.host_ports.iter();
    ports
        .any(|port| node.used.host_ports.keys().any(|taken| taken.clashes_with(port)))
        .then_some(Refusal::HostPorts)
}

fn short_of(wanted: &Wanted<'_>, node: &Candidate<'_>) -> Vec<Refusal> {
    let mut short = Vec::new();
    let offers = |resource: &str| node.allocatable.get(resource).copied().unwrap_or(0);
    if node.used.pods + 1 > offers("pods") {
        short.push(Refusal::TooManyPods);
    }
    for (resource, amount) in &wanted.footprint.requests {
        let used = node.used.requests.get(resource).copied().unwrap_or(0);
        if *amount > 0 && *amount > offers(resource) - used {
            short.push(Refusal::Insufficient(resource.clone()));
        }
    }
    short
}

#[cfg(test)]
mod tests;
