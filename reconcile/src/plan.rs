//! What a planner answers: the writes that move one object toward its spec, and what it waits for.

use std::time::Duration;

use api::{Kind, Object, ObjectKey, Timestamp};

use crate::world::World;

/// What a planner may know besides the world.
#[derive(Debug, Clone, Copy)]
pub struct Context {
    /// The time of this plan.
    pub now: Timestamp,
    /// Source of name suffixes: the same seed gives the same plan. The driver draws a new one for each plan.
    pub seed: u64,
}

/// One write. The driver commits it only if the objects it rests on are unchanged, and replans otherwise.
#[derive(Debug, Clone, PartialEq)]
pub enum Action {
    /// Create the object. Its `metadata.name` is set; the server gives uid and creation time.
    /// An object of that name that exists already makes the driver replan.
    Create(Box<Object>),
    /// Bring spec and metadata of an existing object to this. `metadata.resourceVersion` is the one that was read.
    /// Only what differs from the object in the world is written, so fields that our types do not know survive.
    Update(Box<Object>),
    /// Bring the status of an existing object to this, as [`Action::Update`] does for the rest.
    UpdateStatus(Box<Object>),
    /// Delete the object with this uid. One that is gone already is a success.
    Delete {
        /// The object.
        key: ObjectKey,
        /// Only if it still has this uid.
        uid: String,
        /// With which options.
        how: Removal,
    },
    /// Assign a pod to a node (the `binding` subresource); refused if it has one already.
    Bind {
        /// Name of the pod's namespace and of the pod.
        pod: ObjectKey,
        /// Only if it still has this uid.
        uid: String,
        /// The node's name.
        node: String,
    },
    /// Tell people: becomes an Event on `about`, aggregated by (object, reason, message).
    Announce(Announcement),
}

/// How an object is to be deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Removal {
    /// With the object's own grace; dependents follow in the background.
    Graceful,
    /// `propagationPolicy: Foreground`: the object stays until its blocking dependents are gone.
    Foreground,
    /// `gracePeriodSeconds: 0`: nobody is left who could stop the pod.
    Now,
}

/// A creation or a deletion that the server refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// What was asked for.
    pub asked: Asked,
    /// The object that it was asked for.
    pub object: ObjectKey,
    /// The server's words.
    pub message: String,
}

/// What a plan asked of the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asked {
    /// That an object be there.
    Creation,
    /// That an object go.
    Deletion,
}

/// An event to record about an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Announcement {
    /// The object the event is about.
    pub about: ObjectKey,
    /// Its uid.
    pub uid: String,
    /// Whether somebody should look.
    pub severity: Severity,
    /// CamelCase, as Kubernetes names it: `SuccessfulCreate`, `FailedScheduling`.
    pub reason: &'static str,
    /// A sentence.
    pub message: String,
    /// The component that speaks: `replicaset-controller`.
    pub source: &'static str,
}

/// An event's `type`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Severity {
    /// Routine.
    Normal,
    /// Something to look at.
    Warning,
}

/// What stands between an object and its spec; `skep describe` and `skep why` show it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Waiting {
    /// CamelCase, for machines.
    pub reason: &'static str,
    /// A sentence, for people.
    pub message: String,
    /// The object waited for, if it is one.
    pub on: Option<ObjectKey>,
}

/// The answer of a planner for one object.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Plan {
    /// In order. Neighbours of the same variant form a run and do not depend on each other: the driver may carry
    /// a run out concurrently, creations in batches of 1, 2, 4, … that stop at the first failure (so that a refusal
    /// that concerns all is asked for once, not a thousand times), of the others each whatever became of its
    /// neighbours. A run begins only if all runs before it succeeded.
    pub actions: Vec<Action>,
    /// Why the object is not yet as its spec says; empty when it is.
    pub waiting_on: Vec<Waiting>,
    /// Plan again after this time even if nothing changes.
    pub requeue_after: Option<Duration>,
}

/// One controller: which objects it plans, which changes concern it, and the plan itself.
///
/// A planner holds configuration only, never state: whatever it needs to remember is in the world.
///
/// The driver plans a key again only after the world holds every write of the key's previous plan. A key names what
/// is planned together, not necessarily an object that exists: planners that decide about all objects of a kind at
/// once (scheduler, pod ranges) use a key with an empty name.
pub trait Planner: Send {
    /// Name in logs, metrics and as the events' source: `replicaset-controller`.
    fn name(&self) -> &'static str;

    /// The kinds whose changes can concern this planner.
    fn watches(&self) -> &'static [Kind];

    /// The keys to plan once when the driver starts, besides those that [`Planner::affected`] gives for every object
    /// the world begins with.
    fn at_start(&self) -> Vec<ObjectKey> {
        Vec::new()
    }

    /// The keys to plan again after `changed` came, changed or went. `world` already holds the new state;
    /// `before` and `after` are the object's two versions, either absent.
    fn affected(
        &self,
        world: &World,
        changed: &ObjectKey,
        before: Option<&Object>,
        after: Option<&Object>,
    ) -> Vec<ObjectKey>;

    /// The keys to plan again after an object of a kind that planners do not decode came or went; see
    /// [`World::tally`], which has its new value.
    fn tallied(&self, _world: &World, _namespace: &str, _collection: &str) -> Vec<ObjectKey> {
        Vec::new()
    }

    /// The steps for `key`. Must be cheap when nothing is to do: it is called for each relevant change.
    fn plan(&self, world: &World, key: &ObjectKey, context: Context) -> Plan;

    /// [`Planner::plan`] for a key whose last plan ended with this refusal: the place to note it in a condition. Called
    /// once, with a delay that grows from refusal to refusal.
    fn plan_after(&self, _refusal: &Refusal, world: &World, key: &ObjectKey, context: Context) -> Plan {
        self.plan(world, key, context)
    }

    /// What people are told at once of a refusal that the plan of `key` met.
    fn announce_refusal(&self, _world: &World, _key: &ObjectKey, _refusal: &Refusal) -> Option<Announcement> {
        None
    }
}
