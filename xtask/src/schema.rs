//! `cargo xtask schema`: writes `api/schema/definitions.json.gz` from public definitions.
//!
//! Inputs: the JSON definitions of Kubernetes (`_definitions.json` of the PyPI package `kubernetes-validate`) and the
//! sources of the crate `k8s-pb`, which carry the protobuf tags. Output: the definitions as OpenAPI 3 schemas, each
//! property with `x-skep-tag` and each definition with the fields of embedded messages in `x-skep-inline`.
//! Run by hand when the Kubernetes version moves; the output is checked in.

use std::{
    collections::BTreeMap,
    fs,
    io::Write,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail};
use clap::Args;
use flate2::{Compression, GzBuilder};
use serde_json::{Map, Value, json};

/// Where the inputs are and where the output goes.
#[derive(Debug, Args)]
pub struct SchemaArguments {
    /// `_definitions.json` of `kubernetes-validate`.
    #[arg(long)]
    definitions: PathBuf,
    /// `src` of the crate `k8s-pb`.
    #[arg(long)]
    protos: PathBuf,
    /// The file to write.
    #[arg(long, default_value = "api/schema/definitions.json.gz")]
    output: PathBuf,
}

/// A message's fields: Rust name, tag, and the message type if the field is one message.
type Message = Vec<(String, u32, Option<String>)>;

/// Reads both inputs and writes the output.
///
/// # Errors
/// When an input cannot be read or is not of the expected form.
pub fn run(arguments: &SchemaArguments) -> Result<()> {
    let text = fs::read_to_string(&arguments.definitions)
        .with_context(|| format!("read {}", arguments.definitions.display()))?;
    let root: Value = serde_json::from_str(&text)?;
    let Some(definitions) = root["$defs"].as_object() else {
        bail!("{} has no $defs", arguments.definitions.display());
    };
    let mut messages = BTreeMap::new();
    read_messages(&arguments.protos, &arguments.protos, &mut messages)?;
    let mut output = Map::new();
    for (name, definition) in definitions {
        let mut definition = normalise(definition);
        annotate(name, &mut definition, &messages);
        output.insert(name.clone(), definition);
    }
    if let Some(parent) = arguments.output.parent() {
        fs::create_dir_all(parent)?;
    }
    let file = fs::File::create(&arguments.output)?;
    let mut gzip = GzBuilder::new().mtime(0).write(file, Compression::best());
    gzip.write_all(&serde_json::to_vec(&Value::Object(output))?)?;
    gzip.finish()?;
    println!("wrote {}", arguments.output.display());
    Ok(())
}

/// Turns the JSON-schema dialect of the input into OpenAPI 3: one type, local references, no null.
fn normalise(value: &Value) -> Value {
    match value {
        Value::Object(fields) => {
            let mut result = Map::new();
            for (key, inner) in fields {
                match (key.as_str(), inner) {
                    ("type", Value::Array(types)) => {
                        if let Some(kind) = types.iter().find(|kind| *kind != "null") {
                            result.insert(key.clone(), kind.clone());
                        }
                    }
                    ("$ref", Value::String(target)) => {
                        let target = target.replace("#/$defs/", "#/components/schemas/");
                        result.insert(key.clone(), json!(target));
                    }
                    ("properties", Value::Object(properties)) => {
                        let properties: Map<String, Value> = properties
                            .iter()
                            .map(|(name, property)| (name.clone(), normalise(property)))
                            .collect();
                        result.insert(key.clone(), Value::Object(properties));
                    }
                    ("enum", Value::Array(values)) if values.len() == 1 => {}
                    ("enum", Value::Array(values)) => {
                        let values: Vec<&Value> = values.iter().filter(|value| !value.is_null()).collect();
                        result.insert(key.clone(), json!(values));
                    }
                    _ => {
                        result.insert(key.clone(), normalise(inner));
                    }
                }
            }
            Value::Object(result)
        }
        Value::Array(items) => Value::Array(items.iter().map(normalise).collect()),
        other => other.clone(),
    }
}

/// Adds tags to the properties of one definition.
fn annotate(name: &str, definition: &mut Value, messages: &BTreeMap<String, Message>) {
    let Some(message) = messages.get(&name.trim_start_matches("io.k8s.").to_lowercase()) else {
        return;
    };
    let Some(properties) = definition["properties"].as_object_mut() else {
        return;
    };
    let by_lowercase: BTreeMap<String, String> = properties
        .keys()
        .map(|key| (key.to_lowercase().replace('$', ""), key.clone()))
        .collect();
    let mut inline = Vec::new();
    for (field, tag, inner) in message {
        if let Some(property) = by_lowercase.get(field) {
            properties[property]["x-skep-tag"] = json!(tag);
            continue;
        }
        let Some(embedded) = inner.as_ref().and_then(|inner| messages.get(inner)) else {
            continue;
        };
        let fields: Map<String, Value> = embedded
            .iter()
            .filter_map(|(field, tag, _)| Some((tag.to_string(), json!(by_lowercase.get(field)?))))
            .collect();
        inline.push(json!({ "tag": tag, "fields": fields }));
    }
    if !inline.is_empty() {
        definition["x-skep-inline"] = Value::Array(inline);
    }
}

/// Reads the structs of all modules below `folder`; a message's name is its lower-case path below the root.
fn read_messages(root: &Path, folder: &Path, messages: &mut BTreeMap<String, Message>) -> Result<()> {
    for entry in fs::read_dir(folder).with_context(|| format!("read {}", folder.display()))? {
        let path = entry?.path();
        if path.is_dir() {
            read_messages(root, &path, messages)?;
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let module = path.parent().unwrap_or(root).strip_prefix(root)?;
            let module: Vec<String> = module
                .components()
                .map(|part| part.as_os_str().to_string_lossy().replace('_', "-").to_lowercase())
                .collect();
            read_module(&module, &fs::read_to_string(&path)?, messages);
        }
    }
    Ok(())
}

fn read_module(module: &[String], source: &str, messages: &mut BTreeMap<String, Message>) {
    let mut current: Option<(String, Message)> = None;
    let mut tag: Option<u32> = None;
    let mut pending = String::new();
    for line in source.lines() {
        let line = line.trim();
        if let Some(name) = line
            .strip_prefix("pub struct ")
            .and_then(|rest| rest.strip_suffix(" {"))
        {
            current = Some((name.to_lowercase(), Message::new()));
        } else if let Some(attribute) = line.strip_prefix("#[prost(") {
            tag = attribute
                .split("tag = \"")
                .nth(1)
                .and_then(|rest| rest.split('"').next())
                .and_then(|digits| digits.parse().ok());
        } else if line == "}" {
            if let Some((name, message)) = current.take() {
                messages.insert(format!("{}.{name}", module.join(".")), message);
            }
        } else if let (Some((_, message)), Some(number)) = (&mut current, tag) {
            pending.push_str(line);
            if !pending.ends_with(',') {
                continue;
            }
            if let Some((name, kind)) = pending.trim_start_matches("pub ").split_once(':') {
                let name = name.trim_start_matches("r#").replace('_', "").to_lowercase();
                message.push((name, number, message_type(module, kind)));
            }
            pending.clear();
            tag = None;
        }
    }
}

/// The lower-case name of the message in `Option<path::Message>`, relative paths resolved.
fn message_type(module: &[String], kind: &str) -> Option<String> {
    let path = kind
        .trim()
        .split("Option<")
        .nth(1)?
        .trim_end_matches(',')
        .trim_end_matches('>');
    if path.starts_with("::") || !path.chars().last()?.is_alphanumeric() {
        return None;
    }
    let mut resolved = module.to_vec();
    for part in path.split("::") {
        match part {
            "super" => {
                resolved.pop();
            }
            part => resolved.push(part.replace('_', "-").to_lowercase()),
        }
    }
    Some(resolved.join("."))
}
