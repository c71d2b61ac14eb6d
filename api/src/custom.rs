//! Kinds that CustomResourceDefinitions add: their rows of the table, and what their schema makes of their objects.
//!
//! Never here: which definitions there are (the server's registry), whether one is acceptable (`validation`).
//! Source: Kubernetes, "Extend the Kubernetes API with CustomResourceDefinitions".

mod check;
mod columns;
mod defaults;
mod definition;
mod formats;
mod path;
mod place;
mod prune;
pub(crate) mod published;
mod rules;
mod scale;
mod schema;

use std::fmt;

use jiff::Timestamp;
use serde_json::{Value, json};

/// What expressions over whole objects share with rules of schemas.
pub(crate) mod expressions {
    pub(crate) use super::rules::{Constructions, JSON_PATCH, OBJECT, Program, TYPE, plain, register, width};
}

pub use self::definition::{ROWS_MAX, TooManyRows, forms, is_established, rows};
pub(crate) use self::path::Path;
pub use self::place::KindPlace;
use self::{columns::Column, scale::ScalePaths, schema::Schema};
use crate::{
    schema::{TypeError, check_types_of},
    validation::FieldError,
};

/// What a version of a definition adds to its row of the table. Compared by identity: equal versions share one.
pub struct Custom {
    storage_api_version: String,
    schema: Schema,
    columns: Vec<Column>,
    scale: Option<ScalePaths>,
    /// The schema as it was declared.
    declared: Value,
    warning: Option<String>,
}

impl Custom {
    /// The `apiVersion` under which objects are stored.
    #[must_use]
    pub fn storage_api_version(&self) -> &str {
        &self.storage_api_version
    }

    /// What clients are told who use the version, if it is deprecated.
    #[must_use]
    pub fn warning(&self) -> Option<&str> {
        self.warning.as_deref()
    }

    /// Removes what the schema does not know; answers `unknown field "spec.a"` for each such field, at most a hundred.
    pub fn prune(&self, object: &mut Value) -> Vec<String> {
        prune::unknown_fields(&self.schema, object)
    }

    /// Fills in what the object leaves open, and drops nulls that stand for nothing. Applying it twice changes nothing
    /// more.
    pub fn apply_defaults(&self, object: &mut Value) {
        defaults::apply(&self.schema, object);
        prune::nulls(&self.schema, object);
    }

    /// An object as it is stored, as the version shows it: of the version, with its fields and defaults.
    pub fn show(&self, api_version: &str, object: &mut Value) {
        object["apiVersion"] = json!(api_version);
        self.prune(object);
        self.apply_defaults(object);
    }

    /// Checks that the metadata has values of the right types.
    ///
    /// # Errors
    /// The first value that has not.
    pub fn check_metadata(object: &Value) -> Result<(), TypeError> {
        match object.get("metadata") {
            Some(metadata) if !metadata.is_null() => check_types_of(prune::METADATA, metadata),
            _ => Ok(()),
        }
    }

    /// Everything that the schema and its rules say against the object. `old` is the version that it replaces.
    #[must_use]
    pub fn validate(&self, object: &Value, old: Option<&Value>) -> Vec<FieldError> {
        /// Faults after which rules would be asked of values that they were not written for.
        fn blocks(fault: &FieldError) -> bool {
            use crate::validation::ErrorKind;
            matches!(
                fault.kind,
                ErrorKind::NotSupported
                    | ErrorKind::Required
                    | ErrorKind::TooLong
                    | ErrorKind::TooMany
                    | ErrorKind::TypeInvalid
            )
        }
        let mut faults = check::object(&self.schema, object, old);
        if faults.iter().any(blocks) {
            if rules::has_any(&self.schema) {
                let reason = "some validation rules were not checked because the object was invalid; correct the \
                              existing errors to complete validation";
                faults.push(FieldError::invalid("<nil>", Value::Null, reason));
            }
        } else {
            faults.extend(rules::faults(&self.schema, object, old));
        }
        faults
    }

    /// The declared columns beside the name, as tables declare them.
    pub(crate) fn column_definitions(&self) -> impl Iterator<Item = Value> {
        self.columns.iter().map(Column::definition)
    }

    /// The object's values in these columns.
    pub(crate) fn cells(&self, object: &Value, now: Timestamp) -> impl Iterator<Item = Value> {
        self.columns.iter().map(move |column| column.cell(object, now))
    }

    /// The replicas that are asked for, those that there are, and the label selector as text.
    #[must_use]
    pub fn scale_of(&self, object: &Value) -> Option<(i64, i64, String)> {
        self.scale.as_ref().map(|scale| scale.of(object))
    }

    /// Sets the replicas that are asked for.
    pub fn set_scale(&self, object: &mut Value, replicas: i64) {
        if let Some(scale) = &self.scale {
            scale.set(object, replicas);
        }
    }
}

/// Everything that a schema, as it is declared, says against a value at a path; the value is one that the schema itself
/// names.
pub(crate) fn check_declared(schema: &Value, value: &Value, path: &str) -> Vec<FieldError> {
    check::value(&Schema::parse(schema), value, path)
}

/// Whether an expression of the rules' language can be understood.
///
/// # Errors
/// What is wrong with it, in the words of the compiler.
pub(crate) fn check_expression(expression: &str) -> Result<(), String> {
    rules::Program::compile(expression).map(drop)
}

impl PartialEq for Custom {
    fn eq(&self, other: &Custom) -> bool {
        std::ptr::eq(self, other)
    }
}

impl Eq for Custom {}

impl fmt::Debug for Custom {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Custom")
            .field("storage_api_version", &self.storage_api_version)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
