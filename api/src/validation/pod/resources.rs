//! Requests and limits.

use serde_json::Value;

use crate::{
    quantity::Quantity,
    validation::{at::At, error::FieldError, names},
};

const STANDARD: [&str; 3] = ["cpu", "ephemeral-storage", "memory"];
const HUGE_PAGES: &str = "hugepages-";

pub(super) fn requirements(at: &At<'_>, errors: &mut Vec<FieldError>) {
    let (limits, requests) = (at.field("limits"), at.field("requests"));
    for list in [&limits, &requests] {
        for (name, quantity) in list.entries() {
            resource_name(name, &quantity, errors);
            amount(name, &quantity, errors);
        }
    }
    for (name, request) in requests.entries() {
        let limit = limits.map().and_then(|limits| limits.get(name));
        let (Some(wanted), Some(limit)) = (parse(request.value), limit.and_then(parse)) else {
            continue;
        };
        let overcommits = STANDARD.contains(&name);
        if !overcommits && wanted != limit {
            let reason = format!("must be equal to {name} limit of {limit}");
            errors.push(FieldError::invalid(requests.path.clone(), wanted.to_string(), reason));
        } else if wanted > limit {
            let reason = format!("must be less than or equal to {name} limit of {limit}");
            errors.push(FieldError::invalid(requests.path.clone(), wanted.to_string(), reason));
        }
    }
    let names = || limits.entries().chain(requests.entries()).map(|(name, _)| name);
    if names().any(|name| name.starts_with(HUGE_PAGES)) && !names().any(|name| matches!(name, "cpu" | "memory")) {
        errors.push(at.forbidden("HugePages require cpu or memory"));
    }
    for (name, _) in requests.entries() {
        let is_extended = !STANDARD.contains(&name);
        if is_extended && limits.map().is_none_or(|limits| !limits.contains_key(name)) {
            errors.push(limits.required("Limit must be set for non overcommitable resources"));
        }
    }
}

fn resource_name(name: &str, at: &At<'_>, errors: &mut Vec<FieldError>) {
    if let Err(reason) = names::label_key(name) {
        errors.push(FieldError::invalid(at.path.clone(), name, reason));
        return;
    }
    let is_standard = STANDARD.contains(&name) || name.starts_with(HUGE_PAGES);
    if !is_standard && !name.contains('/') {
        let reason = "must be a standard resource type or fully qualified";
        errors.push(FieldError::invalid(at.path.clone(), name, reason));
        let reason = "must be a standard resource for containers";
        errors.push(FieldError::invalid(at.path.clone(), name, reason));
    }
}

fn amount(name: &str, at: &At<'_>, errors: &mut Vec<FieldError>) {
    let Some(quantity) = parse(at.value) else { return };
    if quantity.is_negative() {
        let reason = "must be greater than or equal to 0";
        errors.push(FieldError::invalid(at.path.clone(), quantity.to_string(), reason));
    }
    if !quantity.is_whole() && name.contains('/') {
        errors.push(FieldError::invalid(
            at.path.clone(),
            quantity.to_string(),
            "must be an integer",
        ));
    }
}

fn parse(value: &Value) -> Option<Quantity> {
    match value {
        Value::String(text) => Quantity::parse(text).ok(),
        Value::Number(number) => Quantity::parse(&number.to_string()).ok(),
        _ => None,
    }
}
