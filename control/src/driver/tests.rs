//! The driver with toy planners over a real store, with hands that write to it directly.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use api::{
    Kind, Object, ObjectKey,
    k8s_openapi::{
        api::{
            apps::v1::ReplicaSet,
            core::v1::{ConfigMap, Pod},
        },
        apimachinery::pkg::apis::meta::v1::OwnerReference,
    },
};
use bytes::Bytes;
use parking_lot::Mutex;
use reconcile::{
    Action, Plan, Removal,
    plan::{Announcement, Refusal, Severity},
};
use serde_json::{Value, json};

use super::{
    carry::{StepError, Written},
    steps::Step,
    *,
};
use crate::store::{Expect, ListRequest, Op, Revision, StoreConfig, StoreKey, Write};

/// Writes to the store without an engine; can be told to refuse creations.
#[derive(Clone)]
struct Direct {
    store: Store,
    refusals: Arc<AtomicUsize>,
    performed: Arc<Mutex<Vec<&'static str>>>,
    /// Steps wait for a permit, so that tests choose when they happen.
    gate: Arc<tokio::sync::Semaphore>,
}

impl Direct {
    fn new(store: &Store) -> Direct {
        Direct {
            store: store.clone(),
            refusals: Arc::default(),
            performed: Arc::default(),
            gate: Arc::new(tokio::sync::Semaphore::new(10_000)),
        }
    }

    async fn write(&self, key: StoreKey, expect: Expect, op: Op) -> Result<Written, StepError> {
        match self.store.commit(vec![Write { key, expect, op }]).await {
            Ok(revisions) => Ok(Written::At(revisions[0])),
            Err(crate::store::CommitError::Conflict { .. }) => Err(StepError::Stale("conflict".to_owned())),
            Err(error) => Err(StepError::Failed(error.to_string())),
        }
    }
}

fn store_key(key: &ObjectKey) -> StoreKey {
    StoreKey::new(key.kind.collection(), key.namespace.as_str(), key.name.as_str())
}

impl Hands for Direct {
    async fn perform(&self, _planner: &'static str, step: Step) -> Result<Written, StepError> {
        self.gate.acquire().await.expect("never closed").forget();
        match step {
            Step::Create {
                kind,
                namespace,
                mut object,
            } => {
                self.performed.lock().push("create");
                if self
                    .refusals
                    .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1))
                    .is_ok()
                {
                    return Err(StepError::Failed("quota".to_owned()));
                }
                object["metadata"]["uid"] = json!(uuid::Uuid::new_v4().to_string());
                let name = object["metadata"]["name"].as_str().unwrap_or_default().to_owned();
                let key = StoreKey::new(kind.collection(), namespace, name);
                self.write(key, Expect::Absent, Op::Put(Bytes::from(object.to_string())))
                    .await
            }
            Step::Patch { key, mut patch, .. } => {
                self.performed.lock().push("patch");
                let key = store_key(&key);
                let version = patch["metadata"]["resourceVersion"]
                    .as_str()
                    .expect("a precondition")
                    .parse::<u64>();
                patch["metadata"]
                    .as_object_mut()
                    .expect("metadata")
                    .remove("resourceVersion");
                let Ok(Some(stored)) = self.store.get(&key, None) else {
                    return Err(StepError::Stale("gone".to_owned()));
                };
                let mut object: Value = serde_json::from_slice(&stored.value).expect("JSON");
                json_patch::merge(&mut object, &patch);
                let op = Op::Put(Bytes::from(object.to_string()));
                self.write(key, Expect::At(version.expect("a number")), op).await
            }
            Step::Delete { key, .. } => {
                self.performed.lock().push("delete");
                self.write(store_key(&key), Expect::Anything, Op::Delete).await
            }
            Step::Bind { .. } => unreachable!("no toy planner binds"),
        }
    }

    fn revision(&self) -> Revision {
        self.store.revision()
    }
}

/// Keeps `spec.replicas` pods per ReplicaSet and their number in its status; tells what it is refused.
struct Replicas;

fn told(key: &ObjectKey, reason: &'static str, refusal: &Refusal) -> Announcement {
    Announcement {
        about: key.clone(),
        uid: String::new(),
        severity: Severity::Warning,
        reason,
        message: refusal.message.clone(),
        source: "replicas",
    }
}

impl Planner for Replicas {
    fn name(&self) -> &'static str {
        "replicas"
    }

    fn watches(&self) -> &'static [Kind] {
        &[Kind::ReplicaSet, Kind::Pod]
    }

    fn affected(
        &self,
        world: &World,
        changed: &ObjectKey,
        before: Option<&Object>,
        after: Option<&Object>,
    ) -> Vec<ObjectKey> {
        if changed.kind == Kind::ReplicaSet {
            return vec![changed.clone()];
        }
        [before, after]
            .into_iter()
            .flatten()
            .flat_map(|pod| pod.metadata().owner_references.iter().flatten())
            .filter_map(|owner| Some(world.by_uid(&owner.uid)?.key()))
            .collect()
    }

    fn plan(&self, world: &World, key: &ObjectKey, context: Context) -> Plan {
        let mut plan = Plan::default();
        let Some(set) = world.typed::<ReplicaSet>(&key.namespace, &key.name) else {
            return plan;
        };
        let owner = OwnerReference {
            uid: set.metadata.uid.clone().unwrap_or_default(),
            ..OwnerReference::default()
        };
        let wanted = usize::try_from(set.spec.as_ref().and_then(|spec| spec.replicas).unwrap_or(1)).unwrap_or(0);
        let pods: Vec<&Object> = world.owned_by(&owner.uid).collect();
        for at in pods.len()..wanted {
            let mut pod = Pod::default();
            pod.metadata.namespace = Some(key.namespace.clone());
            pod.metadata.name = Some(format!("{}-{:x}-{at}", key.name, context.seed));
            pod.metadata.owner_references = Some(vec![owner.clone()]);
            plan.actions.push(Action::Create(Box::new(pod.into())));
        }
        for pod in pods.iter().skip(wanted) {
            plan.actions.push(Action::Delete {
                key: pod.key(),
                uid: pod.uid().to_owned(),
                how: Removal::Graceful,
            });
        }
        let counted = i32::try_from(pods.len()).unwrap_or(i32::MAX);
        if set.status.as_ref().map(|status| status.replicas) != Some(counted) {
            let mut told = set.clone();
            told.status.get_or_insert_default().replicas = counted;
            plan.actions.push(Action::UpdateStatus(Box::new(told.into())));
        }
        plan
    }

    fn plan_after(&self, refusal: &Refusal, world: &World, key: &ObjectKey, context: Context) -> Plan {
        let mut plan = self.plan(world, key, context);
        plan.actions.insert(0, Action::Announce(told(key, "Noted", refusal)));
        plan
    }

    fn announce_refusal(&self, _: &World, key: &ObjectKey, refusal: &Refusal) -> Option<Announcement> {
        Some(told(key, "Refused", refusal))
    }
}

struct Running {
    _directory: tempfile::TempDir,
    store: Store,
    hands: Direct,
    records: mpsc::Receiver<Record>,
    shutdown: CancellationToken,
    task: tokio::task::JoinHandle<()>,
}

fn start(planners: Vec<Box<dyn Planner>>, prepare: impl FnOnce(&mut Direct)) -> Running {
    let directory = tempfile::tempdir().expect("temporary directory");
    let store = Store::open(StoreConfig::new(directory.path().join("store.redb"))).expect("open");
    let mut hands = Direct::new(&store);
    prepare(&mut hands);
    let (sender, records) = mpsc::channel(64);
    let shutdown = CancellationToken::new();
    let task = tokio::spawn(run_with(
        hands.clone(),
        store.clone(),
        planners,
        sender,
        Arc::default(),
        meter::WorkMeter::new(),
        shutdown.clone(),
    ));
    Running {
        _directory: directory,
        store,
        hands,
        records,
        shutdown,
        task,
    }
}

impl Running {
    async fn stop(self) -> Direct {
        self.shutdown.cancel();
        self.task.await.expect("driver");
        self.hands
    }

    async fn put(&self, kind: Kind, name: &str, object: Value) {
        let key = StoreKey::new(kind.collection(), "default", name);
        let op = Op::Put(Bytes::from(object.to_string()));
        let expect = Expect::Anything;
        self.store.commit(vec![Write { key, expect, op }]).await.expect("put");
    }

    async fn put_set(&self, name: &str, replicas: usize) {
        self.put(
            Kind::ReplicaSet,
            name,
            json!({
                "metadata": {"namespace": "default", "name": name, "uid": name},
                "spec": {"replicas": replicas, "selector": {}},
            }),
        )
        .await;
    }

    fn pods(&self) -> BTreeSet<String> {
        let request = ListRequest {
            collection: "pods".to_owned(),
            ..ListRequest::default()
        };
        let page = self.store.list(&request).expect("list");
        page.items.into_iter().map(|item| item.key.name).collect()
    }

    fn counted(&self, name: &str) -> Option<i64> {
        let key = StoreKey::new(Kind::ReplicaSet.collection(), "default", name);
        let stored = self.store.get(&key, None).expect("get")?;
        let object: Value = serde_json::from_slice(&stored.value).expect("JSON");
        object["status"]["replicas"].as_i64()
    }

    /// Waits, change by change, until `holds`.
    async fn until(&self, what: &str, holds: impl Fn(&Running) -> bool) {
        let waiting = async {
            loop {
                let revision = self.store.revision();
                if holds(self) {
                    return;
                }
                self.store.wait_for(revision + 1).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(20), waiting)
            .await
            .unwrap_or_else(|_| panic!("{what}: pods {:?}", self.pods()));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn plans_follow_changes_and_nothing_is_done_twice() {
    let running = start(vec![Box::new(Replicas)], |_| {});
    for (round, replicas) in [7, 3, 12, 0, 40].into_iter().enumerate() {
        running.put_set("web", replicas).await;
        let expected = i64::try_from(replicas).expect("small");
        running
            .until(&format!("round {round}"), |running| {
                running.pods().len() == replicas && running.counted("web") == Some(expected)
            })
            .await;
    }
    let hands = running.stop().await;
    let mut counts = BTreeMap::new();
    for step in hands.performed.lock().iter() {
        *counts.entry(*step).or_insert(0) += 1;
    }
    // 7, -4, +9, -12, +40: a plan on a world without its own last pods would have created or deleted more.
    assert_eq!((counts["create"], counts["delete"]), (7 + 9 + 40, 4 + 12), "{counts:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_there_before_the_start_is_planned() {
    let directory = tempfile::tempdir().expect("temporary directory");
    let store = Store::open(StoreConfig::new(directory.path().join("store.redb"))).expect("open");
    let set = json!({
        "metadata": {"namespace": "default", "name": "old", "uid": "old"},
        "spec": {"replicas": 2, "selector": {}},
    });
    let write = Write {
        key: StoreKey::new(Kind::ReplicaSet.collection(), "default", "old"),
        expect: Expect::Absent,
        op: Op::Put(Bytes::from(set.to_string())),
    };
    store.commit(vec![write]).await.expect("put");
    let hands = Direct::new(&store);
    let (sender, records) = mpsc::channel(64);
    let shutdown = CancellationToken::new();
    let task = tokio::spawn(run_with(
        hands.clone(),
        store.clone(),
        vec![Box::new(Replicas)],
        sender,
        Arc::default(),
        meter::WorkMeter::new(),
        shutdown.clone(),
    ));
    let running = Running {
        _directory: directory,
        store,
        hands,
        records,
        shutdown,
        task,
    };
    running.until("two pods", |running| running.pods().len() == 2).await;
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn refused_creations_are_asked_for_once_and_come_back() {
    let running = start(vec![Box::new(Replicas)], |hands| {
        hands.refusals.store(2, Ordering::SeqCst)
    });
    running.put_set("web", 100).await;
    running.until("all pods", |running| running.pods().len() == 100).await;
    let hands = running.stop().await;
    let creations = hands.performed.lock().iter().filter(|step| **step == "create").count();
    assert_eq!(creations, 102, "each refusal cost one request, not a hundred");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refusal_is_told_at_once_and_known_to_the_next_plan_only() {
    let mut running = start(vec![Box::new(Replicas)], |hands| {
        hands.refusals.store(2, Ordering::SeqCst)
    });
    running.put_set("web", 3).await;
    for reason in ["Refused", "Noted", "Refused", "Noted"] {
        let record = running.records.recv().await.expect("a record");
        assert_eq!((record.reason.as_str(), record.message.as_str()), (reason, "quota"));
    }
    running.until("all pods", |running| running.pods().len() == 3).await;
    running.put_set("web", 4).await;
    running.until("one more", |running| running.pods().len() == 4).await;
    assert!(running.records.try_recv().is_err(), "nothing is refused any more");
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_write_that_somebody_else_overtook_is_planned_again() {
    let running = start(vec![Box::new(Replicas)], |hands| {
        hands.gate = Arc::new(tokio::sync::Semaphore::new(0));
    });
    running.put_set("web", 0).await;
    // The status patch waits at the gate while the object changes.
    running.put_set("web", 0).await;
    running.hands.gate.add_permits(100);
    running
        .until("the status is told", |running| running.counted("web") == Some(0))
        .await;
    running.stop().await;
}

/// Says something about each ConfigMap, and again after a time until it has a key `done`.
struct Teller;

impl Planner for Teller {
    fn name(&self) -> &'static str {
        "teller"
    }

    fn watches(&self) -> &'static [Kind] {
        &[Kind::ConfigMap]
    }

    fn at_start(&self) -> Vec<ObjectKey> {
        vec![ObjectKey::new(Kind::ConfigMap, "", "")]
    }

    fn affected(&self, _: &World, changed: &ObjectKey, _: Option<&Object>, _: Option<&Object>) -> Vec<ObjectKey> {
        vec![changed.clone()]
    }

    fn plan(&self, world: &World, key: &ObjectKey, _context: Context) -> Plan {
        let found = world.typed::<ConfigMap>(&key.namespace, &key.name);
        let is_done = |map: &ConfigMap| map.data.as_ref().is_some_and(|data| data.contains_key("done"));
        Plan {
            actions: vec![Action::Announce(Announcement {
                about: key.clone(),
                uid: String::new(),
                severity: Severity::Normal,
                reason: "Seen",
                message: format!("{}", found.is_some_and(is_done)),
                source: "teller",
            })],
            requeue_after: found.filter(|map| !is_done(map)).map(|_| Duration::from_millis(5)),
            ..Plan::default()
        }
    }
}

#[tokio::test]
async fn announcements_timers_and_keys_at_the_start() {
    let mut running = start(vec![Box::new(Teller)], |_| {});
    let first = running.records.recv().await.expect("at the start");
    assert_eq!((first.name.as_str(), first.reason.as_str()), ("", "Seen"));
    let map = |data: Value| json!({"metadata": {"namespace": "default", "name": "m"}, "data": data});
    running.put(Kind::ConfigMap, "m", map(json!({}))).await;
    for _ in 0..3 {
        let again = running.records.recv().await.expect("by the timer");
        assert_eq!((again.name.as_str(), again.message.as_str()), ("m", "false"));
    }
    running.put(Kind::ConfigMap, "m", map(json!({"done": ""}))).await;
    while running.records.recv().await.expect("by the change").message == "false" {}
    assert!(
        tokio::time::timeout(Duration::from_millis(50), running.records.recv())
            .await
            .is_err(),
        "no timer is left"
    );
    running.stop().await;
}

#[tokio::test]
async fn closing_the_store_ends_the_driver() {
    for has_read in [true, false] {
        let mut running = start(vec![Box::new(Teller)], |_| {});
        if has_read {
            running.records.recv().await.expect("it has read the store");
        }
        running.store.close().await;
        tokio::time::timeout(Duration::from_secs(5), running.task)
            .await
            .unwrap_or_else(|_| panic!("ends; the store was read: {has_read}"))
            .expect("driver");
    }
}
