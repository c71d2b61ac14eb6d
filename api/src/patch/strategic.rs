//! Strategic merge patch: a merge patch that knows which lists are maps by a key.
//!
//! Source: "Update API Objects in Place Using kubectl patch"; the design notes of strategic merge patch in
//! Kubernetes' community documents; `k8s.io/apimachinery/pkg/util/strategicpatch`, by behaviour.

use std::collections::{HashMap, HashSet};

use serde_json::{Map, Value};

use super::PatchError;
use crate::{
    resource::Resource,
    schema::{Field, Shape, Types, types},
};

const DIRECTIVE: &str = "$patch";
const RETAIN_KEYS: &str = "$retainKeys";
const ELEMENT_ORDER: &str = "$setElementOrder/";
const DELETE_PRIMITIVES: &str = "$deleteFromPrimitiveList/";

/// Merges a strategic merge patch: lists of objects by their keys, with `$patch`, `$setElementOrder`, `$retainKeys`
/// and `$deleteFromPrimitiveList`.
///
/// # Errors
/// When the patch is malformed; the object is then as before.
pub fn strategic_merge(resource: &Resource, object: &mut Value, patch: &Value) -> Result<(), PatchError> {
    let (Value::Object(target), Value::Object(patch)) = (&*object, patch) else {
        return Err(malformed("a strategic merge patch must be an object"));
    };
    let types = types();
    let shape = types.get(resource.definition).map_or(Shape::Any, Shape::Struct);
    let mut merged = target.clone();
    Merge { types }.map(&shape, &mut merged, patch)?;
    *object = Value::Object(merged);
    Ok(())
}

struct Merge<'a> {
    types: &'a Types,
}

impl Merge<'_> {
    fn map(
        &self,
        shape: &Shape,
        target: &mut Map<String, Value>,
        patch: &Map<String, Value>,
    ) -> Result<(), PatchError> {
        match patch.get(DIRECTIVE).map(|directive| directive.as_str()) {
            None | Some(Some("merge")) => {}
            Some(Some("replace")) => {
                *target = without_directives(patch);
                return Ok(());
            }
            Some(Some("delete")) => {
                target.clear();
                return Ok(());
            }
            Some(_) => return Err(unknown_directive(&patch[DIRECTIVE])),
        }
        if let Some(retained) = patch.get(RETAIN_KEYS) {
            retain_keys(target, patch, retained)?;
        }
        for (name, value) in patch {
            if name == DIRECTIVE || name == RETAIN_KEYS {
                continue;
            }
            if let Some(field) = name.strip_prefix(DELETE_PRIMITIVES) {
                // Applied with the list itself when the patch has both.
                if !patch.contains_key(field) {
                    delete_primitives(target.get_mut(field), value)?;
                }
            } else if let Some(field) = name.strip_prefix(ELEMENT_ORDER) {
                if !patch.contains_key(field) {
                    self.reorder(shape, field, target, value)?;
                }
            } else {
                self.field(shape, name, target, patch, value)?;
            }
        }
        Ok(())
    }

    fn field(
        &self,
        shape: &Shape,
        name: &str,
        target: &mut Map<String, Value>,
        patch: &Map<String, Value>,
        value: &Value,
    ) -> Result<(), PatchError> {
        let field = self.field_of(shape, name);
        let inner = inner_shape(shape, field);
        match (value, target.get_mut(name)) {
            (Value::Null, _) => {
                target.remove(name);
            }
            (Value::Object(change), Some(Value::Object(current))) => {
                self.map(inner, current, change)?;
                if change.get(DIRECTIVE).and_then(Value::as_str) == Some("delete") {
                    target.remove(name);
                }
            }
            (Value::Array(change), current) => {
                let key = match field {
                    Some(field) if field.merges => field.merge_key.as_deref(),
                    _ => {
                        // Not a list that merges: it replaces what is there.
                        target.insert(name.to_owned(), clean(value));
                        return Ok(());
                    }
                };
                let before = match current {
                    Some(Value::Array(items)) => std::mem::take(items),
                    _ => Vec::new(),
                };
                let order = patch.get(&format!("{ELEMENT_ORDER}{name}"));
                let deleted = patch.get(&format!("{DELETE_PRIMITIVES}{name}"));
                let merged = match key {
                    Some(key) => self.objects(item_shape(inner), key, before, change, order)?,
                    None => primitives(before, change, deleted, order)?,
                };
                target.insert(name.to_owned(), Value::Array(merged));
            }
            (Value::Object(change), _) => {
                if change.get(DIRECTIVE).and_then(Value::as_str) == Some("delete") {
                    target.remove(name);
                } else {
                    target.insert(name.to_owned(), clean(value));
                }
            }
            (value, _) => {
                target.insert(name.to_owned(), value.clone());
            }
        }
        Ok(())
    }

    /// Merges the elements of `change` into a list whose elements are told apart by `key`.
    fn objects(
        &self,
        shape: &Shape,
        key: &str,
        before: Vec<Value>,
        change: &[Value],
        order: Option<&Value>,
    ) -> Result<Vec<Value>, PatchError> {
        let replaces = change.iter().any(|item| item[DIRECTIVE] == "replace");
        let mut items = Keyed::new(key, if replaces { Vec::new() } else { before.clone() });
        for item in change {
            let Value::Object(fields) = item else {
                return Err(malformed("an element of a list that merges by a key must be an object"));
            };
            match fields.get(DIRECTIVE).map(|directive| directive.as_str()) {
                None | Some(Some("merge")) => {}
                Some(Some("delete")) => {
                    items.remove(element_key(fields, key)?);
                    continue;
                }
                Some(Some("replace")) => {
                    // Alone it only says that the list is replaced; with content it is an element of it.
                    if fields.len() == 1 {
                        continue;
                    }
                }
                Some(_) => return Err(unknown_directive(&fields[DIRECTIVE])),
            }
            match items.get_mut(element_key(fields, key)?) {
                Some(Value::Object(current)) => self.map(shape, current, fields)?,
                _ => items.push(clean(item)),
            }
        }
        let items = items.into_list();
        match order {
            Some(order) => ordered(
                items,
                &before,
                order,
                |item| item.get(key).cloned().unwrap_or_default(),
                key,
            ),
            None => Ok(items),
        }
    }

    /// `$setElementOrder` without changes of elements.
    fn reorder(
        &self,
        shape: &Shape,
        name: &str,
        target: &mut Map<String, Value>,
        order: &Value,
    ) -> Result<(), PatchError> {
        let Some(Value::Array(items)) = target.get_mut(name) else {
            return Ok(());
        };
        let key = match self.field_of(shape, name) {
            Some(field) if field.merges => field.merge_key.as_deref(),
            _ => return Ok(()),
        };
        let before = std::mem::take(items);
        *items = match key {
            Some(key) => ordered(
                before.clone(),
                &before,
                order,
                |item| item.get(key).cloned().unwrap_or_default(),
                key,
            )?,
            None => ordered(before.clone(), &before, order, Value::clone, "")?,
        };
        Ok(())
    }

    fn field_of(&self, shape: &Shape, name: &str) -> Option<&Field> {
        match shape {
            Shape::Struct(id) => self.types.field(*id, name),
            _ => None,
        }
    }
}

/// A list whose elements are told apart by a key. A big patch of a big list takes time in proportion to both.
struct Keyed<'a> {
    key: &'a str,
    /// None where an element was removed.
    items: Vec<Option<Value>>,
    places: HashMap<Value, Vec<usize>>,
}

impl Keyed<'_> {
    fn new(key: &str, list: Vec<Value>) -> Keyed<'_> {
        let mut keyed = Keyed {
            key,
            items: Vec::with_capacity(list.len()),
            places: HashMap::with_capacity(list.len()),
        };
        list.into_iter().for_each(|item| keyed.push(item));
        keyed
    }

    fn push(&mut self, item: Value) {
        let id = item[self.key].clone();
        self.places.entry(id).or_default().push(self.items.len());
        self.items.push(Some(item));
    }

    /// The first element with this key. Its key must stay.
    fn get_mut(&mut self, id: &Value) -> Option<&mut Value> {
        let first = *self.places.get(id)?.first()?;
        self.items[first].as_mut()
    }

    /// Removes every element with this key.
    fn remove(&mut self, id: &Value) {
        for place in self.places.remove(id).unwrap_or_default() {
            self.items[place] = None;
        }
    }

    fn into_list(self) -> Vec<Value> {
        self.items.into_iter().flatten().collect()
    }
}

fn inner_shape<'a>(outer: &'a Shape, field: Option<&'a Field>) -> &'a Shape {
    match (field, outer) {
        (Some(field), _) => &field.shape,
        (None, Shape::Map(item)) => item,
        (None, _) => &Shape::Any,
    }
}

fn item_shape(list: &Shape) -> &Shape {
    match list {
        Shape::List(item) => item,
        _ => &Shape::Any,
    }
}

fn retain_keys(
    target: &mut Map<String, Value>,
    patch: &Map<String, Value>,
    retained: &Value,
) -> Result<(), PatchError> {
    let Some(retained) = retained.as_array() else {
        return Err(malformed("invalid patch format of retainKeys: must be a list"));
    };
    let retained: HashSet<&str> = retained.iter().filter_map(Value::as_str).collect();
    for (name, value) in patch {
        let is_set = !name.starts_with('$') && !value.is_null();
        if is_set && !retained.contains(name.as_str()) {
            return Err(malformed(&format!(
                "patch doesn't have keys in {RETAIN_KEYS} list: {name:?} is set but not retained"
            )));
        }
    }
    target.retain(|name, _| retained.contains(name.as_str()));
    Ok(())
}

fn delete_primitives(list: Option<&mut Value>, deleted: &Value) -> Result<(), PatchError> {
    let Some(deleted) = deleted.as_array() else {
        return Err(malformed(
            "invalid patch format of deleteFromPrimitiveList: must be a list",
        ));
    };
    if let Some(Value::Array(items)) = list {
        let deleted: HashSet<&Value> = deleted.iter().collect();
        items.retain(|item| !deleted.contains(item));
    }
    Ok(())
}

/// Merges lists of scalars: what is new is added at the end.
fn primitives(
    before: Vec<Value>,
    change: &[Value],
    deleted: Option<&Value>,
    order: Option<&Value>,
) -> Result<Vec<Value>, PatchError> {
    let mut list = Value::Array(before.clone());
    if let Some(deleted) = deleted {
        delete_primitives(Some(&mut list), deleted)?;
    }
    let Value::Array(mut items) = list else {
        return Ok(before);
    };
    let mut known: HashSet<&Value> = HashSet::with_capacity(change.len());
    known.extend(&before);
    if let Some(Value::Array(deleted)) = deleted {
        deleted.iter().for_each(|item| {
            known.remove(item);
        });
    }
    for item in change {
        if known.insert(item) {
            items.push(item.clone());
        }
    }
    match order {
        Some(order) => ordered(items, &before, order, Value::clone, ""),
        None => Ok(items),
    }
}

/// Puts `items` into the order that the patch gives; those it does not name keep their place relative to each other,
/// and stand where the list before had them.
fn ordered(
    items: Vec<Value>,
    before: &[Value],
    order: &Value,
    id: impl Fn(&Value) -> Value,
    key: &str,
) -> Result<Vec<Value>, PatchError> {
    let Some(order) = order.as_array() else {
        return Err(malformed("invalid patch format of setElementOrder: must be a list"));
    };
    let order = first_places(order.iter().map(|entry| match entry {
        Value::Object(fields) => fields.get(key).cloned().unwrap_or_default(),
        scalar => scalar.clone(),
    }));
    let before = first_places(before.iter().map(&id));
    let place = |item: &Value| order.get(&id(item)).copied();
    let place_before = |item: &Value| before.get(&id(item)).copied();
    let (mut named, mut others): (Vec<Value>, Vec<Value>) = items.into_iter().partition(|item| place(item).is_some());
    named.sort_by_cached_key(place);
    others.sort_by_cached_key(|item| place_before(item).unwrap_or(usize::MAX));

    let mut merged = Vec::with_capacity(named.len() + others.len());
    let mut others = others.into_iter().peekable();
    for item in named {
        while let Some(other) = others.peek() {
            let other_stood_first = match (place_before(other), place_before(&item)) {
                (Some(other), Some(item)) => other < item,
                _ => false,
            };
            if !other_stood_first {
                break;
            }
            merged.extend(others.next());
        }
        merged.push(item);
    }
    merged.extend(others);
    Ok(merged)
}

/// Where each value stands first.
fn first_places(values: impl Iterator<Item = Value>) -> HashMap<Value, usize> {
    let mut places = HashMap::new();
    for (place, value) in values.enumerate() {
        places.entry(value).or_insert(place);
    }
    places
}

/// A value of the patch that has nothing to merge with: without directives and nulls.
fn clean(value: &Value) -> Value {
    match value {
        Value::Object(fields) => Value::Object(without_directives(fields)),
        Value::Array(items) => Value::Array(
            items
                .iter()
                .filter(|item| {
                    let directive = item.get(DIRECTIVE).and_then(Value::as_str);
                    let is_marker = directive == Some("replace") && item.as_object().is_some_and(|map| map.len() == 1);
                    directive != Some("delete") && !is_marker
                })
                .map(clean)
                .collect(),
        ),
        scalar => scalar.clone(),
    }
}

fn without_directives(fields: &Map<String, Value>) -> Map<String, Value> {
    fields
        .iter()
        .filter(|(name, value)| {
            let is_directive = *name == DIRECTIVE
                || *name == RETAIN_KEYS
                || name.starts_with(ELEMENT_ORDER)
                || name.starts_with(DELETE_PRIMITIVES);
            !is_directive && !value.is_null()
        })
        .map(|(name, value)| (name.clone(), clean(value)))
        .collect()
}

fn element_key<'a>(fields: &'a Map<String, Value>, key: &str) -> Result<&'a Value, PatchError> {
    fields.get(key).filter(|value| !value.is_null()).ok_or_else(|| {
        malformed(&format!(
            "map: {} does not contain declared merge key: {key}",
            Value::Object(fields.clone())
        ))
    })
}

fn unknown_directive(directive: &Value) -> PatchError {
    malformed(&format!("unknown patch type found: {directive}"))
}

fn malformed(text: &str) -> PatchError {
    PatchError::Malformed(text.to_owned())
}
