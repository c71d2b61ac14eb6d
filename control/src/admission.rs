//! What the server adds to objects, or refuses, beyond the defaults and the validation of their kind.
//!
//! Pure: functions of the object and the configuration. Never here: the store.
//! Source: Kubernetes, "Admission Control in Kubernetes": ServiceAccount, DefaultTolerationSeconds, Priority,
//! NamespaceLifecycle, NodeRestriction, TaintNodesByCondition, StorageObjectInUseProtection.

mod authorizer;
pub(crate) mod classes;
pub(crate) mod index;
pub(crate) mod limits;
pub(crate) mod node_restriction;
pub(crate) mod pod_security;
pub(crate) mod policy;
pub(crate) mod priority;
pub(crate) mod quota;
pub(crate) mod review;
pub(crate) mod scope;
pub(crate) mod webhook;

use std::time::Duration;

use serde_json::{Value, json};

const NOT_READY: &str = "node.kubernetes.io/not-ready";
const UNREACHABLE: &str = "node.kubernetes.io/unreachable";
/// The name of the ServiceAccount that pods use unless they name another.
pub(crate) const DEFAULT_SERVICE_ACCOUNT: &str = "default";
const TOKEN_VOLUME_PREFIX: &str = "kube-api-access-";
/// Where programs look for their token.
const TOKEN_MOUNT_PATH: &str = "/var/run/secrets/kubernetes.io/serviceaccount";
/// An hour, and time for the node to notice that it is over.
const TOKEN_SECONDS: i64 = 3607;
/// Namespaces without which the cluster does not work; deleting them is refused.
pub(crate) const PROTECTED_NAMESPACES: [&str; 3] = ["default", "kube-system", "kube-public"];

/// Completes a new pod: service account, tolerations of a failing node.
pub(crate) fn complete_pod(pod: &mut Value, not_ready_toleration: Duration) {
    let Some(spec) = pod.get_mut("spec").filter(|spec| spec.is_object()) else {
        return;
    };
    let account = match spec["serviceAccountName"].as_str() {
        Some(name) if !name.is_empty() => name.to_owned(),
        _ => spec["serviceAccount"]
            .as_str()
            .filter(|name| !name.is_empty())
            .unwrap_or(DEFAULT_SERVICE_ACCOUNT)
            .to_owned(),
    };
    spec["serviceAccountName"] = json!(account);
    spec["serviceAccount"] = json!(account);

    for key in [NOT_READY, UNREACHABLE] {
        if !tolerates(spec, key) {
            add_toleration(spec, key, not_ready_toleration);
        }
    }
}

/// Completes a pod from its service account: the secrets to pull images with, and a volume with a token, unless the pod
/// or else the account wants none. `suffix` makes the volume's name.
pub(crate) fn give_account(pod: &mut Value, account: &Value, suffix: &str) {
    let Some(spec) = pod.get_mut("spec").filter(|spec| spec.is_object()) else {
        return;
    };
    let is_empty = |list: &Value| list.as_array().is_none_or(Vec::is_empty);
    if is_empty(&spec["imagePullSecrets"]) && !is_empty(&account["imagePullSecrets"]) {
        spec["imagePullSecrets"] = account["imagePullSecrets"].clone();
    }
    let wish = |of: &Value| of["automountServiceAccountToken"].as_bool();
    if wish(spec).or(wish(account)) != Some(false) {
        mount_token(spec, suffix);
    }
}

fn mount_token(spec: &mut Value, suffix: &str) {
    let present = spec["volumes"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|volume| volume["name"].as_str())
        .find(|name| name.starts_with(TOKEN_VOLUME_PREFIX))
        .map(str::to_owned);
    let is_there = present.is_some();
    let volume = present.unwrap_or_else(|| format!("{TOKEN_VOLUME_PREFIX}{suffix}"));
    let mut is_mounted = false;
    for list in ["initContainers", "containers"] {
        let containers = spec.get_mut(list).and_then(Value::as_array_mut);
        for container in containers.into_iter().flatten() {
            let mut mounts = container["volumeMounts"].as_array().cloned().unwrap_or_default();
            if !container.is_object() || mounts.iter().any(|mount| mount["mountPath"] == TOKEN_MOUNT_PATH) {
                continue;
            }
            mounts.push(json!({ "name": volume, "readOnly": true, "mountPath": TOKEN_MOUNT_PATH }));
            container["volumeMounts"] = json!(mounts);
            is_mounted = true;
        }
    }
    if is_there || !is_mounted {
        return;
    }
    let mut volumes = spec["volumes"].as_array().cloned().unwrap_or_default();
    volumes.push(json!({
        "name": volume,
        "projected": {
            "defaultMode": 0o644,
            "sources": [
                { "serviceAccountToken": { "path": "token", "expirationSeconds": TOKEN_SECONDS } },
                { "configMap": { "name": "kube-root-ca.crt", "items": [{ "key": "ca.crt", "path": "ca.crt" }] } },
                { "downwardAPI": { "items": [{
                    "path": "namespace",
                    "fieldRef": { "apiVersion": "v1", "fieldPath": "metadata.namespace" },
                }] } },
            ],
        },
    }));
    spec["volumes"] = json!(volumes);
}

/// Keeps storage from going while it is in use.
pub(crate) fn protect_in_use(object: &mut Value, finalizer: &str) {
    let mut finalizers = object["metadata"]["finalizers"].as_array().cloned().unwrap_or_default();
    if !finalizers.iter().any(|present| present == finalizer) {
        finalizers.push(json!(finalizer));
        object["metadata"]["finalizers"] = json!(finalizers);
    }
}

/// Keeps pods off a new node until it has told that it is ready: the node controller takes the taint away.
pub(crate) fn taint_new_node(node: &mut Value) {
    let mut taints = node["spec"]["taints"].as_array().cloned().unwrap_or_default();
    let is_there = taints
        .iter()
        .any(|taint| taint["key"] == NOT_READY && taint["effect"] == "NoSchedule");
    if is_there {
        return;
    }
    taints.push(json!({ "key": NOT_READY, "effect": "NoSchedule" }));
    if !node["spec"].is_object() {
        node["spec"] = json!({});
    }
    node["spec"]["taints"] = json!(taints);
}

fn tolerates(spec: &Value, key: &str) -> bool {
    spec["tolerations"].as_array().into_iter().flatten().any(|toleration| {
        let own_key = toleration["key"].as_str().unwrap_or_default();
        let effect = toleration["effect"].as_str().unwrap_or_default();
        let exists = toleration["operator"] == "Exists";
        (own_key == key || (own_key.is_empty() && exists)) && (effect == "NoExecute" || effect.is_empty())
    })
}

fn add_toleration(spec: &mut Value, key: &str, time: Duration) {
    if !spec["tolerations"].is_array() {
        spec["tolerations"] = json!([]);
    }
    if let Some(list) = spec["tolerations"].as_array_mut() {
        list.push(json!({
            "key": key,
            "operator": "Exists",
            "effect": "NoExecute",
            "tolerationSeconds": time.as_secs(),
        }));
    }
}

#[cfg(test)]
mod tests;
