//! The rows of `node.k8s.io`.

use super::ROW;
use crate::{object::Scope, resource::Resource};

pub(super) const ROWS: &[Resource] = &[Resource {
    group: "node.k8s.io",
    plural: "runtimeclasses",
    singular: "runtimeclass",
    kind: "RuntimeClass",
    scope: Scope::Cluster,
    definition: "io.k8s.api.node.v1.RuntimeClass",
    ..ROW
}];
