//! The pod garbage collector: pods that nobody will end or look at any more.
//!
//! Pods of nodes that are gone, pods that were deleted before they had a node, and finished pods beyond a bound.
//! Source: Kubernetes documentation, pod garbage collection.

use std::time::Duration;

use api::{
    Kind, Object, ObjectKey, Timestamp,
    k8s_openapi::api::core::v1::{Node, Pod, PodCondition},
};

use crate::{
    facts,
    plan::{Action, Context, Plan, Planner, Removal},
    world::World,
};

/// Finished pods that are kept for people to look at; `--terminated-pod-gc-threshold` of Kubernetes.
const FINISHED_PODS_MAX: usize = 12_500;

/// How long a pod may be bound to a node that does not exist: its node object may be about to come. Kubernetes'
/// quarantine.
const MISSING_NODE_WAIT: Duration = Duration::from_secs(40);

/// Plans the pods of a missing node by the node's key, and finished pods together under a key without a name.
#[derive(Debug)]
pub(crate) struct LeftoverPods {
    pub(crate) started: Timestamp,
}

impl Planner for LeftoverPods {
    fn name(&self) -> &'static str {
        "pod-garbage-collector"
    }

    fn watches(&self) -> &'static [Kind] {
        &[Kind::Pod, Kind::Node]
    }

    fn affected(
        &self,
        world: &World,
        changed: &ObjectKey,
        before: Option<&Object>,
        after: Option<&Object>,
    ) -> Vec<ObjectKey> {
        if changed.kind == Kind::Node {
            return if after.is_none() {
                vec![changed.clone()]
            } else {
                Vec::new()
            };
        }
        let Some(pod) = after.and_then(Object::get::<Pod>) else {
            return Vec::new();
        };
        let was = before.and_then(Object::get::<Pod>);
        let mut keys = Vec::new();
        match facts::node_name(pod) {
            Some(node) if world.typed::<Node>("", node).is_none() => keys.push(ObjectKey::new(Kind::Node, "", node)),
            None if facts::is_terminating(&pod.metadata) => keys.push(together()),
            _ => {}
        }
        if facts::is_finished(pod)
            && !was.is_some_and(facts::is_finished)
            && world.finished_pods().len() > FINISHED_PODS_MAX
        {
            keys.push(together());
        }
        keys.dedup();
        keys
    }

    fn plan(&self, world: &World, key: &ObjectKey, context: Context) -> Plan {
        if key.kind == Kind::Node {
            self.of_missing_node(world, &key.name, context.now)
        } else {
            finished_and_unbound(world)
        }
    }
}

fn together() -> ObjectKey {
    ObjectKey::new(Kind::Pod, "", "")
}

/// The pod's end, unless it was removed already and only a finalizer holds it.
fn removal(pod: &Pod) -> Option<Action> {
    let is_held = facts::is_terminating(&pod.metadata) && pod.metadata.deletion_grace_period_seconds == Some(0);
    (!is_held).then(|| Action::Delete {
        key: ObjectKey::new(Kind::Pod, facts::namespace(&pod.metadata), facts::name(&pod.metadata)),
        uid: facts::uid(&pod.metadata).to_owned(),
        how: Removal::Now,
    })
}

impl LeftoverPods {
    fn of_missing_node(&self, world: &World, node: &str, now: Timestamp) -> Plan {
        let mut plan = Plan::default();
        if world.typed::<Node>("", node).is_some() {
            return plan;
        }
        for pod in world.pods_on(node) {
            let left = MISSING_NODE_WAIT.saturating_sub(facts::elapsed(self.bound_since(pod), now));
            if !left.is_zero() {
                plan.requeue_after = Some(plan.requeue_after.map_or(left, |other| other.min(left)));
                continue;
            }
            if facts::is_finished(pod) {
                plan.actions.extend(removal(pod));
                continue;
            }
            // It is Failed first, for those who count outcomes; the removal follows in the next plan.
            let mut failed = pod.clone();
            failed.status.get_or_insert_default().phase = Some("Failed".to_owned());
            let disrupted = PodCondition {
                type_: "DisruptionTarget".to_owned(),
                status: "True".to_owned(),
                reason: Some("DeletionByPodGC".to_owned()),
                message: Some("PodGC: node no longer exists".to_owned()),
                ..PodCondition::default()
            };
            facts::set_pod_condition(&mut failed, disrupted, now);
            plan.actions.push(Action::UpdateStatus(Box::new(failed.into())));
        }
        plan
    }

    /// From when the pod can count as bound to nobody.
    fn bound_since(&self, pod: &Pod) -> Timestamp {
        let scheduled = facts::pod_condition(pod, "PodScheduled")
            .and_then(|condition| condition.last_transition_time.as_ref())
            .or(pod.metadata.creation_timestamp.as_ref());
        scheduled.map_or(self.started, |time| time.0)
    }
}

fn finished_and_unbound(world: &World) -> Plan {
    let mut plan = Plan::default();
    plan.actions.extend(
        world
            .unbound_pods()
            .filter(|pod| facts::is_terminating(&pod.metadata))
            .filter_map(removal),
    );
    let surplus = world.finished_pods().len().saturating_sub(FINISHED_PODS_MAX);
    if surplus > 0 {
        let mut finished: Vec<&Pod> = world.finished_pods().collect();
        finished.sort_by_key(|pod| pod.metadata.creation_timestamp.as_ref().map(|time| time.0));
        plan.actions
            .extend(finished.into_iter().take(surplus).filter_map(removal));
    }
    plan
}

#[cfg(test)]
mod tests;
