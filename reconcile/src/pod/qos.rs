//! The quality-of-service class of a pod.
//!
//! Source: Kubernetes documentation, "Pod Quality of Service Classes".

use std::collections::BTreeMap;

use api::{
    k8s_openapi::{api::core::v1::PodSpec, apimachinery::pkg::api::resource::Quantity as Text},
    quantity::Quantity,
};

/// A pod's class, best protected first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Qos {
    /// Every container has a CPU and a memory limit, and requests no less.
    Guaranteed,
    /// Some container requests or limits something.
    Burstable,
    /// None does.
    BestEffort,
}

impl Qos {
    /// As `status.qosClass` says it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Qos::Guaranteed => "Guaranteed",
            Qos::Burstable => "Burstable",
            Qos::BestEffort => "BestEffort",
        }
    }
}

/// The class of a pod, by the CPU and memory of all its containers.
#[must_use]
pub fn qos(spec: &PodSpec) -> Qos {
    let mut any = false;
    let mut guaranteed = true;
    for container in spec.init_containers.iter().flatten().chain(&spec.containers) {
        let resources = container.resources.as_ref();
        for resource in ["cpu", "memory"] {
            let limit = amount(resources.and_then(|resources| resources.limits.as_ref()), resource);
            let request = amount(resources.and_then(|resources| resources.requests.as_ref()), resource);
            any |= limit.is_some() || request.is_some();
            // A request that is left out equals the limit.
            guaranteed &= limit.is_some_and(|limit| request.is_none_or(|request| request == limit));
        }
    }
    match (any, guaranteed) {
        (false, _) => Qos::BestEffort,
        (true, true) => Qos::Guaranteed,
        (true, false) => Qos::Burstable,
    }
}

/// An amount that is given and not zero.
fn amount(amounts: Option<&BTreeMap<String, Text>>, resource: &str) -> Option<Quantity> {
    let quantity: Quantity = amounts?.get(resource)?.0.parse().ok()?;
    (quantity != Quantity::ZERO).then_some(quantity)
}
