use api::{Kind, k8s_openapi::api::rbac::v1::ClusterRole};
use serde_json::{Value, json};

use crate::simulation::{Cluster, assert_robust};

fn role(name: &str, label: &str, resource: &str) -> Value {
    json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole",
        "metadata": {"name": name, "labels": {"to": label}},
        "rules": [{"verbs": ["get"], "apiGroups": [""], "resources": [resource]}],
    })
}

/// A role with the label `own` that gathers all with the label `of`.
fn aggregated(name: &str, own: &str, of: &str) -> Value {
    json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole",
        "metadata": {"name": name, "labels": {"to": own}},
        "aggregationRule": {"clusterRoleSelectors": [{"matchLabels": {"to": of}}]},
    })
}

fn resources(cluster: &Cluster, name: &str) -> Vec<String> {
    let role = cluster.get::<ClusterRole>("", name);
    let rules = role.rules.iter().flatten();
    rules
        .flat_map(|rule| rule.resources.clone().unwrap_or_default())
        .collect()
}

#[test]
fn an_aggregated_role_holds_what_its_selectors_name() {
    let mut cluster = Cluster::with_nodes(0);
    cluster.apply(&aggregated("view", "edit", "view"));
    cluster.apply(&aggregated("edit", "none", "edit"));
    cluster.apply(&role("b", "view", "secrets"));
    cluster.apply(&role("a", "view", "pods"));
    cluster.apply(&role("c", "edit", "nodes"));
    assert_eq!(resources(&cluster, "view"), ["pods", "secrets"]);
    assert_eq!(resources(&cluster, "edit"), ["nodes", "pods", "secrets"]);

    cluster.delete(Kind::ClusterRole, "", "b");
    cluster.edit::<ClusterRole>("", "view", |role| role.rules = None);
    assert_eq!(resources(&cluster, "view"), ["pods"]);
    assert_eq!(resources(&cluster, "edit"), ["nodes", "pods"]);

    cluster.edit::<ClusterRole>("", "a", |role| role.metadata.labels = None);
    assert_eq!(resources(&cluster, "view"), Vec::<String>::new());
    assert_eq!(resources(&cluster, "edit"), ["nodes"]);
}

#[test]
fn ends_alike_whatever_happens() {
    assert_robust(|cluster| {
        cluster.apply(&aggregated("view", "edit", "view"));
        cluster.apply(&aggregated("edit", "none", "edit"));
        cluster.apply(&role("a", "view", "pods"));
        cluster.apply(&role("b", "view", "secrets"));
        cluster.delete(Kind::ClusterRole, "", "a");
    });
}
