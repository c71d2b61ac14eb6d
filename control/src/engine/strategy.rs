//! What belongs to the server in an object, kind by kind: which parts a write may change, and what it starts with.
//!
//! Pure: functions of the old and the new object. Never here: defaults and validation (`api`), admission, the store.
//! Source: Kubernetes API conventions, "Metadata", "Spec and Status"; the documented behaviour of each kind.

pub(super) mod certificates;

use api::{
    object::Scope,
    qos,
    resource::Resource,
    validation::{JOB_LABELS, PodPart},
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Map, Value, json};

use super::object::{child_mut, finalizers, is_terminating, metadata, metadata_mut};

/// The finalizer in a namespace's spec that keeps it until it is empty.
const NAMESPACE_FINALIZER: &str = "kubernetes";
/// The label by which a job selects its pods.
const JOB_UID_LABEL: &str = "batch.kubernetes.io/controller-uid";
const NAMESPACE_NAME_LABEL: &str = "kubernetes.io/metadata.name";
/// Fields of the metadata that no client changes after creation.
const FIXED_METADATA: [&str; 8] = [
    "name",
    "generateName",
    "namespace",
    "uid",
    "creationTimestamp",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
    "generation",
];

/// Which part of an object a write is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    /// All but the status.
    Main,
    /// `status`
    Status,
    /// `spec.finalizers` of a namespace.
    Finalize,
    /// Whether a certificate may be issued.
    Approval,
    /// A part of a pod's spec.
    Pod(PodPart),
}

/// Brings a new object into the form in which it starts: server-owned metadata, first status.
pub(super) fn prepare_create(resource: &Resource, object: &mut Value, uid: &str, now: &str) {
    let meta = metadata_mut(object);
    for field in [
        "resourceVersion",
        "selfLink",
        "deletionTimestamp",
        "deletionGracePeriodSeconds",
        "generation",
    ] {
        meta.remove(field);
    }
    if resource.scope == Scope::Cluster {
        meta.remove("namespace");
    }
    drop_empty(meta);
    meta.insert("uid".to_owned(), json!(uid));
    meta.insert("creationTimestamp".to_owned(), json!(now));
    if resource.counts_generation {
        meta.insert("generation".to_owned(), json!(1));
    }
    normalize(resource, object);
    if resource.group == "batch" && resource.kind == "Job" {
        tie_pods(object, uid);
    }
    match first_status(resource, object) {
        FirstStatus::AsGiven => {}
        FirstStatus::Is(status) => object["status"] = status,
        FirstStatus::Absent => {
            if let Some(fields) = object.as_object_mut() {
                fields.remove("status");
            }
        }
    }
    if resource.group.is_empty() && resource.kind == "Namespace" {
        child_mut(object, "spec").insert("finalizers".to_owned(), json!([NAMESPACE_FINALIZER]));
    }
}

enum FirstStatus {
    AsGiven,
    Is(Value),
    Absent,
}

fn first_status(resource: &Resource, object: &Value) -> FirstStatus {
    if !resource.has_status() {
        return FirstStatus::AsGiven;
    }
    if resource.custom.is_some() {
        return FirstStatus::Absent;
    }
    match (resource.group, resource.kind) {
        ("", "Pod") => FirstStatus::Is(json!({ "phase": "Pending", "qosClass": qos::class(object) })),
        ("", "Namespace") => FirstStatus::Is(json!({ "phase": "Active" })),
        ("", "Service") => FirstStatus::Is(json!({ "loadBalancer": {} })),
        // The agent registers its node together with what the node can do.
        ("", "Node") => FirstStatus::AsGiven,
        ("", "PersistentVolume" | "PersistentVolumeClaim") => FirstStatus::Is(json!({ "phase": "Pending" })),
        ("apps", "ReplicaSet") | ("", "ReplicationController") => FirstStatus::Is(json!({ "replicas": 0 })),
        ("apps", "DaemonSet") => FirstStatus::Is(json!({
            "currentNumberScheduled": 0,
            "desiredNumberScheduled": 0,
            "numberMisscheduled": 0,
            "numberReady": 0,
        })),
        ("apps", "StatefulSet") => FirstStatus::Is(json!({ "availableReplicas": 0, "replicas": 0 })),
        ("autoscaling", "HorizontalPodAutoscaler") => FirstStatus::Is(json!({ "desiredReplicas": 0 })),
        ("policy", "PodDisruptionBudget") => FirstStatus::Is(json!({
            "currentHealthy": 0,
            "desiredHealthy": 0,
            "disruptionsAllowed": 0,
            "expectedPods": 0,
        })),
        ("", "ResourceQuota") | ("batch", _) => FirstStatus::Is(json!({})),
        ("apiextensions.k8s.io", _) => FirstStatus::Is(json!({
            "acceptedNames": { "kind": "", "plural": "" },
            "conditions": [],
            "storedVersions": [storage_version(object)],
        })),
        ("networking.k8s.io", "Ingress") => FirstStatus::Is(json!({ "loadBalancer": {} })),
        ("storage.k8s.io", "VolumeAttachment") => FirstStatus::Is(json!({ "attached": false })),
        ("apiregistration.k8s.io", _) if object["spec"]["service"].is_null() => FirstStatus::Is(json!({
            "conditions": [{
                "type": "Available",
                "status": "True",
                "reason": "Local",
                "message": "Local APIServices are always available",
                "lastTransitionTime": metadata(object)["creationTimestamp"],
            }],
        })),
        (
            "admissionregistration.k8s.io"
            | "apiregistration.k8s.io"
            | "certificates.k8s.io"
            | "flowcontrol.apiserver.k8s.io"
            | "networking.k8s.io"
            | "resource.k8s.io",
            _,
        ) => FirstStatus::Is(json!({})),
        ("apps", _) => FirstStatus::Is(json!({})),
        _ => FirstStatus::Absent,
    }
}

/// What the object becomes when `part` of `wanted` is written over `old`. Both carry the same `resourceVersion`
/// afterwards: that of `old`.
pub(super) fn prepare_update(resource: &Resource, part: Part, old: &Value, wanted: Value) -> Value {
    match part {
        Part::Main => main_update(resource, old, wanted),
        Part::Status if is_certificate_request(resource) => certificates::status_update(old, &wanted),
        Part::Status => status_update(resource, old, wanted),
        Part::Approval => certificates::approval_update(old, &wanted),
        Part::Pod(part) => {
            let mut new = match part {
                PodPart::EphemeralContainers => ephemeral_update(old, &wanted),
                PodPart::Resources => resize_update(old, &wanted),
            };
            if new != *old {
                bump_generation(&mut new);
            }
            new
        }
        Part::Finalize => {
            let mut new = old.clone();
            let list = wanted["spec"]["finalizers"].clone();
            let list = if list.is_array() { list } else { json!([]) };
            child_mut(&mut new, "spec").insert("finalizers".to_owned(), list);
            new
        }
    }
}

fn main_update(resource: &Resource, old: &Value, mut new: Value) -> Value {
    let old_meta = metadata(old);
    let meta = metadata_mut(&mut new);
    for field in FIXED_METADATA.into_iter().chain(["resourceVersion"]) {
        copy(old_meta, meta, field);
    }
    meta.remove("selfLink");
    drop_empty(meta);
    if resource.has_status() {
        let status = old.get("status").cloned();
        if let Some(fields) = new.as_object_mut() {
            match status {
                Some(status) => fields.insert("status".to_owned(), status),
                None => fields.remove("status"),
            };
        }
    }
    if resource.group.is_empty() && resource.kind == "Namespace" {
        let list = old["spec"]["finalizers"].clone();
        child_mut(&mut new, "spec").insert("finalizers".to_owned(), list);
    }
    normalize(resource, &mut new);
    if is_certificate_request(resource) {
        // What is asked for does not change.
        copy_field(old, &mut new, "spec");
    }
    if is_definition(resource) {
        note_storage_version(&mut new);
    }
    if resource.counts_generation && !same_spec(resource, old, &new) {
        bump_generation(&mut new);
    }
    new
}

fn status_update(resource: &Resource, old: &Value, wanted: Value) -> Value {
    let mut new = old.clone();
    // The metadata of custom kinds is written with the rest of the object.
    if resource.custom.is_none() {
        let wanted_meta = metadata(&wanted);
        let meta = metadata_mut(&mut new);
        copy(wanted_meta, meta, "annotations");
        copy(wanted_meta, meta, "finalizers");
        if resource.group != "apps" {
            copy(wanted_meta, meta, "labels");
        }
        drop_empty(meta);
    }
    if let Some(fields) = new.as_object_mut() {
        match wanted.get("status").filter(|status| !status.is_null()) {
            Some(status) => fields.insert("status".to_owned(), status.clone()),
            None => fields.remove("status"),
        };
    }
    new
}

/// Adds one to `metadata.generation`, if the object has one.
pub(super) fn bump_generation(object: &mut Value) {
    let meta = metadata_mut(object);
    if let Some(generation) = meta.get("generation").and_then(Value::as_i64) {
        meta.insert("generation".to_owned(), json!(generation + 1));
    }
}

/// Finalizers that `new` names and `old`, which is being deleted, does not.
pub(super) fn finalizers_added_too_late<'a>(old: &Value, new: &'a Value) -> Vec<&'a str> {
    if !is_terminating(old) {
        return Vec::new();
    }
    let before = finalizers(old);
    finalizers(new)
        .into_iter()
        .filter(|finalizer| !before.contains(finalizer))
        .collect()
}

/// True if an object is marked for deletion and nothing keeps it any more.
pub(super) fn may_go(resource: &Resource, object: &Value) -> bool {
    let grace = metadata(object)
        .get("deletionGracePeriodSeconds")
        .and_then(Value::as_i64)
        .unwrap_or(0);
    let emptied = resource.kind != "Namespace" || object["spec"]["finalizers"].as_array().is_none_or(Vec::is_empty);
    is_terminating(object) && grace == 0 && finalizers(object).is_empty() && emptied
}

fn copy(from: &Map<String, Value>, to: &mut Map<String, Value>, field: &str) {
    match from.get(field).filter(|value| !value.is_null()) {
        Some(value) => to.insert(field.to_owned(), value.clone()),
        None => to.remove(field),
    };
}

/// Empty maps and lists of the metadata are not kept: `{"annotations": {}}` and no annotations are the same.
fn drop_empty(meta: &mut Map<String, Value>) {
    meta.retain(|_, value| match value {
        Value::Null => false,
        Value::Object(map) => !map.is_empty(),
        Value::Array(list) => !list.is_empty(),
        Value::String(text) => !text.is_empty(),
        Value::Bool(_) | Value::Number(_) => true,
    });
}

/// Brings what a client may write in several ways into the one way that is stored. Changes nothing when applied again.
pub(super) fn normalize(resource: &Resource, object: &mut Value) {
    match (resource.group, resource.kind) {
        ("", "PersistentVolumeClaim") => same_data_source(object),
        ("", "Secret") => take_string_data(object),
        ("", "Namespace") => {
            let meta = metadata_mut(object);
            let name = meta.get("name").cloned().unwrap_or_default();
            if !meta.get("labels").is_some_and(Value::is_object) {
                meta.insert("labels".to_owned(), json!({}));
            }
            meta["labels"][NAMESPACE_NAME_LABEL] = name;
        }
        _ => {}
    }
}

/// What a claim is filled with stands in two fields, of which the older cannot name another namespace.
fn same_data_source(claim: &mut Value) {
    let Some(spec) = claim.get_mut("spec").and_then(Value::as_object_mut) else {
        return;
    };
    let (source, reference) = (spec.get("dataSource").cloned(), spec.get("dataSourceRef").cloned());
    match (source, reference) {
        (Some(source), None) => {
            spec.insert("dataSourceRef".to_owned(), source);
        }
        (None, Some(reference)) if reference.get("namespace").is_none_or(|namespace| namespace == "") => {
            spec.insert("dataSource".to_owned(), reference);
        }
        _ => {}
    }
}

/// `stringData` is for writing only: it goes into `data`.
fn take_string_data(secret: &mut Value) {
    let Some(Value::Object(plain)) = secret.as_object_mut().and_then(|fields| fields.remove("stringData")) else {
        return;
    };
    let data = child_mut(secret, "data");
    for (key, value) in plain {
        if let Some(text) = value.as_str() {
            data.insert(key, json!(STANDARD.encode(text)));
        }
    }
}

/// Labels and selector by which a job knows its pods: made of its uid, unless the job brings its own.
fn tie_pods(job: &mut Value, uid: &str) {
    if job["spec"]["manualSelector"] == true || !job["spec"]["template"].is_object() {
        return;
    }
    let name = metadata(job).get("name").cloned().unwrap_or_default();
    let spec = child_mut(job, "spec");
    if let Some(template) = spec.get_mut("template") {
        let labels = child_mut(template, "metadata")
            .entry("labels")
            .or_insert_with(|| json!({}));
        for label in JOB_LABELS {
            let value = if label.ends_with("uid") {
                json!(uid)
            } else {
                name.clone()
            };
            if let Some(labels) = labels.as_object_mut() {
                // A value that was given stays, for validation to refuse.
                labels.entry(label).or_insert(value);
            }
        }
    }
    let selector = spec.entry("selector").or_insert_with(|| json!({}));
    child_mut(selector, "matchLabels")
        .entry(JOB_UID_LABEL)
        .or_insert_with(|| json!(uid));
}

/// Whether the kind is that of requests of certificates.
pub(super) fn is_certificate_request(resource: &Resource) -> bool {
    resource.group == "certificates.k8s.io" && resource.kind == "CertificateSigningRequest"
}

fn copy_field(from: &Value, to: &mut Value, field: &str) {
    let Some(fields) = to.as_object_mut() else { return };
    match from.get(field) {
        Some(value) => fields.insert(field.to_owned(), value.clone()),
        None => fields.remove(field),
    };
}

/// Whether the kind is that of definitions of kinds.
pub(super) fn is_definition(resource: &Resource) -> bool {
    resource.group == "apiextensions.k8s.io" && resource.kind == "CustomResourceDefinition"
}

/// The version in which a definition's objects are stored.
fn storage_version(definition: &Value) -> &str {
    definition["spec"]["versions"]
        .as_array()
        .into_iter()
        .flatten()
        .find(|version| version["storage"] == true)
        .and_then(|version| version["name"].as_str())
        .unwrap_or_default()
}

/// Objects may be stored in any version that ever was the one to store.
fn note_storage_version(definition: &mut Value) {
    let version = json!(storage_version(definition));
    let status = child_mut(definition, "status");
    let stored = status.entry("storedVersions").or_insert_with(|| json!([]));
    if let Some(list) = stored.as_array_mut()
        && !list.contains(&version)
    {
        list.push(version);
    }
}

fn same_spec(resource: &Resource, old: &Value, new: &Value) -> bool {
    match (resource.group, resource.kind) {
        // A deployment's annotations are part of what is asked for; a class' description never is.
        ("apps", "Deployment") if metadata(old).get("annotations") != metadata(new).get("annotations") => return false,
        ("scheduling.k8s.io", "PriorityClass") => return true,
        _ => {}
    }
    let has_status = resource.has_status() || resource.custom.is_none();
    let rest = |object: &Value| -> Vec<(String, Value)> {
        object
            .as_object()
            .into_iter()
            .flatten()
            .filter(|(name, _)| match name.as_str() {
                "metadata" | "apiVersion" | "kind" => false,
                "status" => !has_status,
                _ => true,
            })
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect()
    };
    rest(old) == rest(new)
}

/// `old` with the ephemeral containers of `wanted`.
fn ephemeral_update(old: &Value, wanted: &Value) -> Value {
    let mut new = old.clone();
    let spec = child_mut(&mut new, "spec");
    match wanted["spec"]["ephemeralContainers"]
        .as_array()
        .filter(|list| !list.is_empty())
    {
        Some(list) => spec.insert("ephemeralContainers".to_owned(), json!(list)),
        None => spec.remove("ephemeralContainers"),
    };
    new
}

/// `old` with the resources that `wanted` gives containers of the same names.
fn resize_update(old: &Value, wanted: &Value) -> Value {
    let mut new = old.clone();
    let spec = child_mut(&mut new, "spec");
    for list in ["containers", "initContainers"] {
        let of_wanted = wanted["spec"][list].as_array().map_or(&[][..], Vec::as_slice);
        for container in spec.get_mut(list).and_then(Value::as_array_mut).into_iter().flatten() {
            let wanted = of_wanted.iter().find(|wanted| wanted["name"] == container["name"]);
            let (Some(wanted), Some(fields)) = (wanted, container.as_object_mut()) else {
                continue;
            };
            // That the policy stays is for validation to say.
            for field in ["resources", "resizePolicy"] {
                match wanted.get(field) {
                    Some(value) => fields.insert(field.to_owned(), value.clone()),
                    None => fields.remove(field),
                };
            }
        }
    }
    new
}

#[cfg(test)]
mod tests;
