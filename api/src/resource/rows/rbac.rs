//! The rows of `rbac.authorization.k8s.io`.

use super::ROW;
use crate::{object::Scope, resource::Resource};

const GROUP: &str = "rbac.authorization.k8s.io";

pub(super) const ROWS: &[Resource] = &[
    Resource {
        group: GROUP,
        plural: "clusterrolebindings",
        singular: "clusterrolebinding",
        kind: "ClusterRoleBinding",
        scope: Scope::Cluster,
        definition: "io.k8s.api.rbac.v1.ClusterRoleBinding",
        ..ROW
    },
    Resource {
        group: GROUP,
        plural: "clusterroles",
        singular: "clusterrole",
        kind: "ClusterRole",
        scope: Scope::Cluster,
        definition: "io.k8s.api.rbac.v1.ClusterRole",
        ..ROW
    },
    Resource {
        group: GROUP,
        plural: "rolebindings",
        singular: "rolebinding",
        kind: "RoleBinding",
        definition: "io.k8s.api.rbac.v1.RoleBinding",
        ..ROW
    },
    Resource {
        group: GROUP,
        plural: "roles",
        singular: "role",
        kind: "Role",
        definition: "io.k8s.api.rbac.v1.Role",
        ..ROW
    },
];
