use super::*;

fn status(pod: &Value, status: &Value) -> from_agent::Kind {
    from_agent::Kind::PodStatus(PodStatus {
        namespace: "default".to_owned(),
        name: pod["metadata"]["name"].as_str().expect("a name").to_owned(),
        uid: pod["metadata"]["uid"].as_str().expect("a uid").to_owned(),
        status_json: status.to_string().into_bytes(),
    })
}

fn gone(pod: &Value) -> from_agent::Kind {
    from_agent::Kind::PodGone(PodGone {
        namespace: "default".to_owned(),
        name: pod["metadata"]["name"].as_str().expect("a name").to_owned(),
        uid: pod["metadata"]["uid"].as_str().expect("a uid").to_owned(),
    })
}

fn phase(cluster: &Cluster, name: &str) -> Option<String> {
    let pod = cluster.get(Kind::Pod, "default", name)?;
    Some(pod["status"]["phase"].as_str()?.to_owned())
}

#[tokio::test]
async fn the_last_word_of_a_pod_s_node_is_its_status() {
    let cluster = Cluster::new().await;
    let agent = cluster.agent("n1", "10.42.1.0/24").await;
    let pod = cluster.pod("a", "n1", json!([])).await;
    for at in 0..50 {
        agent
            .say(status(&pod, &json!({"phase": "Pending", "message": at.to_string()})))
            .await;
    }
    agent
        .say(status(&pod, &json!({"phase": "Running", "podIP": "10.42.1.2"})))
        .await;
    cluster
        .until("running", |cluster| (phase(cluster, "a")? == "Running").then_some(()))
        .await;
    let after = cluster.get(Kind::Pod, "default", "a").expect("there");
    assert_eq!(after["status"]["podIP"], "10.42.1.2");
    assert_eq!(after["status"]["message"], Value::Null);
    assert_eq!(after["status"]["qosClass"], pod["status"]["qosClass"]);
}

#[tokio::test]
async fn an_agent_writes_only_about_its_own_pods_of_that_uid() {
    let cluster = Cluster::new().await;
    let agent = cluster.agent("n1", "10.42.1.0/24").await;
    let mut mine = cluster.pod("mine", "n1", json!([])).await;
    let other = cluster.pod("other", "n2", json!([])).await;
    let running = json!({"phase": "Running"});
    agent.say(status(&other, &running)).await;
    agent.say(gone(&other)).await;
    let uid = mine["metadata"]["uid"].clone();
    mine["metadata"]["uid"] = json!("another");
    agent.say(status(&mine, &json!({"phase": "Failed"}))).await;
    mine["metadata"]["uid"] = uid;
    agent.say(gone(&mine)).await;
    agent.say(status(&mine, &running)).await;
    cluster
        .until("running", |cluster| {
            (phase(cluster, "mine")? == "Running").then_some(())
        })
        .await;
    tokio::time::sleep(QUIET).await;
    assert_eq!(phase(&cluster, "other").as_deref(), Some("Pending"));
    assert!(
        cluster.get(Kind::Pod, "default", "mine").is_some(),
        "it is not being deleted"
    );
}

#[tokio::test]
async fn a_pod_that_has_ended_on_its_node_is_deleted_for_good() {
    let cluster = Cluster::new().await;
    let mut agent = cluster.agent("n1", "10.42.1.0/24").await;
    let pod = cluster.pod("a", "n1", json!([])).await;
    agent.until("pod a").await;
    cluster.delete(Kind::Pod, "a", None).await;
    agent.until("pod a").await;
    assert!(cluster.get(Kind::Pod, "default", "a").is_some(), "its grace has begun");
    agent.say(status(&pod, &json!({"phase": "Failed"}))).await;
    agent.say(gone(&pod)).await;
    cluster
        .until("gone", |cluster| {
            cluster.get(Kind::Pod, "default", "a").is_none().then_some(())
        })
        .await;
    loop {
        match agent.next().await.expect("open") {
            to_agent::Kind::Batch(batch) if batch.changes.iter().map(text).any(|text| text == "-pod a") => return,
            to_agent::Kind::Batch(_) | to_agent::Kind::StopAllowed(_) => {}
            other => panic!("{other:?}"),
        }
    }
}

fn ready(status: &str) -> Value {
    json!({"capacity": {"cpu": "2"}, "conditions": [{"type": "Ready", "status": status}]})
}

fn condition(cluster: &Cluster) -> Option<String> {
    let node = cluster.get(Kind::Node, "", "n1")?;
    Some(node["status"]["conditions"][0]["status"].as_str()?.to_owned())
}

#[tokio::test]
async fn a_node_s_word_stands_again_when_it_is_heard_after_silence() {
    let cluster = Cluster::new().await;
    let agent = cluster.agent("n1", "10.42.1.0/24").await;
    agent
        .say(from_agent::Kind::NodeStatus(NodeStatus {
            status_json: ready("True").to_string().into_bytes(),
            labels: [("zone".to_owned(), "a".to_owned())].into(),
        }))
        .await;
    cluster
        .until("ready", |cluster| (condition(cluster)? == "True").then_some(()))
        .await;
    let node = cluster.get(Kind::Node, "", "n1").expect("there");
    assert_eq!(node["metadata"]["labels"]["zone"], "a");
    assert_eq!(node["spec"]["podCIDR"], "10.42.1.0/24");
    assert_eq!(
        node["status"]["addresses"][0]["address"], "192.0.2.1",
        "not told, so kept"
    );

    let doubt = json!({"status": {"conditions": [{"type": "Ready", "status": "Unknown"}]}});
    cluster.patch(Kind::Node, "n1", Some("status"), doubt).await;
    agent.say(from_agent::Kind::Heartbeat(Heartbeat {})).await;
    cluster
        .until("ready again", |cluster| (condition(cluster)? == "True").then_some(()))
        .await;
}

#[tokio::test]
async fn heartbeats_renew_the_lease_at_a_bounded_rate() {
    let cluster = Cluster::new().await;
    let agent = cluster.agent("n1", "10.42.1.0/24").await;
    let version = |cluster: &Cluster| {
        let lease = cluster.get(Kind::Lease, "kube-node-lease", "n1")?;
        Some((
            lease["metadata"]["resourceVersion"].clone(),
            lease["spec"]["renewTime"].clone(),
        ))
    };
    let first = version(&cluster).expect("a lease");
    for _ in 0..20 {
        agent.say(from_agent::Kind::Heartbeat(Heartbeat {})).await;
    }
    let second = cluster
        .until("renewed", |cluster| version(cluster).filter(|now| *now != first))
        .await;
    assert!(second.1.as_str() > first.1.as_str());
    tokio::time::sleep(QUIET).await;
    assert_eq!(version(&cluster), Some(second), "renewed once");
}
