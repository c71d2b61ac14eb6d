//! Defaults of `storage.k8s.io`.

use serde_json::{Map, Value, json};

use super::fields::{child, set_default};

pub(super) fn apply(kind: &str, object: &mut Map<String, Value>) {
    match kind {
        "StorageClass" => {
            set_default(object, "reclaimPolicy", "Delete");
            set_default(object, "volumeBindingMode", "Immediate");
        }
        "CSIDriver" => {
            if let Some(spec) = child(object, "spec") {
                csi_driver(spec);
            }
        }
        _ => {}
    }
}

fn csi_driver(spec: &mut Map<String, Value>) {
    set_default(spec, "attachRequired", true);
    for field in ["podInfoOnMount", "requiresRepublish", "seLinuxMount", "storageCapacity"] {
        set_default(spec, field, false);
    }
    set_default(spec, "fsGroupPolicy", "ReadWriteOnceWithFSType");
    let modes = spec.get("volumeLifecycleModes").and_then(Value::as_array);
    if modes.is_none_or(Vec::is_empty) {
        spec.insert("volumeLifecycleModes".to_owned(), json!(["Persistent"]));
    }
}
