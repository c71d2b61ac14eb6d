//! What a node's agent may do with the API: read and write its own node, its lease and its pods, read what those pods
//! reference, and ask for tokens of their service accounts. Pure.
//!
//! Our own agents need none of this, since all comes over their stream; other programs of a node may.
//! Source: Kubernetes, "Using Node Authorization" and the admission plugin NodeRestriction.

use serde_json::Value;

use super::request::ResourceRequest;

const LEASE_NAMESPACE: &str = "kube-node-lease";
const READ: [&str; 3] = ["get", "list", "watch"];

/// What the node authorizer says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Verdict {
    Allowed,
    /// Others may allow it. What is to be said if none does.
    No(Option<String>),
    /// Whatever others say.
    Denied(String),
}

/// A verdict, or what it depends on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Judgement {
    Is(Verdict),
    /// Allowed if a pod of the node in the request's namespace is, or references, this.
    IfOwn(Reference),
}

/// What a pod is or references, by name within its namespace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Reference {
    Pod(String),
    ConfigMap(String),
    Secret(String),
    ServiceAccount(String),
    Claim(String),
}

fn no(reason: impl Into<String>) -> Judgement {
    Judgement::Is(Verdict::No(Some(reason.into())))
}

fn allowed_if(holds: bool) -> Judgement {
    Judgement::Is(if holds { Verdict::Allowed } else { Verdict::No(None) })
}

/// Judges a request of the agent of `node`.
pub(super) fn judge(node: &str, request: &ResourceRequest) -> Judgement {
    let verb = request.verb.as_str();
    let reads = READ.contains(&verb);
    let name = || request.name.clone();
    match (request.group.as_str(), request.path().as_str()) {
        ("", "secrets") => read_own(request, Reference::Secret(name())),
        ("", "configmaps") => read_own(request, Reference::ConfigMap(name())),
        ("", "persistentvolumeclaims") => read_own(request, Reference::Claim(name())),
        ("", "serviceaccounts") if verb == "get" => read_own(request, Reference::ServiceAccount(name())),
        ("", "serviceaccounts/token") if verb == "create" && !request.name.is_empty() => {
            Judgement::IfOwn(Reference::ServiceAccount(name()))
        }
        ("", "serviceaccounts/token") => no("can only create tokens for individual service accounts"),
        ("", "nodes" | "nodes/status") => own_node(node, request),
        ("", "pods") if matches!(verb, "list" | "watch") => match request.node == node {
            true => Judgement::Is(Verdict::Allowed),
            false => no(format!(
                "can only list/watch pods with spec.nodeName field selector matching its own node {node:?}"
            )),
        },
        ("", "pods") if verb == "get" || verb == "delete" => Judgement::IfOwn(Reference::Pod(name())),
        ("", "pods/status") if matches!(verb, "get" | "update" | "patch") => Judgement::IfOwn(Reference::Pod(name())),
        ("", "pods/eviction") if verb == "create" => Judgement::IfOwn(Reference::Pod(name())),
        ("coordination.k8s.io", "leases") => own_lease(node, request),
        ("storage.k8s.io", "csinodes") => allowed_if(
            matches!(verb, "get" | "create" | "update" | "patch" | "delete")
                && (request.name == node || (verb == "create" && request.name.is_empty())),
        ),
        ("", "events") | ("events.k8s.io", "events") => allowed_if(matches!(verb, "create" | "update" | "patch")),
        ("", "services" | "endpoints" | "persistentvolumes")
        | ("discovery.k8s.io", "endpointslices")
        | ("node.k8s.io", "runtimeclasses")
        | ("storage.k8s.io", "csidrivers" | "volumeattachments") => allowed_if(reads),
        ("authentication.k8s.io", "tokenreviews")
        | ("authorization.k8s.io", "subjectaccessreviews" | "localsubjectaccessreviews") => {
            allowed_if(verb == "create")
        }
        ("certificates.k8s.io", "certificatesigningrequests") => allowed_if(reads || verb == "create"),
        _ => Judgement::Is(Verdict::No(None)),
    }
}

fn read_own(request: &ResourceRequest, reference: Reference) -> Judgement {
    if !READ.contains(&request.verb.as_str()) {
        return no("can only read resources of this type");
    }
    if request.namespace.is_empty() {
        return no("can only read namespaced object of this type");
    }
    if request.name.is_empty() {
        return no("No Object name found");
    }
    Judgement::IfOwn(reference)
}

fn own_node(node: &str, request: &ResourceRequest) -> Judgement {
    let own = request.name == node;
    match request.verb.as_str() {
        "get" | "list" | "watch" if own => Judgement::Is(Verdict::Allowed),
        "get" | "list" | "watch" => no(format!(
            "node {node:?} cannot read {}, only its own Node object",
            match request.name.as_str() {
                "" => "all nodes".to_owned(),
                other => format!("{other:?}"),
            }
        )),
        "create" if request.name.is_empty() || own => Judgement::Is(Verdict::Allowed),
        "update" | "patch" if own => Judgement::Is(Verdict::Allowed),
        "create" | "update" | "patch" => Judgement::Is(Verdict::Denied(format!(
            "node {node:?} is not allowed to modify node {:?}",
            request.name
        ))),
        _ => Judgement::Is(Verdict::No(None)),
    }
}

fn own_lease(node: &str, request: &ResourceRequest) -> Judgement {
    let verb = request.verb.as_str();
    if !matches!(verb, "get" | "create" | "update" | "patch" | "delete") {
        return no("can only get, create, update, patch, or delete a node lease");
    }
    if request.namespace != LEASE_NAMESPACE {
        return no(format!(
            "can only access leases in the {LEASE_NAMESPACE:?} system namespace"
        ));
    }
    if request.name != node && !(verb == "create" && request.name.is_empty()) {
        return no("can only access node lease with the same name as the requesting node");
    }
    Judgement::Is(Verdict::Allowed)
}

/// Whether one of these pods, all of one namespace, is on the node and is or references this.
pub(super) fn related(node: &str, reference: &Reference, pods: impl IntoIterator<Item = Value>) -> Verdict {
    let mut own = pods.into_iter().filter(|pod| pod["spec"]["nodeName"] == node);
    match own.any(|pod| uses(&pod, reference)) {
        true => Verdict::Allowed,
        false => Verdict::No(Some(format!(
            "no relationship found between node '{node}' and this object"
        ))),
    }
}

fn uses(pod: &Value, reference: &Reference) -> bool {
    match reference {
        Reference::Pod(name) => pod["metadata"]["name"] == **name,
        Reference::ServiceAccount(name) => pod["spec"]["serviceAccountName"] == **name,
        Reference::ConfigMap(name) => names(&pod["spec"], "configMap", name),
        Reference::Secret(name) => names(&pod["spec"], "secret", name),
        Reference::Claim(name) => volumes(pod).any(|volume| volume["persistentVolumeClaim"]["claimName"] == **name),
    }
}

fn volumes(pod: &Value) -> impl Iterator<Item = &Value> {
    pod["spec"]["volumes"].as_array().into_iter().flatten()
}

/// Whether a pod's spec names a config map (`configMap`) or a secret (`secret`), wherever such names stand.
fn names(spec: &Value, kind: &str, name: &str) -> bool {
    let is = |value: &Value| value.as_str() == Some(name);
    let list = |value: &'static str, of: &'_ Value| of[value].as_array().cloned().unwrap_or_default();
    let in_containers = ["containers", "initContainers", "ephemeralContainers"]
        .into_iter()
        .flat_map(|containers| list(containers, spec))
        .any(|container| {
            let from = list("envFrom", &container);
            let env = list("env", &container);
            from.iter().any(|from| is(&from[format!("{kind}Ref")]["name"]))
                || env
                    .iter()
                    .any(|variable| is(&variable["valueFrom"][format!("{kind}KeyRef")]["name"]))
        });
    let in_volumes = list("volumes", spec).iter().any(|volume| {
        let source = &volume[kind];
        is(&source["name"])
            || is(&source["secretName"])
            || list("sources", &volume["projected"])
                .iter()
                .any(|source| is(&source[kind]["name"]))
    });
    let to_pull = kind == "secret" && list("imagePullSecrets", spec).iter().any(|secret| is(&secret["name"]));
    in_containers || in_volumes || to_pull
}

#[cfg(test)]
mod tests;
