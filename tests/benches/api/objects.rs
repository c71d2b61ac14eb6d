//! What is written and read: ConfigMaps and pods of a usual size, which no controller touches.

use anyhow::Result;
use http::Method;
use serde_json::json;
use tokio::task::JoinSet;

use crate::{
    connection::{Connection, Target},
    load::Call,
};

/// Where written ConfigMaps are.
pub(crate) const CONFIG_MAPS: &str = "/api/v1/namespaces/bench/configmaps";
/// Where written pods are.
pub(crate) const PODS: &str = "/api/v1/namespaces/bench/pods";
/// Where listed pods are.
pub(crate) const LISTED_PODS: &str = "/api/v1/namespaces/bench-listed/pods";
/// Bytes of a ConfigMap's data.
const DATA_BYTES: usize = 1_000;

/// The name of a client's object, among all rows with so many clients.
pub(crate) fn name(clients: usize, client: usize, number: usize) -> String {
    format!("of-{clients}-{client}-{number}")
}

/// Makes the namespaces.
pub(crate) async fn prepare(connection: &mut Connection) -> Result<()> {
    for namespace in ["bench", "bench-listed"] {
        let namespace = json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": namespace } });
        let creation = Call {
            method: Method::POST,
            path: "/api/v1/namespaces".to_owned(),
            body: namespace.to_string(),
        };
        connection.call(creation).await?;
    }
    Ok(())
}

/// A ConfigMap.
pub(crate) fn config_map(name: &str) -> String {
    changed_config_map(name, 0)
}

/// Its version of this number.
pub(crate) fn changed_config_map(name: &str, version: usize) -> String {
    json!({
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": { "name": name, "labels": { "app": "bench", "version": version.to_string() } },
        "data": { "text": "x".repeat(DATA_BYTES) },
    })
    .to_string()
}

/// A pod as a Deployment makes it, for a scheduler that does not exist: it stays as it is.
pub(crate) fn pod(name: &str) -> String {
    json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": { "name": name, "labels": { "app": "bench", "pod-template-hash": "6d4cf56db6" } },
        "spec": {
            "schedulerName": "nobody",
            "containers": [{
                "name": "main",
                "image": "example.com/bench/main:1.2.3",
                "args": ["--listen=:8080", "--verbose"],
                "env": [
                    { "name": "POD_NAME", "valueFrom": { "fieldRef": { "fieldPath": "metadata.name" } } },
                    { "name": "MODE", "value": "production" },
                ],
                "ports": [{ "name": "http", "containerPort": 8080 }],
                "resources": {
                    "requests": { "cpu": "100m", "memory": "128Mi" },
                    "limits": { "memory": "256Mi" },
                },
                "readinessProbe": { "httpGet": { "path": "/ready", "port": "http" }, "periodSeconds": 5 },
                "volumeMounts": [{ "name": "settings", "mountPath": "/etc/settings", "readOnly": true }],
            }],
            "volumes": [{ "name": "settings", "configMap": { "name": "settings" } }],
        },
    })
    .to_string()
}

/// Makes the pods that are listed.
pub(crate) async fn fill(target: &Target, clients: usize, count: usize) -> Result<()> {
    let mut tasks = JoinSet::new();
    for client in 0..clients {
        let mut connection = Connection::open(target).await?;
        tasks.spawn(async move {
            for number in (client..count).step_by(clients) {
                let creation = Call {
                    method: Method::POST,
                    path: LISTED_PODS.to_owned(),
                    body: pod(&format!("pod-{number:05}")),
                };
                connection.call(creation).await?;
            }
            anyhow::Ok(())
        });
    }
    while let Some(task) = tasks.join_next().await {
        task??;
    }
    Ok(())
}
