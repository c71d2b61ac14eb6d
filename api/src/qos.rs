//! The quality-of-service class of a pod, of its document.
//!
//! Source: Kubernetes documentation, "Pod Quality of Service Classes".

use serde_json::Value;

use crate::quantity::Quantity;

/// The class of a pod, by the CPU and memory of its containers: Guaranteed, Burstable or BestEffort.
#[must_use]
pub fn class(pod: &Value) -> &'static str {
    let mut any = false;
    let mut guaranteed = true;
    let containers = ["containers", "initContainers"]
        .into_iter()
        .flat_map(|list| pod["spec"][list].as_array().into_iter().flatten());
    for container in containers {
        for resource in ["cpu", "memory"] {
            let request = quantity(&container["resources"]["requests"][resource]);
            let limit = quantity(&container["resources"]["limits"][resource]);
            any |= request.is_some() || limit.is_some();
            guaranteed &= match (&request, &limit) {
                (None, Some(_)) => true,
                (Some(request), Some(limit)) => request == limit,
                (_, None) => false,
            };
        }
    }
    match (any, guaranteed) {
        (false, _) => "BestEffort",
        (true, true) => "Guaranteed",
        (true, false) => "Burstable",
    }
}

/// A quantity that is there and above zero.
fn quantity(value: &Value) -> Option<Quantity> {
    let text = match value {
        Value::String(text) => text.clone(),
        Value::Number(number) => number.to_string(),
        _ => return None,
    };
    let quantity: Quantity = text.parse().ok()?;
    (quantity > Quantity::ZERO).then_some(quantity)
}
