use super::*;

fn object(group: &str, namespace: &str, plural: &str, name: &str, subresource: &str) -> Option<Route> {
    Some(Route::Objects(ObjectPath {
        group: group.to_owned(),
        version: "v1".to_owned(),
        namespace: namespace.to_owned(),
        plural: plural.to_owned(),
        name: name.to_owned(),
        subresource: subresource.to_owned(),
    }))
}

#[test]
fn paths_of_objects() {
    let rows = [
        ("/api/v1/pods", object("", "", "pods", "", "")),
        ("/api/v1/namespaces", object("", "", "namespaces", "", "")),
        ("/api/v1/namespaces/a", object("", "", "namespaces", "a", "")),
        ("/api/v1/namespaces/a/", object("", "", "namespaces", "a", "")),
        (
            "/api/v1/namespaces/a/finalize",
            object("", "", "namespaces", "a", "finalize"),
        ),
        ("/api/v1/namespaces/a/pods", object("", "a", "pods", "", "")),
        ("/api/v1/namespaces/a/pods/p/log", object("", "a", "pods", "p", "log")),
        (
            "/api/v1/namespaces/a/services/s/proxy/x/y",
            object("", "a", "services", "s", "proxy/x/y"),
        ),
        (
            "/apis/apps/v1/namespaces/a/deployments/d",
            object("apps", "a", "deployments", "d", ""),
        ),
        ("/apis/apps/v1/deployments", object("apps", "", "deployments", "", "")),
        ("/api/v1/nodes/n%2D1", object("", "", "nodes", "n-1", "")),
    ];
    for (path, route) in rows {
        assert_eq!(parse(path), route, "{path}");
    }
}

#[test]
fn paths_of_other_things() {
    let text = str::to_owned;
    let rows = [
        ("/", Some(Route::Root)),
        ("/version/", Some(Route::Version)),
        (
            "/readyz/store",
            Some(Route::Health {
                check: text("readyz"),
                part: text("store"),
            }),
        ),
        ("/api/", Some(Route::CoreVersions)),
        ("/apis", Some(Route::Groups)),
        ("/apis/apps/", Some(Route::Group(text("apps")))),
        (
            "/apis/apps/v1/",
            Some(Route::Resources {
                group: text("apps"),
                version: text("v1"),
            }),
        ),
        (
            "/api/v1",
            Some(Route::Resources {
                group: text(""),
                version: text("v1"),
            }),
        ),
        (
            "/openapi/v3/apis/apps/v1",
            Some(Route::OpenApiDocument(text("apis/apps/v1"))),
        ),
        (
            "/skep/v1/nodes/n/net/services",
            Some(Route::NodeNet {
                node: text("n"),
                what: text("services"),
            }),
        ),
        ("/metrics", Some(Route::Metrics)),
        ("/metrics/other", None),
        ("/api/v1/pods/%zz", None),
        ("/api/v1/pods/%f", None),
    ];
    for (path, route) in rows {
        assert_eq!(parse(path), route, "{path}");
    }
}
