//! A kind whose versions only a webhook can convert, through every path of the API.

use std::sync::atomic::{AtomicBool, Ordering};

use super::{hooks::Hooks, *};
use crate::definitions::Definitions;

const DEFINITIONS: &str = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
const V1: &str = "/apis/example.com/v1/namespaces/default/gears";
const V2: &str = "/apis/example.com/v2/namespaces/default/gears";
const MERGE: [(&str, &str); 1] = [("content-type", "application/merge-patch+json")];
const APPLY: [(&str, &str); 1] = [("content-type", "application/apply-patch+yaml")];

/// The answer to a ConversionReview: the first version has `spec.hostPort` and `spec.replicas`, the second `spec.host`,
/// `spec.port` and `spec.count`.
fn convert(path: &str, review: &Value) -> Value {
    let request = &review["request"];
    let wanted = request["desiredAPIVersion"].as_str().unwrap();
    let objects = request["objects"].as_array().unwrap();
    let converted: Vec<Value> = objects
        .iter()
        .map(|object| {
            assert_ne!(object["apiVersion"], wanted, "it need not be converted");
            assert_eq!(object["metadata"].get("resourceVersion"), None);
            let mut object = object.clone();
            let spec = object["spec"].clone();
            object["apiVersion"] = json!(wanted);
            object["metadata"]["labels"]["converted-to"] = json!(wanted.rsplit('/').next());
            object["spec"] = if wanted.ends_with("/v2") {
                let host_port = spec["hostPort"].as_str().unwrap();
                let (host, port) = host_port.split_once(':').unwrap();
                json!({ "host": host, "port": port, "count": spec["replicas"] })
            } else {
                let text = |field: &str| spec[field].as_str().unwrap().to_owned();
                json!({ "hostPort": format!("{}:{}", text("host"), text("port")), "replicas": spec["count"] })
            };
            object
        })
        .collect();
    let result = match path {
        "/refuse" => json!({ "status": "Failed", "message": "not today" }),
        _ => json!({ "status": "Success" }),
    };
    json!({
        "kind": "ConversionReview", "apiVersion": "apiextensions.k8s.io/v1",
        "response": { "uid": request["uid"], "result": result, "convertedObjects": converted },
    })
}

fn version(name: &str, storage: &str, properties: &Value, replicas: &str) -> Value {
    json!({
        "name": name, "served": true, "storage": name == storage,
        "schema": { "openAPIV3Schema": { "type": "object", "properties": {
            "spec": { "type": "object", "properties": properties },
            "status": { "type": "object", "x-kubernetes-preserve-unknown-fields": true },
        } } },
        "subresources": {
            "status": {},
            "scale": { "specReplicasPath": replicas, "statusReplicasPath": ".status.replicas" },
        },
        "additionalPrinterColumns": [{
            "name": "Where", "type": "string", "jsonPath": if name == "v1" { ".spec.hostPort" } else { ".spec.host" },
        }],
        "selectableFields": [{ "jsonPath": if name == "v1" { ".spec.hostPort" } else { ".spec.host" } }],
    })
}

fn versions(storage: &str) -> Value {
    let text = json!({ "type": "string" });
    let number = json!({ "type": "integer", "default": 1 });
    json!([
        version(
            "v1",
            storage,
            &json!({ "hostPort": text, "replicas": number }),
            ".spec.replicas"
        ),
        version(
            "v2",
            storage,
            &json!({ "host": text, "port": text, "count": number }),
            ".spec.count"
        ),
    ])
}

struct Gears {
    server: Server,
    hooks: Hooks,
}

impl Gears {
    async fn start() -> Gears {
        let server = server().await;
        let (definitions, changes) = Definitions::open(server.engine.clone()).unwrap();
        tokio::spawn(definitions.run(changes, server.shutdown.clone()));
        let hooks = Hooks::answering(convert).await;
        let gears = Gears { server, hooks };
        let body = json!({
            "metadata": { "name": "gears.example.com" },
            "spec": {
                "group": "example.com", "scope": "Namespaced", "names": { "plural": "gears", "kind": "Gear" },
                "conversion": gears.conversion("/convert"), "versions": versions("v1"),
            },
        });
        let answer = gears.server.send("POST", DEFINITIONS, &[], body.to_string()).await;
        assert_eq!(answer.status, StatusCode::CREATED, "{:?}", answer.bytes);
        until("the kind is served", async || {
            (gears.server.get(V2).await.status == StatusCode::OK).then_some(())
        })
        .await;
        gears
    }

    fn conversion(&self, path: &str) -> Value {
        let url = format!("https://localhost:{}{path}", self.hooks.port);
        json!({
            "strategy": "Webhook",
            "webhook": {
                "clientConfig": { "url": url, "caBundle": self.hooks.ca },
                "conversionReviewVersions": ["v1"],
            },
        })
    }

    /// Changes the definition, and waits until that counts.
    async fn change(&self, spec: Value) {
        let gears = self
            .server
            .engine
            .registry()
            .kinds()
            .by_path("example.com", "v1", "gears");
        let was = self.server.engine.registry().end_of(gears.unwrap());
        let patch = json!({ "spec": spec }).to_string();
        let path = format!("{DEFINITIONS}/gears.example.com");
        let answer = self.server.send("PATCH", &path, &MERGE, patch).await;
        assert_eq!(answer.status, StatusCode::OK, "{:?}", answer.bytes);
        was.cancelled().await;
    }

    async fn ok(&self, method: &str, path: &str, headers: &[(&str, &str)], body: Value) -> Value {
        let answer = self.server.send(method, path, headers, body.to_string()).await;
        assert!(answer.status.is_success(), "{method} {path}: {:?}", answer.bytes);
        answer.json()
    }

    async fn get(&self, path: &str) -> Value {
        self.ok("GET", path, &[], json!({})).await
    }

    fn asked(&self) -> usize {
        std::mem::take(&mut *self.hooks.asked.lock()).len()
    }
}

fn first(name: &str, host_port: &str) -> Value {
    json!({
        "apiVersion": "example.com/v1", "kind": "Gear", "metadata": { "name": name },
        "spec": { "hostPort": host_port },
    })
}

fn second(name: &str, host: &str, port: &str) -> Value {
    json!({
        "apiVersion": "example.com/v2", "kind": "Gear", "metadata": { "name": name },
        "spec": { "host": host, "port": port },
    })
}

#[tokio::test]
async fn an_object_is_read_and_written_in_every_version() {
    let gears = Gears::start().await;
    let made = gears.ok("POST", V1, &[], first("a", "here:80")).await;
    assert_eq!(made["spec"], json!({ "hostPort": "here:80", "replicas": 1 }));
    assert_eq!(gears.get(&format!("{V1}/a")).await, made);
    assert_eq!(gears.asked(), 0, "it is stored as it is asked for");

    let shown = gears.get(&format!("{V2}/a")).await;
    assert_eq!(gears.asked(), 1);
    assert_eq!(shown["apiVersion"], "example.com/v2");
    assert_eq!(shown["spec"], json!({ "host": "here", "port": "80", "count": 1 }));
    assert_eq!(shown["metadata"]["labels"], json!({ "converted-to": "v2" }));
    for field in [
        "uid",
        "resourceVersion",
        "creationTimestamp",
        "generation",
        "managedFields",
    ] {
        assert_eq!(shown["metadata"][field], made["metadata"][field], "{field}");
    }

    // What a write answers is what a read shows.
    let made = gears.ok("POST", V2, &[], second("b", "there", "8080")).await;
    assert_eq!(made["spec"], json!({ "host": "there", "port": "8080", "count": 1 }));
    assert_eq!(gears.get(&format!("{V2}/b")).await, made);
    let shown = gears.get(&format!("{V1}/b")).await;
    assert_eq!(shown["spec"], json!({ "hostPort": "there:8080", "replicas": 1 }));

    let mut wanted = made.clone();
    wanted["spec"]["port"] = json!("443");
    let written = gears.ok("PUT", &format!("{V2}/b"), &[], wanted).await;
    assert_eq!(written["metadata"]["generation"], 2);
    let patch = json!({ "spec": { "host": "elsewhere" } });
    let patched = gears.ok("PATCH", &format!("{V2}/b"), &MERGE, patch).await;
    assert_eq!(patched["spec"]["port"], "443");
    assert_eq!(gears.get(&format!("{V1}/b")).await["spec"]["hostPort"], "elsewhere:443");
    let again = gears.ok("PUT", &format!("{V2}/b"), &[], patched.clone()).await;
    assert_eq!(again, patched, "nothing was to be written");

    let applied = json!({
        "apiVersion": "example.com/v2", "kind": "Gear", "metadata": { "name": "b" }, "spec": { "count": 3 },
    });
    let applied = gears
        .ok("PATCH", &format!("{V2}/b?fieldManager=m&force=true"), &APPLY, applied)
        .await;
    assert_eq!(
        applied["spec"],
        json!({ "host": "elsewhere", "port": "443", "count": 3 })
    );
    let applied = second("c", "new", "1");
    let made = gears
        .ok("PATCH", &format!("{V2}/c?fieldManager=m"), &APPLY, applied)
        .await;
    assert_eq!(made["spec"]["host"], "new");
    assert_eq!(gears.get(&format!("{V1}/c")).await["spec"]["hostPort"], "new:1");

    let status = json!({ "status": { "replicas": 2 } });
    let told = gears.ok("PATCH", &format!("{V2}/b/status"), &MERGE, status).await;
    assert_eq!(
        (&told["spec"]["count"], &told["status"]["replicas"]),
        (&json!(3), &json!(2))
    );
    let scale = gears.get(&format!("{V2}/b/scale")).await;
    assert_eq!(
        (&scale["spec"]["replicas"], &scale["status"]["replicas"]),
        (&json!(3), &json!(2))
    );
    let scaled = json!({ "spec": { "replicas": 7 } });
    let scaled = gears.ok("PATCH", &format!("{V2}/b/scale"), &MERGE, scaled).await;
    assert_eq!(scaled["spec"]["replicas"], 7);
    assert_eq!(gears.get(&format!("{V1}/b")).await["spec"]["replicas"], 7);

    let kept = json!({ "metadata": { "finalizers": ["example.com/keep"] } });
    gears.ok("PATCH", &format!("{V1}/b"), &MERGE, kept).await;
    let deleted = gears.ok("DELETE", &format!("{V2}/b"), &[], json!({})).await;
    assert_eq!(deleted["apiVersion"], "example.com/v2");
    assert_eq!(deleted["spec"]["count"], 7);
}

#[tokio::test]
async fn a_list_of_objects_stored_in_several_versions_is_converted_at_once() {
    let gears = Gears::start().await;
    gears.ok("POST", V1, &[], first("a", "a:1")).await;
    gears.ok("POST", V1, &[], first("b", "b:2")).await;
    gears.change(json!({ "versions": versions("v2") })).await;
    gears.ok("POST", V1, &[], first("c", "c:3")).await;
    gears.asked();
    let list = async |path: &str, field: &str| {
        let list = gears.get(path).await;
        let items = list["items"].as_array().unwrap().clone();
        let names: Vec<String> = items
            .iter()
            .map(|item| {
                format!(
                    "{} {}",
                    item["apiVersion"].as_str().unwrap(),
                    item["spec"][field].as_str().unwrap()
                )
            })
            .collect();
        (list["apiVersion"].as_str().unwrap().to_owned(), names, gears.asked())
    };
    let names = |list: [&str; 3]| list.map(str::to_owned).to_vec();
    assert_eq!(
        list(V2, "host").await,
        (
            "example.com/v2".to_owned(),
            names(["example.com/v2 a", "example.com/v2 b", "example.com/v2 c"]),
            1
        )
    );
    assert_eq!(
        list(V1, "hostPort").await,
        (
            "example.com/v1".to_owned(),
            names(["example.com/v1 a:1", "example.com/v1 b:2", "example.com/v1 c:3"]),
            1
        )
    );
    // Selectors are about what is shown.
    let (_, found, _) = list(&format!("{V2}?fieldSelector=spec.host%3Db"), "host").await;
    assert_eq!(found, ["example.com/v2 b"]);
    let (_, found, _) = list(&format!("{V2}?labelSelector=converted-to%3Dv2"), "host").await;
    assert_eq!(found.len(), 3);
    let page = gears.get(&format!("{V2}?limit=2")).await;
    assert_eq!(page["items"].as_array().unwrap().len(), 2);
    let token = page["metadata"]["continue"].as_str().unwrap();
    let rest = gears.get(&format!("{V2}?limit=2&continue={token}")).await;
    assert_eq!(rest["items"][0]["spec"]["host"], "c");
    let table = gears.server.send("GET", V2, &[("accept", TABLE)], "").await.json();
    let cells: Vec<&Value> = table["rows"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| &row["cells"][1])
        .collect();
    assert_eq!(cells, ["a", "b", "c"]);

    // An object that is written goes into the version that is stored now.
    gears
        .ok(
            "PATCH",
            &format!("{V1}/a"),
            &MERGE,
            json!({ "spec": { "hostPort": "z:1" } }),
        )
        .await;
    gears.asked();
    assert_eq!(gears.get(&format!("{V2}/a")).await["spec"]["host"], "z");
    assert_eq!(gears.asked(), 0);
    // A version that is no longer served is one that objects may still have.
    let mut left = versions("v2");
    left[0]["served"] = json!(false);
    gears.change(json!({ "versions": left })).await;
    assert_eq!(gears.get(&format!("{V2}/b")).await["spec"]["host"], "b");
    let gone = gears.server.send("DELETE", V2, &[], "").await;
    assert_eq!(gone.status, StatusCode::OK, "{:?}", gone.bytes);
    assert_eq!(gears.get(V2).await["items"], json!([]));
}

#[tokio::test]
async fn watches_tell_what_their_version_shows_and_ask_once() {
    let gears = Gears::start().await;
    gears.ok("POST", V1, &[], first("a", "a:1")).await;
    let mut all = gears.server.watch(&format!("{V2}?watch=1"), "application/json").await;
    let mut other = gears.server.watch(&format!("{V2}?watch=1"), "application/json").await;
    let selected = format!("{V2}?watch=1&fieldSelector=spec.host%3Db");
    let mut selected = gears.server.watch(&selected, "application/json").await;
    let mut stored = gears.server.watch(&format!("{V1}?watch=1"), "application/json").await;
    for watch in [&mut all, &mut other] {
        let event = watch.next().await.unwrap();
        assert_eq!(
            (&event["type"], &event["object"]["spec"]["host"]),
            (&json!("ADDED"), &json!("a"))
        );
    }
    assert_eq!(stored.next().await.unwrap()["object"]["spec"]["hostPort"], "a:1");
    gears.asked();
    let patch = json!({ "spec": { "hostPort": "b:1" } });
    let patched = gears.ok("PATCH", &format!("{V1}/a"), &MERGE, patch).await;
    for watch in [&mut all, &mut other] {
        let event = watch.next().await.unwrap();
        assert_eq!(
            (&event["type"], &event["object"]["spec"]["host"]),
            (&json!("MODIFIED"), &json!("b"))
        );
        assert_eq!(
            event["object"]["metadata"]["resourceVersion"],
            patched["metadata"]["resourceVersion"]
        );
    }
    let event = selected.next().await.unwrap();
    assert_eq!(
        (&event["type"], &event["object"]["spec"]["host"]),
        (&json!("ADDED"), &json!("b"))
    );
    assert_eq!(gears.asked(), 2, "about what was and what is, for all");
    gears.ok("DELETE", &format!("{V1}/a"), &[], json!({})).await;
    for watch in [&mut all, &mut selected] {
        let event = watch.next().await.unwrap();
        assert_eq!(
            (&event["type"], &event["object"]["spec"]["host"]),
            (&json!("DELETED"), &json!("b"))
        );
    }
    assert_eq!(gears.asked(), 0, "it was converted before");
}

#[tokio::test]
async fn nothing_is_shown_or_written_that_cannot_be_converted() {
    let gears = Gears::start().await;
    gears.ok("POST", V1, &[], first("a", "a:1")).await;
    gears.change(json!({ "conversion": gears.conversion("/refuse") })).await;
    let by_1 = "conversion webhook for example.com/v1, Kind=Gear failed: not today";
    let by_2 = "conversion webhook for example.com/v2, Kind=Gear failed: not today";
    for (method, path, body, expected) in [
        ("GET", format!("{V2}/a"), String::new(), by_1),
        ("GET", V2.to_owned(), String::new(), by_1),
        ("GET", format!("{V2}/a/scale"), String::new(), by_1),
        ("POST", V2.to_owned(), second("b", "b", "1").to_string(), by_2),
        ("DELETE", format!("{V2}/a"), String::new(), by_1),
    ] {
        let answer = gears.server.send(method, &path, &[], body).await;
        assert_eq!(answer.status, StatusCode::INTERNAL_SERVER_ERROR, "{method} {path}");
        let status = answer.json();
        assert_eq!(
            (&status["message"], &status["reason"]),
            (&json!(expected), &Value::Null),
            "{method} {path}"
        );
    }
    assert_eq!(
        gears.get(V1).await["items"].as_array().unwrap().len(),
        1,
        "nothing happened"
    );
    let nobody = json!({ "webhook": { "clientConfig": { "url": "https://localhost:1/convert" } } });
    gears.change(json!({ "conversion": nobody })).await;
    let message = gears.server.get(&format!("{V2}/a")).await.json()["message"].take();
    let message = message.as_str().unwrap();
    let expected = "conversion webhook for example.com/v1, Kind=Gear failed: Post \
                    \"https://localhost:1/convert?timeout=30s\": ";
    assert!(message.starts_with(expected), "{message}");
    // Who asks in the version that is stored does not need it.
    let gone = gears
        .server
        .send("DELETE", &format!("{DEFINITIONS}/gears.example.com"), &[], "")
        .await;
    assert_eq!(gone.status, StatusCode::OK);
    let path = format!("{DEFINITIONS}/gears.example.com");
    until("the definition is gone", async || {
        (gears.server.get(&path).await.status == StatusCode::NOT_FOUND).then_some(())
    })
    .await;
}

/// What policies and webhooks are told who are about the other version.
#[tokio::test]
async fn admission_sees_the_version_that_its_rules_name() {
    static CHANGED: AtomicBool = AtomicBool::new(false);
    fn admit(_: &str, review: &Value) -> Value {
        let request = &review["request"];
        assert_eq!(request["kind"]["version"], "v1");
        assert_eq!(request["requestKind"]["version"], "v2");
        assert_eq!(request["object"]["spec"]["hostPort"], "b:1");
        CHANGED.store(true, Ordering::Relaxed);
        let patch = json!([{ "op": "replace", "path": "/spec/hostPort", "value": "patched:2" }]);
        json!({
            "kind": "AdmissionReview", "apiVersion": "admission.k8s.io/v1",
            "response": {
                "uid": request["uid"], "allowed": true, "patchType": "JSONPatch",
                "patch": base64::Engine::encode(&base64::engine::general_purpose::STANDARD, patch.to_string()),
            },
        })
    }
    let gears = Gears::start().await;
    let admission = Hooks::answering(admit).await;
    let rules = json!([{
        "operations": ["CREATE"], "apiGroups": ["example.com"], "apiVersions": ["v1"], "resources": ["gears"],
    }]);
    let webhook = json!({
        "metadata": { "name": "m" },
        "webhooks": [{
            "name": "m.example.com", "rules": rules, "sideEffects": "None", "admissionReviewVersions": ["v1"],
            "clientConfig": { "url": format!("https://localhost:{}/", admission.port), "caBundle": admission.ca },
        }],
    });
    let path = "/apis/admissionregistration.k8s.io/v1";
    gears
        .ok("POST", &format!("{path}/mutatingwebhookconfigurations"), &[], webhook)
        .await;
    let made = gears.ok("POST", V2, &[], second("b", "b", "1")).await;
    assert!(CHANGED.load(Ordering::Relaxed));
    assert_eq!(made["spec"], json!({ "host": "patched", "port": "2", "count": 1 }));

    let policy = json!({
        "metadata": { "name": "p" },
        "spec": {
            "matchConstraints": { "resourceRules": rules },
            "validations": [{ "expression": "object.spec.hostPort == 'patched:2'" }],
        },
    });
    let binding = json!({
        "metadata": { "name": "p" }, "spec": { "policyName": "p", "validationActions": ["Deny"] },
    });
    gears
        .ok("POST", &format!("{path}/validatingadmissionpolicies"), &[], policy)
        .await;
    gears
        .ok(
            "POST",
            &format!("{path}/validatingadmissionpolicybindings"),
            &[],
            binding,
        )
        .await;
    let made = gears
        .server
        .send("POST", V2, &[], second("d", "b", "1").to_string())
        .await;
    assert_eq!(made.status, StatusCode::CREATED, "{:?}", made.bytes);
}
