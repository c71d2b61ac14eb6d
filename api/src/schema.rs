//! The fields of every type: what exists, of which type, under which protobuf tag, merged how.
//!
//! Never here: what values mean (`validation`) and what absent ones become (`defaulting`).
//! Source: the published definitions of Kubernetes v1.36, which `cargo xtask schema` turns into
//! `api/schema/definitions.json.gz`; the strict decoding of `sigs.k8s.io/json`, by behaviour.

mod check;
mod definitions;
mod prune;
mod strict;
mod types;
mod zero;

pub use check::TypeError;
pub(crate) use definitions::definitions_json;
use serde_json::Value;
pub(crate) use strict::DEPTH_MAX;
pub use strict::{ParseError, Parsed, parse_strict};
pub(crate) use types::{Field, ListType, MapType, Shape, Tag, TypeId, Types, types};

use crate::{custom::Custom, resource::Resource};

/// The fields that the kind does not have, as `unknown field "spec.foo"`, at most a hundred.
#[must_use]
pub fn check_fields(resource: &Resource, object: &Value) -> Vec<String> {
    if let Some(custom) = resource.custom {
        return custom.prune(&mut object.clone());
    }
    check_fields_of(resource.definition, object)
}

/// As [`check_fields`], for a type by its name, such as that of a subresource.
#[must_use]
pub fn check_fields_of(definition: &str, object: &Value) -> Vec<String> {
    types()
        .get(definition)
        .map_or_else(Vec::new, |root| check::unknown_fields(types(), root, object))
}

/// Checks that every known field has a value of its type.
///
/// # Errors
/// The first that has not, in the words of the Kubernetes decoder; the caller answers "bad request".
pub fn check_types(resource: &Resource, object: &Value) -> Result<(), TypeError> {
    if resource.custom.is_some() {
        return Custom::check_metadata(object);
    }
    check_types_of(resource.definition, object)
}

/// As [`check_types`], for a type by its name, such as that of a subresource.
///
/// # Errors
/// As [`check_types`].
pub fn check_types_of(definition: &str, object: &Value) -> Result<(), TypeError> {
    match types().get(definition) {
        Some(root) => check::types_agree(types(), root, object),
        None => Ok(()),
    }
}

/// Brings an object into the form that is stored: removes fields that the kind does not have, nulls, empty optional
/// strings, lists and maps, and zeros that mean "absent"; writes quantities canonically. Changes nothing when applied
/// again.
pub fn prune(resource: &Resource, object: &mut Value) {
    if let Some(custom) = resource.custom {
        custom.prune(object);
        return;
    }
    prune_of(resource.definition, object);
}

/// As [`prune`], for a type by its name, such as that of a subresource.
pub fn prune_of(definition: &str, object: &mut Value) {
    if let Some(root) = types().get(definition) {
        prune_type(root, object);
    }
}

/// As [`prune`], for a type of the table.
pub(crate) fn prune_type(root: TypeId, object: &mut Value) {
    prune::prune(types(), root, object);
}

#[cfg(test)]
mod tests;
