//! The node life-cycle controller: whether nodes are alive, and the taints that say so.
//!
//! A node whose Lease was not renewed for the grace period counts as unreachable: its conditions become Unknown, its
//! pods not ready (so that endpoints are withdrawn), and taints keep new pods away and evict those that are there.
//! Never here: the eviction itself (`eviction`).
//!
//! ```text
//! Ready True      no taint
//! Ready False     node.kubernetes.io/not-ready:NoSchedule,NoExecute
//! Ready Unknown   node.kubernetes.io/unreachable:NoSchedule,NoExecute
//! ```
//!
//! Source: Kubernetes documentation, node controller and taint-based evictions.

use std::time::Duration;

use api::{
    Kind, Object, ObjectKey, Timestamp,
    k8s_openapi::api::{
        coordination::v1::Lease,
        core::v1::{Node, NodeCondition, Pod, PodCondition, Taint},
    },
};

use crate::{
    facts,
    plan::{Action, Announcement, Context, Plan, Planner, Severity},
    world::World,
};

const NAME: &str = "node-controller";

/// Where nodes keep their Leases.
pub const LEASE_NAMESPACE: &str = "kube-node-lease";

pub(crate) const NOT_READY: &str = "node.kubernetes.io/not-ready";
pub(crate) const UNREACHABLE: &str = "node.kubernetes.io/unreachable";
const UNSCHEDULABLE: &str = "node.kubernetes.io/unschedulable";
pub(crate) const NO_SCHEDULE: &str = "NoSchedule";
pub(crate) const NO_EXECUTE: &str = "NoExecute";

/// Conditions that keep pods away, with the status that does and the taint's key.
const PRESSURES: [(&str, &str); 4] = [
    ("MemoryPressure", "node.kubernetes.io/memory-pressure"),
    ("DiskPressure", "node.kubernetes.io/disk-pressure"),
    ("PIDPressure", "node.kubernetes.io/pid-pressure"),
    ("NetworkUnavailable", "node.kubernetes.io/network-unavailable"),
];

/// Conditions that nobody knows any more once the agent is silent.
const REPORTED: [&str; 4] = ["Ready", "MemoryPressure", "DiskPressure", "PIDPressure"];

/// Why a pod that is ready for all its node knows is not ready for the cluster.
const WITHDRAWN_REASON: &str = "NodeNotReady";

/// Plans nodes, each by its key.
#[derive(Debug)]
pub(crate) struct NodeHealth {
    pub(crate) started: Timestamp,
    pub(crate) grace: Duration,
}

impl Planner for NodeHealth {
    fn name(&self) -> &'static str {
        NAME
    }

    fn watches(&self) -> &'static [Kind] {
        &[Kind::Node, Kind::Lease, Kind::Pod]
    }

    fn affected(
        &self,
        world: &World,
        changed: &ObjectKey,
        before: Option<&Object>,
        after: Option<&Object>,
    ) -> Vec<ObjectKey> {
        match changed.kind {
            Kind::Lease if changed.namespace == LEASE_NAMESPACE => {
                vec![ObjectKey::new(Kind::Node, "", &changed.name)]
            }
            Kind::Node => {
                let ready = |node: Option<&Object>| node.and_then(Object::get).is_some_and(is_ready);
                if ready(before) == ready(after) {
                    vec![changed.clone()]
                } else {
                    // Whether any node is left that works decides over the taints of all others.
                    world.of_kind(Kind::Node).map(Object::key).collect()
                }
            }
            // A pod that claims to be ready on a node that is not.
            Kind::Pod => after
                .and_then(Object::get::<Pod>)
                .filter(|pod| facts::is_ready(pod))
                .and_then(facts::node_name)
                .filter(|node| world.typed::<Node>("", node).is_some_and(is_unknown))
                .map(|node| ObjectKey::new(Kind::Node, "", node))
                .into_iter()
                .collect(),
            _ => Vec::new(),
        }
    }

    fn plan(&self, world: &World, key: &ObjectKey, context: Context) -> Plan {
        let mut plan = Plan::default();
        let Some(node) = world.typed::<Node>("", &key.name) else {
            return plan;
        };
        let left = self.grace.saturating_sub(self.silent_for(world, node, context.now));
        if left.is_zero() {
            if let Some(silent) = with_unknown_conditions(node, context.now) {
                plan.actions.push(Action::UpdateStatus(Box::new(silent.into())));
                plan.actions.push(announce(
                    key,
                    node.metadata.uid.as_deref(),
                    Severity::Normal,
                    "NodeNotReady",
                    format!("Node {} status is now: NodeNotReady", key.name),
                ));
                // Pods and taints follow from the node's new status.
                return plan;
            }
        } else {
            plan.requeue_after = Some(left);
        }
        if is_unknown(node) {
            withdraw_pods(world, key, context.now, &mut plan);
        } else if is_ready(node) {
            restore_pods(world, key, context.now, &mut plan);
        }
        if let Some(tainted) = with_taints(world, node, context.now) {
            plan.actions.push(Action::Update(Box::new(tainted.into())));
        }
        plan
    }
}

/// True if the node's agent says that it works.
pub(crate) fn is_ready(node: &Node) -> bool {
    facts::node_condition(node, "Ready").is_some_and(|ready| ready.status == "True")
}

fn is_unknown(node: &Node) -> bool {
    facts::node_condition(node, "Ready").is_some_and(|ready| ready.status == "Unknown")
}

impl NodeHealth {
    /// Time since the node gave a sign of life. Time in which this server did not listen does not count.
    fn silent_for(&self, world: &World, node: &Node, now: Timestamp) -> Duration {
        let renewed = world
            .typed::<Lease>(LEASE_NAMESPACE, facts::name(&node.metadata))
            .and_then(|lease| lease.spec.as_ref()?.renew_time.as_ref())
            .map(|time| time.0);
        let created = node.metadata.creation_timestamp.as_ref().map(|time| time.0);
        let last = renewed.or(created).unwrap_or(self.started).max(self.started);
        facts::elapsed(last, now)
    }
}

/// The node with every condition that its agent reports set to Unknown; `None` if they are.
fn with_unknown_conditions(node: &Node, now: Timestamp) -> Option<Node> {
    let mut silent = node.clone();
    let conditions = silent.status.get_or_insert_default().conditions.get_or_insert_default();
    let mut changed = false;
    for kind in REPORTED {
        let present = conditions.iter_mut().find(|condition| condition.type_ == kind);
        match present {
            Some(condition) if condition.status == "Unknown" => {}
            Some(condition) => {
                changed = true;
                "Unknown".clone_into(&mut condition.status);
                condition.reason = Some("NodeStatusUnknown".to_owned());
                condition.message = Some("Kubelet stopped posting node status.".to_owned());
                condition.last_transition_time = Some(facts::stamp(now));
            }
            None => {
                changed = true;
                conditions.push(NodeCondition {
                    type_: kind.to_owned(),
                    status: "Unknown".to_owned(),
                    reason: Some("NodeStatusNeverUpdated".to_owned()),
                    message: Some("Kubelet never posted node status.".to_owned()),
                    last_heartbeat_time: node.metadata.creation_timestamp.clone(),
                    last_transition_time: Some(facts::stamp(now)),
                });
            }
        }
    }
    changed.then_some(silent)
}

fn withdraw_pods(world: &World, node: &ObjectKey, now: Timestamp, plan: &mut Plan) {
    let mut announcements = Vec::new();
    for pod in world.pods_on(&node.name).filter(|pod| facts::is_ready(pod)) {
        let present = facts::pod_condition(pod, "Ready").cloned().unwrap_or_default();
        let mut withdrawn = pod.clone();
        let not_ready = PodCondition {
            status: "False".to_owned(),
            reason: Some(WITHDRAWN_REASON.to_owned()),
            message: Some("Node is not ready".to_owned()),
            ..present
        };
        facts::set_pod_condition(&mut withdrawn, not_ready, now);
        plan.actions.push(Action::UpdateStatus(Box::new(withdrawn.into())));
        let key = ObjectKey::new(Kind::Pod, facts::namespace(&pod.metadata), facts::name(&pod.metadata));
        announcements.push(announce(
            &key,
            pod.metadata.uid.as_deref(),
            Severity::Warning,
            "NodeNotReady",
            "Node is not ready".to_owned(),
        ));
    }
    plan.actions.append(&mut announcements);
}

/// Makes those pods ready again that [`withdraw_pods`] made not ready, if their containers are as the agent last said.
/// An agent that was cut off tells its pods anew; one that was only late does not know that it was doubted.
fn restore_pods(world: &World, node: &ObjectKey, now: Timestamp, plan: &mut Plan) {
    for pod in world.pods_on(&node.name).filter(|pod| facts::is_active(pod)) {
        let was_withdrawn = facts::pod_condition(pod, "Ready")
            .filter(|ready| ready.status == "False" && ready.reason.as_deref() == Some(WITHDRAWN_REASON));
        let runs = facts::pod_condition(pod, "ContainersReady").is_some_and(|containers| containers.status == "True");
        let Some(present) = was_withdrawn.filter(|_| runs) else {
            continue;
        };
        let mut restored = pod.clone();
        let ready = PodCondition {
            status: "True".to_owned(),
            reason: None,
            message: None,
            ..present.clone()
        };
        facts::set_pod_condition(&mut restored, ready, now);
        plan.actions.push(Action::UpdateStatus(Box::new(restored.into())));
    }
}

/// The node with the taints that its conditions call for; `None` if it has them. Other taints stay as they are, but
/// for the time at which evictions by them begin to count.
fn with_taints(world: &World, node: &Node, now: Timestamp) -> Option<Node> {
    let present = node
        .spec
        .as_ref()
        .and_then(|spec| spec.taints.clone())
        .unwrap_or_default();
    let wanted = wanted_taints(world, node);
    let is_ours = |taint: &Taint| {
        matches!(taint.key.as_str(), NOT_READY | UNREACHABLE | UNSCHEDULABLE)
            || PRESSURES.iter().any(|(_, key)| *key == taint.key)
    };
    let is_wanted = |taint: &Taint| {
        wanted
            .iter()
            .any(|(key, effect)| *key == taint.key && *effect == taint.effect)
    };
    let mut taints: Vec<Taint> = present
        .iter()
        .filter(|taint| !is_ours(taint) || is_wanted(taint))
        .cloned()
        .collect();
    for (key, effect) in &wanted {
        if !taints.iter().any(|taint| taint.key == *key && taint.effect == *effect) {
            taints.push(Taint {
                key: (*key).to_owned(),
                effect: (*effect).to_owned(),
                value: None,
                time_added: None,
            });
        }
    }
    for taint in &mut taints {
        if taint.effect == NO_EXECUTE && taint.time_added.is_none() {
            taint.time_added = Some(facts::stamp(now));
        }
    }
    if taints == present {
        return None;
    }
    let mut tainted = node.clone();
    tainted.spec.get_or_insert_default().taints = (!taints.is_empty()).then_some(taints);
    Some(tainted)
}

fn wanted_taints(world: &World, node: &Node) -> Vec<(&'static str, &'static str)> {
    let mut wanted = Vec::new();
    let mut evicting = |key| {
        wanted.push((key, NO_SCHEDULE));
        // When no node works, the trouble is ours or the network's, and there is nowhere to move to.
        if world.all::<Node>().any(is_ready) {
            wanted.push((key, NO_EXECUTE));
        }
    };
    match facts::node_condition(node, "Ready").map(|ready| ready.status.as_str()) {
        Some("True") => {}
        Some("Unknown") => evicting(UNREACHABLE),
        Some(_) => evicting(NOT_READY),
        // It has just come and said nothing yet: no new pods, but no reason to send any away.
        None => wanted.push((NOT_READY, NO_SCHEDULE)),
    }
    if node.spec.as_ref().is_some_and(|spec| spec.unschedulable == Some(true)) {
        wanted.push((UNSCHEDULABLE, NO_SCHEDULE));
    }
    for (condition, key) in PRESSURES {
        if facts::node_condition(node, condition).is_some_and(|condition| condition.status == "True") {
            wanted.push((key, NO_SCHEDULE));
        }
    }
    wanted
}

fn announce(about: &ObjectKey, uid: Option<&str>, severity: Severity, reason: &'static str, message: String) -> Action {
    Action::Announce(Announcement {
        about: about.clone(),
        uid: uid.unwrap_or_default().to_owned(),
        severity,
        reason,
        message,
        source: NAME,
    })
}

#[cfg(test)]
mod tests;
