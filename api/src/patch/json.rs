//! JSON merge patch and JSON patch.

use json_patch::{PatchOperation, jsonptr::PointerBuf};
use serde_json::Value;

use super::{CARRIED_BYTES_MAX, JSON_PATCH_OPERATIONS_MAX, PatchError, SHIFTED_BYTES_MAX};
use crate::schema::DEPTH_MAX;

/// Merges a JSON merge patch: null removes, lists replace.
///
/// # Errors
/// When the patch is not an object.
pub fn json_merge(object: &mut Value, patch: &Value) -> Result<(), PatchError> {
    if !patch.is_object() {
        return Err(PatchError::Malformed("a merge patch must be an object".to_owned()));
    }
    json_patch::merge(object, patch);
    Ok(())
}

/// Applies a JSON patch, all of it or nothing.
///
/// # Errors
/// When the patch is malformed or too big, names what is not there, or a test in it fails; the object is then as
/// before.
pub fn json_patch(object: &mut Value, patch: &[u8]) -> Result<(), PatchError> {
    let patch: json_patch::Patch =
        serde_json::from_slice(patch).map_err(|err| PatchError::Malformed(err.to_string()))?;
    if patch.0.len() > JSON_PATCH_OPERATIONS_MAX {
        return Err(PatchError::Malformed(format!(
            "the allowed maximum operations in a JSON patch is {JSON_PATCH_OPERATIONS_MAX}, got {}",
            patch.0.len()
        )));
    }
    let mut patched = object.clone();
    let mut carried = weight(&patched);
    let mut shifted = 0;
    for operation in &patch.0 {
        shifted += shifts(operation, &patched);
        if shifted > SHIFTED_BYTES_MAX {
            return Err(PatchError::Malformed(
                "the patch adds to and removes from long lists too often".to_owned(),
            ));
        }
        carried += check_bounds(operation, &patched)?;
        if carried > CARRIED_BYTES_MAX {
            return Err(PatchError::Malformed(format!(
                "the patch copies and moves more than {CARRIED_BYTES_MAX} bytes"
            )));
        }
        json_patch::patch(&mut patched, std::slice::from_ref(operation)).map_err(|err| match operation {
            PatchOperation::Test(_) => PatchError::TestFailed(err.to_string()),
            _ => PatchError::Inapplicable(err.to_string()),
        })?;
    }
    *object = patched;
    Ok(())
}

/// Checks that the operation nests nothing too deep; returns how much it copies or moves.
fn check_bounds(operation: &PatchOperation, object: &Value) -> Result<usize, PatchError> {
    let (path, depth, carried) = match operation {
        PatchOperation::Add(add) => (&add.path, depth(&add.value, 0), 0),
        PatchOperation::Replace(replace) => (&replace.path, depth(&replace.value, 0), 0),
        PatchOperation::Move(step) => source(object, &step.from, &step.path),
        PatchOperation::Copy(step) => source(object, &step.from, &step.path),
        PatchOperation::Remove(_) | PatchOperation::Test(_) => return Ok(0),
    };
    if path.as_str().matches('/').count() + depth > DEPTH_MAX {
        return Err(PatchError::Malformed(format!(
            "the patch nests the object deeper than {DEPTH_MAX} levels"
        )));
    }
    Ok(carried)
}

/// About how many bytes of lists make room or close a gap.
fn shifts(operation: &PatchOperation, object: &Value) -> usize {
    let behind = |path: &PointerBuf| {
        let (list, index) = path.as_str().rsplit_once('/').unwrap_or_default();
        let items = object.pointer(list).and_then(Value::as_array).map_or(0, Vec::len);
        let index = index.parse().unwrap_or(items);
        items.saturating_sub(index) * size_of::<Value>()
    };
    match operation {
        PatchOperation::Add(add) => behind(&add.path),
        PatchOperation::Remove(remove) => behind(&remove.path),
        PatchOperation::Move(step) => behind(&step.from) + behind(&step.path),
        PatchOperation::Copy(step) => behind(&step.path),
        PatchOperation::Replace(_) | PatchOperation::Test(_) => 0,
    }
}

fn source<'a>(object: &Value, from: &PointerBuf, path: &'a PointerBuf) -> (&'a PointerBuf, usize, usize) {
    let source = object.pointer(from.as_str()).unwrap_or(&Value::Null);
    (path, depth(source, 0), weight(source))
}

/// About as many bytes as the value takes in memory.
fn weight(value: &Value) -> usize {
    const NODE: usize = size_of::<Value>();
    match value {
        Value::Null | Value::Bool(_) | Value::Number(_) => NODE,
        Value::String(text) => NODE + text.len(),
        Value::Array(items) => NODE + items.iter().map(weight).sum::<usize>(),
        Value::Object(fields) => {
            NODE + fields
                .iter()
                .map(|(name, value)| name.len() + weight(value))
                .sum::<usize>()
        }
    }
}

/// Levels of nesting; stops counting past the bound, and so never recurses deeper than it.
fn depth(value: &Value, above: usize) -> usize {
    let here = above + 1;
    if here > DEPTH_MAX {
        return here;
    }
    match value {
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => here,
        Value::Array(items) => items.iter().map(|item| depth(item, here)).max().unwrap_or(here),
        Value::Object(fields) => fields.values().map(|value| depth(value, here)).max().unwrap_or(here),
    }
}
