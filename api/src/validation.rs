//! What an object of a kind must look like to be accepted, with Kubernetes' field paths and messages.
//!
//! Never here: what depends on other objects (admission, allocation) or on who asks. Types are checked before, by
//! `schema`; a value of the wrong type is treated here as absent.
//! Source: `pkg/apis/*/validation` of Kubernetes, by behaviour; the API reference.

mod error;
pub mod names;

pub use error::{ErrorKind, FieldError};
use serde_json::Value;

use crate::resource::Resource;

/// Everything that forbids creating the object, in the order of the fields. Call after defaulting.
#[must_use]
pub fn validate_create(_resource: &Resource, _object: &Value) -> Vec<FieldError> {
    Vec::new()
}

/// Everything that forbids replacing `old` by `new`, in the order of the fields. Call after defaulting.
#[must_use]
pub fn validate_update(_resource: &Resource, _new: &Value, _old: &Value) -> Vec<FieldError> {
    Vec::new()
}
