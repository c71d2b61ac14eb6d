//! Tokens, rights and questions about them, over HTTP.

use super::*;

const RBAC: &str = "/apis/rbac.authorization.k8s.io/v1";

impl Server {
    /// As [`Server::send`], by somebody with these headers.
    async fn send_as(
        &self,
        caller: &Caller,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: Value,
    ) -> Answer {
        let body = if body.is_null() {
            Body::empty()
        } else {
            body.to_string().into()
        };
        let response = self.response(caller.clone(), method, path, headers, body).await;
        let (parts, body) = response.into_parts();
        Answer {
            status: parts.status,
            headers: parts.headers,
            bytes: body.collect().await.unwrap().to_bytes(),
        }
    }

    async fn post(&self, path: &str, body: Value) -> Value {
        let answer = self.send("POST", path, &[], body.to_string()).await;
        assert_eq!(answer.status, StatusCode::CREATED, "{path}: {:?}", answer.bytes);
        answer.json()
    }

    async fn token(&self, request: Value) -> String {
        let path = "/api/v1/namespaces/default/serviceaccounts/default/token";
        let answer = self.post(path, request).await;
        answer["status"]["token"].as_str().unwrap().to_owned()
    }

    /// Lets everybody with a name ask what they may do.
    async fn let_ask_for_rules(&self) {
        let rule = json!({
            "verbs": ["create"],
            "apiGroups": ["authorization.k8s.io"],
            "resources": ["selfsubjectrulesreviews"],
        });
        let role = json!({ "metadata": { "name": "ask" }, "rules": [rule] });
        self.post(&format!("{RBAC}/clusterroles"), role).await;
        let binding = json!({
            "metadata": { "name": "ask" },
            "roleRef": { "kind": "ClusterRole", "name": "ask" },
            "subjects": [{ "kind": "Group", "name": "system:authenticated" }],
        });
        self.post(&format!("{RBAC}/clusterrolebindings"), binding).await;
    }

    /// Lets the service account `default` read pods of its namespace.
    async fn let_read_pods(&self) {
        let rule = json!({ "verbs": ["get", "list"], "apiGroups": [""], "resources": ["pods"] });
        let role = json!({ "metadata": { "name": "reader" }, "rules": [rule] });
        self.post(&format!("{RBAC}/namespaces/default/roles"), role).await;
        let binding = json!({
            "metadata": { "name": "reader" },
            "roleRef": { "kind": "Role", "name": "reader" },
            "subjects": [{ "kind": "ServiceAccount", "name": "default", "namespace": "default" }],
        });
        self.post(&format!("{RBAC}/namespaces/default/rolebindings"), binding)
            .await;
    }
}

#[tokio::test]
async fn a_service_account_may_do_what_a_binding_gives_it() {
    let server = server().await;
    let bearer = format!("Bearer {}", server.token(json!({})).await);
    let headers = [("authorization", bearer.as_str())];
    let nobody = Caller::anonymous();
    let get = async |path: &str| server.send_as(&nobody, "GET", path, &headers, Value::Null).await;
    let refused = get("/api/v1/namespaces/default/pods").await;
    assert_eq!(refused.status, StatusCode::FORBIDDEN);
    let message = "pods is forbidden: User \"system:serviceaccount:default:default\" cannot list resource \"pods\" in \
                   API group \"\" in the namespace \"default\"";
    assert_eq!(refused.json()["message"], message);
    server.let_read_pods().await;
    assert_eq!(get("/api/v1/namespaces/default/pods").await.status, StatusCode::OK);
    assert_eq!(get("/api/v1/pods").await.status, StatusCode::FORBIDDEN);

    server
        .send("DELETE", "/api/v1/namespaces/default/serviceaccounts/default", &[], "")
        .await;
    let gone = get("/api/v1/namespaces/default/pods").await;
    assert_eq!(
        gone.status,
        StatusCode::UNAUTHORIZED,
        "the account is gone, and its tokens with it"
    );
}

#[tokio::test]
async fn a_token_review_tells_whose_a_token_is_and_for_whom() {
    let server = server().await;
    let token = server
        .token(json!({ "spec": { "audiences": ["vault"], "expirationSeconds": 700 } }))
        .await;
    let review = async |spec: Value| {
        let path = "/apis/authentication.k8s.io/v1/tokenreviews";
        server.post(path, json!({ "spec": spec })).await["status"].take()
    };
    let good = review(json!({ "token": token, "audiences": ["vault", "other"] })).await;
    assert_eq!(good["authenticated"], true);
    assert_eq!(good["user"]["username"], "system:serviceaccount:default:default");
    assert_eq!(good["audiences"], json!(["vault"]));
    let for_another = review(json!({ "token": token })).await;
    assert!(for_another["authenticated"].is_null(), "{for_another}");
    assert!(
        for_another["error"].as_str().unwrap().contains("audiences"),
        "{for_another}"
    );
}

#[tokio::test]
async fn a_token_request_is_checked() {
    let server = server().await;
    let path = "/api/v1/namespaces/default/serviceaccounts/default/token";
    let bound = |kind: &str| json!({ "apiVersion": "v1", "kind": kind, "name": "x" });
    let rows = [
        (
            path,
            json!({ "spec": { "expirationSeconds": 599 } }),
            422,
            "less than 10 minutes",
        ),
        (
            path,
            json!({ "spec": { "boundObjectRef": bound("Secret") } }),
            404,
            "secrets \\\"x\\\" not found",
        ),
        (
            path,
            json!({ "spec": { "boundObjectRef": bound("ConfigMap") } }),
            400,
            "Kind=ConfigMap",
        ),
        (
            "/api/v1/namespaces/default/serviceaccounts/none/token",
            json!({}),
            404,
            "serviceaccounts \\\"none\\\" not found",
        ),
    ];
    for (path, body, code, text) in rows {
        let answer = server.send("POST", path, &[], body.to_string()).await;
        assert_eq!(answer.status, code, "{body}");
        assert!(
            String::from_utf8_lossy(&answer.bytes).contains(text),
            "{:?}",
            answer.bytes
        );
    }
}

#[tokio::test]
async fn reviews_say_who_may_do_what() {
    let server = server().await;
    server.let_read_pods().await;
    let account = "system:serviceaccount:default:default";
    let attributes = |verb: &str| json!({ "verb": verb, "resource": "pods", "namespace": "default" });
    let review = async |verb: &str| {
        let spec = json!({ "user": account, "resourceAttributes": attributes(verb) });
        let path = "/apis/authorization.k8s.io/v1/subjectaccessreviews";
        server.post(path, json!({ "spec": spec })).await["status"].take()
    };
    let allowed = review("get").await;
    let reason = "RBAC: allowed by RoleBinding \"reader/default\" of Role \"reader\" to ServiceAccount \
                  \"default/default\"";
    assert_eq!(allowed, json!({ "allowed": true, "reason": reason }));
    assert_eq!(review("delete").await, json!({ "allowed": false }));

    let path = "/apis/authorization.k8s.io/v1/namespaces/default/localsubjectaccessreviews";
    let local = json!({ "spec": { "user": account, "resourceAttributes": attributes("list") } });
    assert_eq!(server.post(path, local).await["status"]["allowed"], true);

    let path = "/apis/authorization.k8s.io/v1/selfsubjectrulesreviews";
    let bearer = format!("Bearer {}", server.token(json!({})).await);
    let asks = json!({ "spec": { "namespace": "default" } });
    let masters = server.post(path, asks.clone()).await;
    assert_eq!(
        masters["status"],
        json!({ "resourceRules": [], "nonResourceRules": [], "incomplete": false })
    );
    server.let_ask_for_rules().await;
    let headers = [("authorization", bearer.as_str())];
    let answer = server.send_as(&Caller::anonymous(), "POST", path, &headers, asks).await;
    let rules = &answer.json()["status"]["resourceRules"];
    assert_eq!(
        rules[1],
        json!({ "verbs": ["get", "list"], "apiGroups": [""], "resources": ["pods"] })
    );
    let stored = server.get("/apis/authorization.k8s.io/v1/subjectaccessreviews").await;
    assert_eq!(stored.status, StatusCode::METHOD_NOT_ALLOWED);
}

#[tokio::test]
async fn who_may_acts_as_another() {
    let server = server().await;
    server.let_read_pods().await;
    let master = Caller::system("system:test");
    let whoami = "/apis/authentication.k8s.io/v1/selfsubjectreviews";
    let headers = [("impersonate-user", "anna"), ("impersonate-group", "system:masters")];
    let answer = server
        .send_as(&master, "POST", whoami, &headers, json!({}))
        .await
        .json();
    let expected = json!({ "username": "anna", "groups": ["system:masters", "system:authenticated"] });
    assert_eq!(answer["status"]["userInfo"], expected);

    let as_account = [("impersonate-user", "system:serviceaccount:default:default")];
    let pods = "/api/v1/namespaces/default/pods";
    let read = server.send_as(&master, "GET", pods, &as_account, Value::Null).await;
    assert_eq!(read.status, StatusCode::OK);
    let bearer = format!("Bearer {}", server.token(json!({})).await);
    let headers = [("authorization", bearer.as_str()), ("impersonate-user", "anna")];
    let refused = server
        .send_as(&Caller::anonymous(), "GET", pods, &headers, Value::Null)
        .await;
    let message = "users \"anna\" is forbidden: User \"system:serviceaccount:default:default\" cannot impersonate \
                   resource \"users\" in API group \"\" at the cluster scope";
    assert_eq!(refused.json()["message"], message);
}

#[tokio::test]
async fn a_role_gives_no_more_than_its_writer_has() {
    let server = server().await;
    let rules = json!([
        { "verbs": ["create", "update", "patch"], "apiGroups": ["rbac.authorization.k8s.io"], "resources": ["roles"] },
        { "verbs": ["get"], "apiGroups": [""], "resources": ["pods"] },
    ]);
    server
        .post(
            &format!("{RBAC}/namespaces/default/roles"),
            json!({ "metadata": { "name": "a" }, "rules": rules }),
        )
        .await;
    let binding = json!({
        "metadata": { "name": "a" },
        "roleRef": { "kind": "Role", "name": "a" },
        "subjects": [{ "kind": "User", "name": "anna" }],
    });
    server
        .post(&format!("{RBAC}/namespaces/default/rolebindings"), binding)
        .await;
    let anna = Caller {
        user: "anna".to_owned(),
        ..Caller::default()
    };
    let role = |verb: &str| {
        json!({
            "metadata": { "name": "b" },
            "rules": [{ "verbs": [verb], "apiGroups": [""], "resources": ["pods"] }],
        })
    };
    let path = format!("{RBAC}/namespaces/default/roles");
    let wider = server.send_as(&anna, "POST", &path, &[], role("delete")).await;
    assert_eq!(wider.status, StatusCode::FORBIDDEN);
    let message = "roles.rbac.authorization.k8s.io \"b\" is forbidden: user \"anna\" (groups=[]) is attempting to grant \
                   RBAC permissions not currently held:\n{APIGroups:[\"\"], Resources:[\"pods\"], Verbs:[\"delete\"]}";
    assert_eq!(wider.json()["message"], message);
    assert_eq!(
        server.send_as(&anna, "POST", &path, &[], role("get")).await.status,
        StatusCode::CREATED
    );
    let patch = json!([{ "op": "add", "path": "/rules/0/verbs/-", "value": "delete" }]);
    let json_patch = [("content-type", "application/json-patch+json")];
    let patched = server
        .send_as(&anna, "PATCH", &format!("{path}/b"), &json_patch, patch)
        .await;
    assert_eq!(patched.status, StatusCode::FORBIDDEN);
    let apply = [("content-type", "application/apply-patch+yaml")];
    for name in ["b", "c"] {
        let mut config = role("delete");
        config["metadata"]["name"] = json!(name);
        config["apiVersion"] = json!("rbac.authorization.k8s.io/v1");
        config["kind"] = json!("Role");
        let target = format!("{path}/{name}?fieldManager=anna&force=true");
        let applied = server.send_as(&anna, "PATCH", &target, &apply, config).await;
        assert_eq!(applied.status, StatusCode::FORBIDDEN, "{name}: {:?}", applied.bytes);
    }
}

#[tokio::test]
async fn applying_what_is_not_there_takes_the_right_to_create() {
    let server = server().await;
    let rules = json!([{ "verbs": ["patch"], "apiGroups": [""], "resources": ["configmaps"] }]);
    let role = json!({ "metadata": { "name": "a" }, "rules": rules });
    server.post(&format!("{RBAC}/clusterroles"), role).await;
    let binding = json!({
        "metadata": { "name": "a" },
        "roleRef": { "kind": "ClusterRole", "name": "a" },
        "subjects": [{ "kind": "User", "name": "anna" }],
    });
    server.post(&format!("{RBAC}/clusterrolebindings"), binding).await;
    let anna = Caller {
        user: "anna".to_owned(),
        ..Caller::default()
    };
    let path = "/api/v1/namespaces/default/configmaps/x?fieldManager=anna";
    let apply = [("content-type", "application/apply-patch+yaml")];
    let config = json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": "x" }, "data": { "a": "b" } });
    let refused = server.send_as(&anna, "PATCH", path, &apply, config.clone()).await;
    assert_eq!(refused.status, StatusCode::FORBIDDEN);
    let message = "configmaps \"x\" is forbidden: User \"anna\" cannot create resource \"configmaps\" in API group \"\" \
                   in the namespace \"default\"";
    assert_eq!(refused.json()["message"], message);
    server.config_map("x", json!({})).await;
    let applied = server.send_as(&anna, "PATCH", path, &apply, config).await;
    assert_eq!(applied.status, StatusCode::OK, "{:?}", applied.bytes);
}

#[tokio::test]
async fn the_issuer_is_described() {
    let server = server().await;
    let described = server.get("/.well-known/openid-configuration").await.json();
    assert_eq!(described["issuer"], ISSUER);
    assert_eq!(server.get("/openid/v1/jwks").await.json()["keys"][0]["alg"], "ES256");
}
