//! The rows of `resource.k8s.io`.

use super::{ROW, status};
use crate::{object::Scope, resource::Resource};

const GROUP: &str = "resource.k8s.io";
const RESOURCE_CLAIM: &str = "io.k8s.api.resource.v1.ResourceClaim";

pub(super) const ROWS: &[Resource] = &[
    Resource {
        group: GROUP,
        plural: "deviceclasses",
        singular: "deviceclass",
        kind: "DeviceClass",
        scope: Scope::Cluster,
        definition: "io.k8s.api.resource.v1.DeviceClass",
        counts_generation: true,
        ..ROW
    },
    Resource {
        group: GROUP,
        plural: "resourceclaims",
        singular: "resourceclaim",
        kind: "ResourceClaim",
        subresources: &[status(GROUP, "v1", "ResourceClaim", RESOURCE_CLAIM)],
        definition: RESOURCE_CLAIM,
        ..ROW
    },
    Resource {
        group: GROUP,
        plural: "resourceclaimtemplates",
        singular: "resourceclaimtemplate",
        kind: "ResourceClaimTemplate",
        definition: "io.k8s.api.resource.v1.ResourceClaimTemplate",
        ..ROW
    },
    Resource {
        group: GROUP,
        plural: "resourceslices",
        singular: "resourceslice",
        kind: "ResourceSlice",
        scope: Scope::Cluster,
        definition: "io.k8s.api.resource.v1.ResourceSlice",
        selectable_fields: &["spec.driver", "spec.nodeName"],
        counts_generation: true,
        ..ROW
    },
];
