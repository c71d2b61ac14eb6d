//! Values as the expression language sees them: of the types that the schema gives them.
//!
//! Only fields that the schema knows are seen, under names that are identifiers of the language.
//! Source: "Available type conversions" and "Escaping" in the documentation of validation rules.

use std::{collections::HashMap, sync::Arc};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use chrono::{DateTime, FixedOffset};
use kube_cel::cel::{
    Value as Cel,
    objects::{Key, Map},
};
use serde_json::Value;

use super::super::schema::{Additional, Schema, ValueKind};

/// Words of the language, which no field can be called.
const RESERVED: [&str; 21] = [
    "as",
    "break",
    "const",
    "continue",
    "else",
    "false",
    "for",
    "function",
    "if",
    "import",
    "in",
    "let",
    "loop",
    "namespace",
    "null",
    "package",
    "return",
    "true",
    "var",
    "void",
    "while",
];
/// The fields of the metadata that rules may read.
const METADATA: [&str; 2] = ["generateName", "name"];

/// The value by its schema. Of a whole object, `apiVersion`, `kind` and the names in the metadata are seen too.
pub(super) fn to_cel(schema: &Schema, is_whole: bool, value: &Value) -> Cel {
    match value {
        Value::Object(fields) => {
            let is_map = !matches!(schema.additional, Additional::Absent);
            let mut entries = HashMap::with_capacity(fields.len());
            for (name, value) in fields {
                let seen = match (schema.properties.get(name), &schema.additional) {
                    _ if is_whole && name == "metadata" => names(value),
                    _ if is_whole && matches!(name.as_str(), "apiVersion" | "kind") => plain(value),
                    (Some(known), _) => to_cel(known, known.embedded, value),
                    (None, Additional::Of(known)) => to_cel(known, known.embedded, value),
                    (None, Additional::Any) => plain(value),
                    (None, Additional::Absent) => continue,
                };
                let name = if is_map { name.clone() } else { escaped(name) };
                entries.insert(key(&name), seen);
            }
            map(entries)
        }
        Value::Array(items) => {
            let item = |item: &Value| match &schema.items {
                Some(known) => to_cel(known, known.embedded, item),
                None => plain(item),
            };
            Cel::List(Arc::new(items.iter().map(item).collect()))
        }
        Value::Number(number) if schema.kind == Some(ValueKind::Number) => {
            Cel::Float(number.as_f64().unwrap_or_default())
        }
        Value::String(text) => formatted(&schema.limits.format, text).unwrap_or_else(|| plain(value)),
        Value::Null | Value::Bool(_) | Value::Number(_) => plain(value),
    }
}

/// A value of which no schema says anything: whole numbers are ints.
pub(crate) fn plain(value: &Value) -> Cel {
    match value {
        Value::Null => Cel::Null,
        Value::Bool(value) => Cel::Bool(*value),
        Value::Number(number) => match (number.as_i64(), number.as_f64()) {
            (Some(whole), _) => Cel::Int(whole),
            // A whole number with a fraction of zero is an int in JSON Schema.
            (None, Some(number)) => Cel::Float(number),
            (None, None) => Cel::Null,
        },
        Value::String(text) => Cel::String(Arc::new(text.clone())),
        Value::Array(items) => Cel::List(Arc::new(items.iter().map(plain).collect())),
        Value::Object(fields) => map(fields.iter().map(|(name, value)| (key(name), plain(value))).collect()),
    }
}

fn names(metadata: &Value) -> Cel {
    let seen = METADATA
        .iter()
        .filter_map(|name| Some((key(name), plain(metadata.get(*name)?))));
    map(seen.collect())
}

/// Formats that have a type of their own.
fn formatted(format: &str, text: &str) -> Option<Cel> {
    match format {
        "byte" => Some(Cel::Bytes(Arc::new(STANDARD.decode(text).ok()?))),
        "date" => time(&format!("{text}T00:00:00Z")),
        "date-time" | "datetime" => time(text),
        "duration" => {
            // The language parses durations itself; the text is checked and holds no quotes.
            let literal = format!("duration({text:?})");
            let program = super::Program::compile(&literal).ok()?;
            program.execute(&kube_cel::cel::Context::default()).ok()
        }
        _ => None,
    }
}

fn time(text: &str) -> Option<Cel> {
    let time: DateTime<FixedOffset> = DateTime::parse_from_rfc3339(text).ok()?;
    Some(Cel::Timestamp(time))
}

fn key(name: &str) -> Key {
    Key::String(Arc::new(name.to_owned()))
}

fn map(entries: HashMap<Key, Cel>) -> Cel {
    Cel::Map(Map { map: Arc::new(entries) })
}

/// The field's name as an identifier: `x-prop` is `x__dash__prop`.
fn escaped(name: &str) -> String {
    if RESERVED.contains(&name) {
        return format!("__{name}__");
    }
    name.replace("__", "__underscores__")
        .replace('.', "__dot__")
        .replace('-', "__dash__")
        .replace('/', "__slash__")
}
