//! Tests of ReplicaSets, as scripts against a simulated cluster.

use std::time::Duration;

use api::{
    Kind, ObjectKey, Timestamp,
    k8s_openapi::api::{apps::v1::ReplicaSet, core::v1::Pod},
};
use serde_json::{Value, json};

use super::ReplicaSets;
use crate::{
    facts,
    plan::{Action, Context, Planner, Severity},
    simulation::{Cluster, assert_robust, is_running},
};

fn set(name: &str, replicas: u32) -> Value {
    json!({
        "apiVersion": "apps/v1", "kind": "ReplicaSet",
        "metadata": {"namespace": "default", "name": name},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": {"app": name}},
            "template": {
                "metadata": {"labels": {"app": name}, "annotations": {"note": "a"}},
                "spec": {"containers": [{"name": "main", "image": "web:1"}]},
            },
        },
    })
}

fn pod(name: &str, app: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"namespace": "default", "name": name, "labels": {"app": app}},
        "spec": {"containers": [{"name": "main", "image": "web:1"}]},
    })
}

#[test]
fn as_many_pods_as_asked_for_and_a_status_that_counts_them() {
    let mut cluster = Cluster::with_nodes(2);
    cluster.apply(&set("web", 3));
    let pods = cluster.all::<Pod>();
    assert_eq!(pods.len(), 3);
    for pod in &pods {
        let owner = facts::controller(&pod.metadata).unwrap();
        assert_eq!(
            (owner.kind.as_str(), owner.block_owner_deletion),
            ("ReplicaSet", Some(true))
        );
        assert_eq!(facts::annotation(&pod.metadata, "note"), Some("a"));
        assert!(facts::name(&pod.metadata).starts_with("web-"));
    }
    let status = cluster.get::<ReplicaSet>("default", "web").status.clone().unwrap();
    assert_eq!(
        (
            status.replicas,
            status.ready_replicas,
            status.available_replicas,
            status.fully_labeled_replicas
        ),
        (3, Some(3), Some(3), Some(3))
    );
    assert_eq!(status.observed_generation, Some(1));
    assert_eq!(
        cluster
            .announced
            .iter()
            .filter(|said| said.reason == "SuccessfulCreate")
            .count(),
        3
    );

    cluster.apply(&set("web", 1));
    assert_eq!(cluster.all::<Pod>().len(), 1);
    cluster.apply(&set("web", 0));
    assert_eq!(cluster.all::<Pod>().len(), 0);
}

#[test]
fn a_deleted_pod_is_replaced_under_another_name() {
    let mut cluster = Cluster::with_nodes(1);
    cluster.apply(&set("web", 1));
    let former = facts::name(&cluster.all::<Pod>()[0].metadata).to_owned();
    cluster.delete(Kind::Pod, "default", &former);
    let pods = cluster.all::<Pod>();
    assert_eq!(pods.len(), 1);
    assert_ne!(facts::name(&pods[0].metadata), former);
    // Gone at once, as `kubectl delete --force` does it: the set of pods is then what it was at the beginning.
    let former = facts::name(&pods[0].metadata).to_owned();
    cluster.server.remove(&ObjectKey::new(Kind::Pod, "default", &former));
    cluster.settle();
    assert_ne!(facts::name(&cluster.all::<Pod>()[0].metadata), former);
}

#[test]
fn two_plans_from_one_view_ask_for_the_same_pods() {
    let mut cluster = Cluster::with_nodes(0);
    cluster.apply(&set("web", 3));
    let mut world = cluster.server.world.clone();
    for pod in cluster.all::<Pod>() {
        world.remove(&ObjectKey::new(Kind::Pod, "default", facts::name(&pod.metadata)));
    }
    let key = ObjectKey::new(Kind::ReplicaSet, "default", "web");
    let plan = |seed| {
        let now = Timestamp::UNIX_EPOCH;
        ReplicaSets.plan(&world, &key, Context { now, seed }).actions
    };
    assert_eq!(plan(1), plan(2));
    assert_eq!(
        plan(1)
            .iter()
            .filter(|action| matches!(action, Action::Create(_)))
            .count(),
        3
    );
}

#[test]
fn orphans_that_match_are_adopted_and_own_pods_that_do_not_are_released() {
    let mut cluster = Cluster::with_nodes(1);
    cluster.apply(&pod("stray", "web"));
    cluster.apply(&pod("other", "db"));
    cluster.apply(&set("web", 2));
    assert_eq!(cluster.all::<Pod>().len(), 3, "the stray is one of the two");
    assert!(facts::controller(&cluster.get::<Pod>("default", "stray").metadata).is_some());
    assert!(facts::controller(&cluster.get::<Pod>("default", "other").metadata).is_none());

    cluster.edit::<Pod>("default", "stray", |pod| {
        pod.metadata
            .labels
            .as_mut()
            .unwrap()
            .insert("app".to_owned(), "taken-out".to_owned());
    });
    assert!(facts::controller(&cluster.get::<Pod>("default", "stray").metadata).is_none());
    assert_eq!(cluster.all::<Pod>().len(), 4, "and another takes its place");

    cluster.edit::<Pod>("default", "stray", |pod| {
        pod.metadata
            .labels
            .as_mut()
            .unwrap()
            .insert("app".to_owned(), "web".to_owned());
    });
    assert_eq!(cluster.all::<Pod>().len(), 3, "back again, it is one too many");
}

#[test]
fn a_finished_pod_is_replaced_and_kept() {
    let mut cluster = Cluster::with_nodes(1);
    cluster.apply(&set("web", 1));
    let mut failed = cluster.all::<Pod>()[0].clone();
    failed.status.as_mut().unwrap().phase = Some("Failed".to_owned());
    cluster.server.put(failed.into());
    cluster.settle();
    assert_eq!(cluster.all::<Pod>().len(), 2);
    assert_eq!(cluster.all::<Pod>().iter().filter(|pod| is_running(pod)).count(), 1);
}

#[test]
fn a_pod_is_available_when_it_has_been_ready_long_enough() {
    let mut cluster = Cluster::with_nodes(1);
    let mut patient = set("web", 1);
    patient["spec"]["minReadySeconds"] = json!(30);
    cluster.apply(&patient);
    let available = |cluster: &Cluster| {
        let status = cluster.get::<ReplicaSet>("default", "web").status.clone().unwrap();
        (status.ready_replicas, status.available_replicas)
    };
    assert_eq!(available(&cluster), (Some(1), None));
    cluster.tick(Duration::from_secs(20));
    assert_eq!(available(&cluster), (Some(1), None));
    cluster.tick(Duration::from_secs(10));
    assert_eq!(
        available(&cluster),
        (Some(1), Some(1)),
        "by the timer: nothing else happened"
    );
}

#[test]
fn a_plan_makes_a_burst_at_most_and_the_next_ones_the_rest() {
    let mut cluster = Cluster::with_nodes(0);
    cluster.apply(&set("web", 1200));
    assert_eq!(cluster.all::<Pod>().len(), 1200);
}

#[test]
fn what_is_there_is_told_before_more_is_asked_for() {
    let mut cluster = Cluster::with_nodes(0);
    cluster.apply(&set("web", 1));
    let mut world = cluster.server.world.clone();
    let mut grown = cluster.get::<ReplicaSet>("default", "web").clone();
    grown.spec.as_mut().unwrap().replicas = Some(3);
    grown.status = None;
    world.put(grown.into());
    let key = ObjectKey::new(Kind::ReplicaSet, "default", "web");
    let now = cluster.now;
    let actions = ReplicaSets.plan(&world, &key, Context { now, seed: 1 }).actions;
    assert!(
        matches!(
            actions.as_slice(),
            [Action::UpdateStatus(_), Action::Create(_), Action::Create(_), ..]
        ),
        "{actions:?}"
    );
}

#[test]
fn a_refusal_of_pods_is_told_until_there_are_enough() {
    let mut cluster = Cluster::with_nodes(1);
    cluster.server.room.insert(Kind::Pod, 2);
    cluster.apply(&set("web", 3));
    let said = cluster.announced.iter().find(|said| said.reason == "FailedCreate");
    let said = said.expect("a refusal is told at once").clone();
    assert_eq!(
        (said.severity, said.message.as_str(), said.source),
        (
            Severity::Warning,
            "Error creating: exceeded quota: Pod",
            "replicaset-controller"
        )
    );
    let told = |cluster: &Cluster| -> Vec<(String, String, Option<String>, Option<String>)> {
        let status = cluster.get::<ReplicaSet>("default", "web").status.clone().unwrap();
        let conditions = status.conditions.into_iter().flatten();
        conditions
            .map(|told| (told.type_, told.status, told.reason, told.message))
            .collect()
    };
    let failure = [(
        "ReplicaFailure".to_owned(),
        "True".to_owned(),
        Some("FailedCreate".to_owned()),
        Some("exceeded quota: Pod".to_owned()),
    )];
    for _ in 0..3 {
        cluster.tick(Duration::from_secs(10));
        assert_eq!(told(&cluster), failure);
        assert_eq!(cluster.all::<Pod>().len(), 2);
    }
    cluster.server.room.clear();
    cluster.tick(Duration::from_secs(10));
    assert_eq!(cluster.all::<Pod>().len(), 3, "it was tried again");
    assert_eq!(told(&cluster), []);
}

#[test]
fn ends_alike_whatever_happens() {
    assert_robust(|cluster| {
        cluster.add_nodes(2);
        let mut stray = pod("stray", "web");
        stray["metadata"]["annotations"] = json!({"controller.kubernetes.io/pod-deletion-cost": "1000"});
        cluster.apply(&stray);
        cluster.apply(&set("web", 5));
        cluster.apply(&set("db", 2));
        cluster.apply(&set("web", 2));
        cluster.delete(Kind::ReplicaSet, "default", "db");
        cluster.apply(&set("web", 4));
    });
}
