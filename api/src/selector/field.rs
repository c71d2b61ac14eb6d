//! Field selectors: `spec.nodeName=a,status.phase!=Failed`.

use serde_json::Value;

use super::SELECTOR_BYTES_MAX;
use crate::{conversion, resource::Resource};

/// Conditions on fields that must all hold. Without any, everything matches.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct FieldSelector {
    requirements: Vec<FieldRequirement>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct FieldRequirement {
    path: String,
    value: String,
    equal: bool,
}

/// The text is not a field selector.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ParseFieldSelectorError {
    /// Longer than [`SELECTOR_BYTES_MAX`].
    #[error("field selector of {bytes} bytes is longer than {SELECTOR_BYTES_MAX}")]
    TooLong {
        /// Length of the text.
        bytes: usize,
    },
    /// A term without `=`, `==` or `!=`.
    #[error("invalid selector: '{selector}'; can't understand '{term}'")]
    Term {
        /// The whole text.
        selector: String,
        /// The term.
        term: String,
    },
    /// A backslash before something that needs none.
    #[error("invalid field selector: invalid escape sequence: \\{0}")]
    Escape(String),
}

/// The selector names a field that this kind cannot be selected by.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("field label not supported: {path}")]
pub struct UnsupportedField {
    /// The field.
    pub path: String,
}

impl FieldSelector {
    /// Parses the text form.
    ///
    /// # Errors
    /// When the text is no selector; the caller answers "bad request" with the error's text.
    pub fn parse(text: &str) -> Result<FieldSelector, ParseFieldSelectorError> {
        if text.len() > SELECTOR_BYTES_MAX {
            return Err(ParseFieldSelectorError::TooLong { bytes: text.len() });
        }
        let mut requirements = Vec::new();
        for term in split_terms(text) {
            if term.is_empty() {
                continue;
            }
            let (path, equal, value) = split_operator(term).ok_or_else(|| ParseFieldSelectorError::Term {
                selector: text.to_owned(),
                term: term.to_owned(),
            })?;
            requirements.push(FieldRequirement {
                path: path.to_owned(),
                value: unescape(value)?,
                equal,
            });
        }
        Ok(FieldSelector { requirements })
    }

    /// Whether everything matches.
    #[must_use]
    pub fn is_everything(&self) -> bool {
        self.requirements.is_empty()
    }

    /// Checks that objects of this kind can be selected so.
    ///
    /// # Errors
    /// When a field is none that the kind allows; the caller answers "bad request".
    pub fn check(&self, resource: &Resource) -> Result<(), UnsupportedField> {
        for requirement in &self.requirements {
            let path = requirement.path.as_str();
            let known = path == "metadata.name"
                || (path == "metadata.namespace" && resource.is_namespaced())
                || resource.selectable_fields.contains(&path);
            if !known {
                return Err(UnsupportedField { path: path.to_owned() });
            }
        }
        Ok(())
    }

    /// The same conditions on the stored form of the kind's objects.
    #[must_use]
    pub fn on_stored(mut self, resource: &Resource) -> FieldSelector {
        for requirement in &mut self.requirements {
            requirement.path = conversion::stored_field(resource, &requirement.path);
        }
        self
    }

    /// Whether the object, as JSON, matches. A field that is absent counts as empty.
    #[must_use]
    pub fn matches(&self, object: &Value) -> bool {
        self.requirements
            .iter()
            .all(|requirement| (field_text(object, &requirement.path) == requirement.value) == requirement.equal)
    }

    /// The value that `path` must equal, when a condition demands one: callers use it to read less.
    #[must_use]
    pub fn required(&self, path: &str) -> Option<&str> {
        self.requirements
            .iter()
            .find(|requirement| requirement.equal && requirement.path == path)
            .map(|requirement| requirement.value.as_str())
    }
}

/// The text that selectors compare a field by.
fn field_text(object: &Value, path: &str) -> String {
    match path {
        // The short names that the server gives to fields that sit elsewhere.
        "name" => return text_at(object, "metadata.name").unwrap_or_default(),
        "source" => {
            return text_at(object, "source.component")
                .filter(|component| !component.is_empty())
                .or_else(|| text_at(object, "reportingComponent"))
                .unwrap_or_default();
        }
        _ => {}
    }
    let absent = match path {
        "spec.unschedulable" | "spec.hostNetwork" => "false",
        "status.replicas" | "status.successful" => "0",
        _ => "",
    };
    let path = match path {
        "status.successful" => "status.succeeded",
        path => path,
    };
    text_at(object, path).unwrap_or_else(|| absent.to_owned())
}

fn text_at(object: &Value, path: &str) -> Option<String> {
    let mut value = object;
    for step in path.split('.') {
        value = value.get(step)?;
    }
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Bool(_) | Value::Number(_) => Some(value.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

/// Splits at commas that no backslash precedes.
fn split_terms(text: &str) -> Vec<&str> {
    let mut terms = Vec::new();
    let mut start = 0;
    let mut escaped = false;
    for (index, c) in text.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            ',' => {
                terms.push(&text[start..index]);
                start = index + 1;
            }
            _ => {}
        }
    }
    terms.push(&text[start..]);
    terms
}

fn split_operator(term: &str) -> Option<(&str, bool, &str)> {
    let at = term.find(['=', '!'])?;
    let (path, rest) = term.split_at(at);
    for (operator, equal) in [("!=", false), ("==", true), ("=", true)] {
        if let Some(value) = rest.strip_prefix(operator) {
            return Some((path, equal, value));
        }
    }
    None
}

fn unescape(value: &str) -> Result<String, ParseFieldSelectorError> {
    let mut text = String::with_capacity(value.len());
    let mut chars = value.chars();
    while let Some(c) = chars.next() {
        if c != '\\' {
            text.push(c);
            continue;
        }
        match chars.next() {
            Some(escaped @ ('\\' | ',' | '=')) => text.push(escaped),
            other => {
                return Err(ParseFieldSelectorError::Escape(
                    other.map(String::from).unwrap_or_default(),
                ));
            }
        }
    }
    Ok(text)
}
