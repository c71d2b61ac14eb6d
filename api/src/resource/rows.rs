//! The rows, a module for each API group, and what rows share.

use super::{Resource, Subresource};
use crate::object::Scope;

mod apps;
mod authentication;
mod authorization;
mod coordination;
mod core;
mod discovery;
mod rbac;

/// The rows of every group, the core group first, then by name.
pub(super) const GROUPS: &[&[Resource]] = &[
    core::ROWS,
    apps::ROWS,
    authentication::ROWS,
    authorization::ROWS,
    coordination::ROWS,
    discovery::ROWS,
    rbac::ROWS,
];

const ALL_VERBS: &[&str] = &[
    "create",
    "delete",
    "deletecollection",
    "get",
    "list",
    "patch",
    "update",
    "watch",
];
/// Namespaces go one by one, each through its own life cycle.
const NO_COLLECTION_DELETE: &[&str] = &["create", "delete", "get", "list", "patch", "update", "watch"];
const READ_WRITE: &[&str] = &["get", "patch", "update"];

/// The `status` path of a kind.
const fn status(
    group: &'static str,
    version: &'static str,
    kind: &'static str,
    definition: &'static str,
) -> Subresource {
    Subresource {
        name: "status",
        group,
        version,
        kind,
        definition,
        verbs: READ_WRITE,
    }
}

const SCALE: Subresource = Subresource {
    name: "scale",
    group: "autoscaling",
    version: "v1",
    kind: "Scale",
    definition: "io.k8s.api.autoscaling.v1.Scale",
    verbs: READ_WRITE,
};

/// What most rows share; a row names what differs.
const ROW: Resource = Resource {
    group: "",
    version: "v1",
    plural: "",
    singular: "",
    kind: "",
    short_names: &[],
    categories: &[],
    scope: Scope::Namespaced,
    verbs: ALL_VERBS,
    subresources: &[],
    definition: "",
    selectable_fields: &[],
    counts_generation: false,
    stored: true,
};

/// What rows of questions share.
const QUESTION: Resource = Resource {
    scope: Scope::Cluster,
    verbs: &["create"],
    stored: false,
    ..ROW
};
