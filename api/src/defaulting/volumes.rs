//! Defaults of volumes, claims, and the sources that pods and persistent volumes name alike.

use serde_json::{Map, Value, json};

use super::fields::{child, set_default};

pub(super) fn volume(object: &mut Map<String, Value>) {
    if let Some(spec) = child(object, "spec") {
        set_default(spec, "persistentVolumeReclaimPolicy", "Retain");
        set_default(spec, "volumeMode", "Filesystem");
        sources(spec);
    }
    first_phase(object);
}

pub(super) fn claim(object: &mut Map<String, Value>) {
    if let Some(spec) = child(object, "spec") {
        claim_spec(spec);
    }
    first_phase(object);
}

/// The claim of a pod's own volume, or of a stateful set's pods, as well as one that stands alone.
pub(super) fn claim_spec(spec: &mut Map<String, Value>) {
    set_default(spec, "volumeMode", "Filesystem");
}

fn first_phase(object: &mut Map<String, Value>) {
    set_default(object, "status", json!({}));
    if let Some(status) = child(object, "status") {
        set_default(status, "phase", "Pending");
    }
}

/// Sources have the same fields in pods and in persistent volumes.
pub(super) fn sources(owner: &mut Map<String, Value>) {
    if let Some(path) = child(owner, "hostPath")
        && !path.contains_key("type")
    {
        path.insert("type".to_owned(), json!(""));
    }
    if let Some(iscsi) = child(owner, "iscsi") {
        set_default(iscsi, "iscsiInterface", "default");
    }
    if let Some(rbd) = child(owner, "rbd") {
        set_default(rbd, "pool", "rbd");
        set_default(rbd, "user", "admin");
        set_default(rbd, "keyring", "/etc/ceph/keyring");
    }
    if let Some(disk) = child(owner, "azureDisk") {
        set_default(disk, "cachingMode", "ReadWrite");
        set_default(disk, "kind", "Shared");
        set_default(disk, "fsType", "ext4");
        set_default(disk, "readOnly", false);
    }
    if let Some(scale_io) = child(owner, "scaleIO") {
        set_default(scale_io, "storageMode", "ThinProvisioned");
        set_default(scale_io, "fsType", "xfs");
    }
}
