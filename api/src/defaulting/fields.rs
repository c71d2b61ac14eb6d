//! Access to fields of raw JSON objects for filling in defaults.

use serde_json::{Map, Value};

/// Sets a field that is absent, null or an empty string.
pub(super) fn set_default(object: &mut Map<String, Value>, field: &str, value: impl Into<Value>) {
    match object.get(field) {
        Some(Value::Null) | None => {}
        Some(Value::String(text)) if text.is_empty() => {}
        Some(_) => return,
    }
    object.insert(field.to_owned(), value.into());
}

/// Sets a field that is absent, null or zero.
pub(super) fn set_default_number(object: &mut Map<String, Value>, field: &str, value: i64) {
    if object
        .get(field)
        .is_none_or(|given| given.is_null() || given.as_i64() == Some(0))
    {
        object.insert(field.to_owned(), value.into());
    }
}

/// The object in a field.
pub(super) fn child<'a>(object: &'a mut Map<String, Value>, field: &str) -> Option<&'a mut Map<String, Value>> {
    object.get_mut(field)?.as_object_mut()
}

/// The objects in a field that holds a list.
pub(super) fn items<'a>(
    object: &'a mut Map<String, Value>,
    field: &str,
) -> impl Iterator<Item = &'a mut Map<String, Value>> {
    object
        .get_mut(field)
        .and_then(Value::as_array_mut)
        .into_iter()
        .flatten()
        .filter_map(Value::as_object_mut)
}

/// The text in a field; empty if there is none.
pub(super) fn text<'a>(object: &'a Map<String, Value>, field: &str) -> &'a str {
    object.get(field).and_then(Value::as_str).unwrap_or_default()
}
