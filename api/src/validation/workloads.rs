//! Deployments and replica sets.

use serde_json::Value;

use super::{
    at::At,
    checks::{not_negative, one_of},
    error::FieldError,
    metadata, pod,
    selectors::workload_selector,
};

const PERCENT: &str = "a valid percent string must be a numeric string followed by an ending '%' (e.g. '1%',  or \
     '93%', regex used for validation is '[0-9]+%')";

pub(super) fn deployment(root: &At<'_>, errors: &mut Vec<FieldError>) {
    let spec = root.field("spec");
    replicas_and_template(&spec, errors);
    strategy(&spec.field("strategy"), errors);
    not_negative(&spec.field("revisionHistoryLimit"), errors);
    let deadline = spec.field("progressDeadlineSeconds");
    not_negative(&deadline, errors);
    if let Some(seconds) = deadline.number()
        && seconds <= spec.field("minReadySeconds").number().unwrap_or(0)
    {
        errors.push(FieldError::invalid(
            deadline.path.clone(),
            seconds,
            "must be greater than minReadySeconds",
        ));
    }
}

pub(super) fn replica_set(root: &At<'_>, errors: &mut Vec<FieldError>) {
    replicas_and_template(&root.field("spec"), errors);
}

fn replicas_and_template(spec: &At<'_>, errors: &mut Vec<FieldError>) {
    not_negative(&spec.field("replicas"), errors);
    not_negative(&spec.field("minReadySeconds"), errors);
    workload_selector(spec, errors);
    let template = spec.field("template");
    metadata::template(&template.field("metadata"), errors);
    let pod = template.field("spec");
    pod::template(&pod, errors);
    let policy = pod.field("restartPolicy");
    if !matches!(policy.text(), "" | "Always") {
        errors.push(policy.not_supported(&["Always"]));
    }
    let deadline = pod.field("activeDeadlineSeconds");
    if deadline.is_set() {
        let reason = "activeDeadlineSeconds in ReplicaSet is not Supported";
        errors.push(deadline.forbidden(reason));
    }
}

fn strategy(at: &At<'_>, errors: &mut Vec<FieldError>) {
    let rolling = at.field("rollingUpdate");
    let kind = at.field("type");
    one_of(&kind, &["Recreate", "RollingUpdate"], errors);
    match kind.text() {
        "Recreate" if rolling.is_set() => {
            let reason = "may not be specified when strategy `type` is 'Recreate'";
            errors.push(rolling.forbidden(reason));
        }
        "RollingUpdate" => {
            if !rolling.is_set() {
                let reason = "this should be defaulted and never be nil";
                errors.push(rolling.required(reason));
                return;
            }
            let (unavailable, surge) = (rolling.field("maxUnavailable"), rolling.field("maxSurge"));
            amount(&unavailable, errors);
            amount(&surge, errors);
            if is_zero(unavailable.value) && is_zero(surge.value) {
                let reason = "may not be 0 when `maxSurge` is 0";
                let value = Value::clone(unavailable.value);
                errors.push(FieldError::invalid(unavailable.path.clone(), value, reason));
            }
            if percent(unavailable.text()).is_some_and(|percent| percent > 100) {
                let value = Value::clone(unavailable.value);
                errors.push(FieldError::invalid(
                    unavailable.path.clone(),
                    value,
                    "must not be greater than 100%",
                ));
            }
        }
        _ => {}
    }
}

/// A number of pods, or a share of them.
fn amount(at: &At<'_>, errors: &mut Vec<FieldError>) {
    if at.value.is_string() {
        if percent(at.text()).is_none() {
            errors.push(at.invalid(PERCENT));
        }
    } else {
        not_negative(at, errors);
    }
}

fn percent(text: &str) -> Option<u64> {
    let digits = text.strip_suffix('%')?;
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    Some(digits.parse().unwrap_or(u64::MAX))
}

fn is_zero(value: &Value) -> bool {
    match value {
        Value::Number(number) => number.as_i64() == Some(0),
        Value::String(text) => percent(text) == Some(0),
        _ => false,
    }
}
