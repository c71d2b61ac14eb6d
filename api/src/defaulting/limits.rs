//! Defaults of limit ranges.

use serde_json::{Map, Value, json};

use super::fields::{child, items};

/// What a container may have at most is also what it has unless it says; what it has it also requests; what it needs
/// at least it requests if nothing else is known.
pub(super) fn range(object: &mut Map<String, Value>) {
    let Some(spec) = child(object, "spec") else { return };
    for limit in items(spec, "limits") {
        if limit.get("type").and_then(Value::as_str) != Some("Container") {
            continue;
        }
        for (from, to) in [
            ("max", "default"),
            ("default", "defaultRequest"),
            ("min", "defaultRequest"),
        ] {
            fill(limit, from, to);
        }
    }
}

/// Gives `to` the entries of `from` that it does not have.
fn fill(limit: &mut Map<String, Value>, from: &str, to: &str) {
    let Some(Value::Object(given)) = limit.get(from).cloned() else {
        return;
    };
    if given.is_empty() {
        return;
    }
    let filled = limit.entry(to).or_insert_with(|| json!({}));
    if let Some(filled) = filled.as_object_mut() {
        for (name, quantity) in given {
            filled.entry(name).or_insert(quantity);
        }
    }
}
