//! What the audit log and the metrics say of requests, over HTTP.

use std::{fs, path::Path};

use super::*;
use crate::{config::AuditConfig, metrics::Metrics};

const POLICY: &str = "
apiVersion: audit.k8s.io/v1
kind: Policy
rules:
- level: Metadata
  resources: [{group: '', resources: [secrets]}]
- level: RequestResponse
  omitManagedFields: true
  verbs: [create, delete, patch]
- level: Metadata
";

/// A server that writes its log into `dir`.
async fn audited(dir: &Path) -> (Server, Audit) {
    let policy_file = dir.join("policy.yaml");
    fs::write(&policy_file, POLICY).unwrap();
    let metrics = Metrics::new();
    let config = AuditConfig {
        policy_file: Some(policy_file),
        log_path: Some(dir.join("audit.log")),
        size_mb_max: 100,
        ..AuditConfig::default()
    };
    let audit = Audit::open(&config, metrics.audit.clone()).unwrap();
    let company = Company {
        audit: audit.clone(),
        metrics,
        ..company()
    };
    (server_with(company).await, audit)
}

fn events(dir: &Path) -> Vec<Value> {
    let text = fs::read_to_string(dir.join("audit.log")).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// The events of the request with this id.
fn of<'a>(events: &'a [Value], id: &str) -> Vec<&'a Value> {
    events.iter().filter(|event| event["auditID"] == id).collect()
}

#[tokio::test]
async fn each_request_is_written_down_as_the_policy_says() {
    let dir = tempfile::tempdir().unwrap();
    let (server, audit) = audited(dir.path()).await;
    let json = ("content-type", "application/json");
    let secret = json!({ "metadata": { "name": "s" }, "stringData": { "key": "very-secret" } });
    let map = json!({ "metadata": { "name": "m" }, "data": { "a": "b" } });
    let maps = "/api/v1/namespaces/default/configmaps";
    let secrets = "/api/v1/namespaces/default/secrets";
    for (method, path, id, body) in [
        ("POST", maps, "one", map.to_string()),
        ("POST", secrets, "two", secret.to_string()),
        (
            "GET",
            "/api/v1/namespaces/default/configmaps/none",
            "three",
            String::new(),
        ),
        ("GET", "/version", "four", String::new()),
    ] {
        let answer = server.send(method, path, &[json, ("audit-id", id)], body).await;
        assert_eq!(answer.headers["audit-id"], id);
    }
    let answer = server.get(maps).await;
    assert_eq!(answer.headers["audit-id"].len(), 36, "an id of its own");
    audit.close().await;

    let events = events(dir.path());
    assert!(!events.iter().any(|event| event.to_string().contains("very-secret")));
    let one = of(&events, "one");
    assert_eq!(one.len(), 2, "{one:?}");
    assert_eq!(one[0]["stage"], "RequestReceived");
    assert_eq!(one[1]["stage"], "ResponseComplete");
    assert_eq!(one[1]["verb"], "create");
    assert_eq!(one[1]["user"]["username"], "system:test");
    assert_eq!(
        one[1]["objectRef"],
        json!({ "resource": "configmaps", "namespace": "default", "name": "m", "apiVersion": "v1" })
    );
    assert_eq!(one[1]["responseStatus"]["code"], 201);
    assert_eq!(one[1]["requestObject"]["data"]["a"], "b");
    assert_eq!(one[1]["responseObject"]["data"]["a"], "b");
    assert!(one[1]["responseObject"]["metadata"].get("managedFields").is_none());
    assert_eq!(one[1]["annotations"]["authorization.k8s.io/decision"], "allow");
    let three = of(&events, "three");
    assert_eq!(three[1]["responseStatus"]["code"], 404);
    assert_eq!(three[1]["responseStatus"]["reason"], "NotFound");
    assert_eq!(of(&events, "four")[1]["requestURI"], "/version");
}

#[tokio::test]
async fn what_pod_security_finds_is_written_down() {
    let dir = tempfile::tempdir().unwrap();
    let (server, audit) = audited(dir.path()).await;
    let level = json!({ "metadata": { "labels": { "pod-security.kubernetes.io/audit": "baseline" } } });
    let merge = ("content-type", "application/merge-patch+json");
    let namespace = "/api/v1/namespaces/default";
    let labelled = server.send("PATCH", namespace, &[merge], level.to_string()).await;
    assert_eq!(labelled.status, StatusCode::OK);
    let json = ("content-type", "application/json");
    let pods = format!("{namespace}/pods");
    for (id, is_host_network) in [("good", false), ("bad", true)] {
        let containers = json!([{ "name": "c", "image": "i" }]);
        let spec = json!({ "hostNetwork": is_host_network, "containers": containers });
        let pod = json!({ "metadata": { "name": id }, "spec": spec });
        let answer = server
            .send("POST", &pods, &[json, ("audit-id", id)], pod.to_string())
            .await;
        assert_eq!(answer.status, StatusCode::CREATED, "{:?}", answer.bytes);
    }
    audit.close().await;

    let events = events(dir.path());
    let said = |id: &str, key: &str| {
        let last = of(&events, id).pop().unwrap();
        last["annotations"][format!("pod-security.kubernetes.io/{key}")].clone()
    };
    for id in ["good", "bad"] {
        assert_eq!(said(id, "enforce-policy"), "privileged:latest");
    }
    assert_eq!(said("good", "audit-violations"), Value::Null);
    let words = "would violate PodSecurity \"baseline:latest\": host namespaces (hostNetwork=true)";
    assert_eq!(said("bad", "audit-violations"), words);
}

#[tokio::test]
async fn refusals_and_impersonation_are_written_down() {
    let dir = tempfile::tempdir().unwrap();
    let (server, audit) = audited(dir.path()).await;
    let pods = "/api/v1/namespaces/default/pods";
    let as_ann = [("audit-id", "one"), ("impersonate-user", "ann")];
    let caller = Caller::system("system:test");
    let answer = server.response(caller, "GET", pods, &as_ann, Body::empty()).await;
    assert_eq!(answer.status(), StatusCode::FORBIDDEN);
    let with_token = [("audit-id", "two"), ("authorization", "Bearer wrong")];
    let answer = server
        .response(Caller::anonymous(), "GET", pods, &with_token, Body::empty())
        .await;
    assert_eq!(answer.status(), StatusCode::UNAUTHORIZED);
    audit.close().await;

    let events = events(dir.path());
    let one = of(&events, "one")[1];
    assert_eq!(one["user"]["username"], "system:test");
    assert_eq!(one["impersonatedUser"]["username"], "ann");
    assert_eq!(one["annotations"]["authorization.k8s.io/decision"], "forbid");
    assert_eq!(one["responseStatus"]["code"], 403);
    let two = of(&events, "two")[1];
    assert_eq!(two["user"], json!({}));
    assert_eq!(two["responseStatus"]["code"], 401);
}

#[tokio::test]
async fn a_watch_is_written_down_when_it_begins_and_when_it_ends() {
    let dir = tempfile::tempdir().unwrap();
    let (server, audit) = audited(dir.path()).await;
    let path = "/api/v1/namespaces/default/configmaps?watch=true";
    let caller = Caller::system("system:test");
    let headers = [("audit-id", "one")];
    let answer = server.response(caller, "GET", path, &headers, Body::empty()).await;
    drop(answer);
    audit.close().await;
    let stages: Vec<String> = of(&events(dir.path()), "one")
        .iter()
        .map(|event| event["stage"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(stages, ["RequestReceived", "ResponseStarted", "ResponseComplete"]);
}

#[tokio::test]
async fn metrics_show_requests_watches_and_objects() {
    let server = server().await;
    server.config_map("m", json!({})).await;
    let maps = "/api/v1/namespaces/default/configmaps";
    server.get(maps).await;
    server.get("/api/v1/namespaces/default/configmaps/none").await;
    let mut events = server.watch(&format!("{maps}?watch=true"), "application/json").await;
    events.next().await.unwrap();
    let answer = server.get("/metrics").await;
    assert_eq!(answer.status, StatusCode::OK);
    let text = String::from_utf8(answer.bytes.to_vec()).unwrap();
    for line in [
        "apiserver_request_total{code=\"200\",component=\"apiserver\",dry_run=\"\",group=\"\",resource=\"configmaps\",\
         scope=\"namespace\",subresource=\"\",verb=\"LIST\",version=\"v1\"} 1",
        "apiserver_request_total{code=\"404\",component=\"apiserver\",dry_run=\"\",group=\"\",resource=\"configmaps\",\
         scope=\"resource\",subresource=\"\",verb=\"GET\",version=\"v1\"} 1",
        "apiserver_longrunning_requests{component=\"apiserver\",group=\"\",resource=\"configmaps\",\
         scope=\"namespace\",subresource=\"\",verb=\"WATCH\",version=\"v1\"} 1",
        "apiserver_watch_events_total{group=\"\",resource=\"configmaps\",version=\"v1\"} 1",
        "apiserver_storage_objects{resource=\"configmaps\"} 1",
        "apiserver_current_inflight_requests{request_kind=\"readOnly\"} 1",
        "skep_agent_streams 0",
    ] {
        assert!(text.contains(line), "{line}\n{text}");
    }
    for name in [
        "process_resident_memory_bytes",
        "process_open_fds",
        "process_start_time_seconds",
        "skep_store_size_bytes",
        "apiserver_request_duration_seconds_bucket",
    ] {
        assert!(text.contains(&format!("\n{name}")), "{name}");
    }
    // They say who is busy with what: not for everybody.
    for (caller, code) in [
        (Caller::anonymous(), StatusCode::FORBIDDEN),
        (
            Caller {
                user: "ann".to_owned(),
                ..Caller::default()
            },
            StatusCode::FORBIDDEN,
        ),
    ] {
        let answer = server.response(caller, "GET", "/metrics", &[], Body::empty()).await;
        assert_eq!(answer.status(), code);
    }
}
