//! What a node's agent may make of the objects that the node authorizer lets it write. Pure.
//!
//! The authorizer sees names; this sees contents. Source: Kubernetes, "Admission Control in Kubernetes":
//! NodeRestriction; `k8s.io/kubelet/pkg/apis`: the labels that nodes may give themselves.

use std::collections::BTreeSet;

use super::review::Operation;
use serde_json::Value;

const LEASE_NAMESPACE: &str = "kube-node-lease";
/// Labels that nobody but an administrator gives to nodes.
const RESTRICTED_LABELS: &str = "node-restriction.kubernetes.io";
/// Labels of Kubernetes that a node may give itself, and those below these domains.
const NODE_LABELS: [&str; 12] = [
    "kubernetes.io/hostname",
    "kubernetes.io/arch",
    "kubernetes.io/os",
    "beta.kubernetes.io/arch",
    "beta.kubernetes.io/os",
    "beta.kubernetes.io/instance-type",
    "node.kubernetes.io/instance-type",
    "topology.kubernetes.io/region",
    "topology.kubernetes.io/zone",
    "failure-domain.beta.kubernetes.io/region",
    "failure-domain.beta.kubernetes.io/zone",
    "node.kubernetes.io/windows-build",
];
const NODE_LABEL_DOMAINS: [&str; 2] = ["kubelet.kubernetes.io", "node.kubernetes.io"];
/// Marks pods that show what runs on a node without the server's doing.
const MIRROR: &str = "kubernetes.io/config.mirror";

/// What a node's agent is about to do with an object.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Act<'a> {
    pub(crate) operation: Operation,
    pub(crate) group: &'a str,
    /// `pods`, `pods/status`
    pub(crate) path: &'a str,
    pub(crate) namespace: &'a str,
    pub(crate) name: &'a str,
    /// Null before a creation.
    pub(crate) old: &'a Value,
    /// Null after a deletion.
    pub(crate) new: &'a Value,
}

/// Why the agent of `node` may not do this, in Kubernetes' words.
pub(crate) fn fault(node: &str, act: &Act<'_>) -> Option<String> {
    match (act.group, act.path) {
        ("", "pods") => pod(node, act),
        ("", "pods/status") => pod_status(node, act),
        ("", path) if path.starts_with("pods/") => Some(format!(
            "unexpected pod subresource {:?}, only 'status' and 'eviction' are allowed",
            &path["pods/".len()..]
        )),
        ("", "nodes" | "nodes/status") => own_node(node, act),
        ("coordination.k8s.io", "leases") if act.namespace != LEASE_NAMESPACE => Some(format!(
            "can only access leases in the {LEASE_NAMESPACE:?} system namespace"
        )),
        ("coordination.k8s.io", "leases") if act.name != node => {
            Some("can only access node lease with the same name as the requesting node".to_owned())
        }
        ("storage.k8s.io", "csinodes") if act.name != node => {
            Some("can only access CSINode with the same name as the requesting node".to_owned())
        }
        _ => None,
    }
}

fn pod(node: &str, act: &Act<'_>) -> Option<String> {
    match act.operation {
        Operation::Create => mirror(node, act.new),
        Operation::Update => Some(format!(
            "unexpected operation \"UPDATE\", node {node:?} can only create and delete mirror pods"
        )),
        Operation::Delete if act.old["spec"]["nodeName"] != node => Some(format!(
            "node {node:?} can only delete pods with spec.nodeName set to itself"
        )),
        Operation::Connect | Operation::Delete => None,
    }
}

/// Why an agent may not create this pod.
fn mirror(node: &str, pod: &Value) -> Option<String> {
    let spec = &pod["spec"];
    let refers = |kind: &str| format!("node {node:?} can not create pods that reference {kind}");
    let is_named = |value: &Value| value.as_str().is_some_and(|name| !name.is_empty());
    if pod["metadata"]["annotations"][MIRROR].is_null() {
        return Some(format!(
            "pod does not have {MIRROR:?} annotation, node {node:?} can only create mirror pods"
        ));
    }
    if spec["nodeName"] != node {
        return Some(format!(
            "node {node:?} can only create pods with spec.nodeName set to itself"
        ));
    }
    let owners = pod["metadata"]["ownerReferences"].as_array().into_iter().flatten();
    if owners
        .into_iter()
        .any(|owner| owner["kind"] != "Node" || owner["name"] != node)
    {
        return Some(format!(
            "node {node:?} can only create pods with an owner reference set to itself"
        ));
    }
    if is_named(&spec["serviceAccountName"]) {
        return Some(refers("a service account"));
    }
    let mut volumes = spec["volumes"].as_array().into_iter().flatten();
    volumes.find_map(|volume| {
        let kind = ["secret", "configMap", "persistentVolumeClaim", "projected"]
            .into_iter()
            .find(|kind| !volume[kind].is_null())?;
        Some(refers(match kind {
            "secret" => "secrets",
            "configMap" => "configmaps",
            "persistentVolumeClaim" => "persistentvolumeclaims",
            _ => "projected volumes",
        }))
    })
}

fn pod_status(node: &str, act: &Act<'_>) -> Option<String> {
    if act.operation != Operation::Update {
        return Some("unexpected operation for the status of a pod".to_owned());
    }
    if act.old["spec"]["nodeName"] != node {
        return Some(format!(
            "node {node:?} can only update pod status for pods with spec.nodeName set to itself"
        ));
    }
    (labels(act.old) != labels(act.new)).then(|| format!("node {node:?} cannot update labels through pod status"))
}

fn own_node(node: &str, act: &Act<'_>) -> Option<String> {
    if act.name != node {
        return Some(format!("node {node:?} is not allowed to modify node {:?}", act.name));
    }
    if act.operation == Operation::Delete {
        return None;
    }
    if act.operation == Operation::Update {
        if act.old["spec"]["taints"] != act.new["spec"]["taints"] {
            return Some(format!("node {node:?} is not allowed to modify taints"));
        }
        if act.old["metadata"]["ownerReferences"] != act.new["metadata"]["ownerReferences"] {
            return Some(format!("node {node:?} is not allowed to modify ownerReferences"));
        }
    }
    let (old, new) = (labels(act.old), labels(act.new));
    let changed: BTreeSet<&str> = old
        .symmetric_difference(&new)
        .map(|(name, _)| *name)
        .filter(|name| !may_set_label(name))
        .collect();
    let verb = if act.operation == Operation::Create {
        "set"
    } else {
        "modify"
    };
    (!changed.is_empty()).then(|| {
        let names: Vec<&str> = changed.into_iter().collect();
        format!(
            "node {node:?} is not allowed to {verb} the following labels: {}",
            names.join(", ")
        )
    })
}

fn labels(object: &Value) -> BTreeSet<(&str, &str)> {
    let labels = object["metadata"]["labels"].as_object().into_iter().flatten();
    labels
        .map(|(name, value)| (name.as_str(), value.as_str().unwrap_or_default()))
        .collect()
}

/// Whether a node may give itself this label, or take it off.
pub(crate) fn may_set_label(name: &str) -> bool {
    let domain = name.split_once('/').map_or("", |(domain, _)| domain);
    let is_of = |parent: &str| domain == parent || domain.strip_suffix(parent).is_some_and(|rest| rest.ends_with('.'));
    if is_of(RESTRICTED_LABELS) {
        return false;
    }
    let is_kubernetes = is_of("kubernetes.io") || is_of("k8s.io");
    !is_kubernetes || NODE_LABELS.contains(&name) || NODE_LABEL_DOMAINS.into_iter().any(is_of)
}

/// Why the agent of `node` may not ask for a certificate of this common name.
pub(crate) fn certificate_fault(user: &str, signer: &str, common_name: &str) -> Option<String> {
    let is_of_node = matches!(
        signer,
        "kubernetes.io/kube-apiserver-client-kubelet" | "kubernetes.io/kubelet-serving"
    );
    (is_of_node && user != common_name).then(|| format!("can only create a node CSR with CN={user}"))
}

/// Why the agent of `node` may not ask for a token that is bound to this. `pod` is the pod that the reference names.
pub(crate) fn token_fault(node: &str, bound: &Value, pod: Option<&Value>) -> Option<String> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    if bound["kind"] != "Pod" || bound["apiVersion"] != "v1" || text(&bound["name"]).is_empty() {
        return Some("node requested token not bound to a pod".to_owned());
    }
    let uid = text(&bound["uid"]);
    if uid.is_empty() {
        return Some("node requested token with a pod binding without a uid".to_owned());
    }
    let pod = pod?;
    if pod["metadata"]["uid"] != uid {
        return Some(format!(
            "the UID in the bound object reference ({uid}) does not match the UID in record. The object might have been \
             deleted and then recreated"
        ));
    }
    (pod["spec"]["nodeName"] != node)
        .then(|| "node requested token bound to a pod scheduled on a different node".to_owned())
}

#[cfg(test)]
mod tests;
