//! Priorities of pods, by the classes that they name.
//!
//! Pure: functions of the pod and of the classes there are.
//! Source: Kubernetes, "Pod Priority and Preemption"; the admission plugin Priority, by behaviour.

use std::borrow::Borrow;

use serde_json::{Value, json};

const PREEMPT: &str = "PreemptLowerPriority";

/// A pod's priority cannot be what it asks for. Displays in Kubernetes' words.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub(crate) enum PriorityRefusal {
    /// There is no such class.
    #[error("no PriorityClass with name {0} was found")]
    UnknownClass(String),
    /// The pod names a number, and it is not that of its class.
    #[error(
        "the integer value of priority ({given}) must not be provided in pod spec; priority admission controller \
         computed {computed} from the given PriorityClass name"
    )]
    OtherValue {
        /// The pod's.
        given: i64,
        /// The class'.
        computed: i64,
    },
    /// The pod names a policy, and it is not that of its class.
    #[error(
        "the string value of PreemptionPolicy ({given}) must not be provided in pod spec; priority admission \
         controller computed {computed} from the given PriorityClass name"
    )]
    OtherPolicy {
        /// The pod's.
        given: String,
        /// The class'.
        computed: String,
    },
}

/// Gives a new pod the priority and the policy of its class: the one that it names, or the default one. Without
/// either, the priority is 0.
///
/// # Errors
/// When the class does not exist, or the pod asks for something else than its class gives.
pub(crate) fn complete<Class: Borrow<Value>>(pod: &mut Value, classes: &[Class]) -> Result<(), PriorityRefusal> {
    let Some(spec) = pod.get_mut("spec").filter(|spec| spec.is_object()) else {
        return Ok(());
    };
    let name = spec["priorityClassName"].as_str().unwrap_or_default().to_owned();
    let class = if name.is_empty() {
        default_class(classes)
    } else {
        let class = all(classes).find(|class| class["metadata"]["name"] == name);
        Some(class.ok_or(PriorityRefusal::UnknownClass(name))?)
    };
    let computed = class.map_or(0, value);
    if let Some(given) = spec["priority"].as_i64().filter(|given| *given != computed) {
        return Err(PriorityRefusal::OtherValue { given, computed });
    }
    let policy = class
        .and_then(|class| class["preemptionPolicy"].as_str())
        .unwrap_or(PREEMPT);
    match spec["preemptionPolicy"].as_str() {
        Some(given) if given != policy => {
            return Err(PriorityRefusal::OtherPolicy {
                given: given.to_owned(),
                computed: policy.to_owned(),
            });
        }
        _ => spec["preemptionPolicy"] = json!(policy),
    }
    if let Some(class) = class {
        spec["priorityClassName"] = class["metadata"]["name"].clone();
    }
    spec["priority"] = json!(computed);
    Ok(())
}

/// Why this class cannot be the default one: another is already.
pub(crate) fn other_default(class: &Value, classes: &[impl Borrow<Value>]) -> Option<String> {
    let other = all(classes)
        .filter(|other| other["globalDefault"] == true)
        .find(|other| other["metadata"]["name"] != class["metadata"]["name"])?;
    let name = other["metadata"]["name"].as_str().unwrap_or_default();
    Some(format!(
        "PriorityClass {name} is already marked as default. Only one default can exist"
    ))
}

/// The default class; the lowest, should there be several.
fn default_class(classes: &[impl Borrow<Value>]) -> Option<&Value> {
    all(classes)
        .filter(|class| class["globalDefault"] == true)
        .min_by_key(|class| value(class))
}

fn all(classes: &[impl Borrow<Value>]) -> impl Iterator<Item = &Value> {
    classes.iter().map(Borrow::borrow)
}

fn value(class: &Value) -> i64 {
    class["value"].as_i64().unwrap_or(0)
}

#[cfg(test)]
mod tests;
