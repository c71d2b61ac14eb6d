//! What an object of a kind must look like to be accepted, with Kubernetes' field paths and messages.
//!
//! Never here: what depends on other objects (admission, allocation) or on who asks. Types are checked before, by
//! `schema`; a value of the wrong type is treated here as absent.
//! Source: `pkg/apis/*/validation` of Kubernetes, by behaviour; the API reference.

mod admission;
mod amount;
mod at;
mod autoscaling;
mod batch;
mod certificates;
mod checks;
mod classes;
mod cluster;
mod cron;
mod csi;
mod definition;
mod devices;
mod error;
mod flowcontrol;
mod metadata;
pub mod names;
mod network;
mod networking;
mod pod;
mod quantities;
mod rbac;
mod selectors;
mod service;
mod storage;
mod volumes;
mod workloads;

use serde_json::Value;

use self::at::At;
pub use self::{
    batch::JOB_LABELS,
    classes::SYSTEM_PRIORITY_CLASSES,
    error::{ErrorKind, FieldError},
};
use crate::resource::Resource;

/// Everything that forbids creating the object, in the order of the fields. Call after defaulting.
#[must_use]
pub fn validate_create(resource: &Resource, object: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let root = At::root(object);
    metadata::create(resource, &root, &mut errors);
    if let Some(custom) = resource.custom {
        errors.extend(custom.validate(object, None));
        return errors;
    }
    match (resource.group, resource.kind) {
        ("", "ConfigMap") => storage::config_map(&root, &mut errors),
        ("", "Endpoints") => network::endpoints(&root, &mut errors),
        ("", "Event") => cluster::event(&root, &mut errors),
        ("", "LimitRange") => quantities::limit_range(&root, &mut errors),
        ("", "Node") => cluster::node(&root, &mut errors),
        ("", "PersistentVolume") => volumes::volume(&root, &mut errors),
        ("", "PersistentVolumeClaim") => volumes::claim(&root, &mut errors),
        ("", "Pod") => pod::create(&root, &mut errors),
        ("", "PodTemplate") => pod::in_workload(&root.field("template"), &mut errors),
        ("", "ReplicationController") => workloads::replication_controller(&root, &mut errors),
        ("", "ResourceQuota") => quantities::quota(&root, &mut errors),
        ("", "Secret") => storage::secret(&root, &mut errors),
        ("", "Service") => service::create(&root, &mut errors),
        ("admissionregistration.k8s.io" | "apiregistration.k8s.io", kind) => admission::check(kind, &root, &mut errors),
        ("apiextensions.k8s.io", "CustomResourceDefinition") => definition::create(&root, &mut errors),
        ("apps", "ControllerRevision") => workloads::controller_revision(&root, &mut errors),
        ("apps", "DaemonSet") => workloads::daemon_set(&root, &mut errors),
        ("apps", "Deployment") => workloads::deployment(&root, &mut errors),
        ("apps", "ReplicaSet") => workloads::replica_set(&root, &mut errors),
        ("apps", "StatefulSet") => workloads::stateful_set(&root, &mut errors),
        ("autoscaling", "HorizontalPodAutoscaler") => autoscaling::autoscaler(&root, &mut errors),
        ("batch", "CronJob") => batch::cron_job(&root, &mut errors),
        ("batch", "Job") => batch::job(&root, &mut errors),
        ("certificates.k8s.io", _) => certificates::create(&root, &mut errors),
        ("coordination.k8s.io", "Lease") => cluster::lease(&root, &mut errors),
        ("discovery.k8s.io", "EndpointSlice") => network::endpoint_slice(&root, &mut errors),
        ("flowcontrol.apiserver.k8s.io", kind) => flowcontrol::check(kind, &root, &mut errors),
        ("networking.k8s.io", kind) => networking::create(kind, &root, &mut errors),
        ("node.k8s.io", "RuntimeClass") => classes::runtime_class(&root, &mut errors),
        ("policy", "PodDisruptionBudget") => workloads::disruption_budget(&root, &mut errors),
        ("resource.k8s.io", kind) => devices::create(kind, &root, &mut errors),
        ("scheduling.k8s.io", "PriorityClass") => classes::priority_class(&root, &mut errors),
        ("storage.k8s.io", kind) => csi::create(kind, &root, &mut errors),
        ("rbac.authorization.k8s.io", kind) => rbac::create(kind, &root, &mut errors),
        _ => {}
    }
    errors
}

/// Everything that forbids replacing `old` by `new`, in the order of the fields. Call after defaulting.
#[must_use]
pub fn validate_update(resource: &Resource, new: &Value, old: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let (root, before) = (At::root(new), At::root(old));
    metadata::update(resource, &root, &before, &mut errors);
    if let Some(custom) = resource.custom {
        errors.extend(custom.validate(new, Some(old)));
        return errors;
    }
    match (resource.group, resource.kind) {
        ("", "ConfigMap") => {
            storage::config_map(&root, &mut errors);
            storage::immutable(&root, &before, &["data", "binaryData"], &mut errors);
        }
        ("", "Endpoints") => network::endpoints(&root, &mut errors),
        ("", "LimitRange") => quantities::limit_range(&root, &mut errors),
        ("", "Node") => cluster::node_update(&root, &before, &mut errors),
        ("", "PersistentVolume") => volumes::volume_update(&root, &before, &mut errors),
        ("", "PersistentVolumeClaim") => volumes::claim_update(&root, &before, &mut errors),
        ("", "PodTemplate") => pod::in_workload(&root.field("template"), &mut errors),
        ("", "ReplicationController") => {
            workloads::replication_controller(&root, &mut errors);
            workloads::replica_counts(&root, &before, &mut errors);
        }
        ("", "ResourceQuota") => quantities::quota_update(&root, &before, &mut errors),
        ("", "Pod") => pod::update(&root, &before, &mut errors),
        ("", "Secret") => {
            storage::secret(&root, &mut errors);
            same(&root.field("type"), &before.field("type"), &mut errors);
            storage::immutable(&root, &before, &["data"], &mut errors);
        }
        ("", "Service") => service::update(&root, &before, &mut errors),
        ("admissionregistration.k8s.io" | "apiregistration.k8s.io", kind) => admission::check(kind, &root, &mut errors),
        ("apiextensions.k8s.io", "CustomResourceDefinition") => definition::update(&root, &before, &mut errors),
        ("apps", "ControllerRevision") => workloads::controller_revision_update(&root, &before, &mut errors),
        ("apps", "DaemonSet") => {
            workloads::daemon_set(&root, &mut errors);
            same_selector(&root, &before, &mut errors);
            workloads::replica_counts(&root, &before, &mut errors);
        }
        ("apps", "Deployment") => {
            workloads::deployment(&root, &mut errors);
            same_selector(&root, &before, &mut errors);
            workloads::replica_counts(&root, &before, &mut errors);
        }
        ("apps", "ReplicaSet") => {
            workloads::replica_set(&root, &mut errors);
            same_selector(&root, &before, &mut errors);
            workloads::replica_counts(&root, &before, &mut errors);
        }
        ("apps", "StatefulSet") => {
            workloads::stateful_set_update(&root, &before, &mut errors);
            workloads::replica_counts(&root, &before, &mut errors);
        }
        ("autoscaling", "HorizontalPodAutoscaler") => autoscaling::autoscaler_update(&root, &mut errors),
        ("batch", "CronJob") => batch::cron_job_update(&root, &mut errors),
        ("batch", "Job") => batch::job_update(&root, &before, &mut errors),
        ("certificates.k8s.io", _) => certificates::update(&root, &before, &mut errors),
        ("coordination.k8s.io", "Lease") => cluster::lease(&root, &mut errors),
        ("discovery.k8s.io", "EndpointSlice") => {
            network::endpoint_slice(&root, &mut errors);
            same(&root.field("addressType"), &before.field("addressType"), &mut errors);
        }
        ("flowcontrol.apiserver.k8s.io", kind) => flowcontrol::check(kind, &root, &mut errors),
        ("networking.k8s.io", kind) => networking::update(kind, &root, &before, &mut errors),
        ("node.k8s.io", "RuntimeClass") => classes::runtime_class_update(&root, &before, &mut errors),
        ("policy", "PodDisruptionBudget") => workloads::disruption_budget(&root, &mut errors),
        ("resource.k8s.io", kind) => devices::update(kind, &root, &before, &mut errors),
        ("scheduling.k8s.io", "PriorityClass") => classes::priority_class_update(&root, &before, &mut errors),
        ("storage.k8s.io", kind) => csi::update(kind, &root, &before, &mut errors),
        ("rbac.authorization.k8s.io", kind) => rbac::update(kind, &root, &before, &mut errors),
        _ => {}
    }
    errors
}

/// A part of a pod that has a path of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PodPart {
    /// `spec.ephemeralContainers`
    EphemeralContainers,
    /// CPU and memory of its containers.
    Resources,
}

/// Everything that forbids replacing a part of the pod `old` by that of `new`. Call after defaulting.
#[must_use]
pub fn validate_pod_part(part: PodPart, new: &Value, old: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let (root, before) = (At::root(new), At::root(old));
    match part {
        PodPart::EphemeralContainers => pod::ephemeral(&root, &before, &mut errors),
        PodPart::Resources => pod::resize(&root, &before, &mut errors),
    }
    errors
}

fn same_selector(new: &At<'_>, old: &At<'_>, errors: &mut Vec<FieldError>) {
    let selector = |object: &At<'_>| -> Value { object.value["spec"]["selector"].clone() };
    if selector(new) != selector(old) {
        errors.push(FieldError::invalid("spec.selector", selector(new), IMMUTABLE));
    }
}

/// A field that keeps the value it was created with.
fn same(new: &At<'_>, old: &At<'_>, errors: &mut Vec<FieldError>) {
    if new.value != old.value {
        errors.push(new.invalid(IMMUTABLE));
    }
}

const IMMUTABLE: &str = "field is immutable";

#[cfg(test)]
mod tests;
