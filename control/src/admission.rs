//! What the server adds to objects, or refuses, beyond the defaults and the validation of their kind.
//!
//! Pure: functions of the object and the configuration. Never here: the store.
//! Source: Kubernetes, "Admission Control in Kubernetes": ServiceAccount, DefaultTolerationSeconds, Priority,
//! NamespaceLifecycle.

pub(crate) mod priority;

use std::time::Duration;

use serde_json::{Value, json};

const NOT_READY: &str = "node.kubernetes.io/not-ready";
const UNREACHABLE: &str = "node.kubernetes.io/unreachable";
/// The name of the ServiceAccount that pods use unless they name another.
pub(crate) const DEFAULT_SERVICE_ACCOUNT: &str = "default";
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
