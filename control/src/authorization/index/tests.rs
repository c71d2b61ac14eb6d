use serde_json::json;

use super::*;
use crate::authorization::request::ResourceRequest;

fn role(verbs: &[&str], resource: &str) -> Value {
    json!({ "rules": [{ "verbs": verbs, "apiGroups": [""], "resources": [resource] }] })
}

fn binding(kind: &str, role: &str, subjects: Value) -> Value {
    json!({ "roleRef": { "kind": kind, "name": role }, "subjects": subjects })
}

fn user(name: &str) -> Value {
    json!([{ "kind": "User", "name": name }])
}

fn caller(name: &str, groups: &[&str]) -> Caller {
    Caller {
        user: name.to_owned(),
        groups: groups.iter().map(|group| (*group).to_owned()).collect(),
        ..Caller::default()
    }
}

fn get_pod(namespace: &str) -> Request {
    Request::Resource(ResourceRequest {
        verb: "get".to_owned(),
        resource: "pods".to_owned(),
        namespace: namespace.to_owned(),
        name: "x".to_owned(),
        ..ResourceRequest::default()
    })
}

/// `reader` is a role of the cluster and of the namespace `a`.
fn index() -> Index {
    let mut index = Index::default();
    index.put(Part::ClusterRole, "", "reader", Some(&role(&["get"], "pods")));
    index.put(Part::Role, "a", "reader", Some(&role(&["get"], "pods")));
    index
}

#[test]
fn bindings_give_roles_where_they_are() {
    let accounts = json!([{ "kind": "ServiceAccount", "name": "robot" }]);
    let elsewhere = json!([{ "kind": "ServiceAccount", "name": "robot", "namespace": "b" }]);
    let group = json!([{ "kind": "Group", "name": "staff" }]);
    let mut index = index();
    index.put(
        Part::ClusterRoleBinding,
        "",
        "all",
        Some(&binding("ClusterRole", "reader", user("anna"))),
    );
    index.put(
        Part::RoleBinding,
        "a",
        "one",
        Some(&binding("Role", "reader", user("ben"))),
    );
    index.put(
        Part::RoleBinding,
        "b",
        "two",
        Some(&binding("ClusterRole", "reader", group)),
    );
    index.put(
        Part::RoleBinding,
        "a",
        "own",
        Some(&binding("Role", "reader", accounts)),
    );
    index.put(
        Part::RoleBinding,
        "a",
        "other",
        Some(&binding("Role", "reader", elsewhere)),
    );
    let rows = [
        (
            caller("anna", &[]),
            "",
            Some(r#"ClusterRoleBinding "all" of ClusterRole "reader" to User "anna""#),
        ),
        (
            caller("anna", &[]),
            "b",
            Some(r#"ClusterRoleBinding "all" of ClusterRole "reader" to User "anna""#),
        ),
        (
            caller("ben", &[]),
            "a",
            Some(r#"RoleBinding "one/a" of Role "reader" to User "ben""#),
        ),
        (caller("ben", &[]), "b", None),
        (caller("ben", &[]), "", None),
        (
            caller("ben", &["staff"]),
            "b",
            Some(r#"RoleBinding "two/b" of ClusterRole "reader" to Group "staff""#),
        ),
        (caller("staff", &[]), "b", None),
        (
            caller("system:serviceaccount:a:robot", &[]),
            "a",
            Some(r#"RoleBinding "own/a" of Role "reader" to ServiceAccount "robot/a""#),
        ),
        (
            caller("system:serviceaccount:b:robot", &[]),
            "a",
            Some(r#"RoleBinding "other/a" of Role "reader" to ServiceAccount "robot/b""#),
        ),
        (caller("system:serviceaccount:c:robot", &[]), "a", None),
    ];
    for (caller, namespace, by) in rows {
        let decision = index.decide(&caller, &get_pod(namespace));
        assert_eq!(decision.allowed, by.is_some(), "{caller:?} {namespace:?}");
        let reason = by.map_or_else(String::new, |by| format!("RBAC: allowed by {by}"));
        assert_eq!(decision.reason, reason, "{caller:?} {namespace:?}");
    }
}

#[test]
fn what_is_gone_or_changed_gives_nothing_more() {
    let mut index = index();
    let anna = caller("anna", &[]);
    let allowed = |index: &Index| index.decide(&anna, &get_pod("a")).allowed;
    let bind = |index: &mut Index, name: &str, to: &str| {
        index.put(Part::RoleBinding, "a", name, Some(&binding("Role", "reader", user(to))));
    };
    bind(&mut index, "one", "anna");
    bind(&mut index, "two", "anna");
    assert!(allowed(&index));
    index.put(Part::RoleBinding, "a", "one", None);
    assert!(allowed(&index), "the other binding is there");
    bind(&mut index, "two", "ben");
    assert!(!allowed(&index), "it is for somebody else now");
    bind(&mut index, "two", "anna");
    index.put(Part::Role, "a", "reader", Some(&role(&["list"], "pods")));
    assert!(!allowed(&index), "the role says something else");
    index.put(Part::Role, "a", "reader", None);
    let decision = index.decide(&anna, &get_pod("a"));
    let reason = r#"RBAC: role.rbac.authorization.k8s.io "reader" not found"#;
    assert_eq!((decision.allowed, decision.reason.as_str()), (false, reason));
    index.put(Part::RoleBinding, "a", "two", None);
    assert!(index.grants.is_empty() && index.subjects.is_empty(), "{index:?}");
}

#[test]
fn rules_are_those_of_the_cluster_and_of_the_namespace() {
    let mut index = index();
    index.put(
        Part::ClusterRoleBinding,
        "",
        "all",
        Some(&binding("ClusterRole", "missing", user("anna"))),
    );
    index.put(
        Part::RoleBinding,
        "a",
        "one",
        Some(&binding("Role", "reader", user("anna"))),
    );
    let (rules, missing) = index.rules(&caller("anna", &[]), "a");
    assert_eq!(rules.len(), 1);
    assert_eq!(missing, r#"clusterrole.rbac.authorization.k8s.io "missing" not found"#);
    assert!(index.rules(&caller("anna", &[]), "b").0.is_empty());
}
