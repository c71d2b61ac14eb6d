//! Classes that pods name: of priority, and of runtimes.

use super::{
    IMMUTABLE,
    at::At,
    checks::{labels, named},
    error::FieldError,
    names, pod,
    quantities::overhead,
};

/// The greatest priority that is not reserved to the system.
const PRIORITY_MAX: i64 = 1_000_000_000;
const SYSTEM_PREFIX: &str = "system-";
/// Name and value of the classes that every cluster has.
pub const SYSTEM_PRIORITY_CLASSES: [(&str, i64, &str); 2] = [
    (
        "system-node-critical",
        2_000_001_000,
        "Used for system critical pods that must not be moved from their current node.",
    ),
    (
        "system-cluster-critical",
        2_000_000_000,
        "Used for system critical pods that must run in the cluster, but can be moved to another node if necessary.",
    ),
];

pub(super) fn priority_class(root: &At<'_>, errors: &mut Vec<FieldError>) {
    let name = root.field("metadata").field("name");
    let value = root.field("value").number().unwrap_or(0);
    if name.text().starts_with(SYSTEM_PREFIX) {
        if let Some(reason) = not_of_the_system(name.text(), value, root.field("globalDefault").is_true()) {
            errors.push(name.forbidden(format!(
                "priority class names with '{SYSTEM_PREFIX}' prefix are reserved for system use only. error: {reason}"
            )));
        }
    } else if value > PRIORITY_MAX {
        let reason = format!("maximum allowed value of a user defined priority is {PRIORITY_MAX}");
        errors.push(FieldError::forbidden("value", reason));
    }
    let policy = root.field("preemptionPolicy");
    if policy.is_set() && !matches!(policy.text(), "Never" | "PreemptLowerPriority") {
        errors.push(policy.not_supported(&["Never", "PreemptLowerPriority"]));
    }
}

/// Why a class is not one of the system's, if it is not.
fn not_of_the_system(name: &str, value: i64, is_default: bool) -> Option<String> {
    match SYSTEM_PRIORITY_CLASSES.iter().find(|(known, ..)| *known == name) {
        None => Some(format!("{name} is not a known system priority class")),
        Some((_, expected, _)) if *expected != value => {
            Some(format!("value of {name} PriorityClass must be {expected}"))
        }
        Some(_) if is_default => Some(format!("globalDefault of {name} PriorityClass must be false")),
        Some(_) => None,
    }
}

pub(super) fn priority_class_update(new: &At<'_>, old: &At<'_>, errors: &mut Vec<FieldError>) {
    if new.field("value").number().unwrap_or(0) != old.field("value").number().unwrap_or(0) {
        errors.push(FieldError::forbidden("value", "may not be changed in an update."));
    }
    let (policy, was) = (new.field("preemptionPolicy"), old.field("preemptionPolicy"));
    if policy.value != was.value {
        errors.push(policy.invalid(IMMUTABLE));
    }
}

pub(super) fn runtime_class(root: &At<'_>, errors: &mut Vec<FieldError>) {
    named(&root.field("handler"), names::dns_label, errors);
    overhead(&root.field("overhead"), errors);
    let scheduling = root.field("scheduling");
    labels(&scheduling.field("nodeSelector"), errors);
    pod::tolerations(&scheduling.field("tolerations"), errors);
}

pub(super) fn runtime_class_update(new: &At<'_>, old: &At<'_>, errors: &mut Vec<FieldError>) {
    let (handler, was) = (new.field("handler"), old.field("handler"));
    if handler.value != was.value {
        errors.push(handler.invalid(IMMUTABLE));
    }
}
