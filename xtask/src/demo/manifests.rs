//! What the demo deploys.

use serde_json::{Value, json};

/// Image of the web application.
pub(super) const WEB_IMAGE: &str = "skep.test/web:1";
/// Image of the clients.
pub(super) const CLIENT_IMAGE: &str = "skep.test/busybox:1";

/// The application and its service, which also has a port on every node.
pub(super) fn web(replicas: usize) -> Value {
    let labels = json!({"app": "web"});
    json!({"apiVersion": "v1", "kind": "List", "items": [
        {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"name": "web"},
            "spec": {
                "replicas": replicas,
                "selector": {"matchLabels": labels},
                "template": {
                    "metadata": {"labels": labels},
                    "spec": {
                        "terminationGracePeriodSeconds": 1,
                        "containers": [{
                            "name": "web",
                            "image": WEB_IMAGE,
                            "imagePullPolicy": "IfNotPresent",
                            "ports": [{"containerPort": 8080}],
                        }],
                    },
                },
            },
        },
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": "web"},
            "spec": {"type": "NodePort", "selector": labels, "ports": [{"port": 80, "targetPort": 8080}]},
        },
    ]})
}

/// A pod that sends so many requests, prints the answers, and fails at the first failure.
pub(super) fn counting_client(name: &str, url: &str, requests: usize) -> Value {
    let script = format!("for i in $(seq {requests}); do timeout 5 wget -q -O - {url} || exit 1; done");
    client(name, &script)
}

/// A pod that sends requests until it is deleted, and prints a line for each.
pub(super) fn flowing_client() -> Value {
    let script = "trap 'exit 0' TERM; while true; do \
                  if answer=$(timeout 5 wget -q -O - http://web/ 2>&1); then echo \"ok $answer\"; else echo \"failed $answer\"; fi; \
                  usleep 10000; done";
    client("client-flow", script)
}

fn client(name: &str, script: &str) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": {"app": "client"}},
        "spec": {
            "restartPolicy": "Never",
            "terminationGracePeriodSeconds": 1,
            "containers": [{
                "name": "client",
                "image": CLIENT_IMAGE,
                "imagePullPolicy": "IfNotPresent",
                "command": ["/bin/sh", "-c", script],
            }],
        },
    })
}
