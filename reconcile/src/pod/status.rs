//! A pod's status: phase, conditions, container statuses, as Kubernetes shows them.
//!
//! Conditions that belong to others (readiness gates, disruption) are handed through. A condition keeps its transition
//! time as long as its status does. Source: Kubernetes documentation, "Pod Lifecycle"; API reference, PodStatus.

use api::{
    Timestamp,
    k8s_openapi::{
        api::core::v1::{
            ContainerState, ContainerStateRunning, ContainerStateTerminated, ContainerStateWaiting, ContainerStatus,
            HostIP, Pod, PodCondition, PodIP, PodStatus,
        },
        apimachinery::pkg::apis::meta::v1::Time,
    },
};

use super::{
    Member, Outcome, Stage, Standing, View, backoff,
    observed::{Attempt, AttemptState, Exit, Refusal, Sandbox},
    qos::qos,
    resize,
    standing::{self, Role},
};

pub(super) const DEADLINE_EXCEEDED: &str = "DeadlineExceeded";
const DEADLINE_MESSAGE: &str = "Pod was active on the node longer than the specified deadline";

/// The conditions this node decides.
const OWN_CONDITIONS: [&str; 5] = [
    "PodReadyToStartContainers",
    "Initialized",
    "Ready",
    "ContainersReady",
    "PodScheduled",
];

/// `name_namespace(uid)`, as messages about back-off have it.
pub(super) fn full_name(pod: &Pod) -> String {
    let metadata = &pod.metadata;
    format!(
        "{}_{}({})",
        metadata.name.as_deref().unwrap_or_default(),
        metadata.namespace.as_deref().unwrap_or_default(),
        metadata.uid.as_deref().unwrap_or_default()
    )
}

pub(super) fn status(view: &View<'_>, stage: Stage) -> PodStatus {
    let phase = phase(view, stage);
    let ips: Vec<String> = match &view.observed.sandbox {
        Sandbox::Ready { ips, .. } => ips.iter().map(ToString::to_string).collect(),
        Sandbox::Absent
        | Sandbox::Preparing
        | Sandbox::Failed(_)
        | Sandbox::Releasing
        | Sandbox::Released
        | Sandbox::ReleaseFailed(_) => view.previous.pod_ips.iter().flatten().map(|ip| ip.ip.clone()).collect(),
    };
    let (reason, message) = match stage {
        Stage::Finished(Outcome::DeadlineExceeded) => {
            (Some(DEADLINE_EXCEEDED.to_owned()), Some(DEADLINE_MESSAGE.to_owned()))
        }
        Stage::Finished(Outcome::Succeeded | Outcome::Failed) | Stage::Going => {
            (view.previous.reason.clone(), view.previous.message.clone())
        }
        Stage::Alive => (None, None),
    };
    let resize = resize::Resize::of(view);
    let of_roles = |roles: &[Role]| -> Vec<ContainerStatus> {
        view.members
            .iter()
            .filter(|member| roles.contains(&member.role))
            .map(|member| container_status(view, member, stage, &resize))
            .collect()
    };
    let some = |statuses: Vec<ContainerStatus>| (!statuses.is_empty()).then_some(statuses);
    PodStatus {
        phase: Some(phase.to_owned()),
        reason,
        message,
        conditions: Some(conditions(view, phase, &resize)),
        container_statuses: Some(of_roles(&[Role::Main])),
        init_container_statuses: some(of_roles(&[Role::Init, Role::Sidecar])),
        ephemeral_container_statuses: some(of_roles(&[Role::Ephemeral])),
        host_ip: view.host_ips.first().map(ToString::to_string),
        host_ips: Some(view.host_ips.iter().map(|ip| HostIP { ip: ip.to_string() }).collect()),
        pod_ip: ips.first().cloned(),
        pod_ips: (!ips.is_empty()).then(|| ips.into_iter().map(|ip| PodIP { ip }).collect()),
        start_time: Some(Time(view.start_time)),
        qos_class: Some(
            view.previous
                .qos_class
                .clone()
                .unwrap_or_else(|| qos(view.spec).as_str().to_owned()),
        ),
        observed_generation: view.pod.metadata.generation,
        nominated_node_name: view.previous.nominated_node_name.clone(),
        ..PodStatus::default()
    }
}

fn phase(view: &View<'_>, stage: Stage) -> &'static str {
    let outcome = match stage {
        Stage::Finished(outcome) => Some(outcome),
        Stage::Going => view.outcome_of_going(),
        Stage::Alive => None,
    };
    match outcome {
        Some(Outcome::Succeeded) => return "Succeeded",
        Some(Outcome::Failed | Outcome::DeadlineExceeded) => {
            // A pod is not over while something of it runs.
            return if view.live().next().is_some() && view.previous.phase.as_deref() != Some("Failed") {
                "Running"
            } else {
                "Failed"
            };
        }
        None => {}
    }
    let began = |member: &Member<'_>| member.attempt().is_some_and(|attempt| has_begun(member, attempt));
    if view.main().all(began) && view.main().next().is_some() {
        "Running"
    } else {
        "Pending"
    }
}

/// Whether the container has ever run: its first attempt may still be on its way.
fn has_begun(member: &Member<'_>, attempt: &Attempt) -> bool {
    match attempt.state {
        AttemptState::Starting => member.record.is_some_and(|record| record.attempts.len() > 1),
        AttemptState::Running { .. } | AttemptState::Stopping { .. } | AttemptState::Exited(_) => true,
    }
}

fn container_status(view: &View<'_>, member: &Member<'_>, stage: Stage, resize: &resize::Resize) -> ContainerStatus {
    let attempts = member.record.map_or(&[][..], |record| &record.attempts[..]);
    // An attempt that is only being made does not show yet.
    let (current, former) = match attempts {
        [.., former, starting] if starting.state == AttemptState::Starting => (Some(former), None),
        [starting] if starting.state == AttemptState::Starting => (None, None),
        [.., former, current] => (Some(current), Some(former)),
        [current] => (Some(current), None),
        [] => (None, None),
    };
    let refusal = member.record.and_then(|record| record.refusal.as_ref());
    let (state, last_state) = match current.map(|attempt| (attempt, &attempt.state)) {
        None | Some((_, AttemptState::Starting)) => (waiting_first(view, member, refusal), None),
        Some((_, AttemptState::Running { started_at } | AttemptState::Stopping { started_at, .. })) => {
            (running(*started_at), former.and_then(terminated))
        }
        Some((attempt, AttemptState::Exited(_))) => match waiting_again(view, member, refusal, stage) {
            Some(waiting) => (waiting, terminated(attempt)),
            None => (terminated(attempt).unwrap_or_default(), former.and_then(terminated)),
        },
    };
    let (ready, started) = match member.role {
        Role::Init => {
            let done = member.standing == Standing::Ended { success: true };
            (done, member.is_started())
        }
        Role::Sidecar | Role::Main => (member.is_ready(), member.is_started()),
        Role::Ephemeral => (false, member.is_started()),
    };
    // A node that has lost its records goes on from what the API remembers.
    let remembered = match current {
        Some(_) => None,
        None => standing::remembered(&member.spec, member.role, view.previous),
    };
    ContainerStatus {
        name: member.spec.name.clone(),
        image: current
            .map(|attempt| attempt.image.clone())
            .filter(|image| !image.is_empty())
            .or_else(|| member.spec.image.clone())
            .unwrap_or_default(),
        image_id: current.map(|attempt| attempt.image_id.clone()).unwrap_or_default(),
        container_id: current
            .map(|attempt| attempt.container_id.clone())
            .filter(|id| !id.is_empty())
            .or_else(|| remembered?.container_id.clone()),
        ready,
        started: Some(started),
        restart_count: match current {
            Some(attempt) => i32::try_from(attempt.number).unwrap_or(i32::MAX),
            None => remembered.map_or(0, |status| status.restart_count),
        },
        state: Some(state),
        last_state: Some(last_state.unwrap_or_default()),
        resources: resize::shown(member),
        allocated_resources: resize
            .allocated(member)
            .and_then(|allocated| allocated.requests.clone()),
        ..ContainerStatus::default()
    }
}

fn waiting_first(view: &View<'_>, member: &Member<'_>, refusal: Option<&Refusal>) -> ContainerState {
    if let Some(refusal) = refusal {
        return waiting(refusal.reason.as_str(refusal.level), Some(refusal.message.clone()));
    }
    let initializing = match member.role {
        Role::Main => view.init().next().is_some(),
        Role::Init | Role::Sidecar => view
            .blocking_init()
            .is_some_and(|blocking| blocking.spec.name != member.spec.name),
        Role::Ephemeral => false,
    };
    waiting(
        if initializing {
            "PodInitializing"
        } else {
            "ContainerCreating"
        },
        None,
    )
}

/// What an exited container waits for, if it is going to run again and cannot yet.
fn waiting_again(
    view: &View<'_>,
    member: &Member<'_>,
    refusal: Option<&Refusal>,
    stage: Stage,
) -> Option<ContainerState> {
    if view.is_ending(stage) {
        return None;
    }
    if let Some(refusal) = refusal {
        return Some(waiting(
            refusal.reason.as_str(refusal.level),
            Some(refusal.message.clone()),
        ));
    }
    let level = match member.standing {
        Standing::Due {
            at: Some(at),
            crash_level,
            ..
        } if view.now < at => crash_level,
        Standing::Due { .. } | Standing::Busy | Standing::Held | Standing::Ended { .. } => return None,
    };
    let delay = backoff::delay(level.saturating_sub(1));
    Some(waiting(
        "CrashLoopBackOff",
        Some(format!(
            "back-off {} restarting failed container={} pod={}",
            go_duration(delay.as_secs()),
            member.spec.name,
            full_name(view.pod)
        )),
    ))
}

/// `10s`, `1m20s`, `5m0s`: as Go prints a duration.
fn go_duration(seconds: u64) -> String {
    if seconds < 60 {
        format!("{seconds}s")
    } else {
        format!("{}m{}s", seconds / 60, seconds % 60)
    }
}

fn waiting(reason: &str, message: Option<String>) -> ContainerState {
    ContainerState {
        waiting: Some(ContainerStateWaiting {
            reason: Some(reason.to_owned()),
            message,
        }),
        ..ContainerState::default()
    }
}

fn running(started_at: Timestamp) -> ContainerState {
    ContainerState {
        running: Some(ContainerStateRunning {
            started_at: Some(whole_seconds(started_at)),
        }),
        ..ContainerState::default()
    }
}

fn terminated(attempt: &Attempt) -> Option<ContainerState> {
    let AttemptState::Exited(exit) = &attempt.state else {
        return None;
    };
    let Exit {
        started_at,
        finished_at,
        code,
        signal,
        reason,
        message,
    } = exit;
    Some(ContainerState {
        terminated: Some(ContainerStateTerminated {
            container_id: Some(attempt.container_id.clone()).filter(|id| !id.is_empty()),
            exit_code: *code,
            signal: *signal,
            reason: Some(reason.as_str().to_owned()),
            message: Some(message.clone()).filter(|message| !message.is_empty()),
            started_at: started_at.map(whole_seconds),
            finished_at: Some(whole_seconds(*finished_at)),
        }),
        ..ContainerState::default()
    })
}

/// The API keeps seconds.
fn whole_seconds(at: Timestamp) -> Time {
    Time(Timestamp::from_second(at.as_second()).unwrap_or(at))
}

fn conditions(view: &View<'_>, phase: &str, resize: &resize::Resize) -> Vec<PodCondition> {
    let verdicts = [
        (OWN_CONDITIONS[0], sandbox_verdict(view)),
        (OWN_CONDITIONS[1], initialized_verdict(view, phase)),
        (OWN_CONDITIONS[2], ready_verdict(view, phase)),
        (OWN_CONDITIONS[3], containers_verdict(view, phase)),
        (OWN_CONDITIONS[4], Verdict::TRUE),
    ];
    let verdicts = verdicts.into_iter().chain(resize.verdict());
    let mut conditions: Vec<PodCondition> = verdicts
        .map(|(type_, verdict)| {
            let status = if verdict.holds { "True" } else { "False" };
            let since = known(view.previous, type_)
                .filter(|condition| condition.status == status)
                .and_then(|condition| condition.last_transition_time.clone());
            PodCondition {
                type_: type_.to_owned(),
                status: status.to_owned(),
                reason: verdict.reason.map(str::to_owned),
                message: verdict.message,
                last_transition_time: Some(since.unwrap_or_else(|| whole_seconds(view.now))),
                observed_generation: view.pod.metadata.generation,
                last_probe_time: None,
            }
        })
        .collect();
    let foreign = view.pod.status.as_ref().and_then(|status| status.conditions.as_ref());
    conditions.extend(
        foreign
            .into_iter()
            .flatten()
            .filter(|condition| {
                let type_ = condition.type_.as_str();
                !OWN_CONDITIONS.contains(&type_) && !resize::CONDITIONS.contains(&type_)
            })
            .cloned(),
    );
    conditions
}

fn known<'a>(status: &'a PodStatus, type_: &str) -> Option<&'a PodCondition> {
    status
        .conditions
        .iter()
        .flatten()
        .find(|condition| condition.type_ == type_)
}

pub(super) struct Verdict {
    pub(super) holds: bool,
    pub(super) reason: Option<&'static str>,
    pub(super) message: Option<String>,
}

impl Verdict {
    const TRUE: Verdict = Verdict {
        holds: true,
        reason: None,
        message: None,
    };

    fn no(reason: &'static str, message: Option<String>) -> Verdict {
        Verdict {
            holds: false,
            reason: Some(reason),
            message,
        }
    }
}

fn sandbox_verdict(view: &View<'_>) -> Verdict {
    Verdict {
        holds: matches!(view.observed.sandbox, Sandbox::Ready { .. }),
        reason: None,
        message: None,
    }
}

fn initialized_verdict(view: &View<'_>, phase: &str) -> Verdict {
    if phase == "Succeeded" {
        return Verdict {
            holds: true,
            reason: Some("PodCompleted"),
            message: None,
        };
    }
    if view.has_initialized() {
        return Verdict::TRUE;
    }
    let incomplete = names(view.init().filter(|member| !member.is_initialized()));
    Verdict::no(
        "ContainersNotInitialized",
        Some(format!("containers with incomplete status: {incomplete}")),
    )
}

fn containers_verdict(view: &View<'_>, phase: &str) -> Verdict {
    match phase {
        "Succeeded" => return Verdict::no("PodCompleted", None),
        "Failed" => return Verdict::no("PodFailed", None),
        _ => {}
    }
    let counts = |member: &&Member<'_>| matches!(member.role, Role::Sidecar | Role::Main);
    if view.members.iter().filter(counts).all(Member::is_ready) {
        return Verdict::TRUE;
    }
    let unready = names(view.members.iter().filter(counts).filter(|member| !member.is_ready()));
    Verdict::no(
        "ContainersNotReady",
        Some(format!("containers with unready status: {unready}")),
    )
}

fn ready_verdict(view: &View<'_>, phase: &str) -> Verdict {
    let containers = containers_verdict(view, phase);
    if !containers.holds {
        return containers;
    }
    let held: Vec<String> = view
        .spec
        .readiness_gates
        .iter()
        .flatten()
        .filter(|gate| {
            let status = view.pod.status.as_ref();
            let condition = status.and_then(|status| known(status, &gate.condition_type));
            condition.is_none_or(|condition| condition.status != "True")
        })
        .map(|gate| {
            format!(
                "the status of pod readiness gate \"{}\" is not \"True\", but False",
                gate.condition_type
            )
        })
        .collect();
    if held.is_empty() {
        return Verdict::TRUE;
    }
    Verdict::no("ReadinessGatesNotReady", Some(held.join(", ")))
}

/// `[a b]`
fn names<'a, 'v: 'a>(members: impl Iterator<Item = &'a Member<'v>>) -> String {
    let names: Vec<&str> = members.map(|member| member.spec.name.as_str()).collect();
    format!("[{}]", names.join(" "))
}
