//! The rows of `storage.k8s.io`.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::{
    age::age,
    column::{AGE, NAME, Printer, column, joined, list, text, text_or},
};

/// Annotations that make a storage class the default one; the second is the older name.
const IS_DEFAULT: [&str; 2] = [
    "storageclass.kubernetes.io/is-default-class",
    "storageclass.beta.kubernetes.io/is-default-class",
];

pub(super) static STORAGE_CLASS: Printer = Printer::new(
    &[
        NAME,
        column("Provisioner", "string", 0),
        column("ReclaimPolicy", "string", 0),
        column("VolumeBindingMode", "string", 0),
        column("AllowVolumeExpansion", "string", 0),
        AGE,
    ],
    storage_class,
);

pub(super) static VOLUME_ATTRIBUTES_CLASS: Printer =
    Printer::new(&[NAME, column("DriverName", "string", 0), AGE], |item, now| {
        vec![
            item["metadata"]["name"].clone(),
            json!(text(item, "/driverName")),
            age(item, now),
        ]
    });

pub(super) static VOLUME_ATTACHMENT: Printer = Printer::new(
    &[
        NAME,
        column("Attacher", "string", 0),
        column("PV", "string", 0),
        column("Node", "string", 0),
        column("Attached", "string", 0),
        AGE,
    ],
    |item, now| {
        vec![
            item["metadata"]["name"].clone(),
            json!(text(item, "/spec/attacher")),
            json!(text(item, "/spec/source/persistentVolumeName")),
            json!(text(item, "/spec/nodeName")),
            json!(item["status"]["attached"] == true),
            age(item, now),
        ]
    },
);

pub(super) static CSI_DRIVER: Printer = Printer::new(
    &[
        NAME,
        column("AttachRequired", "boolean", 0),
        column("PodInfoOnMount", "boolean", 0),
        column("StorageCapacity", "boolean", 0),
        column("TokenRequests", "string", 0),
        column("RequiresRepublish", "boolean", 0),
        column("Modes", "string", 0),
        AGE,
    ],
    csi_driver,
);

pub(super) static CSI_NODE: Printer = Printer::new(&[NAME, column("Drivers", "integer", 0), AGE], |item, now| {
    let drivers = list(item, "/spec/drivers").len();
    vec![item["metadata"]["name"].clone(), json!(drivers), age(item, now)]
});

pub(super) static CSI_STORAGE_CAPACITY: Printer = Printer::new(
    &[
        NAME,
        column("StorageClassName", "string", 0),
        column("Capacity", "string", 0),
        AGE,
    ],
    |item, now| {
        vec![
            item["metadata"]["name"].clone(),
            json!(text(item, "/storageClassName")),
            text_or(item, "/capacity", "<unset>"),
            age(item, now),
        ]
    },
);

fn storage_class(item: &Value, now: Timestamp) -> Vec<Value> {
    let annotations = &item["metadata"]["annotations"];
    let name = match IS_DEFAULT.iter().any(|key| annotations[*key] == "true") {
        true => format!("{} (default)", text(item, "/metadata/name")),
        false => text(item, "/metadata/name").to_owned(),
    };
    vec![
        json!(name),
        json!(text(item, "/provisioner")),
        text_or(item, "/reclaimPolicy", "Delete"),
        text_or(item, "/volumeBindingMode", "<unset>"),
        json!(item["allowVolumeExpansion"] == true),
        age(item, now),
    ]
}

fn csi_driver(item: &Value, now: Timestamp) -> Vec<Value> {
    let spec = &item["spec"];
    let tokens = joined(
        list(spec, "/tokenRequests")
            .iter()
            .map(|token| text(token, "/audience")),
    );
    let modes = joined(list(spec, "/volumeLifecycleModes").iter().filter_map(Value::as_str));
    let or = |text: String, none: &str| if text.is_empty() { none.to_owned() } else { text };
    vec![
        item["metadata"]["name"].clone(),
        json!(spec["attachRequired"] != false),
        json!(spec["podInfoOnMount"] == true),
        json!(spec["storageCapacity"] == true),
        json!(or(tokens, "<unset>")),
        json!(spec["requiresRepublish"] == true),
        json!(or(modes, "<none>")),
        age(item, now),
    ]
}
