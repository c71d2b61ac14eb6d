//! Faults of roles and of what binds them.

use serde_json::{Value, json};

use super::{Change, assert_faults, check_rows, complete, update, with};

const GROUP: &str = "rbac.authorization.k8s.io";

#[test]
fn rules_are_about_resources_or_about_paths() {
    let good = json!({
        "metadata": {"name": "system:a", "namespace": "ns"},
        "rules": [{"verbs": ["get"], "apiGroups": [""], "resources": ["pods"]}],
    });
    let rows: Vec<(Vec<Change>, &[&str])> = vec![
        (
            vec![("/metadata/name", json!("a/b"))],
            &["metadata.name: Invalid value: \"a/b\": may not contain '/'"],
        ),
        (
            vec![("/rules/0/verbs", json!([]))],
            &["rules[0].verbs: Required value: verbs must contain at least one value"],
        ),
        (
            vec![("/rules/0/apiGroups", json!([])), ("/rules/0/resources", Value::Null)],
            &[
                "rules[0].apiGroups: Required value: resource rules must supply at least one api group",
                "rules[0].resources: Required value: resource rules must supply at least one resource",
            ],
        ),
        (
            vec![("/rules/0/nonResourceURLs", json!(["/x"]))],
            &[
                "rules[0].nonResourceURLs: Invalid value: [\"/x\"]: namespaced rules cannot apply to non-resource URLs",
                "rules[0].nonResourceURLs: Invalid value: [\"/x\"]: rules cannot apply to both regular",
            ],
        ),
    ];
    check_rows(GROUP, "roles", &good, &rows);

    let good = json!({
        "metadata": {"name": "a"},
        "rules": [{"verbs": ["get"], "nonResourceURLs": ["/healthz/*"]}],
        "aggregationRule": {"clusterRoleSelectors": [{"matchLabels": {"a": "b"}}]},
    });
    let rows: Vec<(Vec<Change>, &[&str])> = vec![(
        vec![("/aggregationRule/clusterRoleSelectors", json!([]))],
        &["aggregationRule.clusterRoleSelectors: Required value: at least one clusterRoleSelector"],
    )];
    check_rows(GROUP, "clusterroles", &good, &rows);
}

#[test]
fn a_binding_names_a_role_and_whom_it_is_for() {
    let subjects = json!([
        {"kind": "User", "name": "anna"},
        {"kind": "Group", "name": "g"},
        {"kind": "ServiceAccount", "name": "robot", "namespace": "ns"},
    ]);
    let good = complete(
        GROUP,
        "clusterrolebindings",
        json!({
            "metadata": {"name": "a"},
            "roleRef": {"kind": "ClusterRole", "name": "view"},
            "subjects": subjects,
        }),
    );
    let rows: Vec<(Vec<Change>, &[&str])> = vec![
        (
            vec![("/roleRef/kind", json!("Role")), ("/roleRef/apiGroup", json!("x"))],
            &[
                "roleRef.apiGroup: Unsupported value: \"x\": supported values: \"rbac.authorization.k8s.io\"",
                "roleRef.kind: Unsupported value: \"Role\": supported values: \"ClusterRole\"",
            ],
        ),
        (vec![("/roleRef/name", json!(""))], &["roleRef.name: Required value"]),
        (
            vec![("/subjects/0/name", Value::Null), ("/subjects/1/kind", json!("Robot"))],
            &[
                "subjects[0].name: Required value",
                "subjects[1].kind: Unsupported value: \"Robot\": supported values: \"Group\", \"ServiceAccount\", \"User\"",
            ],
        ),
        (
            vec![
                ("/subjects/2/namespace", Value::Null),
                ("/subjects/2/apiGroup", json!(GROUP)),
            ],
            &[
                "subjects[2].apiGroup: Unsupported value: \"rbac.authorization.k8s.io\": supported values: \"\"",
                "subjects[2].namespace: Required value",
            ],
        ),
    ];
    check_rows(GROUP, "clusterrolebindings", &good, &rows);
    let other = with(&good, &[("/roleRef/name", json!("edit"))]);
    assert_faults(
        &"another role",
        &update(GROUP, "clusterrolebindings", &other, &good),
        &[
            "roleRef: Invalid value: {\"apiGroup\":\"rbac.authorization.k8s.io\",\"kind\":\"ClusterRole\",\"name\":\"edit\"}: cannot change roleRef",
        ],
    );
}
