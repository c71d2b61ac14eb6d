//! The schemas of a document: the types of the kinds in it and all that they refer to.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json, value::RawValue};

use crate::schema::definitions_json;

const REFERENCE: &str = "#/components/schemas/";
const INT_OR_STRING: &str = "io.k8s.apimachinery.pkg.util.intstr.IntOrString";

/// The definitions of `roots` and of everything they refer to, by name.
pub(super) fn reachable(roots: Vec<String>) -> Map<String, Value> {
    let text = definitions_json();
    let definitions: BTreeMap<&str, &RawValue> =
        serde_json::from_slice(&text).expect("the embedded definitions are what xtask wrote");
    let mut schemas = Map::new();
    let mut pending = roots;
    while let Some(name) = pending.pop() {
        if schemas.contains_key(&name) {
            continue;
        }
        let Some(definition) = definitions.get(name.as_str()) else {
            continue;
        };
        let mut schema: Value =
            serde_json::from_str(definition.get()).expect("the embedded definitions are what xtask wrote");
        publish(&mut schema, Place::Definition, &mut pending);
        if name == INT_OR_STRING {
            schema["format"] = json!("int-or-string");
        }
        schemas.insert(name, schema);
    }
    schemas
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Definition,
    /// The value of a property, with its name's meaning gone.
    Property,
}

/// Removes what is ours, puts references with siblings into `allOf` (a reference hides its siblings), and notes the
/// types referred to.
fn publish(schema: &mut Value, place: Place, pending: &mut Vec<String>) {
    let Some(fields) = schema.as_object_mut() else { return };
    fields.retain(|name, value| {
        let is_ours = name.starts_with("x-skep-");
        let is_void = name == "properties" && value.is_null();
        !is_ours && !is_void
    });
    if let Some(Value::String(target)) = fields.get("$ref") {
        if let Some(name) = target.strip_prefix(REFERENCE) {
            pending.push(name.to_owned());
        }
        if place == Place::Property
            && fields.len() > 1
            && let Some(reference) = fields.remove("$ref")
        {
            fields.insert("allOf".to_owned(), json!([{ "$ref": reference }]));
        }
    }
    if let Some(Value::Object(properties)) = fields.get_mut("properties") {
        for (name, property) in properties {
            if matches!(name.as_str(), "apiVersion" | "kind")
                && let Some(property) = property.as_object_mut()
            {
                property.remove("enum");
            }
            publish(property, Place::Property, pending);
        }
    }
    for inner in ["items", "additionalProperties"] {
        if let Some(inner) = fields.get_mut(inner) {
            publish(inner, Place::Property, pending);
        }
    }
}
