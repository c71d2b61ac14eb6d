//! Merging three ways, and the difference of two objects as a merge patch. Pure.
//!
//! Source: Kubernetes API conventions, strategic merge (which lists have keys); RFC 7386 (JSON merge patch).

use serde_json::{Map, Value};

/// How elements of a list belong together across versions of an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ListKind {
    /// The list is one value.
    Atomic,
    /// Elements with equal values in these fields are the same element. A field's default stands for its absence.
    Keyed(&'static [(&'static str, &'static str)]),
    /// Elements are plain values; order does not matter.
    Set,
}

/// Lists that Kubernetes merges element by element, by the field they are in.
fn list_kind(field: &str, elements: &[Value]) -> ListKind {
    const NAME: &[(&str, &str)] = &[("name", "")];
    let has = |key: &str| elements.iter().all(|element| element.get(key).is_some());
    match field {
        "containers"
        | "initContainers"
        | "ephemeralContainers"
        | "env"
        | "volumes"
        | "imagePullSecrets"
        | "secrets"
        | "resourceClaims"
            if has("name") =>
        {
            ListKind::Keyed(NAME)
        }
        "ports" if has("containerPort") => ListKind::Keyed(&[("containerPort", ""), ("protocol", "TCP")]),
        "ports" if has("port") => ListKind::Keyed(&[("port", ""), ("protocol", "TCP")]),
        "volumeMounts" if has("mountPath") => ListKind::Keyed(&[("mountPath", "")]),
        "volumeDevices" if has("devicePath") => ListKind::Keyed(&[("devicePath", "")]),
        "hostAliases" if has("ip") => ListKind::Keyed(&[("ip", "")]),
        "conditions" if has("type") => ListKind::Keyed(&[("type", "")]),
        "ownerReferences" if has("uid") => ListKind::Keyed(&[("uid", "")]),
        "topologySpreadConstraints" if has("topologyKey") => {
            ListKind::Keyed(&[("topologyKey", ""), ("whenUnsatisfiable", "")])
        }
        "taints" if has("key") => ListKind::Keyed(&[("key", ""), ("effect", "")]),
        "finalizers" => ListKind::Set,
        _ => ListKind::Atomic,
    }
}

/// What there is, with what is wanted in it and without what was wanted before and is not any more.
pub(super) fn three_way(original: &Value, wanted: &Value, live: &Value) -> Value {
    merge_value("", original, wanted, live)
}

fn merge_value(field: &str, original: &Value, wanted: &Value, live: &Value) -> Value {
    match (wanted, live) {
        (Value::Object(wanted), Value::Object(live)) => merge_objects(original, wanted, live).into(),
        (Value::Array(wanted), Value::Array(live)) => {
            let original = original.as_array().map(Vec::as_slice).unwrap_or_default();
            let all: Vec<Value> = original.iter().chain(wanted).chain(live).cloned().collect();
            match list_kind(field, &all) {
                ListKind::Atomic => wanted.clone().into(),
                ListKind::Keyed(keys) => merge_keyed(keys, original, wanted, live).into(),
                ListKind::Set => merge_sets(original, wanted, live).into(),
            }
        }
        // There is no such thing yet, or one of another form.
        _ => without_nulls(wanted),
    }
}

fn merge_objects(original: &Value, wanted: &Map<String, Value>, live: &Map<String, Value>) -> Map<String, Value> {
    let mut merged = live.clone();
    for key in original.as_object().into_iter().flat_map(Map::keys) {
        if !wanted.contains_key(key) {
            merged.remove(key);
        }
    }
    for (key, value) in wanted {
        if value.is_null() {
            merged.remove(key);
            continue;
        }
        let live = live.get(key).unwrap_or(&Value::Null);
        merged.insert(key.clone(), merge_value(key, &original[key], value, live));
    }
    merged
}

fn merge_keyed(keys: &[(&str, &str)], original: &[Value], wanted: &[Value], live: &[Value]) -> Vec<Value> {
    let is_same = |one: &Value, two: &Value| {
        keys.iter()
            .all(|(key, default)| field_or(one, key, default) == field_or(two, key, default))
    };
    let find = |list: &[Value], element: &Value| list.iter().find(|other| is_same(other, element)).cloned();
    let mut coming = wanted.iter().map(|element| {
        let original = find(original, element).unwrap_or_default();
        let live = find(live, element).unwrap_or_default();
        merge_value("", &original, element, &live)
    });
    let mut merged = Vec::new();
    for element in live {
        if find(wanted, element).is_some() {
            // The places of elements that stay are filled in the wanted order.
            merged.extend(coming.next());
        } else if find(original, element).is_none() {
            merged.push(element.clone()); // Somebody else's.
        }
    }
    merged.extend(coming);
    merged
}

fn field_or(element: &Value, key: &str, default: &str) -> Value {
    match element.get(key) {
        None | Some(Value::Null) => default.into(),
        Some(value) => value.clone(),
    }
}

fn merge_sets(original: &[Value], wanted: &[Value], live: &[Value]) -> Vec<Value> {
    let stays = |element: &&Value| wanted.contains(element) || !original.contains(element);
    let mut merged: Vec<Value> = live.iter().filter(stays).cloned().collect();
    merged.extend(wanted.iter().filter(|element| !live.contains(element)).cloned());
    merged
}

/// A null says that a field is not wanted; in a new value there is nothing to remove.
fn without_nulls(value: &Value) -> Value {
    match value {
        Value::Object(map) => map
            .iter()
            .filter(|(_, value)| !value.is_null())
            .map(|(key, value)| (key.clone(), without_nulls(value)))
            .collect::<Map<_, _>>()
            .into(),
        Value::Array(items) => items.iter().map(without_nulls).collect(),
        other => other.clone(),
    }
}

/// The merge patch that makes `after` of `before`.
pub(super) fn difference(before: &Value, after: &Value) -> Value {
    let (Value::Object(before), Value::Object(after)) = (before, after) else {
        return after.clone();
    };
    let mut patch = Map::new();
    for key in before.keys().filter(|key| !after.contains_key(*key)) {
        patch.insert(key.clone(), Value::Null);
    }
    for (key, value) in after {
        match before.get(key) {
            Some(old) if old == value => {}
            Some(old @ Value::Object(_)) if value.is_object() => {
                patch.insert(key.clone(), difference(old, value));
            }
            Some(_) | None => {
                patch.insert(key.clone(), value.clone());
            }
        }
    }
    patch.into()
}

/// True for the patch that changes nothing.
pub(super) fn is_empty(patch: &Value) -> bool {
    patch.as_object().is_some_and(Map::is_empty)
}

#[cfg(test)]
mod tests;
