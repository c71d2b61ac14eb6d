mod access;
mod apply;
mod audit;
mod certificates;
mod collections;
mod conversion;
mod guarantees;
mod health;
mod hooks;
mod limits;
mod policies;
mod restriction;
mod streams;
mod webhooks;

use std::time::Instant;

use api::resource;
use axum::body::Body;
use bytes::Bytes;
use http::StatusCode;
use http_body_util::BodyExt as _;
use serde_json::{Value, json};

use super::*;
use crate::{
    ServerConfig, auth,
    engine::{EngineConfig, Tokens, WriteOptions},
    pki::Authority,
    store::{Store, StoreConfig},
};

const TABLE: &str = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json";

const ISSUER: &str = "https://issuer";
const SEATS: usize = 600;
const KEPT_REVISIONS: u64 = 10;

struct Server {
    rest: Rest,
    engine: Engine,
    shutdown: CancellationToken,
    _dir: Arc<tempfile::TempDir>,
}

struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    bytes: Bytes,
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_slice(&self.bytes).unwrap_or_else(|error| panic!("{error}: {:?}", self.bytes))
    }
}

/// Nothing written down, nothing counted yet.
fn company() -> Company {
    Company {
        audit: Audit::default(),
        metrics: Metrics::new(),
        seats: SEATS,
        flow: FlowMeter::new(),
        progress: Arc::new(Progress::complete()),
        stopping: CancellationToken::new(),
        bookmark_interval: BOOKMARK_INTERVAL,
    }
}

async fn server() -> Server {
    server_with(company()).await
}

async fn server_with(company: Company) -> Server {
    let server = server_in(Arc::new(tempfile::tempdir().unwrap()), company);
    for (plural, namespace) in [("namespaces", ""), ("serviceaccounts", "default")] {
        let object = json!({ "metadata": { "name": "default" } });
        server.create(plural, namespace, object).await;
    }
    server
}

/// A server of what there is in the directory.
fn server_in(dir: Arc<tempfile::TempDir>, company: Company) -> Server {
    let store = Store::open(StoreConfig {
        kept_revisions: KEPT_REVISIONS,
        ..StoreConfig::new(dir.path().join("store.redb"))
    })
    .unwrap();
    let config = ServerConfig::default();
    let engine = Engine::new(
        store,
        EngineConfig {
            service_cidr: config.service_cidr,
            reserved_ips: vec![config.dns_ip],
            node_port_range: config.node_port_range.clone(),
            default_not_ready_toleration: config.default_not_ready_toleration,
            tokens: Tokens::open(dir.path(), ISSUER, "-- ca --").unwrap(),
        },
    )
    .unwrap();
    let shutdown = CancellationToken::new();
    let authority = Authority::open(&dir.path().join("pki")).unwrap();
    let aggregation = Aggregation::new(engine.store().clone(), authority.clone()).unwrap();
    let nodes = Nodes::start(engine.clone(), authority, &config, shutdown.clone());
    engine.reach_through(&nodes);
    Server {
        rest: Rest::new(engine.clone(), nodes, aggregation, company, shutdown.clone()),
        engine,
        shutdown,
        _dir: dir,
    }
}

impl Server {
    async fn create(&self, plural: &str, namespace: &str, object: Value) -> Value {
        let resource = resource::by_path("", "v1", plural).unwrap();
        let caller = Caller::system("system:test");
        let options = WriteOptions::default();
        self.engine
            .create(&caller, resource, namespace, object, &options)
            .await
            .unwrap()
    }

    async fn config_map(&self, name: &str, labels: Value) -> Value {
        let object = json!({ "metadata": { "name": name, "labels": labels } });
        self.create("configmaps", "default", object).await
    }

    async fn response(
        &self,
        caller: Caller,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: Body,
    ) -> Response<Body> {
        let mut request = Request::builder().method(method).uri(path).extension(caller);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        self.rest.clone().handle(request.body(body).unwrap()).await
    }

    async fn send(&self, method: &str, path: &str, headers: &[(&str, &str)], body: impl Into<Body>) -> Answer {
        let caller = Caller::system("system:test");
        let response = self.response(caller, method, path, headers, body.into()).await;
        let (parts, body) = response.into_parts();
        Answer {
            status: parts.status,
            headers: parts.headers,
            bytes: body.collect().await.unwrap().to_bytes(),
        }
    }

    async fn get(&self, path: &str) -> Answer {
        self.send("GET", path, &[], Body::empty()).await
    }

    async fn watch(&self, path: &str, accept: &str) -> Events {
        let caller = Caller::system("system:test");
        let headers = [("accept", accept)];
        let response = self.response(caller, "GET", path, &headers, Body::empty()).await;
        assert_eq!(response.status(), StatusCode::OK, "{path}");
        Events {
            body: response.into_body(),
            buffer: Vec::new(),
        }
    }
}

/// What there is to see, as soon as there is.
async fn until<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    for _ in 0..1000 {
        if let Some(found) = look().await {
            return found;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("not seen: {what}");
}

/// The events of a watch.
struct Events {
    body: Body,
    buffer: Vec<u8>,
}

impl Events {
    async fn next(&mut self) -> Option<Value> {
        tokio::time::timeout(Duration::from_secs(5), self.whenever())
            .await
            .expect("an event within five seconds")
    }

    /// The next event, whenever it comes. May be dropped and called again.
    async fn whenever(&mut self) -> Option<Value> {
        loop {
            if let Some(end) = self.buffer.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.buffer.drain(..=end).collect();
                return Some(serde_json::from_slice(&line).unwrap());
            }
            let frame = self.body.frame().await?;
            self.buffer.extend_from_slice(&frame.unwrap().into_data().unwrap());
        }
    }

    async fn told(&mut self) -> (String, String) {
        let event = self.next().await.expect("an event");
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        (text(&event["type"]), text(&event["object"]["metadata"]["name"]))
    }
}

fn pair(kind: &str, name: &str) -> (String, String) {
    (kind.to_owned(), name.to_owned())
}

#[tokio::test]
async fn callers_without_rights_see_health_and_version_only() {
    let server = server().await;
    let node = Caller {
        user: "system:node:n".to_owned(),
        groups: vec![auth::NODES_GROUP.to_owned()],
        ..Caller::default()
    };
    let rows = [
        (Caller::anonymous(), "GET", "/healthz", 200, "ok"),
        (Caller::anonymous(), "GET", "/readyz/store", 200, "ok"),
        (Caller::anonymous(), "GET", "/version", 200, "+skep"),
        (
            Caller::anonymous(),
            "GET",
            "/api/v1/pods",
            403,
            r#"pods is forbidden: User \"system:anonymous\" cannot list resource \"pods\" in API group \"\" at the cluster scope"#,
        ),
        (
            node.clone(),
            "DELETE",
            "/apis/apps/v1/namespaces/a/deployments/d",
            403,
            r#"deployments.apps \"d\" is forbidden: User \"system:node:n\" cannot delete resource \"deployments\" in API group \"apps\" in the namespace \"a\""#,
        ),
        (
            node,
            "GET",
            "/api",
            403,
            r#"User \"system:node:n\" cannot get path \"/api\""#,
        ),
    ];
    for (caller, method, path, code, text) in rows {
        let response = server.response(caller, method, path, &[], Body::empty()).await;
        assert_eq!(response.status(), code, "{method} {path}");
        let bytes = response.into_body().collect().await.unwrap().to_bytes();
        assert!(String::from_utf8_lossy(&bytes).contains(text), "{path}: {bytes:?}");
    }
    let token = [("authorization", "Bearer x")];
    let response = server
        .response(Caller::anonymous(), "GET", "/api", &token, Body::empty())
        .await;
    assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn an_object_lives_through_all_verbs() {
    let server = server().await;
    let collection = "/api/v1/namespaces/default/configmaps";
    let object = format!("{collection}/x");
    let created = server
        .send("POST", collection, &[], r#"{"metadata":{"name":"x"},"data":{"a":"1"}}"#)
        .await;
    assert_eq!(created.status, StatusCode::CREATED);
    let again = server
        .send("POST", collection, &[], r#"{"metadata":{"name":"x"}}"#)
        .await;
    assert_eq!(again.status, StatusCode::CONFLICT);
    assert_eq!(again.json()["reason"], "AlreadyExists");
    assert_eq!(again.json()["details"], json!({"kind": "configmaps", "name": "x"}));

    assert_eq!(server.get(&object).await.json(), created.json());
    let mut wanted = created.json();
    wanted["data"]["a"] = json!("2");
    let yaml = serde_yaml_ng::to_string(&wanted).unwrap();
    let updated = server
        .send("PUT", &object, &[("content-type", "application/yaml")], yaml)
        .await;
    assert_eq!(updated.status, StatusCode::OK, "{:?}", updated.bytes);
    let stale = server.send("PUT", &object, &[], wanted.to_string()).await;
    assert_eq!(
        (stale.status, &stale.json()["reason"]),
        (StatusCode::CONFLICT, &json!("Conflict"))
    );

    let patches = [
        ("application/merge-patch+json", r#"{"data":{"a":"3"}}"#, 200, "3"),
        (
            "application/strategic-merge-patch+json",
            r#"{"data":{"a":"4"}}"#,
            200,
            "4",
        ),
        (
            "application/json-patch+json",
            r#"[{"op":"replace","path":"/data/a","value":"5"}]"#,
            200,
            "5",
        ),
        (
            "application/json-patch+json",
            r#"[{"op":"remove","path":"/data/b"}]"#,
            422,
            "5",
        ),
        ("application/merge-patch+json", "[", 400, "5"),
        ("application/apply-patch+cbor", "{}", 415, "5"),
    ];
    for (kind, patch, code, value) in patches {
        let patched = server.send("PATCH", &object, &[("content-type", kind)], patch).await;
        assert_eq!(patched.status, code, "{kind} {patch}: {:?}", patched.bytes);
        assert_eq!(server.get(&object).await.json()["data"]["a"], value, "{kind} {patch}");
    }

    let options = [("content-type", "application/json")];
    let wrong = r#"{"preconditions":{"uid":"other"}}"#;
    assert_eq!(
        server.send("DELETE", &object, &options, wrong).await.status,
        StatusCode::CONFLICT
    );
    let gone = server
        .send("DELETE", &object, &options, r#"{"propagationPolicy":"Background"}"#)
        .await;
    assert_eq!(gone.json()["status"], "Success");
    assert_eq!(gone.json()["details"]["uid"], created.json()["metadata"]["uid"]);
    let missing = server.get(&object).await;
    assert_eq!(missing.status, StatusCode::NOT_FOUND);
    assert_eq!(missing.json()["message"], "configmaps \"x\" not found");
}

#[tokio::test]
async fn what_is_not_there_or_not_allowed() {
    let server = server().await;
    let rows = [
        ("GET", "/nope", "", 404, "NotFound"),
        ("GET", "/api/v1/nope", "", 404, "NotFound"),
        ("GET", "/apis/nope/v1", "", 404, "NotFound"),
        ("GET", "/api/v1/namespaces/default/nodes", "", 404, "NotFound"),
        (
            "GET",
            "/api/v1/namespaces/default/configmaps/x/status",
            "",
            404,
            "NotFound",
        ),
        ("POST", "/api/v1/configmaps", "{}", 405, "MethodNotAllowed"),
        ("POST", "/api", "{}", 405, "MethodNotAllowed"),
        ("POST", "/api/v1/namespaces/default/configmaps", "{", 400, "BadRequest"),
        ("POST", "/api/v1/namespaces/default/configmaps", "[]", 400, "BadRequest"),
        (
            "POST",
            "/api/v1/namespaces/default/configmaps",
            r#"{"kind":"Pod"}"#,
            400,
            "BadRequest",
        ),
        (
            "POST",
            "/api/v1/namespaces/default/configmaps?dryRun=Some",
            "{}",
            400,
            "BadRequest",
        ),
        (
            "POST",
            "/api/v1/namespaces/default/configmaps?fieldValidation=Maybe",
            "{}",
            400,
            "BadRequest",
        ),
        ("GET", "/api/v1/configmaps?limit=x", "", 400, "BadRequest"),
        ("GET", "/api/v1/configmaps?labelSelector=%3D%3D", "", 400, "BadRequest"),
        (
            "GET",
            "/api/v1/configmaps?fieldSelector=data.a%3D1",
            "",
            400,
            "BadRequest",
        ),
        ("GET", "/api/v1/configmaps?resourceVersion=x", "", 400, "BadRequest"),
        (
            "GET",
            "/api/v1/configmaps?resourceVersionMatch=Exact",
            "",
            400,
            "BadRequest",
        ),
        ("GET", "/api/v1/configmaps?continue=x", "", 400, "BadRequest"),
        (
            "GET",
            "/api/v1/configmaps?watch=1&sendInitialEvents=true",
            "",
            400,
            "BadRequest",
        ),
        ("GET", "/skep/v1/nodes/n/net/services", "", 404, "NotFound"),
        ("GET", "/skep/v1/nodes/n/net/nonsense", "", 404, "NotFound"),
    ];
    for (method, path, body, code, reason) in rows {
        let answer = server.send(method, path, &[], body).await;
        assert_eq!(answer.status, code, "{method} {path}: {:?}", answer.bytes);
        assert_eq!(answer.json()["reason"], reason, "{method} {path}");
    }
    let html = server
        .send("GET", "/api/v1/configmaps", &[("accept", "text/html")], "")
        .await;
    assert_eq!(html.status, StatusCode::NOT_ACCEPTABLE);
    let big = vec![b' '; (3 << 20) + 1];
    let big = server
        .send("POST", "/api/v1/namespaces/default/configmaps", &[], big)
        .await;
    assert_eq!(big.status, StatusCode::PAYLOAD_TOO_LARGE);
}

#[tokio::test]
async fn subresources_of_pods() {
    let server = server().await;
    let body = json!({ "metadata": { "name": "p" }, "spec": { "containers": [{ "name": "c", "image": "i" }] } });
    server.create("pods", "default", body).await;
    let path = "/api/v1/namespaces/default/pods/p";
    let binding = r#"{"target":{"kind":"Node","name":"n1"}}"#;
    let unbound = server.get(&format!("{path}/log")).await;
    assert_eq!(unbound.status, StatusCode::BAD_REQUEST);
    assert_eq!(
        server
            .send("POST", &format!("{path}/binding"), &[], binding)
            .await
            .status,
        StatusCode::CREATED
    );
    assert_eq!(
        server
            .send("POST", &format!("{path}/binding"), &[], binding)
            .await
            .status,
        StatusCode::CONFLICT
    );
    let evicted = server.send("POST", &format!("{path}/eviction"), &[], "{}").await;
    assert_eq!(
        (evicted.status, &evicted.json()["status"]),
        (StatusCode::CREATED, &json!("Success"))
    );
    let marked = server.get(path).await.json();
    assert_eq!(marked["metadata"]["deletionGracePeriodSeconds"], 30);
    let silent = server.get(&format!("{path}/log")).await;
    assert_eq!(silent.status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(
        silent.json()["message"].as_str().unwrap().contains("n1"),
        "{:?}",
        silent.bytes
    );
    let wrong = server.get(&format!("{path}/log?container=x")).await;
    assert_eq!(wrong.json()["message"], "container x is not valid for pod p");
    let patch = [("content-type", "application/strategic-merge-patch+json")];
    let phase = r#"{"status":{"phase":"Running"},"spec":{"nodeName":"other"}}"#;
    let patched = server
        .send("PATCH", &format!("{path}/status"), &patch, phase)
        .await
        .json();
    assert_eq!(
        (&patched["status"]["phase"], &patched["spec"]["nodeName"]),
        (&json!("Running"), &json!("n1"))
    );
}

#[tokio::test]
async fn documents_are_sent_once() {
    let server = server().await;
    let aggregated = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json";
    for (path, accept) in [
        ("/api", "*/*"),
        ("/api", aggregated),
        ("/apis", aggregated),
        ("/apis", "*/*"),
        ("/apis/apps", "*/*"),
        ("/apis/apps/v1", "*/*"),
        ("/openapi/v3", "*/*"),
    ] {
        let first = server.send("GET", path, &[("accept", accept)], "").await;
        assert_eq!(first.status, StatusCode::OK, "{path}");
        let tag = first.headers["etag"].to_str().unwrap().to_owned();
        let second = server
            .send("GET", path, &[("accept", accept), ("if-none-match", &tag)], "")
            .await;
        assert_eq!(second.status, StatusCode::NOT_MODIFIED, "{path}");
        assert!(second.bytes.is_empty(), "{path}");
    }
    let aggregated = server.send("GET", "/apis", &[("accept", aggregated)], "").await;
    assert_eq!(
        aggregated.headers["content-type"],
        "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
    );
}

#[tokio::test]
async fn fields_that_nothing_acts_upon_are_said_once() {
    let server = server().await;
    let pods = "/api/v1/namespaces/default/pods";
    let json_type = [("content-type", "application/json")];
    let merge_type = [("content-type", "application/merge-patch+json")];
    let spec = |class: Value| {
        json!({
            "containers": [{ "name": "c", "image": "i", "ports": [{ "containerPort": 80, "hostPort": 80 }] }],
            "runtimeClassName": class,
        })
    };
    let pod = json!({ "metadata": { "name": "p" }, "spec": spec(Value::Null) });
    let label = json!({ "metadata": { "labels": { "a": "b" } } });
    let template =
        |class: Value| json!({ "metadata": { "name": "t" }, "template": { "metadata": {}, "spec": spec(class) } });
    let templates = "/api/v1/namespaces/default/podtemplates";
    for (method, path, headers, body, said) in [
        (
            "POST",
            pods,
            json_type,
            &pod,
            vec!["spec.containers[0].ports[0].hostPort: "],
        ),
        ("PATCH", &format!("{pods}/p"), merge_type, &label, vec![]),
        (
            "PATCH",
            &format!("{pods}/q?fieldManager=me"),
            [("content-type", "application/apply-patch+yaml")],
            &json!({ "apiVersion": "v1", "kind": "Pod", "metadata": { "name": "q" }, "spec": spec(Value::Null) }),
            vec!["spec.containers[0].ports[0].hostPort: "],
        ),
        (
            "POST",
            templates,
            json_type,
            &template(Value::Null),
            vec!["template.spec.containers[0].ports[0].hostPort: "],
        ),
        (
            "PUT",
            &format!("{templates}/t"),
            json_type,
            &template(json!("kata")),
            vec!["template.spec.runtimeClassName: "],
        ),
    ] {
        let answer = server.send(method, path, &headers, body.to_string()).await;
        assert!(answer.status.is_success(), "{method} {path}: {:?}", answer.bytes);
        let warnings: Vec<_> = answer.headers.get_all("warning").iter().collect();
        assert_eq!(warnings.len(), said.len(), "{method} {path}: {warnings:?}");
        for (warning, said) in warnings.iter().zip(said) {
            let expected = format!("299 - \"{said}");
            assert!(
                warning.to_str().unwrap().starts_with(&expected),
                "{method} {path}: {warning:?}"
            );
        }
    }
}
