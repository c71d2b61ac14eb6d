//! The rows of `apps`.

use super::{ROW, SCALE, status};
use crate::resource::Resource;

const DEPLOYMENT: &str = "io.k8s.api.apps.v1.Deployment";
const REPLICA_SET: &str = "io.k8s.api.apps.v1.ReplicaSet";

pub(super) const ROWS: &[Resource] = &[
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
];
