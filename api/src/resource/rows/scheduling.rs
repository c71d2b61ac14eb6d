//! The rows of `scheduling.k8s.io`.

use super::ROW;
use crate::{object::Scope, resource::Resource};

pub(super) const ROWS: &[Resource] = &[Resource {
    group: "scheduling.k8s.io",
    plural: "priorityclasses",
    singular: "priorityclass",
    kind: "PriorityClass",
    short_names: &["pc"],
    scope: Scope::Cluster,
    definition: "io.k8s.api.scheduling.v1.PriorityClass",
    counts_generation: true,
    ..ROW
}];
