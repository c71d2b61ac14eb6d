//! Jobs and cron jobs.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::{
    IMMUTABLE,
    at::At,
    checks::{named, not_negative, one_of},
    cron,
    error::FieldError,
    names, pod,
    selectors::{label_selector, matches_template},
};

/// Labels that tie pods to their job: the old and the new name of its uid, then of its name.
pub const JOB_LABELS: [&str; 4] = [
    "controller-uid",
    "batch.kubernetes.io/controller-uid",
    "job-name",
    "batch.kubernetes.io/job-name",
];

/// A cron job's name leaves room for the time that the names of its jobs end with.
const CRON_NAME_MAX: usize = 52;
const PARALLELISM_INDEXED_MAX: i64 = 100_000;
const FAILED_INDEXES_MAX: i64 = 100_000;
/// Above so many completions, a limit for each index is only kept with fewer pods at once.
const COMPLETIONS_MANY: i64 = 100_000;
const PARALLELISM_OF_MANY_MAX: i64 = 10_000;
const FAILED_INDEXES_OF_MANY_MAX: i64 = 10_000;
const FAILURE_RULES_MAX: usize = 20;
const FAILURE_PATTERNS_MAX: usize = 20;
const EXIT_CODES_MAX: usize = 255;
const SUCCESS_RULES_MAX: usize = 20;
const MANAGED_BY_MAX: usize = 63;

pub(super) fn job(root: &At<'_>, errors: &mut Vec<FieldError>) {
    let spec = root.field("spec");
    generated_selector(root, &spec, errors);
    job_spec(&spec, errors);
    let selector = spec.field("selector");
    if selector.is_set() {
        label_selector(&selector, errors);
        matches_template(&spec, errors);
    } else {
        errors.push(selector.required(""));
    }
    let completions = spec.field("completions").number().unwrap_or(0);
    if is_indexed(&spec) && completions > 0 {
        let name = root.field("metadata").field("name");
        let hostname = format!("{}-{}", name.text(), completions - 1);
        if names::dns_label(&hostname).is_err() {
            let reason = format!("will not able to create pod with invalid DNS label: {hostname}");
            errors.push(name.invalid(reason));
        }
    }
}

/// A selector that the server made goes with labels that it made.
fn generated_selector(root: &At<'_>, spec: &At<'_>, errors: &mut Vec<FieldError>) {
    if spec.field("manualSelector").is_true() || !spec.field("selector").is_set() {
        return;
    }
    let meta = root.field("metadata");
    let template = spec.field("template").field("metadata");
    let labels = template.field("labels");
    for label in JOB_LABELS {
        let expected = if label.ends_with("uid") { "uid" } else { "name" };
        let expected = meta.field(expected).text();
        let actual = labels
            .map()
            .and_then(|labels| labels.get(label))
            .and_then(Value::as_str);
        match actual {
            None => errors.push(FieldError::required(
                format!("{}[{label}]", labels.path),
                format!("must be '{expected}'"),
            )),
            Some(actual) if actual != expected => errors.push(labels.invalid(format!("must be '{expected}'"))),
            Some(_) => {}
        }
    }
}

fn is_indexed(spec: &At<'_>) -> bool {
    spec.field("completionMode").text() == "Indexed"
}

/// What jobs and the templates of cron jobs share.
fn job_spec(spec: &At<'_>, errors: &mut Vec<FieldError>) {
    for field in [
        "parallelism",
        "completions",
        "activeDeadlineSeconds",
        "backoffLimit",
        "ttlSecondsAfterFinished",
        "backoffLimitPerIndex",
        "maxFailedIndexes",
    ] {
        not_negative(&spec.field(field), errors);
    }
    if spec.field("maxFailedIndexes").is_set() && !spec.field("backoffLimitPerIndex").is_set() {
        let reason = "when maxFailedIndexes is specified";
        errors.push(spec.field("backoffLimitPerIndex").required(reason));
    }
    managed_by(&spec.field("managedBy"), errors);
    let mode = spec.field("completionMode");
    if mode.is_set() && !matches!(mode.text(), "Indexed" | "NonIndexed") {
        errors.push(mode.not_supported(&["Indexed", "NonIndexed"]));
    }
    if is_indexed(spec) {
        indexed(spec, errors);
    } else {
        for field in ["backoffLimitPerIndex", "maxFailedIndexes"] {
            let at = spec.field(field);
            if at.is_set() {
                errors.push(at.invalid("requires indexed completion mode"));
            }
        }
    }
    let failure = spec.field("podFailurePolicy");
    if failure.is_set() {
        failure_policy(spec, &failure.field("rules"), errors);
    }
    let success = spec.field("successPolicy");
    if success.is_set() {
        if is_indexed(spec) {
            success_policy(spec, &success.field("rules"), errors);
        } else {
            errors.push(success.invalid("requires indexed completion mode"));
        }
    }
    let replacement = spec.field("podReplacementPolicy");
    let policies: &[&str] = if failure.is_set() {
        &["Failed"]
    } else {
        &["Failed", "TerminatingOrFailed"]
    };
    if replacement.is_set() && !policies.contains(&replacement.text()) {
        errors.push(replacement.not_supported(policies));
    }
    pod::in_workload(&spec.field("template"), errors);
    restart_policy(spec, errors);
}

fn managed_by(at: &At<'_>, errors: &mut Vec<FieldError>) {
    if !at.is_set() {
        return;
    }
    let text = at.text();
    match text.split_once('/') {
        Some((domain, path)) if !domain.is_empty() && !path.is_empty() => {
            if let Err(reason) = names::dns_subdomain(domain) {
                errors.push(at.invalid(reason));
            }
        }
        _ if text.is_empty() => errors.push(at.required("")),
        _ => errors.push(at.invalid("must be a domain-prefixed path (such as \"acme.io/foo\")")),
    }
    if text.len() > MANAGED_BY_MAX {
        errors.push(FieldError::too_long(at.path.clone(), MANAGED_BY_MAX));
    }
}

fn indexed(spec: &At<'_>, errors: &mut Vec<FieldError>) {
    let completions = spec.field("completions");
    let (parallelism, failed) = (spec.field("parallelism"), spec.field("maxFailedIndexes"));
    if !completions.is_set() {
        errors.push(completions.required("when completion mode is Indexed"));
    }
    let exceeds = |at: &At<'_>, most: i64| at.number().is_some_and(|number| number > most);
    if exceeds(&parallelism, PARALLELISM_INDEXED_MAX) {
        let reason = format!("must be less than or equal to {PARALLELISM_INDEXED_MAX} when completion mode is Indexed");
        errors.push(parallelism.invalid(reason));
    }
    if completions.number().is_some_and(|number| exceeds(&failed, number)) {
        errors.push(failed.invalid("must be less than or equal to completions"));
    }
    if exceeds(&failed, FAILED_INDEXES_MAX) {
        errors.push(failed.invalid(format!("must be less than or equal to {FAILED_INDEXES_MAX}")));
    }
    if !exceeds(&completions, COMPLETIONS_MANY) || !spec.field("backoffLimitPerIndex").is_set() {
        return;
    }
    if !failed.is_set() {
        errors.push(failed.required(format!(
            "must be specified when completions is above {COMPLETIONS_MANY}"
        )));
    }
    for (at, most) in [
        (&parallelism, PARALLELISM_OF_MANY_MAX),
        (&failed, FAILED_INDEXES_OF_MANY_MAX),
    ] {
        if exceeds(at, most) {
            errors.push(at.invalid(format!(
                "must be less than or equal to {most} when completions are above {COMPLETIONS_MANY} and used with \
                 backoff limit per index"
            )));
        }
    }
}

/// Pods of a job end; which of them are tried again is for the job to say.
fn restart_policy(spec: &At<'_>, errors: &mut Vec<FieldError>) {
    let policy = spec.field("template").field("spec").field("restartPolicy");
    match policy.text() {
        "" | "Always" => errors.push(policy.required("valid values: \"OnFailure\", \"Never\"")),
        "OnFailure" if spec.field("podFailurePolicy").is_set() => {
            let reason = "only \"Never\" is supported when podFailurePolicy is specified";
            errors.push(policy.invalid(reason));
        }
        "OnFailure" | "Never" => {}
        _ => errors.push(policy.not_supported(&["Never", "OnFailure"])),
    }
}

fn failure_policy(spec: &At<'_>, rules: &At<'_>, errors: &mut Vec<FieldError>) {
    const ACTIONS: [&str; 4] = ["Count", "FailIndex", "FailJob", "Ignore"];
    if rules.count() > FAILURE_RULES_MAX {
        errors.push(FieldError::too_many(
            rules.path.clone(),
            rules.count(),
            FAILURE_RULES_MAX,
        ));
    }
    let pod = spec.field("template").field("spec");
    let containers: Vec<&str> = ["containers", "initContainers"]
        .into_iter()
        .flat_map(|list| pod.field(list).items())
        .map(|container| container.field("name").text())
        .collect();
    for rule in rules.items() {
        let action = rule.field("action");
        match action.text() {
            "" => errors.push(action.required(format!("valid values: {}", quoted(&ACTIONS)))),
            "FailIndex" if !spec.field("backoffLimitPerIndex").is_set() => {
                errors.push(action.invalid("requires the backoffLimitPerIndex to be set"));
            }
            text if !ACTIONS.contains(&text) => errors.push(action.not_supported(&ACTIONS)),
            _ => {}
        }
        let (codes, conditions) = (rule.field("onExitCodes"), rule.field("onPodConditions"));
        if codes.is_set() {
            exit_codes(&codes, &containers, errors);
        }
        pod_conditions(&conditions, errors);
        let reason = match (codes.is_set(), conditions.count() > 0) {
            (true, true) => "specifying both OnExitCodes and OnPodConditions is not supported",
            (false, false) => "specifying one of OnExitCodes and OnPodConditions is required",
            (true, false) | (false, true) => continue,
        };
        errors.push(FieldError::invalid_whole(rule.path, reason));
    }
}

fn pod_conditions(list: &At<'_>, errors: &mut Vec<FieldError>) {
    const STATUSES: [&str; 3] = ["False", "True", "Unknown"];
    if list.count() > FAILURE_PATTERNS_MAX {
        errors.push(FieldError::too_many(
            list.path.clone(),
            list.count(),
            FAILURE_PATTERNS_MAX,
        ));
    }
    for pattern in list.items() {
        named(&pattern.field("type"), names::label_key, errors);
        let status = pattern.field("status");
        if status.is_empty() {
            errors.push(status.required(format!("valid values: {}", quoted(&STATUSES))));
        } else if !STATUSES.contains(&status.text()) {
            errors.push(status.not_supported(&STATUSES));
        }
    }
}

fn exit_codes(at: &At<'_>, containers: &[&str], errors: &mut Vec<FieldError>) {
    const OPERATORS: [&str; 2] = ["In", "NotIn"];
    let operator = at.field("operator");
    if operator.is_empty() {
        errors.push(operator.required(format!("valid values: {}", quoted(&OPERATORS))));
    } else if !OPERATORS.contains(&operator.text()) {
        errors.push(operator.not_supported(&OPERATORS));
    }
    let container = at.field("containerName");
    if container.is_set() && !containers.contains(&container.text()) {
        let reason = "must be one of the container or initContainer names in the pod template";
        errors.push(container.invalid(reason));
    }
    let values = at.field("values");
    if values.count() == 0 {
        errors.push(FieldError::invalid(
            values.path.clone(),
            json!([]),
            "at least one value is required",
        ));
    } else if values.count() > EXIT_CODES_MAX {
        errors.push(FieldError::too_many(
            values.path.clone(),
            values.count(),
            EXIT_CODES_MAX,
        ));
    }
    let mut seen = BTreeSet::new();
    let mut last = None;
    let mut ordered = true;
    for value in values.items() {
        let code = value.number();
        if operator.text() == "In" && code == Some(0) {
            errors.push(value.invalid("must not be 0 for the In operator"));
        }
        if !seen.insert(code) {
            errors.push(value.duplicate());
        }
        ordered &= last <= code;
        last = code;
    }
    if !ordered {
        errors.push(values.invalid("must be ordered"));
    }
}

fn success_policy(spec: &At<'_>, rules: &At<'_>, errors: &mut Vec<FieldError>) {
    if rules.count() == 0 {
        let reason = "at least one rules must be specified when the successPolicy is specified";
        errors.push(rules.required(reason));
    }
    if rules.count() > SUCCESS_RULES_MAX {
        errors.push(FieldError::too_many(
            rules.path.clone(),
            rules.count(),
            SUCCESS_RULES_MAX,
        ));
    }
    let completions = spec.field("completions").number().unwrap_or(0);
    for rule in rules.items() {
        let (count, indexes) = (rule.field("succeededCount"), rule.field("succeededIndexes"));
        if !count.is_set() && !indexes.is_set() {
            let reason = "at least one of succeededCount or succeededIndexes must be specified";
            errors.push(rule.required(reason));
        }
        let mut named = None;
        if indexes.is_set() {
            match count_indexes(indexes.text(), completions) {
                Ok(total) => named = Some(total),
                Err(reason) => errors.push(indexes.invalid(format!("error parsing succeededIndexes: {reason}"))),
            }
        }
        not_negative(&count, errors);
        let Some(wanted) = count.number() else { continue };
        if wanted > completions {
            errors.push(count.invalid(format!(
                "must be less than or equal to {completions} (the number of specified completions)"
            )));
        }
        if let Some(named) = named.filter(|named| wanted > *named) {
            errors.push(count.invalid(format!(
                "must be less than or equal to {named} (the number of indexes in the specified succeededIndexes field)"
            )));
        }
    }
}

/// How many indexes `1,3-5` names, in order and below `completions`.
fn count_indexes(text: &str, completions: i64) -> Result<i64, String> {
    let mut total = 0;
    let mut last: Option<i64> = None;
    if text.is_empty() {
        return Ok(0);
    }
    let parse = |index: &str| -> Result<i64, String> {
        let number = index
            .parse::<i64>()
            .map_err(|_| format!("cannot convert string to integer for index: {index:?}"))?;
        if number >= completions {
            return Err(format!("too large index: {index:?}"));
        }
        Ok(number)
    };
    for interval in text.split(',') {
        let (first, end) = match interval.split_once('-') {
            None => (parse(interval)?, parse(interval)?),
            Some((first, end)) if !end.contains('-') => (parse(first)?, parse(end)?),
            Some(_) => {
                return Err(format!(
                    "the fragment {interval:?} violates the requirement that an index interval can have at most two \
                     parts separated by '-'"
                ));
            }
        };
        if interval.contains('-') && first >= end {
            return Err(format!("non-increasing order, previous: {first}, current: {end}"));
        }
        if let Some(last) = last.filter(|last| *last >= first) {
            return Err(format!("non-increasing order, previous: {last}, current: {first}"));
        }
        last = Some(end);
        total += end - first + 1;
    }
    Ok(total)
}

pub(super) fn job_update(new: &At<'_>, old: &At<'_>, errors: &mut Vec<FieldError>) {
    job(new, errors);
    let (spec, before) = (new.field("spec"), old.field("spec"));
    let (completions, were) = (spec.field("completions"), before.field("completions"));
    if completions.value != were.value {
        if !is_indexed(&spec) {
            errors.push(completions.invalid(IMMUTABLE));
        } else if completions.is_set() && completions.value != spec.field("parallelism").value {
            let reason = "can only be modified in tandem with spec.parallelism";
            errors.push(completions.invalid(reason));
        }
    }
    for field in ["selector", "template"] {
        let (at, was) = (spec.field(field), before.field(field));
        let kept = if field == "template" && may_be_steered(old) {
            as_steered(at.value, was.value) == *at.value
        } else {
            at.value == was.value
        };
        if !kept {
            errors.push(at.invalid(IMMUTABLE));
        }
    }
    for field in [
        "completionMode",
        "podFailurePolicy",
        "backoffLimitPerIndex",
        "managedBy",
        "successPolicy",
    ] {
        let (at, was) = (spec.field(field), before.field(field));
        if at.value != was.value {
            errors.push(at.invalid(IMMUTABLE));
        }
    }
    for count in ["active", "succeeded", "failed", "ready", "terminating"] {
        not_negative(&new.field("status").field(count), errors);
    }
}

/// A suspended job that never started may still be told where its pods go.
fn may_be_steered(old: &At<'_>) -> bool {
    old.field("spec").field("suspend").is_true() && !old.field("status").field("startTime").is_set()
}

/// The old template with what says where pods go taken from the new one.
fn as_steered(new: &Value, old: &Value) -> Value {
    let mut steered = old.clone();
    let mut take = |parent: &str, field: &str| {
        let value = new.pointer(parent).and_then(|parent| parent.get(field)).cloned();
        if let Some(target) = steered.pointer_mut(parent).and_then(Value::as_object_mut) {
            match value {
                Some(value) => target.insert(field.to_owned(), value),
                None => target.remove(field),
            };
        }
    };
    for field in ["nodeSelector", "tolerations", "schedulingGates"] {
        take("/spec", field);
    }
    for field in ["annotations", "labels"] {
        take("/metadata", field);
    }
    let had_only_nodes = old["spec"]["affinity"]
        .as_object()
        .is_none_or(|affinity| affinity.keys().all(|kind| kind == "nodeAffinity"));
    if had_only_nodes && (new["spec"]["affinity"].is_null() || old["spec"]["affinity"].is_null()) {
        let only_nodes = new["spec"]["affinity"]
            .as_object()
            .is_none_or(|affinity| affinity.keys().all(|kind| kind == "nodeAffinity"));
        if only_nodes {
            take("/spec", "affinity");
        }
    } else {
        take("/spec/affinity", "nodeAffinity");
    }
    steered
}

pub(super) fn cron_job(root: &At<'_>, errors: &mut Vec<FieldError>) {
    cron_job_update(root, errors);
    let name = root.field("metadata").field("name");
    if name.text().len() > CRON_NAME_MAX {
        errors.push(name.invalid(format!("must be no more than {CRON_NAME_MAX} characters")));
    }
}

pub(super) fn cron_job_update(root: &At<'_>, errors: &mut Vec<FieldError>) {
    let spec = root.field("spec");
    let schedule = spec.field("schedule");
    if schedule.is_empty() {
        errors.push(schedule.required(""));
    } else {
        named(&schedule, cron::schedule, errors);
        if schedule.text().contains("TZ") {
            let reason = "cannot use TZ or CRON_TZ in schedule, use timeZone field instead";
            errors.push(schedule.invalid(reason));
        }
    }
    not_negative(&spec.field("startingDeadlineSeconds"), errors);
    time_zone(&spec.field("timeZone"), errors);
    let policies = ["Allow", "Forbid", "Replace"];
    one_of(&spec.field("concurrencyPolicy"), &policies, errors);
    let job = spec.field("jobTemplate").field("spec");
    job_spec(&job, errors);
    let selector = job.field("selector");
    if selector.is_set() {
        errors.push(selector.invalid("`selector` will be auto-generated"));
    }
    let manual = job.field("manualSelector");
    if manual.is_true() {
        errors.push(manual.not_supported(&["false", "nil"]));
    }
    not_negative(&spec.field("successfulJobsHistoryLimit"), errors);
    not_negative(&spec.field("failedJobsHistoryLimit"), errors);
}

/// A name of the time zone database by its form. Whether the zone exists is for whoever computes times.
fn time_zone(at: &At<'_>, errors: &mut Vec<FieldError>) {
    const PART_MAX: usize = 14;
    if !at.is_set() {
        return;
    }
    let text = at.text();
    if text.is_empty() {
        errors.push(at.invalid("timeZone must be nil or non-empty string"));
        return;
    }
    let is_part = |part: &str| {
        (1..=PART_MAX).contains(&part.len())
            && !matches!(part, "." | "..")
            && !part.starts_with('-')
            && part
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b".-_+".contains(&byte))
    };
    if !text.split('/').all(is_part) {
        errors.push(at.invalid(format!("unknown time zone {text}")));
        return;
    }
    if text.eq_ignore_ascii_case("Local") {
        let reason = "timeZone must be an explicit time zone as defined in https://www.iana.org/time-zones";
        errors.push(at.invalid(reason));
    }
}

/// `["a" "b"]`
fn quoted(values: &[&str]) -> String {
    let quoted: Vec<String> = values.iter().map(|value| format!("{value:?}")).collect();
    format!("[{}]", quoted.join(" "))
}
