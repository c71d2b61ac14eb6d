//! Tests of storage that is deleted while it is in use, as scripts against a simulated cluster.

use api::{
    Kind,
    k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim, Pod},
};
use serde_json::{Value, json};

use super::*;
use crate::simulation::{Cluster, assert_robust};

fn claim(name: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "PersistentVolumeClaim",
        "metadata": {"namespace": "default", "name": name},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}},
    })
}

fn pod(name: &str, claim: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"namespace": "default", "name": name},
        "spec": {
            "containers": [{"name": "main", "image": "web:1"}],
            "volumes": [{"name": "data", "persistentVolumeClaim": {"claimName": claim}}],
        },
    })
}

#[test]
fn a_claim_stays_until_no_pod_uses_it() {
    let mut cluster = Cluster::with_nodes(1);
    for name in ["used", "free"] {
        cluster.apply(&claim(name));
        let made = cluster.get::<PersistentVolumeClaim>("default", name);
        assert_eq!(made.metadata.finalizers, Some(vec![CLAIM_FINALIZER.to_owned()]));
    }
    cluster.apply(&pod("a", "used"));
    cluster.apply(&pod("b", "used"));
    for name in ["used", "free"] {
        cluster.delete(Kind::PersistentVolumeClaim, "default", name);
    }
    let is_there = |cluster: &Cluster, name| cluster.find::<PersistentVolumeClaim>("default", name).is_some();
    assert!(!is_there(&cluster, "free"));
    assert!(is_there(&cluster, "used"));
    cluster.delete(Kind::Pod, "default", "a");
    assert!(is_there(&cluster, "used"), "the other pod has it");
    cluster.delete(Kind::Pod, "default", "b");
    assert!(!is_there(&cluster, "used"));
}

#[test]
fn a_pod_without_a_node_keeps_no_claim() {
    let mut cluster = Cluster::with_nodes(0);
    cluster.apply(&claim("c"));
    cluster.apply(&pod("a", "c"));
    cluster.delete(Kind::PersistentVolumeClaim, "default", "c");
    assert!(cluster.find::<PersistentVolumeClaim>("default", "c").is_none());
    assert!(cluster.find::<Pod>("default", "a").is_some());
}

#[test]
fn a_claim_of_a_pods_own_is_kept_until_that_has_finished() {
    let node = |phase: &str| -> Pod {
        serde_json::from_value(json!({
            "metadata": {"namespace": "default", "name": "a", "uid": "u"},
            "spec": {
                "nodeName": "n",
                "containers": [],
                "volumes": [{"name": "data", "ephemeral": {}}],
            },
            "status": {"phase": phase},
        }))
        .unwrap()
    };
    let claim = |uid: &str| ObjectMeta {
        name: Some("a-data".to_owned()),
        owner_references: Some(vec![facts::controlled_by::<Pod>(&ObjectMeta {
            uid: Some(uid.to_owned()),
            ..ObjectMeta::default()
        })]),
        ..ObjectMeta::default()
    };
    for (phase, uid, expected) in [
        ("Running", "u", true),
        ("Running", "other", false),
        ("Succeeded", "u", false),
    ] {
        assert_eq!(uses(&node(phase), &claim(uid)), expected, "{phase} {uid}");
    }
}

#[test]
fn a_volume_stays_while_it_is_bound() {
    let mut cluster = Cluster::with_nodes(0);
    cluster.apply(&json!({
        "apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": "v"},
        "spec": {"claimRef": {"namespace": "default", "name": "c"}},
    }));
    let told = |cluster: &mut Cluster, phase: &str| {
        let mut volume = cluster.get::<PersistentVolume>("", "v").clone();
        volume.status.get_or_insert_default().phase = Some(phase.to_owned());
        cluster.server.put(volume.into());
        cluster.settle();
    };
    told(&mut cluster, "Bound");
    cluster.delete(Kind::PersistentVolume, "", "v");
    let volume = cluster.get::<PersistentVolume>("", "v");
    assert_eq!(volume.metadata.finalizers, Some(vec![VOLUME_FINALIZER.to_owned()]));
    told(&mut cluster, "Released");
    assert!(cluster.find::<PersistentVolume>("", "v").is_none());
}

#[test]
fn ends_alike_whatever_happens() {
    assert_robust(|cluster| {
        cluster.add_nodes(1);
        cluster.apply(&claim("kept"));
        cluster.apply(&claim("gone"));
        cluster.apply(&pod("a", "kept"));
        cluster.apply(&pod("b", "gone"));
        cluster.delete(Kind::PersistentVolumeClaim, "default", "kept");
        cluster.delete(Kind::PersistentVolumeClaim, "default", "gone");
        cluster.delete(Kind::Pod, "default", "b");
    });
}
