//! Raw JSON objects: reading their metadata, and the form in which they are stored and handed out.
//!
//! Stored bytes begin with `apiVersion`, `kind` and `metadata`, without `resourceVersion` and with `managedFields` in
//! front, so that handing one out with its revision, or without its managers, is a splice, not a decode.

use api::{conversion, resource::Resource};
use bytes::Bytes;
use serde_json::{Map, Value, json};

use crate::store::{Change, Revision, StoreKey, Stored};

use super::ApiError;

/// `metadata`; an empty map if the object has none.
pub fn metadata(object: &Value) -> &Map<String, Value> {
    static EMPTY: std::sync::LazyLock<Map<String, Value>> = std::sync::LazyLock::new(Map::new);
    object.get("metadata").and_then(Value::as_object).unwrap_or(&EMPTY)
}

/// `metadata`, made if it is missing or not an object.
pub fn metadata_mut(object: &mut Value) -> &mut Map<String, Value> {
    child_mut(object, "metadata")
}

/// The object at `field`, made if it is missing or not an object.
pub fn child_mut<'a>(object: &'a mut Value, field: &str) -> &'a mut Map<String, Value> {
    if !object.is_object() {
        *object = json!({});
    }
    let slot = &mut object[field];
    if !slot.is_object() {
        *slot = json!({});
    }
    slot.as_object_mut().expect("made an object just above")
}

/// A string of the metadata; empty if it is missing.
pub fn meta_str<'a>(object: &'a Value, field: &str) -> &'a str {
    metadata(object).get(field).and_then(Value::as_str).unwrap_or_default()
}

/// True if the object is marked for deletion.
pub fn is_terminating(object: &Value) -> bool {
    metadata(object)
        .get("deletionTimestamp")
        .is_some_and(|time| !time.is_null())
}

/// The object's finalizers.
pub fn finalizers(object: &Value) -> Vec<&str> {
    metadata(object)
        .get("finalizers")
        .and_then(Value::as_array)
        .map(|list| list.iter().filter_map(Value::as_str).collect())
        .unwrap_or_default()
}

/// The object as JSON, with its `resourceVersion`.
pub fn decode(stored: &Stored) -> Result<Value, ApiError> {
    let mut object: Value = serde_json::from_slice(&stored.value).map_err(|source| corrupt(&stored.key, source))?;
    set_revision(&mut object, stored.modified);
    Ok(object)
}

/// The object as the resource's version shows it, with its `resourceVersion`.
pub fn decode_as(resource: &Resource, stored: &Stored) -> Result<Value, ApiError> {
    let mut object = decode(stored)?;
    show_as(resource, &mut object);
    Ok(object)
}

/// Brings an object as it is stored into the form of the resource's version.
pub fn show_as(resource: &Resource, object: &mut Value) {
    if let Some(custom) = resource.custom {
        custom.show(&resource.api_version(), object);
    }
    conversion::from_stored(resource, object);
}

/// Whether objects are shown as they are stored: built-in kinds in the version they are kept in.
pub fn is_shown_as_stored(resource: &Resource) -> bool {
    resource.custom.is_none() && resource.stored_as.is_none()
}

/// The stored object as JSON bytes, as the resource's version shows it, with its `resourceVersion`.
pub fn bytes_as(resource: &Resource, stored: &Stored) -> Result<Bytes, ApiError> {
    if is_shown_as_stored(resource) {
        return Ok(bytes_with_revision(stored));
    }
    Ok(Bytes::from(decode_as(resource, stored)?.to_string()))
}

/// The bytes to store, see [`encode`]: of the version in which the kind's objects are stored.
pub fn encode_as(resource: &Resource, object: &Value) -> Bytes {
    match resource.custom {
        None => encode(object),
        Some(custom) => {
            let mut object = object.clone();
            object["apiVersion"] = json!(custom.storage_api_version());
            encode(&object)
        }
    }
}

/// Whether the object is stored in the version in which the kind's objects are stored now.
pub fn is_in_storage_version(resource: &Resource, stored: &Stored) -> bool {
    resource
        .custom
        .is_none_or(|custom| is_in_version(stored, custom.storage_api_version()))
}

/// Whether the object is stored in this version.
pub fn is_in_version(stored: &Stored, api_version: &str) -> bool {
    let head = format!("{{\"apiVersion\":\"{api_version}\",");
    stored.value.starts_with(head.as_bytes())
}

pub(super) fn corrupt(key: &StoreKey, source: serde_json::Error) -> ApiError {
    ApiError::Corrupt {
        key: format!("{} {}/{}", key.collection, key.namespace, key.name),
        source,
    }
}

/// Puts a revision into the metadata.
pub fn set_revision(object: &mut Value, revision: Revision) {
    metadata_mut(object).insert("resourceVersion".to_owned(), Value::String(revision.to_string()));
}

/// The revision of an object that the engine answered.
pub fn revision(object: &Value) -> Option<Revision> {
    meta_str(object, "resourceVersion").parse().ok()
}

/// The bytes to store: without `resourceVersion`, metadata near the front.
pub fn encode(object: &Value) -> Bytes {
    let mut out = Vec::with_capacity(1024);
    let mut first = true;
    let mut member = |out: &mut Vec<u8>, name: &str, value: &Value| {
        out.push(if first { b'{' } else { b',' });
        first = false;
        write_json(out, &Value::String(name.to_owned()));
        out.push(b':');
        write_json(out, value);
    };
    for name in ["apiVersion", "kind"] {
        if let Some(value) = object.get(name) {
            member(&mut out, name, value);
        }
    }
    member(&mut out, "metadata", &json!({}));
    // Open again, for the fields in their order.
    out.pop();
    let fields = metadata(object).iter();
    let (managers, rest): (Vec<_>, Vec<_>) = fields.partition(|(name, _)| *name == "managedFields");
    for (index, (name, value)) in managers
        .into_iter()
        .chain(rest)
        .filter(|(name, _)| *name != "resourceVersion")
        .enumerate()
    {
        if index > 0 {
            out.push(b',');
        }
        write_json(&mut out, &Value::String(name.clone()));
        out.push(b':');
        write_json(&mut out, value);
    }
    out.push(b'}');
    for (name, value) in object.as_object().into_iter().flatten() {
        if !matches!(name.as_str(), "apiVersion" | "kind" | "metadata") {
            member(&mut out, name, value);
        }
    }
    out.push(b'}');
    Bytes::from(out)
}

fn write_json(out: &mut Vec<u8>, value: &Value) {
    serde_json::to_writer(out, value).expect("a JSON value with string keys encodes into memory");
}

/// Appends the stored object with `resourceVersion` set to `revision`.
pub fn append_with_revision(out: &mut Vec<u8>, value: &[u8], revision: Revision) {
    let Some(at) = metadata_start(value) else {
        out.extend_from_slice(value);
        return;
    };
    out.extend_from_slice(&value[..at]);
    out.extend_from_slice(b"\"resourceVersion\":\"");
    out.extend_from_slice(revision.to_string().as_bytes());
    out.push(b'"');
    if value.get(at) != Some(&b'}') {
        out.push(b',');
    }
    out.extend_from_slice(&value[at..]);
}

/// Where the fields of the metadata begin.
fn metadata_start(value: &[u8]) -> Option<usize> {
    const METADATA: &[u8] = b"\"metadata\":{";
    // Only `apiVersion` and `kind` stand before it, and neither can hold a quote.
    let start = value.windows(METADATA.len()).position(|window| window == METADATA)?;
    Some(start + METADATA.len())
}

/// The stored object as JSON bytes with its `resourceVersion`.
pub fn bytes_with_revision(stored: &Stored) -> Bytes {
    let mut out = Vec::with_capacity(stored.value.len() + 40);
    append_with_revision(&mut out, &stored.value, stored.modified);
    Bytes::from(out)
}

/// As [`bytes_with_revision`], without `managedFields`: agents have no use for who owns what, and it is a good part of
/// an object.
pub fn bytes_for_agent(stored: &Stored) -> Vec<u8> {
    let value: &[u8] = &stored.value;
    let mut out = Vec::with_capacity(value.len() + 40);
    let start = metadata_start(value).filter(|start| value[*start..].starts_with(b"\"managedFields\":"));
    let Some(start) = start else {
        append_with_revision(&mut out, value, stored.modified);
        return out;
    };
    let end = start + list_length(&value[start..]);
    let end = if value.get(end) == Some(&b',') { end + 1 } else { end };
    let rest = [&value[..start], &value[end..]].concat();
    append_with_revision(&mut out, &rest, stored.modified);
    out
}

/// Bytes up to the end of the first list in this JSON text.
fn list_length(text: &[u8]) -> usize {
    let (mut depth, mut in_string, mut escaped) = (0_usize, false, false);
    for (index, byte) in text.iter().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            b'[' if !in_string => depth += 1,
            b']' if !in_string => {
                depth -= 1;
                if depth == 0 {
                    return index + 1;
                }
            }
            _ => {}
        }
    }
    text.len()
}

/// The object of a change with the change's revision: its new version or, if it went, its last one. Made once for all
/// who watch.
pub fn rendered(change: &Change) -> &Bytes {
    change.rendered(|change| {
        let version = change.after.as_ref().or(change.before.as_ref());
        let mut out = Vec::new();
        if let Some(stored) = version {
            out.reserve(stored.value.len() + 40);
            append_with_revision(&mut out, &stored.value, change.revision);
        }
        Bytes::from(out)
    })
}

/// A time as Kubernetes writes it: RFC 3339, UTC, whole seconds.
pub fn timestamp(at: api::Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

#[cfg(test)]
mod tests;
