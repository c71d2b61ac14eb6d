//! Columns, and access to the fields that fill them.

use jiff::Timestamp;
use serde_json::{Map, Value, json};

/// How a kind is printed.
pub(super) struct Printer {
    pub(super) columns: &'static [Column],
    /// One value per column.
    pub(super) cells: fn(&Value, Timestamp) -> Vec<Value>,
    /// What is to be said of a row as a whole.
    pub(super) condition: fn(&Value) -> Option<Value>,
}

impl Printer {
    pub(super) const fn new(columns: &'static [Column], cells: fn(&Value, Timestamp) -> Vec<Value>) -> Printer {
        Printer {
            columns,
            cells,
            condition: |_| None,
        }
    }
}

/// One column.
pub(super) struct Column {
    name: &'static str,
    kind: &'static str,
    format: &'static str,
    /// 0 is always shown, 1 only with `-o wide`.
    priority: u8,
    description: &'static str,
}

impl Column {
    pub(super) fn definition(&self) -> Value {
        json!({
            "name": self.name,
            "type": self.kind,
            "format": self.format,
            "description": self.description,
            "priority": self.priority,
        })
    }
}

pub(super) const fn column(name: &'static str, kind: &'static str, priority: u8) -> Column {
    Column {
        name,
        kind,
        format: "",
        priority,
        description: "",
    }
}

pub(super) const NAME: Column = Column {
    name: "Name",
    kind: "string",
    format: "name",
    priority: 0,
    description: "Name of the object, unique within its namespace.",
};
pub(super) const AGE: Column = Column {
    name: "Age",
    kind: "string",
    format: "",
    priority: 0,
    description: "Time since the object was created.",
};

/// The text at a path; empty if there is none.
pub(super) fn text<'a>(item: &'a Value, pointer: &str) -> &'a str {
    item.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

/// The text at a path, or what stands for none.
pub(super) fn text_or(item: &Value, pointer: &str, none: &str) -> Value {
    match text(item, pointer) {
        "" => json!(none),
        text => json!(text),
    }
}

/// The number at a path; zero if there is none.
pub(super) fn number(item: &Value, pointer: &str) -> i64 {
    item.pointer(pointer).and_then(Value::as_i64).unwrap_or(0)
}

/// The quantity at a path, as it is written; empty if there is none.
pub(super) fn quantity(item: &Value, pointer: &str) -> String {
    match item.pointer(pointer) {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Number(number)) => number.to_string(),
        _ => String::new(),
    }
}

/// The items of the list at a path.
pub(super) fn list<'a>(item: &'a Value, pointer: &str) -> &'a [Value] {
    item.pointer(pointer)
        .and_then(Value::as_array)
        .map_or(&[], Vec::as_slice)
}

/// The object at a path.
pub(super) fn map<'a>(item: &'a Value, pointer: &str) -> Option<&'a Map<String, Value>> {
    item.pointer(pointer).and_then(Value::as_object)
}

/// The texts of a list, joined by commas.
pub(super) fn joined<'a>(texts: impl Iterator<Item = &'a str>) -> String {
    texts.collect::<Vec<_>>().join(",")
}

/// `a=1,b=2`, or `<none>`.
pub(super) fn labels(labels: Option<&Map<String, Value>>) -> String {
    match labels {
        Some(labels) if !labels.is_empty() => labels
            .iter()
            .map(|(key, value)| format!("{key}={}", value.as_str().unwrap_or_default()))
            .collect::<Vec<_>>()
            .join(","),
        _ => "<none>".to_owned(),
    }
}
