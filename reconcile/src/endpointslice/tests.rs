//! Tests of endpoint slices: what is listed, in which condition, and how little is written.

use std::collections::BTreeSet;

use api::{
    Kind, ObjectKey,
    k8s_openapi::api::{
        core::v1::{Node, Pod},
        discovery::v1::{Endpoint, EndpointSlice},
    },
};
use serde_json::{Value, json};

use super::{MANAGED_BY, MANAGED_BY_LABEL};
use crate::{
    facts,
    simulation::{Cluster, assert_robust, deployment, service},
};

fn slices<'a>(cluster: &'a Cluster, service: &'a str) -> Vec<&'a EndpointSlice> {
    cluster.server.world.slices_of("default", service).collect()
}

fn endpoints(cluster: &Cluster, service: &str) -> Vec<Endpoint> {
    slices(cluster, service)
        .into_iter()
        .flat_map(|slice| slice.endpoints.clone().unwrap_or_default())
        .collect()
}

fn set_pod(cluster: &mut Cluster, change: impl Fn(&mut Pod)) -> String {
    let mut pod = cluster.all::<Pod>()[0].clone();
    let name = facts::name(&pod.metadata).to_owned();
    change(&mut pod);
    cluster.server.put(pod.into());
    name
}

#[test]
fn a_service_lists_its_pods() {
    let mut cluster = Cluster::with_nodes(1);
    cluster.edit::<Node>("", "node-1", |node| {
        let labels = node.metadata.labels.get_or_insert_default();
        labels.insert("topology.kubernetes.io/zone".to_owned(), "a".to_owned());
    });
    let mut manifest = service("web");
    manifest["metadata"]["labels"] = json!({"team": "x"});
    cluster.apply(&manifest);
    let empty = slices(&cluster, "web");
    assert_eq!(
        (empty.len(), endpoints(&cluster, "web").len()),
        (1, 0),
        "a service without pods has one empty slice"
    );

    cluster.apply(&deployment("web", 2, "web:1"));
    let slices = slices(&cluster, "web");
    assert_eq!(slices.len(), 1);
    let metadata = &slices[0].metadata;
    assert_eq!(facts::label(metadata, MANAGED_BY_LABEL), Some(MANAGED_BY));
    assert_eq!(facts::label(metadata, "kubernetes.io/service-name"), Some("web"));
    assert_eq!(facts::label(metadata, "team"), Some("x"));
    assert_eq!(facts::controller(metadata).unwrap().kind, "Service");
    assert_eq!(slices[0].address_type, "IPv4");
    let port = &slices[0].ports.as_ref().unwrap()[0];
    assert_eq!(
        (
            port.name.clone().unwrap_or_default().as_str(),
            port.protocol.as_deref(),
            port.port
        ),
        ("", Some("TCP"), Some(8080))
    );
    let listed = endpoints(&cluster, "web");
    assert_eq!(listed.len(), 2);
    let uids: BTreeSet<_> = cluster
        .all::<Pod>()
        .iter()
        .map(|pod| pod.metadata.uid.clone())
        .collect();
    for endpoint in &listed {
        let conditions = endpoint.conditions.as_ref().unwrap();
        assert_eq!(
            (conditions.ready, conditions.serving, conditions.terminating),
            (Some(true), Some(true), Some(false))
        );
        assert_eq!(
            (endpoint.node_name.as_deref(), endpoint.zone.as_deref()),
            (Some("node-1"), Some("a"))
        );
        let target = endpoint.target_ref.as_ref().unwrap();
        assert_eq!(target.kind.as_deref(), Some("Pod"));
        assert!(uids.contains(&target.uid));
    }
}

#[test]
fn conditions_follow_the_pod() {
    for (publish, name, change, wanted) in [
        (
            false,
            "not ready",
            (|pod: &mut Pod| not_ready(pod)) as fn(&mut Pod),
            Some((false, false, false)),
        ),
        (true, "not ready, published", not_ready, Some((true, false, false))),
        (false, "terminating", terminating, Some((false, true, true))),
        (true, "terminating, published", terminating, Some((true, true, true))),
        (
            false,
            "finished",
            |pod| pod.status.as_mut().unwrap().phase = Some("Succeeded".to_owned()),
            None,
        ),
        (
            false,
            "without an address",
            |pod| {
                let status = pod.status.as_mut().unwrap();
                status.pod_ip = None;
                status.pod_ips = None;
            },
            None,
        ),
    ] {
        let mut cluster = Cluster::with_nodes(1);
        let mut manifest = service("web");
        manifest["spec"]["publishNotReadyAddresses"] = json!(publish);
        cluster.apply(&manifest);
        cluster.apply(&json!({"apiVersion": "v1", "kind": "Pod",
            "metadata": {"namespace": "default", "name": "web", "labels": {"app": "web"}},
            "spec": {"containers": [{"name": "main"}]}}));
        cluster.stops_hang = true;
        cluster.kill_agent("node-1");
        set_pod(&mut cluster, change);
        cluster.settle();
        let found = endpoints(&cluster, "web").first().map(|endpoint| {
            let conditions = endpoint.conditions.as_ref().unwrap();
            (
                conditions.ready.unwrap(),
                conditions.serving.unwrap(),
                conditions.terminating.unwrap(),
            )
        });
        assert_eq!(found, wanted, "{name}");
    }
}

fn not_ready(pod: &mut Pod) {
    for condition in pod.status.as_mut().unwrap().conditions.as_mut().unwrap() {
        condition.status = "False".to_owned();
    }
}

fn terminating(pod: &mut Pod) {
    pod.metadata.deletion_timestamp = Some(crate::simulation::time("2026-01-01T00:00:00Z"));
}

fn pod_with_port(name: &str, port: u16) -> Value {
    json!({"apiVersion": "v1", "kind": "Pod",
        "metadata": {"namespace": "default", "name": name, "labels": {"app": "web"}},
        "spec": {"hostname": name, "subdomain": "web",
            "containers": [{"name": "main", "ports": [{"name": "http", "containerPort": port}]}]}})
}

#[test]
fn named_ports_are_the_pods_and_pods_of_other_ports_have_slices_of_their_own() {
    let mut cluster = Cluster::with_nodes(1);
    let mut manifest = service("web");
    manifest["spec"]["ports"] = json!([{"name": "web", "port": 80, "targetPort": "http"}]);
    cluster.apply(&manifest);
    for (name, port) in [("one", 8080), ("two", 8080), ("three", 9090)] {
        cluster.apply(&pod_with_port(name, port));
    }
    let mut found: Vec<_> = slices(&cluster, "web")
        .iter()
        .map(|slice| {
            let port = &slice.ports.as_ref().unwrap()[0];
            (port.name.clone(), port.port, slice.endpoints.as_ref().unwrap().len())
        })
        .collect();
    found.sort();
    let name = Some("web".to_owned());
    assert_eq!(found, [(name.clone(), Some(8080), 2), (name, Some(9090), 1)]);
}

#[test]
fn a_headless_service_names_its_pods() {
    let mut cluster = Cluster::with_nodes(1);
    let mut manifest = service("web");
    manifest["spec"]["clusterIP"] = json!("None");
    cluster.apply(&manifest);
    cluster.apply(&pod_with_port("one", 80));
    assert_eq!(endpoints(&cluster, "web")[0].hostname.as_deref(), Some("one"));
    assert_eq!(
        facts::label(&slices(&cluster, "web")[0].metadata, "service.kubernetes.io/headless"),
        Some("")
    );
}

#[test]
fn a_change_of_one_pod_writes_one_slice() {
    let mut cluster = Cluster::with_nodes(3);
    cluster.apply(&service("web"));
    cluster.apply(&deployment("web", 250, "web:1"));
    let sizes: Vec<usize> = slices(&cluster, "web")
        .iter()
        .map(|slice| slice.endpoints.as_ref().unwrap().len())
        .collect();
    assert_eq!(sizes.iter().sum::<usize>(), 250);
    assert!(sizes.len() >= 3 && sizes.iter().all(|size| *size <= 100), "{sizes:?}");

    let before = cluster.server.history.len();
    set_pod(&mut cluster, not_ready);
    cluster.kill_agent("node-1");
    cluster.kill_agent("node-2");
    cluster.kill_agent("node-3");
    cluster.settle();
    let written: Vec<&ObjectKey> = cluster.server.history[before..]
        .iter()
        .filter(|change| change.key.kind == Kind::EndpointSlice)
        .map(|change| &change.key)
        .collect();
    assert_eq!(written.len(), 1, "{written:?}");
}

#[test]
fn a_service_without_selector_and_one_of_type_external_name_are_left_alone() {
    let mut cluster = Cluster::with_nodes(1);
    let mut own = service("own");
    own["spec"].as_object_mut().unwrap().remove("selector");
    cluster.apply(&own);
    let mut external = service("external");
    external["spec"]["type"] = json!("ExternalName");
    cluster.apply(&external);
    assert_eq!(slices(&cluster, "own").len() + slices(&cluster, "external").len(), 0);
}

#[test]
fn the_slices_go_with_the_service() {
    let mut cluster = Cluster::with_nodes(1);
    cluster.apply(&service("web"));
    assert_eq!(slices(&cluster, "web").len(), 1);
    cluster.delete(Kind::Service, "default", "web");
    assert_eq!(slices(&cluster, "web").len(), 0);
}

#[test]
fn ends_alike_whatever_happens() {
    assert_robust(|cluster| {
        cluster.add_nodes(2);
        cluster.apply(&service("web"));
        cluster.apply(&deployment("web", 6, "web:1"));
        cluster.apply(&deployment("web", 3, "web:2"));
        cluster.apply(&service("db"));
        cluster.apply(&deployment("db", 2, "db:1"));
        let mut moved = service("db");
        moved["spec"]["selector"] = json!({"app": "web"});
        cluster.apply(&moved);
        cluster.delete(Kind::Service, "default", "web");
    });
}
