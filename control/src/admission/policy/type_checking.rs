//! What the status of a ValidatingAdmissionPolicy says of the types in its expressions.
//!
//! Pure. Never here: how types are found (`api::expression`), when a policy is looked at (`policy_status`).
//! Source: Kubernetes, "Validating Admission Policy", "Type checking".

use std::collections::BTreeMap;

use api::{
    expression::Known,
    fields::KindPlace,
    resource::{self, Kinds, Resource},
};
use serde_json::{Value, json};

use super::{super::scope::texts, text};

/// Most kinds that a policy is checked against. As in Kubernetes.
const KINDS_MAX: usize = 10;

/// The status that a policy should have, if it has another.
pub(crate) fn status(policy: &Value, kinds: &Kinds) -> Option<Value> {
    let generation = policy["metadata"]["generation"].as_i64().unwrap_or(1);
    let mut status = policy["status"].clone();
    // What has been looked at stays as it is, as in Kubernetes: kinds may come and go.
    if status["observedGeneration"].as_i64() >= Some(generation) {
        return None;
    }
    if !status.is_object() {
        status = json!({});
    }
    let warnings = warnings(&policy["spec"], kinds);
    status["observedGeneration"] = json!(generation);
    status["typeChecking"] = if warnings.is_empty() {
        json!({})
    } else {
        json!({ "expressionWarnings": warnings })
    };
    Some(status)
}

/// What there is to say of each expression of each validation, by its field.
fn warnings(spec: &Value, kinds: &Kinds) -> Vec<Value> {
    let known: Vec<(String, Known)> = checked_kinds(spec, kinds)
        .into_iter()
        .map(|(name, row)| (name, known(spec, row, kinds)))
        .collect();
    let mut warnings = Vec::new();
    for (index, validation) in spec["validations"].as_array().into_iter().flatten().enumerate() {
        for field in ["expression", "messageExpression"] {
            let expression = validation[field].as_str().unwrap_or_default();
            let of_kinds: Vec<String> = known
                .iter()
                .filter_map(|(name, known)| {
                    let faults: Vec<String> = known.faults(expression).iter().map(ToString::to_string).collect();
                    (!faults.is_empty()).then(|| format!("{name}: {}", faults.join("\n")))
                })
                .collect();
            if !of_kinds.is_empty() {
                warnings.push(json!({
                    "fieldRef": format!("spec.validations[{index}].{field}"),
                    "warning": of_kinds.join("\n"),
                }));
            }
        }
    }
    warnings
}

/// The kinds that rules name one by one, as messages name them, in their order.
fn checked_kinds<'k>(spec: &Value, kinds: &'k Kinds) -> BTreeMap<String, &'k Resource> {
    let mut checked = BTreeMap::new();
    let rules = spec["matchConstraints"]["resourceRules"]
        .as_array()
        .into_iter()
        .flatten();
    for rule in rules {
        let [groups, versions, resources] = ["apiGroups", "apiVersions", "resources"].map(|field| texts(&rule[field]));
        if groups.iter().chain(&versions).any(|name| name == "*") {
            continue;
        }
        // Parts of objects are not checked either.
        let plain = |name: &&String| !name.contains(['*', '/']);
        for group in &groups {
            for version in &versions {
                for plural in resources.iter().filter(plain) {
                    let Some(row) = kinds.by_path(group, version, plural) else {
                        continue;
                    };
                    checked.insert(format!("{}, Kind={}", row.api_version(), row.kind), row);
                    if checked.len() == KINDS_MAX {
                        return checked;
                    }
                }
            }
        }
    }
    checked
}

/// The types of what an expression of a policy can name, about objects of a kind.
fn known(spec: &Value, row: &Resource, kinds: &Kinds) -> Known {
    let mut known = Known::default();
    if let Some(place) = KindPlace::of(row) {
        known.set("object", place);
        known.set("oldObject", place);
    }
    let namespaces = resource::by_path("", "v1", "namespaces").and_then(KindPlace::of);
    if let Some(place) = namespaces {
        known.set("namespaceObject", place);
    }
    let (api_version, kind) = (text(&spec["paramKind"]["apiVersion"]), text(&spec["paramKind"]["kind"]));
    let mut rows = kinds.rows().iter();
    let params = rows.find(|row| row.kind == kind && row.api_version() == api_version);
    if let Some(place) = params.and_then(|row| KindPlace::of(row)) {
        known.set("params", place);
    }
    for variable in spec["variables"].as_array().into_iter().flatten() {
        let expression = variable["expression"].as_str().unwrap_or_default();
        known.add_variable(&text(&variable["name"]), expression);
    }
    known
}

#[cfg(test)]
mod tests;
