//! An object without some of its fields.

use serde_json::{Map, Value};

use super::{
    element,
    place::{Handling, Place, handling, item_step},
    set::FieldSet,
};

/// The value without the members of the set; none if nothing is left of it. An atomic list or map goes as a whole as
/// soon as the set has something in it.
#[must_use]
pub fn remove<P: Place>(place: P, value: Value, set: &FieldSet) -> Option<Value> {
    let keys: Vec<Box<str>> = match handling(&place, [Some(&value), None]) {
        Handling::Leaf if value.is_object() || value.is_array() => return None,
        Handling::Leaf => return Some(value),
        Handling::Fields => Vec::new(),
        Handling::Items(keys) => keys.to_vec(),
    };
    match value {
        Value::Object(fields) => {
            let mut kept = Map::new();
            for (name, value) in fields {
                let step = element::field(&name);
                if set.has(&step) {
                    continue;
                }
                let left = match (set.below(&step), place.field(&name)) {
                    (Some(below), Some(child)) => remove(child.place, value, &below),
                    _ => Some(value),
                };
                kept.extend(left.map(|left| (name, left)));
            }
            (!kept.is_empty()).then_some(Value::Object(kept))
        }
        Value::Array(items) => {
            let mut kept = Vec::with_capacity(items.len());
            for item in items {
                let Ok(step) = item_step(&place, &keys, &item) else {
                    kept.push(item);
                    continue;
                };
                if set.has(&step) {
                    continue;
                }
                kept.extend(match (set.below(&step), place.item()) {
                    (Some(below), Some(inner)) => remove(inner, item, &below),
                    _ => Some(item),
                });
            }
            (!kept.is_empty()).then_some(Value::Array(kept))
        }
        scalar => Some(scalar),
    }
}
