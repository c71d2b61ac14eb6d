//! What may change in a pod after its creation.

use std::collections::HashSet;

use serde_json::{Value, json};

use super::template;
use crate::validation::{at::At, error::FieldError};

const ALLOWED: &str = "pod updates may not change fields other than `spec.containers[*].image`,\
     `spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing \
     tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)";

pub(in crate::validation) fn update(root: &At<'_>, before: &At<'_>, errors: &mut Vec<FieldError>) {
    let (spec, old) = (root.field("spec"), before.field("spec"));
    if spec.value == old.value {
        return;
    }
    template(&spec, errors);
    for list in ["containers", "initContainers"] {
        let (new, old) = (spec.field(list), old.field(list));
        if new.count() != old.count() {
            let reason = "pod updates may not add or remove containers";
            errors.push(new.forbidden(reason));
            return;
        }
    }
    deadline(
        &spec.field("activeDeadlineSeconds"),
        &old.field("activeDeadlineSeconds"),
        errors,
    );
    tolerations(&spec.field("tolerations"), &old.field("tolerations"), errors);
    gates(&spec.field("schedulingGates"), &old.field("schedulingGates"), errors);
    if old.field("schedulingGates").count() > 0 {
        narrowed(&spec, &old, errors);
    }
    if as_before(spec.value, old.value) != *old.value {
        errors.push(spec.forbidden(ALLOWED));
    }
}

/// A deadline can be set, and then come closer.
fn deadline(new: &At<'_>, old: &At<'_>, errors: &mut Vec<FieldError>) {
    match (old.number(), new.number()) {
        (Some(old), Some(now)) if now > old => {
            let reason = "must be less than or equal to previous value";
            errors.push(FieldError::invalid(new.path.clone(), now, reason));
        }
        (Some(_), None) => {
            let reason = "must not update from a positive integer to nil value";
            errors.push(FieldError::invalid(new.path.clone(), Value::Null, reason));
        }
        _ => {}
    }
}

fn tolerations(new: &At<'_>, old: &At<'_>, errors: &mut Vec<FieldError>) {
    let key = |at: &At<'_>| -> Value {
        let mut value = at.value.clone();
        if let Some(fields) = value.as_object_mut() {
            // Only how long something is tolerated may change.
            fields.remove("tolerationSeconds");
        }
        value
    };
    let there: HashSet<Value> = new.items().map(|toleration| key(&toleration)).collect();
    if !old.items().all(|toleration| there.contains(&key(&toleration))) {
        let reason = "existing toleration can not be modified except its tolerationSeconds";
        errors.push(new.forbidden(reason));
    }
}

/// Gates can only go.
fn gates(new: &At<'_>, old: &At<'_>, errors: &mut Vec<FieldError>) {
    let known: HashSet<&Value> = old.items().map(|gate| gate.field("name").value).collect();
    for gate in new.items() {
        if !known.contains(gate.field("name").value) {
            let reason = "only deletion is allowed, but found new scheduling gate";
            let name = gate.field("name").text();
            errors.push(new.forbidden(format!("{reason} '{name}'")));
        }
    }
}

/// Where a pod that is not scheduled yet may go can only become less.
fn narrowed(new: &At<'_>, old: &At<'_>, errors: &mut Vec<FieldError>) {
    let (selector, was) = (new.field("nodeSelector"), old.field("nodeSelector"));
    let kept = was
        .entries()
        .all(|(key, value)| selector.field(key).value == value.value);
    if !kept {
        let reason = "only additions to spec.nodeSelector are allowed (no mutations or deletions)";
        errors.push(selector.invalid(reason));
    }
    let terms = |spec: &At<'_>| {
        spec.field("affinity")
            .field("nodeAffinity")
            .field("requiredDuringSchedulingIgnoredDuringExecution")
            .field("nodeSelectorTerms")
            .value
            .as_array()
            .cloned()
            .unwrap_or_default()
    };
    let (now, before) = (terms(new), terms(old));
    if before.is_empty() {
        return;
    }
    let path = "spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms";
    if now.len() != before.len() {
        let reason = "no additions/deletions to non-empty NodeSelectorTerms list are allowed";
        errors.push(FieldError::invalid(path, Value::Array(now), reason));
        return;
    }
    for (index, (now, before)) in now.iter().zip(&before).enumerate() {
        let extends = |list: &str| {
            let items = |term: &Value| term[list].as_array().cloned().unwrap_or_default();
            items(now).starts_with(&items(before))
        };
        if !extends("matchExpressions") || !extends("matchFields") {
            let reason = "only additions are allowed (no mutations or deletions)";
            errors.push(FieldError::invalid(format!("{path}[{index}]"), now.clone(), reason));
        }
    }
}

/// The new spec with everything that may change put back.
fn as_before(new: &Value, old: &Value) -> Value {
    let mut spec = new.clone();
    let Some(fields) = spec.as_object_mut() else {
        return spec;
    };
    let mut restore = |field: &str| match old.get(field) {
        Some(value) => fields.insert(field.to_owned(), value.clone()),
        None => fields.remove(field),
    };
    restore("activeDeadlineSeconds");
    restore("tolerations");
    restore("schedulingGates");
    if old["schedulingGates"].as_array().is_some_and(|gates| !gates.is_empty()) {
        restore("nodeSelector");
        // What keeps the pod near to others, or away from them, stays.
        let other = |spec: &Value| -> [Value; 2] {
            ["podAffinity", "podAntiAffinity"].map(|kind| spec["affinity"][kind].clone())
        };
        if other(new) == other(old) {
            restore("affinity");
        }
    }
    let was_negative = old["terminationGracePeriodSeconds"]
        .as_i64()
        .is_some_and(|seconds| seconds < 0);
    if was_negative && new["terminationGracePeriodSeconds"] == json!(1) {
        restore("terminationGracePeriodSeconds");
    }
    for list in ["containers", "initContainers"] {
        let before = old[list].as_array().map_or(&[][..], Vec::as_slice);
        let now = spec.get_mut(list).and_then(Value::as_array_mut).into_iter().flatten();
        for (container, before) in now.zip(before) {
            if let Some(image) = container.get_mut("image") {
                *image = before["image"].clone();
            }
        }
    }
    spec
}
