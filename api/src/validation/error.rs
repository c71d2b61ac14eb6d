//! One reason why an object is refused.

use std::fmt;

use serde_json::Value;

/// A field that may not be as it is. Displays as Kubernetes does: `spec.replicas: Invalid value: -1: must be …`.
#[derive(Debug, Clone, PartialEq)]
pub struct FieldError {
    /// Path of the field, for example `spec.containers[0].name`.
    pub field: String,
    /// What is wrong.
    pub kind: ErrorKind,
    /// The value that was found; null where the message does not show one.
    pub bad_value: Value,
    /// What would be right; may be empty.
    pub detail: String,
}

/// The ways in which a field can be wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorKind {
    /// Absent or empty, and may not be.
    Required,
    /// Malformed or out of range.
    Invalid,
    /// As [`ErrorKind::Invalid`], of a value that is not shown.
    InvalidWhole,
    /// A second one of something unique.
    Duplicate,
    /// Not among the values that exist.
    NotSupported,
    /// May not be set (now, or in this combination).
    Forbidden,
    /// More bytes than allowed.
    TooLong,
    /// More items than allowed.
    TooMany,
    /// Names something that is not there.
    NotFound,
    /// Has the wrong type.
    TypeInvalid,
    /// The server could not tell.
    Internal,
}

impl ErrorKind {
    /// The reason in `details.causes` of a Status.
    #[must_use]
    pub const fn reason(self) -> &'static str {
        match self {
            ErrorKind::Required => "FieldValueRequired",
            ErrorKind::Invalid | ErrorKind::InvalidWhole => "FieldValueInvalid",
            ErrorKind::Duplicate => "FieldValueDuplicate",
            ErrorKind::NotSupported => "FieldValueNotSupported",
            ErrorKind::Forbidden => "FieldValueForbidden",
            ErrorKind::TooLong => "FieldValueTooLong",
            ErrorKind::TooMany => "FieldValueTooMany",
            ErrorKind::NotFound => "FieldValueNotFound",
            ErrorKind::TypeInvalid => "FieldValueTypeInvalid",
            ErrorKind::Internal => "InternalError",
        }
    }

    /// The words a message starts with.
    const fn words(self) -> &'static str {
        match self {
            ErrorKind::Required => "Required value",
            ErrorKind::Invalid | ErrorKind::InvalidWhole | ErrorKind::TypeInvalid => "Invalid value",
            ErrorKind::Duplicate => "Duplicate value",
            ErrorKind::NotSupported => "Unsupported value",
            ErrorKind::Forbidden => "Forbidden",
            ErrorKind::TooLong => "Too long",
            ErrorKind::TooMany => "Too many",
            ErrorKind::NotFound => "Not found",
            ErrorKind::Internal => "Internal error",
        }
    }
}

impl FieldError {
    /// A field that is absent or empty.
    #[must_use]
    pub fn required(field: impl Into<String>, detail: impl Into<String>) -> FieldError {
        FieldError::new(field, ErrorKind::Required, Value::Null, detail)
    }

    /// A value that is malformed or out of range.
    #[must_use]
    pub fn invalid(field: impl Into<String>, bad_value: impl Into<Value>, detail: impl Into<String>) -> FieldError {
        FieldError::new(field, ErrorKind::Invalid, bad_value, detail)
    }

    /// A value that is wrong as a whole, and not shown.
    #[must_use]
    pub fn invalid_whole(field: impl Into<String>, detail: impl Into<String>) -> FieldError {
        FieldError::new(field, ErrorKind::InvalidWhole, Value::Null, detail)
    }

    /// A second one of something unique.
    #[must_use]
    pub fn duplicate(field: impl Into<String>, bad_value: impl Into<Value>) -> FieldError {
        FieldError::new(field, ErrorKind::Duplicate, bad_value, "")
    }

    /// A value that is none of `supported`, which are listed in sorted order.
    #[must_use]
    pub fn not_supported(field: impl Into<String>, bad_value: impl Into<Value>, supported: &[&str]) -> FieldError {
        let mut supported: Vec<String> = supported.iter().map(|value| format!("{value:?}")).collect();
        supported.sort();
        let detail = match supported.len() {
            0 => String::new(),
            _ => format!("supported values: {}", supported.join(", ")),
        };
        FieldError::new(field, ErrorKind::NotSupported, bad_value, detail)
    }

    /// A field that may not be set.
    #[must_use]
    pub fn forbidden(field: impl Into<String>, detail: impl Into<String>) -> FieldError {
        FieldError::new(field, ErrorKind::Forbidden, Value::Null, detail)
    }

    /// A value of more than `bytes_max` bytes.
    #[must_use]
    pub fn too_long(field: impl Into<String>, bytes_max: usize) -> FieldError {
        let detail = format!("may not be more than {bytes_max} bytes");
        FieldError::new(field, ErrorKind::TooLong, Value::Null, detail)
    }

    /// A list of more than `items_max` items.
    #[must_use]
    pub fn too_many(field: impl Into<String>, items: usize, items_max: usize) -> FieldError {
        let plural = if items_max == 1 { "" } else { "s" };
        let detail = format!("must have at most {items_max} item{plural}");
        FieldError::new(field, ErrorKind::TooMany, items, detail)
    }

    /// A reference to something that is not there.
    #[must_use]
    pub fn not_found(field: impl Into<String>, bad_value: impl Into<Value>) -> FieldError {
        FieldError::new(field, ErrorKind::NotFound, bad_value, "")
    }

    fn new(
        field: impl Into<String>,
        kind: ErrorKind,
        bad_value: impl Into<Value>,
        detail: impl Into<String>,
    ) -> FieldError {
        FieldError {
            field: field.into(),
            kind,
            bad_value: bad_value.into(),
            detail: detail.into(),
        }
    }

    /// The message without the field: what a Status carries as a cause's message.
    #[must_use]
    pub fn body(&self) -> String {
        let words = self.kind.words();
        let mut body = match self.kind {
            ErrorKind::Required
            | ErrorKind::Forbidden
            | ErrorKind::InvalidWhole
            | ErrorKind::TooLong
            | ErrorKind::Internal => words.to_owned(),
            ErrorKind::Invalid
            | ErrorKind::Duplicate
            | ErrorKind::NotSupported
            | ErrorKind::TooMany
            | ErrorKind::NotFound
            | ErrorKind::TypeInvalid => format!("{words}: {}", self.bad_value),
        };
        if !self.detail.is_empty() {
            body.push_str(": ");
            body.push_str(&self.detail);
        }
        body
    }
}

impl fmt::Display for FieldError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.field, self.body())
    }
}

impl std::error::Error for FieldError {}
