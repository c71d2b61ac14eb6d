use super::*;
use crate::rest::path;

#[test]
fn a_request_is_counted_under_what_is_served() {
    let kinds = Kinds::builtin();
    let rows = [
        ("GET", "/api/v1/pods", "LIST|||v1|pods||cluster"),
        (
            "GET",
            "/api/v1/namespaces/a/pods?watch=1",
            "WATCH|||v1|pods||namespace|long",
        ),
        ("HEAD", "/api/v1/namespaces/a/pods/p", "GET|||v1|pods||resource"),
        (
            "POST",
            "/api/v1/namespaces/a/pods?dryRun=All",
            "POST|All||v1|pods||resource",
        ),
        (
            "PATCH",
            "/apis/apps/v1/namespaces/a/deployments/d/status",
            "PATCH||apps|v1|deployments|status|resource",
        ),
        (
            "DELETE",
            "/api/v1/namespaces/a/pods",
            "DELETECOLLECTION|||v1|pods||namespace",
        ),
        (
            "GET",
            "/api/v1/namespaces/a/pods/p/log",
            "CONNECT|||v1|pods|log|resource|long",
        ),
        (
            "POST",
            "/api/v1/namespaces/a/pods/p/exec",
            "CONNECT|||v1|pods|exec|resource|long",
        ),
        (
            "GET",
            "/api/v1/namespaces/a/services/s/proxy/some/page",
            "CONNECT|||v1|services|proxy|resource|long",
        ),
        // Nothing that a client makes up becomes a label.
        ("GET", "/api/v1/namespaces/a/pods/p/made-up", "GET|||v1|pods||resource"),
        ("GET", "/api/v1/madeups", "GET||||||"),
        ("BREW", "/made/up", "other||||||"),
        ("GET", "/healthz/ping", "GET|||||/healthz|"),
        ("GET", "/metrics", "GET|||||/metrics|"),
        ("GET", "/openapi/v3/api/v1", "GET|||||/openapi/v3|"),
    ];
    for (method, uri, expected) in rows {
        let request = http::Request::builder().method(method).uri(uri).body(()).unwrap();
        let parts = request.into_parts().0;
        let route = path::parse(parts.uri.path());
        let (labels, is_long) = labels(&kinds, &parts, route.as_ref());
        let mut said = [
            labels.verb,
            labels.dry_run,
            labels.group,
            labels.version,
            labels.resource,
            labels.subresource,
            labels.scope,
        ]
        .join("|");
        if is_long {
            said.push_str("|long");
        }
        assert_eq!(said, expected, "{method} {uri}");
    }
}
