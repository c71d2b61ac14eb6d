//! One step of a path, in its serialised form: `f:replicas`, `k:{"name":"web"}`, `v:"x"`, `i:0`.
//!
//! Two steps are the same if their text is, so text is only ever made here: compact JSON, keys sorted.

use std::fmt::Write as _;

use serde_json::{Map, Value};

/// The step into a field of a struct or a key of a map.
pub(super) fn field(name: &str) -> String {
    format!("f:{name}")
}

/// The step into the item of a keyed list.
pub(super) fn key(keys: Map<String, Value>) -> String {
    let sorted: std::collections::BTreeMap<String, Value> = keys.into_iter().collect();
    let text = serde_json::to_string(&sorted).expect("a JSON value with string keys encodes into memory");
    format!("k:{text}")
}

/// The step into the item of a set.
pub(super) fn value(value: &Value) -> String {
    format!("v:{value}")
}

/// The name, if the step goes into a field.
pub(super) fn field_name(element: &str) -> Option<&str> {
    element.strip_prefix("f:")
}

/// Whether the step goes into an item of a list.
pub(super) fn is_item(element: &str) -> bool {
    !element.starts_with("f:")
}

/// A step that somebody else wrote, in the form made here.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Canonical {
    /// The step.
    Known(String),
    /// Of a sort that is not known: from a later version, to be dropped.
    Unknown,
    /// No step at all.
    Malformed,
}

pub(super) fn canonical(text: &str) -> Canonical {
    let Some((sort, rest)) = text.split_once(':').filter(|(sort, _)| sort.chars().count() == 1) else {
        return Canonical::Malformed;
    };
    match sort {
        "f" => Canonical::Known(text.to_owned()),
        "k" => match serde_json::from_str(rest) {
            Ok(Value::Object(keys)) => Canonical::Known(key(keys)),
            _ => Canonical::Malformed,
        },
        "v" => match serde_json::from_str(rest) {
            Ok(scalar) => Canonical::Known(value(&scalar)),
            Err(_) => Canonical::Malformed,
        },
        "i" => match rest.parse::<u64>() {
            Ok(index) => Canonical::Known(format!("i:{index}")),
            Err(_) => Canonical::Malformed,
        },
        _ => Canonical::Unknown,
    }
}

/// Appends the step as messages show it: `.replicas`, `[name="web"]`, `[="x"]`, `[0]`.
pub(super) fn show(element: &str, out: &mut String) {
    let parsed = |text: &str| serde_json::from_str::<Value>(text).unwrap_or_default();
    match element.split_once(':') {
        Some(("f", name)) => {
            out.push('.');
            out.push_str(name);
        }
        Some(("k", text)) => {
            let mut separator = '[';
            for (name, value) in parsed(text).as_object().into_iter().flatten() {
                write!(out, "{separator}{name}={value}").expect("writing into memory cannot fail");
                separator = ',';
            }
            out.push(']');
        }
        Some(("v", text)) => {
            write!(out, "[={text}]").expect("writing into memory cannot fail");
        }
        _ => {
            write!(out, "[{}]", element.trim_start_matches("i:")).expect("writing into memory cannot fail");
        }
    }
}
