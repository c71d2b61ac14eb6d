//! Whether a schema is structural: every value has one type, which only the schema itself names, not a branch of it.
//!
//! Source: "Specifying a structural schema" in the documentation of CustomResourceDefinitions;
//! `apiextensions-apiserver/pkg/apiserver/schema/validation.go`, by behaviour.

use serde_json::Value;

use super::super::{at::At, error::FieldError};
use crate::custom::{check_declared, check_expression};

/// Deepest schema: as deep as the objects that are accepted.
const DEPTH_MAX: usize = 100;
const TYPES: [&str; 6] = ["array", "boolean", "integer", "number", "object", "string"];
/// What may not be used at all.
const UNSUPPORTED: [&str; 5] = ["$ref", "definitions", "dependencies", "id", "patternProperties"];
/// What says what a value is, which branches may not.
const NOT_IN_BRANCHES: [&str; 9] = [
    "additionalProperties",
    "default",
    "description",
    "nullable",
    "title",
    "type",
    "x-kubernetes-embedded-resource",
    "x-kubernetes-int-or-string",
    "x-kubernetes-preserve-unknown-fields",
];
const METADATA_FIELDS: [&str; 2] = ["generateName", "name"];

/// Checks the schema of a whole object.
pub(super) fn root(at: &At<'_>, errors: &mut Vec<FieldError>) {
    schema(at, Place::Root, 0, errors);
}

/// Where a schema stands.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Root,
    Item,
    Field,
}

fn schema(at: &At<'_>, place: Place, depth: usize, errors: &mut Vec<FieldError>) {
    if depth > DEPTH_MAX {
        errors.push(at.forbidden(format!("schemas nest at most {DEPTH_MAX} deep")));
        return;
    }
    is_typed(at, place, errors);
    unsupported(at, errors);
    lists(at, errors);
    if place == Place::Root || at.field("x-kubernetes-embedded-resource").is_true() {
        object_fields(at, errors);
    }
    let keeps = at.field("x-kubernetes-preserve-unknown-fields");
    if keeps.is_set() && !keeps.is_true() {
        errors.push(keeps.invalid("must be true or undefined"));
    }
    let pattern = at.field("pattern");
    if let Err(error) = regex::Regex::new(pattern.text()) {
        errors.push(pattern.invalid(format!("must be a valid regular expression, but isn't: {error}")));
    }
    default(at, errors);
    rules(&at.field("x-kubernetes-validations"), errors);
    for (name, property) in at.field("properties").entries() {
        let is_metadata = name == "metadata" && place == Place::Root;
        if !is_metadata {
            schema(&property, Place::Field, depth + 1, errors);
        }
    }
    let additional = at.field("additionalProperties");
    if additional.value.is_object() {
        schema(&additional, Place::Field, depth + 1, errors);
    }
    let items = at.field("items");
    if items.value.is_object() {
        schema(&items, Place::Item, depth + 1, errors);
    }
    let is_int_or_string = at.field("x-kubernetes-int-or-string").is_true();
    for list in ["allOf", "anyOf", "oneOf"] {
        for item in at.field(list).items() {
            branch(&item, at, is_int_or_string, depth + 1, errors);
        }
    }
    if at.field("not").is_set() {
        branch(&at.field("not"), at, false, depth + 1, errors);
    }
}

fn is_typed(at: &At<'_>, place: Place, errors: &mut Vec<FieldError>) {
    let kind = at.field("type");
    let is = |name: &str| at.field(name).is_true();
    if is("x-kubernetes-embedded-resource") && kind.text() != "object" {
        let reason = "must be object if x-kubernetes-embedded-resource is true";
        errors.push(if kind.is_empty() {
            kind.required(reason)
        } else {
            kind.invalid(reason)
        });
        return;
    }
    if kind.is_empty() {
        let free = is("x-kubernetes-int-or-string") || is("x-kubernetes-preserve-unknown-fields");
        match place {
            Place::Root => errors.push(kind.required("must not be empty at the root")),
            Place::Item if !free => errors.push(kind.required("must not be empty for specified array items")),
            Place::Field if !free => errors.push(kind.required("must not be empty for specified object fields")),
            Place::Item | Place::Field => {}
        }
        return;
    }
    if place == Place::Root && kind.text() != "object" {
        errors.push(kind.invalid("must be object at the root"));
    } else if kind.text() == "null" {
        errors.push(kind.forbidden("type cannot be set to null, use nullable as an alternative"));
    } else if !TYPES.contains(&kind.text()) {
        errors.push(kind.not_supported(&TYPES));
    } else if is("x-kubernetes-int-or-string") {
        errors.push(kind.forbidden("must be empty if x-kubernetes-int-or-string is true"));
    }
}

fn unsupported(at: &At<'_>, errors: &mut Vec<FieldError>) {
    for name in UNSUPPORTED {
        let field = at.field(name);
        if !field.is_empty() {
            errors.push(field.forbidden(format!("{name} is not supported")));
        }
    }
    if at.field("uniqueItems").is_true() {
        let reason = "uniqueItems cannot be set to true since the runtime complexity becomes quadratic";
        errors.push(at.field("uniqueItems").forbidden(reason));
    }
    let additional = at.field("additionalProperties");
    if additional.value == &Value::Bool(false) {
        errors.push(additional.forbidden("additionalProperties cannot be set to false"));
    } else if additional.is_set() && !at.field("properties").is_empty() {
        errors.push(additional.forbidden("additionalProperties and properties are mutual exclusive"));
    }
    let items = at.field("items");
    if items.value.is_array() {
        errors.push(items.forbidden("items must be a schema object and not an array"));
    } else if at.field("type").text() == "array" && !items.is_set() {
        errors.push(items.required("must be specified"));
    }
}

fn lists(at: &At<'_>, errors: &mut Vec<FieldError>) {
    let (list, keys) = (
        at.field("x-kubernetes-list-type"),
        at.field("x-kubernetes-list-map-keys"),
    );
    if list.is_empty() {
        if !keys.is_empty() {
            let reason = "x-kubernetes-list-type must be map if x-kubernetes-list-map-keys is non-empty";
            errors.push(list.required(reason));
        }
        return;
    }
    if !["atomic", "map", "set"].contains(&list.text()) {
        errors.push(list.not_supported(&["atomic", "map", "set"]));
        return;
    }
    let kind = at.field("type");
    if kind.text() != "array" {
        let reason = "must be array if x-kubernetes-list-type is specified";
        errors.push(kind.invalid(reason));
        return;
    }
    if list.text() != "map" {
        if !keys.is_empty() {
            errors.push(keys.forbidden("must not be specified unless x-kubernetes-list-type is map"));
        }
        return;
    }
    let items = at.field("items");
    if keys.is_empty() {
        errors.push(keys.required("must not be empty if x-kubernetes-list-type is map"));
    }
    if items.field("type").text() != "object" {
        let reason = "must be object if parent array's x-kubernetes-list-type is map";
        errors.push(items.field("type").invalid(reason));
        return;
    }
    let needed: Vec<&str> = items
        .field("required")
        .value
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect();
    for key in keys.items() {
        let Some(property) = items.value["properties"].get(key.text()) else {
            errors.push(keys.invalid("entries must all be names of item properties"));
            continue;
        };
        if matches!(property["type"].as_str(), Some("array" | "object")) {
            let path = format!("{}.properties[{}].type", items.path, key.text());
            let reason = "must be a scalar type if parent array's x-kubernetes-list-type is map";
            errors.push(FieldError::invalid(path, property["type"].clone(), reason));
        } else if property.get("default").is_none() && !needed.contains(&key.text()) {
            let path = format!("{}.properties[{}].default", items.path, key.text());
            let reason = "this property is in x-kubernetes-list-map-keys, so it must have a default or be a required \
                          property";
            errors.push(FieldError::required(path, reason));
        }
    }
}

/// `apiVersion`, `kind` and `metadata` are what they are: a schema can only narrow the names.
fn object_fields(at: &At<'_>, errors: &mut Vec<FieldError>) {
    for (name, property) in at.field("properties").entries() {
        let kind = property.field("type");
        match name {
            "apiVersion" | "kind" if kind.text() != "string" => errors.push(kind.invalid("must be string")),
            "metadata" => {
                if kind.text() != "object" {
                    errors.push(kind.invalid("must be object"));
                }
                let known = ["description", "properties", "type"];
                let is_narrow = property
                    .map()
                    .into_iter()
                    .flatten()
                    .all(|(name, _)| known.contains(&name.as_str()))
                    && property
                        .field("properties")
                        .map()
                        .into_iter()
                        .flatten()
                        .all(|(name, _)| METADATA_FIELDS.contains(&name.as_str()));
                if !is_narrow {
                    let reason = "must not specify anything other than name and generateName, but metadata is \
                                  implicitly specified";
                    errors.push(property.forbidden(reason));
                }
            }
            _ => {}
        }
    }
    let is_free = at.field("x-kubernetes-preserve-unknown-fields").is_true();
    if at.field("x-kubernetes-embedded-resource").is_true() && !is_free && at.field("properties").is_empty() {
        let reason = "must not be empty if x-kubernetes-embedded-resource is true without \
                      x-kubernetes-preserve-unknown-fields";
        errors.push(at.field("properties").required(reason));
    }
}

fn default(at: &At<'_>, errors: &mut Vec<FieldError>) {
    let default = at.field("default");
    if at.value.get("default").is_some() {
        errors.extend(check_declared(at.value, default.value, &default.path));
    }
}

fn rules(list: &At<'_>, errors: &mut Vec<FieldError>) {
    for item in list.items() {
        let rule = item.field("rule");
        if rule.text().trim().is_empty() {
            errors.push(rule.required("rule is not specified"));
        } else if let Err(reason) = check_expression(rule.text()) {
            let value = item.value.clone();
            errors.push(FieldError::invalid(
                rule.path.clone(),
                value,
                format!("compilation failed: {reason}"),
            ));
        }
        let message = item.field("message");
        if message.is_set() && message.text().trim().is_empty() {
            errors.push(message.invalid("message must be non-empty if specified"));
        } else if message.text().trim().contains('\n') {
            errors.push(message.invalid("message must not contain line breaks"));
        } else if message.is_empty() && rule.text().trim().contains('\n') {
            errors.push(message.required("message must be specified if rule contains line breaks"));
        }
        let expression = item.field("messageExpression");
        if !expression.is_empty()
            && let Err(reason) = check_expression(expression.text())
        {
            let value = item.value.clone();
            let reason = format!("messageExpression compilation failed: {reason}");
            errors.push(FieldError::invalid(expression.path.clone(), value, reason));
        }
    }
}

/// A branch narrows values: it names no types, and no fields that the schema around it does not name.
fn branch(at: &At<'_>, around: &At<'_>, is_int_or_string: bool, depth: usize, errors: &mut Vec<FieldError>) {
    if depth > DEPTH_MAX {
        errors.push(at.forbidden(format!("schemas nest at most {DEPTH_MAX} deep")));
        return;
    }
    for name in NOT_IN_BRANCHES {
        let field = at.field(name);
        // The two alternatives of a number or text are the one exception.
        let is_alternative = is_int_or_string && name == "type";
        if at.value.get(name).is_some() && !is_alternative {
            errors.push(field.forbidden("must be empty to be structural"));
        }
    }
    let properties = around.field("properties");
    for (name, property) in at.field("properties").entries() {
        match properties.value.get(name) {
            Some(value) => {
                let around = At {
                    value,
                    path: format!("{}[{name}]", properties.path),
                };
                branch(&property, &around, false, depth + 1, errors);
            }
            // Unknown fields can be asked for where they are kept.
            None if around.field("x-kubernetes-preserve-unknown-fields").is_true()
                || around.field("additionalProperties").is_set() => {}
            None => {
                let reason = format!("because it is defined in {}", property.path);
                errors.push(FieldError::required(format!("{}[{name}]", properties.path), reason));
            }
        }
    }
    if at.field("items").is_set() {
        branch(&at.field("items"), &around.field("items"), false, depth + 1, errors);
    }
    for list in ["allOf", "anyOf", "oneOf"] {
        for item in at.field(list).items() {
            branch(&item, around, is_int_or_string, depth + 1, errors);
        }
    }
    if at.field("not").is_set() {
        branch(&at.field("not"), around, false, depth + 1, errors);
    }
}
