//! Fields that every object has, and the paths of objects.

use serde_json::Value;

use super::discovery::ResourceType;

/// `metadata.name`, or "".
pub(crate) fn name(object: &Value) -> &str {
    object["metadata"]["name"].as_str().unwrap_or_default()
}

/// `metadata.namespace`, or "".
pub(crate) fn namespace(object: &Value) -> &str {
    object["metadata"]["namespace"].as_str().unwrap_or_default()
}

/// `metadata.uid`, or "".
pub(crate) fn uid(object: &Value) -> &str {
    object["metadata"]["uid"].as_str().unwrap_or_default()
}

/// `metadata.resourceVersion`, or "".
pub(crate) fn resource_version(object: &Value) -> &str {
    object["metadata"]["resourceVersion"].as_str().unwrap_or_default()
}

/// The elements of an array; none if the value is something else.
pub(crate) fn items(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}

/// A string, number or boolean as text; "" for anything else.
pub(crate) fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Number(number) => number.to_string(),
        Value::Bool(flag) => flag.to_string(),
        Value::Null | Value::Array(_) | Value::Object(_) => String::new(),
    }
}

/// `key=value` pairs of a map, in order.
pub(crate) fn pairs(map: &Value) -> Vec<String> {
    map.as_object()
        .into_iter()
        .flatten()
        .map(|(key, value)| format!("{key}={}", text(value)))
        .collect()
}

/// Path of a collection. `namespace` is ignored for what has none; None means all namespaces.
pub(crate) fn collection_path(resource: &ResourceType, namespace: Option<&str>) -> String {
    let root = if resource.group.is_empty() {
        format!("/api/{}", resource.version)
    } else {
        format!("/apis/{}/{}", resource.group, resource.version)
    };
    match namespace.filter(|_| resource.namespaced) {
        Some(namespace) => format!("{root}/namespaces/{}/{}", encoded(namespace), resource.plural),
        None => format!("{root}/{}", resource.plural),
    }
}

/// Path of one object.
pub(crate) fn object_path(resource: &ResourceType, namespace: &str, name: &str) -> String {
    format!("{}/{}", collection_path(resource, Some(namespace)), encoded(name))
}

/// Percent-encodes what may not stand in a part of a path or in a query's value.
pub(crate) fn encoded(text: &str) -> String {
    text.bytes()
        .fold(String::with_capacity(text.len()), |mut encoded, byte| {
            if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
                encoded.push(char::from(byte));
            } else {
                encoded.push_str(&format!("%{byte:02X}"));
            }
            encoded
        })
}

/// `?a=b&c=d`, or "" for no pairs.
pub(crate) fn query(parameters: &[(&str, String)]) -> String {
    let joined = parameters
        .iter()
        .map(|(key, value)| format!("{key}={}", encoded(value)))
        .collect::<Vec<_>>()
        .join("&");
    if joined.is_empty() {
        joined
    } else {
        format!("?{joined}")
    }
}
