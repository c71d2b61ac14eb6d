//! What an object of a kind must look like to be accepted, with Kubernetes' field paths and messages.
//!
//! Never here: what depends on other objects (admission, allocation) or on who asks. Types are checked before, by
//! `schema`; a value of the wrong type is treated here as absent.
//! Source: `pkg/apis/*/validation` of Kubernetes, by behaviour; the API reference.

mod at;
mod checks;
mod cluster;
mod error;
mod metadata;
pub mod names;
mod network;
mod pod;
mod rbac;
mod selectors;
mod service;
mod storage;
mod workloads;

use serde_json::Value;

use self::at::At;
pub use self::error::{ErrorKind, FieldError};
use crate::resource::Resource;

/// Everything that forbids creating the object, in the order of the fields. Call after defaulting.
#[must_use]
pub fn validate_create(resource: &Resource, object: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let root = At::root(object);
    metadata::create(resource, &root, &mut errors);
    match (resource.group, resource.kind) {
        ("", "ConfigMap") => storage::config_map(&root, &mut errors),
        ("", "Event") => cluster::event(&root, &mut errors),
        ("", "Node") => cluster::node(&root, &mut errors),
        ("", "Pod") => pod::create(&root, &mut errors),
        ("", "Secret") => storage::secret(&root, &mut errors),
        ("", "Service") => service::create(&root, &mut errors),
        ("apps", "Deployment") => workloads::deployment(&root, &mut errors),
        ("apps", "ReplicaSet") => workloads::replica_set(&root, &mut errors),
        ("coordination.k8s.io", "Lease") => cluster::lease(&root, &mut errors),
        ("discovery.k8s.io", "EndpointSlice") => network::endpoint_slice(&root, &mut errors),
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
    match (resource.group, resource.kind) {
        ("", "ConfigMap") => {
            storage::config_map(&root, &mut errors);
            storage::immutable(&root, &before, &["data", "binaryData"], &mut errors);
        }
        ("", "Node") => cluster::node_update(&root, &before, &mut errors),
        ("", "Pod") => pod::update(&root, &before, &mut errors),
        ("", "Secret") => {
            storage::secret(&root, &mut errors);
            same(&root.field("type"), &before.field("type"), &mut errors);
            storage::immutable(&root, &before, &["data"], &mut errors);
        }
        ("", "Service") => service::update(&root, &before, &mut errors),
        ("apps", "Deployment") => {
            workloads::deployment(&root, &mut errors);
            same_selector(&root, &before, &mut errors);
        }
        ("apps", "ReplicaSet") => {
            workloads::replica_set(&root, &mut errors);
            same_selector(&root, &before, &mut errors);
        }
        ("coordination.k8s.io", "Lease") => cluster::lease(&root, &mut errors),
        ("discovery.k8s.io", "EndpointSlice") => {
            network::endpoint_slice(&root, &mut errors);
            same(&root.field("addressType"), &before.field("addressType"), &mut errors);
        }
        ("rbac.authorization.k8s.io", kind) => rbac::update(kind, &root, &before, &mut errors),
        _ => {}
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
