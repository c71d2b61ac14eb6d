//! The rows of `coordination.k8s.io`.

use super::ROW;
use crate::resource::Resource;

pub(super) const ROWS: &[Resource] = &[Resource {
    group: "coordination.k8s.io",
    plural: "leases",
    singular: "lease",
    kind: "Lease",
    definition: "io.k8s.api.coordination.v1.Lease",
    ..ROW
}];
