//! Taint-based eviction: pods that do not tolerate a node's NoExecute taints leave it, at once or after the seconds
//! that they tolerate it.
//!
//! Never here: which taints a node has (`node_health`). Source: Kubernetes documentation, taints and tolerations.

use std::time::Duration;

use api::{
    Kind, Object, ObjectKey,
    k8s_openapi::api::core::v1::{Node, Pod, PodCondition, Taint},
};

use crate::{
    facts, matching,
    node_health::NO_EXECUTE,
    plan::{Action, Announcement, Context, Plan, Planner, Removal, Severity},
    world::World,
};

const NAME: &str = "taint-eviction-controller";

/// Plans the pods of a node by the node's key.
#[derive(Debug, Default)]
pub(crate) struct Eviction;

impl Planner for Eviction {
    fn name(&self) -> &'static str {
        NAME
    }

    fn watches(&self) -> &'static [Kind] {
        &[Kind::Node, Kind::Pod]
    }

    fn affected(
        &self,
        world: &World,
        changed: &ObjectKey,
        before: Option<&Object>,
        after: Option<&Object>,
    ) -> Vec<ObjectKey> {
        match changed.kind {
            Kind::Node => {
                if evicting(before.and_then(Object::get)) == evicting(after.and_then(Object::get)) {
                    Vec::new()
                } else {
                    vec![changed.clone()]
                }
            }
            // A pod that came to a tainted node, or whose tolerations or condition changed.
            Kind::Pod => after
                .and_then(Object::get::<Pod>)
                .filter(|pod| facts::is_active(pod))
                .and_then(facts::node_name)
                .filter(|node| !evicting(world.typed::<Node>("", node)).is_empty())
                .map(|node| ObjectKey::new(Kind::Node, "", node))
                .into_iter()
                .collect(),
            _ => Vec::new(),
        }
    }

    fn plan(&self, world: &World, key: &ObjectKey, context: Context) -> Plan {
        let mut plan = Plan::default();
        let taints = evicting(world.typed::<Node>("", &key.name));
        if taints.is_empty() {
            return plan;
        }
        let mut marks = Vec::new();
        let mut evictions = Vec::new();
        let mut announcements = Vec::new();
        for pod in world.pods_on(&key.name).filter(|pod| facts::is_active(pod)) {
            let left = match stays(pod, &taints, context) {
                Stay::Forever => continue,
                Stay::For(left) => left,
            };
            if !left.is_zero() {
                plan.requeue_after = Some(plan.requeue_after.map_or(left, |other| other.min(left)));
                continue;
            }
            let mut marked = pod.clone();
            let disrupted = PodCondition {
                type_: "DisruptionTarget".to_owned(),
                status: "True".to_owned(),
                reason: Some("DeletionByTaintManager".to_owned()),
                message: Some("Taint manager: deleting due to NoExecute taint".to_owned()),
                ..PodCondition::default()
            };
            let pod_key = ObjectKey::new(Kind::Pod, facts::namespace(&pod.metadata), facts::name(&pod.metadata));
            if facts::set_pod_condition(&mut marked, disrupted, context.now) {
                // The eviction follows when the mark is in: it changes the pod, and a plan writes a pod once.
                marks.push(Action::UpdateStatus(Box::new(marked.into())));
                continue;
            }
            announcements.push(Action::Announce(Announcement {
                about: pod_key.clone(),
                uid: facts::uid(&pod.metadata).to_owned(),
                severity: Severity::Normal,
                reason: "TaintManagerEviction",
                message: format!("Marking for deletion Pod {}/{}", pod_key.namespace, pod_key.name),
                source: NAME,
            }));
            evictions.push(Action::Delete {
                key: pod_key,
                uid: facts::uid(&pod.metadata).to_owned(),
                how: Removal::Graceful,
            });
        }
        plan.actions = marks;
        plan.actions.append(&mut evictions);
        plan.actions.append(&mut announcements);
        plan
    }
}

fn evicting(node: Option<&Node>) -> Vec<&Taint> {
    node.and_then(|node| node.spec.as_ref())
        .iter()
        .flat_map(|spec| spec.taints.iter().flatten())
        .filter(|taint| taint.effect == NO_EXECUTE)
        .collect()
}

#[derive(Debug, PartialEq, Eq)]
enum Stay {
    Forever,
    For(Duration),
}

/// How long the pod may stay: for each taint as long as the least patient of the tolerations that cover it.
fn stays(pod: &Pod, taints: &[&Taint], context: Context) -> Stay {
    let tolerations = pod
        .spec
        .as_ref()
        .and_then(|spec| spec.tolerations.as_deref())
        .unwrap_or_default();
    let mut shortest = Stay::Forever;
    for taint in taints {
        let mut covering = tolerations
            .iter()
            .filter(|toleration| matching::tolerates(toleration, taint))
            .peekable();
        if covering.peek().is_none() {
            return Stay::For(Duration::ZERO);
        }
        let Some(seconds) = covering.filter_map(|toleration| toleration.toleration_seconds).min() else {
            continue;
        };
        let since = taint.time_added.as_ref().map_or(context.now, |time| time.0);
        let left =
            Duration::from_secs(seconds.max(0).unsigned_abs()).saturating_sub(facts::elapsed(since, context.now));
        shortest = match shortest {
            Stay::For(other) if other <= left => Stay::For(other),
            _ => Stay::For(left),
        };
    }
    shortest
}

#[cfg(test)]
mod tests;
