//! What may change in a pod through paths of its own: ephemeral containers are added, containers resized.
//!
//! Source: Kubernetes documentation, "Ephemeral Containers", "Resize CPU and Memory Resources assigned to Containers".

use std::collections::BTreeSet;

use serde_json::Value;

use super::{container, resources, volume};
use crate::{
    qos,
    validation::{
        at::At,
        checks::{named, required},
        error::FieldError,
        names,
    },
};

/// The annotation by which pods of a node's own directory show themselves.
const STATIC: &str = "kubernetes.io/config.mirror";
/// What only makes sense for containers that a pod is there for.
const NOT_EPHEMERAL: [&str; 9] = [
    "lifecycle",
    "livenessProbe",
    "ports",
    "readinessProbe",
    "resizePolicy",
    "resources",
    "restartPolicy",
    "restartPolicyRules",
    "startupProbe",
];
/// What a container may have more or less of while it runs.
const RESIZABLE: [&str; 2] = ["cpu", "memory"];

/// `pods/NAME/ephemeralcontainers`: only additions.
pub(in crate::validation) fn ephemeral(root: &At<'_>, before: &At<'_>, errors: &mut Vec<FieldError>) {
    if is_static(root) {
        errors.push(root.forbidden("static pods do not support ephemeral containers"));
        return;
    }
    let spec = root.field("spec");
    let list = spec.field("ephemeralContainers");
    let volumes = volume::volumes(&spec.field("volumes"), &mut Vec::new());
    let of = |field: &str| -> BTreeSet<&str> { names_of(&spec.field(field)).collect() };
    let lasting: BTreeSet<&str> = of("containers").union(&of("initContainers")).copied().collect();
    let mut seen = lasting.clone();
    for added in list.items() {
        let name = added.field("name");
        if required(&name, errors) && named(&name, names::dns_label, errors) && !seen.insert(name.text()) {
            errors.push(name.duplicate());
        }
        let target = added.field("targetContainerName");
        if !target.is_empty() && !lasting.contains(target.text()) {
            errors.push(target.not_found());
        }
        for field in NOT_EPHEMERAL {
            let at = added.field(field);
            if !at.is_empty() {
                errors.push(at.forbidden("cannot be set for an Ephemeral Container"));
            }
        }
        for mount in added.field("volumeMounts").items() {
            for field in ["subPath", "subPathExpr"] {
                let at = mount.field(field);
                if !at.is_empty() {
                    errors.push(at.forbidden("cannot be set for an Ephemeral Container"));
                }
            }
        }
        container::body(&added, &volumes, false, errors);
    }
    for known in before.field("spec").field("ephemeralContainers").items() {
        let name = known.field("name").text();
        let now = list.items().find(|now| now.field("name").text() == name);
        match now {
            None => errors.push(list.forbidden(format!("existing ephemeral containers {name:?} may not be removed\n"))),
            Some(now) if now.value != known.value => {
                errors.push(list.forbidden(format!("existing ephemeral containers {name:?} may not be changed\n")));
            }
            Some(_) => {}
        }
    }
}

/// `pods/NAME/resize`: more or less CPU and memory for containers, within the pod's class.
pub(in crate::validation) fn resize(root: &At<'_>, before: &At<'_>, errors: &mut Vec<FieldError>) {
    if is_static(root) {
        errors.push(root.forbidden("static pods cannot be resized"));
        return;
    }
    let (spec, old) = (root.field("spec"), before.field("spec"));
    if old.field("os").field("name").text() == "windows" {
        errors.push(root.forbidden("windows pods cannot be resized"));
        return;
    }
    for list in ["containers", "initContainers"] {
        let (now, before) = (spec.field(list), old.field(list));
        for (now, before) in now.items().zip(before.items()) {
            let (resources, was) = (now.field("resources"), before.field("resources"));
            if resources.value == was.value {
                continue;
            }
            resources::requirements(&resources, errors);
            if list == "initContainers" && before.field("restartPolicy").text() != "Always" {
                errors.push(resources.forbidden("resources for non-sidecar init containers are immutable"));
            }
            kept(&resources, &was, errors);
        }
    }
    if qos::class(root.value) != qos::class(before.value) {
        let reason = "Pod QOS Class may not change as a result of resizing";
        errors.push(FieldError::invalid("spec", qos::class(root.value), reason));
    }
    if as_before(spec.value, old.value) != *old.value {
        errors.push(spec.forbidden("only cpu and memory resources are mutable"));
    }
}

/// What was limited or requested stays so.
fn kept(now: &At<'_>, before: &At<'_>, errors: &mut Vec<FieldError>) {
    for (side, what) in [("limits", "limits"), ("requests", "requests")] {
        let (now, before) = (now.field(side), before.field(side));
        let has = |at: &At<'_>, name: &str| at.map().is_some_and(|amounts| amounts.contains_key(name));
        if RESIZABLE.iter().any(|name| has(&before, name) && !has(&now, name)) {
            errors.push(now.forbidden(format!("resource {what} cannot be removed")));
        }
    }
}

/// The new spec with CPU and memory put back.
fn as_before(new: &Value, old: &Value) -> Value {
    let mut spec = new.clone();
    for list in ["containers", "initContainers"] {
        let before = old[list].as_array().map_or(&[][..], Vec::as_slice);
        let now = spec.get_mut(list).and_then(Value::as_array_mut).into_iter().flatten();
        for (container, before) in now.zip(before) {
            restore(container, before);
        }
    }
    spec
}

fn restore(container: &mut Value, before: &Value) {
    let others = |container: &Value| {
        let mut resources = container["resources"].clone();
        for side in ["limits", "requests"] {
            if let Some(amounts) = resources.get_mut(side).and_then(Value::as_object_mut) {
                amounts.retain(|name, _| !RESIZABLE.contains(&name.as_str()));
                if amounts.is_empty()
                    && let Some(fields) = resources.as_object_mut()
                {
                    fields.remove(side);
                }
            }
        }
        resources
    };
    if others(container) != others(before) {
        return;
    }
    let Some(fields) = container.as_object_mut() else {
        return;
    };
    match before.get("resources") {
        Some(resources) => fields.insert("resources".to_owned(), resources.clone()),
        None => fields.remove("resources"),
    };
}

fn names_of<'a>(list: &At<'a>) -> impl Iterator<Item = &'a str> + use<'a> {
    list.items().map(|container| container.field("name").text())
}

fn is_static(root: &At<'_>) -> bool {
    root.field("metadata").field("annotations").field(STATIC).is_set()
}
