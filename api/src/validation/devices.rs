//! `resource.k8s.io`: classes of devices, claims of them, and what nodes offer.
//!
//! Source: `pkg/apis/resource/validation` of Kubernetes, by behaviour.

use super::{
    at::At,
    checks::{named, named_if_set, not_negative, one_of, required, unique_field},
    error::FieldError,
    names, same,
};
use crate::custom::check_expression;

/// Most requests, constraints and configurations of a claim, and most selectors of a request.
const LIST_MAX: usize = 32;
/// Most alternatives of a request.
const ALTERNATIVES_MAX: usize = 8;
const DEVICES_MAX: usize = 128;
const DRIVER_BYTES_MAX: usize = 63;

pub(super) fn create(kind: &str, root: &At<'_>, errors: &mut Vec<FieldError>) {
    let spec = root.field("spec");
    match kind {
        "DeviceClass" => selectors(&spec.field("selectors"), errors),
        "ResourceClaim" => claim(&spec.field("devices"), errors),
        "ResourceClaimTemplate" => claim(&spec.field("spec").field("devices"), errors),
        "ResourceSlice" => slice(&spec, errors),
        _ => {}
    }
}

pub(super) fn update(kind: &str, root: &At<'_>, before: &At<'_>, errors: &mut Vec<FieldError>) {
    let (spec, old) = (root.field("spec"), before.field("spec"));
    match kind {
        "ResourceClaim" | "ResourceClaimTemplate" => same(&spec, &old, errors),
        "ResourceSlice" => {
            slice(&spec, errors);
            for field in ["driver", "nodeName"] {
                same(&spec.field(field), &old.field(field), errors);
            }
            same(
                &spec.field("pool").field("name"),
                &old.field("pool").field("name"),
                errors,
            );
        }
        _ => create(kind, root, errors),
    }
}

fn claim(devices: &At<'_>, errors: &mut Vec<FieldError>) {
    let requests = devices.field("requests");
    bounded(&requests, LIST_MAX, errors);
    bounded(&devices.field("constraints"), LIST_MAX, errors);
    bounded(&devices.field("config"), LIST_MAX, errors);
    for request in requests.items() {
        let name = request.field("name");
        if required(&name, errors) {
            named(&name, names::dns_label, errors);
        }
        let (exactly, alternatives) = (request.field("exactly"), request.field("firstAvailable"));
        match (exactly.is_set(), alternatives.count() > 0) {
            (false, false) => errors.push(request.required("exactly one of `exactly` or `firstAvailable` is required")),
            (true, true) => {
                errors.push(
                    request.invalid(
                        "exactly one of `exactly` or `firstAvailable` is required, but multiple fields are set",
                    ),
                );
            }
            (true, false) => device_request(&exactly, errors),
            (false, true) => {
                bounded(&alternatives, ALTERNATIVES_MAX, errors);
                for alternative in alternatives.items() {
                    let name = alternative.field("name");
                    if required(&name, errors) {
                        named(&name, names::dns_label, errors);
                    }
                    device_request(&alternative, errors);
                }
                unique_field(&alternatives, "name", errors);
            }
        }
    }
    unique_field(&requests, "name", errors);
}

fn device_request(at: &At<'_>, errors: &mut Vec<FieldError>) {
    let class = at.field("deviceClassName");
    if required(&class, errors) {
        named(&class, names::dns_subdomain, errors);
    }
    selectors(&at.field("selectors"), errors);
    let (mode, count) = (at.field("allocationMode"), at.field("count"));
    let given = count.number().unwrap_or(0);
    match mode.text() {
        "All" if given != 0 => {
            let reason = "must not be specified when allocationMode is 'All'";
            errors.push(count.invalid(reason));
        }
        "All" => {}
        "ExactCount" if given <= 0 => {
            errors.push(FieldError::invalid(
                count.path.clone(),
                given,
                "must be greater than zero",
            ));
        }
        "ExactCount" => {}
        _ => errors.push(mode.not_supported(&["All", "ExactCount"])),
    }
}

fn selectors(list: &At<'_>, errors: &mut Vec<FieldError>) {
    bounded(list, LIST_MAX, errors);
    for selector in list.items() {
        let cel = selector.field("cel");
        if !required(&cel, errors) {
            continue;
        }
        let expression = cel.field("expression");
        if required(&expression, errors)
            && let Err(reason) = check_expression(expression.text())
        {
            errors.push(expression.invalid(format!("compilation failed: {reason}")));
        }
    }
}

fn slice(spec: &At<'_>, errors: &mut Vec<FieldError>) {
    let driver = spec.field("driver");
    if required(&driver, errors) {
        if driver.text().len() > DRIVER_BYTES_MAX {
            errors.push(FieldError::too_long(driver.path.clone(), DRIVER_BYTES_MAX));
        }
        named(&driver, names::dns_subdomain, errors);
    }
    let pool = spec.field("pool");
    required(&pool.field("name"), errors);
    not_negative(&pool.field("generation"), errors);
    let slices = pool.field("resourceSliceCount");
    if slices.number().unwrap_or(0) <= 0 {
        errors.push(FieldError::invalid(
            slices.path.clone(),
            slices.number().unwrap_or(0),
            "must be greater than zero",
        ));
    }
    let places = [
        !spec.field("nodeName").is_empty(),
        spec.field("nodeSelector").is_set(),
        spec.field("allNodes").is_true(),
        spec.field("perDeviceNodeSelection").is_true(),
    ];
    let where_from = "exactly one of `nodeName`, `nodeSelector`, `allNodes`, `perDeviceNodeSelection` is required";
    match places.iter().filter(|is_set| **is_set).count() {
        0 => errors.push(spec.required(where_from)),
        1 => named_if_set(&spec.field("nodeName"), names::dns_subdomain, errors),
        _ => errors.push(spec.invalid(format!("{where_from}, but multiple fields are set"))),
    }
    let devices = spec.field("devices");
    bounded(&devices, DEVICES_MAX, errors);
    for device in devices.items() {
        let name = device.field("name");
        if required(&name, errors) {
            named(&name, names::dns_label, errors);
        }
        for taint in device.field("taints").items() {
            required(&taint.field("key"), errors);
            one_of(&taint.field("effect"), &["NoExecute", "NoSchedule", "None"], errors);
        }
    }
    unique_field(&devices, "name", errors);
}

fn bounded(list: &At<'_>, items_max: usize, errors: &mut Vec<FieldError>) {
    if list.count() > items_max {
        errors.push(FieldError::too_many(list.path.clone(), list.count(), items_max));
    }
}
