//! The rows, a module for each API group, and what rows share.

use super::{Resource, Subresource};
use crate::object::Scope;

mod admissionregistration;
mod apiextensions;
mod apiregistration;
mod apps;
mod authentication;
mod authorization;
mod autoscaling;
mod batch;
mod certificates;
mod coordination;
mod core;
mod devices;
mod discovery;
mod events;
mod flowcontrol;
mod networking;
mod node;
mod policy;
mod rbac;
mod scheduling;
mod storage;

/// The rows of every group, the core group first, then by name.
pub(super) const GROUPS: &[&[Resource]] = &[
    core::ROWS,
    admissionregistration::ROWS,
    apiextensions::ROWS,
    apiregistration::ROWS,
    apps::ROWS,
    authentication::ROWS,
    authorization::ROWS,
    autoscaling::ROWS,
    batch::ROWS,
    certificates::ROWS,
    coordination::ROWS,
    discovery::ROWS,
    events::ROWS,
    flowcontrol::ROWS,
    networking::ROWS,
    node::ROWS,
    policy::ROWS,
    rbac::ROWS,
    devices::ROWS,
    scheduling::ROWS,
    storage::ROWS,
];

pub(crate) const ALL_VERBS: &[&str] = &[
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
/// What is only sent, and never kept.
const CREATE: &[&str] = &["create"];
/// What the server tells of itself.
const READ: &[&str] = &["get", "list"];
pub(crate) const READ_WRITE: &[&str] = &["get", "patch", "update"];

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

pub(crate) const SCALE: Subresource = Subresource {
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
    list_kind: "",
    short_names: &[],
    categories: &[],
    scope: Scope::Namespaced,
    verbs: ALL_VERBS,
    subresources: &[],
    definition: "",
    selectable_fields: &[],
    counts_generation: false,
    custom: None,
    stored_as: None,
    is_kept: true,
};

/// What rows of questions share.
const QUESTION: Resource = Resource {
    scope: Scope::Cluster,
    verbs: &["create"],
    is_kept: false,
    ..ROW
};
