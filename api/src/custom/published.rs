//! The schemas of custom kinds as OpenAPI documents show them.
//!
//! Source: `apiextensions-apiserver/pkg/controller/openapi`, by its output.

use serde_json::{Map, Value, json};

use super::{Custom, prune::METADATA};
use crate::resource::Resource;

/// The type of a list's `metadata`.
const LIST_METADATA: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.ListMeta";
const API_VERSION: &str = "APIVersion defines the versioned schema of this representation of an object. Servers should \
                           convert recognized schemas to the latest internal value, and may reject unrecognized values.";
const KIND: &str = "Kind is a string value representing the REST resource this object represents. Servers may infer \
                    this from the endpoint the client submits requests to.";

/// Which generation of the format a document has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    /// Swagger 2.0: no alternatives, no null, no defaults.
    V2,
    /// OpenAPI 3.
    V3,
}

/// The definitions of a row of a custom kind, by name, and the names of built-in ones that they refer to.
pub(crate) fn definitions(row: &Resource, custom: &Custom, format: Format) -> (Vec<(String, Value)>, Vec<String>) {
    let mut object = custom.declared.clone();
    if format == Format::V2 {
        simplify(&mut object);
    }
    if !object.is_object() {
        object = json!({});
    }
    let keeps_all = object["x-kubernetes-preserve-unknown-fields"] == true && format == Format::V2;
    object["type"] = json!("object");
    if !keeps_all {
        let properties = object_at(&mut object, "properties");
        properties.insert("apiVersion".to_owned(), described(API_VERSION));
        properties.insert("kind".to_owned(), described(KIND));
        let description = "Standard object's metadata.";
        properties.insert("metadata".to_owned(), referring(METADATA, description));
    }
    object["x-kubernetes-group-version-kind"] = kind(row, row.kind);
    let list = json!({
        "description": format!("{} is a list of {}", row.list_kind(), row.kind),
        "type": "object",
        "required": ["items"],
        "properties": {
            "apiVersion": described(API_VERSION),
            "kind": described(KIND),
            "metadata": referring(LIST_METADATA, "Standard list metadata."),
            "items": {
                "description": format!("List of {}.", row.plural),
                "type": "array",
                "items": { "$ref": reference(row.definition) },
            },
        },
        "x-kubernetes-group-version-kind": kind(row, &row.list_kind()),
    });
    let named = vec![
        (row.definition.to_owned(), object),
        (format!("{}List", row.definition), list),
    ];
    (named, vec![METADATA.to_owned(), LIST_METADATA.to_owned()])
}

fn kind(row: &Resource, kind: &str) -> Value {
    json!([{ "group": row.group, "version": row.version, "kind": kind }])
}

fn described(description: &str) -> Value {
    json!({ "description": description, "type": "string" })
}

fn referring(definition: &str, description: &str) -> Value {
    json!({ "allOf": [{ "$ref": reference(definition) }], "description": description })
}

fn reference(definition: &str) -> String {
    format!("#/components/schemas/{definition}")
}

fn object_at<'a>(value: &'a mut Value, field: &str) -> &'a mut Map<String, Value> {
    let slot = &mut value[field];
    if !slot.is_object() {
        *slot = json!({});
    }
    slot.as_object_mut().expect("made an object just above")
}

/// Takes out what the older format cannot say; where a value may be null or anything, nothing of it is said, since
/// clients of the format would refuse what the server accepts.
fn simplify(schema: &mut Value) {
    let Some(fields) = schema.as_object_mut() else { return };
    for unsaid in ["allOf", "anyOf", "default", "not", "oneOf"] {
        fields.remove(unsaid);
    }
    let is_nullable = fields.remove("nullable") == Some(Value::Bool(true));
    let is = |fields: &Map<String, Value>, name: &str| fields.get(name) == Some(&Value::Bool(true));
    if is_nullable || is(fields, "x-kubernetes-int-or-string") {
        fields.remove("type");
    }
    if is_nullable || is(fields, "x-kubernetes-preserve-unknown-fields") {
        fields.remove("items");
        fields.remove("properties");
    }
    if let Some(Value::Object(properties)) = fields.get_mut("properties") {
        properties.values_mut().for_each(simplify);
    }
    for inner in ["additionalProperties", "items"] {
        if let Some(inner) = fields.get_mut(inner) {
            simplify(inner);
        }
    }
}
