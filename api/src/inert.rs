//! Fields of pods that are taken and kept, and that nothing acts upon yet: said to whoever sets one.
//!
//! A row goes when its field begins to do something. Never here: refusing anything.
//! Source: Kubernetes, KEP-1693 (warnings), whose clients show what the server says.

use serde_json::Value;

use crate::resource::Resource;

/// A field that does nothing.
struct Inert {
    /// Below the pod's spec; `[]` stands for every item of a list.
    path: &'static str,
    /// What that means for the pod.
    meaning: &'static str,
    /// Another field of the pod's spec with which it means nothing anyway.
    unless: Option<&'static str>,
}

const fn inert(path: &'static str, meaning: &'static str) -> Inert {
    Inert {
        path,
        meaning,
        unless: None,
    }
}

const NO_PORT: &str = "the port of the node is reserved for the pod, but does not lead to it";

const FIELDS: [Inert; 8] = [
    Inert {
        unless: Some("hostNetwork"),
        ..inert("containers[].ports[].hostPort", NO_PORT)
    },
    Inert {
        unless: Some("hostNetwork"),
        ..inert("initContainers[].ports[].hostPort", NO_PORT)
    },
    inert(
        "affinity.podAffinity",
        "the pod may be placed on a node without the pods named there",
    ),
    inert(
        "affinity.podAntiAffinity",
        "the pod may be placed on a node with the pods named there",
    ),
    inert("topologySpreadConstraints", "the pods may be spread otherwise"),
    inert("runtimeClassName", "the container runs in the one runtime there is"),
    inert("setHostnameAsFQDN", "the pod's host name is its short name"),
    inert("containers[].volumeDevices", "the container gets no block device"),
];

/// One sentence for each field that `after` sets and that does nothing, unless `before` has set it already.
///
/// `before` is the object that is being changed, if there is one; both of the resource's kind.
#[must_use]
pub fn warnings(resource: &Resource, before: Option<&Value>, after: &Value) -> Vec<String> {
    let Some(spec_path) = pod_spec_path(resource) else {
        return Vec::new();
    };
    FIELDS
        .iter()
        .filter_map(|field| {
            let place = field.first_in(after.pointer(&pointer(spec_path))?)?;
            let had_it = before
                .and_then(|before| field.first_in(before.pointer(&pointer(spec_path))?))
                .is_some();
            (!had_it).then(|| {
                format!(
                    "{spec_path}.{place}: nothing acts upon this field yet: {}",
                    field.meaning
                )
            })
        })
        .collect()
}

/// The fields, below a pod's spec.
#[cfg(test)]
pub(crate) fn paths() -> impl Iterator<Item = &'static str> {
    FIELDS.iter().map(|field| field.path)
}

/// Where the kind has the spec of a pod, as a JSON pointer; none if it has none.
#[must_use]
pub fn pod_spec(resource: &Resource) -> Option<String> {
    pod_spec_path(resource).map(pointer)
}

/// Where the kind has the spec of a pod.
fn pod_spec_path(resource: &Resource) -> Option<&'static str> {
    match (resource.group, resource.kind) {
        ("", "Pod") => Some("spec"),
        ("", "PodTemplate") => Some("template.spec"),
        (
            "" | "apps" | "batch",
            "ReplicationController" | "Deployment" | "ReplicaSet" | "StatefulSet" | "DaemonSet" | "Job",
        ) => Some("spec.template.spec"),
        ("batch", "CronJob") => Some("spec.jobTemplate.spec.template.spec"),
        _ => None,
    }
}

fn pointer(path: &str) -> String {
    format!("/{}", path.replace('.', "/"))
}

impl Inert {
    /// The path of the first place in the spec where the field says something.
    fn first_in(&self, spec: &Value) -> Option<String> {
        if self.unless.is_some_and(|other| spec[other] == true) {
            return None;
        }
        find(spec, self.path)
    }
}

fn find(value: &Value, path: &str) -> Option<String> {
    let Some((list, rest)) = path.split_once("[]") else {
        let found = value.pointer(&pointer(path))?;
        return says_something(found).then(|| path.to_owned());
    };
    let items = value.pointer(&pointer(list))?.as_array()?;
    items.iter().enumerate().find_map(|(index, item)| {
        let below = find(item, rest.trim_start_matches('.'))?;
        Some(format!("{list}[{index}].{below}"))
    })
}

/// Whether a value differs from the field's absence.
fn says_something(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Bool(on) => *on,
        Value::Number(number) => number.as_f64() != Some(0.0),
        Value::String(text) => !text.is_empty(),
        Value::Array(items) => !items.is_empty(),
        Value::Object(fields) => fields.values().any(says_something),
    }
}

#[cfg(test)]
mod tests;
