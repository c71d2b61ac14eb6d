//! What is written and read: ConfigMaps and pods of a usual size, which no controller touches.

use anyhow::Result;
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

/// The name of the object that a client reads and updates.
pub(crate) fn read_name(client: usize) -> String {
    format!("read-{client}")
}

/// Makes the namespaces, and what is read by so many clients.
pub(crate) async fn prepare(target: &Target, clients: usize) -> Result<()> {
    let mut connection = Connection::open(target).await?;
    for namespace in ["bench", "bench-listed"] {
        let namespace = json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": namespace } });
        connection
            .call(Call::post("/api/v1/namespaces", namespace.to_string()))
            .await?;
    }
    for client in 0..clients {
        let creation = Call::post(CONFIG_MAPS, config_map(&read_name(client), 0));
        connection.call(creation).await?;
    }
    Ok(())
}

/// A ConfigMap, in its version of this number.
pub(crate) fn config_map(name: &str, version: usize) -> String {
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
                let creation = Call::post(LISTED_PODS, pod(&format!("pod-{number:05}")));
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
