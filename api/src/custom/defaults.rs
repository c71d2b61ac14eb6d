//! Filling in the defaults of a schema.
//!
//! Source: "Defaulting" in the documentation of CustomResourceDefinitions.

use serde_json::Value;

use super::schema::{Additional, Schema};

/// Fills in what is absent, or null where that may not be. Applying it twice changes nothing more.
pub(super) fn apply(schema: &Schema, value: &mut Value) {
    match value {
        Value::Object(fields) => {
            for (name, known) in &schema.properties {
                let Some(default) = &known.default else { continue };
                if fields.get(name).is_none_or(|value| known.refuses(value)) {
                    fields.insert(name.clone(), default.clone());
                }
            }
            for (name, value) in fields {
                match (schema.properties.get(name), &schema.additional) {
                    (Some(known), _) => apply(known, value),
                    (None, Additional::Of(known)) => element(known, value),
                    (None, Additional::Any | Additional::Absent) => {}
                }
            }
        }
        Value::Array(items) => {
            if let Some(known) = &schema.items {
                items.iter_mut().for_each(|item| element(known, item));
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

fn element(known: &Schema, value: &mut Value) {
    if known.refuses(value)
        && let Some(default) = &known.default
    {
        *value = default.clone();
    }
    apply(known, value);
}
