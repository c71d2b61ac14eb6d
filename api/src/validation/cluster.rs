//! Nodes, events and leases.

use std::collections::HashSet;

use ipnet::IpNet;

use super::{
    at::At,
    checks::{named, not_negative, one_of, required},
    error::FieldError,
    names,
};

const TAINT_EFFECTS: [&str; 3] = ["NoExecute", "NoSchedule", "PreferNoSchedule"];

pub(super) fn node(root: &At<'_>, errors: &mut Vec<FieldError>) {
    let spec = root.field("spec");
    let mut seen: HashSet<(&str, &str)> = HashSet::new();
    for taint in spec.field("taints").items() {
        let (key, effect) = (taint.field("key"), taint.field("effect"));
        if required(&key, errors) {
            named(&key, names::label_key, errors);
        }
        named(&taint.field("value"), names::label_value, errors);
        one_of(&effect, &TAINT_EFFECTS, errors);
        if !seen.insert((key.text(), effect.text())) {
            errors.push(taint.duplicate());
        }
    }
    for range in spec.field("podCIDRs").items() {
        if range.text().parse::<IpNet>().is_err() {
            let reason = "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)";
            errors.push(range.invalid(reason));
        }
    }
    if spec.field("podCIDRs").count() > 0 && spec.field("podCIDR").text() != spec.value["podCIDRs"][0] {
        let reason = "primary CIDR must match podCIDR";
        let ranges = spec.field("podCIDRs");
        errors.push(ranges.invalid(reason));
    }
}

pub(super) fn node_update(new: &At<'_>, old: &At<'_>, errors: &mut Vec<FieldError>) {
    node(new, errors);
    let (spec, before) = (new.field("spec"), old.field("spec"));
    let ranges = before.field("podCIDRs");
    if ranges.count() > 0 && spec.field("podCIDRs").value != ranges.value {
        let reason = "node updates may not change podCIDR except from \"\" to valid";
        errors.push(ranges.forbidden(reason));
    }
    let provider = before.field("providerID");
    if !provider.is_empty() && spec.field("providerID").value != provider.value {
        let reason = "node updates may not change providerID except from \"\" to valid";
        errors.push(provider.forbidden(reason));
    }
}

pub(super) fn event(root: &At<'_>, errors: &mut Vec<FieldError>) {
    let about = root.field("involvedObject").field("namespace");
    let namespace = root.field("metadata").field("namespace").text();
    let agrees = about.is_empty() || about.text() == namespace;
    if !agrees {
        let reason = "does not match event.namespace";
        errors.push(about.invalid(reason));
    }
}

pub(super) fn lease(root: &At<'_>, errors: &mut Vec<FieldError>) {
    let spec = root.field("spec");
    let duration = spec.field("leaseDurationSeconds");
    if let Some(seconds) = duration.number().filter(|seconds| *seconds <= 0) {
        errors.push(FieldError::invalid(
            duration.path.clone(),
            seconds,
            "must be greater than 0",
        ));
    }
    not_negative(&spec.field("leaseTransitions"), errors);
}
