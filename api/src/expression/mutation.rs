//! What expressions that change objects come to: configurations to be merged, and operations of JSON patches.
//!
//! Source: Kubernetes, "Mutating Admission Policy", "CEL expressions".

use serde_json::{Map, Value};

use super::{Answer, CompileError, Expression};
use crate::custom::expressions::{Constructions, JSON_PATCH, OBJECT, TYPE};

/// The value of an expression is none that an object can be changed by.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MismatchError {
    /// A construction stands at a field that has another type.
    #[error(
        "type mismatch: unexpected type name {found:?}, expected {expected:?}, which matches field name path from root \
         Object type"
    )]
    Name {
        /// The type that was constructed.
        found: String,
        /// The type of the field.
        expected: String,
    },
    /// It is no object.
    #[error("type mismatch: ApplyConfiguration.expression should evaluate to Object")]
    NoObject,
    /// It is no list.
    #[error("type mismatch: JSONPatch.expression should evaluate to array")]
    NoList,
    /// It is a list of other things.
    #[error("type mismatch: JSONPatch.expression should evaluate to array of JSONPatch")]
    NoOperations,
}

impl Expression {
    /// Reads an expression that may construct objects and operations of JSON patches.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn compile_mutation(text: &str) -> Result<Expression, CompileError> {
        Expression::compile_with(text, Constructions::Mutations)
    }
}

impl Answer {
    /// The configuration that was constructed.
    ///
    /// # Errors
    /// When it is none, or a construction in it stands in a wrong place.
    pub fn into_configuration(self) -> Result<Value, MismatchError> {
        let value = self.into_json();
        if type_name(&value) != Some(OBJECT) {
            return Err(MismatchError::NoObject);
        }
        untyped(value, OBJECT)
    }

    /// The JSON patch that was constructed.
    ///
    /// # Errors
    /// When it is none, or a construction in it stands in a wrong place.
    pub fn into_json_patch(self) -> Result<Value, MismatchError> {
        let Value::Array(operations) = self.into_json() else {
            return Err(MismatchError::NoList);
        };
        operations.into_iter().map(operation).collect()
    }
}

fn operation(value: Value) -> Result<Value, MismatchError> {
    let fields = match value {
        Value::Object(fields) if fields.get(TYPE).is_some_and(|name| name == JSON_PATCH) => fields,
        _ => return Err(MismatchError::NoOperations),
    };
    let given = fields.into_iter().filter(|(name, _)| name != TYPE);
    let fields = given.map(|(name, value)| {
        let path = type_name(&value).unwrap_or(OBJECT).to_owned();
        Ok((name, untyped(value, &path)?))
    });
    fields.collect::<Result<Map<_, _>, _>>().map(Value::Object)
}

/// The type that was constructed, if the value was.
fn type_name(value: &Value) -> Option<&str> {
    value.get(TYPE)?.as_str()
}

/// The value without the names of types in it, which must be those of the fields where they stand. Maps and lists
/// between them have no names.
fn untyped(value: Value, path: &str) -> Result<Value, MismatchError> {
    match value {
        Value::Object(mut fields) => {
            let found = fields.remove(TYPE);
            let is_typed = match found.as_ref().and_then(Value::as_str) {
                Some(found) if found != path => {
                    return Err(MismatchError::Name {
                        found: found.to_owned(),
                        expected: path.to_owned(),
                    });
                }
                found => found.is_some(),
            };
            let field = |(name, value): (String, Value)| {
                let value = if is_typed {
                    untyped(value, &format!("{path}.{name}"))?
                } else {
                    untyped(value, path)?
                };
                Ok((name, value))
            };
            fields
                .into_iter()
                .map(field)
                .collect::<Result<Map<_, _>, _>>()
                .map(Value::Object)
        }
        Value::Array(items) => items.into_iter().map(|item| untyped(item, path)).collect(),
        scalar => Ok(scalar),
    }
}
