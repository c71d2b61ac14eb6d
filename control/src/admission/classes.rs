//! Classes that objects name: those that they get if they name none, and what those add that pods name.
//!
//! Pure: functions of the object and of the classes there are.
//! Source: Kubernetes, "Storage Classes", "Ingress", "Runtime Class"; the admission plugins DefaultStorageClass,
//! DefaultIngressClass, PersistentVolumeClaimResize and RuntimeClass, by behaviour.

use std::{borrow::Borrow, cmp::Reverse};

use api::quantity::Quantity;
use serde_json::{Value, json};

const DEFAULT_STORAGE_CLASS: [&str; 2] = [
    "storageclass.kubernetes.io/is-default-class",
    "storageclass.beta.kubernetes.io/is-default-class",
];
const DEFAULT_INGRESS_CLASS: [&str; 1] = ["ingressclass.kubernetes.io/is-default-class"];
const STORAGE_CLASS_ANNOTATION: &str = "volume.beta.kubernetes.io/storage-class";
const INGRESS_CLASS_ANNOTATION: &str = "kubernetes.io/ingress.class";

/// A pod cannot run in the class that it names. Displays in Kubernetes' words.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub(crate) enum RuntimeClassRefusal {
    /// There is no such class.
    #[error("pod rejected: RuntimeClass {0:?} not found")]
    Unknown(String),
    /// The pod names another overhead than its class.
    #[error("pod rejected: Pod's Overhead doesn't match RuntimeClass's defined Overhead")]
    OtherOverhead,
    /// The pod names an overhead, and no class has one.
    #[error("pod rejected: Pod Overhead set without corresponding RuntimeClass defined Overhead")]
    OwnOverhead,
    /// The pod wants other nodes than its class.
    #[error(
        "conflict: runtimeClass.scheduling.nodeSelector[{label}] = {of_class}; pod.spec.nodeSelector[{label}] = {of_pod}"
    )]
    OtherNodes {
        /// Which label of nodes it is about.
        label: String,
        /// Its value for the class.
        of_class: String,
        /// Its value for the pod.
        of_pod: String,
    },
}

/// Gives a new claim the default storage class, unless it names one, or the empty one.
pub(crate) fn give_storage_class(claim: &mut Value, classes: &[impl Borrow<Value>]) {
    give(
        claim,
        "storageClassName",
        STORAGE_CLASS_ANNOTATION,
        &DEFAULT_STORAGE_CLASS,
        classes,
    );
}

/// Gives a new ingress the default class, unless it names one.
pub(crate) fn give_ingress_class(ingress: &mut Value, classes: &[impl Borrow<Value>]) {
    give(
        ingress,
        "ingressClassName",
        INGRESS_CLASS_ANNOTATION,
        &DEFAULT_INGRESS_CLASS,
        classes,
    );
}

fn give(object: &mut Value, field: &str, annotation: &str, marks: &[&str], classes: &[impl Borrow<Value>]) {
    let is_named = !object["spec"][field].is_null() || !object["metadata"]["annotations"][annotation].is_null();
    if is_named || !object["spec"].is_object() {
        return;
    }
    if let Some(name) = default_class(marks, classes) {
        object["spec"][field] = json!(name);
    }
}

/// The name of the newest class that is marked; the first by name of those that are as new.
fn default_class<'a>(marks: &[&str], classes: &'a [impl Borrow<Value>]) -> Option<&'a str> {
    let text = |class: &'a Value, field: &str| class["metadata"][field].as_str().unwrap_or_default();
    classes
        .iter()
        .map(Borrow::borrow)
        .filter(|class| {
            marks
                .iter()
                .any(|mark| class["metadata"]["annotations"][*mark] == "true")
        })
        .min_by_key(|class| (Reverse(text(class, "creationTimestamp")), text(class, "name")))
        .map(|class| text(class, "name"))
}

/// Why a claim cannot become as big as it is to be. `class` is that of the claim.
pub(crate) fn growth_fault(old: &Value, new: &Value, class: Option<&Value>) -> Option<&'static str> {
    let size = |claim: &Value| {
        let text = claim
            .pointer("/spec/resources/requests/storage")
            .and_then(Value::as_str);
        text.and_then(|text| Quantity::parse(text).ok())
    };
    if size(new) <= size(old) {
        return None;
    }
    let may_grow = class.is_some_and(|class| class["allowVolumeExpansion"] == true);
    (!may_grow).then_some(
        "only dynamically provisioned pvc can be resized and the storageclass that provisions the pvc must support \
         resize",
    )
}

/// The name of a claim's storage class; empty if it has none.
pub(crate) fn storage_class(claim: &Value) -> &str {
    let annotated = claim["metadata"]["annotations"][STORAGE_CLASS_ANNOTATION].as_str();
    annotated
        .or(claim["spec"]["storageClassName"].as_str())
        .unwrap_or_default()
}

/// Gives a new pod what running in its class costs, and where the class can be had. `class` is the one that it names,
/// if that is there.
///
/// # Errors
/// When there is no such class, or the pod says otherwise.
pub(crate) fn complete_runtime(pod: &mut Value, class: Option<&Value>) -> Result<(), RuntimeClassRefusal> {
    let Some(spec) = pod.get_mut("spec").filter(|spec| spec.is_object()) else {
        return Ok(());
    };
    let name = spec["runtimeClassName"].as_str().unwrap_or_default();
    if !name.is_empty() && class.is_none() {
        return Err(RuntimeClassRefusal::Unknown(name.to_owned()));
    }
    let says = |value: &Value| value.as_object().is_some_and(|fields| !fields.is_empty());
    let overhead = class.map_or(&Value::Null, |class| &class["overhead"]["podFixed"]);
    match (says(&spec["overhead"]), says(overhead)) {
        (true, false) => return Err(RuntimeClassRefusal::OwnOverhead),
        (true, true) if !are_equal(&spec["overhead"], overhead) => return Err(RuntimeClassRefusal::OtherOverhead),
        (false, true) => spec["overhead"] = overhead.clone(),
        (true, true) | (false, false) => {}
    }
    if let Some(class) = class {
        place(spec, &class["scheduling"])?;
    }
    Ok(())
}

fn place(spec: &mut Value, scheduling: &Value) -> Result<(), RuntimeClassRefusal> {
    for (label, value) in scheduling["nodeSelector"].as_object().into_iter().flatten() {
        if !spec["nodeSelector"].is_object() {
            spec["nodeSelector"] = json!({});
        }
        let own = &mut spec["nodeSelector"][label.as_str()];
        if own.is_null() {
            *own = value.clone();
        } else if own != value {
            let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
            return Err(RuntimeClassRefusal::OtherNodes {
                label: label.clone(),
                of_class: text(value),
                of_pod: text(own),
            });
        }
    }
    let mut tolerations = spec["tolerations"].as_array().cloned().unwrap_or_default();
    let more = scheduling["tolerations"].as_array().into_iter().flatten();
    let more: Vec<Value> = more
        .filter(|toleration| !tolerations.contains(toleration))
        .cloned()
        .collect();
    if !more.is_empty() {
        tolerations.extend(more);
        spec["tolerations"] = json!(tolerations);
    }
    Ok(())
}

/// Whether two lists of amounts say the same.
fn are_equal(one: &Value, other: &Value) -> bool {
    let amounts = |list: &Value| -> Vec<(String, Option<Quantity>)> {
        let list = list.as_object().into_iter().flatten();
        list.map(|(name, text)| (name.clone(), text.as_str().and_then(|text| Quantity::parse(text).ok())))
            .collect()
    };
    amounts(one) == amounts(other)
}

#[cfg(test)]
mod tests;
