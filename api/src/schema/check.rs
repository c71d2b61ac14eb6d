//! Unknown fields, and values of the wrong type.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use jiff::Timestamp;
use serde_json::{Map, Value};

use super::types::{Shape, TypeId, Types};
use crate::quantity::Quantity;

/// Most unknown fields that are reported: enough to mend a file, and it bounds the answer.
const REPORTS_MAX: usize = 100;

/// A field has a value of the wrong type. Displays in the words of the Kubernetes decoder.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TypeError {
    /// JSON of another type than the field's.
    #[error("json: cannot unmarshal {found} into Go struct field {owner}.{path} of type {expected}")]
    Mismatch {
        /// What was found, for example `string`.
        found: String,
        /// Name of the struct with the field, for example `DeploymentSpec`.
        owner: String,
        /// Path of the field, for example `spec.replicas`.
        path: String,
        /// The field's type, for example `int32`.
        expected: String,
    },
    /// The document is no object.
    #[error("json: cannot unmarshal {found} into Go value of type {expected}")]
    Root {
        /// What was found, for example `array`.
        found: String,
        /// The type, for example `v1.Pod`.
        expected: String,
    },
    /// Text that is no quantity.
    #[error("{0}")]
    Quantity(#[from] crate::quantity::ParseQuantityError),
    /// Text that is no time.
    #[error("parsing time {text:?} as \"2006-01-02T15:04:05Z07:00\": cannot parse {text:?} as \"2006\"")]
    Time {
        /// The text.
        text: String,
    },
    /// Text that is not base64.
    #[error("illegal base64 data at input byte {offset}")]
    Base64 {
        /// Where it goes wrong.
        offset: usize,
    },
}

/// `unknown field "spec.foo"` for each field that the type does not have.
pub(super) fn unknown_fields(types: &Types, root: TypeId, object: &Value) -> Vec<String> {
    let mut walk = Unknown {
        types,
        path: String::new(),
        reports: Vec::new(),
    };
    walk.shape(&Shape::Struct(root), object);
    walk.reports
}

struct Unknown<'a> {
    types: &'a Types,
    path: String,
    reports: Vec<String>,
}

impl Unknown<'_> {
    fn shape(&mut self, shape: &Shape, value: &Value) {
        let length = self.path.len();
        match (shape, value) {
            (Shape::Struct(id), Value::Object(fields)) => {
                for (name, value) in fields {
                    push_name(&mut self.path, name);
                    match self.types.field(*id, name) {
                        Some(field) => self.shape(&field.shape, value),
                        None if self.reports.len() < REPORTS_MAX => {
                            self.reports.push(format!("unknown field {:?}", self.path));
                        }
                        None => {}
                    }
                    self.path.truncate(length);
                }
            }
            (Shape::List(item), Value::Array(values)) if item.has_fields() => {
                for (index, value) in values.iter().enumerate() {
                    self.path.push_str(&format!("[{index}]"));
                    self.shape(item, value);
                    self.path.truncate(length);
                }
            }
            (Shape::Map(item), Value::Object(values)) if item.has_fields() => {
                for (name, value) in values {
                    push_name(&mut self.path, name);
                    self.shape(item, value);
                    self.path.truncate(length);
                }
            }
            _ => {}
        }
    }
}

impl Shape {
    /// Whether structs are in there.
    fn has_fields(&self) -> bool {
        match self {
            Shape::Struct(_) => true,
            Shape::List(item) | Shape::Map(item) => item.has_fields(),
            _ => false,
        }
    }
}

/// The first value that is not of its field's type.
pub(super) fn types_agree(types: &Types, root: TypeId, object: &Value) -> Result<(), TypeError> {
    let Value::Object(fields) = object else {
        return Err(TypeError::Root {
            found: found(object),
            expected: go_type(types, &Shape::Struct(root)),
        });
    };
    Agree {
        types,
        path: String::new(),
        owner: root,
    }
    .fields(root, fields)
}

struct Agree<'a> {
    types: &'a Types,
    path: String,
    /// The struct whose field is looked at.
    owner: TypeId,
}

impl Agree<'_> {
    fn fields(&mut self, id: TypeId, fields: &Map<String, Value>) -> Result<(), TypeError> {
        let length = self.path.len();
        for (name, value) in fields {
            let Some(field) = self.types.field(id, name) else {
                continue;
            };
            push_name(&mut self.path, name);
            self.owner = id;
            self.shape(&field.shape, value)?;
            self.path.truncate(length);
        }
        Ok(())
    }

    fn shape(&mut self, shape: &Shape, value: &Value) -> Result<(), TypeError> {
        match (shape, value) {
            (_, Value::Null)
            | (Shape::Any, _)
            | (Shape::String, Value::String(_))
            | (Shape::Double, Value::Number(_))
            | (Shape::Bool, Value::Bool(_)) => Ok(()),
            (Shape::Int32, Value::Number(number)) => {
                let fits = number.as_i64().is_some_and(|number| i32::try_from(number).is_ok());
                self.fits(fits, shape, value)
            }
            (Shape::Int64, Value::Number(number)) => self.fits(number.is_i64(), shape, value),
            (Shape::Bytes, Value::String(text)) => check_base64(text),
            (Shape::Quantity, Value::String(text)) => Ok(Quantity::parse(text).map(drop)?),
            (Shape::Quantity, Value::Number(number)) => Ok(Quantity::parse(&number.to_string()).map(drop)?),
            (Shape::IntOrString, Value::String(_)) => Ok(()),
            (Shape::IntOrString, Value::Number(number)) => {
                let fits = number.as_i64().is_some_and(|number| i32::try_from(number).is_ok());
                self.fits(fits, &Shape::Int32, value)
            }
            (Shape::Time | Shape::MicroTime, Value::String(text)) => match text.parse::<Timestamp>() {
                Ok(_) => Ok(()),
                Err(_) => Err(TypeError::Time { text: text.clone() }),
            },
            (Shape::Struct(id), Value::Object(fields)) => {
                let owner = self.owner;
                self.fields(*id, fields)?;
                self.owner = owner;
                Ok(())
            }
            (Shape::List(item), Value::Array(values)) => values.iter().try_for_each(|value| self.shape(item, value)),
            (Shape::Map(item), Value::Object(values)) => values.values().try_for_each(|value| self.shape(item, value)),
            (shape, value) => self.fits(false, shape, value),
        }
    }

    fn fits(&self, fits: bool, shape: &Shape, value: &Value) -> Result<(), TypeError> {
        if fits {
            return Ok(());
        }
        let number = match (shape, value) {
            // A number that is of the right kind but does not fit is shown.
            (Shape::Int32 | Shape::Int64, Value::Number(number)) => format!(" {number}"),
            _ => String::new(),
        };
        Err(TypeError::Mismatch {
            found: format!("{}{number}", found(value)),
            owner: self.types.short_name(self.owner).to_owned(),
            path: self.path.clone(),
            expected: go_type(self.types, shape),
        })
    }
}

fn check_base64(text: &str) -> Result<(), TypeError> {
    use base64::DecodeError;
    let offset = match STANDARD.decode(text) {
        Ok(_) => return Ok(()),
        Err(DecodeError::InvalidByte(offset, _) | DecodeError::InvalidLastSymbol(offset, _)) => offset,
        Err(DecodeError::InvalidLength(_) | DecodeError::InvalidPadding) => text.len(),
    };
    Err(TypeError::Base64 { offset })
}

fn found(value: &Value) -> String {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "bool",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
    .to_owned()
}

/// The type as the Kubernetes decoder names it.
fn go_type(types: &Types, shape: &Shape) -> String {
    match shape {
        Shape::String => "string".to_owned(),
        Shape::Bytes => "[]uint8".to_owned(),
        Shape::Int32 | Shape::IntOrString => "int32".to_owned(),
        Shape::Int64 => "int64".to_owned(),
        Shape::Double => "float64".to_owned(),
        Shape::Bool => "bool".to_owned(),
        Shape::Quantity => "resource.Quantity".to_owned(),
        Shape::Time => "v1.Time".to_owned(),
        Shape::MicroTime => "v1.MicroTime".to_owned(),
        Shape::Any => "interface {}".to_owned(),
        Shape::Struct(id) => format!("{}.{}", types.version(*id), types.short_name(*id)),
        Shape::List(item) => format!("[]{}", go_type(types, item)),
        Shape::Map(item) => format!("map[string]{}", go_type(types, item)),
    }
}

fn push_name(path: &mut String, name: &str) {
    if !path.is_empty() {
        path.push('.');
    }
    path.push_str(name);
}
