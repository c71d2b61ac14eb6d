//! Limit ranges and quotas: names of resources, amounts, scopes.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::{IMMUTABLE, at::At, error::FieldError, names};
use crate::quantity::Quantity;

const HUGE_PAGES: &str = "hugepages-";
const REQUESTED_HUGE_PAGES: &str = "requests.hugepages-";
/// What containers ask for.
const COMPUTE: [&str; 3] = ["cpu", "ephemeral-storage", "memory"];
/// What quotas count.
const COUNTED: [&str; 9] = [
    "configmaps",
    "persistentvolumeclaims",
    "pods",
    "replicationcontrollers",
    "resourcequotas",
    "secrets",
    "services",
    "services.loadbalancers",
    "services.nodeports",
];
/// What quotas sum up.
const SUMMED: [&str; 10] = [
    "cpu",
    "ephemeral-storage",
    "limits.cpu",
    "limits.ephemeral-storage",
    "limits.memory",
    "memory",
    "requests.cpu",
    "requests.ephemeral-storage",
    "requests.memory",
    "requests.storage",
];
const SCOPES: [&str; 7] = [
    "BestEffort",
    "CrossNamespacePodAffinity",
    "NotBestEffort",
    "NotTerminating",
    "PriorityClass",
    "Terminating",
    "VolumeAttributesClass",
];
const CONFLICTING: [[&str; 2]; 2] = [["BestEffort", "NotBestEffort"], ["NotTerminating", "Terminating"]];
const STANDARD_OR_QUALIFIED: &str = "must be a standard resource type or fully qualified";

pub(super) fn quantity(at: &At<'_>) -> Option<Quantity> {
    Quantity::parse(at.text()).ok()
}

/// The name of any resource.
fn resource_name(name: &str, at: &At<'_>, errors: &mut Vec<FieldError>) -> bool {
    if let Err(reason) = names::label_key(name) {
        errors.push(FieldError::invalid(at.path.clone(), name, reason));
        return false;
    }
    let standard = SUMMED.contains(&name)
        || COUNTED.contains(&name)
        || name == "storage"
        || name.starts_with(HUGE_PAGES)
        || name.starts_with(REQUESTED_HUGE_PAGES);
    if !name.contains('/') && !standard {
        errors.push(FieldError::invalid(at.path.clone(), name, STANDARD_OR_QUALIFIED));
    }
    true
}

/// The name of a resource that containers ask for.
fn container_resource_name(name: &str, at: &At<'_>, errors: &mut Vec<FieldError>) {
    if resource_name(name, at, errors)
        && !name.contains('/')
        && !COMPUTE.contains(&name)
        && !name.starts_with(HUGE_PAGES)
    {
        let reason = "must be a standard resource for containers";
        errors.push(FieldError::invalid(at.path.clone(), name, reason));
    }
}

/// An amount of this resource: not negative, and whole where parts make no sense.
pub(super) fn amount_of(name: &str, at: &At<'_>, errors: &mut Vec<FieldError>) {
    let Some(quantity) = quantity(at) else { return };
    if quantity.is_negative() {
        errors.push(at.invalid("must be greater than or equal to 0"));
    }
    let is_extended = name.contains('/') && !name.contains("kubernetes.io/") && !name.starts_with("requests.");
    if (COUNTED.contains(&name) || is_extended) && !quantity.is_whole() {
        errors.push(at.invalid("must be an integer"));
    }
}

pub(super) fn quota(root: &At<'_>, errors: &mut Vec<FieldError>) {
    let (spec, status) = (root.field("spec"), root.field("status"));
    let hard = spec.field("hard");
    quota_amounts(&hard, errors);
    scopes(&spec, &hard, errors);
    scope_selector(&spec.field("scopeSelector"), &hard, errors);
    quota_amounts(&status.field("hard"), errors);
    quota_amounts(&status.field("used"), errors);
}

pub(super) fn quota_update(new: &At<'_>, old: &At<'_>, errors: &mut Vec<FieldError>) {
    quota(new, errors);
    let scopes = |root: &At<'_>| -> BTreeSet<String> {
        let list = root.field("spec").field("scopes");
        list.items().map(|scope| scope.text().to_owned()).collect()
    };
    if scopes(new) != scopes(old) {
        errors.push(new.field("spec").field("scopes").invalid(IMMUTABLE));
    }
}

fn quota_amounts(hard: &At<'_>, errors: &mut Vec<FieldError>) {
    for (name, at) in hard.entries() {
        let in_quotas = SUMMED.contains(&name)
            || COUNTED.contains(&name)
            || name.starts_with(HUGE_PAGES)
            || name.starts_with(REQUESTED_HUGE_PAGES);
        if resource_name(name, &at, errors) && !name.contains('/') && !in_quotas {
            let reason = "must be a standard resource for quota";
            errors.push(FieldError::invalid(at.path.clone(), name, reason));
        }
        amount_of(name, &at, errors);
    }
}

fn scopes(spec: &At<'_>, hard: &At<'_>, errors: &mut Vec<FieldError>) {
    let scopes = spec.field("scopes");
    let mut seen = BTreeSet::new();
    for scope in scopes.items() {
        if !SCOPES.contains(&scope.text()) {
            errors.push(scopes.invalid("unsupported scope"));
        }
        for (name, _) in hard.entries() {
            if !scope_covers(scope.text(), name) {
                errors.push(scopes.invalid("unsupported scope applied to resource"));
            }
        }
        seen.insert(scope.text());
    }
    for pair in CONFLICTING {
        if pair.iter().all(|scope| seen.contains(scope)) {
            errors.push(scopes.invalid("conflicting scopes"));
        }
    }
}

fn scope_selector(selector: &At<'_>, hard: &At<'_>, errors: &mut Vec<FieldError>) {
    let expressions = selector.field("matchExpressions");
    let mut seen = BTreeSet::new();
    for expression in expressions.items() {
        let (scope, operator, values) = (
            expression.field("scopeName"),
            expression.field("operator"),
            expression.field("values"),
        );
        // The paths are those of the list: Kubernetes names no item here.
        let invalid = |field: &str, at: &At<'_>, reason: &str| {
            FieldError::invalid(expressions.path_of(field), at.value.clone(), reason)
        };
        if !SCOPES.contains(&scope.text()) {
            errors.push(invalid("scopeName", &scope, "unsupported scope"));
        }
        for (name, _) in hard.entries() {
            if !scope_covers(scope.text(), name) {
                errors.push(FieldError::invalid(
                    expressions.path.clone(),
                    selector.value.clone(),
                    "unsupported scope applied to resource",
                ));
            }
        }
        let is_yes_or_no = !matches!(scope.text(), "PriorityClass" | "VolumeAttributesClass");
        if SCOPES.contains(&scope.text()) && is_yes_or_no && operator.text() != "Exists" {
            let reason = "must be 'Exist' when scope is any of ResourceQuotaScopeTerminating, \
                 ResourceQuotaScopeNotTerminating, ResourceQuotaScopeBestEffort, ResourceQuotaScopeNotBestEffort or \
                 ResourceQuotaScopeCrossNamespacePodAffinity";
            errors.push(invalid("operator", &operator, reason));
        }
        match operator.text() {
            "In" | "NotIn" if values.count() == 0 => {
                let reason = "must be at least one value when `operator` is 'In' or 'NotIn' for scope selector";
                errors.push(FieldError::required(expressions.path_of("values"), reason));
            }
            "Exists" | "DoesNotExist" if values.count() > 0 => {
                let reason = "must be no value when `operator` is 'Exist' or 'DoesNotExist' for scope selector";
                errors.push(invalid("values", &values, reason));
            }
            "In" | "NotIn" | "Exists" | "DoesNotExist" => {}
            _ => errors.push(invalid("operator", &operator, "not a valid selector operator")),
        }
        seen.insert(scope.text());
    }
    for pair in CONFLICTING {
        if pair.iter().all(|scope| seen.contains(scope)) {
            errors.push(expressions.invalid("conflicting scopes"));
        }
    }
}

/// Whether a quota of this resource can be limited to this scope. Resources that are not known are never refused.
fn scope_covers(scope: &str, resource: &str) -> bool {
    const OF_PODS: [&str; 7] = [
        "cpu",
        "limits.cpu",
        "limits.memory",
        "memory",
        "pods",
        "requests.cpu",
        "requests.memory",
    ];
    let is_known = SUMMED.contains(&resource) || COUNTED.contains(&resource);
    match scope {
        _ if !is_known => true,
        "BestEffort" => resource == "pods",
        "VolumeAttributesClass" => matches!(resource, "persistentvolumeclaims" | "requests.storage"),
        scope if SCOPES.contains(&scope) => OF_PODS.contains(&resource),
        _ => true,
    }
}

/// The lists of a limit, by their field.
const LISTS: [&str; 5] = ["max", "min", "default", "defaultRequest", "maxLimitRequestRatio"];

pub(super) fn limit_range(root: &At<'_>, errors: &mut Vec<FieldError>) {
    let mut seen = BTreeSet::new();
    for limit in root.field("spec").field("limits").items() {
        let kind = limit.field("type");
        if let Err(reason) = names::label_key(kind.text()) {
            errors.push(kind.invalid(reason));
        } else if !kind.text().contains('/') && !matches!(kind.text(), "Container" | "PersistentVolumeClaim" | "Pod") {
            errors.push(kind.invalid("must be a standard limit type or fully qualified"));
        }
        if !seen.insert(kind.text()) {
            errors.push(kind.duplicate());
        }
        let mut resources: BTreeSet<&str> = BTreeSet::new();
        for list in LISTS {
            let at = limit.field(list);
            if kind.text() == "Pod" && matches!(list, "default" | "defaultRequest") {
                if !at.is_empty() {
                    errors.push(at.forbidden("may not be specified when `type` is 'Pod'"));
                }
                continue;
            }
            for (name, at) in at.entries() {
                match kind.text() {
                    "Container" | "Pod" => container_resource_name(name, &at, errors),
                    _ => {
                        resource_name(name, &at, errors);
                    }
                }
                resources.insert(name);
            }
        }
        if kind.text() == "PersistentVolumeClaim" {
            let has = |list: &str| limit.field(list).field("storage").is_set();
            if !has("min") && !has("max") {
                let reason = "either minimum or maximum storage value is required, but neither was provided";
                errors.push(FieldError::required(limit.path_of("limits"), reason));
            }
        }
        for resource in resources {
            agreeing(&limit, resource, errors);
        }
    }
}

/// Least, default and greatest amounts of one resource stand in this order.
fn agreeing(limit: &At<'_>, resource: &str, errors: &mut Vec<FieldError>) {
    let amounts: BTreeMap<&str, Quantity> = LISTS
        .into_iter()
        .filter_map(|list| {
            let amount = limit.field(list).field(resource);
            Some((list, quantity(&amount)?))
        })
        .collect();
    let mut fault = |list: &str, shown: Quantity, reason: String| {
        let path = format!("{}[{resource}]", limit.path_of(list));
        errors.push(FieldError::invalid(path, shown.to_string(), reason));
    };
    let pair = |low: &str, high: &str| match (amounts.get(low), amounts.get(high)) {
        (Some(low), Some(high)) if low > high => Some((*low, *high)),
        _ => None,
    };
    if let Some((least, most)) = pair("min", "max") {
        fault(
            "min",
            least,
            format!("min value {least} is greater than max value {most}"),
        );
    }
    if let Some((least, request)) = pair("min", "defaultRequest") {
        let reason = format!("min value {least} is greater than default request value {request}");
        fault("defaultRequest", request, reason);
    }
    if let Some((request, most)) = pair("defaultRequest", "max") {
        let reason = format!("default request value {request} is greater than max value {most}");
        fault("defaultRequest", request, reason);
    }
    if let Some((request, limit)) = pair("defaultRequest", "default") {
        let reason = format!("default request value {request} is greater than default limit value {limit}");
        fault("defaultRequest", request, reason);
    }
    if let Some((least, limit)) = pair("min", "default") {
        fault(
            "default",
            least,
            format!("min value {least} is greater than default value {limit}"),
        );
    }
    if let Some((limit, most)) = pair("default", "max") {
        fault(
            "default",
            most,
            format!("default value {limit} is greater than max value {most}"),
        );
    }
    if let Some(ratio) = amounts.get("maxLimitRequestRatio") {
        if *ratio < Quantity::from_value(1) {
            fault("maxLimitRequestRatio", *ratio, format!("ratio {ratio} is less than 1"));
        }
        if let (Some(least), Some(most)) = (amounts.get("min"), amounts.get("max")) {
            let whole = most.value() as f64 / least.value() as f64;
            if ratio.milli_value() as f64 / 1000.0 > whole {
                let reason = format!("ratio {ratio} is greater than max/min = {whole:.6}");
                fault("maxLimitRequestRatio", *ratio, reason);
            }
        }
    }
    let overcommits = !resource.contains('/') && !resource.starts_with(HUGE_PAGES);
    if let (Some(limit), Some(request)) = (amounts.get("default"), amounts.get("defaultRequest"))
        && !overcommits
        && limit != request
    {
        let reason = format!("default value {limit} must equal to defaultRequest value {request} in {resource}");
        fault("default", *limit, reason);
    }
}

/// The amounts that a class of runtimes adds to each pod.
pub(super) fn overhead(at: &At<'_>, errors: &mut Vec<FieldError>) {
    for (name, entry) in at.field("podFixed").entries() {
        // Kubernetes checks them as the limits of a container, and names them so.
        let entry = At {
            value: entry.value,
            path: format!("{}[{name}]", at.path_of("limits")),
        };
        container_resource_name(name, &entry, errors);
        amount_of(name, &entry, errors);
    }
}

/// Whether a value is a quantity above zero.
pub(super) fn positive(value: &Value) -> bool {
    let text = value.as_str().unwrap_or_default();
    Quantity::parse(text).is_ok_and(|quantity| quantity > Quantity::ZERO)
}
