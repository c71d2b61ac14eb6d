//! Patches: strategic merge, merge (RFC 7386) and JSON patch (RFC 6902), applied to raw JSON.
//!
//! Never here: preconditions such as `resourceVersion`, and what may be patched; the engine decides that.
//! Every patch is applied wholly or not at all.

mod json;
mod strategic;

pub use self::json::{json_merge, json_patch};
pub use self::strategic::strategic_merge;

/// A patch that cannot be applied.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PatchError {
    /// The patch itself is malformed: the caller answers "bad request".
    #[error("{0}")]
    Malformed(String),
    /// The patch does not fit the object: the caller answers "unprocessable entity".
    #[error("{0}")]
    Inapplicable(String),
    /// A test in the patch does not hold: the caller answers "unprocessable entity", or leaves the object as it is.
    #[error("{0}")]
    TestFailed(String),
}

/// Most operations in a JSON patch, as in Kubernetes.
pub const JSON_PATCH_OPERATIONS_MAX: usize = 10_000;
/// Most bytes that a JSON patch may copy and move, the object included: copying can double, and an object this big is
/// refused anyway.
pub const CARRIED_BYTES_MAX: usize = 8 << 20;
/// Most bytes that the lists of an object may shift while a JSON patch adds to them and removes from them: some tenths
/// of a second.
pub const SHIFTED_BYTES_MAX: usize = 2 << 30;

#[cfg(test)]
mod tests;
