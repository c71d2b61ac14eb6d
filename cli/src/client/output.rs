//! The forms of `-o`.

use std::{fmt, str::FromStr};

use serde::Serialize;
use serde_json::{Value, json};

use super::{discovery::ResourceType, object};

/// How objects are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    Wide,
    Json,
    Yaml,
    Name,
}

impl FromStr for Format {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "wide" => Ok(Self::Wide),
            "json" => Ok(Self::Json),
            "yaml" => Ok(Self::Yaml),
            "name" => Ok(Self::Name),
            _ => Err("the forms are wide, json, yaml and name".to_owned()),
        }
    }
}

impl fmt::Display for Format {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Wide => "wide",
            Self::Json => "json",
            Self::Yaml => "yaml",
            Self::Name => "name",
        })
    }
}

/// Prints a document as JSON or YAML.
pub(crate) fn print_document(document: &Value, format: Format) -> anyhow::Result<()> {
    match format {
        Format::Yaml => out!("{}", serde_yaml_ng::to_string(document)?),
        Format::Json | Format::Wide | Format::Name => outln!("{}", indented_json(document)?),
    }
    Ok(())
}

/// JSON, moved in by four blanks as kubectl does it.
fn indented_json(document: &Value) -> anyhow::Result<String> {
    let mut bytes = Vec::new();
    let formatter = serde_json::ser::PrettyFormatter::with_indent(b"    ");
    document.serialize(&mut serde_json::Serializer::with_formatter(&mut bytes, formatter))?;
    Ok(String::from_utf8(bytes)?)
}

/// Several objects as one.
pub(crate) fn as_list(objects: Vec<Value>) -> Value {
    json!({"apiVersion": "v1", "kind": "List", "metadata": {"resourceVersion": ""}, "items": objects})
}

/// The object without who owns its fields, which nobody who reads an object looks for.
pub(crate) fn without_managers(mut object: Value) -> Value {
    if let Some(metadata) = object["metadata"].as_object_mut() {
        metadata.remove("managedFields");
    }
    object
}

/// What a command says about an object it changed: its name and what was done, or the object itself.
pub(crate) fn report(
    resource: &ResourceType,
    changed: &Value,
    done: &str,
    format: Option<Format>,
) -> anyhow::Result<()> {
    let name = format!("{}/{}", resource.singular_with_group(), object::name(changed));
    match format {
        Some(Format::Name) => outln!("{name}"),
        Some(format @ (Format::Json | Format::Yaml)) => print_document(&without_managers(changed.clone()), format)?,
        Some(Format::Wide) | None => outln!("{name} {done}"),
    }
    Ok(())
}
