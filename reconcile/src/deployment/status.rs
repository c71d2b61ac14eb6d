//! How far a deployment is: counts, and the conditions `Available`, `Progressing` and `ReplicaFailure`.
//!
//! Source: Kubernetes' Deployment controller; API reference apps/v1 DeploymentStatus.

use std::time::Duration;

use api::{
    Kind, ObjectKey, Timestamp,
    k8s_openapi::api::apps::v1::{DeploymentCondition, DeploymentStatus, ReplicaSetStatus},
};

use super::{
    Subject,
    revisions::{Found, size},
};
use crate::{
    facts,
    plan::{Refusal, Waiting},
    replicaset::REPLICA_FAILURE,
};

const AVAILABLE: &str = "Available";
const PROGRESSING: &str = "Progressing";
const COMPLETE_REASON: &str = "NewReplicaSetAvailable";
/// The new ReplicaSet cannot be created.
pub(super) const SET_REFUSED_REASON: &str = "ReplicaSetCreateError";
const TIMED_OUT_REASON: &str = "ProgressDeadlineExceeded";

/// A deadline this long or longer means none.
const NO_DEADLINE_S: i32 = i32::MAX;

/// The status to write, and when to look again.
pub(super) struct Told {
    pub(super) status: DeploymentStatus,
    pub(super) waiting_on: Vec<Waiting>,
    pub(super) requeue_after: Option<Duration>,
}

/// The status without its conditions, which are those of before.
pub(super) fn counted(subject: &Subject<'_>, found: &Found<'_>) -> DeploymentStatus {
    let before = subject.deployment.status.as_ref();
    let sum = |count: &dyn Fn(&ReplicaSetStatus) -> i32| -> i32 {
        found.all().filter_map(|set| set.status.as_ref()).map(count).sum()
    };
    let available = sum(&|status| status.available_replicas.unwrap_or(0));
    DeploymentStatus {
        observed_generation: subject.deployment.metadata.generation,
        replicas: facts::nonzero(sum(&|status| status.replicas)),
        updated_replicas: facts::nonzero(
            found
                .new
                .and_then(|set| set.status.as_ref())
                .map_or(0, |status| status.replicas),
        ),
        ready_replicas: facts::nonzero(sum(&|status| status.ready_replicas.unwrap_or(0))),
        available_replicas: facts::nonzero(available),
        unavailable_replicas: facts::nonzero((found.all().map(size).sum::<i32>() - available).max(0)),
        terminating_replicas: Some(sum(&|status| status.terminating_replicas.unwrap_or(0))),
        collision_count: before.and_then(|status| status.collision_count),
        conditions: before.and_then(|status| status.conditions.clone()),
    }
}

/// True if every pod is of the present template and available, and no other is left.
pub(super) fn is_complete(subject: &Subject<'_>, status: &DeploymentStatus) -> bool {
    [status.updated_replicas, status.replicas, status.available_replicas]
        .iter()
        .all(|count| count.unwrap_or(0) == subject.replicas)
}

/// Why there is no new set.
pub(super) fn set_refused(refusal: &Refusal) -> String {
    format!(
        "Failed to create new replica set {:?}: {}",
        refusal.object.name, refusal.message
    )
}

/// `refusal` is that of the new set.
pub(super) fn status(subject: &Subject<'_>, found: &Found<'_>, refusal: Option<&Refusal>, now: Timestamp) -> Told {
    let mut status = counted(subject, found);
    let enough = subject.replicas - subject.strategy.unavailable();
    let is_available = status.available_replicas.unwrap_or(0) >= enough;
    let (value, reason, message) = if is_available {
        (
            "True",
            "MinimumReplicasAvailable",
            "Deployment has minimum availability.",
        )
    } else {
        (
            "False",
            "MinimumReplicasUnavailable",
            "Deployment does not have minimum availability.",
        )
    };
    set(
        &mut status,
        AVAILABLE,
        value,
        reason,
        message.to_owned(),
        now,
        Refresh::OnChange,
    );
    let requeue_after = match refusal {
        Some(refusal) if deadline_s(subject) != NO_DEADLINE_S => {
            set(
                &mut status,
                PROGRESSING,
                "False",
                SET_REFUSED_REASON,
                set_refused(refusal),
                now,
                Refresh::OnChange,
            );
            None
        }
        _ => progressing(subject, found, &mut status, now),
    };
    echo_failure(found, &mut status);
    Told {
        waiting_on: waiting_on(subject, found, &status),
        status,
        requeue_after,
    }
}

fn deadline_s(subject: &Subject<'_>) -> i32 {
    subject.spec.progress_deadline_seconds.unwrap_or(600)
}

/// Says what a set says that is refused pods: the new one if it says so, else any.
fn echo_failure(found: &Found<'_>, status: &mut DeploymentStatus) {
    let failure = found.all().find_map(|set| {
        let conditions = set.status.as_ref()?.conditions.as_ref()?;
        conditions.iter().find(|condition| condition.type_ == REPLICA_FAILURE)
    });
    let conditions = status.conditions.get_or_insert_default();
    let at = conditions.iter().position(|present| present.type_ == REPLICA_FAILURE);
    let Some(failure) = failure else {
        conditions.retain(|present| present.type_ != REPLICA_FAILURE);
        return;
    };
    let echo = DeploymentCondition {
        type_: REPLICA_FAILURE.to_owned(),
        status: failure.status.clone(),
        reason: failure.reason.clone(),
        message: failure.message.clone(),
        last_transition_time: failure.last_transition_time.clone(),
        last_update_time: failure.last_transition_time.clone(),
    };
    match at {
        Some(at) => conditions[at] = echo,
        None => conditions.push(echo),
    }
}

/// Sets the condition `Progressing`; answers when its deadline passes.
fn progressing(
    subject: &Subject<'_>,
    found: &Found<'_>,
    status: &mut DeploymentStatus,
    now: Timestamp,
) -> Option<Duration> {
    let deadline_s = deadline_s(subject);
    if deadline_s == NO_DEADLINE_S {
        status
            .conditions
            .get_or_insert_default()
            .retain(|condition| condition.type_ != PROGRESSING);
        return None;
    }
    let before = condition(subject.deployment.status.as_ref(), PROGRESSING).cloned();
    let reason = before.as_ref().and_then(|condition| condition.reason.as_deref());
    if subject.spec.paused == Some(true) {
        let message = "Deployment is paused".to_owned();
        set(
            status,
            PROGRESSING,
            "Unknown",
            "DeploymentPaused",
            message,
            now,
            Refresh::OnChange,
        );
        return None;
    }
    if reason == Some("DeploymentPaused") {
        let message = "Deployment is resumed".to_owned();
        set(
            status,
            PROGRESSING,
            "Unknown",
            "DeploymentResumed",
            message,
            now,
            Refresh::OnChange,
        );
        return Some(Duration::from_secs(deadline_s.unsigned_abs().into()));
    }
    if status.replicas == status.updated_replicas && reason == Some(COMPLETE_REASON) {
        return None;
    }
    let what = match found.new {
        Some(set) => format!("ReplicaSet \"{}\"", facts::name(&set.metadata)),
        None => format!("Deployment \"{}\"", facts::name(&subject.deployment.metadata)),
    };
    if is_complete(subject, status) {
        let message = format!("{what} has successfully progressed.");
        set(
            status,
            PROGRESSING,
            "True",
            COMPLETE_REASON,
            message,
            now,
            Refresh::OnChange,
        );
        return None;
    }
    if before.is_none() || reason == Some(SET_REFUSED_REASON) {
        let (reason, message) = match found.new {
            Some(set) => (
                "FoundNewReplicaSet",
                format!("Found new replica set \"{}\"", facts::name(&set.metadata)),
            ),
            None => {
                let name = format!(
                    "{}-{}",
                    facts::name(&subject.deployment.metadata),
                    super::revisions::template_hash(subject)
                );
                ("NewReplicaSetCreated", format!("Created new replica set \"{name}\""))
            }
        };
        set(status, PROGRESSING, "True", reason, message, now, Refresh::Always);
    } else if is_nearer(subject.deployment.status.as_ref(), status) {
        let message = format!("{what} is progressing.");
        set(
            status,
            PROGRESSING,
            "True",
            "ReplicaSetUpdated",
            message,
            now,
            Refresh::Always,
        );
    }
    let present = condition(Some(status), PROGRESSING)?;
    if present.reason.as_deref() == Some(TIMED_OUT_REASON) {
        return None;
    }
    let since = present.last_update_time.as_ref().map_or(now, |time| time.0);
    let deadline = Duration::from_secs(deadline_s.unsigned_abs().into());
    let left = deadline.saturating_sub(facts::elapsed(since, now));
    if left.is_zero() {
        let message = format!("{what} has timed out progressing.");
        set(
            status,
            PROGRESSING,
            "False",
            TIMED_OUT_REASON,
            message,
            now,
            Refresh::OnChange,
        );
        return None;
    }
    Some(left)
}

/// True if the counts are nearer to the goal than those of before.
fn is_nearer(before: Option<&DeploymentStatus>, now: &DeploymentStatus) -> bool {
    let count = |get: fn(&DeploymentStatus) -> Option<i32>| (before.and_then(get).unwrap_or(0), get(now).unwrap_or(0));
    let (updated_before, updated) = count(|status| status.updated_replicas);
    let (total_before, total) = count(|status| status.replicas);
    let (ready_before, ready) = count(|status| status.ready_replicas);
    let (available_before, available) = count(|status| status.available_replicas);
    updated > updated_before
        || total - updated < total_before - updated_before
        || ready > ready_before
        || available > available_before
}

fn waiting_on(subject: &Subject<'_>, found: &Found<'_>, status: &DeploymentStatus) -> Vec<Waiting> {
    if is_complete(subject, status) {
        return Vec::new();
    }
    let namespace = facts::namespace(&subject.deployment.metadata);
    vec![Waiting {
        reason: "ReplicasUnavailable",
        message: format!(
            "{} of {} updated replicas are available, {} old replicas are left",
            found.new.map_or(0, super::revisions::available),
            subject.replicas,
            status.replicas.unwrap_or(0) - status.updated_replicas.unwrap_or(0),
        ),
        on: found
            .new
            .map(|set| ObjectKey::new(Kind::ReplicaSet, namespace, facts::name(&set.metadata))),
    }]
}

fn condition<'a>(status: Option<&'a DeploymentStatus>, kind: &str) -> Option<&'a DeploymentCondition> {
    status?
        .conditions
        .iter()
        .flatten()
        .find(|condition| condition.type_ == kind)
}

/// When a condition's `lastUpdateTime` moves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Refresh {
    /// Only when status or reason change.
    OnChange,
    /// Each time: the progress deadline counts from it.
    Always,
}

fn set(
    status: &mut DeploymentStatus,
    kind: &str,
    value: &str,
    reason: &str,
    message: String,
    now: Timestamp,
    refresh: Refresh,
) {
    let conditions = status.conditions.get_or_insert_default();
    let at = conditions.iter().position(|present| present.type_ == kind);
    let mut wanted = DeploymentCondition {
        type_: kind.to_owned(),
        status: value.to_owned(),
        reason: Some(reason.to_owned()),
        message: Some(message),
        last_transition_time: Some(facts::stamp(now)),
        last_update_time: Some(facts::stamp(now)),
    };
    let Some(at) = at else {
        conditions.push(wanted);
        return;
    };
    let present = &conditions[at];
    if refresh == Refresh::OnChange && present.status == wanted.status && present.reason == wanted.reason {
        return;
    }
    if present.status == wanted.status {
        wanted.last_transition_time.clone_from(&present.last_transition_time);
    }
    conditions[at] = wanted;
}
