//! What a pod can learn about itself: `fieldRef` and `resourceFieldRef`, for its environment and its volumes.
//!
//! Source: Kubernetes documentation, "Downward API".

use std::{collections::BTreeMap, net::IpAddr};

use api::{
    k8s_openapi::api::core::v1::{Container, Pod, ResourceFieldSelector},
    quantity::Quantity,
};

/// What is known of a pod besides its object.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct PodFacts {
    pub(crate) node_name: String,
    pub(crate) host_ips: Vec<IpAddr>,
    /// Empty until the pod has a network.
    pub(crate) pod_ips: Vec<IpAddr>,
    /// What stands for a limit that is not set.
    pub(crate) node_cpu_milli: i64,
    pub(crate) node_memory_bytes: i64,
}

/// A field cannot be resolved.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub(crate) enum FieldError {
    #[error("unsupported fieldPath: {0}")]
    Unsupported(String),
    #[error("container {0} not found")]
    Container(String),
    #[error("unsupported container resource: {0}")]
    Resource(String),
    #[error("invalid divisor {0:?}")]
    Divisor(String),
}

/// The value of `fieldRef.fieldPath`.
pub(crate) fn field(pod: &Pod, facts: &PodFacts, path: &str) -> Result<String, FieldError> {
    let metadata = &pod.metadata;
    let spec = pod.spec.as_ref();
    if let Some((map, key)) = keyed(path) {
        let values = match map {
            "metadata.labels" => metadata.labels.as_ref(),
            "metadata.annotations" => metadata.annotations.as_ref(),
            _ => return Err(FieldError::Unsupported(path.to_owned())),
        };
        return Ok(values.and_then(|values| values.get(key)).cloned().unwrap_or_default());
    }
    let joined = |ips: &[IpAddr]| ips.iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
    let first = |ips: &[IpAddr]| ips.first().map(ToString::to_string).unwrap_or_default();
    Ok(match path {
        "metadata.name" => metadata.name.clone().unwrap_or_default(),
        "metadata.namespace" => metadata.namespace.clone().unwrap_or_default(),
        "metadata.uid" => metadata.uid.clone().unwrap_or_default(),
        "metadata.labels" => lines(metadata.labels.as_ref()),
        "metadata.annotations" => lines(metadata.annotations.as_ref()),
        "spec.nodeName" => facts.node_name.clone(),
        "spec.serviceAccountName" => spec
            .and_then(|spec| spec.service_account_name.clone())
            .unwrap_or_default(),
        "status.hostIP" => first(&facts.host_ips),
        "status.hostIPs" => joined(&facts.host_ips),
        "status.podIP" => first(&facts.pod_ips),
        "status.podIPs" => joined(&facts.pod_ips),
        _ => return Err(FieldError::Unsupported(path.to_owned())),
    })
}

/// The value of `resourceFieldRef`; `own` is the container that asks, unless another is named.
pub(crate) fn resource_field(
    pod: &Pod,
    facts: &PodFacts,
    own: Option<&Container>,
    selector: &ResourceFieldSelector,
) -> Result<String, FieldError> {
    let container = match selector.container_name.as_deref().filter(|name| !name.is_empty()) {
        None => own.ok_or_else(|| FieldError::Container(String::new()))?,
        Some(name) => {
            let spec = pod.spec.as_ref();
            let init = spec.and_then(|spec| spec.init_containers.as_ref());
            init.into_iter()
                .flatten()
                .chain(spec.into_iter().flat_map(|spec| &spec.containers))
                .find(|container| container.name == name)
                .ok_or_else(|| FieldError::Container(name.to_owned()))?
        }
    };
    let unsupported = || FieldError::Resource(selector.resource.clone());
    let (kind, resource) = selector.resource.split_once('.').ok_or_else(unsupported)?;
    let resources = container.resources.as_ref();
    let amounts = match kind {
        "limits" => resources.and_then(|resources| resources.limits.as_ref()),
        "requests" => resources.and_then(|resources| resources.requests.as_ref()),
        _ => return Err(unsupported()),
    };
    let set: Option<Quantity> = amounts
        .and_then(|amounts| amounts.get(resource))
        .and_then(|text| text.0.parse().ok());
    // A limit that is not set is what the node has; a request that is not set is nothing.
    let quantity = set.unwrap_or_else(|| match (kind, resource) {
        ("limits", "cpu") => Quantity::from_milli(facts.node_cpu_milli),
        ("limits", "memory") => Quantity::from_value(facts.node_memory_bytes),
        _ => Quantity::ZERO,
    });
    let divisor_text = selector
        .divisor
        .as_ref()
        .map(|divisor| divisor.0.clone())
        .unwrap_or_default();
    let divisor: Quantity = match divisor_text.as_str() {
        "" | "0" => Quantity::from_value(1),
        text => text.parse().map_err(|_| FieldError::Divisor(text.to_owned()))?,
    };
    let (amount, by) = match resource {
        "cpu" => (quantity.milli_value(), divisor.milli_value()),
        _ => (quantity.value(), divisor.value()),
    };
    if by <= 0 {
        return Err(FieldError::Divisor(divisor_text));
    }
    // Rounded up, as Kubernetes does.
    Ok((amount / by + i64::from(amount % by > 0)).to_string())
}

/// `metadata.labels['key']` in its two parts.
fn keyed(path: &str) -> Option<(&str, &str)> {
    let (map, rest) = path.split_once('[')?;
    let key = rest.strip_suffix(']')?;
    let key = key
        .strip_prefix('\'')
        .and_then(|key| key.strip_suffix('\''))
        .or_else(|| key.strip_prefix('"').and_then(|key| key.strip_suffix('"')))?;
    Some((map, key))
}

/// `key="value"` per line, sorted, as the downward API writes maps.
fn lines(map: Option<&BTreeMap<String, String>>) -> String {
    let lines: Vec<String> = map
        .into_iter()
        .flatten()
        .map(|(key, value)| format!("{key}={value:?}"))
        .collect();
    lines.join("\n")
}
