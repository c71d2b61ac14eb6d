//! Tests of namespace deletion: order, conditions, finalizers.

use api::{
    Kind,
    k8s_openapi::api::core::v1::{ConfigMap, Namespace, Pod},
};
use serde_json::{Value, json};

use crate::{
    facts,
    simulation::{Cluster, assert_robust, deployment, service},
};

fn namespace(name: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
}

fn within(mut manifest: Value, namespace: &str) -> Value {
    manifest["metadata"]["namespace"] = json!(namespace);
    manifest
}

fn config(name: &str, finalizers: &Value) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap",
        "metadata": {"namespace": "work", "name": name, "finalizers": finalizers}})
}

fn phase(cluster: &Cluster) -> Option<String> {
    cluster.get::<Namespace>("", "work").status.as_ref()?.phase.clone()
}

fn condition(cluster: &Cluster, kind: &str) -> (String, Option<String>, Option<String>) {
    let status = cluster.get::<Namespace>("", "work").status.clone().unwrap();
    let conditions = status.conditions.unwrap().into_iter();
    let found = conditions
        .into_iter()
        .find(|condition| condition.type_ == kind)
        .unwrap();
    (found.status, found.reason, found.message)
}

#[test]
fn a_namespace_goes_with_all_that_is_in_it() {
    let mut cluster = Cluster::with_nodes(2);
    cluster.apply(&namespace("work"));
    assert_eq!(phase(&cluster).as_deref(), Some("Active"));
    cluster.apply(&within(deployment("web", 3, "web:1"), "work"));
    cluster.apply(&within(service("web"), "work"));
    cluster.delete(Kind::Namespace, "", "work");
    assert!(cluster.find::<Namespace>("", "work").is_none());
    assert_eq!(cluster.server.world.contents_of("work").count(), 0);
    assert!(
        cluster.find::<ConfigMap>("default", "kube-root-ca.crt").is_some(),
        "others stay"
    );
}

#[test]
fn pods_go_first_and_what_they_use_stays_while_they_stop() {
    let mut cluster = Cluster::with_nodes(1);
    cluster.apply(&namespace("work"));
    cluster.apply(&config("settings", &json!([])));
    cluster.apply(&within(deployment("web", 1, "web:1"), "work"));
    cluster.stops_hang = true;
    cluster.delete(Kind::Namespace, "", "work");
    assert_eq!(phase(&cluster).as_deref(), Some("Terminating"));
    assert!(cluster.find::<ConfigMap>("work", "settings").is_some());
    assert_eq!(cluster.all::<Pod>().len(), 1, "and no new pods are made");
    let (status, reason, message) = condition(&cluster, "NamespaceContentRemaining");
    assert_eq!(
        (status.as_str(), reason.as_deref()),
        ("True", Some("SomeResourcesRemain"))
    );
    assert!(message.unwrap().contains("pods"));
    cluster.stops_hang = false;
    cluster.settle();
    assert!(cluster.find::<Namespace>("", "work").is_none());
}

#[test]
fn a_finalizer_in_it_holds_it_and_is_named() {
    let mut cluster = Cluster::with_nodes(1);
    cluster.apply(&namespace("work"));
    cluster.apply(&config("held", &json!(["example.com/hold"])));
    cluster.delete(Kind::Namespace, "", "work");
    let (status, _, message) = condition(&cluster, "NamespaceFinalizersRemaining");
    assert_eq!(status, "True");
    assert!(message.unwrap().contains("example.com/hold"));
    cluster.edit::<ConfigMap>("work", "held", |held| held.metadata.finalizers = None);
    assert!(cluster.find::<Namespace>("", "work").is_none());
}

#[test]
fn a_finalizer_of_somebody_else_on_the_namespace_stays_its_own_business() {
    let mut cluster = Cluster::with_nodes(0);
    let mut held = namespace("work");
    held["metadata"]["finalizers"] = json!(["example.com/hold"]);
    cluster.apply(&held);
    cluster.delete(Kind::Namespace, "", "work");
    let found = cluster.get::<Namespace>("", "work");
    assert!(facts::is_terminating(&found.metadata));
    assert_eq!(found.spec.as_ref().unwrap().finalizers, Some(Vec::new()));
}

#[test]
fn ends_alike_whatever_happens() {
    assert_robust(|cluster| {
        cluster.add_nodes(2);
        for name in ["work", "rest", "kept"] {
            cluster.apply(&namespace(name));
            cluster.apply(&within(deployment("web", 2, "web:1"), name));
            cluster.apply(&within(service("web"), name));
        }
        cluster.delete(Kind::Namespace, "", "work");
        cluster.delete(Kind::Namespace, "", "rest");
        cluster.apply(&namespace("work"));
    });
}
