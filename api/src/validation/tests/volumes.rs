//! Persistent volumes and claims.

use serde_json::{Value, json};

use super::{Change, check_rows, complete, update_rows, with};

fn volume() -> Value {
    let object = json!({
        "metadata": {"name": "a"},
        "spec": {"capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteOnce"], "hostPath": {"path": "/x"}},
    });
    complete("", "persistentvolumes", object)
}

fn claim() -> Value {
    let object = json!({
        "metadata": {"name": "a", "namespace": "ns"},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}},
    });
    complete("", "persistentvolumeclaims", object)
}

#[test]
fn volumes_have_a_size_modes_and_one_source() {
    let rows: Vec<(Vec<Change>, &[&str])> = vec![
        (
            vec![("/spec/accessModes", json!([]))],
            &["spec.accessModes: Required value"],
        ),
        (
            vec![("/spec/accessModes", json!(["ReadWriteOnce", "ReadWriteOncePod"]))],
            &["spec.accessModes: Forbidden: may not use ReadWriteOncePod with other access modes"],
        ),
        (
            vec![("/spec/accessModes", json!(["Any"]))],
            &["spec.accessModes: Unsupported value: \"Any\": supported values: \"ReadOnlyMany\""],
        ),
        (
            vec![("/spec/capacity", Value::Null)],
            &[
                "spec.capacity: Required value",
                "spec.capacity: Unsupported value: {}: supported values: \"storage\"",
            ],
        ),
        (
            vec![("/spec/capacity/storage", json!("0"))],
            &["spec.capacity[storage]: Invalid value: \"0\": must be greater than zero"],
        ),
        (
            vec![("/spec/hostPath", Value::Null)],
            &["spec: Required value: must specify a volume type"],
        ),
        (
            vec![("/spec/nfs", json!({"server": "s", "path": "/x"}))],
            &["spec.nfs: Forbidden: may not specify more than 1 volume type"],
        ),
        (
            vec![("/spec/hostPath", Value::Null), ("/spec/local", json!({"path": "/x"}))],
            &["spec.nodeAffinity: Required value: Local volume requires node affinity"],
        ),
        (
            vec![("/spec/hostPath", Value::Null), ("/spec/csi", json!({"driver": "d"}))],
            &["spec.csi.volumeHandle: Required value"],
        ),
        (
            vec![("/spec/persistentVolumeReclaimPolicy", json!("Forget"))],
            &["spec.persistentVolumeReclaimPolicy: Unsupported value: \"Forget\""],
        ),
        (
            vec![
                ("/spec/persistentVolumeReclaimPolicy", json!("Recycle")),
                ("/spec/hostPath/path", json!("/")),
            ],
            &["spec.persistentVolumeReclaimPolicy: Forbidden: may not be 'recycle' for a hostPath mount of '/'"],
        ),
        (
            vec![("/spec/nodeAffinity", json!({}))],
            &["spec.nodeAffinity.required: Required value: must specify required node constraints"],
        ),
    ];
    check_rows("", "persistentvolumes", &volume(), &rows);
    let rows: Vec<(Vec<Change>, &[&str])> = vec![
        (vec![("/spec/persistentVolumeReclaimPolicy", json!("Delete"))], &[]),
        (
            vec![("/spec/hostPath/path", json!("/y"))],
            &["spec.persistentvolumesource: Forbidden: spec.persistentvolumesource is immutable after creation"],
        ),
        (
            vec![("/spec/volumeMode", json!("Block"))],
            &["volumeMode: Invalid value: \"Block\": field is immutable"],
        ),
    ];
    update_rows("", "persistentvolumes", &volume(), &rows);
}

#[test]
fn claims_ask_for_storage_and_hold_to_it() {
    let rows: Vec<(Vec<Change>, &[&str])> = vec![
        (
            vec![("/spec/accessModes", json!([]))],
            &["spec.accessModes: Required value: at least 1 access mode is required"],
        ),
        (
            vec![("/spec/resources", Value::Null)],
            &["spec.resources[storage]: Required value"],
        ),
        (
            vec![("/spec/resources/requests/storage", json!("-1"))],
            &["spec.resources[storage]: Invalid value: \"-1\": must be greater than zero"],
        ),
        (vec![("/spec/storageClassName", json!(""))], &[]),
        (
            vec![("/spec/storageClassName", json!("A"))],
            &["spec.storageClassName: Invalid value: \"A\": a lowercase RFC 1123 subdomain"],
        ),
        (
            vec![("/spec/dataSource", json!({"kind": "Pod", "name": "x"}))],
            &["spec.dataSource: Invalid value: \"Pod\": must be 'PersistentVolumeClaim' when referencing the default"],
        ),
    ];
    check_rows("", "persistentvolumeclaims", &claim(), &rows);
    let refused: &[&str] = &["spec: Forbidden: spec is immutable after creation except resources.requests"];
    let rows: Vec<(Vec<Change>, &[&str])> = vec![
        (vec![("/spec/volumeName", json!("v"))], &[]),
        (vec![("/spec/storageClassName", json!("fast"))], &[]),
        (vec![("/spec/volumeAttributesClassName", json!("gold"))], &[]),
        (vec![("/spec/accessModes", json!(["ReadWriteMany"]))], refused),
        (vec![("/spec/resources/requests/storage", json!("2Gi"))], refused),
    ];
    update_rows("", "persistentvolumeclaims", &claim(), &rows);
    let bound = with(
        &claim(),
        &[
            ("/spec/volumeName", json!("v")),
            ("/spec/storageClassName", json!("fast")),
            ("/status", json!({"phase": "Bound", "capacity": {"storage": "1Gi"}})),
        ],
    );
    let rows: Vec<(Vec<Change>, &[&str])> = vec![
        (vec![("/spec/resources/requests/storage", json!("2Gi"))], &[]),
        (
            vec![("/spec/resources/requests/storage", json!("512Mi"))],
            &["spec.resources.requests.storage: Forbidden: field can not be less than status.capacity"],
        ),
        (vec![("/spec/volumeName", json!("w"))], refused),
        (vec![("/spec/storageClassName", json!("slow"))], refused),
    ];
    update_rows("", "persistentvolumeclaims", &bound, &rows);
}
