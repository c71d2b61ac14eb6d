//! Edges that are allowed and edges that are not.

use serde_json::json;

use super::*;

#[test]
fn only_the_edges_of_the_table_pass() {
    for (package, dependency, kind, ours, allowed) in [
        ("reconcile", "api", "normal", true, true),
        ("reconcile", "control", "normal", true, false),
        ("reconcile", "tokio", "normal", false, false),
        ("reconcile", "tokio", "dev", false, true),
        ("cli", "dataplane", "normal", true, false),
        ("control", "agent", "dev", true, false),
        ("tests", "xtask", "normal", true, true),
        ("stray", "serde", "normal", false, false),
    ] {
        let kind = if kind == "normal" { Value::Null } else { json!(kind) };
        let path = if ours { json!("/somewhere") } else { Value::Null };
        let metadata = json!({"packages": [
            {"name": package, "dependencies": [{"name": dependency, "kind": kind, "path": path}]}
        ]});
        let breaches = check(&metadata);
        assert_eq!(breaches.is_empty(), allowed, "{package} -> {dependency}: {breaches:?}");
    }
}
