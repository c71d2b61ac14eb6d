use super::*;

fn volumes(map: &str, secret: &str) -> Value {
    json!([
        {"name": "m", "configMap": {"name": map}},
        {"name": "s", "secret": {"secretName": secret}},
    ])
}

#[tokio::test]
async fn a_node_is_told_its_pods_and_what_they_use_and_no_more() {
    let cluster = Cluster::new().await;
    for name in ["m1", "m2"] {
        cluster
            .create(
                Kind::ConfigMap,
                "default",
                json!({"metadata": {"name": name}, "data": {"k": "v"}}),
            )
            .await;
    }
    cluster
        .create(Kind::Secret, "default", json!({"metadata": {"name": "s1"}}))
        .await;
    cluster.pod("early", "n1", volumes("m1", "absent")).await;
    let mut agent = cluster.dial("n1").await;
    cluster
        .until("the node", |cluster| cluster.get(Kind::Node, "", "n1"))
        .await;
    cluster
        .patch(Kind::Node, "n1", None, json!({"spec": {"podCIDR": "10.42.1.0/24"}}))
        .await;
    assert_eq!(agent.snapshot().await, ["node n1", "map m1", "pod early"]);

    cluster.pod("late", "n1", volumes("m1", "s1")).await;
    assert_eq!(
        agent.until("pod late").await,
        ["secret s1", "pod late"],
        "m1 is there already"
    );
    cluster.pod("elsewhere", "n2", volumes("m2", "s1")).await;
    let data = json!({"data": {"k": "new"}});
    cluster.patch(Kind::ConfigMap, "m2", None, data.clone()).await;
    cluster.patch(Kind::ConfigMap, "m1", None, data).await;
    assert_eq!(agent.until("map m1").await, ["map m1"]);
    cluster
        .create(Kind::Secret, "default", json!({"metadata": {"name": "absent"}}))
        .await;
    assert_eq!(
        agent.until("secret").await,
        ["secret absent"],
        "it came after the pod that uses it"
    );
    cluster.delete(Kind::Pod, "late", Some(0)).await;
    assert_eq!(agent.until("-secret s1").await, ["-pod late", "-secret s1"]);
    cluster.delete(Kind::ConfigMap, "m1", None).await;
    assert_eq!(agent.until("-map m1").await, ["-map m1"]);
    cluster
        .patch(Kind::Pod, "early", None, json!({"metadata": {"labels": {"a": "b"}}}))
        .await;
    assert_eq!(agent.until("pod early").await, ["pod early"]);
}

fn slice(name: &str, service: &str, addresses: &[&str]) -> Value {
    let endpoints: Vec<Value> = addresses
        .iter()
        .map(|address| json!({"addresses": [address], "conditions": {"ready": true}}))
        .collect();
    json!({
        "metadata": {"name": name, "labels": {"kubernetes.io/service-name": service}},
        "addressType": "IPv4",
        "endpoints": endpoints,
        "ports": [{"name": "", "port": 80, "protocol": "TCP"}],
    })
}

#[tokio::test]
async fn every_node_is_told_the_network_and_its_deltas() {
    let cluster = Cluster::new().await;
    let service = json!({"metadata": {"name": "web"}, "spec": {"ports": [{"port": 80}]}});
    cluster.create(Kind::Service, "default", service).await;
    cluster
        .create(
            Kind::EndpointSlice,
            "default",
            slice("web-1", "web", &["10.42.1.1", "10.42.1.2"]),
        )
        .await;
    let mut one = cluster.agent("n1", "10.42.1.0/24").await;
    let mut two = cluster.agent("n2", "10.42.2.0/24").await;
    one.until("node n2").await;
    assert_eq!(one.mirror, two.mirror);
    assert_eq!(one.mirror.services.len(), 1);

    let third = slice("web-1", "web", &["10.42.1.1", "10.42.1.2", "10.42.2.1"]);
    cluster.patch(Kind::EndpointSlice, "web-1", None, third).await;
    for agent in [&mut one, &mut two] {
        assert_eq!(agent.until("endpoints").await, ["endpoints +1 -0"]);
    }
    cluster.delete(Kind::EndpointSlice, "web-1", None).await;
    cluster.delete(Kind::Service, "web", None).await;
    for agent in [&mut one, &mut two] {
        agent.until("-service 1").await;
    }
    assert_eq!(one.mirror, two.mirror);
    assert!(one.mirror.services.is_empty() && one.mirror.endpoints.is_empty());
}

#[tokio::test]
async fn a_large_snapshot_comes_in_parts_and_revisions_never_go_back() {
    let cluster = Cluster::new().await;
    let big = "x".repeat(300_000);
    for at in 0..6 {
        let name = format!("m{at}");
        let map = json!({"metadata": {"name": name}, "data": {"k": big}});
        cluster.create(Kind::ConfigMap, "default", map).await;
        cluster.pod(&format!("p{at}"), "n1", volumes(&name, "none")).await;
    }
    let mut agent = cluster.dial("n1").await;
    cluster
        .until("the node", |cluster| cluster.get(Kind::Node, "", "n1"))
        .await;
    cluster
        .patch(Kind::Node, "n1", None, json!({"spec": {"podCIDR": "10.42.1.0/24"}}))
        .await;
    agent.welcome().await;
    let (mut batches, mut changes, mut revision) = (0, 0, 0);
    loop {
        let batch = agent.batch().await;
        assert!(batch.revision >= revision);
        revision = batch.revision;
        batches += 1;
        changes += batch.changes.len();
        if batch.phase() == Phase::SnapshotEnd {
            break;
        }
    }
    assert_eq!(changes, 1 + 6 + 6);
    assert_eq!(batches, 4, "two maps of 300 kB each, then the rest");
    cluster.delete(Kind::Pod, "p0", Some(0)).await;
    assert!(agent.batch().await.revision > revision);
}

#[tokio::test]
async fn an_agent_that_does_not_read_is_cut_off_alone() {
    let cluster = Cluster::new().await;
    let mut lazy = cluster.agent("n1", "10.42.1.0/24").await;
    let mut busy = cluster.agent("n2", "10.42.2.0/24").await;
    cluster.pod("a", "n1", json!([])).await;
    cluster.pod("b", "n2", json!([])).await;
    busy.until("pod b").await;
    for at in 0..OUTGOING_MESSAGES_MAX + 10 {
        let label = json!({"metadata": {"labels": {"at": at.to_string()}}});
        cluster.patch(Kind::Pod, "a", None, label.clone()).await;
        cluster.patch(Kind::Pod, "b", None, label).await;
        busy.until("pod b").await;
    }
    assert_eq!(lazy.ended().await.code(), Code::ResourceExhausted);
    while cluster.nodes.connected() != ["n2"] {
        tokio::task::yield_now().await;
    }
}
