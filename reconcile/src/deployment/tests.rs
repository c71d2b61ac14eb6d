//! Tests of deployments, as scripts against a simulated cluster: rollouts, scaling, history, conditions.

use std::{collections::BTreeMap, time::Duration};

use api::{
    Kind,
    k8s_openapi::api::{
        apps::v1::{Deployment, DeploymentCondition, ReplicaSet},
        core::v1::Pod,
    },
};
use serde_json::{Value, json};

use crate::{
    facts,
    simulation::{Cluster, assert_robust, deployment, is_running, server::Propagation},
    world::World,
};

fn with_strategy(mut manifest: Value, strategy: Value) -> Value {
    manifest["spec"]["strategy"] = strategy;
    manifest
}

fn rolling(surge: Value, unavailable: Value) -> Value {
    json!({"type": "RollingUpdate", "rollingUpdate": {"maxSurge": surge, "maxUnavailable": unavailable}})
}

fn condition(cluster: &Cluster, kind: &str) -> DeploymentCondition {
    let deployment = cluster.get::<Deployment>("default", "web");
    let conditions = deployment.status.as_ref().unwrap().conditions.clone().unwrap();
    conditions
        .into_iter()
        .find(|condition| condition.type_ == kind)
        .unwrap()
}

/// Size of each ReplicaSet by its revision.
fn sizes(cluster: &Cluster) -> BTreeMap<String, i32> {
    cluster
        .all::<ReplicaSet>()
        .iter()
        .map(|set| {
            let revision = facts::annotation(&set.metadata, "deployment.kubernetes.io/revision");
            (
                revision.unwrap().to_owned(),
                set.spec.as_ref().unwrap().replicas.unwrap(),
            )
        })
        .collect()
}

fn by_revision(sizes: &[(&str, i32)]) -> BTreeMap<String, i32> {
    sizes
        .iter()
        .map(|(revision, size)| ((*revision).to_owned(), *size))
        .collect()
}

#[test]
fn a_deployment_runs() {
    let mut cluster = Cluster::with_nodes(3);
    cluster.apply(&deployment("web", 3, "web:1"));
    let set = cluster.all::<ReplicaSet>()[0].clone();
    let hash = facts::label(&set.metadata, "pod-template-hash").unwrap();
    assert_eq!(facts::name(&set.metadata), format!("web-{hash}"));
    let selector = set.spec.as_ref().unwrap().selector.match_labels.clone().unwrap();
    assert_eq!(selector["pod-template-hash"], hash);
    for pod in cluster.all::<Pod>() {
        assert_eq!(facts::label(&pod.metadata, "pod-template-hash"), Some(hash));
    }
    let nodes: std::collections::BTreeSet<_> = cluster.all::<Pod>().into_iter().map(facts::node_name).collect();
    assert_eq!(nodes.len(), 3, "one on each node");

    let found = cluster.get::<Deployment>("default", "web");
    assert_eq!(
        facts::annotation(&found.metadata, "deployment.kubernetes.io/revision"),
        Some("1")
    );
    let status = found.status.as_ref().unwrap();
    assert_eq!(
        (
            status.replicas,
            status.updated_replicas,
            status.ready_replicas,
            status.available_replicas
        ),
        (Some(3), Some(3), Some(3), Some(3))
    );
    assert_eq!(status.unavailable_replicas, None);
    let progressing = condition(&cluster, "Progressing");
    assert_eq!(
        (
            progressing.status.as_str(),
            progressing.reason.as_deref(),
            progressing.message
        ),
        (
            "True",
            Some("NewReplicaSetAvailable"),
            Some(format!("ReplicaSet \"web-{hash}\" has successfully progressed."))
        )
    );
    assert_eq!(
        condition(&cluster, "Available").reason.as_deref(),
        Some("MinimumReplicasAvailable")
    );
    let said: Vec<_> = cluster
        .announced
        .iter()
        .filter(|said| said.reason == "ScalingReplicaSet")
        .map(|said| said.message.clone())
        .collect();
    assert_eq!(said, [format!("Scaled up replica set web-{hash} from 0 to 3")]);
}

/// At most 4 pods that are not on their way out, and never fewer than 3 available: `maxSurge: 1, maxUnavailable: 0`.
fn one_more_and_none_less(world: &World) -> Result<(), String> {
    let active = world.all::<Pod>().filter(|pod| facts::is_active(pod)).count();
    if active > 4 {
        return Err(format!("{active} pods are active"));
    }
    let ready = world.all::<Pod>().filter(|pod| is_running(pod)).count();
    if ready < 3 {
        return Err(format!("only {ready} pods are available"));
    }
    Ok(())
}

#[test]
fn a_rolling_update_keeps_within_its_bounds_at_every_write() {
    for seed in 1..20 {
        println!("seed {seed}");
        let mut cluster = Cluster::new(
            seed,
            crate::simulation::Disturbance {
                reorder: 50,
                stale: 30,
                ..Default::default()
            },
        );
        cluster.add_nodes(3);
        let strategy = rolling(json!(1), json!(0));
        cluster.apply(&with_strategy(deployment("web", 3, "web:1"), strategy.clone()));
        cluster.always(one_more_and_none_less);
        cluster.apply(&with_strategy(deployment("web", 3, "web:2"), strategy));
        assert_eq!(sizes(&cluster), by_revision(&[("1", 0), ("2", 3)]));
        assert_eq!(
            condition(&cluster, "Progressing").reason.as_deref(),
            Some("NewReplicaSetAvailable")
        );
    }
}

#[test]
fn a_rollout_of_a_broken_image_stops_and_is_reported() {
    let mut cluster = Cluster::with_nodes(3);
    cluster.broken_images.insert("web:broken".to_owned());
    cluster.apply(&deployment("web", 4, "web:1"));
    let mut broken = deployment("web", 4, "web:broken");
    broken["spec"]["progressDeadlineSeconds"] = json!(60);
    cluster.apply(&broken);
    // 25 % of 4: one more, one less.
    assert_eq!(sizes(&cluster), by_revision(&[("1", 3), ("2", 2)]));
    assert_eq!(condition(&cluster, "Available").status, "True");
    assert_eq!(
        condition(&cluster, "Progressing").reason.as_deref(),
        Some("ReplicaSetUpdated")
    );
    cluster.tick(Duration::from_secs(70));
    let progressing = condition(&cluster, "Progressing");
    assert_eq!(
        (progressing.status.as_str(), progressing.reason.as_deref()),
        ("False", Some("ProgressDeadlineExceeded"))
    );
    // Going back takes the old set again, under a new number.
    cluster.apply(&deployment("web", 4, "web:1"));
    assert_eq!(sizes(&cluster), by_revision(&[("2", 0), ("3", 4)]));
    let set = cluster
        .all::<ReplicaSet>()
        .into_iter()
        .find(|set| facts::annotation(&set.metadata, "deployment.kubernetes.io/revision") == Some("3"));
    assert_eq!(
        facts::annotation(&set.unwrap().metadata, "deployment.kubernetes.io/revision-history"),
        Some("1")
    );
}

#[test]
fn a_deployment_says_what_its_sets_are_refused() {
    let mut cluster = Cluster::with_nodes(1);
    cluster.server.room.insert(Kind::Pod, 1);
    cluster.apply(&deployment("web", 2, "web:1"));
    cluster.tick(Duration::from_secs(10));
    let failure = condition(&cluster, "ReplicaFailure");
    assert_eq!(
        (
            failure.status.as_str(),
            failure.reason.as_deref(),
            failure.message.as_deref()
        ),
        ("True", Some("FailedCreate"), Some("exceeded quota: Pod"))
    );
    cluster.server.room.clear();
    cluster.tick(Duration::from_secs(10));
    let found = cluster.get::<Deployment>("default", "web");
    let conditions = found.status.as_ref().unwrap().conditions.clone().unwrap();
    assert!(
        conditions.iter().all(|condition| condition.type_ != "ReplicaFailure"),
        "{conditions:?}"
    );
    cluster.assert_at_rest();
}

#[test]
fn a_deployment_without_room_for_its_set_says_so_and_goes_on_when_there_is() {
    let mut cluster = Cluster::with_nodes(1);
    cluster.server.room.insert(Kind::ReplicaSet, 0);
    cluster.apply(&deployment("web", 2, "web:1"));
    cluster.tick(Duration::from_secs(10));
    let progressing = condition(&cluster, "Progressing");
    let message = progressing.message.unwrap();
    assert_eq!(
        (progressing.status.as_str(), progressing.reason.as_deref()),
        ("False", Some("ReplicaSetCreateError"))
    );
    assert!(
        message.starts_with("Failed to create new replica set \"web-"),
        "{message}"
    );
    assert!(message.ends_with("\": exceeded quota: ReplicaSet"), "{message}");
    let said = cluster
        .announced
        .iter()
        .find(|said| said.reason == "ReplicaSetCreateError");
    assert_eq!(said.unwrap().message, message);
    cluster.server.room.clear();
    cluster.tick(Duration::from_secs(20));
    assert_eq!(cluster.all::<Pod>().len(), 2);
    assert_eq!(
        condition(&cluster, "Progressing").reason.as_deref(),
        Some("NewReplicaSetAvailable")
    );
    cluster.assert_at_rest();
}

/// Never pods of two templates at once, terminating ones included.
fn one_template_at_a_time(world: &World) -> Result<(), String> {
    let hashes: std::collections::BTreeSet<_> = world
        .all::<Pod>()
        .filter_map(|pod| facts::label(&pod.metadata, "pod-template-hash"))
        .collect();
    if hashes.len() > 1 {
        Err(format!("{hashes:?}"))
    } else {
        Ok(())
    }
}

#[test]
fn recreate_waits_for_the_last_old_pod() {
    let mut cluster = Cluster::with_nodes(2);
    let recreate = json!({"type": "Recreate"});
    cluster.always(one_template_at_a_time);
    cluster.apply(&with_strategy(deployment("web", 3, "web:1"), recreate.clone()));
    cluster.stops_hang = true;
    cluster.apply(&with_strategy(deployment("web", 3, "web:2"), recreate));
    assert_eq!(sizes(&cluster), by_revision(&[("1", 0)]), "old pods are still stopping");
    cluster.stops_hang = false;
    cluster.settle();
    assert_eq!(sizes(&cluster), by_revision(&[("1", 0), ("2", 3)]));
    assert_eq!(cluster.all::<Pod>().len(), 3);
}

#[test]
fn old_sets_beyond_the_history_limit_go() {
    let mut cluster = Cluster::with_nodes(1);
    for version in 1..=5 {
        let mut manifest = deployment("web", 1, &format!("web:{version}"));
        manifest["spec"]["revisionHistoryLimit"] = json!(2);
        cluster.apply(&manifest);
    }
    assert_eq!(sizes(&cluster), by_revision(&[("3", 0), ("4", 0), ("5", 1)]));
}

#[test]
fn a_paused_deployment_scales_but_does_not_roll() {
    let mut cluster = Cluster::with_nodes(1);
    cluster.apply(&deployment("web", 2, "web:1"));
    let mut paused = deployment("web", 3, "web:2");
    paused["spec"]["paused"] = json!(true);
    cluster.apply(&paused);
    assert_eq!(sizes(&cluster), by_revision(&[("1", 3)]));
    assert_eq!(
        condition(&cluster, "Progressing").reason.as_deref(),
        Some("DeploymentPaused")
    );
    paused["spec"]["paused"] = json!(false);
    cluster.apply(&paused);
    assert_eq!(sizes(&cluster), by_revision(&[("1", 0), ("2", 3)]));
}

#[test]
fn scaling_amid_a_rollout_keeps_the_sets_in_proportion() {
    let mut cluster = Cluster::with_nodes(3);
    cluster.broken_images.insert("web:broken".to_owned());
    let strategy = rolling(json!(2), json!(2));
    cluster.apply(&with_strategy(deployment("web", 10, "web:1"), strategy.clone()));
    cluster.apply(&with_strategy(deployment("web", 10, "web:broken"), strategy.clone()));
    assert_eq!(sizes(&cluster), by_revision(&[("1", 8), ("2", 4)]));
    cluster.apply(&with_strategy(deployment("web", 20, "web:broken"), strategy));
    // 22 in all, two to one, then the new set grows into what the old may give.
    let sizes = sizes(&cluster);
    assert_eq!(sizes.values().sum::<i32>(), 22, "{sizes:?}");
    assert!(sizes["1"] >= 14 && sizes["2"] >= 4, "{sizes:?}");
}

#[test]
fn a_template_that_says_the_same_in_other_words_starts_no_rollout() {
    let mut cluster = Cluster::with_nodes(1);
    cluster.apply(&deployment("web", 1, "web:1"));
    let mut same = deployment("web", 1, "web:1");
    let spec = &mut same["spec"]["template"]["spec"];
    spec["volumes"] = json!([]);
    spec["nodeSelector"] = json!({});
    spec["containers"][0]["resources"] = json!({});
    cluster.apply(&same);
    assert_eq!(sizes(&cluster), by_revision(&[("1", 1)]));
}

#[test]
fn a_set_of_another_deployments_name_counts_as_a_collision() {
    let mut cluster = Cluster::with_nodes(1);
    cluster.apply(&deployment("web", 1, "web:1"));
    let set = cluster.all::<ReplicaSet>()[0].clone();
    cluster.delete(Kind::Deployment, "default", "web");
    // Somebody's set that happens to have the name that the deployment will ask for.
    cluster.apply(&json!({
        "apiVersion": "apps/v1", "kind": "ReplicaSet",
        "metadata": {"namespace": "default", "name": facts::name(&set.metadata)},
        "spec": {"replicas": 0, "selector": {"matchLabels": {"x": "y"}},
            "template": {"metadata": {"labels": {"x": "y"}}, "spec": {"containers": []}}},
    }));
    cluster.apply(&deployment("web", 1, "web:1"));
    let status = cluster.get::<Deployment>("default", "web").status.clone().unwrap();
    assert_eq!((status.collision_count, status.available_replicas), (Some(1), Some(1)));
}

#[test]
fn orphaned_sets_are_adopted_again() {
    let mut cluster = Cluster::with_nodes(1);
    cluster.apply(&deployment("web", 2, "web:1"));
    let pods: Vec<String> = names(&cluster);
    cluster.delete_as(Kind::Deployment, "default", "web", Propagation::Orphan);
    assert!(cluster.find::<Deployment>("default", "web").is_none());
    assert_eq!(names(&cluster), pods, "the pods run on");
    assert!(facts::controller(&cluster.all::<ReplicaSet>()[0].metadata).is_none());
    cluster.apply(&deployment("web", 2, "web:1"));
    assert_eq!(cluster.all::<ReplicaSet>().len(), 1);
    assert_eq!(names(&cluster), pods);
}

fn names(cluster: &Cluster) -> Vec<String> {
    cluster
        .all::<Pod>()
        .iter()
        .map(|pod| facts::name(&pod.metadata).to_owned())
        .collect()
}

#[test]
fn annotations_of_the_deployment_reach_the_set_but_not_all() {
    let mut cluster = Cluster::with_nodes(1);
    let mut manifest = deployment("web", 1, "web:1");
    manifest["metadata"]["annotations"] =
        json!({"kubernetes.io/change-cause": "first", "kubectl.kubernetes.io/last-applied-configuration": "{}"});
    cluster.apply(&manifest);
    let set = cluster.all::<ReplicaSet>()[0];
    assert_eq!(
        facts::annotation(&set.metadata, "kubernetes.io/change-cause"),
        Some("first")
    );
    assert_eq!(
        facts::annotation(&set.metadata, "kubectl.kubernetes.io/last-applied-configuration"),
        None
    );
    assert_eq!(
        facts::annotation(&set.metadata, "deployment.kubernetes.io/desired-replicas"),
        Some("1")
    );
    assert_eq!(
        facts::annotation(&set.metadata, "deployment.kubernetes.io/max-replicas"),
        Some("2")
    );
}

#[test]
fn ends_alike_whatever_happens() {
    assert_robust(|cluster| {
        cluster.add_nodes(3);
        cluster.apply(&deployment("web", 4, "web:1"));
        cluster.apply(&deployment("web", 4, "web:2"));
        cluster.apply(&deployment("web", 7, "web:3"));
        cluster.apply(&deployment("web", 3, "web:1"));
        cluster.apply(&with_strategy(deployment("db", 2, "db:1"), json!({"type": "Recreate"})));
        cluster.apply(&with_strategy(deployment("db", 2, "db:2"), json!({"type": "Recreate"})));
    });
}
