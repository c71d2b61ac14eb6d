//! Where each container of a pod stands: due, busy, or at its end.
//!
//! Source: Kubernetes documentation, "Pod Lifecycle" (restart policy), "Init Containers", "Sidecar Containers".

use std::borrow::Cow;

use api::{
    Timestamp,
    k8s_openapi::api::core::v1::{Container, ContainerStatus, EphemeralContainer, PodSpec, PodStatus},
};

use super::{
    Member, backoff,
    observed::{AttemptState, Exit, Observed, Record, Resizing, Sandbox},
};

/// What part a container plays.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    /// Runs to its end before the next.
    Init,
    /// An init container that keeps running (`restartPolicy: Always`).
    Sidecar,
    /// One of `spec.containers`.
    Main,
    /// Added to look into the pod; runs once, and counts for nothing.
    Ephemeral,
}

/// When an exited container runs again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Policy {
    Always,
    OnFailure,
    Never,
}

/// What follows from a container's record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    /// To be started: now, or at a time.
    Due {
        attempt: u32,
        crash_level: u32,
        at: Option<Timestamp>,
    },
    /// Starting, running or stopping.
    Busy,
    /// Refused for good; only a change of the spec helps.
    Held,
    /// Over, and not to be run again.
    Ended { success: bool },
}

impl Member<'_> {
    /// Whether containers after this init container may start.
    pub(super) fn is_initialized(&self) -> bool {
        match self.role {
            Role::Init => self.standing == Standing::Ended { success: true },
            Role::Sidecar => self.is_started(),
            Role::Main | Role::Ephemeral => true,
        }
    }

    /// Running, and past its startup probe.
    pub(super) fn is_started(&self) -> bool {
        self.attempt().is_some_and(|attempt| {
            matches!(
                attempt.state,
                AttemptState::Running { .. } | AttemptState::Stopping { .. }
            ) && (self.spec.startup_probe.is_none() || attempt.health.started)
        })
    }

    /// Started, and its readiness probe agrees.
    pub(super) fn is_ready(&self) -> bool {
        self.is_started()
            && self
                .attempt()
                .is_some_and(|attempt| self.spec.readiness_probe.is_none() || attempt.health.ready)
    }
}

/// The containers of a pod: init containers, containers, ephemeral ones.
pub(super) fn members<'a>(spec: &'a PodSpec, observed: &'a Observed, previous: &PodStatus) -> Vec<Member<'a>> {
    let pod_policy = match spec.restart_policy.as_deref() {
        Some("Never") => Policy::Never,
        Some("OnFailure") => Policy::OnFailure,
        _ => Policy::Always,
    };
    let init = spec.init_containers.iter().flatten().map(|container| {
        let role = match container.restart_policy.as_deref() {
            Some("Always") => Role::Sidecar,
            _ => Role::Init,
        };
        (Cow::Borrowed(container), role)
    });
    let main = spec
        .containers
        .iter()
        .map(|container| (Cow::Borrowed(container), Role::Main));
    let ephemeral = spec
        .ephemeral_containers
        .iter()
        .flatten()
        .map(|container| (Cow::Owned(as_container(container)), Role::Ephemeral));
    init.chain(main)
        .chain(ephemeral)
        .map(|(container, role)| {
            let record = observed.containers.get(&container.name);
            let own = match container.restart_policy.as_deref() {
                Some("Always") => Policy::Always,
                Some("OnFailure") => Policy::OnFailure,
                Some("Never") => Policy::Never,
                _ => pod_policy,
            };
            let policy = match (role, own) {
                (Role::Init, Policy::Always) => Policy::OnFailure,
                (Role::Ephemeral, _) => Policy::Never,
                (_, policy) => policy,
            };
            let first = first_attempt(&container, role, previous);
            Member {
                standing: standing(record, role, policy, first, &observed.sandbox),
                spec: container,
                role,
                record,
            }
        })
        .collect()
}

/// An ephemeral container as the container that it is run as.
#[must_use]
pub fn as_container(ephemeral: &EphemeralContainer) -> Container {
    let ephemeral = ephemeral.clone();
    Container {
        args: ephemeral.args,
        command: ephemeral.command,
        env: ephemeral.env,
        env_from: ephemeral.env_from,
        image: ephemeral.image,
        image_pull_policy: ephemeral.image_pull_policy,
        name: ephemeral.name,
        security_context: ephemeral.security_context,
        stdin: ephemeral.stdin,
        stdin_once: ephemeral.stdin_once,
        termination_message_path: ephemeral.termination_message_path,
        termination_message_policy: ephemeral.termination_message_policy,
        tty: ephemeral.tty,
        volume_devices: ephemeral.volume_devices,
        volume_mounts: ephemeral.volume_mounts,
        working_dir: ephemeral.working_dir,
        // What an ephemeral container cannot have.
        ..Container::default()
    }
}

/// The number of the first attempt that this node knows of: one more than the API remembers.
fn first_attempt(container: &Container, role: Role, previous: &PodStatus) -> u32 {
    remembered(container, role, previous)
        .filter(|status| status.container_id.as_ref().is_some_and(|id| !id.is_empty()))
        .map_or(0, |status| {
            u32::try_from(status.restart_count).unwrap_or(0).saturating_add(1)
        })
}

/// What the status that was published last says of a container.
pub(super) fn remembered<'a>(
    container: &Container,
    role: Role,
    previous: &'a PodStatus,
) -> Option<&'a ContainerStatus> {
    let statuses = match role {
        Role::Init | Role::Sidecar => &previous.init_container_statuses,
        Role::Main => &previous.container_statuses,
        Role::Ephemeral => &previous.ephemeral_container_statuses,
    };
    statuses.iter().flatten().find(|status| status.name == container.name)
}

fn standing(record: Option<&Record>, role: Role, policy: Policy, first: u32, sandbox: &Sandbox) -> Standing {
    let latest = record.and_then(Record::latest);
    let refusal = record.and_then(|record| record.refusal.as_ref());
    let (attempt, crash_level, at) = match latest {
        // It ran, on a node that has forgotten how that ended.
        None if role == Role::Ephemeral && first > 0 => return Standing::Ended { success: false },
        None => (first, 0, None),
        Some(latest) => match &latest.state {
            AttemptState::Starting | AttemptState::Running { .. } | AttemptState::Stopping { .. } => {
                return Standing::Busy;
            }
            AttemptState::Exited(exit) => {
                let number = latest.number.saturating_add(1);
                let begins_anew = role == Role::Init && ran_in_former_sandbox(exit, sandbox);
                if begins_anew || latest.resize == Resizing::Restarting {
                    (number, 0, None)
                } else if !runs_again(policy, exit) {
                    return Standing::Ended {
                        success: exit.code == 0,
                    };
                } else {
                    let (at, level) = backoff::restart(latest.crash_level, exit.started_at, exit.finished_at);
                    (number, level, Some(at))
                }
            }
        },
    };
    match refusal {
        None => Standing::Due {
            attempt,
            crash_level,
            at,
        },
        Some(refusal) => match refusal.retry_at() {
            None => Standing::Held,
            Some(retry_at) => Standing::Due {
                attempt,
                crash_level,
                at: Some(at.map_or(retry_at, |at| at.max(retry_at))),
            },
        },
    }
}

fn runs_again(policy: Policy, exit: &Exit) -> bool {
    match policy {
        Policy::Always => true,
        Policy::OnFailure => exit.code != 0,
        Policy::Never => false,
    }
}

/// A new sandbox is a new start of the pod: its init containers run again.
fn ran_in_former_sandbox(exit: &Exit, sandbox: &Sandbox) -> bool {
    match sandbox {
        Sandbox::Ready { since, .. } => exit.started_at.is_some_and(|started_at| started_at < *since),
        Sandbox::Absent
        | Sandbox::Preparing
        | Sandbox::Failed(_)
        | Sandbox::Releasing
        | Sandbox::Released
        | Sandbox::ReleaseFailed(_) => false,
    }
}
