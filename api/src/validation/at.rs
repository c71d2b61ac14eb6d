//! A place in an object: the value there and its path.

use serde_json::{Map, Value};

use super::error::FieldError;

/// A value of an object together with its path. Below what is absent or of another type, everything is absent.
#[derive(Debug, Clone)]
pub(super) struct At<'a> {
    pub(super) value: &'a Value,
    pub(super) path: String,
}

static ABSENT: Value = Value::Null;

impl<'a> At<'a> {
    /// The object itself; its fields have paths without a prefix.
    pub(super) fn root(value: &'a Value) -> At<'a> {
        At {
            value,
            path: String::new(),
        }
    }

    /// `path.name`
    pub(super) fn field(&self, name: &str) -> At<'a> {
        At {
            value: self.value.get(name).unwrap_or(&ABSENT),
            path: join(&self.path, name),
        }
    }

    /// The path of a field, without looking at it.
    pub(super) fn path_of(&self, name: &str) -> String {
        join(&self.path, name)
    }

    /// `path[0]`, `path[1]`, …
    pub(super) fn items(&self) -> impl Iterator<Item = At<'a>> + use<'a> {
        let path = self.path.clone();
        let items = self.value.as_array().map_or(&[][..], Vec::as_slice);
        items.iter().enumerate().map(move |(index, value)| At {
            value,
            path: format!("{path}[{index}]"),
        })
    }

    /// `path[key]`, …
    pub(super) fn entries(&self) -> impl Iterator<Item = (&'a str, At<'a>)> + use<'a> {
        let path = self.path.clone();
        self.map().into_iter().flatten().map(move |(key, value)| {
            let at = At {
                value,
                path: format!("{path}[{key}]"),
            };
            (key.as_str(), at)
        })
    }

    /// The value as an object.
    pub(super) fn map(&self) -> Option<&'a Map<String, Value>> {
        self.value.as_object()
    }

    /// The value as text; empty if there is none.
    pub(super) fn text(&self) -> &'a str {
        self.value.as_str().unwrap_or_default()
    }

    /// The value as a whole number.
    pub(super) fn number(&self) -> Option<i64> {
        self.value.as_i64()
    }

    /// Whether the value is true.
    pub(super) fn is_true(&self) -> bool {
        self.value == &Value::Bool(true)
    }

    /// Whether there is a value.
    pub(super) fn is_set(&self) -> bool {
        !self.value.is_null()
    }

    /// Whether there is no value, or an empty text, list or map.
    pub(super) fn is_empty(&self) -> bool {
        match self.value {
            Value::Null => true,
            Value::String(text) => text.is_empty(),
            Value::Array(items) => items.is_empty(),
            Value::Object(fields) => fields.is_empty(),
            Value::Bool(_) | Value::Number(_) => false,
        }
    }

    /// The number of items in a list.
    pub(super) fn count(&self) -> usize {
        self.value.as_array().map_or(0, Vec::len)
    }
}

/// Faults of the value.
impl At<'_> {
    /// The value is malformed or out of range.
    pub(super) fn invalid(&self, reason: impl Into<String>) -> FieldError {
        FieldError::invalid(self.path.clone(), self.shown(), reason)
    }

    /// The value is none of `supported`.
    pub(super) fn not_supported(&self, supported: &[&str]) -> FieldError {
        FieldError::not_supported(self.path.clone(), self.shown(), supported)
    }

    /// The value stands elsewhere already.
    pub(super) fn duplicate(&self) -> FieldError {
        FieldError::duplicate(self.path.clone(), self.shown())
    }

    /// The value names what is not there.
    pub(super) fn not_found(&self) -> FieldError {
        FieldError::not_found(self.path.clone(), self.shown())
    }

    /// There may be no value.
    pub(super) fn forbidden(&self, reason: impl Into<String>) -> FieldError {
        FieldError::forbidden(self.path.clone(), reason)
    }

    /// There must be a value.
    pub(super) fn required(&self, reason: impl Into<String>) -> FieldError {
        FieldError::required(self.path.clone(), reason)
    }

    /// The value as messages show it: what is absent is empty.
    fn shown(&self) -> Value {
        match self.value {
            Value::Null => Value::from(""),
            value => value.clone(),
        }
    }
}

fn join(path: &str, name: &str) -> String {
    if path.is_empty() {
        name.to_owned()
    } else {
        format!("{path}.{name}")
    }
}
