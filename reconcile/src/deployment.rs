//! The Deployment controller: one ReplicaSet per pod template, and the way from the old ones to the new.
//!
//! Never here: pods (`replicaset`). The parts: [`revisions`] finds and names the sets, [`rollout`] decides how large
//! each may be, [`status`] tells how far it is.
//! Source: Kubernetes' Deployment controller, API reference apps/v1 Deployment.

use api::{
    Kind, Object, ObjectKey,
    k8s_openapi::{
        api::{
            apps::v1::{Deployment, DeploymentSpec, ReplicaSet},
            core::v1::Pod,
        },
        apimachinery::pkg::apis::meta::v1::ObjectMeta,
    },
};

use crate::{
    facts, matching,
    plan::{Action, Announcement, Asked, Context, Plan, Planner, Refusal, Removal, Severity},
    world::World,
};

mod revisions;
mod rollout;
mod status;

use revisions::Found;
use rollout::{Sizes, Strategy};

const NAME: &str = "deployment-controller";

/// Plans Deployments, each by its key.
#[derive(Debug, Default)]
pub(crate) struct Deployments;

/// A deployment in work, with what every part asks of it.
struct Subject<'a> {
    deployment: &'a Deployment,
    spec: &'a DeploymentSpec,
    strategy: Strategy,
    /// `spec.replicas`
    replicas: i32,
}

/// What became of the next step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    /// Its writes are in the plan, if it takes any.
    Planned,
    /// The new set's name is taken: the plan consists of counting that in the status.
    Collision,
}

impl Planner for Deployments {
    fn name(&self) -> &'static str {
        NAME
    }

    fn watches(&self) -> &'static [Kind] {
        &[Kind::Deployment, Kind::ReplicaSet, Kind::Pod]
    }

    fn affected(
        &self,
        world: &World,
        changed: &ObjectKey,
        before: Option<&Object>,
        after: Option<&Object>,
    ) -> Vec<ObjectKey> {
        let mut keys = Vec::new();
        match changed.kind {
            Kind::Deployment => keys.push(changed.clone()),
            Kind::ReplicaSet => {
                keys.extend(
                    [before, after]
                        .into_iter()
                        .flatten()
                        .filter_map(|set| owning(set.metadata())),
                );
                if let Some(orphan) = after.filter(|set| facts::controller(set.metadata()).is_none()) {
                    keys.extend(world.deployments_selecting(orphan.metadata()).cloned());
                }
            }
            // Only Recreate looks at pods: it waits until the last old one has gone or finished.
            Kind::Pod => keys.extend(before.and_then(|before| left(world, before, after))),
            _ => {}
        }
        keys.sort();
        keys.dedup();
        keys
    }

    fn plan(&self, world: &World, key: &ObjectKey, context: Context) -> Plan {
        Subject::of(world, key).map_or_else(Plan::default, |subject| subject.plan(world, None, context))
    }

    fn plan_after(&self, refusal: &Refusal, world: &World, key: &ObjectKey, context: Context) -> Plan {
        Subject::of(world, key).map_or_else(Plan::default, |subject| subject.plan(world, Some(refusal), context))
    }

    fn announce_refusal(&self, world: &World, key: &ObjectKey, refusal: &Refusal) -> Option<Announcement> {
        if refusal.asked != Asked::Creation {
            return None;
        }
        let subject = Subject::of(world, key)?;
        Some(subject.announcement(
            Severity::Warning,
            status::SET_REFUSED_REASON,
            status::set_refused(refusal),
        ))
    }
}

/// The deployment of a pod that went or finished.
fn left(world: &World, before: &Object, after: Option<&Object>) -> Option<ObjectKey> {
    let was_running = before.get::<Pod>().is_some_and(|pod| !facts::is_finished(pod));
    let runs = after
        .and_then(Object::get::<Pod>)
        .is_some_and(|pod| !facts::is_finished(pod));
    if !was_running || runs {
        return None;
    }
    let owner = facts::controller(before.metadata())?;
    owning(world.by_uid(&owner.uid)?.metadata())
}

fn owning(metadata: &ObjectMeta) -> Option<ObjectKey> {
    let owner = facts::controller(metadata)?;
    (facts::referenced_kind(owner) == Some(Kind::Deployment))
        .then(|| ObjectKey::new(Kind::Deployment, facts::namespace(metadata), &owner.name))
}

impl<'a> Subject<'a> {
    fn of(world: &'a World, key: &ObjectKey) -> Option<Subject<'a>> {
        let deployment = world.typed::<Deployment>(&key.namespace, &key.name)?;
        let spec = deployment.spec.as_ref()?;
        Some(Subject {
            deployment,
            spec,
            strategy: Strategy::of(spec),
            replicas: spec.replicas.unwrap_or(1).max(0),
        })
    }
}

impl Subject<'_> {
    fn plan(&self, world: &World, refusal: Option<&Refusal>, context: Context) -> Plan {
        let mut plan = Plan::default();
        if matching::is_empty(&self.spec.selector) {
            plan.actions.push(self.announce(
                Severity::Warning,
                "SelectingAll",
                "This deployment is selecting all pods. A non-empty selector is required.".to_owned(),
            ));
            return plan;
        }
        if self.claim(world, &mut plan.actions) {
            // The sets' new owners come back as changes; until then nothing is counted.
            return plan;
        }
        let found = Found::of(world, self);
        let going = facts::is_terminating(&self.deployment.metadata);
        if !going && self.step(world, &found, &mut plan.actions) == Step::Collision {
            return plan;
        }
        // One write per object and plan: the status follows once the annotations are in.
        let revised = (!going).then(|| revisions::revised(self, &found)).flatten();
        if let Some(revised) = revised {
            plan.actions.push(Action::Update(Box::new(revised.into())));
            return plan;
        }
        let refusal = refusal.filter(|refusal| {
            refusal.asked == Asked::Creation && plan.actions.iter().any(|action| matches!(action, Action::Create(_)))
        });
        let told = status::status(self, &found, refusal, context.now);
        plan.requeue_after = told.requeue_after;
        plan.waiting_on = told.waiting_on;
        if self.deployment.status.as_ref() != Some(&told.status) {
            if refusal.is_some() {
                // What follows a creation is not written as long as that is refused.
                plan.actions.clear();
            }
            let mut updated = self.deployment.clone();
            updated.status = Some(told.status);
            plan.actions.push(Action::UpdateStatus(Box::new(updated.into())));
        }
        plan
    }

    /// Takes sets without a controller that the selector selects, lets go of own ones that it does not. True if
    /// there was anything to do.
    fn claim(&self, world: &World, actions: &mut Vec<Action>) -> bool {
        if facts::is_terminating(&self.deployment.metadata) {
            return false;
        }
        let uid = facts::uid(&self.deployment.metadata);
        for set in world.controlled_by::<ReplicaSet>(uid) {
            if !matching::selects(&self.spec.selector, set.metadata.labels.as_ref())
                && !facts::is_terminating(&set.metadata)
            {
                let mut released = set.clone();
                released
                    .metadata
                    .owner_references
                    .get_or_insert_default()
                    .retain(|owner| owner.uid != uid);
                actions.push(Action::Update(Box::new(released.into())));
            }
        }
        for set in world.replica_sets_selected(facts::namespace(&self.deployment.metadata), &self.spec.selector) {
            if facts::controller(&set.metadata).is_none() && !facts::is_terminating(&set.metadata) {
                let mut adopted = set.clone();
                adopted
                    .metadata
                    .owner_references
                    .get_or_insert_default()
                    .push(facts::controlled_by::<Deployment>(&self.deployment.metadata));
                actions.push(Action::Update(Box::new(adopted.into())));
            }
        }
        !actions.is_empty()
    }

    /// The next writes to ReplicaSets.
    fn step(&self, world: &World, found: &Found<'_>, actions: &mut Vec<Action>) -> Step {
        let paused = self.spec.paused == Some(true);
        let mut sizes = Sizes::default();
        if paused || rollout::was_scaled(self, found) {
            sizes = rollout::scale(self, found);
        }
        if !paused && sizes.of_present.is_empty() {
            sizes = match self.strategy {
                Strategy::RollingUpdate { .. } => rollout::roll(self, found),
                Strategy::Recreate => rollout::recreate(self, found, world),
            };
        }
        let mut announcements = Vec::new();
        if sizes.create_new && self.create_new_set(world, found, actions, &mut announcements) == Step::Collision {
            return Step::Collision;
        }
        for (set, size) in &sizes.of_present {
            let before = set.spec.as_ref().and_then(|spec| spec.replicas).unwrap_or(1);
            if before != *size {
                announcements.push(self.announce_scaling(facts::name(&set.metadata), before, *size));
            }
            if let Some(updated) = revisions::brought_to(self, found, set, *size) {
                actions.push(Action::Update(Box::new(updated.into())));
            }
        }
        if sizes.of_present.is_empty() && !sizes.create_new && status::is_complete(self, &status::counted(self, found))
        {
            actions.extend(revisions::beyond_history(self, found).map(|set| Action::Delete {
                key: ObjectKey::new(
                    Kind::ReplicaSet,
                    facts::namespace(&set.metadata),
                    facts::name(&set.metadata),
                ),
                uid: facts::uid(&set.metadata).to_owned(),
                how: Removal::Graceful,
            }));
        }
        actions.append(&mut announcements);
        Step::Planned
    }

    fn create_new_set(
        &self,
        world: &World,
        found: &Found<'_>,
        actions: &mut Vec<Action>,
        announcements: &mut Vec<Action>,
    ) -> Step {
        if world.is_closing(facts::namespace(&self.deployment.metadata)) {
            return Step::Planned;
        }
        let size = rollout::size_of_new(self, found);
        let set = revisions::new_set(self, found, size);
        let key = ObjectKey::new(
            Kind::ReplicaSet,
            facts::namespace(&set.metadata),
            facts::name(&set.metadata),
        );
        if world.get(&key).is_some() {
            // Another template with the same hash, or somebody else's set: the next plan hashes with a new count.
            actions.clear();
            let mut counted = self.deployment.clone();
            let status = counted.status.get_or_insert_default();
            status.collision_count = Some(status.collision_count.unwrap_or(0) + 1);
            actions.push(Action::UpdateStatus(Box::new(counted.into())));
            return Step::Collision;
        }
        if size > 0 {
            announcements.push(self.announce_scaling(&key.name, 0, size));
        }
        actions.push(Action::Create(Box::new(set.into())));
        Step::Planned
    }

    fn announce_scaling(&self, set: &str, from: i32, to: i32) -> Action {
        let direction = if to > from { "up" } else { "down" };
        self.announce(
            Severity::Normal,
            "ScalingReplicaSet",
            format!("Scaled {direction} replica set {set} from {from} to {to}"),
        )
    }

    fn announce(&self, severity: Severity, reason: &'static str, message: String) -> Action {
        Action::Announce(self.announcement(severity, reason, message))
    }

    fn announcement(&self, severity: Severity, reason: &'static str, message: String) -> Announcement {
        Announcement {
            about: ObjectKey::new(
                Kind::Deployment,
                facts::namespace(&self.deployment.metadata),
                facts::name(&self.deployment.metadata),
            ),
            uid: facts::uid(&self.deployment.metadata).to_owned(),
            severity,
            reason,
            message,
            source: NAME,
        }
    }
}

#[cfg(test)]
mod tests;
