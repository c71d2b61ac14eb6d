//! A structural schema in the form that objects are pruned, defaulted and checked by.
//!
//! Never here: whether the schema may be published; that is validation of the CustomResourceDefinition. What is
//! malformed is treated as absent.
//! Source: Kubernetes, "Extend the Kubernetes API with CustomResourceDefinitions"; OpenAPI v3.0 schema objects.

use std::collections::BTreeMap;

use regex::Regex;
use serde_json::{Map, Value};

use super::rules::Rule;

/// One schema: of a whole object, of a field, or of a branch of `allOf` and its kin.
#[derive(Debug, Default)]
pub(crate) struct Schema {
    pub(crate) kind: Option<ValueKind>,
    pub(crate) nullable: bool,
    /// `x-kubernetes-int-or-string`
    pub(crate) int_or_string: bool,
    /// `x-kubernetes-preserve-unknown-fields`
    pub(crate) preserves: bool,
    /// `x-kubernetes-embedded-resource`
    pub(crate) embedded: bool,
    pub(crate) properties: BTreeMap<String, Schema>,
    pub(crate) additional: Additional,
    pub(crate) items: Option<Box<Schema>>,
    pub(crate) default: Option<Value>,
    pub(crate) list: ListKind,
    /// `x-kubernetes-map-type: atomic`: fields are replaced together.
    pub(crate) is_atomic: bool,
    pub(crate) limits: Limits,
    pub(crate) rules: Vec<Rule>,
}

/// The types that a value can have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ValueKind {
    Array,
    Boolean,
    Integer,
    Number,
    Object,
    String,
}

/// What an object may hold besides its properties.
#[derive(Debug, Default)]
pub(crate) enum Additional {
    /// Nothing that is known.
    #[default]
    Absent,
    /// Anything.
    Any,
    /// Values of this schema.
    Of(Box<Schema>),
}

/// `x-kubernetes-list-type`
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) enum ListKind {
    /// Replaced as a whole.
    #[default]
    Atomic,
    /// No value stands twice.
    Set,
    /// No two items have the same values in these fields.
    Map(Vec<Box<str>>),
}

/// What a value must fulfil besides having its type.
#[derive(Debug, Default)]
pub(crate) struct Limits {
    pub(crate) required: Vec<String>,
    pub(crate) allowed: Vec<Value>,
    pub(crate) format: String,
    pub(crate) pattern: Option<Regex>,
    pub(crate) minimum: Option<Bound>,
    pub(crate) maximum: Option<Bound>,
    pub(crate) multiple_of: Option<f64>,
    pub(crate) length: Range,
    pub(crate) items: Range,
    pub(crate) properties: Range,
    pub(crate) all_of: Vec<Schema>,
    pub(crate) any_of: Vec<Schema>,
    pub(crate) one_of: Vec<Schema>,
    pub(crate) not: Option<Box<Schema>>,
}

/// An end of a range of numbers.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Bound {
    pub(crate) value: f64,
    /// The number as it was written.
    pub(crate) shown: String,
    pub(crate) exclusive: bool,
}

/// How many there may be.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Range {
    pub(crate) min: Option<usize>,
    pub(crate) max: Option<usize>,
}

impl ValueKind {
    /// The type's name in a schema.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            ValueKind::Array => "array",
            ValueKind::Boolean => "boolean",
            ValueKind::Integer => "integer",
            ValueKind::Number => "number",
            ValueKind::Object => "object",
            ValueKind::String => "string",
        }
    }

    /// The type with this name.
    pub(crate) fn by_name(name: &str) -> Option<ValueKind> {
        Some(match name {
            "array" => ValueKind::Array,
            "boolean" => ValueKind::Boolean,
            "integer" => ValueKind::Integer,
            "number" => ValueKind::Number,
            "object" => ValueKind::Object,
            "string" => ValueKind::String,
            _ => return None,
        })
    }
}

impl Schema {
    /// Reads a schema as it stands in a CustomResourceDefinition.
    pub(crate) fn parse(schema: &Value) -> Schema {
        let Some(fields) = schema.as_object() else {
            return Schema::default();
        };
        let is = |name: &str| fields.get(name) == Some(&Value::Bool(true));
        Schema {
            kind: text(fields, "type").and_then(ValueKind::by_name),
            nullable: is("nullable"),
            int_or_string: is("x-kubernetes-int-or-string"),
            preserves: is("x-kubernetes-preserve-unknown-fields"),
            embedded: is("x-kubernetes-embedded-resource"),
            properties: fields
                .get("properties")
                .and_then(Value::as_object)
                .into_iter()
                .flatten()
                .map(|(name, property)| (name.clone(), Schema::parse(property)))
                .collect(),
            additional: match fields.get("additionalProperties") {
                Some(Value::Bool(true)) => Additional::Any,
                Some(schema @ Value::Object(_)) => Additional::Of(Box::new(Schema::parse(schema))),
                _ => Additional::Absent,
            },
            items: fields.get("items").filter(|items| items.is_object()).map(boxed),
            default: fields.get("default").cloned(),
            list: list_kind(fields),
            is_atomic: text(fields, "x-kubernetes-map-type") == Some("atomic"),
            limits: Limits::parse(fields),
            rules: Rule::parse_all(fields.get("x-kubernetes-validations")),
        }
    }

    /// The value may be null without being absent.
    pub(crate) fn refuses(&self, value: &Value) -> bool {
        value.is_null() && !self.nullable
    }
}

impl Limits {
    fn parse(fields: &Map<String, Value>) -> Limits {
        let bound = |name: &str, exclusive: &str| {
            let number = fields.get(name)?;
            Some(Bound {
                value: number.as_f64()?,
                shown: number.to_string(),
                exclusive: fields.get(exclusive) == Some(&Value::Bool(true)),
            })
        };
        Limits {
            required: list(fields, "required")
                .filter_map(|name| name.as_str().map(str::to_owned))
                .collect(),
            allowed: list(fields, "enum").cloned().collect(),
            format: text(fields, "format").unwrap_or_default().to_owned(),
            pattern: text(fields, "pattern").and_then(|pattern| Regex::new(pattern).ok()),
            minimum: bound("minimum", "exclusiveMinimum"),
            maximum: bound("maximum", "exclusiveMaximum"),
            multiple_of: fields.get("multipleOf").and_then(Value::as_f64),
            length: range(fields, "minLength", "maxLength"),
            items: range(fields, "minItems", "maxItems"),
            properties: range(fields, "minProperties", "maxProperties"),
            all_of: list(fields, "allOf").map(Schema::parse).collect(),
            any_of: list(fields, "anyOf").map(Schema::parse).collect(),
            one_of: list(fields, "oneOf").map(Schema::parse).collect(),
            not: fields.get("not").filter(|schema| schema.is_object()).map(boxed),
        }
    }
}

fn boxed(schema: &Value) -> Box<Schema> {
    Box::new(Schema::parse(schema))
}

fn list_kind(fields: &Map<String, Value>) -> ListKind {
    match text(fields, "x-kubernetes-list-type") {
        Some("set") => ListKind::Set,
        Some("map") => ListKind::Map(
            list(fields, "x-kubernetes-list-map-keys")
                .filter_map(|key| key.as_str().map(Box::from))
                .collect(),
        ),
        _ => ListKind::Atomic,
    }
}

fn text<'a>(fields: &'a Map<String, Value>, name: &str) -> Option<&'a str> {
    fields.get(name)?.as_str()
}

fn list<'a>(fields: &'a Map<String, Value>, name: &str) -> impl Iterator<Item = &'a Value> {
    fields.get(name).and_then(Value::as_array).into_iter().flatten()
}

fn range(fields: &Map<String, Value>, min: &str, max: &str) -> Range {
    let number = |name: &str| usize::try_from(fields.get(name)?.as_i64()?).ok();
    Range {
        min: number(min),
        max: number(max),
    }
}
