//! The rows of persistent volumes and claims.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::{
    age::age,
    column::{AGE, NAME, Printer, column, list, quantity, text, text_or},
};

const BETA_CLASS: &str = "volume.beta.kubernetes.io/storage-class";
const UNSET: &str = "<unset>";
/// Access modes and how they are abbreviated, in the order in which they are shown.
const MODES: [(&str, &str); 4] = [
    ("ReadWriteOnce", "RWO"),
    ("ReadOnlyMany", "ROX"),
    ("ReadWriteMany", "RWX"),
    ("ReadWriteOncePod", "RWOP"),
];

pub(super) static VOLUME: Printer = Printer::new(
    &[
        NAME,
        column("Capacity", "string", 0),
        column("Access Modes", "string", 0),
        column("Reclaim Policy", "string", 0),
        column("Status", "string", 0),
        column("Claim", "string", 0),
        column("StorageClass", "string", 0),
        column("VolumeAttributesClass", "string", 0),
        column("Reason", "string", 0),
        AGE,
        column("VolumeMode", "string", 1),
    ],
    volume,
);

pub(super) static CLAIM: Printer = Printer::new(
    &[
        NAME,
        column("Status", "string", 0),
        column("Volume", "string", 0),
        column("Capacity", "string", 0),
        column("Access Modes", "string", 0),
        column("StorageClass", "string", 0),
        column("VolumeAttributesClass", "string", 0),
        AGE,
        column("VolumeMode", "string", 1),
    ],
    claim,
);

fn volume(item: &Value, now: Timestamp) -> Vec<Value> {
    let claim = match text(item, "/spec/claimRef/name") {
        "" => String::new(),
        name => format!("{}/{name}", text(item, "/spec/claimRef/namespace")),
    };
    vec![
        item["metadata"]["name"].clone(),
        json!(quantity(item, "/spec/capacity/storage")),
        json!(modes(item, "/spec/accessModes")),
        json!(text(item, "/spec/persistentVolumeReclaimPolicy")),
        json!(phase(item)),
        json!(claim),
        json!(class(item)),
        text_or(item, "/spec/volumeAttributesClassName", UNSET),
        json!(text(item, "/status/reason")),
        age(item, now),
        text_or(item, "/spec/volumeMode", UNSET),
    ]
}

fn claim(item: &Value, now: Timestamp) -> Vec<Value> {
    let volume = text(item, "/spec/volumeName");
    // What a claim has is only known once it has a volume.
    let (capacity, modes) = match volume {
        "" => (String::new(), String::new()),
        _ => (
            quantity(item, "/status/capacity/storage"),
            modes(item, "/status/accessModes"),
        ),
    };
    vec![
        item["metadata"]["name"].clone(),
        json!(phase(item)),
        json!(volume),
        json!(capacity),
        json!(modes),
        json!(class(item)),
        text_or(item, "/spec/volumeAttributesClassName", UNSET),
        age(item, now),
        text_or(item, "/spec/volumeMode", UNSET),
    ]
}

fn phase(item: &Value) -> &str {
    if item["metadata"]["deletionTimestamp"].is_null() {
        text(item, "/status/phase")
    } else {
        "Terminating"
    }
}

fn class(item: &Value) -> &str {
    item["metadata"]["annotations"][BETA_CLASS]
        .as_str()
        .unwrap_or_else(|| text(item, "/spec/storageClassName"))
}

fn modes(item: &Value, pointer: &str) -> String {
    let given = list(item, pointer);
    let shown: Vec<&str> = MODES
        .iter()
        .filter(|(mode, _)| given.iter().any(|given| given == mode))
        .map(|(_, short)| *short)
        .collect();
    shown.join(",")
}
