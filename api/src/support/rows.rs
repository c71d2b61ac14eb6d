//! What the server does with kinds and fields, where it is not simply what Kubernetes documents. A row goes when its
//! field begins to act.

use super::{
    FieldRow,
    Support::{self, Different, Ignored},
};

/// Types that stand in several kinds and have lines of their own.
pub(super) const PARTS: [&str; 12] = [
    "io.k8s.api.core.v1.PodSpec",
    "io.k8s.api.core.v1.Container",
    "io.k8s.api.core.v1.PodSecurityContext",
    "io.k8s.api.core.v1.SecurityContext",
    "io.k8s.api.core.v1.Volume",
    "io.k8s.api.core.v1.VolumeMount",
    "io.k8s.api.core.v1.Probe",
    "io.k8s.api.core.v1.Lifecycle",
    "io.k8s.api.core.v1.EnvVarSource",
    "io.k8s.api.core.v1.Affinity",
    "io.k8s.api.core.v1.ResourceRequirements",
    "io.k8s.api.core.v1.ServicePort",
];

/// Group and kind whose objects are kept only, and what is missing.
pub(super) const KEPT_ONLY: &[(&str, &str, &str)] = &[
    ("", "Endpoints", "EndpointSlices are read, and none is made of it"),
    (
        "",
        "PersistentVolume",
        "no volume is provisioned, bound or attached; one in use is kept until it is free",
    ),
    (
        "",
        "PersistentVolumeClaim",
        "no volume is bound; one in use is kept until it is free",
    ),
    ("", "PodTemplate", "nothing makes pods of it, in Kubernetes neither"),
    ("", "ReplicationController", "its controller is missing"),
    (
        "apps",
        "ControllerRevision",
        "the controllers that write it are missing",
    ),
    ("apps", "DaemonSet", "its controller is missing"),
    ("apps", "StatefulSet", "its controller is missing"),
    ("autoscaling", "HorizontalPodAutoscaler", "its controller is missing"),
    ("batch", "CronJob", "its controller is missing"),
    ("batch", "Job", "its controller is missing"),
    ("networking.k8s.io", "IPAddress", "addresses are kept with the services"),
    (
        "networking.k8s.io",
        "Ingress",
        "there is no controller of ours; others may be run",
    ),
    (
        "networking.k8s.io",
        "IngressClass",
        "there is no controller of ours; the default is given to ingresses",
    ),
    (
        "networking.k8s.io",
        "NetworkPolicy",
        "the dataplane does not enforce it",
    ),
    (
        "networking.k8s.io",
        "ServiceCIDR",
        "the range of services is an argument of the server",
    ),
    (
        "policy",
        "PodDisruptionBudget",
        "its controller is missing, and evictions do not ask it",
    ),
    ("resource.k8s.io", "DeviceClass", "the scheduler allocates no devices"),
    ("resource.k8s.io", "ResourceClaim", "the scheduler allocates no devices"),
    (
        "resource.k8s.io",
        "ResourceClaimTemplate",
        "the scheduler allocates no devices",
    ),
    ("resource.k8s.io", "ResourceSlice", "the scheduler allocates no devices"),
    ("storage.k8s.io", "CSIDriver", "nodes run no drivers"),
    ("storage.k8s.io", "CSINode", "nodes run no drivers"),
    ("storage.k8s.io", "CSIStorageCapacity", "the scheduler does not ask it"),
    (
        "storage.k8s.io",
        "StorageClass",
        "no volume is provisioned; the default is given to claims",
    ),
    ("storage.k8s.io", "VolumeAttachment", "nothing is attached"),
    ("storage.k8s.io", "VolumeAttributesClass", "no volume is provisioned"),
];

/// Group and kind of which more is to be said.
pub(super) const NOTES: &[(&str, &str, &str)] = &[
    (
        "",
        "ComponentStatus",
        "Answers an empty list, as clusters do that run without the components it was made for.",
    ),
    (
        "apiregistration.k8s.io",
        "APIService",
        "Namespaces that are deleted leave what other servers keep in them; OpenAPI v2 has no documents of other servers.",
    ),
];

const fn row(of: &'static str, field: &'static str, support: Support, meaning: &'static str) -> FieldRow {
    FieldRow {
        of,
        field,
        support,
        meaning,
    }
}

/// Fields that are ignored or different in kinds that act.
pub(super) const FIELDS: &[FieldRow] = &[
    row("Affinity", "podAffinity", Ignored, "the scheduler does not ask it"),
    row("Affinity", "podAntiAffinity", Ignored, "the scheduler does not ask it"),
    row(
        "Container",
        "restartPolicyRules",
        Ignored,
        "the restart policy alone decides",
    ),
    row("Container", "volumeDevices", Ignored, "containers get no block devices"),
    row(
        "Container",
        "imagePullPolicy",
        Different,
        "images are imported, not pulled: `Always` is as `IfNotPresent`",
    ),
    row(
        "Container",
        "ports",
        Different,
        "`hostPort` is reserved for the pod, but leads to it only with `hostNetwork`",
    ),
    row("EnvVarSource", "fileKeyRef", Ignored, "the variable is not set"),
    row("NodeSpec", "configSource", Ignored, "as in Kubernetes since 1.24"),
    row("NodeSpec", "externalID", Ignored, "as in Kubernetes"),
    row("NodeSpec", "providerID", Ignored, "there is no cloud controller"),
    row("PodSecurityContext", "appArmorProfile", Ignored, "no profile is set"),
    row("PodSecurityContext", "seLinuxOptions", Ignored, "no label is set"),
    row(
        "PodSecurityContext",
        "fsGroupChangePolicy",
        Ignored,
        "ownership is always changed",
    ),
    row(
        "PodSecurityContext",
        "seLinuxChangePolicy",
        Ignored,
        "volumes are not relabelled",
    ),
    row(
        "PodSecurityContext",
        "supplementalGroupsPolicy",
        Different,
        "always `Merge`",
    ),
    row("PodSecurityContext", "windowsOptions", Ignored, "nodes run Linux"),
    row(
        "PodSpec",
        "affinity",
        Different,
        "that of nodes is supported, that of pods ignored",
    ),
    row("PodSpec", "hostUsers", Ignored, "pods are in the node's user namespace"),
    row(
        "PodSpec",
        "imagePullSecrets",
        Ignored,
        "images are imported, not pulled",
    ),
    row("PodSpec", "preemptionPolicy", Ignored, "no pod is preempted"),
    row(
        "PodSpec",
        "priority",
        Different,
        "pods are placed in its order, and none is preempted",
    ),
    row(
        "PodSpec",
        "resourceClaims",
        Ignored,
        "the scheduler allocates no devices",
    ),
    row(
        "PodSpec",
        "runtimeClassName",
        Different,
        "its overhead and scheduling count; the handler is always the one runtime there is",
    ),
    row("PodSpec", "schedulingGroup", Ignored, "pods are placed one by one"),
    row(
        "PodSpec",
        "setHostnameAsFQDN",
        Ignored,
        "the host name is the short one",
    ),
    row(
        "PodSpec",
        "topologySpreadConstraints",
        Ignored,
        "pods of a set are spread over nodes anyway",
    ),
    row(
        "ResourceRequirements",
        "claims",
        Ignored,
        "the scheduler allocates no devices",
    ),
    row("SecurityContext", "appArmorProfile", Ignored, "no profile is set"),
    row("SecurityContext", "procMount", Ignored, "always `Default`"),
    row("SecurityContext", "seLinuxOptions", Ignored, "no label is set"),
    row("SecurityContext", "windowsOptions", Ignored, "nodes run Linux"),
    row("ServiceSpec", "healthCheckNodePort", Ignored, "no port is served"),
    row("ServiceSpec", "ipFamilies", Different, "IPv4 only"),
    row("ServiceSpec", "ipFamilyPolicy", Different, "`SingleStack` only"),
    row(
        "ServiceSpec",
        "loadBalancerClass",
        Ignored,
        "there is no load balancer of ours",
    ),
    row(
        "ServiceSpec",
        "loadBalancerIP",
        Ignored,
        "there is no load balancer of ours",
    ),
    row(
        "ServiceSpec",
        "loadBalancerSourceRanges",
        Ignored,
        "there is no load balancer of ours",
    ),
    row("ServiceSpec", "trafficDistribution", Ignored, "all endpoints are alike"),
    row("Volume", "awsElasticBlockStore", Ignored, "no such volumes"),
    row("Volume", "azureDisk", Ignored, "no such volumes"),
    row("Volume", "azureFile", Ignored, "no such volumes"),
    row("Volume", "cephfs", Ignored, "no such volumes"),
    row("Volume", "cinder", Ignored, "no such volumes"),
    row("Volume", "csi", Ignored, "no such volumes"),
    row("Volume", "ephemeral", Ignored, "no such volumes"),
    row("Volume", "fc", Ignored, "no such volumes"),
    row("Volume", "flexVolume", Ignored, "no such volumes"),
    row("Volume", "flocker", Ignored, "no such volumes"),
    row("Volume", "gcePersistentDisk", Ignored, "no such volumes"),
    row("Volume", "gitRepo", Ignored, "no such volumes"),
    row("Volume", "glusterfs", Ignored, "no such volumes"),
    row("Volume", "image", Ignored, "no such volumes"),
    row("Volume", "iscsi", Ignored, "no such volumes"),
    row("Volume", "nfs", Ignored, "no such volumes"),
    row("Volume", "persistentVolumeClaim", Ignored, "no such volumes"),
    row("Volume", "photonPersistentDisk", Ignored, "no such volumes"),
    row("Volume", "portworxVolume", Ignored, "no such volumes"),
    row("Volume", "quobyte", Ignored, "no such volumes"),
    row("Volume", "rbd", Ignored, "no such volumes"),
    row("Volume", "scaleIO", Ignored, "no such volumes"),
    row("Volume", "storageos", Ignored, "no such volumes"),
    row("Volume", "vsphereVolume", Ignored, "no such volumes"),
    row(
        "VolumeMount",
        "recursiveReadOnly",
        Ignored,
        "mounts below are as they are",
    ),
];
