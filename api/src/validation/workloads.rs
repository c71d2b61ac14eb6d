//! What keeps pods running: deployments, replica sets, daemon sets, stateful sets, replication controllers, and what
//! goes with them.

use serde_json::Value;

use super::{
    IMMUTABLE,
    amount::{amount, is_zero, no_more_than_all},
    at::At,
    checks::{not_negative, one_of, required},
    error::FieldError,
    metadata, pod,
    selectors::{label_selector, workload_selector},
};

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
    workload_selector(spec, "deployment", errors);
    let template = spec.field("template");
    pod::in_workload(&template, errors);
    always_running(&template, "ReplicaSet", errors);
}

pub(super) fn daemon_set(root: &At<'_>, errors: &mut Vec<FieldError>) {
    let spec = root.field("spec");
    workload_selector(&spec, "daemonset", errors);
    let template = spec.field("template");
    pod::in_workload(&template, errors);
    always_running(&template, "DaemonSet", errors);
    not_negative(&spec.field("minReadySeconds"), errors);
    let strategy = spec.field("updateStrategy");
    match strategy.field("type").text() {
        "OnDelete" => {}
        "RollingUpdate" => {
            let rolling = strategy.field("rollingUpdate");
            if required(&rolling, errors) {
                rolling_daemons(&rolling, errors);
            }
        }
        _ => errors.push(strategy.not_supported(&["OnDelete", "RollingUpdate"])),
    }
    not_negative(&spec.field("revisionHistoryLimit"), errors);
}

/// Either old pods may be missing, or new ones may be there besides; not both, and not neither.
fn rolling_daemons(rolling: &At<'_>, errors: &mut Vec<FieldError>) {
    let (unavailable, surge) = (rolling.field("maxUnavailable"), rolling.field("maxSurge"));
    amount(&unavailable, errors);
    amount(&surge, errors);
    no_more_than_all(&unavailable, errors);
    no_more_than_all(&surge, errors);
    match (is_zero(unavailable.value), is_zero(surge.value)) {
        (false, false) => {
            let reason = "may not be set when maxUnavailable is non-zero";
            errors.push(surge.invalid(reason));
        }
        (true, true) => errors.push(unavailable.required("cannot be 0 when maxSurge is 0")),
        (true, false) | (false, true) => {}
    }
}

pub(super) fn stateful_set(root: &At<'_>, errors: &mut Vec<FieldError>) {
    let spec = root.field("spec");
    let policy = spec.field("podManagementPolicy");
    if required(&policy, errors) && !matches!(policy.text(), "OrderedReady" | "Parallel") {
        errors.push(policy.invalid("must be 'OrderedReady' or 'Parallel'"));
    }
    stateful_strategy(&spec.field("updateStrategy"), errors);
    let retention = spec.field("persistentVolumeClaimRetentionPolicy");
    if retention.is_set() {
        for when in ["whenDeleted", "whenScaled"] {
            let when = retention.field(when);
            if !matches!(when.text(), "Delete" | "Retain") {
                errors.push(when.not_supported(&["Delete", "Retain"]));
            }
        }
    }
    not_negative(&spec.field("replicas"), errors);
    not_negative(&spec.field("minReadySeconds"), errors);
    not_negative(&spec.field("ordinals").field("start"), errors);
    workload_selector(&spec, "statefulset", errors);
    // The volumes of the claims are not known here, so that the pod itself is only checked when it is made.
    let template = spec.field("template");
    metadata::template(&template.field("metadata"), errors);
    always_running(&template, "StatefulSet", errors);
    not_negative(&spec.field("revisionHistoryLimit"), errors);
}

fn stateful_strategy(strategy: &At<'_>, errors: &mut Vec<FieldError>) {
    let rolling = strategy.field("rollingUpdate");
    match strategy.field("type").text() {
        "" => errors.push(strategy.required("")),
        "OnDelete" => {
            if rolling.is_set() {
                errors.push(rolling.invalid("only allowed for updateStrategy 'RollingUpdate'"));
            }
        }
        "RollingUpdate" => {
            not_negative(&rolling.field("partition"), errors);
            let unavailable = rolling.field("maxUnavailable");
            if unavailable.is_set() {
                amount(&unavailable, errors);
                if is_zero(unavailable.value) {
                    errors.push(unavailable.invalid("cannot be 0"));
                }
                no_more_than_all(&unavailable, errors);
            }
        }
        _ => errors.push(strategy.invalid("must be 'RollingUpdate' or 'OnDelete'")),
    }
}

pub(super) fn stateful_set_update(new: &At<'_>, old: &At<'_>, errors: &mut Vec<FieldError>) {
    const CHANGEABLE: [&str; 7] = [
        "minReadySeconds",
        "ordinals",
        "persistentVolumeClaimRetentionPolicy",
        "replicas",
        "revisionHistoryLimit",
        "template",
        "updateStrategy",
    ];
    stateful_set(new, errors);
    let (spec, before) = (new.field("spec"), old.field("spec"));
    if !same_but(spec.value, before.value, &CHANGEABLE) {
        let reason = "updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', \
             'updateStrategy', 'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' and \
             'minReadySeconds' are forbidden";
        errors.push(spec.forbidden(reason));
    }
}

/// Whether two objects have the same fields, but for these.
pub(super) fn same_but(new: &Value, old: &Value, fields: &[&str]) -> bool {
    let rest = |value: &Value| {
        let mut value = value.clone();
        if let Some(map) = value.as_object_mut() {
            map.retain(|name, _| !fields.contains(&name.as_str()));
        }
        value
    };
    rest(new) == rest(old)
}

pub(super) fn replication_controller(root: &At<'_>, errors: &mut Vec<FieldError>) {
    let spec = root.field("spec");
    not_negative(&spec.field("minReadySeconds"), errors);
    let selector = spec.field("selector");
    required(&selector, errors);
    not_negative(&spec.field("replicas"), errors);
    let template = spec.field("template");
    if !required(&template, errors) {
        return;
    }
    let labels = template.field("metadata").field("labels");
    let agree = |(key, wanted): (&String, &Value)| labels.map().and_then(|labels| labels.get(key)) == Some(wanted);
    if !selector.map().into_iter().flatten().all(agree) {
        errors.push(labels.invalid("`selector` does not match template `labels`"));
    }
    pod::in_workload(&template, errors);
    always_running(&template, "ReplicationController", errors);
}

/// Pods that are always replaced always run again, and have no time by which they must end.
fn always_running(template: &At<'_>, owner: &str, errors: &mut Vec<FieldError>) {
    let pod = template.field("spec");
    let policy = pod.field("restartPolicy");
    if !matches!(policy.text(), "" | "Always") {
        errors.push(policy.not_supported(&["Always"]));
    }
    let deadline = pod.field("activeDeadlineSeconds");
    if deadline.is_set() {
        let reason = format!("activeDeadlineSeconds in {owner} is not Supported");
        errors.push(deadline.forbidden(reason));
    }
}

pub(super) fn controller_revision(root: &At<'_>, errors: &mut Vec<FieldError>) {
    let data = root.field("data");
    if !data.is_set() {
        errors.push(data.required("data is mandatory"));
    }
    not_negative(&root.field("revision"), errors);
}

pub(super) fn controller_revision_update(new: &At<'_>, old: &At<'_>, errors: &mut Vec<FieldError>) {
    controller_revision(new, errors);
    let (data, before) = (new.field("data"), old.field("data"));
    if data.value != before.value {
        errors.push(data.invalid(IMMUTABLE));
    }
}

/// Counts in a status: none is negative, and none counts more pods than there are.
pub(super) fn replica_counts(new: &At<'_>, old: &At<'_>, errors: &mut Vec<FieldError>) {
    const ALL: &str = "cannot be greater than status.replicas";
    let (status, before) = (new.field("status"), old.field("status"));
    if status.value == before.value {
        return;
    }
    let count = |field: &str| status.field(field).number().unwrap_or(0);
    for (field, at) in status.map().into_iter().flatten() {
        if at.is_i64() {
            not_negative(&status.field(field), errors);
        }
    }
    for field in [
        "fullyLabeledReplicas",
        "updatedReplicas",
        "readyReplicas",
        "currentReplicas",
        "availableReplicas",
    ] {
        if status.field("replicas").is_set() && count(field) > count("replicas") {
            errors.push(status.field(field).invalid(ALL));
        }
    }
    if count("availableReplicas") > count("readyReplicas") {
        let reason = "cannot be greater than status.readyReplicas";
        errors.push(status.field("availableReplicas").invalid(reason));
    }
    let collisions = |at: &At<'_>| at.field("collisionCount").number().unwrap_or(0);
    if collisions(&status) < collisions(&before) {
        let reason = "cannot be decremented";
        errors.push(FieldError::invalid(
            status.path_of("collisionCount"),
            collisions(&status),
            reason,
        ));
    }
}

pub(super) fn disruption_budget(root: &At<'_>, errors: &mut Vec<FieldError>) {
    let spec = root.field("spec");
    let (least, most) = (spec.field("minAvailable"), spec.field("maxUnavailable"));
    if least.is_set() && most.is_set() {
        errors.push(spec.invalid("minAvailable and maxUnavailable cannot be both set"));
    }
    for at in [&least, &most] {
        if at.is_set() {
            amount(at, errors);
            no_more_than_all(at, errors);
        }
    }
    label_selector(&spec.field("selector"), errors);
    let policy = spec.field("unhealthyPodEvictionPolicy");
    if policy.is_set() && !matches!(policy.text(), "AlwaysAllow" | "IfHealthyBudget") {
        errors.push(policy.not_supported(&["AlwaysAllow", "IfHealthyBudget"]));
    }
    for count in ["disruptionsAllowed", "currentHealthy", "desiredHealthy", "expectedPods"] {
        not_negative(&root.field("status").field(count), errors);
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
            no_more_than_all(&unavailable, errors);
        }
        _ => {}
    }
}
