//! A cluster without I/O for tests: a store with the engine's rules, the driver, and nodes that run pods.
//!
//! Scripts apply objects, let time pass and look at the end. [`assert_robust`] runs a script once undisturbed and then
//! with seeds that kill the driver between any two writes, deliver events twice and out of order, and plan from old
//! views, and compares the ends.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use api::{Kind, Object, ObjectKey, Timestamp, k8s_openapi::apimachinery::pkg::apis::meta::v1::Time, object::Typed};
use serde_json::{Value, json};

use crate::{
    facts,
    plan::{Action, Announcement, Asked, Context, Plan, Planner, Refusal},
    planners::{PlannerConfig, planners},
    world::World,
};

mod compare;
mod nodes;
pub(crate) mod server;

pub(crate) use compare::assert_robust;
use server::{Refused, Server};

/// Steps of the driver in one settling; more means that planners feed each other without end.
const STEPS_MAX: usize = 200_000;

/// When a key is planned again whose plan was refused something.
const RETRY_AFTER: Duration = Duration::from_secs(5);

/// What goes wrong in a run, each in percent of the occasions.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Disturbance {
    /// The driver dies after a write and starts anew.
    pub(crate) kill: u64,
    /// An event is delivered twice.
    pub(crate) duplicate: u64,
    /// The next key is any, not the oldest.
    pub(crate) reorder: u64,
    /// A plan is made before the view has caught up.
    pub(crate) stale: u64,
}

/// Splitmix64: small, seeded, good enough to shake a driver.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Dice(pub(crate) u64);

impl Dice {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn falls(&mut self, percent: u64) -> bool {
        percent > 0 && self.next() % 100 < percent
    }

    fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound.max(1) as u64) as usize
    }
}

type WorkKey = (usize, ObjectKey);

/// The driver's memory: all of it is lost when the driver is killed.
#[derive(Default)]
struct Driver {
    view: World,
    /// How much of the server's history the view has taken in.
    seen: usize,
    queue: Vec<WorkKey>,
    /// A key is not planned before the view holds what its last plan wrote.
    not_before: BTreeMap<WorkKey, u64>,
    timers: BTreeMap<WorkKey, Timestamp>,
    /// What the last plan of a key was refused, until it is planned again.
    refusals: BTreeMap<WorkKey, Refusal>,
}

/// The whole cluster.
pub(crate) struct Cluster {
    pub(crate) now: Timestamp,
    pub(crate) server: Server,
    pub(crate) announced: Vec<Announcement>,
    /// Nodes whose agents live.
    living: BTreeSet<String>,
    /// Images that never become ready, by container image.
    pub(crate) broken_images: BTreeSet<String>,
    /// True: agents leave terminating pods as they are.
    pub(crate) stops_hang: bool,
    planners: Vec<Box<dyn Planner>>,
    driver: Driver,
    dice: Dice,
    disturbance: Disturbance,
    pub(crate) steps: usize,
    /// Looked at after every write; an `Err` fails the test with the seed.
    invariant: fn(&World) -> Result<(), String>,
}

impl Cluster {
    pub(crate) fn new(seed: u64, disturbance: Disturbance) -> Cluster {
        let now: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
        let mut cluster = Cluster {
            now,
            server: Server::default(),
            announced: Vec::new(),
            living: BTreeSet::new(),
            broken_images: BTreeSet::new(),
            stops_hang: false,
            planners: Vec::new(),
            driver: Driver::default(),
            dice: Dice(seed),
            disturbance,
            steps: 0,
            invariant: |_| Ok(()),
        };
        cluster.restart();
        cluster.settle();
        cluster
    }

    /// The server starts (again), now: a driver that knows nothing, and planners that heard nothing before.
    pub(crate) fn restart(&mut self) {
        self.planners = planners(PlannerConfig {
            started: self.now,
            cluster_cidr: "10.42.0.0/16".parse().unwrap(),
            node_prefix_length: 24,
            service_cidr: "10.43.0.0/16".parse().unwrap(),
            dns_ip: "10.43.0.10".parse().unwrap(),
            api_endpoint: "192.0.2.1:6443".parse().unwrap(),
            root_ca_pem: "-- ca --".to_owned(),
            node_grace: Duration::from_secs(40),
        });
        self.start_driver();
    }

    /// A cluster without disturbance, with this many nodes that work.
    pub(crate) fn with_nodes(count: usize) -> Cluster {
        let mut cluster = Cluster::new(1, Disturbance::default());
        cluster.add_nodes(count);
        cluster
    }

    pub(crate) fn always(&mut self, invariant: fn(&World) -> Result<(), String>) {
        self.invariant = invariant;
    }

    /// Creates the object, or brings an existing one to this spec, as a user would.
    pub(crate) fn apply(&mut self, manifest: &Value) {
        let kind = Kind::by_name(manifest["kind"].as_str().expect("a kind")).expect("a known kind");
        let mut object = Object::decode(kind, manifest.to_string().as_bytes()).unwrap_or_else(|error| {
            panic!(
                "{manifest}: {:?}",
                std::error::Error::source(&error).map(ToString::to_string)
            )
        });
        match self.server.get(&object.key()).cloned() {
            None => self.server.create(object, self.now).map(|_| ()),
            Some(present) => {
                let merged = server::merged(&present, &object);
                object = merged;
                object.metadata_mut().resource_version = None;
                self.server.update(object, self.now)
            }
        }
        .unwrap_or_else(|refused| panic!("apply {manifest}: {refused:?}"));
        self.settle();
    }

    /// Changes an object in place, as a user would.
    pub(crate) fn edit<T: Typed + Clone + Into<Object>>(&mut self, namespace: &str, name: &str, edit: impl Fn(&mut T)) {
        let mut object = self.get::<T>(namespace, name).clone();
        edit(&mut object);
        let mut object: Object = object.into();
        object.metadata_mut().resource_version = None;
        self.server.update(object, self.now).unwrap();
        self.settle();
    }

    pub(crate) fn delete(&mut self, kind: Kind, namespace: &str, name: &str) {
        self.delete_as(kind, namespace, name, server::Propagation::Background);
    }

    pub(crate) fn delete_as(&mut self, kind: Kind, namespace: &str, name: &str, propagation: server::Propagation) {
        self.server
            .delete(
                &ObjectKey::new(kind, namespace, name),
                None,
                None,
                propagation,
                self.now,
            )
            .unwrap();
        self.settle();
    }

    pub(crate) fn get<T: Typed>(&self, namespace: &str, name: &str) -> &T {
        self.find(namespace, name)
            .unwrap_or_else(|| panic!("no {} {namespace}/{name}", T::KIND))
    }

    pub(crate) fn find<T: Typed>(&self, namespace: &str, name: &str) -> Option<&T> {
        self.server.world.typed(namespace, name)
    }

    pub(crate) fn all<T: Typed>(&self) -> Vec<&T> {
        self.server.world.all().collect()
    }

    /// Lets time pass in steps of a heartbeat, settling after each.
    pub(crate) fn tick(&mut self, time: Duration) {
        let mut left = time;
        while !left.is_zero() {
            let step = left.min(Duration::from_secs(10));
            left -= step;
            self.now = self.now.checked_add(step).unwrap();
            self.heartbeat();
            self.settle();
        }
    }

    /// Runs driver and nodes until nobody has anything to do.
    pub(crate) fn settle(&mut self) {
        loop {
            self.drive();
            let before = self.server.world.revision;
            self.run_nodes();
            if self.server.world.revision == before {
                break;
            }
        }
    }

    /// Asks every planner about every object: with nothing to do, none may write. A write that changes nothing would
    /// pass unnoticed here and cost the store a commit for every change there.
    pub(crate) fn assert_at_rest(&self) {
        let world = &self.server.world;
        let context = Context { now: self.now, seed: 0 };
        for planner in &self.planners {
            let mut keys = planner.at_start();
            for object in planner.watches().iter().flat_map(|kind| world.of_kind(*kind)) {
                keys.extend(planner.affected(world, &object.key(), None, Some(object)));
            }
            for key in keys {
                let plan = planner.plan(world, &key, context);
                assert!(
                    plan.actions.is_empty(),
                    "{} is not at rest about {key}: {} {:?}",
                    planner.name(),
                    described(&plan),
                    plan.actions
                );
            }
        }
    }

    fn start_driver(&mut self) {
        self.driver = Driver {
            view: self.server.world.clone(),
            seen: self.server.history.len(),
            ..Driver::default()
        };
        let mut work: Vec<WorkKey> = Vec::new();
        for (number, planner) in self.planners.iter().enumerate() {
            work.extend(planner.at_start().into_iter().map(|key| (number, key)));
            for kind in planner.watches() {
                for object in self.driver.view.of_kind(*kind) {
                    let keys = planner.affected(&self.driver.view, &object.key(), None, Some(object));
                    work.extend(keys.into_iter().map(|key| (number, key)));
                }
            }
        }
        work.into_iter().for_each(|key| self.enqueue(key));
    }

    fn enqueue(&mut self, key: WorkKey) {
        if !self.driver.queue.contains(&key) {
            self.driver.queue.push(key);
        }
    }

    /// Takes one more change of the server's history into the view.
    fn catch_up(&mut self) {
        let change = self.server.history[self.driver.seen].clone();
        self.driver.seen += 1;
        let before = match &change.after {
            Some(after) => self.driver.view.put(after.clone()),
            None => self.driver.view.remove(&change.key),
        };
        self.driver.view.revision = change.revision;
        let times = if self.dice.falls(self.disturbance.duplicate) {
            2
        } else {
            1
        };
        for _ in 0..times {
            let mut work = Vec::new();
            for (number, planner) in self.planners.iter().enumerate() {
                if planner.watches().contains(&change.key.kind) {
                    let keys = planner.affected(&self.driver.view, &change.key, before.as_ref(), change.after.as_ref());
                    work.extend(keys.into_iter().map(|key| (number, key)));
                }
            }
            work.into_iter().for_each(|key| self.enqueue(key));
        }
    }

    fn drive(&mut self) {
        for _ in 0..STEPS_MAX {
            while self.driver.seen < self.server.history.len()
                && (self.driver.queue.is_empty() || !self.dice.falls(self.disturbance.stale))
            {
                self.catch_up();
            }
            let due: Vec<WorkKey> = self
                .driver
                .timers
                .iter()
                .filter(|(_, at)| **at <= self.now)
                .map(|(key, _)| key.clone())
                .collect();
            for key in due {
                self.driver.timers.remove(&key);
                self.enqueue(key);
            }
            if self.driver.queue.is_empty() {
                if self.driver.seen == self.server.history.len() {
                    return;
                }
                continue;
            }
            let at = if self.dice.falls(self.disturbance.reorder) {
                self.dice.below(self.driver.queue.len())
            } else {
                0
            };
            let key = self.driver.queue.remove(at);
            self.step(&key);
        }
        let waiting: Vec<String> = self
            .driver
            .queue
            .iter()
            .map(|(planner, key)| format!("{}: {key}", self.planners[*planner].name()))
            .collect();
        panic!("the planners do not come to rest: {waiting:?}");
    }

    fn step(&mut self, key: &WorkKey) {
        self.steps += 1;
        while self.driver.view.revision < self.driver.not_before.get(key).copied().unwrap_or(0) {
            self.catch_up();
        }
        let context = Context {
            now: self.now,
            seed: self.dice.next(),
        };
        let planner = &self.planners[key.0];
        let plan = match self.driver.refusals.remove(key) {
            None => planner.plan(&self.driver.view, &key.1, context),
            Some(refusal) => planner.plan_after(&refusal, &self.driver.view, &key.1, context),
        };
        if std::env::var_os("SIMULATION_TRACE").is_some() {
            println!("{} {}: {}", self.planners[key.0].name(), key.1, described(&plan));
        }
        if let Some(after) = plan.requeue_after {
            self.driver
                .timers
                .insert(key.clone(), self.now.checked_add(after).unwrap());
        }
        for action in plan.actions {
            let created = match &action {
                Action::Create(object) => Some(object.key()),
                _ => None,
            };
            let result = self.server.carry_out(action, self.now, &mut self.announced);
            if let Err(violation) = (self.invariant)(&self.server.world) {
                panic!("{violation}");
            }
            if self.dice.falls(self.disturbance.kill) {
                self.start_driver();
                return;
            }
            match result {
                Ok(()) => {}
                Err(Refused::Conflict) => {
                    // Replan, once the view has what the plan did not know.
                    self.driver.not_before.insert(key.clone(), self.server.world.revision);
                    self.enqueue(key.clone());
                    return;
                }
                Err(Refused::NoRoom(message)) => {
                    let refusal = Refusal {
                        asked: Asked::Creation,
                        object: created.expect("only creations need room"),
                        message,
                    };
                    let told = self.planners[key.0].announce_refusal(&self.driver.view, &key.1, &refusal);
                    self.announced.extend(told);
                    self.driver.refusals.insert(key.clone(), refusal);
                    self.driver.not_before.insert(key.clone(), self.server.world.revision);
                    let again = self.now.checked_add(RETRY_AFTER).unwrap();
                    self.driver.timers.insert(key.clone(), again);
                    return;
                }
                Err(Refused::Forbidden(why)) => panic!("{}: {}: {why}", self.planners[key.0].name(), key.1),
            }
        }
        self.driver.not_before.insert(key.clone(), self.server.world.revision);
    }
}

fn described(plan: &Plan) -> String {
    let actions = plan.actions.iter().map(|action| match action {
        Action::Create(object) => format!("create {}", object.key()),
        Action::Update(object) => format!("update {}", object.key()),
        Action::UpdateStatus(object) => format!("status {}", object.key()),
        Action::Delete { key, how, .. } => format!("delete {key} {how:?}"),
        Action::Bind { pod, node, .. } => format!("bind {pod} to {node}"),
        Action::Announce(announcement) => format!("announce {}", announcement.reason),
    });
    actions.collect::<Vec<_>>().join(", ")
}

/// A Deployment's manifest.
pub(crate) fn deployment(name: &str, replicas: u32, image: &str) -> Value {
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": {"namespace": "default", "name": name},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": {"app": name}},
            "template": {
                "metadata": {"labels": {"app": name}},
                "spec": {"containers": [{"name": "main", "image": image}]},
            },
        },
    })
}

/// A Service's manifest, selecting `app: name`.
pub(crate) fn service(name: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Service",
        "metadata": {"namespace": "default", "name": name},
        "spec": {"clusterIP": "10.43.1.1", "selector": {"app": name}, "ports": [{"port": 80, "targetPort": 8080}]},
    })
}

/// A time as tests write it.
pub(crate) fn time(text: &str) -> Time {
    Time(text.parse().unwrap())
}

/// True for a pod that serves.
pub(crate) fn is_running(pod: &api::k8s_openapi::api::core::v1::Pod) -> bool {
    facts::is_active(pod) && facts::is_ready(pod)
}
