use serde_json::json;

use super::*;

fn caller(user: &str, groups: &[&str]) -> Caller {
    Caller {
        user: user.to_owned(),
        groups: groups.iter().map(|group| (*group).to_owned()).collect(),
        ..Caller::default()
    }
}

fn on(verb: &str, group: &str, resource: &str, namespace: &str) -> Request {
    Request::Resource(ResourceRequest {
        verb: verb.to_owned(),
        group: group.to_owned(),
        resource: resource.to_owned(),
        namespace: namespace.to_owned(),
        ..ResourceRequest::default()
    })
}

fn path(path: &str) -> Request {
    Request::Path {
        verb: "get".to_owned(),
        path: path.to_owned(),
    }
}

/// Those of every cluster.
fn defaults() -> Schemas {
    let mut schemas = Schemas::default();
    for level in crate::server::priority_levels() {
        schemas.fold_level(level["metadata"]["name"].as_str().unwrap(), Some(&level));
    }
    for schema in crate::server::flow_schemas() {
        schemas.fold_schema(schema["metadata"]["name"].as_str().unwrap(), Some(&schema));
    }
    schemas
}

#[test]
fn the_schemas_of_every_cluster_sort_requests() {
    let everybody = "system:authenticated";
    let rows = [
        (
            caller("root", &["system:masters", everybody]),
            on("create", "", "pods", "a"),
            "exempt",
            "exempt",
        ),
        (
            caller("nobody", &["system:unauthenticated"]),
            path("/healthz"),
            "probes",
            "exempt",
        ),
        (
            caller("nobody", &["system:unauthenticated"]),
            path("/healthz/ping"),
            "global-default",
            "global-default",
        ),
        (
            caller("system:node:n", &["system:nodes", everybody]),
            on("update", "", "nodes", ""),
            "system-node-high",
            "node-high",
        ),
        (
            caller("system:node:n", &["system:nodes", everybody]),
            on("list", "", "pods", "a"),
            "system-nodes",
            "system",
        ),
        (
            caller(
                "system:serviceaccount:kube-system:x",
                &["system:serviceaccounts", everybody],
            ),
            on("update", "coordination.k8s.io", "leases", "kube-system"),
            "system-leader-election",
            "leader-election",
        ),
        (
            caller(
                "system:serviceaccount:kube-system:x",
                &["system:serviceaccounts", everybody],
            ),
            on("list", "", "pods", ""),
            "kube-system-service-accounts",
            "workload-high",
        ),
        (
            caller(
                "system:serviceaccount:kube-systems:x",
                &["system:serviceaccounts", everybody],
            ),
            on("list", "", "pods", ""),
            "service-accounts",
            "workload-low",
        ),
        (
            caller("ann", &[everybody]),
            on("list", "", "pods", "a"),
            "global-default",
            "global-default",
        ),
    ];
    let schemas = defaults();
    for (caller, request, schema, level) in rows {
        let class = schemas.classify(&caller, &request).unwrap();
        assert_eq!(
            (class.schema.as_str(), class.level.as_str()),
            (schema, level),
            "{} {request:?}",
            caller.user
        );
    }
}

#[test]
fn flows_are_told_apart_as_the_schema_says() {
    let rows = [
        ("ByUser", false, true),
        ("ByNamespace", true, false),
        ("", false, false),
    ];
    for (method, by_namespace, by_user) in rows {
        let mut schemas = defaults();
        let mut spec = json!({
            "priorityLevelConfiguration": { "name": "workload-low" },
            "matchingPrecedence": 1,
            "rules": [{
                "subjects": [{ "kind": "User", "user": { "name": "*" } }],
                "resourceRules": [{
                    "verbs": ["*"], "apiGroups": ["*"], "resources": ["*"], "namespaces": ["*"],
                }],
            }],
        });
        if !method.is_empty() {
            spec["distinguisherMethod"] = json!({ "type": method });
        }
        schemas.fold_schema("all", Some(&json!({ "spec": spec })));
        let flow = |user: &str, namespace: &str| {
            let class = schemas
                .classify(&caller(user, &[]), &on("get", "", "pods", namespace))
                .unwrap();
            assert_eq!(class.schema, "all");
            class.flow
        };
        assert_eq!(flow("ann", "a"), flow("ann", "a"), "{method}");
        assert_eq!(flow("ann", "a") != flow("ann", "b"), by_namespace, "{method}");
        assert_eq!(flow("ann", "a") != flow("bob", "a"), by_user, "{method}");
    }
}

#[test]
fn a_schema_whose_level_is_not_there_is_passed_over() {
    let mut schemas = defaults();
    let ann = caller("ann", &["system:authenticated"]);
    let request = on("list", "", "pods", "a");
    schemas.fold_level("global-default", None);
    assert_eq!(schemas.classify(&ann, &request).unwrap().schema, "catch-all");
    schemas.fold_schema("catch-all", None);
    assert_eq!(schemas.classify(&ann, &request), None);
}

#[test]
fn levels_share_the_seats() {
    let schemas = defaults();
    // Of 245 shares.
    let rows = [
        ("workload-low", 600, 245),
        ("catch-all", 600, 13),
        ("system", 600, 74),
        ("leader-election", 1, 1),
    ];
    for (level, total, expected) in rows {
        let limited = schemas.level(level).unwrap().limited.unwrap();
        assert_eq!(schemas.seats(&limited, total), expected, "{level} of {total}");
    }
    assert_eq!(schemas.level("exempt").unwrap().limited, None);
}
