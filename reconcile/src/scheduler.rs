//! The scheduler: a node for each pod that has none.
//!
//! All waiting pods are planned together, in order of priority and age, each counted on its node before the next one
//! is placed: a plan never overcommits a node. The parts: [`filter`] says which nodes can take a pod and why the
//! others cannot, [`score`] which of them is best. Between equals the seed decides.
//! Source: Kubernetes documentation, scheduling framework; messages as `kubectl describe` shows them.

use std::{
    collections::{BTreeMap, HashMap},
    time::Duration,
};

use api::{
    Kind, Object, ObjectKey,
    k8s_openapi::api::core::v1::{Node, Pod, PodCondition, PodSpec},
};

use crate::{
    facts,
    naming::Hash,
    plan::{Action, Announcement, Context, Plan, Planner, Severity, Waiting},
    world::{World, usage},
};

mod filter;
mod score;

use filter::Candidate;

const NAME: &str = "default-scheduler";

/// Pods bound in one plan: the next plan sees what became of them. Bounds the work that one conflict can waste.
const BINDINGS_PER_PLAN_MAX: usize = 1_000;

/// Pods that wait are listed in the plan's `waiting_on` up to this many.
const WAITING_LISTED_MAX: usize = 100;

/// Plans all pods without a node under one key.
#[derive(Debug, Default)]
pub(crate) struct Scheduler;

fn all_pods() -> ObjectKey {
    ObjectKey::new(Kind::Pod, "", "")
}

impl Planner for Scheduler {
    fn name(&self) -> &'static str {
        NAME
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
        let matters = match changed.kind {
            Kind::Pod => pod_matters(before.and_then(Object::get), after.and_then(Object::get)),
            Kind::Node => node_matters(before.and_then(Object::get), after.and_then(Object::get)),
            _ => false,
        };
        if matters && world.unbound_pods().len() > 0 {
            vec![all_pods()]
        } else {
            Vec::new()
        }
    }

    fn plan(&self, world: &World, _key: &ObjectKey, context: Context) -> Plan {
        let mut waiting: Vec<&Pod> = world.unbound_pods().filter(|pod| is_ours(pod)).collect();
        if waiting.is_empty() {
            return Plan::default();
        }
        waiting.sort_by_cached_key(|pod| {
            let spec = pod.spec.as_ref();
            (
                std::cmp::Reverse(spec.and_then(|spec| spec.priority).unwrap_or(0)),
                pod.metadata.creation_timestamp.as_ref().map(|time| time.0),
                pod.metadata.namespace.clone(),
                pod.metadata.name.clone(),
            )
        });
        let mut round = Round::new(world, context);
        for pod in waiting {
            round.place(pod);
        }
        round.into_plan()
    }
}

/// A pod that this scheduler is asked for.
fn is_ours(pod: &Pod) -> bool {
    let scheduler = pod.spec.as_ref().and_then(|spec| spec.scheduler_name.as_deref());
    !facts::is_terminating(&pod.metadata) && scheduler.is_none_or(|name| name.is_empty() || name == NAME)
}

/// A pod that came, changed what it asks, or freed what it had. Statuses alone do not matter.
fn pod_matters(before: Option<&Pod>, after: Option<&Pod>) -> bool {
    let holds = |pod: Option<&Pod>| pod.is_some_and(|pod| facts::node_name(pod).is_some() && !facts::is_finished(pod));
    match (before, after) {
        (_, Some(after)) if facts::node_name(after).is_none() => {
            before.is_none_or(|before| before.spec != after.spec || before.metadata.uid != after.metadata.uid)
        }
        _ => holds(before) && !holds(after),
    }
}

/// Nodes report every few seconds; only what the filters look at matters.
fn node_matters(before: Option<&Node>, after: Option<&Node>) -> bool {
    let (Some(before), Some(after)) = (before, after) else {
        return true;
    };
    let allocatable = |node: &Node| node.status.as_ref().and_then(|status| status.allocatable.clone());
    before.spec != after.spec
        || before.metadata.labels != after.metadata.labels
        || facts::is_terminating(&before.metadata) != facts::is_terminating(&after.metadata)
        || allocatable(before) != allocatable(after)
}

/// One round over the waiting pods.
struct Round<'a> {
    world: &'a World,
    context: Context,
    nodes: Vec<Candidate<'a>>,
    node_at: HashMap<&'a str, usize>,
    /// How many pods of a group each node holds, those placed in this round included.
    spread: HashMap<String, Vec<usize>>,
    /// Pods of one controller are alike: if one found no node, its siblings with the same spec need not look.
    refused: HashMap<&'a str, (&'a PodSpec, String)>,
    bindings: Vec<Action>,
    announcements: Vec<Action>,
    conditions: Vec<Action>,
    waiting_on: Vec<Waiting>,
    /// Pods that found a node but no room in this plan.
    left_over: usize,
}

impl<'a> Round<'a> {
    fn new(world: &'a World, context: Context) -> Round<'a> {
        let nodes: Vec<Candidate<'a>> = world
            .all::<Node>()
            .filter(|node| !facts::is_terminating(&node.metadata))
            .map(|node| Candidate::new(node, world.usage_of(facts::name(&node.metadata))))
            .collect();
        Round {
            world,
            context,
            node_at: nodes
                .iter()
                .enumerate()
                .map(|(at, candidate)| (candidate.name, at))
                .collect(),
            nodes,
            spread: HashMap::new(),
            refused: HashMap::new(),
            bindings: Vec::new(),
            announcements: Vec::new(),
            conditions: Vec::new(),
            waiting_on: Vec::new(),
            left_over: 0,
        }
    }

    fn place(&mut self, pod: &'a Pod) {
        let Some(spec) = &pod.spec else { return };
        if spec.scheduling_gates.as_ref().is_some_and(|gates| !gates.is_empty()) {
            self.tell(
                pod,
                "SchedulingGated",
                "Scheduling is blocked due to non-empty scheduling gates".to_owned(),
            );
            return;
        }
        if self.bindings.len() >= BINDINGS_PER_PLAN_MAX {
            self.left_over += 1;
            return;
        }
        let owner = facts::controller(&pod.metadata).map(|owner| owner.uid.as_str());
        if let Some(owner) = owner
            && let Some((of_sibling, message)) = self.refused.get(owner)
            && *of_sibling == spec
        {
            let message = message.clone();
            self.refuse(pod, message);
            return;
        }
        let wanted = filter::Wanted::of(pod, spec);
        let mut fitting = Vec::new();
        let mut reasons: BTreeMap<String, usize> = BTreeMap::new();
        for (at, node) in self.nodes.iter().enumerate() {
            match filter::check(&wanted, node) {
                Ok(()) => fitting.push(at),
                Err(refusals) => {
                    for refusal in refusals {
                        *reasons.entry(refusal.to_string()).or_default() += 1;
                    }
                }
            }
        }
        if fitting.is_empty() {
            let message = filter::explain(self.nodes.len(), &reasons);
            if let Some(owner) = owner {
                self.refused.insert(owner, (spec, message.clone()));
            }
            self.refuse(pod, message);
            return;
        }
        let group = self.group_of(pod);
        let at = self.best(&wanted, &fitting, group.as_deref());
        self.bind(pod, at, group);
    }

    fn best(&self, wanted: &filter::Wanted<'_>, fitting: &[usize], group: Option<&str>) -> usize {
        let nobody = Vec::new();
        let spread = group.and_then(|group| self.spread.get(group)).unwrap_or(&nobody);
        let of_group = |at: usize| spread.get(at).copied().unwrap_or(0);
        let scores = score::scores(
            wanted,
            &fitting
                .iter()
                .map(|at| (&self.nodes[*at], of_group(*at)))
                .collect::<Vec<_>>(),
        );
        let lot = |at: usize| {
            Hash::new()
                .with_number(self.context.seed)
                .with(facts::uid(&wanted.pod.metadata))
                .with(self.nodes[at].name)
                .value()
        };
        fitting
            .iter()
            .zip(scores)
            .max_by_key(|(at, score)| (*score, lot(**at)))
            .map(|(at, _)| *at)
            .expect("the caller found at least one node")
    }

    fn bind(&mut self, pod: &'a Pod, at: usize, group: Option<String>) {
        let node = &mut self.nodes[at];
        node.used.add(&usage::footprint(pod));
        let name = node.name;
        if let Some(counts) = group.and_then(|group| self.spread.get_mut(&group)) {
            counts[at] += 1;
        }
        let key = ObjectKey::new(Kind::Pod, facts::namespace(&pod.metadata), facts::name(&pod.metadata));
        self.announcements.push(announce(
            pod,
            Severity::Normal,
            "Scheduled",
            format!("Successfully assigned {}/{} to {name}", key.namespace, key.name),
        ));
        self.bindings.push(Action::Bind {
            pod: key,
            uid: facts::uid(&pod.metadata).to_owned(),
            node: name.to_owned(),
        });
    }

    /// Which pods this one should be spread from: those of its controller, or else those that the first service that
    /// selects it selects. Counts the group's pods when it is met for the first time.
    fn group_of(&mut self, pod: &Pod) -> Option<String> {
        if let Some(owner) = facts::controller(&pod.metadata) {
            if !self.spread.contains_key(&owner.uid) {
                let counts = self.count(self.world.controlled_by::<Pod>(&owner.uid));
                self.spread.insert(owner.uid.clone(), counts);
            }
            return Some(owner.uid.clone());
        }
        let service = self
            .world
            .services_selecting(&pod.metadata)
            .min_by(|a, b| a.metadata.name.cmp(&b.metadata.name))?;
        let group = facts::uid(&service.metadata).to_owned();
        if !self.spread.contains_key(&group) {
            let selector = service.spec.as_ref()?.selector.as_ref()?;
            let counts = self.count(self.world.pods_with(facts::namespace(&pod.metadata), selector));
            self.spread.insert(group.clone(), counts);
        }
        Some(group)
    }

    fn count<'b>(&self, pods: impl Iterator<Item = &'b Pod>) -> Vec<usize> {
        let mut counts = vec![0; self.nodes.len()];
        for node in pods.filter(|pod| facts::is_active(pod)).filter_map(facts::node_name) {
            if let Some(at) = self.node_at.get(node) {
                counts[*at] += 1;
            }
        }
        counts
    }

    fn refuse(&mut self, pod: &Pod, message: String) {
        if self.tell(pod, "Unschedulable", message.clone()) {
            self.announcements
                .push(announce(pod, Severity::Warning, "FailedScheduling", message));
        }
    }

    /// Writes the condition `PodScheduled`; true if that is news.
    fn tell(&mut self, pod: &Pod, reason: &'static str, message: String) -> bool {
        if self.waiting_on.len() < WAITING_LISTED_MAX {
            self.waiting_on.push(Waiting {
                reason,
                message: message.clone(),
                on: Some(ObjectKey::new(
                    Kind::Pod,
                    facts::namespace(&pod.metadata),
                    facts::name(&pod.metadata),
                )),
            });
        }
        let mut told = pod.clone();
        let condition = PodCondition {
            type_: "PodScheduled".to_owned(),
            status: "False".to_owned(),
            reason: Some(reason.to_owned()),
            message: Some(message),
            ..PodCondition::default()
        };
        let is_news = facts::set_pod_condition(&mut told, condition, self.context.now);
        if is_news {
            self.conditions.push(Action::UpdateStatus(Box::new(told.into())));
        }
        is_news
    }

    fn into_plan(self) -> Plan {
        let mut actions = self.bindings;
        actions.extend(self.conditions);
        actions.extend(self.announcements);
        Plan {
            actions,
            waiting_on: self.waiting_on,
            requeue_after: (self.left_over > 0).then_some(Duration::ZERO),
        }
    }
}

fn announce(pod: &Pod, severity: Severity, reason: &'static str, message: String) -> Action {
    Action::Announce(Announcement {
        about: ObjectKey::new(Kind::Pod, facts::namespace(&pod.metadata), facts::name(&pod.metadata)),
        uid: facts::uid(&pod.metadata).to_owned(),
        severity,
        reason,
        message,
        source: NAME,
    })
}

/// What a node offers.
fn allocatable(node: &Node) -> usage::Amounts {
    node.status
        .iter()
        .flat_map(|status| status.allocatable.iter().flatten())
        .map(|(resource, quantity)| (resource.clone(), usage::amount(resource, quantity)))
        .collect()
}

#[cfg(test)]
mod tests;
