use super::*;

fn slice(pod: &Value, terminating: bool) -> Value {
    json!({
        "metadata": {"name": "web-1", "labels": {"kubernetes.io/service-name": "web"}},
        "addressType": "IPv4",
        "endpoints": [{
            "addresses": ["10.42.1.2"], "nodeName": "n1",
            "conditions": {"ready": !terminating, "serving": true, "terminating": terminating},
            "targetRef": {"kind": "Pod", "name": "a", "namespace": "default", "uid": pod["metadata"]["uid"]},
        }],
        "ports": [{"name": "", "port": 80, "protocol": "TCP"}],
    })
}

async fn stop_allowed(agent: &mut Agent) -> String {
    match agent.next().await {
        Ok(to_agent::Kind::StopAllowed(allowed)) => allowed.pod_uid,
        other => panic!("not StopAllowed: {other:?}"),
    }
}

/// Reads and acknowledges batches until one mentions `what`.
async fn program_until(agent: &mut Agent, what: &str) -> Revision {
    loop {
        let batch = agent.batch().await;
        agent.programmed(batch.revision).await;
        if batch.changes.iter().map(text).any(|text| text.contains(what)) {
            return batch.revision;
        }
    }
}

async fn web(cluster: &Cluster) {
    let service = json!({"metadata": {"name": "web"}, "spec": {"ports": [{"port": 80}]}});
    cluster.create(Kind::Service, "default", service).await;
}

#[tokio::test]
async fn a_pod_may_stop_once_every_node_has_it_out_of_its_services() {
    let cluster = Cluster::new().await;
    web(&cluster).await;
    let pod = cluster.pod("a", "n1", json!([])).await;
    let uid = pod["metadata"]["uid"].as_str().expect("a uid");
    cluster.create(Kind::EndpointSlice, "default", slice(&pod, false)).await;
    let mut one = cluster.agent("n1", "10.42.1.0/24").await;
    let mut two = cluster.agent("n2", "10.42.2.0/24").await;
    program_until(&mut one, "node n2").await;

    cluster.delete(Kind::Pod, "a", None).await;
    program_until(&mut one, "pod a").await;
    one.expect_quiet().await;
    cluster
        .patch(Kind::EndpointSlice, "web-1", None, slice(&pod, true))
        .await;
    let left = program_until(&mut one, "endpoints").await;
    assert_eq!(two.batch().await.revision, left);
    one.expect_quiet().await;
    two.programmed(left).await;
    assert_eq!(stop_allowed(&mut one).await, uid);
    two.expect_quiet().await;

    // An agent that comes back is told again.
    let mut again = cluster.dial("n1").await;
    again.snapshot().await;
    assert_eq!(stop_allowed(&mut again).await, uid);
}

#[tokio::test]
async fn a_pod_of_no_service_may_stop_at_once() {
    let cluster = Cluster::new().await;
    let mut one = cluster.agent("n1", "10.42.1.0/24").await;
    let pod = cluster.pod("free", "n1", json!([])).await;
    program_until(&mut one, "pod free").await;
    cluster.delete(Kind::Pod, "free", None).await;
    program_until(&mut one, "pod free").await;
    assert_eq!(stop_allowed(&mut one).await, pod["metadata"]["uid"]);
}

#[tokio::test]
async fn a_node_whose_agent_starts_again_is_waited_for() {
    let cluster = Cluster::new().await;
    web(&cluster).await;
    let mut one = cluster.agent("n1", "10.42.1.0/24").await;
    let mut two = cluster.agent("n2", "10.42.2.0/24").await;
    let pod = cluster.pod("a", "n1", json!([])).await;
    cluster.create(Kind::EndpointSlice, "default", slice(&pod, false)).await;
    program_until(&mut one, "endpoints").await;
    two.until("endpoints").await;
    drop(two);
    cluster.delete(Kind::Pod, "a", None).await;
    cluster
        .patch(Kind::EndpointSlice, "web-1", None, slice(&pod, true))
        .await;
    program_until(&mut one, "endpoints").await;
    one.expect_quiet().await;
    let mut two = cluster.dial("n2").await;
    two.snapshot().await;
    assert_eq!(stop_allowed(&mut one).await, pod["metadata"]["uid"]);
}

#[tokio::test]
async fn a_node_that_never_answers_is_not_waited_for_longer_than_the_limit() {
    let cluster = Cluster::new().await;
    web(&cluster).await;
    let mut one = cluster.agent("n1", "10.42.1.0/24").await;
    let pod = cluster.pod("a", "n1", json!([])).await;
    cluster.create(Kind::EndpointSlice, "default", slice(&pod, false)).await;
    program_until(&mut one, "endpoints").await;
    let began = std::time::Instant::now();
    cluster.delete(Kind::Pod, "a", None).await;
    program_until(&mut one, "pod a").await;
    assert_eq!(stop_allowed(&mut one).await, pod["metadata"]["uid"]);
    assert!(began.elapsed() >= Duration::from_millis(4900), "{:?}", began.elapsed());
}
