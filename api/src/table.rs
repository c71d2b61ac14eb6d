//! Objects as the rows that `kubectl get` prints.
//!
//! Never here: list metadata and content negotiation, which the server adds.
//! Source: `pkg/printers/internalversion` of Kubernetes, by its output; `meta.k8s.io/v1` Table.

mod age;
mod cluster;
mod column;
mod network;
mod pods;
mod rbac;
mod storage;
mod workloads;

use jiff::Timestamp;
use serde_json::{Value, json};

use self::column::{Column, NAME, Printer, column};
use crate::resource::Resource;

/// What a row carries of its object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IncludeObject {
    /// Nothing.
    None,
    /// Only the metadata: the default.
    Metadata,
    /// All of it.
    Object,
}

/// The table of `items` as of `now`; rows carry the objects' metadata.
#[must_use]
pub fn render(resource: &Resource, items: &[Value], now: Timestamp) -> Value {
    render_including(resource, items, now, IncludeObject::Metadata)
}

/// As [`render`], with the choice of what rows carry.
#[must_use]
pub fn render_including(resource: &Resource, items: &[Value], now: Timestamp, include: IncludeObject) -> Value {
    let printer = printer(resource);
    let rows: Vec<Value> = items
        .iter()
        .map(|item| {
            let mut row = json!({ "cells": (printer.cells)(item, now) });
            if let Some(condition) = (printer.condition)(item) {
                row["conditions"] = json!([condition]);
            }
            if let Some(object) = included(item, include) {
                row["object"] = object;
            }
            row
        })
        .collect();
    let columns: Vec<Value> = printer.columns.iter().map(Column::definition).collect();
    json!({
        "kind": "Table",
        "apiVersion": "meta.k8s.io/v1",
        "metadata": {},
        "columnDefinitions": columns,
        "rows": rows,
    })
}

fn printer(resource: &Resource) -> &'static Printer {
    match (resource.group, resource.kind) {
        ("", "ConfigMap") => &storage::CONFIG_MAP,
        ("", "Event") => &cluster::EVENT,
        ("", "Namespace") => &cluster::NAMESPACE,
        ("", "Node") => &cluster::NODE,
        ("", "Pod") => &pods::POD,
        ("", "Secret") => &storage::SECRET,
        ("", "Service") => &network::SERVICE,
        ("", "ServiceAccount") => &storage::SERVICE_ACCOUNT,
        ("apps", "Deployment") => &workloads::DEPLOYMENT,
        ("apps", "ReplicaSet") => &workloads::REPLICA_SET,
        ("coordination.k8s.io", "Lease") => &cluster::LEASE,
        ("discovery.k8s.io", "EndpointSlice") => &network::ENDPOINT_SLICE,
        ("rbac.authorization.k8s.io", "Role" | "ClusterRole") => &rbac::ROLE,
        ("rbac.authorization.k8s.io", "RoleBinding" | "ClusterRoleBinding") => &rbac::BINDING,
        _ => &ANY,
    }
}

/// Kinds without columns of their own.
static ANY: Printer = Printer::new(&[NAME, column("Created At", "date", 0)], |item, _| {
    vec![
        item["metadata"]["name"].clone(),
        item["metadata"]["creationTimestamp"].clone(),
    ]
});

fn included(item: &Value, include: IncludeObject) -> Option<Value> {
    match include {
        IncludeObject::None => None,
        IncludeObject::Metadata => Some(json!({
            "kind": "PartialObjectMetadata",
            "apiVersion": "meta.k8s.io/v1",
            "metadata": item["metadata"],
        })),
        IncludeObject::Object => Some(item.clone()),
    }
}

#[cfg(test)]
mod tests;
