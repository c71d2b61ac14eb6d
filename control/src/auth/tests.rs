use super::*;

fn caller(user: &str, groups: &[&str]) -> Caller {
    Caller {
        user: user.to_owned(),
        groups: groups.iter().map(|group| (*group).to_owned()).collect(),
    }
}

#[test]
fn only_health_and_version_are_public() {
    let rows = [
        ("/healthz", true),
        ("/healthz/", true),
        ("/readyz/ping", true),
        ("/livez", true),
        ("/version", true),
        ("/version/", true),
        ("/versions", false),
        ("/version/x", false),
        ("/healthzz", false),
        ("/api", false),
        ("/", false),
        ("/openapi/v3", false),
    ];
    for (path, public) in rows {
        assert_eq!(is_public_path(path), public, "{path}");
    }
}

#[test]
fn only_masters_use_the_api() {
    let rows = [
        (caller("admin", &[MASTERS_GROUP]), true, None),
        (caller("system:node:a", &[NODES_GROUP]), false, Some("a")),
        (caller("system:node:", &[NODES_GROUP]), false, None),
        (caller("system:node:a", &[]), false, None),
        (caller("bob", &[AUTHENTICATED_GROUP]), false, None),
        (Caller::anonymous(), false, None),
        (Caller::system("system:driver"), true, None),
    ];
    for (caller, may, node) in rows {
        assert_eq!(may_use_api(&caller), may, "{caller:?}");
        assert_eq!(caller.node_name(), node, "{caller:?}");
    }
}
