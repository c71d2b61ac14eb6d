//! Server-side apply and managedFields over REST.

use super::*;

const APPLY: [(&str, &str); 1] = [("content-type", "application/apply-patch+yaml")];
const CONFIG_MAP: &str = "/api/v1/namespaces/default/configmaps/x";
const DEPLOYMENT: &str = "/apis/apps/v1/namespaces/default/deployments/web";

impl Server {
    async fn apply(&self, path: &str, query: &str, config: &Value) -> Answer {
        self.send("PATCH", &format!("{path}?{query}"), &APPLY, config.to_string())
            .await
    }
}

fn data(data: Value) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "x"}, "data": data})
}

fn deployment(spec: Value) -> Value {
    let mut object = json!({
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "web", "namespace": "default"},
        "spec": {
            "selector": {"matchLabels": {"app": "web"}},
            "template": {
                "metadata": {"labels": {"app": "web"}},
                "spec": {"containers": [{"name": "c", "image": "i"}]},
            },
        },
    });
    for (name, value) in spec.as_object().unwrap() {
        object["spec"][name] = value.clone();
    }
    object
}

/// (manager, operation, subresource, fields) of every entry.
fn owners(object: &Value) -> Vec<(String, String, String, Value)> {
    let text = |entry: &Value, field: &str| entry[field].as_str().unwrap_or_default().to_owned();
    let entries = object["metadata"]["managedFields"].as_array();
    entries
        .into_iter()
        .flatten()
        .map(|entry| {
            (
                text(entry, "manager"),
                text(entry, "operation"),
                text(entry, "subresource"),
                entry["fieldsV1"].clone(),
            )
        })
        .collect()
}

fn owner(manager: &str, operation: &str, subresource: &str, fields: Value) -> (String, String, String, Value) {
    (manager.to_owned(), operation.to_owned(), subresource.to_owned(), fields)
}

#[tokio::test]
async fn applying_creates_then_updates_and_changes_nothing_the_second_time() {
    let server = server().await;
    let config = data(json!({"a": "1"}));
    let rows = [
        ("dryRun=All&fieldManager=me", &config, 201),
        ("fieldManager=me", &config, 201),
        ("fieldManager=me", &config, 200),
    ];
    let mut versions = Vec::new();
    for (query, config, code) in rows {
        let answer = server.apply(CONFIG_MAP, query, config).await;
        assert_eq!(answer.status, code, "{query}: {:?}", answer.bytes);
        versions.push(answer.json()["metadata"]["resourceVersion"].clone());
    }
    assert_eq!(versions[1], versions[2]);
    let object = server.get(CONFIG_MAP).await.json();
    assert_eq!(
        owners(&object),
        [owner("me", "Apply", "", json!({"f:data": {"f:a": {}}}))]
    );
    let entry = &object["metadata"]["managedFields"][0];
    assert_eq!(
        (&entry["apiVersion"], &entry["fieldsType"]),
        (&json!("v1"), &json!("FieldsV1"))
    );
    assert!(entry["time"].is_string());
    let yaml = "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: x\ndata:\n  b: \"2\"\n";
    let answer = server
        .send("PATCH", &format!("{CONFIG_MAP}?fieldManager=me"), &APPLY, yaml)
        .await;
    assert_eq!(answer.json()["data"], json!({"b": "2"}));
}

#[tokio::test]
async fn conflicts_name_managers_and_fields_and_can_be_forced() {
    let server = server().await;
    server
        .apply(CONFIG_MAP, "fieldManager=one", &data(json!({"a": "1", "b": "1"})))
        .await;
    let wanted = data(json!({"a": "2", "b": "1"}));
    let refused = server.apply(CONFIG_MAP, "fieldManager=two&force=false", &wanted).await;
    assert_eq!(refused.status, 409);
    let mut status = refused.json();
    status["metadata"] = json!({});
    assert_eq!(
        status,
        json!({
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": "Apply failed with 1 conflict: conflict with \"one\": .data.a",
            "reason": "Conflict",
            "details": {"causes": [{
                "reason": "FieldManagerConflict",
                "message": "conflict with \"one\"",
                "field": ".data.a",
            }]},
            "code": 409,
        })
    );
    let forced = server.apply(CONFIG_MAP, "fieldManager=two&force=true", &wanted).await;
    assert_eq!(
        owners(&forced.json()),
        [
            owner("one", "Apply", "", json!({"f:data": {"f:b": {}}})),
            owner("two", "Apply", "", json!({"f:data": {"f:a": {}, "f:b": {}}})),
        ]
    );
}

#[tokio::test]
async fn requests_that_cannot_be_applied_say_why() {
    let server = server().await;
    let good = data(json!({"a": "1"}));
    let with = |pointer: &str, value: Value| {
        let mut config = data(json!({"a": "1"}));
        let (parent, field) = pointer.rsplit_once('/').unwrap();
        config.pointer_mut(parent).unwrap()[field] = value;
        config
    };
    let created = server.apply(CONFIG_MAP, "fieldManager=me", &good).await.json();
    let uid = created["metadata"]["uid"].as_str().unwrap();
    let long = format!("fieldManager={}", "m".repeat(129));
    let rows = [
        (
            "force=true",
            good.clone(),
            422,
            "PatchOptions.meta.k8s.io \"\" is invalid: fieldManager: Required value: is required for apply patch",
        ),
        (
            &long,
            good.clone(),
            422,
            "PatchOptions.meta.k8s.io \"\" is invalid: fieldManager: Too long: may not be more than 128 bytes",
        ),
        (
            "fieldManager=me",
            with("/metadata/managedFields", json!([])),
            400,
            "metadata.managedFields must be nil",
        ),
        (
            "fieldManager=me",
            with("/kind", json!("Secret")),
            400,
            "invalid object type: /v1, Kind=Secret",
        ),
        (
            "fieldManager=me",
            with("/metadata/name", json!("y")),
            400,
            "the name of the object (y) does not match the name on the URL (x)",
        ),
        (
            "fieldManager=me&fieldValidation=Ignore",
            with("/metadata/bogus", json!("y")),
            500,
            "failed to create typed patch object (/x; /v1, Kind=ConfigMap): .metadata.bogus: field not declared in schema",
        ),
        (
            "fieldManager=me",
            with("/metadata/resourceVersion", json!("1")),
            409,
            "Operation cannot be fulfilled on configmaps \"x\": the object has been modified; please apply your changes \
             to the latest version and try again",
        ),
        (
            "fieldManager=me",
            with("/metadata/uid", json!("other")),
            409,
            &format!(
                "Operation cannot be fulfilled on configmaps \"x\": Precondition failed: UID in precondition: other, UID \
                 in object meta: {uid}"
            ),
        ),
        (
            "fieldManager=me",
            json!([]),
            400,
            "error decoding YAML: the configuration is not an object",
        ),
    ];
    for (query, config, code, message) in rows {
        let answer = server.apply(CONFIG_MAP, query, &config).await;
        assert_eq!(answer.status, code, "{query} {config}: {:?}", answer.bytes);
        assert_eq!(answer.json()["message"], message, "{query} {config}");
    }
    let absent = with("/metadata/uid", json!("other"))
        .to_string()
        .replace("\"x\"", "\"new\"");
    let path = CONFIG_MAP.replace("/x", "/new");
    let answer = server
        .send("PATCH", &format!("{path}?fieldManager=me"), &APPLY, absent)
        .await;
    assert_eq!(
        answer.json()["message"],
        "Operation cannot be fulfilled on configmaps \"new\": uid mismatch: the provided object specified uid other, and \
         no existing object was found"
    );
    let twice = r#"{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"x"},"data":{"a":"1","a":"2"}}"#;
    for (validation, code) in [("Strict", 400), ("Warn", 200), ("Ignore", 200)] {
        let query = format!("{CONFIG_MAP}?fieldManager=me&fieldValidation={validation}");
        let answer = server.send("PATCH", &query, &APPLY, twice).await;
        assert_eq!(answer.status, code, "{validation}: {:?}", answer.bytes);
    }
    let force = server
        .send(
            "PATCH",
            &format!("{CONFIG_MAP}?force=true"),
            &[("content-type", "application/merge-patch+json")],
            "{}",
        )
        .await;
    assert_eq!(
        force.json()["message"],
        "PatchOptions.meta.k8s.io \"\" is invalid: force: Forbidden: may not be specified for non-apply patch"
    );
    let cbor = [("content-type", "application/apply-patch+cbor")];
    assert_eq!(server.send("PATCH", CONFIG_MAP, &cbor, "").await.status, 415);
}

#[tokio::test]
async fn every_write_is_tracked_by_manager_or_user_agent() {
    let server = server().await;
    let collection = "/api/v1/namespaces/default/configmaps";
    let json_type = ("content-type", "application/json");
    let agent = ("user-agent", "curl/8.0 (linux)");
    server
        .send(
            "POST",
            collection,
            &[json_type, agent],
            data(json!({"a": "1"})).to_string(),
        )
        .await;
    let merge = [("content-type", "application/merge-patch+json")];
    server
        .send(
            "PATCH",
            &format!("{CONFIG_MAP}?fieldManager=patcher"),
            &merge,
            r#"{"data":{"b":"1"}}"#,
        )
        .await;
    let replaced = server
        .send(
            "PUT",
            &format!("{CONFIG_MAP}?fieldManager=replacer"),
            &[json_type],
            data(json!({"b": "1", "c": "1"})).to_string(),
        )
        .await
        .json();
    assert_eq!(
        owners(&replaced),
        [
            owner("curl", "Update", "", json!({"f:data": {}})),
            owner("patcher", "Update", "", json!({"f:data": {"f:b": {}}})),
            owner("replacer", "Update", "", json!({"f:data": {"f:c": {}}})),
        ]
    );
    // A reset forgets everybody, and nobody is remembered until something is applied.
    let reset = server
        .send(
            "PATCH",
            CONFIG_MAP,
            &merge,
            r#"{"metadata":{"managedFields":[{}]},"data":{"d":"1"}}"#,
        )
        .await
        .json();
    assert_eq!(owners(&reset), []);
    let applied = server
        .apply(CONFIG_MAP, "fieldManager=me", &data(json!({"d": "1"})))
        .await
        .json();
    let before = json!({"f:data": {".": {}, "f:b": {}, "f:c": {}, "f:d": {}}});
    assert_eq!(
        owners(&applied),
        [
            owner("me", "Apply", "", json!({"f:data": {"f:d": {}}})),
            owner("before-first-apply", "Update", "", before),
        ]
    );
}

#[tokio::test]
async fn status_and_scale_are_owned_by_their_paths() {
    let server = server().await;
    let answer = server
        .apply(DEPLOYMENT, "fieldManager=me", &deployment(json!({"replicas": 1})))
        .await;
    assert_eq!(answer.status, 201, "{:?}", answer.bytes);
    let merge = [("content-type", "application/merge-patch+json")];
    let status = r#"{"spec":{"replicas":9},"status":{"replicas":1,"observedGeneration":1}}"#;
    server
        .send(
            "PATCH",
            &format!("{DEPLOYMENT}/status?fieldManager=controller"),
            &merge,
            status,
        )
        .await;
    let scale = r#"{"spec":{"replicas":3}}"#;
    server
        .send(
            "PATCH",
            &format!("{DEPLOYMENT}/scale?fieldManager=scaler"),
            &merge,
            scale,
        )
        .await;
    let replicas = || json!({"f:spec": {"f:replicas": {}}});
    let object = server.get(DEPLOYMENT).await.json();
    let found = owners(&object);
    assert_eq!(found[0].0, "me");
    assert!(found[0].3["f:spec"].get("f:replicas").is_none(), "{}", found[0].3);
    let mut rest = found[1..].to_vec();
    rest.sort_by(|a, b| a.0.cmp(&b.0));
    let of_status = json!({"f:status": {"f:observedGeneration": {}, "f:replicas": {}}});
    assert_eq!(
        rest,
        [
            owner("controller", "Update", "status", of_status),
            owner("scaler", "Update", "scale", replicas()),
        ]
    );
    // The main path conflicts with the scaler; the scale can be applied, too.
    let refused = server
        .apply(DEPLOYMENT, "fieldManager=me", &deployment(json!({"replicas": 1})))
        .await;
    assert_eq!(
        refused.json()["message"],
        "Apply failed with 1 conflict: conflict with \"scaler\" with subresource \"scale\" using apps/v1: .spec.replicas"
    );
    let config = json!({
        "apiVersion": "autoscaling/v1",
        "kind": "Scale",
        "metadata": {"name": "web", "namespace": "default"},
        "spec": {"replicas": 5},
    });
    let path = format!("{DEPLOYMENT}/scale");
    assert_eq!(server.apply(&path, "fieldManager=hpa", &config).await.status, 409);
    let forced = server.apply(&path, "fieldManager=hpa&force=true", &config).await;
    assert_eq!(
        (forced.status, &forced.json()["kind"]),
        (StatusCode::OK, &json!("Scale"))
    );
    let object = server.get(DEPLOYMENT).await.json();
    assert_eq!(object["spec"]["replicas"], 5);
    assert!(owners(&object).contains(&owner("hpa", "Apply", "scale", replicas())));
    assert!(owners(&object).iter().all(|(manager, ..)| manager != "scaler"));
    // A subresource of what is not there is not created.
    let of_pod = json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "none"}, "status": {"message": "m"},
    });
    let path = "/api/v1/namespaces/default/pods/none/status";
    assert_eq!(server.apply(path, "fieldManager=me", &of_pod).await.status, 404);
    let status = json!({
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "web"},
        "spec": {"paused": true},
        "status": {"conditions": [{"type": "Available", "status": "True"}]},
    });
    let path = format!("{DEPLOYMENT}/status");
    let applied = server.apply(&path, "fieldManager=me", &status).await.json();
    assert_eq!(applied["status"]["conditions"][0]["type"], "Available");
    assert!(applied["spec"].get("paused").is_none());
    let conditions = json!({"f:status": {"f:conditions": {
        "k:{\"type\":\"Available\"}": {".": {}, "f:status": {}, "f:type": {}},
    }}});
    assert!(owners(&applied).contains(&owner("me", "Apply", "status", conditions)));
}

#[tokio::test]
async fn kubectl_moves_an_object_from_client_side_to_server_side_apply() {
    let server = server().await;
    let plain = deployment(json!({"replicas": 1}));
    let annotation = "kubectl.kubernetes.io/last-applied-configuration";
    let mut client_side = plain.clone();
    client_side["metadata"]["annotations"] = json!({ annotation: format!("{plain}\n") });
    let collection = "/apis/apps/v1/namespaces/default/deployments?fieldManager=kubectl-client-side-apply";
    let json_type = [("content-type", "application/json")];
    server
        .send("POST", collection, &json_type, client_side.to_string())
        .await;
    let wanted = deployment(json!({"replicas": 2}));
    // What kubectl sends, in its order.
    let applied = server
        .apply(DEPLOYMENT, "fieldManager=kubectl&force=false", &wanted)
        .await;
    assert_eq!(applied.status, 200, "{:?}", applied.bytes);
    let object = applied.json();
    assert_eq!(object["spec"]["replicas"], 2);
    assert!(
        object["metadata"]["annotations"][annotation]
            .as_str()
            .unwrap()
            .contains("\"replicas\":2")
    );
    let last = json!({
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "web", "annotations": {annotation: object["metadata"]["annotations"][annotation]}},
    });
    let annotated = server
        .apply(DEPLOYMENT, "fieldManager=kubectl-last-applied", &last)
        .await
        .json();
    let entries: Vec<Value> = annotated["metadata"]["managedFields"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|entry| entry["manager"] != "kubectl-client-side-apply")
        .cloned()
        .collect();
    let patch = json!([
        {"op": "replace", "path": "/metadata/managedFields", "value": entries},
        {"op": "replace", "path": "/metadata/resourceVersion", "value": annotated["metadata"]["resourceVersion"]},
    ]);
    let migrated = server
        .send(
            "PATCH",
            &format!("{DEPLOYMENT}?fieldManager=kubectl"),
            &[("content-type", "application/json-patch+json")],
            patch.to_string(),
        )
        .await;
    assert_eq!(migrated.status, 200, "{:?}", migrated.bytes);
    let mut names: Vec<String> = owners(&migrated.json()).into_iter().map(|owner| owner.0).collect();
    names.sort();
    assert_eq!(names, ["kubectl", "kubectl-last-applied"]);
    let without = server
        .apply(DEPLOYMENT, "fieldManager=kubectl", &deployment(json!({})))
        .await
        .json();
    assert_eq!(without["spec"]["replicas"], 1, "given up, and so the default again");
}

#[tokio::test]
async fn what_is_stated_is_stored_in_its_one_form() {
    let server = server().await;
    let path = "/api/v1/namespaces/default/pods/p";
    let pod = |memory: &str| {
        json!({
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": "p"},
            "spec": {"containers": [{
                "name": "c", "image": "i", "resources": {"limits": {"memory": memory}},
            }]},
        })
    };
    assert_eq!(server.apply(path, "fieldManager=one", &pod("1024Mi")).await.status, 201);
    let shared = server.apply(path, "fieldManager=two", &pod("1Gi")).await;
    assert_eq!(shared.status, 200, "{:?}", shared.bytes);
    let secret = json!({
        "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}, "stringData": {"k": "v"},
    });
    let path = "/api/v1/namespaces/default/secrets/s";
    assert_eq!(server.apply(path, "fieldManager=me", &secret).await.status, 201);
    let again = server.apply(path, "fieldManager=me", &secret).await;
    assert_eq!(
        (again.status, &again.json()["data"]),
        (StatusCode::OK, &json!({"k": "dg=="}))
    );
}
