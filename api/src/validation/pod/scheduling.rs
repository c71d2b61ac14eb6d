//! Tolerations, affinity and spreading.

use std::collections::{BTreeSet, HashSet};

use serde_json::{Value, json};

use crate::validation::{
    at::At,
    checks::{named, named_if_set, one_of, one_of_if_set},
    error::FieldError,
    names,
    selectors::{label_selector, node_selector, node_selector_term},
};

pub(in crate::validation) fn tolerations(list: &At<'_>, errors: &mut Vec<FieldError>) {
    for toleration in list.items() {
        let key = toleration.field("key");
        let operator = toleration.field("operator");
        let effect = toleration.field("effect");
        let value = toleration.field("value");
        named_if_set(&key, names::label_key, errors);
        if key.is_empty() && operator.text() != "Exists" {
            let reason = "operator must be Exists when `key` is empty, which means \"match all values and all keys\"";
            errors.push(operator.invalid(reason));
        }
        if toleration.field("tolerationSeconds").is_set() && effect.text() != "NoExecute" {
            let reason = "effect must be 'NoExecute' when `tolerationSeconds` is set";
            errors.push(effect.invalid(reason));
        }
        match operator.text() {
            "" | "Equal" => {
                if let Err(reason) = names::label_value(value.text()) {
                    errors.push(FieldError::invalid(operator.path.clone(), value.text(), reason));
                }
            }
            "Exists" => {
                if !value.is_empty() {
                    let reason = "value must be empty when `operator` is 'Exists'";
                    errors.push(FieldError::invalid(operator.path.clone(), value.text(), reason));
                }
            }
            unknown => {
                let supported = ["Equal", "Exists"];
                errors.push(FieldError::not_supported(operator.path.clone(), unknown, &supported));
            }
        }
        one_of_if_set(&effect, &["NoExecute", "NoSchedule", "PreferNoSchedule"], errors);
    }
}

pub(super) fn affinity(at: &At<'_>, errors: &mut Vec<FieldError>) {
    let node = at.field("nodeAffinity");
    let needed = node.field(REQUIRED);
    if needed.is_set() {
        node_selector(&needed, errors);
    }
    for preference in node.field(PREFERRED).items() {
        weight(&preference.field("weight"), errors);
        node_selector_term(&preference.field("preference"), errors);
    }
    for kind in ["podAffinity", "podAntiAffinity"] {
        let pods = at.field(kind);
        for term in pods.field(REQUIRED).items() {
            pod_term(&term, errors);
        }
        for preference in pods.field(PREFERRED).items() {
            weight(&preference.field("weight"), errors);
            pod_term(&preference.field("podAffinityTerm"), errors);
        }
    }
}

const REQUIRED: &str = "requiredDuringSchedulingIgnoredDuringExecution";
const PREFERRED: &str = "preferredDuringSchedulingIgnoredDuringExecution";

fn weight(at: &At<'_>, errors: &mut Vec<FieldError>) {
    let weight = at.number().unwrap_or(0);
    if !(1..=100).contains(&weight) {
        errors.push(FieldError::invalid(
            at.path.clone(),
            weight,
            "must be in the range 1-100",
        ));
    }
}

fn pod_term(at: &At<'_>, errors: &mut Vec<FieldError>) {
    label_selector(&at.field("labelSelector"), errors);
    label_selector(&at.field("namespaceSelector"), errors);
    for namespace in at.field("namespaces").items() {
        named(&namespace, names::dns_label, errors);
    }
    topology_key(&at.field("topologyKey"), errors);
}

fn topology_key(at: &At<'_>, errors: &mut Vec<FieldError>) {
    if at.is_empty() {
        errors.push(at.required("can not be empty"));
    } else {
        named(at, names::label_key, errors);
    }
}

pub(super) fn spread(list: &At<'_>, errors: &mut Vec<FieldError>) {
    let mut seen = BTreeSet::new();
    for constraint in list.items() {
        let skew = constraint.field("maxSkew");
        if skew.number().unwrap_or(0) <= 0 {
            let number = skew.number().unwrap_or(0);
            errors.push(FieldError::invalid(
                skew.path.clone(),
                number,
                "must be greater than zero",
            ));
        }
        let (key, action) = (constraint.field("topologyKey"), constraint.field("whenUnsatisfiable"));
        topology_key(&key, errors);
        one_of(&action, &["DoNotSchedule", "ScheduleAnyway"], errors);
        if !seen.insert((key.text(), action.text())) {
            let pair = format!("{{{}, {}}}", key.text(), action.text());
            let path = format!("{}.{{topologyKey, whenUnsatisfiable}}", constraint.path);
            errors.push(FieldError::duplicate(path, pair));
        }
        let domains = constraint.field("minDomains");
        if let Some(number) = domains.number() {
            if number <= 0 {
                errors.push(FieldError::invalid(
                    domains.path.clone(),
                    number,
                    "must be greater than zero",
                ));
            } else if action.text() == "ScheduleAnyway" {
                let reason = "can only use minDomains if whenUnsatisfiable=DoNotSchedule, not ScheduleAnyway";
                errors.push(FieldError::invalid(domains.path.clone(), json!(number), reason));
            }
        }
        for policy in ["nodeAffinityPolicy", "nodeTaintsPolicy"] {
            one_of_if_set(&constraint.field(policy), &["Honor", "Ignore"], errors);
        }
        label_selector(&constraint.field("labelSelector"), errors);
        let (keys, selector) = (constraint.field("matchLabelKeys"), constraint.field("labelSelector"));
        if keys.count() > 0 && !selector.is_set() {
            errors.push(keys.forbidden("must not be specified when labelSelector is not set"));
        }
        let expressions = selector.field("matchExpressions");
        let asked: HashSet<&Value> = expressions
            .items()
            .map(|expression| expression.field("key").value)
            .collect();
        for key in keys.items() {
            let named_by_selector =
                selector.field("matchLabels").field(key.text()).is_set() || asked.contains(key.value);
            if named(&key, names::label_key, errors) && named_by_selector {
                errors.push(key.invalid("exists in both matchLabelKeys and labelSelector"));
            }
        }
    }
}
