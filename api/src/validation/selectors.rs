//! Label selectors in objects, and the selectors of nodes.

use super::{
    at::At,
    checks::{labels, named, required},
    error::FieldError,
    names,
};

const VALUES_REQUIRED: &str = "must be specified when `operator` is 'In' or 'NotIn'";
const VALUES_FORBIDDEN: &str = "may not be specified when `operator` is 'Exists' or 'DoesNotExist'";

/// `matchLabels` and `matchExpressions`.
pub(super) fn label_selector(at: &At<'_>, errors: &mut Vec<FieldError>) {
    labels(&at.field("matchLabels"), errors);
    for expression in at.field("matchExpressions").items() {
        let (operator, values) = (expression.field("operator"), expression.field("values"));
        match operator.text() {
            "In" | "NotIn" => {
                if values.count() == 0 {
                    errors.push(values.required(VALUES_REQUIRED));
                }
            }
            "Exists" | "DoesNotExist" => {
                if values.count() > 0 {
                    errors.push(values.forbidden(VALUES_FORBIDDEN));
                }
            }
            unknown => {
                let reason = "not a valid selector operator";
                errors.push(FieldError::invalid(operator.path.clone(), unknown, reason));
            }
        }
        named(&expression.field("key"), names::label_key, errors);
        for value in values.items() {
            named(&value, names::label_value, errors);
        }
    }
}

/// `nodeSelectorTerms`: at least one.
pub(super) fn node_selector(at: &At<'_>, errors: &mut Vec<FieldError>) {
    let terms = at.field("nodeSelectorTerms");
    if terms.count() == 0 {
        let reason = "must have at least one node selector term";
        errors.push(terms.required(reason));
    }
    for term in terms.items() {
        node_selector_term(&term, errors);
    }
}

/// One term: expressions over labels, and over the node's name.
pub(super) fn node_selector_term(at: &At<'_>, errors: &mut Vec<FieldError>) {
    for expression in at.field("matchExpressions").items() {
        node_requirement(&expression, errors);
        named(&expression.field("key"), names::label_key, errors);
    }
    for field in at.field("matchFields").items() {
        let key = field.field("key");
        if key.text() != "metadata.name" {
            let reason = "not a valid field selector key";
            errors.push(key.invalid(reason));
        }
        let values = field.field("values");
        if values.count() != 1 {
            let reason = "must be only one value when `operator` is 'In' or 'NotIn' for node field selector";
            errors.push(values.required(reason));
        }
    }
}

fn node_requirement(at: &At<'_>, errors: &mut Vec<FieldError>) {
    let (operator, values) = (at.field("operator"), at.field("values"));
    match operator.text() {
        "In" | "NotIn" => {
            if values.count() == 0 {
                errors.push(values.required(VALUES_REQUIRED));
            }
        }
        "Exists" | "DoesNotExist" => {
            if values.count() > 0 {
                errors.push(values.forbidden(VALUES_FORBIDDEN));
            }
        }
        "Gt" | "Lt" => {
            if values.count() != 1 {
                let reason = "must be specified single value when `operator` is 'Lt' or 'Gt'";
                errors.push(values.required(reason));
            }
        }
        unknown => {
            let reason = "not a valid selector operator";
            errors.push(FieldError::invalid(operator.path.clone(), unknown, reason));
        }
    }
}

/// The selector of a workload of this kind: there, not empty, and matching the labels of the template.
pub(super) fn workload_selector(spec: &At<'_>, kind: &str, errors: &mut Vec<FieldError>) {
    let selector = spec.field("selector");
    if !selector.is_set() {
        required(&selector, errors);
        return;
    }
    let before = errors.len();
    label_selector(&selector, errors);
    let is_empty = selector.field("matchLabels").is_empty() && selector.field("matchExpressions").is_empty();
    if is_empty {
        errors.push(selector.invalid(format!("empty selector is invalid for {kind}")));
        return;
    }
    if errors.len() > before {
        return;
    }
    matches_template(spec, errors);
}

/// The selector matches the labels of the template.
pub(super) fn matches_template(spec: &At<'_>, errors: &mut Vec<FieldError>) {
    let selector = spec.field("selector");
    let labels = spec.field("template").field("metadata").field("labels");
    let matches = crate::selector::LabelSelector::from_value(selector.value)
        .is_ok_and(|selector| selector.matches_map(labels.map()));
    if !matches {
        let reason = "`selector` does not match template `labels`";
        errors.push(labels.invalid(reason));
    }
}
