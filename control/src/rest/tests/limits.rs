//! What the server does not take, and how it says so.

use super::*;
use crate::server::{flow_schemas, priority_levels};

const MAPS: &str = "/api/v1/namespaces/default/configmaps";

fn nested(levels: usize, open: &str, close: &str) -> String {
    format!("{}1{}", open.repeat(levels), close.repeat(levels))
}

#[tokio::test]
async fn what_is_nested_too_deeply_is_refused() {
    let server = server().await;
    let (json, yaml) = ("application/json", "application/yaml");
    let merge = "application/merge-patch+json";
    let laughs: String = (1..=9)
        .map(|level| {
            let before = format!("*l{},", level - 1).repeat(9);
            format!("l{level}: &l{level} [{}]\n", before.trim_end_matches(','))
        })
        .collect();
    let rows = [
        ("POST", MAPS, json, nested(10_000, "{\"a\":", "}")),
        ("POST", MAPS, json, nested(10_000, "[", "]")),
        ("POST", MAPS, yaml, nested(10_000, "{a: ", "}")),
        ("POST", MAPS, yaml, nested(10_000, "[", "]")),
        ("POST", MAPS, yaml, format!("l0: &l0 x\n{laughs}")),
        (
            "PATCH",
            "/api/v1/namespaces/default",
            merge,
            nested(10_000, "{\"a\":", "}"),
        ),
    ];
    for (method, path, content_type, body) in rows {
        let answer = server.send(method, path, &[("content-type", content_type)], body).await;
        assert_eq!(
            answer.status,
            StatusCode::BAD_REQUEST,
            "{method} {content_type}: {:?}",
            answer.bytes
        );
    }
}

#[tokio::test]
async fn a_uri_that_is_too_long_is_refused() {
    let server = server().await;
    for (length, code) in [(32_000, 200), (33_000, 414)] {
        let path = format!("{MAPS}?x={}", "y".repeat(length));
        assert_eq!(server.get(&path).await.status.as_u16(), code, "{length}");
    }
}

#[tokio::test]
async fn a_client_says_how_long_its_request_may_take() {
    let server = server().await;
    let rows = [
        (MAPS.to_owned(), 200),
        (format!("{MAPS}?timeout=32s"), 200),
        (format!("{MAPS}?timeout=1h0m0.5s"), 200),
        (format!("{MAPS}?timeout=0s"), 200),
        (format!("{MAPS}?timeout=soon"), 400),
        (format!("{MAPS}?timeout=-1s"), 400),
        // Waits for a revision that does not come.
        (format!("{MAPS}?resourceVersion=999999&timeout=100ms"), 504),
    ];
    for (path, code) in rows {
        let answer = server.get(&path).await;
        assert_eq!(answer.status.as_u16(), code, "{path}: {:?}", answer.bytes);
    }
}

#[tokio::test]
async fn a_request_beyond_its_level_is_told_to_come_back() {
    let few = Company { seats: 1, ..company() };
    let server = server_with(few).await;
    for (plural, objects) in [
        ("prioritylevelconfigurations", priority_levels()),
        ("flowschemas", flow_schemas()),
    ] {
        for mut object in objects {
            if object["metadata"]["name"] == "global-default" && plural == "flowschemas" {
                // No queues there.
                object["spec"]["priorityLevelConfiguration"]["name"] = json!("catch-all");
            }
            let path = format!("/apis/flowcontrol.apiserver.k8s.io/v1/{plural}");
            let json = [("content-type", "application/json")];
            let answer = server.send("POST", &path, &json, object.to_string()).await;
            assert_eq!(answer.status, StatusCode::CREATED, "{:?}", answer.bytes);
        }
    }
    let ann = Caller {
        user: "ann".to_owned(),
        groups: vec![auth::AUTHENTICATED_GROUP.to_owned()],
        ..Caller::default()
    };
    let asked = crate::authorization::Request::Path {
        verb: "get".to_owned(),
        path: "/apis".to_owned(),
    };
    let taken = server.rest.inner.flow.admit(&ann, &asked).await.unwrap();
    let answer = server.response(ann.clone(), "GET", "/apis", &[], Body::empty()).await;
    assert_eq!(answer.status(), StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(answer.headers()["retry-after"], "1");
    for (header, uid) in [
        ("x-kubernetes-pf-flowschema-uid", &taken.schema_uid),
        ("x-kubernetes-pf-prioritylevel-uid", &taken.level_uid),
    ] {
        assert_eq!(answer.headers()[header], uid.as_str());
    }
    let body = answer.into_body().collect().await.unwrap().to_bytes();
    let said: Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(
        (&said["reason"], &said["code"]),
        (&json!("TooManyRequests"), &json!(429))
    );
    assert_eq!(said["details"]["retryAfterSeconds"], 1);
    // Those of an exempt level go on.
    assert_eq!(server.get("/apis").await.status, StatusCode::OK);
    drop(taken);
    let answer = server.response(ann, "GET", "/healthz", &[], Body::empty()).await;
    assert_eq!(answer.status(), StatusCode::OK);
}

#[tokio::test]
async fn what_a_body_can_hold_at_most_is_worked_through_in_proportion() {
    // Where work grows with the square of what a body holds, each of these takes minutes.
    const LIMIT: Duration = Duration::from_secs(20);
    const COUNT: usize = 60_000;
    let server = server().await;
    server.config_map("m", json!({})).await;
    let path = format!("{MAPS}/m");
    let many: serde_json::Map<String, Value> = (0..COUNT).map(|n| (format!("{n:05}"), json!(""))).collect();
    let finalizers: Vec<String> = (0..COUNT).map(|n| format!("a/{n:05}")).collect();
    let removals = vec![json!({ "op": "remove", "path": "/metadata/finalizers/0" }); 10_000];
    let strategic = "application/strategic-merge-patch+json";
    let rows = [
        (
            "PUT",
            "application/json",
            json!({ "metadata": { "name": "m" }, "data": many }),
            200,
        ),
        (
            "PATCH",
            strategic,
            json!({ "data": null, "metadata": { "finalizers": finalizers } }),
            200,
        ),
        (
            "PATCH",
            strategic,
            json!({ "metadata": {
                "$setElementOrder/finalizers": finalizers,
                "$deleteFromPrimitiveList/finalizers": finalizers[..COUNT / 2],
            } }),
            200,
        ),
        // Lists that shift this often are refused.
        ("PATCH", "application/json-patch+json", json!(removals), 400),
    ];
    for (method, content_type, body, code) in rows {
        let begun = Instant::now();
        let headers = [("content-type", content_type)];
        let answer = server.send(method, &path, &headers, body.to_string()).await;
        let took = begun.elapsed();
        println!("{method} {content_type}: {took:?}");
        assert_eq!(answer.status.as_u16(), code, "{method} {content_type}");
        assert!(took < LIMIT, "{method} {content_type} took {took:?}");
    }
}

#[tokio::test]
async fn the_objects_that_fuzzing_starts_from_are_accepted() {
    let server = server().await;
    let objects = include_str!("../../../../tests/fuzz/objects.yaml");
    let mut refused = Vec::new();
    for object in objects.split("\n---\n") {
        let value: Value = serde_yaml_ng::from_str(object).unwrap();
        let text = |field: &str| value[field].as_str().unwrap_or_default();
        let row = resource::by_api_version(text("apiVersion"), text("kind")).unwrap();
        let root = if row.group.is_empty() { "/api" } else { "/apis" };
        let namespace = if row.is_namespaced() { "/namespaces/default" } else { "" };
        let path = format!("{root}/{}{namespace}/{}?dryRun=All", row.api_version(), row.plural);
        let headers = [("content-type", "application/yaml")];
        let answer = server.send("POST", &path, &headers, object.to_owned()).await;
        if answer.status != StatusCode::CREATED {
            refused.push(format!("{path}: {}", answer.json()["message"]));
        }
    }
    assert_eq!(refused, Vec::<String>::new());
}
