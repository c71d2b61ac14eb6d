//! Defaults of `networking.k8s.io`.

use serde_json::{Map, Value, json};

use super::fields::{child, items, set_default};

pub(super) fn apply(kind: &str, object: &mut Map<String, Value>) {
    match kind {
        "IngressClass" => {
            if let Some(parameters) = child(object, "spec").and_then(|spec| child(spec, "parameters")) {
                set_default(parameters, "scope", "Cluster");
            }
        }
        "NetworkPolicy" => {
            if let Some(spec) = child(object, "spec") {
                network_policy(spec);
            }
        }
        _ => {}
    }
}

/// A policy is about traffic to its pods, and about traffic from them if it has a rule for that.
fn network_policy(spec: &mut Map<String, Value>) {
    for direction in ["ingress", "egress"] {
        for rule in items(spec, direction) {
            for port in items(rule, "ports") {
                set_default(port, "protocol", "TCP");
            }
        }
    }
    let is_empty = |field: &str| spec.get(field).and_then(Value::as_array).is_none_or(Vec::is_empty);
    if is_empty("policyTypes") {
        let types = if is_empty("egress") {
            json!(["Ingress"])
        } else {
            json!(["Ingress", "Egress"])
        };
        spec.insert("policyTypes".to_owned(), types);
    }
}
