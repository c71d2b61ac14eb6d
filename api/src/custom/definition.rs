//! From a CustomResourceDefinition to rows of the table.
//!
//! Rows live as long as the process, as those of the built-in kinds do; equal ones are one. So what is kept grows with
//! the number of different versions that were ever served, not with the number of changes to their definitions.

use std::{
    collections::HashMap,
    sync::{LazyLock, Mutex, PoisonError},
};

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::{Custom, columns, path::Path, scale::ScalePaths, schema::Schema};
use crate::{
    object::Scope,
    resource::{ALL_VERBS, READ_WRITE, Resource, SCALE, Subresource, api_version},
};

/// Most rows that a process makes: many times what the largest clusters define, and at some 100 kB for a large schema
/// still within a gigabyte.
pub const ROWS_MAX: usize = 8192;

/// The process has made as many rows as it may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the server has served {ROWS_MAX} different versions of custom resources; restart it to serve others")]
pub struct TooManyRows;

/// Whether the definition's kinds are to be served.
#[must_use]
pub fn is_established(definition: &Value) -> bool {
    definition["status"]["conditions"]
        .as_array()
        .into_iter()
        .flatten()
        .any(|condition| condition["type"] == "Established" && condition["status"] == "True")
}

/// The rows of the versions that an established definition serves, in its order.
///
/// # Errors
/// When [`ROWS_MAX`] rows have been made and these are new.
pub fn rows(definition: &Value) -> Result<Vec<&'static Resource>, TooManyRows> {
    let served = |version: &&Value| version["served"] == true;
    versions(definition)
        .filter(served)
        .map(|version| interned(definition, version))
        .collect()
}

/// The rows of all versions of an established definition, also of those that it does not serve: objects may be stored
/// in any.
///
/// # Errors
/// When [`ROWS_MAX`] rows have been made and these are new.
pub fn forms(definition: &Value) -> Result<Vec<&'static Resource>, TooManyRows> {
    versions(definition)
        .map(|version| interned(definition, version))
        .collect()
}

fn versions(definition: &Value) -> impl Iterator<Item = &Value> {
    definition["spec"]["versions"].as_array().into_iter().flatten()
}

fn interned(definition: &Value, version: &Value) -> Result<&'static Resource, TooManyRows> {
    static ROWS: LazyLock<Mutex<HashMap<[u8; 32], &'static Resource>>> = LazyLock::new(Mutex::default);
    let spec = &definition["spec"];
    let content = json!([
        spec["group"],
        spec["scope"],
        definition["status"]["acceptedNames"],
        storage_version(definition),
        version,
    ]);
    let key: [u8; 32] = Sha256::digest(content.to_string().as_bytes()).into();
    // A panic while a row is made leaves the map as it was.
    let mut rows = ROWS.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(row) = rows.get(&key) {
        return Ok(row);
    }
    if rows.len() >= ROWS_MAX {
        return Err(TooManyRows);
    }
    let row: &'static Resource = Box::leak(Box::new(row(definition, version)));
    rows.insert(key, row);
    Ok(row)
}

/// Name of the version in which objects are stored.
fn storage_version(definition: &Value) -> &str {
    versions(definition)
        .filter(|version| version["storage"] == true)
        .find_map(|version| version["name"].as_str())
        .unwrap_or_default()
}

fn row(definition: &Value, version: &Value) -> Resource {
    let spec = &definition["spec"];
    let names = &definition["status"]["acceptedNames"];
    let group = leaked(&spec["group"]);
    let name = leaked(&version["name"]);
    let kind = leaked(&names["kind"]);
    let declared = &version["schema"]["openAPIV3Schema"];
    let subresources = &version["subresources"];
    let warning = (version["deprecated"] == true).then(|| match version["deprecationWarning"].as_str() {
        Some(warning) => warning.to_owned(),
        None => format!("{group}/{name} {kind} is deprecated"),
    });
    let custom: &'static Custom = Box::leak(Box::new(Custom {
        storage_api_version: api_version(group, storage_version(definition)),
        schema: Schema::parse(declared),
        columns: columns::columns(version),
        scale: ScalePaths::parse(&subresources["scale"]),
        declared: declared.clone(),
        warning,
    }));
    let definition: &'static str = Box::leak(definition_name(group, name, kind).into_boxed_str());
    let mut parts: Vec<Subresource> = Vec::new();
    if custom.scale.is_some() {
        parts.push(SCALE);
    }
    if subresources["status"].is_object() {
        parts.push(Subresource {
            name: "status",
            group,
            version: name,
            kind,
            definition,
            verbs: READ_WRITE,
        });
    }
    Resource {
        group,
        version: name,
        plural: leaked(&names["plural"]),
        singular: leaked(&names["singular"]),
        kind,
        list_kind: leaked(&names["listKind"]),
        short_names: leaked_list(names["shortNames"].as_array().into_iter().flatten()),
        categories: leaked_list(names["categories"].as_array().into_iter().flatten()),
        scope: match spec["scope"].as_str() {
            Some("Cluster") => Scope::Cluster,
            _ => Scope::Namespaced,
        },
        verbs: ALL_VERBS,
        subresources: Box::leak(parts.into_boxed_slice()),
        definition,
        selectable_fields: selectable(version),
        counts_generation: true,
        stored_as: None,
        is_kept: true,
        custom: Some(custom),
    }
}

/// `com.example.v1.Widget`
fn definition_name(group: &str, version: &str, kind: &str) -> String {
    let mut parts: Vec<&str> = group.split('.').rev().collect();
    parts.extend([version, kind]);
    parts.join(".")
}

/// The fields that field selectors may name, as they name them: without the leading dot.
fn selectable(version: &Value) -> &'static [&'static str] {
    let mut fields: Vec<&'static str> = version["selectableFields"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|field| {
            let path = Path::parse(field["jsonPath"].as_str()?).ok()?;
            let joined: &'static str = Box::leak(path.fields()?.join(".").into_boxed_str());
            Some(joined)
        })
        .collect();
    fields.sort_unstable();
    Box::leak(fields.into_boxed_slice())
}

fn leaked(text: &Value) -> &'static str {
    match text.as_str() {
        None | Some("") => "",
        Some(text) => Box::leak(text.to_owned().into_boxed_str()),
    }
}

fn leaked_list<'a>(texts: impl Iterator<Item = &'a Value>) -> &'static [&'static str] {
    let list: Vec<&'static str> = texts.map(leaked).collect();
    Box::leak(list.into_boxed_slice())
}
