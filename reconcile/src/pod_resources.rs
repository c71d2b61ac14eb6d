//! What a pod asks for and may have as a whole, over all its containers.
//!
//! Source: Kubernetes' rules for effective requests and limits: the larger of the sum over containers and of what any
//! init step needs, sidecars included; amounts of the pod as a whole take the place of its containers'; overhead is
//! added to requests, and to limits that there are.

use std::collections::BTreeMap;

use api::{
    k8s_openapi::{
        api::core::v1::{Container, PodSpec, ResourceRequirements},
        apimachinery::pkg::api::resource::Quantity as Text,
    },
    quantity::Quantity,
};

/// Exact amounts by resource name.
pub type Amounts = BTreeMap<String, Quantity>;

/// What containers are asked about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// What they are to have at least.
    Requests,
    /// What they may have at most.
    Limits,
}

impl Side {
    fn of(self, resources: Option<&ResourceRequirements>) -> Option<&BTreeMap<String, Text>> {
        let resources = resources?;
        match self {
            Side::Requests => resources.requests.as_ref(),
            Side::Limits => resources.limits.as_ref(),
        }
    }
}

/// The amounts of the pod as a whole.
#[must_use]
pub fn effective(spec: &PodSpec, side: Side) -> Amounts {
    let mut amounts = of_containers(spec, side);
    for (resource, quantity) in of_pod(spec, side) {
        amounts.insert(resource, quantity);
    }
    for (resource, quantity) in parsed(spec.overhead.as_ref()) {
        match (side, amounts.get_mut(&resource)) {
            (Side::Requests, None) => {
                amounts.insert(resource, quantity);
            }
            (Side::Limits, None) => {}
            (Side::Limits, Some(limit)) if limit.is_zero() => {}
            (_, Some(amount)) => *amount = amount.add(quantity),
        }
    }
    amounts
}

/// The amounts of the containers together.
#[must_use]
pub fn of_containers(spec: &PodSpec, side: Side) -> Amounts {
    let mut running = Amounts::new();
    for container in &spec.containers {
        add(&mut running, &of_container(container, side));
    }
    // Init steps run one after the other, each beside the sidecars that were started before it.
    let (mut sidecars, mut peak) = (Amounts::new(), Amounts::new());
    for container in spec.init_containers.iter().flatten() {
        let mut step = of_container(container, side);
        if is_sidecar(container) {
            add(&mut sidecars, &step);
            raise(&mut peak, &sidecars);
        } else {
            add(&mut step, &sidecars);
            raise(&mut peak, &step);
        }
    }
    add(&mut running, &sidecars);
    raise(&mut running, &peak);
    running
}

/// The amounts of one container.
#[must_use]
pub fn of_container(container: &Container, side: Side) -> Amounts {
    parsed(side.of(container.resources.as_ref())).collect()
}

/// The amounts that the pod names for itself.
pub fn of_pod(spec: &PodSpec, side: Side) -> impl Iterator<Item = (String, Quantity)> {
    parsed(side.of(spec.resources.as_ref()))
}

/// Adds amounts to amounts.
pub fn add(sum: &mut Amounts, more: &Amounts) {
    for (resource, amount) in more {
        let present = sum.entry(resource.clone()).or_insert(Quantity::ZERO);
        *present = present.add(*amount);
    }
}

/// An init container that keeps running beside the containers.
pub(crate) fn is_sidecar(container: &Container) -> bool {
    container.restart_policy.as_deref() == Some("Always")
}

fn raise(to: &mut Amounts, at_least: &Amounts) {
    for (resource, amount) in at_least {
        let present = to.entry(resource.clone()).or_insert(*amount);
        *present = (*present).max(*amount);
    }
}

/// The amounts that are quantities; the API server admits no others.
fn parsed(amounts: Option<&BTreeMap<String, Text>>) -> impl Iterator<Item = (String, Quantity)> {
    amounts
        .into_iter()
        .flatten()
        .filter_map(|(resource, text)| Some((resource.clone(), Quantity::parse(&text.0).ok()?)))
}

#[cfg(test)]
mod tests;
