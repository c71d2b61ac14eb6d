use super::*;

fn caller(user: &str, groups: &[&str]) -> Caller {
    Caller {
        user: user.to_owned(),
        groups: groups.iter().map(|group| (*group).to_owned()).collect(),
        ..Caller::default()
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
fn groups_tell_masters_and_nodes() {
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
        assert_eq!(caller.is_master(), may, "{caller:?}");
        assert_eq!(caller.node_name(), node, "{caller:?}");
    }
}

#[test]
fn the_user_of_a_service_account_names_it() {
    let rows = [
        ("system:serviceaccount:ns:robot", Some(("ns", "robot"))),
        ("system:serviceaccount:ns", None),
        ("system:serviceaccount::robot", None),
        ("system:serviceaccount:ns:a:b", None),
        ("anna", None),
    ];
    for (user, account) in rows {
        assert_eq!(as_service_account(user), account, "{user}");
    }
    assert_eq!(service_account_user("ns", "robot"), "system:serviceaccount:ns:robot");
}
