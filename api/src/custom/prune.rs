//! Removing what a schema does not know, and nulls that stand for nothing.
//!
//! Source: "Field pruning" and "Defaulting and Nullable" in the documentation of CustomResourceDefinitions.

use serde_json::{Map, Value};

use super::schema::{Additional, Schema};
use crate::schema::{check_fields_of, prune_of};

/// Most unknown fields that are reported: enough to mend a file, and it bounds the answer.
const REPORTS_MAX: usize = 100;
/// The type of `metadata`.
pub(super) const METADATA: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta";
/// Fields that every object has, whatever its schema says.
const TYPE_FIELDS: [&str; 2] = ["apiVersion", "kind"];

/// Removes the fields that the schema does not know from an object of the kind; answers `unknown field "spec.a"` for
/// each, at most a hundred.
pub(super) fn unknown_fields(schema: &Schema, object: &mut Value) -> Vec<String> {
    let mut walk = Walk {
        path: String::new(),
        reports: Vec::new(),
    };
    if let Value::Object(fields) = object {
        walk.fields(schema, Place::Root, fields);
    }
    walk.reports
}

/// Removes nulls from fields that neither may be null nor have a default.
pub(super) fn nulls(schema: &Schema, value: &mut Value) {
    match value {
        Value::Object(fields) => {
            fields.retain(|name, value| {
                let Some(known) = schema.properties.get(name) else {
                    return true;
                };
                !(known.refuses(value) && known.default.is_none())
            });
            for (name, value) in fields {
                match (schema.properties.get(name), &schema.additional) {
                    (Some(known), _) => nulls(known, value),
                    (None, Additional::Of(known)) => nulls(known, value),
                    (None, Additional::Any | Additional::Absent) => {}
                }
            }
        }
        Value::Array(items) => {
            if let Some(known) = &schema.items {
                items.iter_mut().for_each(|item| nulls(known, item));
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// Whether an object has `apiVersion`, `kind` and `metadata` of its own.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Root,
    Inside,
}

struct Walk {
    path: String,
    reports: Vec<String>,
}

impl Walk {
    fn value(&mut self, schema: &Schema, value: &mut Value) {
        match value {
            Value::Object(fields) => self.fields(schema, Place::Inside, fields),
            Value::Array(items) => {
                let Some(known) = &schema.items else { return };
                let length = self.path.len();
                for (index, item) in items.iter_mut().enumerate() {
                    self.path.push_str(&format!("[{index}]"));
                    self.value(known, item);
                    self.path.truncate(length);
                }
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }

    fn fields(&mut self, schema: &Schema, place: Place, fields: &mut Map<String, Value>) {
        let length = self.path.len();
        let is_object = place == Place::Root || schema.embedded;
        fields.retain(|name, value| {
            if length > 0 {
                self.path.push('.');
            }
            self.path.push_str(name);
            let kept = if is_object && TYPE_FIELDS.contains(&name.as_str()) {
                true
            } else if is_object && name == "metadata" {
                self.metadata(value);
                true
            } else {
                self.field(schema, name, value)
            };
            if !kept && self.reports.len() < REPORTS_MAX {
                self.reports.push(format!("unknown field {:?}", self.path));
            }
            self.path.truncate(length);
            kept
        });
    }

    /// Whether the field is known, or unknown ones are kept.
    fn field(&mut self, schema: &Schema, name: &str, value: &mut Value) -> bool {
        match (schema.properties.get(name), &schema.additional) {
            (Some(known), _) => self.value(known, value),
            (None, Additional::Of(known)) => self.value(known, value),
            (None, Additional::Any) => {}
            (None, Additional::Absent) => return schema.preserves,
        }
        true
    }

    fn metadata(&mut self, metadata: &mut Value) {
        for report in check_fields_of(METADATA, metadata) {
            if self.reports.len() < REPORTS_MAX {
                let field = report.trim_start_matches("unknown field ").trim_matches('"');
                self.reports
                    .push(format!("unknown field {:?}", format!("{}.{field}", self.path)));
            }
        }
        prune_of(METADATA, metadata);
    }
}
