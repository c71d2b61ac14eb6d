//! The form in which objects are stored: only known fields, nothing that means "absent" (nulls, empty lists and maps of
//! optional fields among it), canonical quantities.

use serde_json::{Map, Value};

use super::{
    types::{Shape, TypeId, Types},
    zero::{empty_is_absent, zero_is_absent},
};
use crate::quantity::Quantity;

pub(super) fn prune(types: &Types, root: TypeId, object: &mut Value) {
    if let Value::Object(fields) = object {
        prune_fields(types, root, fields);
    }
}

fn prune_fields(types: &Types, id: TypeId, fields: &mut Map<String, Value>) {
    let type_name = types.short_name(id);
    fields.retain(|name, value| {
        let Some(field) = types.field(id, name) else {
            return false;
        };
        let absent = match value {
            Value::Null => true,
            Value::String(text) => text.is_empty() && !field.required && empty_is_absent(type_name, name),
            Value::Bool(false) => !field.required && zero_is_absent(type_name, name),
            Value::Number(number) => number.as_i64() == Some(0) && !field.required && zero_is_absent(type_name, name),
            Value::Array(items) => items.is_empty() && !field.required,
            // A struct without fields is a value; a map without entries is none.
            Value::Object(entries) => entries.is_empty() && !field.required && matches!(field.shape, Shape::Map(_)),
            Value::Bool(true) => false,
        };
        if !absent {
            prune_value(types, &field.shape, value);
        }
        !absent
    });
}

fn prune_value(types: &Types, shape: &Shape, value: &mut Value) {
    match (shape, value) {
        (Shape::Struct(id), Value::Object(fields)) => prune_fields(types, *id, fields),
        (Shape::List(item), Value::Array(values)) => {
            for value in values {
                fill_null(item, value);
                prune_value(types, item, value);
            }
        }
        (Shape::Map(item), Value::Object(values)) => {
            for value in values.values_mut() {
                fill_null(item, value);
                prune_value(types, item, value);
            }
        }
        (Shape::Quantity, value) => {
            let text = match value {
                Value::String(text) => text.as_str(),
                Value::Number(number) => &number.to_string(),
                _ => return,
            };
            if let Ok(quantity) = Quantity::parse(text) {
                *value = Value::String(quantity.to_string());
            }
        }
        _ => {}
    }
}

/// In lists and maps, null stands for the empty value of the type.
fn fill_null(shape: &Shape, value: &mut Value) {
    if !value.is_null() {
        return;
    }
    *value = match shape {
        Shape::String | Shape::Bytes => Value::from(""),
        Shape::Int32 | Shape::Int64 | Shape::IntOrString => Value::from(0),
        Shape::Double => Value::from(0.0),
        Shape::Bool => Value::from(false),
        Shape::Quantity => Value::from("0"),
        Shape::Struct(_) | Shape::Map(_) => Value::Object(Map::new()),
        Shape::List(_) => Value::Array(Vec::new()),
        Shape::Time | Shape::MicroTime | Shape::Any => return,
    };
}
