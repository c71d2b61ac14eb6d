//! The rows of `apps`.

use super::{ROW, SCALE, status};
use crate::resource::Resource;

const DAEMON_SET: &str = "io.k8s.api.apps.v1.DaemonSet";
const DEPLOYMENT: &str = "io.k8s.api.apps.v1.Deployment";
const REPLICA_SET: &str = "io.k8s.api.apps.v1.ReplicaSet";
const STATEFUL_SET: &str = "io.k8s.api.apps.v1.StatefulSet";

pub(super) const ROWS: &[Resource] = &[
    Resource {
        group: "apps",
        plural: "controllerrevisions",
        singular: "controllerrevision",
        kind: "ControllerRevision",
        definition: "io.k8s.api.apps.v1.ControllerRevision",
        ..ROW
    },
    Resource {
        group: "apps",
        plural: "daemonsets",
        singular: "daemonset",
        kind: "DaemonSet",
        short_names: &["ds"],
        categories: &["all"],
        subresources: &[status("apps", "v1", "DaemonSet", DAEMON_SET)],
        definition: DAEMON_SET,
        counts_generation: true,
        ..ROW
    },
    Resource {
        group: "apps",
        plural: "deployments",
        singular: "deployment",
        kind: "Deployment",
        short_names: &["deploy"],
        categories: &["all"],
        subresources: &[SCALE, status("apps", "v1", "Deployment", DEPLOYMENT)],
        definition: DEPLOYMENT,
        counts_generation: true,
        ..ROW
    },
    Resource {
        group: "apps",
        plural: "replicasets",
        singular: "replicaset",
        kind: "ReplicaSet",
        short_names: &["rs"],
        categories: &["all"],
        subresources: &[SCALE, status("apps", "v1", "ReplicaSet", REPLICA_SET)],
        definition: REPLICA_SET,
        selectable_fields: &["status.replicas"],
        counts_generation: true,
        ..ROW
    },
    Resource {
        group: "apps",
        plural: "statefulsets",
        singular: "statefulset",
        kind: "StatefulSet",
        short_names: &["sts"],
        categories: &["all"],
        subresources: &[SCALE, status("apps", "v1", "StatefulSet", STATEFUL_SET)],
        definition: STATEFUL_SET,
        counts_generation: true,
        ..ROW
    },
];
