//! The rows of `discovery.k8s.io`.

use super::ROW;
use crate::resource::Resource;

pub(super) const ROWS: &[Resource] = &[Resource {
    group: "discovery.k8s.io",
    plural: "endpointslices",
    singular: "endpointslice",
    kind: "EndpointSlice",
    definition: "io.k8s.api.discovery.v1.EndpointSlice",
    counts_generation: true,
    ..ROW
}];
