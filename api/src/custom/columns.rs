//! The columns that a version declares for tables.
//!
//! Source: `additionalPrinterColumns`; the table convertor of `apiextensions-apiserver`, by its output.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::path::Path;
use crate::table::since;

/// One column beside the name.
#[derive(Debug)]
pub(crate) struct Column {
    name: String,
    kind: String,
    format: String,
    description: String,
    priority: i64,
    path: Path,
}

/// The columns of a version; the age if it declares none.
pub(super) fn columns(version: &Value) -> Vec<Column> {
    let declared = version["additionalPrinterColumns"].as_array();
    match declared.filter(|list| !list.is_empty()) {
        Some(list) => list.iter().filter_map(column).collect(),
        None => column(&json!({
            "name": "Age",
            "type": "date",
            "jsonPath": ".metadata.creationTimestamp",
            "description": "Time since the object was created.",
        }))
        .into_iter()
        .collect(),
    }
}

fn column(declared: &Value) -> Option<Column> {
    let text = |field: &str| declared[field].as_str().unwrap_or_default().to_owned();
    let path = text("jsonPath");
    let description = match text("description") {
        none if none.is_empty() => format!("Custom resource definition column (in JSONPath format): {path}"),
        description => description,
    };
    Some(Column {
        name: text("name"),
        kind: text("type"),
        format: text("format"),
        description,
        priority: declared["priority"].as_i64().unwrap_or(0),
        path: Path::parse(&path).ok()?,
    })
}

impl Column {
    /// The column as tables declare it.
    pub(crate) fn definition(&self) -> Value {
        json!({
            "name": self.name,
            "type": self.kind,
            "format": self.format,
            "description": self.description,
            "priority": self.priority,
        })
    }

    /// The object's value in the column; null if it has none.
    pub(crate) fn cell(&self, object: &Value, now: Timestamp) -> Value {
        let Some(found) = self.path.first(object) else {
            return Value::Null;
        };
        match (self.kind.as_str(), found) {
            ("string", Value::String(_)) => found.clone(),
            ("string", Value::Null) => json!("<nil>"),
            ("string", other) => json!(other.to_string()),
            ("integer", Value::Number(number)) => {
                let whole = number.as_i64().or_else(|| number.as_f64().map(|number| number as i64));
                json!(whole)
            }
            ("number", Value::Number(_)) | ("boolean", Value::Bool(_)) => found.clone(),
            ("date", Value::String(_)) => json!(since(found, now)),
            _ => Value::Null,
        }
    }
}
