//! Tables of selectors, node terms and tolerations.

use api::k8s_openapi::api::core::v1::{NodeSelectorTerm, Taint, Toleration};
use serde_json::{Value, from_value, json};

use super::{LabelSelector, Labels, Node, node_satisfies_term, selects, tolerates};

fn parsed<T: for<'a> serde::Deserialize<'a>>(value: &Value) -> T {
    from_value(value.clone()).unwrap_or_else(|error| panic!("{value}: {error}"))
}

#[test]
fn label_selectors() {
    let labels: Labels = parsed(&json!({"app": "web", "tier": "front"}));
    for (selector, matches) in [
        (json!({}), true),
        (json!({"matchLabels": {"app": "web"}}), true),
        (json!({"matchLabels": {"app": "db"}}), false),
        (json!({"matchLabels": {"app": "web", "zone": "a"}}), false),
        (
            json!({"matchExpressions": [{"key": "app", "operator": "In", "values": ["web", "db"]}]}),
            true,
        ),
        (
            json!({"matchExpressions": [{"key": "app", "operator": "NotIn", "values": ["web"]}]}),
            false,
        ),
        (
            json!({"matchExpressions": [{"key": "zone", "operator": "NotIn", "values": ["a"]}]}),
            true,
        ),
        (
            json!({"matchExpressions": [{"key": "tier", "operator": "Exists"}]}),
            true,
        ),
        (
            json!({"matchExpressions": [{"key": "tier", "operator": "DoesNotExist"}]}),
            false,
        ),
        (
            json!({"matchExpressions": [{"key": "tier", "operator": "Likes"}]}),
            false,
        ),
    ] {
        let parsed: LabelSelector = parsed(&selector);
        assert_eq!(selects(&parsed, Some(&labels)), matches, "{selector}");
    }
}

#[test]
fn node_terms() {
    let node: Node = parsed(&json!({"metadata": {"name": "one", "labels": {"zone": "a", "cores": "8"}}}));
    for (term, matches) in [
        (json!({}), false),
        (
            json!({"matchExpressions": [{"key": "zone", "operator": "In", "values": ["a"]}]}),
            true,
        ),
        (
            json!({"matchExpressions": [{"key": "cores", "operator": "Gt", "values": ["4"]}]}),
            true,
        ),
        (
            json!({"matchExpressions": [{"key": "cores", "operator": "Lt", "values": ["8"]}]}),
            false,
        ),
        (
            json!({"matchExpressions": [{"key": "zone", "operator": "Gt", "values": ["4"]}]}),
            false,
        ),
        (
            json!({"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["one"]}]}),
            true,
        ),
        (
            json!({"matchFields": [{"key": "metadata.name", "operator": "NotIn", "values": ["one"]}]}),
            false,
        ),
    ] {
        let parsed: NodeSelectorTerm = parsed(&term);
        assert_eq!(node_satisfies_term(&parsed, &node), matches, "{term}");
    }
}

#[test]
fn tolerations() {
    let taint: Taint = parsed(&json!({"key": "gpu", "value": "yes", "effect": "NoSchedule"}));
    for (toleration, matches) in [
        (json!({"operator": "Exists"}), true),
        (json!({"key": "gpu", "operator": "Exists"}), true),
        (json!({"key": "gpu", "value": "yes"}), true),
        (json!({"key": "gpu", "operator": "Equal", "value": "no"}), false),
        (
            json!({"key": "gpu", "operator": "Exists", "effect": "NoSchedule"}),
            true,
        ),
        (
            json!({"key": "gpu", "operator": "Exists", "effect": "NoExecute"}),
            false,
        ),
        (json!({"key": "tpu", "operator": "Exists"}), false),
        (json!({"value": "yes"}), false),
    ] {
        let parsed: Toleration = parsed(&toleration);
        assert_eq!(tolerates(&parsed, &taint), matches, "{toleration}");
    }
}
