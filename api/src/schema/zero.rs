//! Fields in which zero, false or an empty string is no value at all.
//!
//! The published definitions do not say which fields Kubernetes holds without "absent": those it drops when they are
//! zero, and protobuf bodies carry them always. This lists the ones that clients send.

/// (type, field): zero and false mean absent.
const ZERO_IS_ABSENT: &[(&str, &str)] = &[
    ("Container", "stdin"),
    ("Container", "stdinOnce"),
    ("Container", "tty"),
    ("ContainerPort", "hostPort"),
    ("DaemonSetSpec", "minReadySeconds"),
    ("DeploymentSpec", "minReadySeconds"),
    ("DeploymentSpec", "paused"),
    ("DeploymentStatus", "availableReplicas"),
    ("DeploymentStatus", "observedGeneration"),
    ("DeploymentStatus", "readyReplicas"),
    ("DeploymentStatus", "replicas"),
    ("DeploymentStatus", "unavailableReplicas"),
    ("DeploymentStatus", "updatedReplicas"),
    ("EphemeralContainer", "stdin"),
    ("EphemeralContainer", "stdinOnce"),
    ("EphemeralContainer", "tty"),
    ("Event", "count"),
    ("JobStatus", "active"),
    ("JobStatus", "failed"),
    ("JobStatus", "succeeded"),
    ("NodeSpec", "unschedulable"),
    ("ObjectMeta", "generation"),
    ("PodSpec", "hostIPC"),
    ("PodSpec", "hostNetwork"),
    ("PodSpec", "hostPID"),
    ("Probe", "failureThreshold"),
    ("Probe", "initialDelaySeconds"),
    ("Probe", "periodSeconds"),
    ("Probe", "successThreshold"),
    ("Probe", "timeoutSeconds"),
    ("ReplicaSetSpec", "minReadySeconds"),
    ("ReplicaSetStatus", "availableReplicas"),
    ("ReplicaSetStatus", "fullyLabeledReplicas"),
    ("ReplicaSetStatus", "observedGeneration"),
    ("ReplicaSetStatus", "readyReplicas"),
    ("ServicePort", "nodePort"),
    ("ServiceSpec", "healthCheckNodePort"),
    ("ServiceSpec", "publishNotReadyAddresses"),
    ("StatefulSetSpec", "minReadySeconds"),
    ("VolumeMount", "readOnly"),
];

/// (type, field): an empty string differs from an absent one.
const EMPTY_IS_A_VALUE: &[(&str, &str)] = &[
    ("PersistentVolumeClaimSpec", "storageClassName"),
    ("PersistentVolumeClaimSpec", "volumeAttributesClassName"),
];

/// Whether zero or false in this field means absent.
pub(super) fn zero_is_absent(type_name: &str, field: &str) -> bool {
    ZERO_IS_ABSENT.contains(&(type_name, field))
}

/// Whether an empty string in this field means absent.
pub(super) fn empty_is_absent(type_name: &str, field: &str) -> bool {
    !EMPTY_IS_A_VALUE.contains(&(type_name, field))
}
