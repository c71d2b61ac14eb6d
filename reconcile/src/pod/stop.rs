//! How containers end: deletion, the end of a pod, failed probes, deadlines.
//!
//! Stopping has two steps, the second at a deadline: preStop and stop signal, then kill. Sidecars stop after the
//! containers they serve, in reverse order. A deleted pod is first withdrawn from the services of all nodes.
//! Source: Kubernetes documentation, "Pod termination", "Sidecar containers: termination".

use std::time::Duration;

use api::Timestamp;

use super::{
    Action, Member, Note, Outcome, Stage, Standing, Steps, View, after,
    observed::{AttemptState, Sandbox},
    standing::Role,
};

/// Whatever was waited for, containers get so long between stop signal and kill, unless their grace is shorter.
const GRACE_MIN: Duration = Duration::from_secs(2);

/// Why a container is stopped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StopCause {
    /// The pod is being deleted.
    Deleted,
    /// The pod ended: its sidecars are not needed any more, or its time is up.
    Finished,
    /// A liveness or startup probe failed for good.
    Unhealthy(String),
    /// Its resources change, and it asks to be restarted for that.
    Resized,
}

/// A pod that is being deleted.
pub(super) fn deletion(view: &View<'_>, steps: &mut Steps) {
    if view.observed.removed {
        // Nobody can be asked or told any more.
        kill_all(view, steps);
        return release(view, steps, Afterwards::Forget);
    }
    let serving = view.live().any(|member| {
        matches!(
            member.attempt().map(|attempt| &attempt.state),
            Some(AttemptState::Running { .. })
        )
    });
    let requested_at = view.observed.stop_requested_at.unwrap_or(view.now);
    let grace = view.grace();
    if serving && !view.observed.stop_allowed && !grace.is_zero() {
        let wait_until = after(requested_at, grace);
        if view.now < wait_until {
            return steps.wake(wait_until);
        }
    }
    let waited = Duration::try_from(view.now.duration_since(requested_at)).unwrap_or(Duration::ZERO);
    let left = grace.saturating_sub(waited).max(GRACE_MIN.min(grace));
    stop_in_order(view, steps, after(view.now, left), grace, &StopCause::Deleted);
    release(view, steps, Afterwards::Forget);
}

/// A pod that came to its end: what still runs is stopped, the sandbox released, records and logs kept.
pub(super) fn finished(view: &View<'_>, steps: &mut Steps) {
    let grace = view.grace();
    stop_in_order(view, steps, after(view.now, grace), grace, &StopCause::Finished);
    release(view, steps, Afterwards::Keep);
}

/// Kills every live container at once.
pub(super) fn kill_all(view: &View<'_>, steps: &mut Steps) {
    for member in view.live() {
        match member.attempt().map(|attempt| &attempt.state) {
            Some(AttemptState::Running { .. } | AttemptState::Stopping { killed: false, .. }) => kill(member, steps),
            Some(AttemptState::Stopping { killed: true, .. } | AttemptState::Starting | AttemptState::Exited(_))
            | None => {}
        }
    }
}

/// Stops a container whose liveness or startup probe failed for good.
pub(super) fn unhealthy(view: &View<'_>, member: &Member<'_>, steps: &mut Steps) {
    let Some(attempt) = member.attempt() else { return };
    let (AttemptState::Running { .. }, Some(why)) = (&attempt.state, &attempt.health.failed) else {
        return;
    };
    let grace = attempt.health.failed_grace_s.map_or_else(
        || view.grace(),
        |seconds| Duration::from_secs(u64::try_from(seconds).unwrap_or(0)),
    );
    let cause = StopCause::Unhealthy(why.clone());
    stop(member, after(view.now, grace), &cause, steps);
}

/// Kills a container that did not stop in time, and wakes when one would not have.
pub(super) fn overdue(view: &View<'_>, member: &Member<'_>, steps: &mut Steps) {
    let Some(AttemptState::Stopping {
        deadline,
        killed: false,
        ..
    }) = member.attempt().map(|attempt| &attempt.state)
    else {
        return;
    };
    kill_at(view, member, *deadline, steps);
}

/// What remains to be done once the sandbox is released.
enum Afterwards {
    Keep,
    Forget,
}

fn release(view: &View<'_>, steps: &mut Steps, afterwards: Afterwards) {
    if view.live().next().is_some() {
        return;
    }
    match &view.observed.sandbox {
        Sandbox::Preparing | Sandbox::Releasing => {}
        // Also where nothing was made: a former agent may have begun.
        Sandbox::Absent | Sandbox::Ready { .. } | Sandbox::Failed(_) => steps.act(Action::ReleaseSandbox),
        Sandbox::ReleaseFailed(failure) => {
            let retry_at = failure.retry_at();
            if view.now >= retry_at {
                steps.act(Action::ReleaseSandbox);
            } else {
                steps.wake(retry_at);
            }
        }
        Sandbox::Released => match afterwards {
            Afterwards::Keep => {}
            Afterwards::Forget => steps.act(Action::Forget),
        },
    }
}

/// Containers first, then sidecars from the last to the first, each when those after it are gone.
fn stop_in_order(view: &View<'_>, steps: &mut Steps, deadline: Timestamp, grace: Duration, cause: &StopCause) {
    let others_live = view.live().any(|member| member.role != Role::Sidecar);
    let last_sidecar = view
        .live()
        .filter(|member| member.role == Role::Sidecar)
        .last()
        .map(|member| member.spec.name.clone());
    for member in view.live() {
        let turn = match member.role {
            Role::Init | Role::Main | Role::Ephemeral => true,
            Role::Sidecar => !others_live && last_sidecar.as_ref() == Some(&member.spec.name),
        };
        match member.attempt().map(|attempt| &attempt.state) {
            Some(AttemptState::Running { .. }) if turn => stop(member, deadline, cause, steps),
            // A later deletion may have shortened the grace.
            Some(AttemptState::Stopping {
                since,
                deadline: earlier,
                killed: false,
                ..
            }) => kill_at(view, member, (*earlier).min(after(*since, grace)), steps),
            Some(
                AttemptState::Running { .. }
                | AttemptState::Stopping { killed: true, .. }
                | AttemptState::Starting
                | AttemptState::Exited(_),
            )
            | None => {}
        }
    }
}

pub(super) fn stop(member: &Member<'_>, deadline: Timestamp, cause: &StopCause, steps: &mut Steps) {
    let name = &member.spec.name;
    steps.notes.push(Note::normal(
        "Killing",
        match cause {
            StopCause::Deleted | StopCause::Finished => format!("Stopping container {name}"),
            StopCause::Resized => format!("Container {name} resize requires restart"),
            StopCause::Unhealthy(why) => format!("Container {name} {why}, will be restarted"),
        },
    ));
    steps.act(Action::Stop {
        container: name.clone(),
        deadline,
        cause: cause.clone(),
    });
}

fn kill_at(view: &View<'_>, member: &Member<'_>, deadline: Timestamp, steps: &mut Steps) {
    if view.now >= deadline {
        kill(member, steps);
    } else {
        steps.wake(deadline);
    }
}

fn kill(member: &Member<'_>, steps: &mut Steps) {
    steps.act(Action::Kill {
        container: member.spec.name.clone(),
    });
}

impl View<'_> {
    /// How a pod that is being deleted ended, where all its containers have.
    pub(super) fn outcome_of_going(&self) -> Option<Outcome> {
        match self.previous.phase.as_deref() {
            Some("Succeeded") => return Some(Outcome::Succeeded),
            Some("Failed") => return Some(Outcome::Failed),
            _ => {}
        }
        if self.live().next().is_some() || self.main().any(|member| member.attempt().is_none()) {
            return None;
        }
        let success = self.main().all(|member| match (&member.standing, member.attempt()) {
            (Standing::Ended { success }, _) => *success,
            (_, Some(attempt)) => matches!(&attempt.state, AttemptState::Exited(exit) if exit.code == 0),
            (_, None) => false,
        });
        Some(if success { Outcome::Succeeded } else { Outcome::Failed })
    }

    /// Whether nothing of the pod will be started any more.
    pub(super) fn is_ending(&self, stage: Stage) -> bool {
        match stage {
            Stage::Alive => false,
            Stage::Finished(_) | Stage::Going => true,
        }
    }
}
