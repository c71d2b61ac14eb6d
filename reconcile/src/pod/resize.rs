//! Containers that get more or less CPU and memory while they run.
//!
//! What the spec says is taken as it comes, if the node has room for it; then cgroups are told, or the container is
//! restarted where it asks for that. Until then it is pending, and everything stays as it is.
//! Source: Kubernetes documentation, "Resize CPU and Memory Resources assigned to Containers"; KEP-1287.
//!
//! ```text
//!   as the spec says ◀── cgroup told, or restarted ── in progress ◀─ room ─┐
//!         └──── spec changes ─────────────────────────────────────────▶ pending: Deferred (others have it), Infeasible
//! ```

use std::{collections::BTreeMap, time::Duration};

use api::{
    k8s_openapi::{
        api::core::v1::{PodSpec, PodStatus, ResourceRequirements},
        apimachinery::pkg::api::resource::Quantity as Text,
    },
    quantity::Quantity,
};

use super::{
    Action, Member, Stage, Steps, StopCause, View, after,
    observed::{AttemptState, Resizing},
    standing::Role,
    status::Verdict,
    stop,
};
use crate::pod_resources::{Side, effective};

/// What can be changed.
const RESIZABLE: [&str; 2] = ["cpu", "memory"];
pub(super) const CONDITIONS: [&str; 2] = ["PodResizePending", "PodResizeInProgress"];
/// A deferred resize is looked at again: nobody tells a pod that another one has gone.
const LOOK_AGAIN: Duration = Duration::from_secs(5);

/// An amount of what a node has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Share {
    /// Thousandths of a CPU.
    pub cpu_milli: i64,
    /// Bytes.
    pub memory_bytes: i64,
}

/// What a node has for pods.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Room {
    /// In all.
    pub allocatable: Share,
    /// What its other pods have of it.
    pub others: Share,
}

/// What becomes of the resources that the spec says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Resize {
    /// Containers have them, or get them when they start.
    Done,
    /// They are being given.
    InProgress,
    /// They could not be given yet: why.
    Failing(String),
    /// Others have them now.
    Deferred(String),
    /// The node does not have them.
    Infeasible(String),
}

impl Resize {
    pub(super) fn of(view: &View<'_>) -> Resize {
        if !view.members.iter().any(is_due) {
            return Resize::Done;
        }
        let (wanted, had) = (share_of(view.spec), share_of(&allocated_spec(view)));
        let Room { allocatable, others } = view.room;
        for (what, wanted, had, allocatable, others) in [
            (
                "cpu",
                wanted.cpu_milli,
                had.cpu_milli,
                allocatable.cpu_milli,
                others.cpu_milli,
            ),
            (
                "memory",
                wanted.memory_bytes,
                had.memory_bytes,
                allocatable.memory_bytes,
                others.memory_bytes,
            ),
        ] {
            if wanted <= had {
                continue;
            }
            if wanted > allocatable {
                let message =
                    format!("Node didn't have enough capacity: {what}, requested: {wanted}, capacity: {allocatable}");
                return Resize::Infeasible(message);
            }
            if wanted > allocatable - others {
                return Resize::Deferred(format!(
                    "Node didn't have enough resource: {what}, requested: {wanted}, used: {others}, capacity: {allocatable}"
                ));
            }
        }
        let failure = view.members.iter().find_map(|member| match &member.attempt()?.resize {
            Resizing::Failed(failure) if is_due(member) => Some(failure.message.clone()),
            Resizing::Failed(_) | Resizing::Idle | Resizing::UnderWay | Resizing::Restarting => None,
        });
        failure.map_or(Resize::InProgress, Resize::Failing)
    }

    /// The condition that says so.
    pub(super) fn verdict(&self) -> Option<(&'static str, Verdict)> {
        let verdict = |reason, message: Option<&String>| Verdict {
            holds: true,
            reason,
            message: message.cloned(),
        };
        match self {
            Resize::Done => None,
            Resize::InProgress => Some((CONDITIONS[1], verdict(None, None))),
            Resize::Failing(message) => Some((CONDITIONS[1], verdict(Some("Error"), Some(message)))),
            Resize::Deferred(message) => Some((CONDITIONS[0], verdict(Some("Deferred"), Some(message)))),
            Resize::Infeasible(message) => Some((CONDITIONS[0], verdict(Some("Infeasible"), Some(message)))),
        }
    }

    /// What the node has set aside for a container.
    pub(super) fn allocated<'m>(&self, member: &'m Member<'_>) -> Option<&'m ResourceRequirements> {
        match (self, member.attempt().and_then(|attempt| attempt.resources.as_ref())) {
            (Resize::Deferred(_) | Resize::Infeasible(_), Some(before)) => Some(before),
            _ => member.spec.resources.as_ref(),
        }
    }
}

/// Whether a status says that a resize waits: containers are started with what they had.
#[must_use]
pub fn is_pending(status: &PodStatus) -> bool {
    let mut conditions = status.conditions.iter().flatten();
    conditions.any(|condition| condition.type_ == CONDITIONS[0] && condition.status == "True")
}

/// What a running container may use.
pub(super) fn shown(member: &Member<'_>) -> Option<ResourceRequirements> {
    let attempt = member.attempt().filter(|attempt| attempt.state.is_live())?;
    let known = attempt.resources.as_ref().or(member.spec.resources.as_ref())?;
    (member.role != Role::Ephemeral).then(|| known.clone())
}

/// What a pod takes of its node.
pub(super) fn share(view: &View<'_>, stage: Stage) -> Share {
    match (stage, Resize::of(view)) {
        (Stage::Finished(_), _) if view.live().next().is_none() => Share::default(),
        (_, Resize::Deferred(_) | Resize::Infeasible(_)) => share_of(&allocated_spec(view)),
        (_, Resize::Done | Resize::InProgress | Resize::Failing(_)) => share_of(view.spec),
    }
}

/// Brings what containers have nearer to what the spec says.
pub(super) fn advance(view: &View<'_>, steps: &mut Steps) {
    match Resize::of(view) {
        Resize::Done | Resize::Infeasible(_) => return,
        Resize::Deferred(_) => return steps.wake(after(view.now, LOOK_AGAIN)),
        Resize::InProgress | Resize::Failing(_) => {}
    }
    let mut containers = Vec::new();
    for member in view.members.iter().filter(|member| is_due(member)) {
        let Some(attempt) = member.attempt() else { continue };
        if !matches!(attempt.state, AttemptState::Running { .. }) {
            continue;
        }
        match &attempt.resize {
            Resizing::UnderWay | Resizing::Restarting => {}
            _ if asks_for_restart(member) => {
                stop::stop(member, after(view.now, view.grace()), &StopCause::Resized, steps);
            }
            Resizing::Failed(failure) if view.now < failure.retry_at() => steps.wake(failure.retry_at()),
            Resizing::Failed(_) | Resizing::Idle => containers.push(member.spec.name.clone()),
        }
    }
    if !containers.is_empty() {
        steps.act(Action::Resize { containers });
    }
}

/// Whether a container runs with other resources than the spec says.
fn is_due(member: &Member<'_>) -> bool {
    let Some(attempt) = member.attempt() else { return false };
    let runs = matches!(
        attempt.state,
        AttemptState::Running { .. } | AttemptState::Stopping { .. }
    );
    let has = attempt.resources.as_ref();
    runs && matches!(member.role, Role::Sidecar | Role::Main)
        && has.is_some_and(|has| !same_amounts(Some(has), member.spec.resources.as_ref()))
}

/// Whether two containers may use the same of what can be changed.
#[must_use]
pub fn same_amounts(one: Option<&ResourceRequirements>, other: Option<&ResourceRequirements>) -> bool {
    RESIZABLE.iter().all(|name| amounts(one, name) == amounts(other, name))
}

/// Request and limit of one resource.
fn amounts(resources: Option<&ResourceRequirements>, name: &str) -> [Option<Quantity>; 2] {
    let of = |list: Option<&BTreeMap<String, Text>>| list?.get(name)?.0.parse().ok();
    [
        of(resources.and_then(|resources| resources.requests.as_ref())),
        of(resources.and_then(|resources| resources.limits.as_ref())),
    ]
}

/// Whether one of the resources that change is among those for which the container is restarted.
fn asks_for_restart(member: &Member<'_>) -> bool {
    let has = member.attempt().and_then(|attempt| attempt.resources.as_ref());
    member.spec.resize_policy.iter().flatten().any(|policy| {
        let name = policy.resource_name.as_str();
        policy.restart_policy == "RestartContainer"
            && amounts(has, name) != amounts(member.spec.resources.as_ref(), name)
    })
}

/// The spec with what running containers have.
fn allocated_spec(view: &View<'_>) -> PodSpec {
    let mut spec = view.spec.clone();
    let lists = spec.init_containers.iter_mut().flatten().chain(&mut spec.containers);
    for container in lists {
        let member = view.members.iter().find(|member| member.spec.name == container.name);
        if let Some(member) = member.filter(|member| is_due(member)) {
            container.resources = member.attempt().and_then(|attempt| attempt.resources.clone());
        }
    }
    spec
}

fn share_of(spec: &PodSpec) -> Share {
    let requests = effective(spec, Side::Requests);
    let amount = |name: &str| requests.get(name).copied();
    Share {
        cpu_milli: amount("cpu").map_or(0, Quantity::milli_value),
        memory_bytes: amount("memory").map_or(0, Quantity::value),
    }
}
