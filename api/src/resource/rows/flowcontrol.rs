//! The rows of `flowcontrol.apiserver.k8s.io`.

use super::{ROW, status};
use crate::{object::Scope, resource::Resource};

const GROUP: &str = "flowcontrol.apiserver.k8s.io";
const FLOW_SCHEMA: &str = "io.k8s.api.flowcontrol.v1.FlowSchema";
const PRIORITY_LEVEL: &str = "io.k8s.api.flowcontrol.v1.PriorityLevelConfiguration";

pub(super) const ROWS: &[Resource] = &[
    Resource {
        group: GROUP,
        plural: "flowschemas",
        singular: "flowschema",
        kind: "FlowSchema",
        scope: Scope::Cluster,
        subresources: &[status(GROUP, "v1", "FlowSchema", FLOW_SCHEMA)],
        definition: FLOW_SCHEMA,
        counts_generation: true,
        ..ROW
    },
    Resource {
        group: GROUP,
        plural: "prioritylevelconfigurations",
        singular: "prioritylevelconfiguration",
        kind: "PriorityLevelConfiguration",
        scope: Scope::Cluster,
        subresources: &[status(GROUP, "v1", "PriorityLevelConfiguration", PRIORITY_LEVEL)],
        definition: PRIORITY_LEVEL,
        counts_generation: true,
        ..ROW
    },
];
