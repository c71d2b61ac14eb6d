//! Persistent volumes and their claims.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{
    IMMUTABLE,
    at::At,
    checks::{named_if_set, no_upward_path, required},
    error::FieldError,
    names, pod,
    quantities::{amount_of, positive, quantity},
    selectors::{label_selector, node_selector},
};
use crate::quantity::Quantity;

const ACCESS_MODES: [&str; 4] = ["ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce", "ReadWriteOncePod"];
const VOLUME_MODES: [&str; 2] = ["Block", "Filesystem"];
const RECLAIM_POLICIES: [&str; 3] = ["Delete", "Recycle", "Retain"];
const BETA_CLASS: &str = "volume.beta.kubernetes.io/storage-class";
const POSITIVE: &str = "must be greater than zero";

/// (source, fields that it must have), in the order in which sources are looked at.
const SOURCES: [(&str, &[&str]); 22] = [
    ("hostPath", &[]),
    ("gcePersistentDisk", &["pdName"]),
    ("awsElasticBlockStore", &["volumeID"]),
    ("glusterfs", &["endpoints", "path"]),
    ("flocker", &[]),
    ("nfs", &[]),
    ("rbd", &["monitors", "image"]),
    ("quobyte", &["registry", "volume"]),
    ("cephfs", &["monitors"]),
    ("iscsi", &["targetPortal", "iqn"]),
    ("cinder", &["volumeID"]),
    ("fc", &[]),
    ("flexVolume", &["driver"]),
    ("azureFile", &["secretName", "shareName"]),
    ("vsphereVolume", &["volumePath"]),
    ("photonPersistentDisk", &["pdID"]),
    ("portworxVolume", &["volumeID"]),
    ("azureDisk", &["diskName", "diskURI"]),
    ("scaleIO", &["gateway", "system", "volumeName"]),
    ("local", &["path"]),
    ("storageos", &[]),
    ("csi", &["driver", "volumeHandle"]),
];

pub(super) fn volume(root: &At<'_>, errors: &mut Vec<FieldError>) {
    let spec = root.field("spec");
    access_modes(&spec, "", errors);
    capacity(&spec.field("capacity"), errors);
    let policy = spec.field("persistentVolumeReclaimPolicy");
    if !policy.is_empty() && !RECLAIM_POLICIES.contains(&policy.text()) {
        errors.push(policy.not_supported(&RECLAIM_POLICIES));
    }
    let affinity = spec.field("nodeAffinity");
    if affinity.is_set() {
        let needed = affinity.field("required");
        if needed.is_set() {
            node_selector(&needed, errors);
        } else {
            errors.push(needed.required("must specify required node constraints"));
        }
    }
    source(&spec, errors);
    named_if_set(&spec.field("storageClassName"), names::dns_subdomain, errors);
    volume_mode(&spec, errors);
    let class = spec.field("volumeAttributesClassName");
    if class.is_set() {
        if class.is_empty() {
            errors.push(class.required("an empty string is disallowed"));
        } else {
            named_if_set(&class, names::dns_subdomain, errors);
        }
        let csi = spec.field("csi");
        if !csi.is_set() {
            errors.push(csi.required("has to be specified when using volumeAttributesClassName"));
        }
    }
}

fn access_modes(spec: &At<'_>, none: &str, errors: &mut Vec<FieldError>) {
    let modes = spec.field("accessModes");
    if modes.count() == 0 {
        errors.push(modes.required(none));
    }
    for mode in modes.items() {
        if !ACCESS_MODES.contains(&mode.text()) {
            let value = mode.text();
            errors.push(FieldError::not_supported(modes.path.clone(), value, &ACCESS_MODES));
        }
    }
    let is_alone = |mode: &At<'_>| mode.text() == "ReadWriteOncePod";
    let with_others = modes
        .items()
        .any(|mode| !is_alone(&mode) && ACCESS_MODES.contains(&mode.text()));
    if with_others && modes.items().any(|mode| is_alone(&mode)) {
        errors.push(modes.forbidden("may not use ReadWriteOncePod with other access modes"));
    }
}

fn volume_mode(spec: &At<'_>, errors: &mut Vec<FieldError>) {
    let mode = spec.field("volumeMode");
    if mode.is_set() && !VOLUME_MODES.contains(&mode.text()) {
        errors.push(mode.not_supported(&VOLUME_MODES));
    }
}

fn capacity(at: &At<'_>, errors: &mut Vec<FieldError>) {
    if at.is_empty() {
        required(at, errors);
    }
    let entries = at.map().map_or(0, serde_json::Map::len);
    if !at.field("storage").is_set() || entries > 1 {
        let shown = at.map().cloned().unwrap_or_default();
        errors.push(FieldError::not_supported(
            at.path.clone(),
            Value::Object(shown),
            &["storage"],
        ));
    }
    for (_, amount) in at.entries() {
        if !positive(amount.value) {
            errors.push(amount.invalid(POSITIVE));
        }
    }
}

fn source(spec: &At<'_>, errors: &mut Vec<FieldError>) {
    let mut count = 0;
    for (kind, fields) in SOURCES {
        let at = spec.field(kind);
        if !at.is_set() {
            continue;
        }
        count += 1;
        if count > 1 {
            errors.push(at.forbidden("may not specify more than 1 volume type"));
            continue;
        }
        for field in fields {
            required(&at.field(field), errors);
        }
        match kind {
            "hostPath" => pod::host_path(&at, errors),
            "nfs" => pod::nfs(&at, errors),
            "local" => {
                no_upward_path(&at.field("path"), errors);
                let affinity = spec.field("nodeAffinity");
                if !affinity.is_set() {
                    errors.push(affinity.required("Local volume requires node affinity"));
                }
            }
            _ => {}
        }
    }
    if count == 0 {
        errors.push(spec.required("must specify a volume type"));
    }
    let policy = spec.field("persistentVolumeReclaimPolicy");
    let path = spec.field("hostPath").field("path").text();
    if policy.text() == "Recycle" && !path.is_empty() && path.split('/').all(|step| matches!(step, "" | ".")) {
        errors.push(policy.forbidden("may not be 'recycle' for a hostPath mount of '/'"));
    }
}

pub(super) fn volume_update(new: &At<'_>, old: &At<'_>, errors: &mut Vec<FieldError>) {
    volume(new, errors);
    let (spec, before) = (new.field("spec"), old.field("spec"));
    if sources_of(&spec) != sources_of(&before) {
        let reason = "spec.persistentvolumesource is immutable after creation";
        errors.push(FieldError::forbidden("spec.persistentvolumesource", reason));
    }
    immutable_mode(&spec, &before, errors);
    let (affinity, was) = (spec.field("nodeAffinity"), before.field("nodeAffinity"));
    if was.is_set() && affinity.value != was.value {
        let reason = "field is immutable";
        errors.push(FieldError::invalid("nodeAffinity", affinity.value.clone(), reason));
    }
    class_kept(&spec, &before, errors);
}

fn sources_of<'a>(spec: &At<'a>) -> BTreeMap<&'static str, &'a Value> {
    SOURCES
        .iter()
        .map(|(kind, _)| (*kind, spec.field(kind).value))
        .filter(|(_, value)| !value.is_null())
        .collect()
}

/// Kubernetes names the field without its parent.
fn immutable_mode(spec: &At<'_>, before: &At<'_>, errors: &mut Vec<FieldError>) {
    let (mode, was) = (spec.field("volumeMode"), before.field("volumeMode"));
    if mode.value != was.value {
        errors.push(FieldError::invalid("volumeMode", mode.value.clone(), IMMUTABLE));
    }
}

fn class_kept(spec: &At<'_>, before: &At<'_>, errors: &mut Vec<FieldError>) {
    let (class, was) = (
        spec.field("volumeAttributesClassName"),
        before.field("volumeAttributesClassName"),
    );
    if was.is_set() && !class.is_set() {
        errors.push(class.forbidden("update from non-nil value to nil is forbidden"));
    }
}

pub(super) fn claim(root: &At<'_>, errors: &mut Vec<FieldError>) {
    claim_spec(&root.field("spec"), errors);
}

/// What a claim asks for, where it stands alone and where a pod brings it along.
pub(super) fn claim_spec(spec: &At<'_>, errors: &mut Vec<FieldError>) {
    access_modes(spec, "at least 1 access mode is required", errors);
    label_selector(&spec.field("selector"), errors);
    let resources = spec.field("resources");
    let storage = At {
        value: resources.field("requests").field("storage").value,
        path: format!("{}[storage]", resources.path),
    };
    if !storage.is_set() {
        errors.push(storage.required(""));
    } else if positive(storage.value) {
        amount_of("storage", &storage, errors);
    } else {
        errors.push(storage.invalid(POSITIVE));
    }
    named_if_set(&spec.field("storageClassName"), names::dns_subdomain, errors);
    volume_mode(spec, errors);
    data_sources(spec, errors);
    named_if_set(&spec.field("volumeAttributesClassName"), names::dns_subdomain, errors);
}

fn data_sources(spec: &At<'_>, errors: &mut Vec<FieldError>) {
    let (source, reference) = (spec.field("dataSource"), spec.field("dataSourceRef"));
    for at in [&source, &reference] {
        if !at.is_set() {
            continue;
        }
        let (group, kind) = (at.field("apiGroup"), at.field("kind"));
        required(&at.field("name"), errors);
        required(&kind, errors);
        if group.is_empty() && kind.text() != "PersistentVolumeClaim" {
            let reason = "must be 'PersistentVolumeClaim' when referencing the default apiGroup";
            errors.push(FieldError::invalid(at.path.clone(), kind.text(), reason));
        }
        named_if_set(&group, names::dns_subdomain, errors);
        named_if_set(&at.field("namespace"), names::dns_label, errors);
    }
    if !source.is_set() || !reference.is_set() {
        return;
    }
    let shown = json!(source.path);
    if !reference.field("namespace").is_empty() {
        let reason = "may not be specified when dataSourceRef.namespace is specified";
        errors.push(FieldError::invalid(spec.path.clone(), shown, reason));
    } else if ["apiGroup", "kind", "name"]
        .iter()
        .any(|field| source.field(field).value != reference.field(field).value)
    {
        errors.push(FieldError::invalid(
            spec.path.clone(),
            shown,
            "must match dataSourceRef",
        ));
    }
}

pub(super) fn claim_update(new: &At<'_>, old: &At<'_>, errors: &mut Vec<FieldError>) {
    claim(new, errors);
    let (spec, before) = (new.field("spec"), old.field("spec"));
    if comparable(new, old) != *before.value {
        let reason = "spec is immutable after creation except resources.requests and volumeAttributesClassName for \
             bound claims";
        errors.push(spec.forbidden(reason));
    }
    let size = |root: &At<'_>, path: [&str; 3]| -> Quantity {
        let at = path.iter().fold(root.field("spec"), |at, field| at.field(field));
        quantity(&at).unwrap_or(Quantity::ZERO)
    };
    let requested = ["resources", "requests", "storage"];
    let has = quantity(&old.field("status").field("capacity").field("storage")).unwrap_or(Quantity::ZERO);
    if size(new, requested) < size(old, requested) && size(new, requested) <= has {
        let reason = "field can not be less than status.capacity";
        errors.push(FieldError::forbidden("spec.resources.requests.storage", reason));
    }
    immutable_mode(&spec, &before, errors);
    class_kept(&spec, &before, errors);
}

/// The new spec with what may change put back to what it was.
fn comparable(new: &At<'_>, old: &At<'_>) -> Value {
    let before = old.value["spec"].clone();
    let mut spec = new.value["spec"].clone();
    let Some(fields) = spec.as_object_mut() else {
        return spec;
    };
    let mut restore = |field: &str| match before.get(field) {
        Some(value) => fields.insert(field.to_owned(), value.clone()),
        None => fields.remove(field),
    };
    restore("volumeAttributesClassName");
    // The claim is given a volume once, and a class once, unless its annotation says another.
    if before["volumeName"].as_str().unwrap_or_default().is_empty() {
        restore("volumeName");
    }
    let annotated = &old.value["metadata"]["annotations"][BETA_CLASS];
    let class = &new.value["spec"]["storageClassName"];
    if before["storageClassName"].is_null() && (annotated.is_null() || annotated == class) {
        restore("storageClassName");
    }
    let bound = new.value["status"]["phase"] == "Bound";
    if bound
        && let Some(requests) = spec.pointer_mut("/resources/requests").and_then(Value::as_object_mut)
        && let Some(size) = before.pointer("/resources/requests/storage")
    {
        requests.insert("storage".to_owned(), size.clone());
    }
    spec
}
