//! Tests of the garbage collector: the three ways of propagation, and what becomes of a dependent.

use api::{
    Kind,
    k8s_openapi::api::{
        apps::v1::{Deployment, ReplicaSet},
        core::v1::{ConfigMap, Pod},
    },
};
use serde_json::{Value, json};

use crate::{
    facts,
    simulation::{Cluster, assert_robust, deployment, server::Propagation, service},
};

fn config(name: &str, owners: &Value) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap",
        "metadata": {"namespace": "default", "name": name, "ownerReferences": owners}})
}

fn owner(kind: &str, name: &str, uid: &str) -> Value {
    let version = if kind == "Widget" { "example.com/v1" } else { "v1" };
    json!({"apiVersion": version, "kind": kind, "name": name, "uid": uid, "blockOwnerDeletion": true})
}

fn uid_of(cluster: &Cluster, name: &str) -> String {
    facts::uid(&cluster.get::<ConfigMap>("default", name).metadata).to_owned()
}

#[test]
fn in_the_background_dependents_follow_their_owner() {
    let mut cluster = Cluster::with_nodes(1);
    cluster.apply(&deployment("web", 2, "web:1"));
    cluster.delete(Kind::Deployment, "default", "web");
    assert_eq!((cluster.all::<ReplicaSet>().len(), cluster.all::<Pod>().len()), (0, 0));
}

#[test]
fn in_the_foreground_the_owner_goes_last() {
    let mut cluster = Cluster::with_nodes(1);
    cluster.apply(&deployment("web", 2, "web:1"));
    cluster.stops_hang = true;
    cluster.delete_as(Kind::Deployment, "default", "web", Propagation::Foreground);
    assert!(
        cluster.find::<Deployment>("default", "web").is_some(),
        "its pods still stop"
    );
    assert_eq!(cluster.all::<ReplicaSet>().len(), 1);
    assert!(
        cluster
            .all::<Pod>()
            .iter()
            .all(|pod| facts::is_terminating(&pod.metadata))
    );
    cluster.stops_hang = false;
    cluster.settle();
    assert!(cluster.find::<Deployment>("default", "web").is_none());
    assert_eq!((cluster.all::<ReplicaSet>().len(), cluster.all::<Pod>().len()), (0, 0));
}

#[test]
fn orphans_stay() {
    let mut cluster = Cluster::with_nodes(1);
    cluster.apply(&deployment("web", 2, "web:1"));
    cluster.delete_as(Kind::Deployment, "default", "web", Propagation::Orphan);
    assert!(cluster.find::<Deployment>("default", "web").is_none());
    assert_eq!((cluster.all::<ReplicaSet>().len(), cluster.all::<Pod>().len()), (1, 2));
}

#[test]
fn what_becomes_of_a_dependent() {
    for (name, owners, stays, references) in [
        ("no owner", json!([]), true, 0),
        ("owner is there", json!([owner("ConfigMap", "owner", "OWNER")]), true, 1),
        ("owner is gone", json!([owner("ConfigMap", "gone", "x")]), false, 0),
        (
            "a namesake of the owner",
            json!([owner("ConfigMap", "owner", "former")]),
            false,
            0,
        ),
        (
            "one of two is there",
            json!([owner("ConfigMap", "owner", "OWNER"), owner("ConfigMap", "gone", "x")]),
            true,
            1,
        ),
        (
            "owner of a kind unknown here",
            json!([owner("Widget", "w", "x")]),
            true,
            1,
        ),
        (
            "owner of cluster scope is gone",
            json!([owner("Node", "node-9", "x")]),
            false,
            0,
        ),
    ] {
        let mut cluster = Cluster::with_nodes(1);
        cluster.apply(&config("owner", &json!([])));
        let owners = owners.to_string().replace("OWNER", &uid_of(&cluster, "owner"));
        cluster.apply(&config("it", &serde_json::from_str(&owners).unwrap()));
        let found = cluster.find::<ConfigMap>("default", "it");
        assert_eq!(found.is_some(), stays, "{name}");
        if let Some(found) = found {
            assert_eq!(
                found.metadata.owner_references.as_ref().map_or(0, Vec::len),
                references,
                "{name}"
            );
        }
    }
}

#[test]
fn an_object_of_cluster_scope_with_an_owner_in_a_namespace_is_kept() {
    let mut cluster = Cluster::with_nodes(0);
    cluster.apply(&json!({"apiVersion": "v1", "kind": "Namespace",
        "metadata": {"name": "odd", "ownerReferences": [owner("ConfigMap", "gone", "x")]}}));
    assert!(
        cluster
            .find::<api::k8s_openapi::api::core::v1::Namespace>("", "odd")
            .is_some()
    );
}

#[test]
fn ends_alike_whatever_happens() {
    assert_robust(|cluster| {
        cluster.add_nodes(2);
        cluster.apply(&deployment("back", 2, "web:1"));
        cluster.apply(&deployment("fore", 2, "web:1"));
        cluster.apply(&deployment("free", 2, "web:1"));
        cluster.apply(&service("back"));
        cluster.apply(&config("owner", &json!([])));
        let uid = uid_of(cluster, "owner");
        cluster.apply(&config(
            "kept",
            &json!([owner("ConfigMap", "owner", &uid), owner("ConfigMap", "gone", "x")]),
        ));
        cluster.delete(Kind::Deployment, "default", "back");
        cluster.delete_as(Kind::Deployment, "default", "fore", Propagation::Foreground);
        cluster.delete_as(Kind::Deployment, "default", "free", Propagation::Orphan);
        cluster.delete(Kind::Service, "default", "back");
    });
}
