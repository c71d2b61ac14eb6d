//! The life of one pod on its node: what to do next and what its status says.
//!
//! [`decide`] is a pure function of the pod's object, what the node has seen of its sandbox and containers, and the
//! time. The agent observes, calls it, carries the actions out (each shows in the next observation as under way, so
//! that nothing is asked for twice), and calls it again when something changed or at [`Decision::wake_at`].
//! Never here: how a container is made, clocks, files. Nothing is remembered but in [`Observed`].
//! Source: Kubernetes documentation, "Pod Lifecycle", "Init Containers", "Sidecar Containers"; what differs is said
//! where it differs.
//!
//! ```text
//!   sandbox        Absent ─▶ Preparing ─▶ Ready ──▶ Releasing ─▶ Released
//!                              │  ▲                     │  ▲
//!                              ▼  │ back-off            ▼  │ back-off
//!                             Failed                ReleaseFailed
//!
//!   one attempt    Starting ─▶ Running ─▶ Stopping ─▶ Exited      (Starting ─▶ refused: no attempt, tried again)
//!   of a container      └───────┴────────────────────▲
//!
//!   pod            set up ─▶ init containers, in order ─▶ containers ─▶ finished ─▶ sandbox released, records kept
//!                     └───────────┴───────────────────────────┴─ deletion ─▶ withdrawn ─▶ stopped ─▶ released ─▶ gone
//! ```

pub mod backoff;
mod event;
pub mod observed;
pub mod probe;
mod qos;
mod resize;
mod standing;
mod status;
mod stop;

use std::{borrow::Cow, time::Duration};

use api::{
    Timestamp,
    k8s_openapi::api::core::v1::{Container, Pod, PodSpec, PodStatus},
};

pub use event::Note;
pub use observed::{
    Attempt, AttemptState, Exit, ExitReason, Failure, Health, Observed, Record, Refusal, RefusalReason, Resizing,
    Sandbox,
};
pub use qos::{Qos, qos};
pub use resize::{Room, Share, is_pending as is_resize_pending, same_amounts};
pub use standing::as_container;
pub use stop::StopCause;

use standing::{Role, Standing};

/// What `spec.terminationGracePeriodSeconds` defaults to.
const GRACE_DEFAULT_S: i64 = 30;

/// A step for the agent. Each begins at once and shows in the next [`Observed`] as under way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Make namespaces, network, volumes and cgroup: the sandbox becomes `Preparing`.
    PrepareSandbox,
    /// Make and start a container: it gets an attempt in `Starting`.
    Start {
        /// The container.
        container: String,
        /// Number of the attempt; also the restart count.
        attempt: u32,
        /// Starts in a row before this one, for the back-off.
        crash_level: u32,
    },
    /// Run the container's preStop hook, then send its stop signal: the attempt becomes `Stopping`.
    Stop {
        /// The container.
        container: String,
        /// When the attempt is killed; the machine asks for that itself.
        deadline: Timestamp,
        /// Why, for the event.
        cause: StopCause,
    },
    /// Kill every process of the container: the attempt is marked as killed.
    Kill {
        /// The container.
        container: String,
    },
    /// Give running containers what the spec says of CPU and memory, and the pod what they have together.
    Resize {
        /// The containers.
        containers: Vec<String>,
    },
    /// Undo [`Action::PrepareSandbox`]; nothing of the pod runs any more. Records and logs stay.
    ReleaseSandbox,
    /// Everything is released: remove records and logs, tell the control plane, forget the pod.
    Forget,
}

/// What follows from an observation.
#[derive(Debug, Clone, PartialEq)]
pub struct Decision {
    /// In order.
    pub actions: Vec<Action>,
    /// The pod's status, complete.
    pub status: PodStatus,
    /// Events to record, in order.
    pub notes: Vec<Note>,
    /// Decide again at this time even if nothing happens.
    pub wake_at: Option<Timestamp>,
    /// What the pod takes of the node.
    pub share: Share,
}

/// What [`decide`] rests on.
#[derive(Debug, Clone, Copy)]
pub struct Input<'a> {
    /// The object as last received.
    pub pod: &'a Pod,
    /// What the node has seen.
    pub observed: &'a Observed,
    /// The status that was published last, or the object's.
    pub previous: &'a PodStatus,
    /// The node's addresses, primary first.
    pub host_ips: &'a [std::net::IpAddr],
    /// What the node has, and others of it.
    pub room: Room,
    /// The time.
    pub now: Timestamp,
}

/// The next steps and the status of a pod.
///
/// Calling it again with the same input gives the same answer; calling it after the actions are under way gives no
/// further ones until something changes.
#[must_use]
pub fn decide(input: &Input<'_>) -> Decision {
    let view = View::new(input);
    let mut steps = Steps::default();
    let stage = view.stage();
    match stage {
        Stage::Going => stop::deletion(&view, &mut steps),
        Stage::Finished(_) => stop::finished(&view, &mut steps),
        Stage::Alive => advance(&view, &mut steps),
    }
    let status = status::status(&view, stage);
    steps.notes.extend(event::notes(view.pod, input.previous, &status));
    Decision {
        actions: steps.actions,
        status,
        notes: steps.notes,
        wake_at: steps.wake_at,
        share: resize::share(&view, stage),
    }
}

/// Where a pod is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// To be run.
    Alive,
    /// Ran to its end; nothing is started any more.
    Finished(Outcome),
    /// Being deleted, or its object is gone.
    Going,
}

/// How a pod ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Succeeded,
    Failed,
    /// Failed for running longer than `spec.activeDeadlineSeconds`.
    DeadlineExceeded,
}

/// Actions as they are decided.
#[derive(Debug, Default)]
struct Steps {
    actions: Vec<Action>,
    notes: Vec<Note>,
    wake_at: Option<Timestamp>,
}

impl Steps {
    fn act(&mut self, action: Action) {
        self.actions.push(action);
    }

    fn wake(&mut self, at: Timestamp) {
        self.wake_at = Some(self.wake_at.map_or(at, |earlier| earlier.min(at)));
    }
}

/// One container with what follows from its record.
struct Member<'a> {
    spec: Cow<'a, Container>,
    role: Role,
    record: Option<&'a Record>,
    standing: Standing,
}

impl Member<'_> {
    fn attempt(&self) -> Option<&Attempt> {
        self.record.and_then(Record::latest)
    }

    fn is_live(&self) -> bool {
        self.attempt().is_some_and(|attempt| attempt.state.is_live())
    }
}

/// The input, sorted for the questions that are asked of it.
struct View<'a> {
    pod: &'a Pod,
    spec: &'a PodSpec,
    observed: &'a Observed,
    previous: &'a PodStatus,
    host_ips: &'a [std::net::IpAddr],
    room: Room,
    now: Timestamp,
    /// Init containers in order, sidecars among them, then containers in order, then ephemeral ones.
    members: Vec<Member<'a>>,
    start_time: Timestamp,
}

static EMPTY_SPEC: std::sync::LazyLock<PodSpec> = std::sync::LazyLock::new(PodSpec::default);

impl<'a> View<'a> {
    fn new(input: &Input<'a>) -> View<'a> {
        let spec: &'a PodSpec = input.pod.spec.as_ref().unwrap_or(&EMPTY_SPEC);
        let members = standing::members(spec, input.observed, input.previous);
        View {
            pod: input.pod,
            spec,
            observed: input.observed,
            previous: input.previous,
            host_ips: input.host_ips,
            room: input.room,
            now: input.now,
            members,
            start_time: input.previous.start_time.as_ref().map_or(input.now, |time| time.0),
        }
    }

    fn init(&self) -> impl Iterator<Item = &Member<'a>> {
        self.members
            .iter()
            .filter(|member| matches!(member.role, Role::Init | Role::Sidecar))
    }

    fn main(&self) -> impl Iterator<Item = &Member<'a>> {
        self.members.iter().filter(|member| member.role == Role::Main)
    }

    fn live(&self) -> impl Iterator<Item = &Member<'a>> {
        self.members.iter().filter(|member| member.is_live())
    }

    /// The first init container that holds the others back.
    fn blocking_init(&self) -> Option<&Member<'a>> {
        self.init().find(|member| !member.is_initialized())
    }

    /// Whether the containers may run: once one has, a sidecar that restarts does not hold them back.
    fn has_initialized(&self) -> bool {
        let Sandbox::Ready { since, .. } = self.observed.sandbox else {
            return self.blocking_init().is_none();
        };
        self.blocking_init().is_none()
            || self.main().any(|member| {
                let started_at = member.attempt().and_then(|attempt| attempt.state.started_at());
                started_at.is_some_and(|started_at| started_at >= since)
            })
    }

    /// The grace that the pod's containers are given, as the object says now.
    fn grace(&self) -> Duration {
        let seconds = match (
            &self.pod.metadata.deletion_timestamp,
            self.pod.metadata.deletion_grace_period_seconds,
        ) {
            (Some(_), Some(seconds)) => seconds,
            _ => self.spec.termination_grace_period_seconds.unwrap_or(GRACE_DEFAULT_S),
        };
        Duration::from_secs(u64::try_from(seconds).unwrap_or(0))
    }

    fn deadline(&self) -> Option<Timestamp> {
        let seconds = self.spec.active_deadline_seconds?;
        Some(after(
            self.start_time,
            Duration::from_secs(u64::try_from(seconds).unwrap_or(0)),
        ))
    }

    fn stage(&self) -> Stage {
        if self.observed.removed || self.pod.metadata.deletion_timestamp.is_some() {
            return Stage::Going;
        }
        match self.previous.phase.as_deref() {
            Some("Succeeded") => return Stage::Finished(Outcome::Succeeded),
            Some("Failed") if self.previous.reason.as_deref() == Some(status::DEADLINE_EXCEEDED) => {
                return Stage::Finished(Outcome::DeadlineExceeded);
            }
            Some("Failed") => return Stage::Finished(Outcome::Failed),
            _ => {}
        }
        let failed_init = self
            .init()
            .any(|member| member.standing == Standing::Ended { success: false });
        if failed_init {
            return Stage::Finished(Outcome::Failed);
        }
        let ended: Option<Vec<bool>> = self
            .main()
            .map(|member| match member.standing {
                Standing::Ended { success } => Some(success),
                _ => None,
            })
            .collect();
        if let Some(ended) = ended.filter(|ended| !ended.is_empty()) {
            return Stage::Finished(if ended.iter().all(|success| *success) {
                Outcome::Succeeded
            } else {
                Outcome::Failed
            });
        }
        if self.deadline().is_some_and(|deadline| self.now >= deadline) {
            return Stage::Finished(Outcome::DeadlineExceeded);
        }
        Stage::Alive
    }
}

/// Brings a pod that is to run one step further.
fn advance(view: &View<'_>, steps: &mut Steps) {
    if let Some(deadline) = view.deadline() {
        steps.wake(deadline);
    }
    match &view.observed.sandbox {
        Sandbox::Preparing | Sandbox::Releasing => {}
        Sandbox::Absent | Sandbox::Released => {
            // Containers of a sandbox that is lost cannot be reached any more: they go first.
            if view.live().next().is_some() {
                stop::kill_all(view, steps);
            } else {
                steps.act(Action::PrepareSandbox);
            }
        }
        Sandbox::Failed(failure) | Sandbox::ReleaseFailed(failure) => {
            let retry_at = failure.retry_at();
            if view.now >= retry_at {
                steps.act(Action::PrepareSandbox);
            } else {
                steps.wake(retry_at);
            }
        }
        Sandbox::Ready { .. } => run_containers(view, steps),
    }
}

fn run_containers(view: &View<'_>, steps: &mut Steps) {
    for member in &view.members {
        stop::unhealthy(view, member, steps);
        stop::overdue(view, member, steps);
        let may_start = match member.role {
            // In order: an init container runs when those before it are through.
            Role::Init | Role::Sidecar => {
                view.has_initialized()
                    || view
                        .init()
                        .take_while(|earlier| earlier.spec.name != member.spec.name)
                        .all(Member::is_initialized)
            }
            Role::Main => view.has_initialized(),
            // Also where the pod does not get on.
            Role::Ephemeral => true,
        };
        if may_start {
            start(view, member, steps);
        }
    }
    resize::advance(view, steps);
}

fn start(view: &View<'_>, member: &Member<'_>, steps: &mut Steps) {
    match member.standing {
        Standing::Due {
            attempt,
            crash_level,
            at,
        } => {
            if at.is_none_or(|at| view.now >= at) {
                steps.act(Action::Start {
                    container: member.spec.name.clone(),
                    attempt,
                    crash_level,
                });
            } else if let Some(at) = at {
                steps.wake(at);
            }
        }
        Standing::Busy | Standing::Held | Standing::Ended { .. } => {}
    }
}

/// `at` and then `duration`, saturating at the end of time.
fn after(at: Timestamp, duration: Duration) -> Timestamp {
    at.checked_add(duration).unwrap_or(Timestamp::MAX)
}

#[cfg(test)]
mod tests;
