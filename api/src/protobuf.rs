//! Request bodies in Kubernetes' protobuf encoding, as JSON in the stored form (see [`crate::schema::prune`]).
//!
//! Never here: encoding; answers are always JSON, which every client accepts.
//! Source: "Alternate representations of resources" in the API concepts; the tags are part of the schema.

mod message;
mod wire;

use serde_json::{Map, Value};

use self::{message::Decoder, wire::Fields};
use crate::{
    resource::api_version,
    schema::{prune_type, types},
};

/// What every body starts with.
const PREFIX: &[u8] = b"k8s\0";

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
    /// The bytes follow the encoding, but hold more than is accepted.
    #[error("protobuf message {0}")]
    TooBig(&'static str),
}

/// Decodes a body of any kind in the schema, also of kinds that are not served; the value carries `apiVersion` and
/// `kind`. Fields that are not known are skipped.
///
/// # Errors
/// When the bytes are malformed or of a kind that is not known; the caller answers "bad request".
pub fn decode(bytes: &[u8]) -> Result<(TypeMeta, Value), ProtobufError> {
    let envelope = bytes.strip_prefix(PREFIX).ok_or(ProtobufError::Prefix)?;
    let mut meta = TypeMeta::default();
    let mut raw: &[u8] = &[];
    for field in Fields::new(envelope) {
        let (tag, value) = field?;
        match tag {
            1 => meta = type_meta(value.bytes()?)?,
            2 => raw = value.bytes()?,
            // Encoding and type of the contents: empty for an object that is itself protobuf.
            3 | 4 if !value.bytes()?.is_empty() => {
                return Err(ProtobufError::Malformed("the contents are in another encoding"));
            }
            _ => {}
        }
    }
    let (group, version) = meta
        .api_version
        .rsplit_once('/')
        .unwrap_or(("", meta.api_version.as_str()));
    let Some(root) = types().by_kind(group, version, &meta.kind) else {
        return Err(ProtobufError::UnknownKind(meta));
    };
    let mut fields = Map::new();
    Decoder::new(types()).message(root, raw, &mut fields)?;
    fields.insert("apiVersion".to_owned(), Value::String(api_version(group, version)));
    fields.insert("kind".to_owned(), Value::String(meta.kind.clone()));
    let mut object = Value::Object(fields);
    prune_type(root, &mut object);
    Ok((meta, object))
}

fn type_meta(bytes: &[u8]) -> Result<TypeMeta, ProtobufError> {
    let mut meta = TypeMeta::default();
    for field in Fields::new(bytes) {
        match field? {
            (1, value) => value.text()?.clone_into(&mut meta.api_version),
            (2, value) => value.text()?.clone_into(&mut meta.kind),
            _ => {}
        }
    }
    Ok(meta)
}

#[cfg(test)]
mod tests;
