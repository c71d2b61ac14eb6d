//! The ReplicaSet controller: as many pods of the template as the spec asks for, and a status that counts them.
//!
//! Never here: which pod goes first when there are too many ([`ranking`]), rollouts (`deployment`).
//! Source: Kubernetes' ReplicaSet controller, API reference apps/v1 ReplicaSet.

use std::{cmp::Ordering, time::Duration};

use api::{
    Kind, Object, ObjectKey, Timestamp,
    k8s_openapi::{
        api::{
            apps::v1::{ReplicaSet, ReplicaSetCondition, ReplicaSetSpec, ReplicaSetStatus},
            core::v1::Pod,
        },
        apimachinery::pkg::apis::meta::v1::ObjectMeta,
    },
};

use crate::{
    facts, matching,
    naming::{self, Hash},
    plan::{Action, Announcement, Asked, Context, Plan, Planner, Refusal, Removal, Severity},
    world::World,
};

mod ranking;

/// Pods created or deleted in one plan, as in Kubernetes: enough to be quick, few enough to notice a change of mind.
const BURST_PODS_MAX: usize = 500;

const NAME: &str = "replicaset-controller";

/// The condition of a set that is refused pods, or their end.
pub(crate) const REPLICA_FAILURE: &str = "ReplicaFailure";

/// Plans ReplicaSets, each by its key.
#[derive(Debug, Default)]
pub(crate) struct ReplicaSets;

impl Planner for ReplicaSets {
    fn name(&self) -> &'static str {
        NAME
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
        let mut keys: Vec<ObjectKey> = [before, after]
            .into_iter()
            .flatten()
            .filter_map(|object| controlling_set(object.metadata()))
            .collect();
        if let Some(orphan) = after.filter(|object| facts::controller(object.metadata()).is_none()) {
            keys.extend(world.replica_sets_selecting(orphan.metadata()).cloned());
        }
        keys.sort();
        keys.dedup();
        keys
    }

    fn plan(&self, world: &World, key: &ObjectKey, context: Context) -> Plan {
        plan_key(world, key, None, context)
    }

    fn plan_after(&self, refusal: &Refusal, world: &World, key: &ObjectKey, context: Context) -> Plan {
        plan_key(world, key, Some(refusal), context)
    }

    fn announce_refusal(&self, world: &World, key: &ObjectKey, refusal: &Refusal) -> Option<Announcement> {
        let set = world.typed::<ReplicaSet>(&key.namespace, &key.name)?;
        let verb = match refusal.asked {
            Asked::Creation => "creating",
            Asked::Deletion => "deleting",
        };
        Some(Announcement {
            severity: Severity::Warning,
            ..announcement(
                set,
                failure_reason(refusal.asked),
                format!("Error {verb}: {}", refusal.message),
            )
        })
    }
}

fn failure_reason(asked: Asked) -> &'static str {
    match asked {
        Asked::Creation => "FailedCreate",
        Asked::Deletion => "FailedDelete",
    }
}

fn plan_key(world: &World, key: &ObjectKey, refusal: Option<&Refusal>, context: Context) -> Plan {
    let Some((set, spec)) = world
        .typed::<ReplicaSet>(&key.namespace, &key.name)
        .and_then(|set| Some((set, set.spec.as_ref()?)))
    else {
        return Plan::default();
    };
    plan_set(world, set, spec, refusal, context.now)
}

fn controlling_set(metadata: &ObjectMeta) -> Option<ObjectKey> {
    let owner = facts::controller(metadata)?;
    (facts::referenced_kind(owner) == Some(Kind::ReplicaSet))
        .then(|| ObjectKey::new(Kind::ReplicaSet, facts::namespace(metadata), &owner.name))
}

fn plan_set(world: &World, set: &ReplicaSet, spec: &ReplicaSetSpec, refusal: Option<&Refusal>, now: Timestamp) -> Plan {
    let mut plan = Plan::default();
    let claimed = claim(world, set, spec, &mut plan.actions);
    let active: Vec<&Pod> = claimed.iter().copied().filter(|pod| facts::is_active(pod)).collect();
    let min_ready = Duration::from_secs(u64::try_from(spec.min_ready_seconds.unwrap_or(0)).unwrap_or(0));
    let step = Step::of(world, set, spec, active.len());
    let mut status = status(set, spec, &claimed, &active, min_ready, now);
    status.conditions = conditions(set, step, refusal, now);
    if status.ready_replicas != status.available_replicas {
        plan.requeue_after = active
            .iter()
            .filter_map(|pod| facts::available_in(pod, min_ready, now))
            .filter(|left| !left.is_zero())
            .min();
    }
    // Before more pods are asked for: that may be refused for long, and what is there counts meanwhile.
    if set.status.as_ref() != Some(&status) {
        let mut updated = set.clone();
        updated.status = Some(status);
        plan.actions.push(Action::UpdateStatus(Box::new(updated.into())));
    }
    match step {
        Step::Rest => {}
        Step::Create(missing) => create(world, set, spec, missing, &mut plan.actions),
        Step::Delete(surplus) => delete(world, set, &active, surplus, now, &mut plan.actions),
    }
    plan
}

/// What a set needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    Rest,
    /// So many pods more.
    Create(usize),
    /// So many pods less.
    Delete(usize),
}

impl Step {
    fn of(world: &World, set: &ReplicaSet, spec: &ReplicaSetSpec, active: usize) -> Step {
        let wanted = replicas(spec);
        match active.cmp(&wanted) {
            _ if facts::is_terminating(&set.metadata) => Step::Rest,
            Ordering::Equal => Step::Rest,
            Ordering::Less if world.is_closing(facts::namespace(&set.metadata)) => Step::Rest,
            Ordering::Less => Step::Create(wanted - active),
            Ordering::Greater => Step::Delete(active - wanted),
        }
    }

    /// What the step asks of the server.
    fn asks(self) -> Option<Asked> {
        match self {
            Step::Rest => None,
            Step::Create(_) => Some(Asked::Creation),
            Step::Delete(_) => Some(Asked::Deletion),
        }
    }
}

fn replicas(spec: &ReplicaSetSpec) -> usize {
    usize::try_from(spec.replicas.unwrap_or(1)).unwrap_or(0)
}

/// The set's pods, after adopting orphans that match and releasing own ones that do not.
fn claim<'a>(world: &'a World, set: &ReplicaSet, spec: &ReplicaSetSpec, actions: &mut Vec<Action>) -> Vec<&'a Pod> {
    let uid = facts::uid(&set.metadata);
    let going = facts::is_terminating(&set.metadata);
    let mut claimed: Vec<&'a Pod> = Vec::new();
    for object in world.owned_by(uid) {
        let Object::Pod(pod) = object else { continue };
        if facts::controller(&pod.metadata).is_none_or(|owner| owner.uid != uid) {
            continue;
        }
        if matching::selects(&spec.selector, pod.metadata.labels.as_ref()) {
            claimed.push(pod);
        } else if !going && !facts::is_terminating(&pod.metadata) {
            let mut released = (**pod).clone();
            released
                .metadata
                .owner_references
                .get_or_insert_default()
                .retain(|owner| owner.uid != uid);
            actions.push(Action::Update(Box::new(released.into())));
        }
    }
    if going || matching::is_empty(&spec.selector) {
        return claimed;
    }
    for pod in world.pods_selected(facts::namespace(&set.metadata), &spec.selector) {
        if facts::controller(&pod.metadata).is_none() && facts::is_active(pod) {
            let mut adopted = pod.clone();
            adopted
                .metadata
                .owner_references
                .get_or_insert_default()
                .push(facts::controlled_by::<ReplicaSet>(&set.metadata));
            actions.push(Action::Update(Box::new(adopted.into())));
            claimed.push(pod);
        }
    }
    claimed
}

fn create(world: &World, set: &ReplicaSet, spec: &ReplicaSetSpec, missing: usize, actions: &mut Vec<Action>) {
    let Some(template) = &spec.template else { return };
    let base = format!("{}-", facts::name(&set.metadata));
    // What this plan saw: made from the same view again, it asks for the same names and is refused.
    let view = world.owned_by(facts::uid(&set.metadata)).fold(
        Hash::new()
            .with(facts::uid(&set.metadata))
            .with(set.metadata.resource_version.as_deref().unwrap_or_default()),
        |hash, object| hash.with(object.uid()),
    );
    let of_template = template.metadata.clone().unwrap_or_default();
    let mut announcements = Vec::new();
    let mut number = 0;
    for _ in 0..missing.min(BURST_PODS_MAX) {
        let name = loop {
            let name = naming::generated(&base, view.with_number(number));
            number += 1;
            let key = ObjectKey::new(Kind::Pod, facts::namespace(&set.metadata), &name);
            if world.get(&key).is_none() {
                break name;
            }
        };
        announcements.push(announce(set, "SuccessfulCreate", format!("Created pod: {name}")));
        let pod = Pod {
            metadata: ObjectMeta {
                name: Some(name),
                generate_name: Some(base.clone()),
                namespace: set.metadata.namespace.clone(),
                labels: of_template.labels.clone(),
                annotations: of_template.annotations.clone(),
                finalizers: of_template.finalizers.clone(),
                owner_references: Some(vec![facts::controlled_by::<ReplicaSet>(&set.metadata)]),
                ..ObjectMeta::default()
            },
            spec: template.spec.clone(),
            status: None,
        };
        actions.push(Action::Create(Box::new(pod.into())));
    }
    actions.append(&mut announcements);
}

fn delete(world: &World, set: &ReplicaSet, active: &[&Pod], surplus: usize, now: Timestamp, actions: &mut Vec<Action>) {
    let mut announcements = Vec::new();
    for pod in ranking::first_to_go(active, &related(world, set), now)
        .into_iter()
        .take(surplus.min(BURST_PODS_MAX))
    {
        let name = facts::name(&pod.metadata);
        actions.push(Action::Delete {
            key: ObjectKey::new(Kind::Pod, facts::namespace(&pod.metadata), name),
            uid: facts::uid(&pod.metadata).to_owned(),
            how: Removal::Graceful,
        });
        announcements.push(announce(set, "SuccessfulDelete", format!("Deleted pod: {name}")));
    }
    actions.append(&mut announcements);
}

/// The active pods of all sets with the same controller: a node that holds several of them gives first.
fn related<'a>(world: &'a World, set: &ReplicaSet) -> Vec<&'a Pod> {
    let own = |uid: &str| -> Vec<&'a Pod> {
        world
            .owned_by(uid)
            .filter_map(Object::get::<Pod>)
            .filter(|pod| facts::is_active(pod))
            .collect()
    };
    match facts::controller(&set.metadata) {
        None => own(facts::uid(&set.metadata)),
        Some(owner) => world
            .owned_by(&owner.uid)
            .filter(|object| object.kind() == Kind::ReplicaSet)
            .flat_map(|sibling| own(sibling.uid()))
            .collect(),
    }
}

fn announce(set: &ReplicaSet, reason: &'static str, message: String) -> Action {
    Action::Announce(announcement(set, reason, message))
}

fn announcement(set: &ReplicaSet, reason: &'static str, message: String) -> Announcement {
    Announcement {
        about: ObjectKey::new(
            Kind::ReplicaSet,
            facts::namespace(&set.metadata),
            facts::name(&set.metadata),
        ),
        uid: facts::uid(&set.metadata).to_owned(),
        severity: Severity::Normal,
        reason,
        message,
        source: NAME,
    }
}

/// The set's conditions: `ReplicaFailure` is there from the first refusal until nothing more is asked for.
fn conditions(
    set: &ReplicaSet,
    step: Step,
    refusal: Option<&Refusal>,
    now: Timestamp,
) -> Option<Vec<ReplicaSetCondition>> {
    let mut conditions = set
        .status
        .as_ref()
        .and_then(|status| status.conditions.clone())
        .unwrap_or_default();
    let is_told = conditions.iter().any(|condition| condition.type_ == REPLICA_FAILURE);
    let refusal = refusal.filter(|refusal| step.asks() == Some(refusal.asked));
    match (step, refusal) {
        (Step::Rest, _) => conditions.retain(|condition| condition.type_ != REPLICA_FAILURE),
        (Step::Create(_) | Step::Delete(_), Some(refusal)) if !is_told => conditions.push(ReplicaSetCondition {
            type_: REPLICA_FAILURE.to_owned(),
            status: "True".to_owned(),
            reason: Some(failure_reason(refusal.asked).to_owned()),
            message: Some(refusal.message.clone()),
            last_transition_time: Some(facts::stamp(now)),
        }),
        (Step::Create(_) | Step::Delete(_), _) => {}
    }
    Some(conditions).filter(|conditions| !conditions.is_empty())
}

fn status(
    set: &ReplicaSet,
    spec: &ReplicaSetSpec,
    claimed: &[&Pod],
    active: &[&Pod],
    min_ready: Duration,
    now: Timestamp,
) -> ReplicaSetStatus {
    let template_labels = spec
        .template
        .as_ref()
        .and_then(|template| template.metadata.as_ref()?.labels.clone())
        .unwrap_or_default();
    let count = |wanted: &dyn Fn(&Pod) -> bool| {
        i32::try_from(active.iter().filter(|pod| wanted(pod)).count()).unwrap_or(i32::MAX)
    };
    let terminating = claimed
        .iter()
        .filter(|pod| facts::is_terminating(&pod.metadata) && !facts::is_finished(pod))
        .count();
    ReplicaSetStatus {
        replicas: count(&|_| true),
        fully_labeled_replicas: facts::nonzero(count(&|pod| {
            matching::has_all(pod.metadata.labels.as_ref(), &template_labels)
        })),
        ready_replicas: facts::nonzero(count(&facts::is_ready)),
        available_replicas: facts::nonzero(count(&|pod| {
            facts::available_in(pod, min_ready, now) == Some(Duration::ZERO)
        })),
        terminating_replicas: Some(i32::try_from(terminating).unwrap_or(i32::MAX)),
        observed_generation: set.metadata.generation,
        conditions: set.status.as_ref().and_then(|status| status.conditions.clone()),
    }
}

#[cfg(test)]
mod tests;
