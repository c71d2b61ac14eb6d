//! What the agent of a node may do with a certificate of its own, over HTTP.

use super::*;

const LEASES: &str = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases";

fn agent() -> Caller {
    Caller {
        user: "system:node:n1".to_owned(),
        groups: vec!["system:nodes".to_owned(), "system:authenticated".to_owned()],
        ..Caller::default()
    }
}

#[tokio::test]
async fn an_agent_writes_its_own_objects_within_limits() {
    let server = server().await;
    let namespace = json!({ "metadata": { "name": "kube-node-lease" } });
    server.create("namespaces", "", namespace).await;
    for name in ["n1", "n2"] {
        server
            .create("nodes", "", json!({ "metadata": { "name": name } }))
            .await;
    }
    let pod = json!({
        "metadata": { "name": "p" },
        "spec": { "nodeName": "n1", "containers": [{ "name": "c", "image": "i" }] },
    });
    let pod = server.create("pods", "default", pod).await;
    let label = |name: &str| json!({ "metadata": { "labels": { name: "x" } } });
    let bound = |uid: &str| json!({ "spec": { "boundObjectRef": { "apiVersion": "v1", "kind": "Pod", "name": "p", "uid": uid } } });
    let token = "/api/v1/namespaces/default/serviceaccounts/default/token";
    let uid = pod["metadata"]["uid"].as_str().unwrap();
    let lease = |name: &str| json!({ "metadata": { "name": name, "namespace": "kube-node-lease" }, "spec": {} });
    let taint = json!({ "spec": { "taints": [{ "key": "a", "effect": "NoSchedule" }] } });
    let rows = [
        ("PATCH", "/api/v1/nodes/n1", label("example.com/rack"), ""),
        (
            "PATCH",
            "/api/v1/nodes/n1",
            label("node-restriction.kubernetes.io/a"),
            "nodes \"n1\" is forbidden: node \"n1\" is not allowed to modify the following labels: \
             node-restriction.kubernetes.io/a",
        ),
        (
            "PATCH",
            "/api/v1/nodes/n1",
            taint,
            "nodes \"n1\" is forbidden: node \"n1\" is not allowed to modify taints",
        ),
        (
            "PATCH",
            "/api/v1/nodes/n2",
            label("example.com/rack"),
            "nodes \"n2\" is forbidden: User \"system:node:n1\" cannot patch resource \"nodes\" in API group \"\" at the \
             cluster scope: node \"n1\" is not allowed to modify node \"n2\"",
        ),
        ("POST", LEASES, lease("n1"), ""),
        (
            "POST",
            LEASES,
            lease("n2"),
            "leases.coordination.k8s.io \"n2\" is forbidden: can only access node lease with the same name as the \
             requesting node",
        ),
        ("POST", token, bound(uid), ""),
        (
            "POST",
            token,
            json!({}),
            "serviceaccounts \"default\" is forbidden: node requested token not bound to a pod",
        ),
    ];
    for (method, path, body, refusal) in rows {
        let headers = [("content-type", "application/merge-patch+json")];
        let headers = if method == "PATCH" { &headers[..] } else { &[] };
        let response = server.response(agent(), method, path, headers, body.to_string().into());
        let (parts, answer) = response.await.into_parts();
        let answer: Value = serde_json::from_slice(&answer.collect().await.unwrap().to_bytes()).unwrap();
        let message = match parts.status.is_success() {
            true => "",
            false => answer["message"].as_str().unwrap(),
        };
        assert_eq!(message, refusal, "{method} {path} {body}");
    }
}
