//! Horizontal pod autoscalers, in the form of version 2, which is the stored one.

use super::{
    at::At,
    checks::{named, not_negative, required},
    error::FieldError,
    names,
};
use crate::quantity::Quantity;

/// Longest time over which recommendations are smoothed: an hour.
const STABILIZATION_S_MAX: i64 = 3600;
/// Longest time over which a policy counts: half an hour.
const PERIOD_S_MAX: i64 = 1800;
/// (value of `type`, field with the source), in the order in which sources are looked at.
const SOURCES: [(&str, &str); 5] = [
    ("Object", "object"),
    ("External", "external"),
    ("Pods", "pods"),
    ("Resource", "resource"),
    ("ContainerResource", "containerResource"),
];
const POPULATE: &str = "must populate information for the given metric source";
const RAW_OR_SHARE: &str = "must set either a target raw value or a target utilization";
const RAW_AND_SHARE: &str = "may not set both a target raw value and a target utilization";

pub(super) fn autoscaler(root: &At<'_>, errors: &mut Vec<FieldError>) {
    let spec = root.field("spec");
    let (least, most) = (spec.field("minReplicas"), spec.field("maxReplicas"));
    if least.number().is_some_and(|number| number < 1) {
        errors.push(least.invalid("must be greater than or equal to 1"));
    }
    let number = most.number().unwrap_or(0);
    if number < 1 {
        errors.push(FieldError::invalid(most.path.clone(), number, "must be greater than 0"));
    }
    if least.number().is_some_and(|least| number < least) {
        let reason = "must be greater than or equal to `minReplicas`";
        errors.push(FieldError::invalid(most.path.clone(), number, reason));
    }
    reference(&spec.field("scaleTargetRef"), errors);
    for metric in spec.field("metrics").items() {
        source(&metric, errors);
    }
    let behavior = spec.field("behavior");
    for direction in ["scaleUp", "scaleDown"] {
        rules(&behavior.field(direction), errors);
    }
}

pub(super) fn autoscaler_update(new: &At<'_>, errors: &mut Vec<FieldError>) {
    autoscaler(new, errors);
    let status = new.field("status");
    not_negative(&status.field("currentReplicas"), errors);
    not_negative(&status.field("desiredReplicas"), errors);
}

fn reference(at: &At<'_>, errors: &mut Vec<FieldError>) {
    for field in ["kind", "name"] {
        let at = at.field(field);
        if required(&at, errors) {
            named(&at, names::path_segment, errors);
        }
    }
}

fn source(metric: &At<'_>, errors: &mut Vec<FieldError>) {
    let kind = metric.field("type");
    let known = SOURCES.iter().find(|(name, _)| *name == kind.text());
    if kind.is_empty() {
        errors.push(kind.required("must specify a metric source type"));
    }
    if known.is_none() {
        errors.push(kind.not_supported(&SOURCES.map(|(name, _)| name)));
    }
    let given: Vec<&str> = SOURCES
        .iter()
        .map(|(_, field)| *field)
        .filter(|field| metric.field(field).is_set())
        .collect();
    if let Some(first) = given.first() {
        let at = metric.field(first);
        match *first {
            "object" => object_source(&at, errors),
            "external" => external_source(&at, errors),
            "pods" => pods_source(&at, errors),
            "resource" => resource_source(&at, errors),
            _ => container_source(&at, errors),
        }
    }
    let Some((_, expected)) = known else { return };
    if !given.contains(expected) {
        errors.push(metric.field(expected).required(POPULATE));
    }
    for other in given.iter().filter(|field| *field != expected) {
        let reason = "must populate the given metric source only";
        errors.push(metric.field(other).forbidden(reason));
    }
}

fn object_source(at: &At<'_>, errors: &mut Vec<FieldError>) {
    reference(&at.field("describedObject"), errors);
    identifier(&at.field("metric"), errors);
    let target = at.field("target");
    self::target(&target, errors);
    if !target.field("value").is_set() && !target.field("averageValue").is_set() {
        let reason = "must set either a target value or averageValue";
        errors.push(target.field("averageValue").required(reason));
    }
}

fn external_source(at: &At<'_>, errors: &mut Vec<FieldError>) {
    identifier(&at.field("metric"), errors);
    let target = at.field("target");
    self::target(&target, errors);
    match (target.field("value").is_set(), target.field("averageValue").is_set()) {
        (false, false) => {
            let reason = "must set either a target value for metric or a per-pod target";
            errors.push(target.field("averageValue").required(reason));
        }
        (true, true) => {
            let reason = "may not set both a target value for metric and a per-pod target";
            errors.push(target.field("value").forbidden(reason));
        }
        (true, false) | (false, true) => {}
    }
}

fn pods_source(at: &At<'_>, errors: &mut Vec<FieldError>) {
    identifier(&at.field("metric"), errors);
    let target = at.field("target");
    self::target(&target, errors);
    let value = target.field("averageValue");
    if !value.is_set() {
        errors.push(value.required("must specify a positive target averageValue"));
    }
}

fn resource_source(at: &At<'_>, errors: &mut Vec<FieldError>) {
    let name = at.field("name");
    if name.is_empty() {
        errors.push(name.required("must specify a resource name"));
    }
    share_or_value(&at.field("target"), errors);
}

fn container_source(at: &At<'_>, errors: &mut Vec<FieldError>) {
    let (name, container) = (at.field("name"), at.field("container"));
    if name.is_empty() {
        errors.push(name.required("must specify a resource name"));
    }
    if container.is_empty() {
        errors.push(container.required("must specify a container"));
    } else {
        named(&container, names::dns_label, errors);
    }
    share_or_value(&at.field("target"), errors);
}

fn share_or_value(target: &At<'_>, errors: &mut Vec<FieldError>) {
    self::target(target, errors);
    let (share, value) = (target.field("averageUtilization"), target.field("averageValue"));
    match (share.is_set(), value.is_set()) {
        (false, false) => errors.push(share.required(RAW_OR_SHARE)),
        (true, true) => errors.push(value.forbidden(RAW_AND_SHARE)),
        (true, false) | (false, true) => {}
    }
}

fn target(at: &At<'_>, errors: &mut Vec<FieldError>) {
    let kind = at.field("type");
    if kind.is_empty() {
        errors.push(kind.required("must specify a metric target type"));
    }
    if !matches!(kind.text(), "AverageValue" | "Utilization" | "Value") {
        errors.push(kind.invalid("must be either Utilization, Value, or AverageValue"));
    }
    for field in ["value", "averageValue"] {
        let at = at.field(field);
        let is_positive = |text: &str| Quantity::parse(text).is_ok_and(|value| value > Quantity::ZERO);
        if at.is_set() && !is_positive(at.text()) {
            errors.push(at.invalid("must be positive"));
        }
    }
    let share = at.field("averageUtilization");
    if share.number().is_some_and(|share| share < 1) {
        errors.push(share.invalid("must be greater than 0"));
    }
}

fn identifier(at: &At<'_>, errors: &mut Vec<FieldError>) {
    let name = at.field("name");
    if name.is_empty() {
        errors.push(name.required("must specify a metric name"));
    } else {
        named(&name, names::path_segment, errors);
    }
}

fn rules(at: &At<'_>, errors: &mut Vec<FieldError>) {
    if !at.is_set() {
        return;
    }
    let window = at.field("stabilizationWindowSeconds");
    if let Some(seconds) = window.number() {
        if seconds < 0 {
            errors.push(window.invalid("must be greater than or equal to zero"));
        }
        if seconds > STABILIZATION_S_MAX {
            errors.push(window.invalid(format!("must be less than or equal to {STABILIZATION_S_MAX}")));
        }
    }
    let select = at.field("selectPolicy");
    if select.is_set() && !matches!(select.text(), "Disabled" | "Max" | "Min") {
        errors.push(select.not_supported(&["Disabled", "Max", "Min"]));
    }
    let policies = at.field("policies");
    if policies.count() == 0 {
        errors.push(policies.required("must specify at least one Policy"));
    }
    for policy in policies.items() {
        let (kind, value, period) = (
            policy.field("type"),
            policy.field("value"),
            policy.field("periodSeconds"),
        );
        if !matches!(kind.text(), "Percent" | "Pods") {
            errors.push(kind.not_supported(&["Percent", "Pods"]));
        }
        for at in [&value, &period] {
            let number = at.number().unwrap_or(0);
            if number <= 0 {
                errors.push(FieldError::invalid(
                    at.path.clone(),
                    number,
                    "must be greater than zero",
                ));
            }
        }
        if period.number().is_some_and(|seconds| seconds > PERIOD_S_MAX) {
            errors.push(period.invalid(format!("must be less than or equal to {PERIOD_S_MAX}")));
        }
    }
}
