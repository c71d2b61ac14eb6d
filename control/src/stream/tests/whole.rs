//! The whole control plane in one process: the real driver and planners, and agents that do as they are told.

use std::{collections::BTreeMap, net::SocketAddr};

use reconcile::{PlannerConfig, planners};

use super::*;

fn planner_config() -> PlannerConfig {
    let config = ServerConfig::default();
    PlannerConfig {
        started: api::Timestamp::now(),
        cluster_cidr: config.cluster_cidr,
        node_prefix_length: 24,
        service_cidr: config.service_cidr,
        dns_ip: config.dns_ip,
        api_endpoint: SocketAddr::from(([192, 0, 2, 100], 6443)),
        root_ca_pem: "CA".to_owned(),
        node_grace: config.node_grace,
    }
}

/// Runs the driver until the token is cancelled.
fn drive(cluster: &Cluster) -> (CancellationToken, tokio::task::JoinHandle<()>) {
    let stop = cluster.shutdown.child_token();
    let running = crate::driver::run(
        cluster.engine.clone(),
        cluster.store.clone(),
        planners(planner_config()),
        std::sync::Arc::default(),
        crate::driver::meter::WorkMeter::new(),
        stop.clone(),
    );
    (stop, tokio::spawn(running))
}

/// An agent that runs every pod at once and ends it when it may.
async fn obedient(agent: Agent, node: &'static str) {
    let Agent { says, mut told, .. } = agent;
    let ready = json!({
        "capacity": {"cpu": "8", "memory": "16Gi", "pods": "110"},
        "allocatable": {"cpu": "8", "memory": "16Gi", "pods": "110"},
        "conditions": [{"type": "Ready", "status": "True", "reason": "KubeletReady"}],
    });
    say(
        &says,
        from_agent::Kind::NodeStatus(NodeStatus {
            status_json: ready.to_string().into_bytes(),
            labels: [].into(),
        }),
    )
    .await;
    let mut pods: BTreeMap<String, (String, String)> = BTreeMap::new();
    let mut range = String::new();
    let mut last = 0;
    while let Some(Ok(message)) = told.next().await {
        match message.kind {
            Some(to_agent::Kind::Welcome(welcome)) => {
                range = welcome.pod_cidr.trim_end_matches(".0/24").to_owned();
            }
            Some(to_agent::Kind::Batch(batch)) => {
                for change in &batch.changes {
                    let Some(change::Kind::Pod(pod)) = &change.kind else {
                        continue;
                    };
                    let pod: Value = serde_json::from_slice(pod).expect("JSON");
                    let text = |field: &str| pod["metadata"][field].as_str().unwrap_or_default().to_owned();
                    if pods.contains_key(&text("uid")) {
                        continue;
                    }
                    last += 1;
                    pods.insert(text("uid"), (text("namespace"), text("name")));
                    let status = json!({
                        "phase": "Running", "podIP": format!("{range}.{last}"), "hostIP": "192.0.2.1",
                        "podIPs": [{"ip": format!("{range}.{last}")}],
                        "conditions": [{"type": "Ready", "status": "True"}],
                    });
                    say(
                        &says,
                        from_agent::Kind::PodStatus(PodStatus {
                            namespace: text("namespace"),
                            name: text("name"),
                            uid: text("uid"),
                            status_json: status.to_string().into_bytes(),
                        }),
                    )
                    .await;
                }
                say(
                    &says,
                    from_agent::Kind::Programmed(Programmed {
                        revision: batch.revision,
                    }),
                )
                .await;
            }
            Some(to_agent::Kind::StopAllowed(allowed)) => {
                if let Some((namespace, name)) = pods.get(&allowed.pod_uid).cloned() {
                    say(
                        &says,
                        from_agent::Kind::PodGone(PodGone {
                            namespace,
                            name,
                            uid: allowed.pod_uid,
                        }),
                    )
                    .await;
                }
            }
            other => panic!("{node} was told {other:?}"),
        }
    }
}

async fn say(says: &mpsc::Sender<Result<FromAgent, Status>>, kind: from_agent::Kind) {
    // The session may have ended; then the agent is about to see it.
    let _ = says.send(Ok(FromAgent { kind: Some(kind) })).await;
}

async fn with_nodes(cluster: &Cluster) {
    for node in ["n1", "n2", "n3"] {
        let agent = cluster.dial(node).await;
        tokio::spawn(obedient(agent, node));
    }
}

/// Waits until pods may go to every node.
async fn until_open(cluster: &Cluster) {
    for node in ["n1", "n2", "n3"] {
        cluster
            .until("an open node", |cluster| {
                let node = cluster.get(Kind::Node, "", node)?;
                let is_ready = node["status"]["conditions"][0]["status"] == "True";
                let is_free = node["spec"]["taints"].as_array().is_none_or(Vec::is_empty);
                (is_ready && is_free).then_some(())
            })
            .await;
    }
}

impl Cluster {
    fn list(&self, kind: Kind, namespace: &str) -> Vec<Value> {
        let request = crate::store::ListRequest {
            collection: kind.collection(),
            namespace: Some(namespace.to_owned()),
            ..crate::store::ListRequest::default()
        };
        let page = self.store.list(&request).expect("list");
        let parsed = page
            .items
            .iter()
            .map(|item| serde_json::from_slice(&item.value).expect("JSON"));
        parsed.collect()
    }

    /// Nodes of the running pods of an image, sorted; none while pods of another image or unready ones are there.
    fn running(&self, image: &str) -> Option<Vec<String>> {
        let mut nodes = Vec::new();
        for pod in self.list(Kind::Pod, "default") {
            if pod["spec"]["containers"][0]["image"] != image || pod["status"]["phase"] != "Running" {
                return None;
            }
            nodes.push(pod["spec"]["nodeName"].as_str()?.to_owned());
        }
        nodes.sort_unstable();
        Some(nodes)
    }

    fn ready_addresses(&self) -> usize {
        let slices = self.list(Kind::EndpointSlice, "default");
        let own = slices
            .iter()
            .filter(|slice| slice["metadata"]["labels"]["kubernetes.io/service-name"] == "web");
        own.flat_map(|slice| slice["endpoints"].as_array().cloned().unwrap_or_default())
            .filter(|endpoint| endpoint["conditions"]["ready"] == true)
            .count()
    }
}

fn deployment(replicas: u32) -> Value {
    json!({
        "metadata": {"name": "web"},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": {"app": "web"}},
            "template": {
                "metadata": {"labels": {"app": "web"}},
                "spec": {"containers": [{"name": "web", "image": "one"}]},
            },
        },
    })
}

fn service() -> Value {
    json!({"metadata": {"name": "web"}, "spec": {"selector": {"app": "web"}, "ports": [{"port": 80}]}})
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deployment_comes_to_life_scales_rolls_over_and_goes() {
    let cluster = Cluster::new().await;
    let (_stop, _driver) = drive(&cluster);
    with_nodes(&cluster).await;
    until_open(&cluster).await;
    cluster.create(Kind::Deployment, "default", deployment(3)).await;
    cluster.create(Kind::Service, "default", service()).await;
    let nodes = cluster
        .until("three pods", |cluster| {
            cluster.running("one").filter(|nodes| nodes.len() == 3)
        })
        .await;
    assert_eq!(nodes, ["n1", "n2", "n3"], "spread");
    cluster
        .until("three endpoints", |cluster| {
            (cluster.ready_addresses() == 3).then_some(())
        })
        .await;

    cluster
        .patch(Kind::Deployment, "web", None, json!({"spec": {"replicas": 6}}))
        .await;
    let nodes = cluster
        .until("six pods", |cluster| {
            cluster.running("one").filter(|nodes| nodes.len() == 6)
        })
        .await;
    assert_eq!(nodes, ["n1", "n1", "n2", "n2", "n3", "n3"]);

    let template = json!({"spec": {"containers": [{"name": "web", "image": "two"}]}});
    cluster
        .patch(Kind::Deployment, "web", None, json!({"spec": {"template": template}}))
        .await;
    cluster
        .until("six new pods", |cluster| {
            let nodes = cluster.running("two")?;
            (nodes.len() == 6 && cluster.ready_addresses() == 6).then_some(())
        })
        .await;
    cluster
        .until("the status says so", |cluster| {
            let status = cluster.get(Kind::Deployment, "default", "web")?["status"].clone();
            (status["readyReplicas"] == 6 && status["updatedReplicas"] == 6).then_some(())
        })
        .await;

    cluster.delete(Kind::Deployment, "web", None).await;
    cluster
        .until("nothing is left", |cluster| {
            let left = [Kind::Deployment, Kind::ReplicaSet, Kind::Pod]
                .iter()
                .map(|kind| cluster.list(*kind, "default").len())
                .sum::<usize>();
            (left == 0 && cluster.ready_addresses() == 0).then_some(())
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_driver_that_is_stopped_again_and_again_ends_where_an_undisturbed_one_does() {
    let cluster = Cluster::new().await;
    with_nodes(&cluster).await;
    cluster.create(Kind::Deployment, "default", deployment(12)).await;
    cluster.create(Kind::Service, "default", service()).await;
    // Another moment each time: so many changes after the start.
    for changes in [1, 2, 3, 5, 8, 13, 21, 34] {
        let (stop, driver) = drive(&cluster);
        let target = cluster.store.revision() + changes;
        let reached = tokio::time::timeout(QUIET, cluster.store.wait_for(target));
        // A driver that has nothing left to do makes no changes.
        let _ = reached.await;
        stop.cancel();
        driver.await.expect("driver");
    }
    let (_stop, _driver) = drive(&cluster);
    cluster
        .until("twelve pods", |cluster| {
            let nodes = cluster.running("one")?;
            (nodes.len() == 12 && cluster.ready_addresses() == 12).then_some(())
        })
        .await;
    assert_eq!(cluster.list(Kind::ReplicaSet, "default").len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_namespace_is_emptied_and_goes() {
    let cluster = Cluster::new().await;
    let (_stop, _driver) = drive(&cluster);
    with_nodes(&cluster).await;
    cluster
        .create(Kind::Namespace, "", json!({"metadata": {"name": "shop"}}))
        .await;
    cluster
        .until("its service account", |cluster| {
            cluster.get(Kind::ServiceAccount, "shop", "default")
        })
        .await;
    let mut object = deployment(2);
    object["metadata"]["namespace"] = json!("shop");
    cluster.create(Kind::Deployment, "shop", object).await;
    cluster
        .create(Kind::ConfigMap, "shop", json!({"metadata": {"name": "m"}}))
        .await;
    cluster
        .until("two pods", |cluster| {
            let pods = cluster.list(Kind::Pod, "shop");
            let all = pods.iter().all(|pod| pod["status"]["phase"] == "Running");
            (pods.len() == 2 && all).then_some(())
        })
        .await;
    let namespaces = resource_of(Kind::Namespace);
    cluster
        .engine
        .delete(&caller(), namespaces, "", "shop", DeleteOptions::default())
        .await
        .expect("delete");
    cluster
        .until("it is gone", |cluster| {
            cluster.get(Kind::Namespace, "", "shop").is_none().then_some(())
        })
        .await;
    for kind in Kind::ALL
        .iter()
        .filter(|kind| kind.scope() == api::object::Scope::Namespaced)
    {
        assert_eq!(cluster.list(*kind, "shop"), [json!(null); 0], "{kind}");
    }
}
