//! Defaults of jobs and cron jobs.

use serde_json::{Map, Value};

use super::{
    fields::{child, items, set_default},
    workloads::{has_entries, labels_of_template, pod_template},
};

/// Pods that may fail before the job does.
const BACKOFF_LIMIT: i64 = 6;

pub(super) fn job(object: &mut Map<String, Value>) {
    let labels = object
        .get("spec")
        .and_then(|spec| spec.pointer("/template/metadata/labels"))
        .filter(|labels| has_entries(labels))
        .cloned();
    if let Some(labels) = labels {
        labels_of_template(object, labels);
    }
    let Some(spec) = child(object, "spec") else { return };
    let is_open = |spec: &Map<String, Value>, field: &str| spec.get(field).is_none_or(Value::is_null);
    if is_open(spec, "completions") && is_open(spec, "parallelism") {
        set_default(spec, "completions", 1);
    }
    set_default(spec, "parallelism", 1);
    // With a limit for each index, the job as a whole has none.
    let limit = if is_open(spec, "backoffLimitPerIndex") {
        BACKOFF_LIMIT
    } else {
        i64::from(i32::MAX)
    };
    set_default(spec, "backoffLimit", limit);
    set_default(spec, "completionMode", "NonIndexed");
    set_default(spec, "manualSelector", false);
    set_default(spec, "suspend", false);
    let replacement = if is_open(spec, "podFailurePolicy") {
        "TerminatingOrFailed"
    } else {
        "Failed"
    };
    set_default(spec, "podReplacementPolicy", replacement);
    in_jobs_and_templates(spec);
}

pub(super) fn cron_job(object: &mut Map<String, Value>) {
    let Some(spec) = child(object, "spec") else { return };
    set_default(spec, "concurrencyPolicy", "Allow");
    set_default(spec, "suspend", false);
    set_default(spec, "successfulJobsHistoryLimit", 3);
    set_default(spec, "failedJobsHistoryLimit", 1);
    if let Some(template) = child(spec, "jobTemplate").and_then(|template| child(template, "spec")) {
        in_jobs_and_templates(template);
    }
}

fn in_jobs_and_templates(spec: &mut Map<String, Value>) {
    if let Some(policy) = child(spec, "podFailurePolicy") {
        for rule in items(policy, "rules") {
            for condition in items(rule, "onPodConditions") {
                set_default(condition, "status", "True");
            }
        }
    }
    pod_template(spec);
}
