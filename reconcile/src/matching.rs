//! Whether labels satisfy a selector, a node an affinity, a toleration a taint.
//!
//! Never here: parsing of selector strings (`api::selector`). Source: Kubernetes API reference (v1.36),
//! LabelSelector, NodeSelector, Toleration.

use std::collections::BTreeMap;

use api::{
    k8s_openapi::{
        api::core::v1::{Node, NodeSelector, NodeSelectorRequirement, NodeSelectorTerm, Taint, Toleration},
        apimachinery::pkg::apis::meta::v1::LabelSelector,
    },
    selector,
};

type Labels = BTreeMap<String, String>;

/// True if `labels` hold every pair of `wanted`; an empty `wanted` selects everything.
pub(crate) fn has_all(labels: Option<&Labels>, wanted: &Labels) -> bool {
    wanted
        .iter()
        .all(|(name, value)| labels.and_then(|labels| labels.get(name)) == Some(value))
}

/// True if the labels satisfy the selector. An empty selector selects everything; an operator that does not exist
/// selects nothing.
pub(crate) fn selects(selector: &LabelSelector, labels: Option<&Labels>) -> bool {
    let has_expressions = selector.match_expressions.as_ref().is_some_and(|list| !list.is_empty());
    selector.match_labels.as_ref().is_none_or(|pairs| has_all(labels, pairs))
        // Controllers' selectors rarely have expressions; parsing waits for those that do.
        && (!has_expressions
            || selector::LabelSelector::from_object(selector)
                .is_ok_and(|parsed| parsed.matches(labels.unwrap_or(&Labels::new()))))
}

/// True for a selector that names nothing and would therefore select everything.
pub(crate) fn is_empty(selector: &LabelSelector) -> bool {
    selector.match_labels.as_ref().is_none_or(BTreeMap::is_empty)
        && selector.match_expressions.as_ref().is_none_or(Vec::is_empty)
}

/// True if the node satisfies one of the terms.
pub(crate) fn node_satisfies(selector: &NodeSelector, node: &Node) -> bool {
    selector
        .node_selector_terms
        .iter()
        .any(|term| node_satisfies_term(term, node))
}

/// True if the node satisfies the whole term; a term without requirements is satisfied by none.
pub(crate) fn node_satisfies_term(term: &NodeSelectorTerm, node: &Node) -> bool {
    let expressions = term.match_expressions.as_deref().unwrap_or_default();
    let fields = term.match_fields.as_deref().unwrap_or_default();
    if expressions.is_empty() && fields.is_empty() {
        return false;
    }
    expressions.iter().all(|requirement| {
        let value = node
            .metadata
            .labels
            .as_ref()
            .and_then(|labels| labels.get(&requirement.key));
        holds(requirement, value.map(String::as_str))
    }) && fields
        .iter()
        .all(|requirement| requirement.key == "metadata.name" && holds(requirement, node.metadata.name.as_deref()))
}

fn holds(requirement: &NodeSelectorRequirement, value: Option<&str>) -> bool {
    let values = requirement.values.as_deref().unwrap_or_default();
    let listed = |value: &str| values.iter().any(|listed| listed == value);
    let compare = |accept: fn(i64, i64) -> bool| {
        let bound = values.first().and_then(|bound| bound.parse().ok());
        let value = value.and_then(|value| value.parse().ok());
        matches!((value, bound), (Some(value), Some(bound)) if accept(value, bound))
    };
    match requirement.operator.as_str() {
        "In" => value.is_some_and(listed),
        "NotIn" => !value.is_some_and(listed),
        "Exists" => value.is_some(),
        "DoesNotExist" => value.is_none(),
        "Gt" => compare(|value, bound| value > bound),
        "Lt" => compare(|value, bound| value < bound),
        _ => false,
    }
}

/// True if the toleration covers the taint.
pub(crate) fn tolerates(toleration: &Toleration, taint: &Taint) -> bool {
    let some = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
    if some(&toleration.effect).is_some_and(|effect| effect != taint.effect) {
        return false;
    }
    if some(&toleration.key).is_some_and(|key| key != taint.key) {
        return false;
    }
    match toleration.operator.as_deref() {
        None | Some("" | "Equal") => {
            some(&toleration.key).is_some()
                && toleration.value.as_deref().unwrap_or_default() == taint.value.as_deref().unwrap_or_default()
        }
        Some("Exists") => true,
        Some(_) => false,
    }
}

#[cfg(test)]
mod tests;
