use http::{HeaderValue, Request as HttpRequest};

use super::*;
use crate::rest::path;

fn parts(method: &str, uri: &str) -> Parts {
    HttpRequest::builder()
        .method(method)
        .uri(uri)
        .body(())
        .unwrap()
        .into_parts()
        .0
}

#[test]
fn a_request_becomes_what_rules_speak_of() {
    let rows = [
        ("GET", "/api/v1/pods", "list /pods in \"\" named \"\""),
        (
            "GET",
            "/api/v1/namespaces/a/pods?watch=true",
            "watch /pods in \"a\" named \"\"",
        ),
        ("HEAD", "/api/v1/namespaces/a/pods/p", "get /pods in \"a\" named \"p\""),
        (
            "POST",
            "/api/v1/namespaces/a/pods/p/eviction",
            "create /pods/eviction in \"a\" named \"p\"",
        ),
        (
            "DELETE",
            "/api/v1/namespaces/a/pods",
            "deletecollection /pods in \"a\" named \"\"",
        ),
        (
            "PATCH",
            "/apis/apps/v1/namespaces/a/deployments/d/scale",
            "patch apps/deployments/scale in \"a\" named \"d\"",
        ),
        ("GET", "/api/v1/namespaces", "list /namespaces in \"\" named \"\""),
        (
            "DELETE",
            "/api/v1/namespaces/a",
            "delete /namespaces in \"a\" named \"a\"",
        ),
        (
            "GET",
            "/api/v1/namespaces/a/secrets?fieldSelector=metadata.name%3Ds",
            "list /secrets in \"a\" named \"s\"",
        ),
        (
            "PUT",
            "/api/v1/namespaces/a/services/http:s:80/proxy/x/y",
            "update /services/proxy in \"a\" named \"http:s:80\"",
        ),
        ("GET", "/apis", "get /apis"),
        ("HEAD", "/openid/v1/jwks", "head /openid/v1/jwks"),
    ];
    for (method, uri, expected) in rows {
        let parts = parts(method, uri);
        let said = match request(&parts, path::parse(parts.uri.path()).as_ref()) {
            Request::Path { verb, path } => format!("{verb} {path}"),
            Request::Resource(asked) => format!(
                "{} {}/{} in {:?} named {:?}",
                asked.verb,
                asked.group,
                asked.path(),
                asked.namespace,
                asked.name
            ),
        };
        assert_eq!(said, expected, "{method} {uri}");
    }
}

#[test]
fn a_shell_takes_the_right_to_create() {
    let rows = [
        ("GET", "/api/v1/namespaces/a/pods/p/exec", Some("create")),
        ("GET", "/api/v1/namespaces/a/pods/p/attach", Some("create")),
        ("GET", "/api/v1/namespaces/a/pods/p/portforward", Some("create")),
        ("POST", "/api/v1/namespaces/a/pods/p/exec", None),
        ("GET", "/api/v1/namespaces/a/pods/p/log", None),
        ("GET", "/api/v1/namespaces/a/pods/p", None),
        ("GET", "/apis/x.example/v1/namespaces/a/pods/p/exec", None),
        ("GET", "/version", None),
    ];
    for (method, uri, expected) in rows {
        let parts = parts(method, uri);
        let also = also_needed(&request(&parts, path::parse(parts.uri.path()).as_ref()));
        let verb = also.map(|also| match also {
            Request::Resource(asked) => asked.verb,
            Request::Path { verb, .. } => verb,
        });
        assert_eq!(verb.as_deref(), expected, "{method} {uri}");
    }
}

#[test]
fn only_a_bearer_token_is_one() {
    let rows = [
        ("Bearer abc", Some("abc")),
        ("bearer  abc ", Some("abc")),
        ("Bearer", None),
        ("Bearer ", None),
        ("Basic abc", None),
        ("", None),
    ];
    for (header, token) in rows {
        let mut headers = HeaderMap::new();
        headers.insert(header::AUTHORIZATION, HeaderValue::from_static(header));
        assert_eq!(bearer_token(&headers), token, "{header:?}");
    }
    assert_eq!(bearer_token(&HeaderMap::new()), None);
}
