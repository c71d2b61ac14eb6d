//! What the limit ranges of a namespace add to pods, and what they refuse.
//!
//! Pure: functions of the object and of the ranges. Defaults within a range are `api::defaulting`'s.
//! Source: Kubernetes, "Limit Ranges"; the admission plugin LimitRanger, by behaviour.

use std::collections::BTreeMap;

use api::{
    k8s_openapi::{
        api::core::v1::{LimitRange, LimitRangeItem, PersistentVolumeClaim, PodSpec},
        apimachinery::pkg::api::resource::Quantity as Text,
    },
    quantity::Quantity,
};
use reconcile::pod_resources::{self, Amounts, Side};
use serde_json::{Value, json};

const ANNOTATION: &str = "kubernetes.io/limit-ranger";

/// Gives each container of a new pod the requests and limits that it does not name and the ranges do, and notes which.
pub(crate) fn complete(pod: &mut Value, ranges: &[LimitRange]) {
    for range in ranges {
        let mut notes = Vec::new();
        let (requests, limits) = defaults(range);
        for (list, word) in [("containers", "container"), ("initContainers", "init container")] {
            let containers = pod.pointer_mut(&format!("/spec/{list}")).and_then(Value::as_array_mut);
            for container in containers
                .into_iter()
                .flatten()
                .filter(|container| container.is_object())
            {
                let name = container["name"].as_str().unwrap_or_default().to_owned();
                for (side, amounts) in [("request", &requests), ("limit", &limits)] {
                    let set = fill(container, &format!("{side}s"), amounts);
                    if !set.is_empty() {
                        notes.push(format!("{} {side} for {word} {name}", set.join(", ")));
                    }
                }
            }
        }
        if !notes.is_empty() {
            let annotations = &mut pod["metadata"]["annotations"];
            if !annotations.is_object() {
                *annotations = json!({});
            }
            annotations[ANNOTATION] = json!(format!("LimitRanger plugin set: {}", notes.join("; ")));
        }
    }
}

/// What a range gives containers: requests and limits.
fn defaults(range: &LimitRange) -> (BTreeMap<String, String>, BTreeMap<String, String>) {
    let (mut requests, mut limits) = (BTreeMap::new(), BTreeMap::new());
    for item in items(range, "Container") {
        for (to, from) in [(&mut requests, &item.default_request), (&mut limits, &item.default)] {
            let given = from.iter().flatten();
            to.extend(given.map(|(name, text)| (name.clone(), text.0.clone())));
        }
    }
    (requests, limits)
}

/// Gives the container what it does not name; answers the names of what it was given.
fn fill(container: &mut Value, list: &str, amounts: &BTreeMap<String, String>) -> Vec<String> {
    let missing: Vec<(&String, &String)> = amounts
        .iter()
        .filter(|(name, _)| container["resources"][list].get(name).is_none())
        .collect();
    for (name, text) in &missing {
        for slot in [&["resources"][..], &["resources", list][..]] {
            let place = slot.iter().fold(&mut *container, |value, field| &mut value[*field]);
            if !place.is_object() {
                *place = json!({});
            }
        }
        container["resources"][list][name.as_str()] = json!(text);
    }
    missing.into_iter().map(|(name, _)| name.clone()).collect()
}

/// Why the ranges refuse a pod.
pub(crate) fn check_pod(spec: &PodSpec, ranges: &[LimitRange]) -> Option<String> {
    first_fault(ranges, |range| {
        let mut faults = Vec::new();
        for item in range.spec.iter().flat_map(|spec| &spec.limits) {
            match item.type_.as_str() {
                "Container" => {
                    let all = spec.containers.iter().chain(spec.init_containers.iter().flatten());
                    for container in all {
                        let requests = pod_resources::of_container(container, Side::Requests);
                        let limits = pod_resources::of_container(container, Side::Limits);
                        constrain(item, &requests, &limits, &mut faults);
                    }
                }
                "Pod" => constrain(
                    item,
                    &of_pod(spec, Side::Requests),
                    &of_pod(spec, Side::Limits),
                    &mut faults,
                ),
                _ => {}
            }
        }
        faults
    })
}

/// Why the ranges refuse a claim.
pub(crate) fn check_claim(claim: &PersistentVolumeClaim, ranges: &[LimitRange]) -> Option<String> {
    let requests = claim
        .spec
        .as_ref()
        .and_then(|spec| spec.resources.as_ref()?.requests.as_ref());
    let requests = amounts(requests);
    first_fault(ranges, |range| {
        let mut faults = Vec::new();
        for item in items(range, "PersistentVolumeClaim") {
            for (name, enforced) in amounts(item.min.as_ref()) {
                faults.extend(below(item, &name, enforced, &requests, &Amounts::new()));
            }
            for (name, enforced) in amounts(item.max.as_ref()) {
                let bound = Bound::new("maximum", item, &name, enforced);
                faults.extend(match requests.get(&name) {
                    None => Some(bound.none("request")),
                    Some(request) if *request > enforced => Some(bound.but("request", *request)),
                    Some(_) => None,
                });
            }
        }
        faults
    })
}

/// The amounts of the pod: of its containers together, or those that it names for itself.
fn of_pod(spec: &PodSpec, side: Side) -> Amounts {
    let mut amounts = pod_resources::of_containers(spec, side);
    amounts.extend(pod_resources::of_pod(spec, side));
    amounts
}

fn items<'a>(range: &'a LimitRange, type_: &'a str) -> impl Iterator<Item = &'a LimitRangeItem> {
    let all = range.spec.iter().flat_map(|spec| &spec.limits);
    all.filter(move |item| item.type_ == type_)
}

/// The faults that the first range with any finds.
fn first_fault(ranges: &[LimitRange], faults: impl Fn(&LimitRange) -> Vec<String>) -> Option<String> {
    let found = ranges.iter().map(faults).find(|found| !found.is_empty())?;
    Some(match found.as_slice() {
        [only] => only.clone(),
        many => format!("[{}]", many.join(", ")),
    })
}

fn constrain(item: &LimitRangeItem, requests: &Amounts, limits: &Amounts, faults: &mut Vec<String>) {
    for (name, enforced) in amounts(item.min.as_ref()) {
        faults.extend(below(item, &name, enforced, requests, limits));
    }
    for (name, enforced) in amounts(item.max.as_ref()) {
        faults.extend(above(item, &name, enforced, requests, limits));
    }
    for (name, enforced) in amounts(item.max_limit_request_ratio.as_ref()) {
        faults.extend(out_of_proportion(item, &name, enforced, requests, limits));
    }
}

/// What must be said of an amount that breaks a bound.
struct Bound<'a> {
    word: &'static str,
    name: &'a str,
    type_: &'a str,
    enforced: Quantity,
}

impl<'a> Bound<'a> {
    fn new(word: &'static str, item: &'a LimitRangeItem, name: &'a str, enforced: Quantity) -> Bound<'a> {
        Bound {
            word,
            name,
            type_: &item.type_,
            enforced,
        }
    }

    fn head(&self) -> String {
        let Bound {
            word,
            name,
            type_,
            enforced,
        } = self;
        format!("{word} {name} usage per {type_} is {enforced}")
    }

    fn none(&self, side: &str) -> String {
        format!("{}.  No {side} is specified", self.head())
    }

    fn but(&self, side: &str, amount: Quantity) -> String {
        format!("{}, but {side} is {amount}", self.head())
    }
}

fn below(
    item: &LimitRangeItem,
    name: &str,
    enforced: Quantity,
    requests: &Amounts,
    limits: &Amounts,
) -> Option<String> {
    let bound = Bound::new("minimum", item, name, enforced);
    match (requests.get(name), limits.get(name)) {
        (None, _) => Some(bound.none("request")),
        (Some(request), _) if *request < enforced => Some(bound.but("request", *request)),
        (Some(_), Some(limit)) if *limit < enforced => Some(bound.but("limit", *limit)),
        (Some(_), _) => None,
    }
}

fn above(
    item: &LimitRangeItem,
    name: &str,
    enforced: Quantity,
    requests: &Amounts,
    limits: &Amounts,
) -> Option<String> {
    let bound = Bound::new("maximum", item, name, enforced);
    match (limits.get(name), requests.get(name)) {
        (None, _) => Some(bound.none("limit")),
        (Some(limit), _) if *limit > enforced => Some(bound.but("limit", *limit)),
        (Some(_), Some(request)) if *request > enforced => Some(bound.but("request", *request)),
        (Some(_), _) => None,
    }
}

fn out_of_proportion(
    item: &LimitRangeItem,
    name: &str,
    enforced: Quantity,
    requests: &Amounts,
    limits: &Amounts,
) -> Option<String> {
    let head = format!("{name} max limit to request ratio per {} is {enforced}", item.type_);
    let given = |amounts: &Amounts| amounts.get(name).copied().filter(|amount| !amount.is_zero());
    let Some(request) = given(requests) else {
        return Some(format!("{head}, but no request is specified or request is 0"));
    };
    let Some(limit) = given(limits) else {
        return Some(format!("{head}, but no limit is specified or limit is 0"));
    };
    let ratio = float(limit) / float(request);
    (ratio > float(enforced)).then(|| format!("{head}, but provided ratio is {ratio:.6}"))
}

#[expect(
    clippy::cast_precision_loss,
    reason = "a ratio is compared as a fraction, as Kubernetes does"
)]
fn float(quantity: Quantity) -> f64 {
    quantity.milli_value() as f64 / 1000.0
}

fn amounts(list: Option<&BTreeMap<String, Text>>) -> Amounts {
    reconcile::quota::amounts(list)
}

#[cfg(test)]
mod tests;
