//! Webhooks that are really asked, by HTTPS on the loopback interface.

use base64::{Engine as _, engine::general_purpose::STANDARD};

use super::{hooks::Hooks, *};

const HOOKS: &str = "/apis/admissionregistration.k8s.io/v1";
const CONFIG_MAPS: &str = "/api/v1/namespaces/default/configmaps";

/// What the webhook at a path says about a request.
fn response(path: &str, request: &Value) -> Value {
    let labels = &request["object"]["metadata"]["labels"];
    let patched = |patch: Value| {
        json!({
            "uid": request["uid"],
            "allowed": true,
            "patchType": "JSONPatch",
            "patch": STANDARD.encode(patch.to_string()),
        })
    };
    let label = |name: &str, value: &str| {
        if labels.is_object() {
            json!([{ "op": "add", "path": format!("/metadata/labels/{name}"), "value": value }])
        } else {
            json!([{ "op": "add", "path": "/metadata/labels", "value": { name: value } }])
        }
    };
    match path {
        "/first" => patched(label(
            "first",
            if labels["second"].is_null() { "alone" } else { "again" },
        )),
        "/second" if labels["second"].is_null() => patched(label("second", "here")),
        "/sidecar" => patched(json!([
            { "op": "add", "path": "/spec/containers/-", "value": { "name": "sidecar", "image": "i" } },
        ])),
        "/deny" if labels["bad"] == "yes" => json!({
            "uid": request["uid"],
            "allowed": false,
            "status": { "message": "it is bad", "code": 403, "reason": "Forbidden" },
            "warnings": ["look at the label"],
        }),
        "/wrong-uid" => json!({ "uid": "other", "allowed": true }),
        _ => json!({ "uid": request["uid"], "allowed": true }),
    }
}

/// The review that comes back for one.
fn answer(path: &str, review: &Value) -> Value {
    json!({
        "kind": "AdmissionReview",
        "apiVersion": "admission.k8s.io/v1",
        "response": response(path, &review["request"]),
    })
}

impl Hooks {
    async fn start() -> Hooks {
        Hooks::answering(answer).await
    }

    /// A webhook at this path for creations and updates of config maps, changed by `more`.
    fn webhook(&self, path: &str, more: &Value) -> Value {
        let mut webhook = json!({
            "name": format!("hook{}.example.com", path.replace('/', "-")),
            "clientConfig": { "url": format!("https://localhost:{}{path}", self.port), "caBundle": self.ca },
            "rules": [{
                "operations": ["CREATE", "UPDATE"],
                "apiGroups": [""],
                "apiVersions": ["v1"],
                "resources": ["configmaps"],
            }],
            "sideEffects": "None",
            "admissionReviewVersions": ["v1"],
        });
        for (field, value) in more.as_object().unwrap() {
            webhook[field] = value.clone();
        }
        webhook
    }

    fn paths(&self) -> Vec<String> {
        self.asked.lock().iter().map(|(path, _)| path.clone()).collect()
    }
}

impl Server {
    async fn configure(&self, kind: &str, name: &str, webhooks: &[Value]) {
        let body = json!({ "metadata": { "name": name }, "webhooks": webhooks });
        let answer = self
            .send("POST", &format!("{HOOKS}/{kind}"), &[], body.to_string())
            .await;
        assert_eq!(answer.status, StatusCode::CREATED, "{:?}", answer.bytes);
    }

    async fn make(&self, name: &str, labels: Value, query: &str) -> Answer {
        let body = json!({ "metadata": { "name": name, "labels": labels } });
        self.send("POST", &format!("{CONFIG_MAPS}?{query}"), &[], body.to_string())
            .await
    }
}

#[tokio::test]
async fn mutating_webhooks_change_objects_in_turn_and_are_asked_again_if_they_want() {
    let (server, hooks) = (server().await, Hooks::start().await);
    let again = json!({ "reinvocationPolicy": "IfNeeded" });
    let list = [hooks.webhook("/first", &again), hooks.webhook("/second", &json!({}))];
    server.configure("mutatingwebhookconfigurations", "m", &list).await;
    let made = server.make("a", json!({ "own": "x" }), "").await.json();
    let expected = json!({ "own": "x", "first": "again", "second": "here" });
    assert_eq!(made["metadata"]["labels"], expected);
    assert_eq!(hooks.paths(), ["/first", "/second", "/first"]);
    let (_, request) = hooks.asked.lock()[1].clone();
    assert_eq!(request["operation"], "CREATE");
    assert_eq!(
        request["kind"],
        json!({ "group": "", "version": "v1", "kind": "ConfigMap" })
    );
    assert_eq!(
        (&request["namespace"], &request["name"]),
        (&json!("default"), &json!("a"))
    );
    assert_eq!(request["oldObject"], Value::Null);
    assert_eq!(request["userInfo"]["username"], "system:test");
    assert_eq!(request["object"]["metadata"]["labels"]["first"], "alone");
    let stored = server.send("GET", &format!("{CONFIG_MAPS}/a"), &[], "").await.json();
    assert_eq!(stored["metadata"]["labels"], expected);
}

#[tokio::test]
async fn what_a_webhook_adds_to_a_pod_is_completed_as_the_rest() {
    let (server, hooks) = (server().await, Hooks::start().await);
    let pods = json!([{ "operations": ["CREATE"], "apiGroups": [""], "apiVersions": ["v1"], "resources": ["pods"] }]);
    let webhook = hooks.webhook("/sidecar", &json!({ "rules": pods }));
    server
        .configure("mutatingwebhookconfigurations", "hooks", &[webhook])
        .await;
    let post = async |plural: &str, object: Value| {
        let path = format!("/api/v1/namespaces/default/{plural}");
        let answer = server.send("POST", &path, &[], object.to_string()).await;
        assert_eq!(answer.status, StatusCode::CREATED, "{:?}", answer.bytes);
        answer.json()
    };
    let limits = json!([{ "type": "Container", "default": { "cpu": "500m" } }]);
    let range = json!({ "metadata": { "name": "r" }, "spec": { "limits": limits } });
    post("limitranges", range).await;
    let pod = json!({ "metadata": { "name": "p" }, "spec": { "containers": [{ "name": "c", "image": "i" }] } });
    let made = post("pods", pod).await;
    let containers = made["spec"]["containers"].as_array().unwrap();
    assert_eq!(containers.len(), 2, "the webhook was asked once: {made}");
    for container in containers {
        assert_eq!(container["resources"]["limits"], json!({ "cpu": "500m" }), "{made}");
        assert_eq!(container["volumeMounts"][0]["readOnly"], true, "{made}");
    }
}

#[tokio::test]
async fn validating_webhooks_refuse_and_warn() {
    let (server, hooks) = (server().await, Hooks::start().await);
    let list = [hooks.webhook("/deny", &json!({})), hooks.webhook("/agree", &json!({}))];
    server.configure("validatingwebhookconfigurations", "v", &list).await;
    let refused = server.make("a", json!({ "bad": "yes" }), "").await;
    assert_eq!(refused.status, StatusCode::FORBIDDEN);
    let status = refused.json();
    assert_eq!(status["reason"], "Forbidden");
    assert_eq!(
        status["message"],
        "admission webhook \"hook-deny.example.com\" denied the request: it is bad"
    );
    assert_eq!(server.make("a", json!({}), "").await.status, StatusCode::CREATED);
    let patch = json!({ "metadata": { "labels": { "bad": "yes" } } }).to_string();
    let merge = [("content-type", "application/merge-patch+json")];
    let path = format!("{CONFIG_MAPS}/a");
    let patched = server.send("PATCH", &path, &merge, patch).await;
    assert_eq!(patched.status, StatusCode::FORBIDDEN);
    let (_, request) = hooks.asked.lock().last().unwrap().clone();
    assert_eq!(request["operation"], "UPDATE");
    assert_eq!(request["oldObject"]["metadata"]["labels"], Value::Null);
    let deleted = server.send("DELETE", &path, &[], "").await;
    assert_eq!(deleted.status, StatusCode::OK, "nobody asked about deletions");
}

#[tokio::test]
async fn a_webhook_without_an_answer_fails_closed_or_is_passed_over() {
    let (server, hooks) = (server().await, Hooks::start().await);
    let nobody = format!("https://localhost:{}/", 1);
    let client = json!({ "url": nobody, "caBundle": hooks.ca });
    let rows = [
        (hooks.webhook("/x", &json!({ "clientConfig": client })), false),
        (
            hooks.webhook("/x", &json!({ "clientConfig": client, "failurePolicy": "Ignore" })),
            true,
        ),
        (hooks.webhook("/wrong-uid", &json!({})), false),
        (hooks.webhook("/x", &json!({ "sideEffects": "NoneOnDryRun" })), true),
    ];
    for (number, (webhook, is_made)) in rows.into_iter().enumerate() {
        let name = format!("v{number}");
        server
            .configure("validatingwebhookconfigurations", &name, &[webhook])
            .await;
        let made = server.make(&name, json!({}), "").await;
        assert_eq!(
            made.status == StatusCode::CREATED,
            is_made,
            "{number}: {:?}",
            made.bytes
        );
        if !is_made {
            assert_eq!(made.status, StatusCode::INTERNAL_SERVER_ERROR);
            let message = made.json()["message"].as_str().unwrap().to_owned();
            assert!(
                message.starts_with("Internal error occurred: failed calling webhook \"hook-"),
                "{message}"
            );
        }
        let path = format!("{HOOKS}/validatingwebhookconfigurations/{name}");
        assert_eq!(server.send("DELETE", &path, &[], "").await.status, StatusCode::OK);
    }
}

#[tokio::test]
async fn conditions_and_selectors_say_who_is_asked() {
    let (server, hooks) = (server().await, Hooks::start().await);
    let conditions = json!([
        { "name": "not-me", "expression": "request.userInfo.username != 'system:test' || object.metadata.name != 'a'" },
    ]);
    let list = [
        hooks.webhook("/conditions", &json!({ "matchConditions": conditions })),
        hooks.webhook(
            "/labels",
            &json!({ "objectSelector": { "matchLabels": { "ask": "yes" } } }),
        ),
        hooks.webhook(
            "/namespaces",
            &json!({ "namespaceSelector": { "matchLabels": { "kubernetes.io/metadata.name": "elsewhere" } } }),
        ),
    ];
    server.configure("validatingwebhookconfigurations", "v", &list).await;
    server.make("a", json!({}), "").await;
    assert_eq!(hooks.paths(), [""; 0]);
    server.make("b", json!({ "ask": "yes" }), "").await;
    let mut asked = hooks.paths();
    asked.sort();
    assert_eq!(asked, ["/conditions", "/labels"]);
}

#[tokio::test]
async fn policies_are_in_force_where_they_are_bound() {
    let server = server().await;
    let policy = json!({
        "metadata": { "name": "p" },
        "spec": {
            "paramKind": { "apiVersion": "v1", "kind": "ConfigMap" },
            "matchConstraints": { "resourceRules": [{
                "operations": ["CREATE", "UPDATE"],
                "apiGroups": [""],
                "apiVersions": ["v1"],
                "resources": ["configmaps"],
            }] },
            "matchConditions": [{ "name": "others", "expression": "object.metadata.name != 'limits'" }],
            "validations": [{
                "expression": "!has(object.data) || object.data.all(k, size(object.data[k]) <= int(params.data.max))",
                "messageExpression": "'at most ' + params.data.max + ' letters'",
            }],
        },
    });
    let binding = |name: &str, actions: Value| {
        json!({
            "metadata": { "name": name },
            "spec": {
                "policyName": "p",
                "validationActions": actions,
                "paramRef": { "name": "limits", "parameterNotFoundAction": "Deny" },
            },
        })
    };
    let put = async |kind: &str, body: Value| {
        let answer = server
            .send("POST", &format!("{HOOKS}/{kind}"), &[], body.to_string())
            .await;
        assert_eq!(answer.status, StatusCode::CREATED, "{:?}", answer.bytes);
    };
    put("validatingadmissionpolicies", policy).await;
    let make = async |name: &str, data: Value| {
        let body = json!({ "metadata": { "name": name }, "data": data });
        server.send("POST", CONFIG_MAPS, &[], body.to_string()).await
    };
    let long = json!({ "a": "abcdef" });
    assert_eq!(make("unbound", long.clone()).await.status, StatusCode::CREATED);
    put("validatingadmissionpolicybindings", binding("b", json!(["Deny"]))).await;
    let missing = make("a", long.clone()).await;
    assert_eq!(missing.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(missing.json()["message"].as_str().unwrap().contains("no params found"));

    let path = format!("{HOOKS}/validatingadmissionpolicybindings/b");
    assert_eq!(server.send("DELETE", &path, &[], "").await.status, StatusCode::OK);
    assert_eq!(make("limits", json!({ "max": "3" })).await.status, StatusCode::CREATED);
    put("validatingadmissionpolicybindings", binding("b", json!(["Deny"]))).await;
    let refused = make("a", long.clone()).await;
    assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY);
    let status = refused.json();
    assert_eq!(status["reason"], "Invalid");
    assert_eq!(
        status["message"],
        "configmaps \"a\" is forbidden: ValidatingAdmissionPolicy 'p' with binding 'b' denied request: at most 3 letters"
    );
    assert_eq!(make("a", json!({ "a": "abc" })).await.status, StatusCode::CREATED);

    assert_eq!(server.send("DELETE", &path, &[], "").await.status, StatusCode::OK);
    put("validatingadmissionpolicybindings", binding("w", json!(["Warn"]))).await;
    let warned = make("c", long).await;
    assert_eq!(warned.status, StatusCode::CREATED);
    let warning = warned.headers["warning"].to_str().unwrap();
    assert!(warning.contains("with binding 'w': at most 3 letters"), "{warning}");
}

#[tokio::test]
async fn mutating_policies_change_what_is_written() {
    let server = server().await;
    let put = async |kind: &str, body: Value| {
        let answer = server
            .send("POST", &format!("{HOOKS}/{kind}"), &[], body.to_string())
            .await;
        assert_eq!(answer.status, StatusCode::CREATED, "{:?}", answer.bytes);
    };
    let policy = async |name: &str, again: &str, failure: &str, mutation: Value| {
        let rules = json!([{
            "operations": ["*"],
            "apiGroups": ["", "apps"],
            "apiVersions": ["v1"],
            "resources": ["configmaps", "deployments/scale"],
        }]);
        let spec = json!({
            "matchConstraints": { "resourceRules": rules },
            "matchConditions": [{ "name": "mine", "expression": format!("object.metadata.name.startsWith('{failure}')") }],
            "failurePolicy": if failure == "ignored" { "Ignore" } else { "Fail" },
            "reinvocationPolicy": again,
            "mutations": [mutation],
        });
        put(
            "mutatingadmissionpolicies",
            json!({ "metadata": { "name": name }, "spec": spec }),
        )
        .await;
        put(
            "mutatingadmissionpolicybindings",
            json!({ "metadata": { "name": name }, "spec": { "policyName": name } }),
        )
        .await;
    };
    let configuration = |expression: &str| json!({ "patchType": "ApplyConfiguration", "applyConfiguration": { "expression": expression } });
    let operations = |expression: &str| json!({ "patchType": "JSONPatch", "jsonPatch": { "expression": expression } });
    let counted = |label: &str, after: &str| {
        configuration(&format!(
            "Object{{metadata: Object.metadata{{labels: {{'{label}': has(object.metadata.labels) && \
             '{after}' in object.metadata.labels ? 'late' : 'early'}}}}}}"
        ))
    };
    policy("a", "IfNeeded", "seen", counted("a", "c")).await;
    policy("b", "Never", "seen", counted("b", "c")).await;
    policy("c", "IfNeeded", "seen", counted("c", "d")).await;
    policy(
        "d",
        "Never",
        "bad",
        configuration("Object{data: {'x': object.data.nothing}}"),
    )
    .await;
    policy(
        "e",
        "Never",
        "ignored",
        operations("[JSONPatch{op: 'remove', path: '/data/nothing'}]"),
    )
    .await;
    policy(
        "renamed",
        "Never",
        "renamed",
        operations("[JSONPatch{op: 'replace', path: '/metadata/name', value: 'other'}]"),
    )
    .await;
    policy(
        "f",
        "Never",
        "scaled",
        configuration("Object{spec: Object.spec{replicas: 3}}"),
    )
    .await;
    let make = async |name: &str| {
        let body = json!({ "metadata": { "name": name }, "data": { "k": "v" } });
        server.send("POST", CONFIG_MAPS, &[], body.to_string()).await
    };
    let seen = make("seen").await;
    assert_eq!(seen.status, StatusCode::CREATED, "{:?}", seen.bytes);
    assert_eq!(
        seen.json()["metadata"]["labels"],
        json!({ "a": "late", "b": "early", "c": "early" })
    );
    assert_eq!(make("ignored").await.status, StatusCode::CREATED);
    let bad = make("bad").await;
    assert_eq!(bad.status, StatusCode::FORBIDDEN);
    assert_eq!(bad.json()["reason"], "Invalid");
    assert_eq!(
        bad.json()["message"],
        "policy 'd' with binding 'd' denied request: expression 'Object{data: {'x': object.data.nothing}}' resulted in \
         error: no such key: nothing"
    );

    let renamed = make("renamed").await;
    assert_eq!(
        renamed.json()["message"],
        "policy 'renamed' with binding 'renamed' denied request: the patch gives the object another name or namespace"
    );

    let deployments = "/apis/apps/v1/namespaces/default/deployments";
    let template = json!({
        "metadata": { "labels": { "app": "a" } },
        "spec": { "containers": [{ "name": "a", "image": "x" }] },
    });
    let deployment = json!({
        "metadata": { "name": "scaled" },
        "spec": { "selector": { "matchLabels": { "app": "a" } }, "template": template },
    });
    let made = server.send("POST", deployments, &[], deployment.to_string()).await;
    assert_eq!(made.status, StatusCode::CREATED, "{:?}", made.bytes);
    let path = format!("{deployments}/scaled/scale");
    let scale = json!({ "metadata": { "name": "scaled" }, "spec": { "replicas": 2 } });
    let scaled = server.send("PUT", &path, &[], scale.to_string()).await;
    assert_eq!(scaled.json()["spec"]["replicas"], 3, "{:?}", scaled.bytes);

    let refused = json!({ "metadata": { "name": "g" }, "spec": {
        "matchConstraints": { "resourceRules": [] },
        "reinvocationPolicy": "Never",
        "variables": [{ "name": "v", "expression": "Object{}" }],
        "mutations": [configuration("Foo{}")],
    } });
    let refused = server
        .send(
            "POST",
            &format!("{HOOKS}/mutatingadmissionpolicies"),
            &[],
            refused.to_string(),
        )
        .await;
    let message = refused.json()["message"].to_string();
    for expected in [
        "spec.variables[0].expression: Invalid value",
        "undeclared reference to 'Object' (in container '')",
        "spec.mutations[0].applyConfiguration.expression: Invalid value",
        "undeclared reference to 'Foo' (in container '')",
    ] {
        assert!(message.contains(expected), "{message} has no {expected}");
    }
}
