//! The values that absent fields get, by kind.
//!
//! Never here: what the cluster decides (addresses, node ports, service accounts); that is admission. Values of the
//! wrong type are left as they are.
//! Source: the API reference; `pkg/apis/*/v1/defaults.go` of Kubernetes, by behaviour.

mod fields;
mod pod;

use serde_json::{Map, Value, json};

use self::fields::{child, items, set_default, text};
use crate::resource::Resource;

/// Fills in what the object leaves open. Applying it twice changes nothing more.
pub fn apply(resource: &Resource, object: &mut Value) {
    let Some(object) = object.as_object_mut() else { return };
    match (resource.group, resource.kind) {
        ("", "Pod") => {
            if let Some(spec) = child(object, "spec") {
                pod::spec(spec);
                pod::only_in_pods(spec);
            }
        }
        ("", "Service") => {
            if let Some(spec) = child(object, "spec") {
                service(spec);
            }
        }
        ("", "Secret") => set_default(object, "type", "Opaque"),
        ("", "Node") => node(object),
        ("apps", "Deployment") => {
            if let Some(spec) = child(object, "spec") {
                deployment(spec);
            }
        }
        ("apps", "ReplicaSet") => {
            if let Some(spec) = child(object, "spec") {
                set_default(spec, "replicas", 1);
                pod_template(spec);
            }
        }
        ("discovery.k8s.io", "EndpointSlice") => {
            for port in items(object, "ports") {
                if !port.contains_key("name") {
                    port.insert("name".to_owned(), json!(""));
                }
                set_default(port, "protocol", "TCP");
            }
        }
        ("rbac.authorization.k8s.io", "RoleBinding" | "ClusterRoleBinding") => role_binding(object, resource.group),
        _ => {}
    }
}

/// What names neither group nor kind is of RBAC's own; a service account is of the core group.
fn role_binding(binding: &mut Map<String, Value>, group: &str) {
    if let Some(reference) = child(binding, "roleRef") {
        set_default(reference, "apiGroup", group);
    }
    for subject in items(binding, "subjects") {
        if matches!(text(subject, "kind"), "User" | "Group") {
            set_default(subject, "apiGroup", group);
        }
    }
}

fn service(spec: &mut Map<String, Value>) {
    set_default(spec, "sessionAffinity", "None");
    if spec["sessionAffinity"] == "None" {
        spec.remove("sessionAffinityConfig");
    }
    if spec["sessionAffinity"] == "ClientIP" {
        set_default(spec, "sessionAffinityConfig", json!({}));
        if let Some(config) = child(spec, "sessionAffinityConfig") {
            set_default(config, "clientIP", json!({}));
            if let Some(client_ip) = child(config, "clientIP") {
                set_default(client_ip, "timeoutSeconds", 10_800);
            }
        }
    }
    set_default(spec, "type", "ClusterIP");
    for port in items(spec, "ports") {
        set_default(port, "protocol", "TCP");
        let number = port.get("port").cloned().unwrap_or_default();
        let target = port.get("targetPort").unwrap_or(&Value::Null);
        if target.is_null() || *target == 0 || *target == "" {
            port.insert("targetPort".to_owned(), number);
        }
    }
    let kind = spec["type"].as_str().unwrap_or_default().to_owned();
    let has_external_ips = spec
        .get("externalIPs")
        .and_then(Value::as_array)
        .is_some_and(|list| !list.is_empty());
    if matches!(kind.as_str(), "NodePort" | "LoadBalancer") || (kind == "ClusterIP" && has_external_ips) {
        set_default(spec, "externalTrafficPolicy", "Cluster");
    }
    if matches!(kind.as_str(), "ClusterIP" | "NodePort" | "LoadBalancer") {
        set_default(spec, "internalTrafficPolicy", "Cluster");
    }
    if kind == "LoadBalancer" {
        set_default(spec, "allocateLoadBalancerNodePorts", true);
    }
}

fn deployment(spec: &mut Map<String, Value>) {
    set_default(spec, "replicas", 1);
    set_default(spec, "revisionHistoryLimit", 10);
    set_default(spec, "progressDeadlineSeconds", 600);
    set_default(spec, "strategy", json!({}));
    if let Some(strategy) = child(spec, "strategy") {
        set_default(strategy, "type", "RollingUpdate");
        if strategy["type"] == "RollingUpdate" {
            set_default(strategy, "rollingUpdate", json!({}));
            if let Some(rolling) = child(strategy, "rollingUpdate") {
                set_default(rolling, "maxUnavailable", "25%");
                set_default(rolling, "maxSurge", "25%");
            }
        }
    }
    pod_template(spec);
}

fn pod_template(owner: &mut Map<String, Value>) {
    if let Some(spec) = child(owner, "template").and_then(|template| child(template, "spec")) {
        pod::spec(spec);
    }
}

fn node(object: &mut Map<String, Value>) {
    if let Some(status) = child(object, "status")
        && let Some(capacity) = status.get("capacity").cloned()
    {
        set_default(status, "allocatable", capacity);
    }
}

#[cfg(test)]
mod tests;
