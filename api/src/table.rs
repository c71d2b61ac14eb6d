//! Objects as the rows that `kubectl get` prints.
//!
//! Never here: list metadata and content negotiation, which the server adds.
//! Source: `pkg/printers/internalversion` of Kubernetes, by its output; `meta.k8s.io/v1` Table.

mod age;
mod autoscaling;
mod batch;
mod classes;
mod cluster;
mod column;
mod csi;
mod ingress;
mod network;
mod pods;
mod quotas;
mod rbac;
mod registration;
mod storage;
mod volumes;
mod workloads;

use std::iter;

use jiff::Timestamp;
use serde_json::{Value, json};

pub(crate) use self::age::since;
use self::column::{Column, NAME, Printer, column};
use crate::{conversion, custom::Custom, resource::Resource};

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
    let (columns, cells, condition) = match resource.custom {
        None => {
            // Every version shows the columns of the stored form.
            let printer = printer(resource.stored());
            let columns: Vec<Value> = printer.columns.iter().map(Column::definition).collect();
            (columns, Cells::BuiltIn(printer), printer.condition)
        }
        Some(custom) => {
            let columns = iter::once(NAME.definition()).chain(custom.column_definitions());
            (
                columns.collect(),
                Cells::Declared(custom),
                (|_| None) as fn(&Value) -> Option<Value>,
            )
        }
    };
    let rows: Vec<Value> = items
        .iter()
        .map(|item| {
            let stored = conversion::stored_form(resource, item);
            let mut row = json!({ "cells": cells.of(&stored, now) });
            if let Some(condition) = condition(&stored) {
                row["conditions"] = json!([condition]);
            }
            if let Some(object) = included(item, include) {
                row["object"] = object;
            }
            row
        })
        .collect();
    json!({
        "kind": "Table",
        "apiVersion": "meta.k8s.io/v1",
        "metadata": {},
        "columnDefinitions": columns,
        "rows": rows,
    })
}

/// The table of one Scale, whatever it is of.
#[must_use]
pub fn render_scale(scale: &Value, now: Timestamp, include: IncludeObject) -> Value {
    let printer = &autoscaling::SCALE;
    let columns: Vec<Value> = printer.columns.iter().map(Column::definition).collect();
    let mut row = json!({ "cells": (printer.cells)(scale, now) });
    if let Some(object) = included(scale, include) {
        row["object"] = object;
    }
    json!({
        "kind": "Table",
        "apiVersion": "meta.k8s.io/v1",
        "metadata": { "resourceVersion": scale["metadata"]["resourceVersion"] },
        "columnDefinitions": columns,
        "rows": [row],
    })
}

/// Where the cells of a row come from.
enum Cells {
    BuiltIn(&'static Printer),
    Declared(&'static Custom),
}

impl Cells {
    fn of(&self, item: &Value, now: Timestamp) -> Vec<Value> {
        match self {
            Cells::BuiltIn(printer) => (printer.cells)(item, now),
            Cells::Declared(custom) => iter::once(item["metadata"]["name"].clone())
                .chain(custom.cells(item, now))
                .collect(),
        }
    }
}

fn printer(resource: &Resource) -> &'static Printer {
    match (resource.group, resource.kind) {
        ("", "ComponentStatus") => &cluster::COMPONENT_STATUS,
        ("", "ConfigMap") => &storage::CONFIG_MAP,
        ("", "Endpoints") => &network::ENDPOINTS,
        ("", "Event") => &cluster::EVENT,
        ("", "Namespace") => &cluster::NAMESPACE,
        ("", "Node") => &cluster::NODE,
        ("", "PersistentVolume") => &volumes::VOLUME,
        ("", "PersistentVolumeClaim") => &volumes::CLAIM,
        ("", "Pod") => &pods::POD,
        ("", "PodTemplate") => &workloads::POD_TEMPLATE,
        ("", "ReplicationController") => &workloads::REPLICATION_CONTROLLER,
        ("", "ResourceQuota") => &quotas::QUOTA,
        ("", "Secret") => &storage::SECRET,
        ("", "Service") => &network::SERVICE,
        ("", "ServiceAccount") => &storage::SERVICE_ACCOUNT,
        ("admissionregistration.k8s.io", "MutatingAdmissionPolicy") => &registration::MUTATING_POLICY,
        ("admissionregistration.k8s.io", "ValidatingAdmissionPolicy") => &registration::VALIDATING_POLICY,
        ("admissionregistration.k8s.io", "MutatingAdmissionPolicyBinding" | "ValidatingAdmissionPolicyBinding") => {
            &registration::POLICY_BINDING
        }
        ("admissionregistration.k8s.io", _) => &registration::WEBHOOKS,
        ("apiregistration.k8s.io", "APIService") => &registration::API_SERVICE,
        ("apps", "ControllerRevision") => &workloads::CONTROLLER_REVISION,
        ("apps", "DaemonSet") => &workloads::DAEMON_SET,
        ("apps", "Deployment") => &workloads::DEPLOYMENT,
        ("apps", "ReplicaSet") => &workloads::REPLICA_SET,
        ("apps", "StatefulSet") => &workloads::STATEFUL_SET,
        ("autoscaling", "HorizontalPodAutoscaler") => &autoscaling::AUTOSCALER,
        ("batch", "CronJob") => &batch::CRON_JOB,
        ("batch", "Job") => &batch::JOB,
        ("certificates.k8s.io", "CertificateSigningRequest") => &registration::CERTIFICATE_REQUEST,
        ("coordination.k8s.io", "Lease") => &cluster::LEASE,
        ("discovery.k8s.io", "EndpointSlice") => &network::ENDPOINT_SLICE,
        ("flowcontrol.apiserver.k8s.io", "FlowSchema") => &registration::FLOW_SCHEMA,
        ("flowcontrol.apiserver.k8s.io", "PriorityLevelConfiguration") => &registration::PRIORITY_LEVEL,
        ("networking.k8s.io", "IPAddress") => &ingress::IP_ADDRESS,
        ("networking.k8s.io", "Ingress") => &ingress::INGRESS,
        ("networking.k8s.io", "IngressClass") => &ingress::INGRESS_CLASS,
        ("networking.k8s.io", "NetworkPolicy") => &ingress::NETWORK_POLICY,
        ("networking.k8s.io", "ServiceCIDR") => &ingress::SERVICE_CIDR,
        ("node.k8s.io", "RuntimeClass") => &classes::RUNTIME_CLASS,
        ("policy", "PodDisruptionBudget") => &workloads::DISRUPTION_BUDGET,
        ("resource.k8s.io", "DeviceClass" | "ResourceClaimTemplate") => &registration::NAMED,
        ("resource.k8s.io", "ResourceClaim") => &registration::RESOURCE_CLAIM,
        ("resource.k8s.io", "ResourceSlice") => &registration::RESOURCE_SLICE,
        ("scheduling.k8s.io", "PriorityClass") => &classes::PRIORITY_CLASS,
        ("storage.k8s.io", "CSIDriver") => &csi::CSI_DRIVER,
        ("storage.k8s.io", "CSINode") => &csi::CSI_NODE,
        ("storage.k8s.io", "CSIStorageCapacity") => &csi::CSI_STORAGE_CAPACITY,
        ("storage.k8s.io", "StorageClass") => &csi::STORAGE_CLASS,
        ("storage.k8s.io", "VolumeAttachment") => &csi::VOLUME_ATTACHMENT,
        ("storage.k8s.io", "VolumeAttributesClass") => &csi::VOLUME_ATTRIBUTES_CLASS,
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
