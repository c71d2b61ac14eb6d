//! The values that absent fields get, by kind.
//!
//! Never here: what the cluster decides (addresses, node ports, service accounts); that is admission. Values of the
//! wrong type are left as they are.
//! Source: the API reference; `pkg/apis/*/v1/defaults.go` of Kubernetes, by behaviour.

mod admissionregistration;
mod autoscaling;
mod batch;
mod devices;
mod extensions;
mod fields;
mod flowcontrol;
mod limits;
mod networking;
mod pod;
mod storage;
mod volumes;
mod workloads;

use serde_json::{Map, Value, json};

use self::fields::{child, items, set_default, text};
use crate::resource::Resource;

/// Fills in what the object leaves open. Applying it twice changes nothing more.
pub fn apply(resource: &Resource, object: &mut Value) {
    if let Some(custom) = resource.custom {
        custom.apply_defaults(object);
        return;
    }
    let Some(object) = object.as_object_mut() else { return };
    match (resource.group, resource.kind) {
        ("", "Endpoints") => endpoints(object),
        ("", "LimitRange") => limits::range(object),
        ("", "Node") => node(object),
        ("", "PersistentVolume") => volumes::volume(object),
        ("", "PersistentVolumeClaim") => volumes::claim(object),
        ("", "Pod") => {
            if let Some(spec) = child(object, "spec") {
                pod::spec(spec);
                pod::only_in_pods(spec);
            }
        }
        ("", "PodTemplate") => workloads::pod_template(object),
        ("", "ReplicationController") => workloads::replication_controller(object),
        ("", "Secret") => set_default(object, "type", "Opaque"),
        ("", "Service") => {
            if let Some(spec) = child(object, "spec") {
                service(spec);
                load_balancer(object);
            }
        }
        ("admissionregistration.k8s.io", kind) => admissionregistration::apply(kind, object),
        ("apiextensions.k8s.io" | "apiregistration.k8s.io", kind) => extensions::apply(kind, object),
        ("apps", "DaemonSet") => workloads::daemon_set(object),
        ("apps", "Deployment") => workloads::deployment(object),
        ("apps", "ReplicaSet") => workloads::replica_set(object),
        ("apps", "StatefulSet") => workloads::stateful_set(object),
        ("autoscaling", "HorizontalPodAutoscaler") => autoscaling::autoscaler(object),
        ("batch", "CronJob") => batch::cron_job(object),
        ("batch", "Job") => batch::job(object),
        ("discovery.k8s.io", "EndpointSlice") => endpoint_slice(object),
        ("flowcontrol.apiserver.k8s.io", kind) => flowcontrol::apply(kind, object),
        ("networking.k8s.io", kind) => networking::apply(kind, object),
        ("rbac.authorization.k8s.io", "RoleBinding" | "ClusterRoleBinding") => role_binding(object, resource.group),
        ("resource.k8s.io", kind) => devices::apply(kind, object),
        ("scheduling.k8s.io", "PriorityClass") => set_default(object, "preemptionPolicy", "PreemptLowerPriority"),
        ("storage.k8s.io", kind) => storage::apply(kind, object),
        _ => {}
    }
}

fn endpoints(object: &mut Map<String, Value>) {
    for subset in items(object, "subsets") {
        for port in items(subset, "ports") {
            set_default(port, "protocol", "TCP");
        }
    }
}

fn endpoint_slice(object: &mut Map<String, Value>) {
    for port in items(object, "ports") {
        if !port.contains_key("name") {
            port.insert("name".to_owned(), json!(""));
        }
        set_default(port, "protocol", "TCP");
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

/// An address of a load balancer is reached as it is, unless its controller says otherwise.
fn load_balancer(object: &mut Map<String, Value>) {
    let is_balanced = object["spec"]["type"] == "LoadBalancer";
    let Some(status) = child(object, "status").and_then(|status| child(status, "loadBalancer")) else {
        return;
    };
    for ingress in items(status, "ingress") {
        if is_balanced && ingress.contains_key("ip") {
            set_default(ingress, "ipMode", "VIP");
        }
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
