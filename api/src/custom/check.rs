//! Whether a value is as its schema demands, with Kubernetes' paths and messages.
//!
//! Never here: rules (`rules`), which are only asked when all this holds.
//! Source: `k8s.io/kube-openapi/pkg/validation` and `apiextensions-apiserver/pkg/apiserver/validation`, by behaviour.

use std::collections::{BTreeSet, HashMap};

use serde_json::{Map, Value};

use super::{
    formats,
    schema::{Additional, Bound, Limits, ListKind, Range, Schema, ValueKind},
};
use crate::validation::{ErrorKind, FieldError};

/// Field of errors that are about no single field.
const NO_FIELD: &str = "<nil>";
/// Most faults that are reported: enough to mend an object, and it bounds the answer and the work.
const FAULTS_MAX: usize = 100;

/// Everything in which the object differs from what the schema demands. What is as it was in `old`, the version that
/// the object replaces, is not held against it.
pub(super) fn object(schema: &Schema, object: &Value, old: Option<&Value>) -> Vec<FieldError> {
    let mut check = Check { faults: Vec::new() };
    check.value(schema, object, old, "");
    let mut faults = check.faults;
    lists(schema, object, old, "", &mut faults);
    faults
}

/// Everything in which a value of a field differs from what the field's schema demands.
pub(super) fn value(schema: &Schema, value: &Value, path: &str) -> Vec<FieldError> {
    let mut check = Check { faults: Vec::new() };
    check.value(schema, value, None, path);
    check.faults
}

struct Check {
    faults: Vec<FieldError>,
}

impl Check {
    fn value(&mut self, schema: &Schema, value: &Value, old: Option<&Value>, path: &str) {
        if self.faults.len() >= FAULTS_MAX || (value.is_null() && schema.nullable) || old == Some(value) {
            return;
        }
        if let Some(expected) = mismatch(schema, value) {
            self.faults.push(wrong_type(path, &expected, kind_name(value)));
            return;
        }
        self.limits(&schema.limits, value, path);
        match value {
            Value::Object(fields) => self.fields(schema, fields, old, path),
            Value::Array(items) => {
                if let Some(known) = &schema.items {
                    let former = Former::new(&schema.list, old);
                    for (index, item) in items.iter().enumerate() {
                        self.value(known, item, former.of(item), &format!("{path}[{index}]"));
                    }
                }
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }

    fn fields(&mut self, schema: &Schema, fields: &Map<String, Value>, old: Option<&Value>, path: &str) {
        for name in &schema.limits.required {
            if !fields.contains_key(name) {
                self.faults.push(FieldError::required(join(path, name), ""));
            }
        }
        for (name, value) in fields {
            let old = old.and_then(|old| old.get(name));
            match (schema.properties.get(name), &schema.additional) {
                (Some(known), _) => self.value(known, value, old, &join(path, name)),
                (None, Additional::Of(known)) => self.value(known, value, old, &join(path, name)),
                (None, Additional::Any | Additional::Absent) => {}
            }
        }
    }

    fn limits(&mut self, limits: &Limits, value: &Value, path: &str) {
        if !limits.allowed.is_empty() && !limits.allowed.iter().any(|allowed| equal(allowed, value)) {
            self.faults.push(not_allowed(limits, value, path));
        }
        match value {
            Value::String(text) => self.text(limits, text, path),
            Value::Number(number) => self.number(limits, number.as_f64().unwrap_or_default(), value, path),
            Value::Array(items) => self.count(limits.items, items.len(), "items", path),
            Value::Object(fields) => self.count(limits.properties, fields.len(), "properties", path),
            Value::Null | Value::Bool(_) => {}
        }
        self.branches(limits, value, path);
    }

    fn text(&mut self, limits: &Limits, text: &str, path: &str) {
        let length = text.chars().count();
        if let Some(max) = limits.length.max.filter(|max| length > *max) {
            self.faults.push(FieldError::too_long(path, max));
        }
        if let Some(min) = limits.length.min.filter(|min| length < *min) {
            let reason = format!("{path} in body should be at least {min} chars long");
            self.faults.push(FieldError::invalid(path, text, reason));
        }
        if let Some(pattern) = limits.pattern.as_ref().filter(|pattern| !pattern.is_match(text)) {
            let reason = format!("{path} in body should match '{}'", pattern.as_str());
            self.faults.push(FieldError::invalid(path, text, reason));
        }
        if !limits.format.is_empty() && !formats::fits(&limits.format, text) {
            self.faults.push(wrong_type(path, &limits.format, text));
        }
    }

    fn number(&mut self, limits: &Limits, number: f64, value: &Value, path: &str) {
        let ends = [
            (
                limits.minimum.as_ref(),
                "greater",
                (|number, end| number < end) as fn(f64, f64) -> bool,
            ),
            (limits.maximum.as_ref(), "less", |number, end| number > end),
        ];
        for (bound, word, beyond) in ends {
            let Some(Bound {
                value: end,
                shown,
                exclusive,
            }) = bound
            else {
                continue;
            };
            if beyond(number, *end) || (*exclusive && number == *end) {
                let equal = if *exclusive { "" } else { " or equal to" };
                let reason = format!("{path} in body should be {word} than{equal} {shown}");
                self.faults.push(FieldError::invalid(path, value.clone(), reason));
            }
        }
        if let Some(factor) = limits.multiple_of.filter(|factor| *factor > 0.0) {
            let times = number / factor;
            if (times - times.round()).abs() > f64::EPSILON * times.abs().max(1.0) {
                let reason = format!("{path} in body should be a multiple of {factor}");
                self.faults.push(FieldError::invalid(path, value.clone(), reason));
            }
        }
    }

    fn count(&mut self, range: Range, count: usize, what: &str, path: &str) {
        if let Some(max) = range.max.filter(|max| count > *max) {
            self.faults.push(FieldError::too_many(path, count, max));
        }
        if let Some(min) = range.min.filter(|min| count < *min) {
            let reason = format!("{path} in body should have at least {min} {what}");
            self.faults.push(FieldError::invalid(path, count, reason));
        }
    }

    fn branches(&mut self, limits: &Limits, value: &Value, path: &str) {
        let holds = |branch: &Schema| self::value(branch, value, path).is_empty();
        let mut refuse = |reason: String| self.faults.push(FieldError::invalid(NO_FIELD, "", reason));
        if !limits.any_of.is_empty() && !limits.any_of.iter().any(holds) {
            refuse(format!("{path:?} must validate at least one schema (anyOf)"));
        }
        if !limits.one_of.is_empty() {
            match limits.one_of.iter().filter(|branch| holds(branch)).count() {
                1 => {}
                0 => refuse(format!(
                    "{path:?} must validate one and only one schema (oneOf). Found none valid"
                )),
                found => refuse(format!(
                    "{path:?} must validate one and only one schema (oneOf). Found {found} valid alternatives"
                )),
            }
        }
        if limits.not.as_ref().is_some_and(|branch| holds(branch)) {
            refuse(format!("{path:?} must not validate the schema (not)"));
        }
        // Each once: asked again for its faults, a branch within branches would double the work at every level.
        let found: Vec<FieldError> = limits
            .all_of
            .iter()
            .flat_map(|branch| self::value(branch, value, path))
            .collect();
        if !found.is_empty() {
            refuse(format!("{path:?} must validate all the schemas (allOf)"));
            let room = FAULTS_MAX.saturating_sub(self.faults.len());
            self.faults.extend(found.into_iter().take(room));
        }
    }
}

/// What type the value should have, if it has another.
fn mismatch(schema: &Schema, value: &Value) -> Option<String> {
    if schema.int_or_string {
        return (!(value.is_string() || is_integer(value))).then(|| "integer,string".to_owned());
    }
    let kind = schema.kind?;
    let fits = match kind {
        ValueKind::Array => value.is_array(),
        ValueKind::Boolean => value.is_boolean(),
        ValueKind::Integer => is_integer(value),
        ValueKind::Number => value.is_number(),
        ValueKind::Object => value.is_object(),
        ValueKind::String => value.is_string(),
    };
    (!fits).then(|| kind.name().to_owned())
}

/// Whole numbers may be written with a fraction of zero.
fn is_integer(value: &Value) -> bool {
    match value {
        Value::Number(number) => number.is_i64() || number.as_f64().is_some_and(|number| number.fract() == 0.0),
        _ => false,
    }
}

fn kind_name(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(_) if is_integer(value) => "integer",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

fn wrong_type(path: &str, expected: &str, found: &str) -> FieldError {
    let detail = format!("{path} in body must be of type {expected}: {found:?}");
    FieldError {
        field: path.to_owned(),
        kind: ErrorKind::TypeInvalid,
        bad_value: Value::from(found),
        detail,
    }
}

/// The allowed values are listed in the order of the schema.
fn not_allowed(limits: &Limits, value: &Value, path: &str) -> FieldError {
    let shown = |value: &Value| match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    let allowed: Vec<String> = limits
        .allowed
        .iter()
        .map(|value| format!("{:?}", shown(value)))
        .collect();
    FieldError {
        field: path.to_owned(),
        kind: ErrorKind::NotSupported,
        bad_value: value.clone(),
        detail: format!("supported values: {}", allowed.join(", ")),
    }
}

/// Numbers are equal by value, however they are written.
fn equal(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Number(one), Value::Number(other)) => one.as_f64() == other.as_f64(),
        _ => one == other,
    }
}

/// Items of sets and maps that stand twice.
fn lists(schema: &Schema, value: &Value, old: Option<&Value>, path: &str, faults: &mut Vec<FieldError>) {
    if old == Some(value) {
        return;
    }
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                let old = old.and_then(|old| old.get(name));
                match (schema.properties.get(name), &schema.additional) {
                    (Some(known), _) => lists(known, value, old, &join(path, name), faults),
                    (None, Additional::Of(known)) => lists(known, value, old, &format!("{path}[{name}]"), faults),
                    (None, Additional::Any | Additional::Absent) => {}
                }
            }
        }
        Value::Array(items) => {
            let identity = |item: &Value| match &schema.list {
                ListKind::Atomic => None,
                ListKind::Set => Some(item.clone()),
                ListKind::Map(keys) => Some(
                    keys.iter()
                        .filter_map(|key| Some((key.to_string(), item.get(&**key)?.clone())))
                        .collect(),
                ),
            };
            let former = Former::new(&schema.list, old);
            let mut seen: BTreeSet<String> = BTreeSet::new();
            for (index, item) in items.iter().enumerate() {
                let place = format!("{path}[{index}]");
                if let Some(identity) = identity(item)
                    && !seen.insert(identity.to_string())
                {
                    faults.push(FieldError::duplicate(place.clone(), identity));
                }
                if let Some(known) = &schema.items {
                    lists(known, item, former.of(item), &place, faults);
                }
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// The items of an old list, by what tells items apart: only maps can tell.
pub(super) struct Former<'a> {
    keys: &'a [Box<str>],
    items: HashMap<Vec<&'a Value>, &'a Value>,
}

impl<'a> Former<'a> {
    pub(super) fn new(list: &'a ListKind, old: Option<&'a Value>) -> Former<'a> {
        let (ListKind::Map(keys), Some(Value::Array(old))) = (list, old) else {
            return Former {
                keys: &[],
                items: HashMap::new(),
            };
        };
        let mut items = HashMap::with_capacity(old.len());
        for item in old {
            items.entry(identity(keys, item)).or_insert(item);
        }
        Former { keys, items }
    }

    /// The old item that this new one follows.
    pub(super) fn of(&self, item: &'a Value) -> Option<&'a Value> {
        if self.items.is_empty() {
            return None;
        }
        self.items.get(&identity(self.keys, item)).copied()
    }
}

fn identity<'a>(keys: &[Box<str>], item: &'a Value) -> Vec<&'a Value> {
    keys.iter().map(|key| &item[&**key]).collect()
}

pub(super) fn join(path: &str, name: &str) -> String {
    if path.is_empty() {
        name.to_owned()
    } else {
        format!("{path}.{name}")
    }
}
