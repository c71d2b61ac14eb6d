//! What a node has seen of a pod: its sandbox, the attempts of its containers, what stands in their way.
//!
//! Never here: judgement. Operations under way show as states (`Preparing`, `Starting`, …).

use std::{collections::BTreeMap, net::IpAddr};

use api::{Timestamp, k8s_openapi::api::core::v1::ResourceRequirements};

use super::backoff;

/// All that is known of a pod besides its object.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Observed {
    /// Namespaces, network, volumes, cgroup.
    pub sandbox: Sandbox,
    /// By container name; no record means never tried.
    pub containers: BTreeMap<String, Record>,
    /// The object is gone from the API: nothing may be waited for.
    pub removed: bool,
    /// When this node first saw that the pod is to be deleted.
    pub stop_requested_at: Option<Timestamp>,
    /// The pod's address is out of every node's services.
    pub stop_allowed: bool,
}

/// What all containers of a pod share.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Sandbox {
    /// Never made, or lost.
    #[default]
    Absent,
    /// Being made.
    Preparing,
    /// There.
    Ready {
        /// The pod's addresses, primary first.
        ips: Vec<IpAddr>,
        /// When it was made; init containers that ran before do not count.
        since: Timestamp,
    },
    /// Could not be made.
    Failed(Failure),
    /// Being released.
    Releasing,
    /// Released: nothing of it is left.
    Released,
    /// Could not be released.
    ReleaseFailed(Failure),
}

/// A step that failed and is tried again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// What went wrong, as a person reads it.
    pub message: String,
    /// When.
    pub at: Timestamp,
    /// Failures in a row, this one included.
    pub level: u32,
}

impl Failure {
    /// When the next try is due.
    #[must_use]
    pub fn retry_at(&self) -> Timestamp {
        super::after(self.at, backoff::delay(self.level))
    }
}

/// One container's history.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Record {
    /// The last two attempts at most, oldest first.
    pub attempts: Vec<Attempt>,
    /// Why the latest try did not even become an attempt.
    pub refusal: Option<Refusal>,
}

impl Record {
    /// The latest attempt.
    #[must_use]
    pub fn latest(&self) -> Option<&Attempt> {
        self.attempts.last()
    }
}

/// One run of a container.
#[derive(Debug, Clone, PartialEq)]
pub struct Attempt {
    /// Counts from 0; also the restart count.
    pub number: u32,
    /// Starts in a row before this one.
    pub crash_level: u32,
    /// `skep://…`; empty while `Starting`.
    pub container_id: String,
    /// The image's normalised name; empty while `Starting`.
    pub image: String,
    /// `repository@digest`; empty while `Starting`.
    pub image_id: String,
    /// Where it is.
    pub state: AttemptState,
    /// What its probes say.
    pub health: Health,
    /// What its cgroup was told last that it may use; None if nobody knows: then what the spec says.
    pub resources: Option<ResourceRequirements>,
    /// How it comes to have what the spec says.
    pub resize: Resizing,
}

/// What is done about an attempt whose resources are not those of the spec.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Resizing {
    /// Nothing.
    #[default]
    Idle,
    /// Its cgroup is being told.
    UnderWay,
    /// Its cgroup could not be told.
    Failed(Failure),
    /// It is stopped for it, and runs again whatever its restart policy says.
    Restarting,
}

/// Where an attempt is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AttemptState {
    /// Being made.
    Starting,
    /// Its process runs.
    Running {
        /// Since when.
        started_at: Timestamp,
    },
    /// It has been asked to stop.
    Stopping {
        /// When it began to run.
        started_at: Timestamp,
        /// When it was asked.
        since: Timestamp,
        /// When it is killed.
        deadline: Timestamp,
        /// Whether it has been killed.
        killed: bool,
    },
    /// It ended.
    Exited(Exit),
}

impl AttemptState {
    /// Whether processes of it exist or are about to.
    #[must_use]
    pub fn is_live(&self) -> bool {
        match self {
            AttemptState::Starting | AttemptState::Running { .. } | AttemptState::Stopping { .. } => true,
            AttemptState::Exited(_) => false,
        }
    }

    /// When its process began to run, if it did.
    #[must_use]
    pub fn started_at(&self) -> Option<Timestamp> {
        match self {
            AttemptState::Starting => None,
            AttemptState::Running { started_at } | AttemptState::Stopping { started_at, .. } => Some(*started_at),
            AttemptState::Exited(exit) => exit.started_at,
        }
    }
}

/// How an attempt ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exit {
    /// When it began to run; absent if it never did.
    pub started_at: Option<Timestamp>,
    /// When it ended.
    pub finished_at: Timestamp,
    /// Exit code; 128 and the signal for a killed process, as shells count.
    pub code: i32,
    /// The signal that killed it.
    pub signal: Option<i32>,
    /// Why.
    pub reason: ExitReason,
    /// What it wrote to its termination log, or why it could not start.
    pub message: String,
}

/// Why an attempt ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExitReason {
    /// Exit code 0.
    Completed,
    /// Another exit code, or a signal.
    Error,
    /// Killed by the kernel for want of memory.
    OomKilled,
    /// It could not be started: no such program, no such directory.
    StartError,
    /// Nobody saw how it ended: its shim was killed, or the machine restarted.
    Unknown,
}

impl ExitReason {
    /// As `state.terminated.reason` says it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            ExitReason::Completed => "Completed",
            ExitReason::Error => "Error",
            ExitReason::OomKilled => "OOMKilled",
            ExitReason::StartError => "StartError",
            ExitReason::Unknown => "ContainerStatusUnknown",
        }
    }
}

/// What the probes of a running attempt say.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Health {
    /// The startup probe has succeeded.
    pub started: bool,
    /// The readiness probe's last verdict.
    pub ready: bool,
    /// The liveness or startup probe has failed for good: what the event says.
    pub failed: Option<String>,
    /// The failed probe's own `terminationGracePeriodSeconds`.
    pub failed_grace_s: Option<i64>,
}

/// A container could not be made yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// As `state.waiting.reason` says it.
    pub reason: RefusalReason,
    /// As a person reads it.
    pub message: String,
    /// When.
    pub at: Timestamp,
    /// Refusals in a row, this one included.
    pub level: u32,
    /// What it waited for may have changed: try at once.
    pub retry_now: bool,
}

impl Refusal {
    /// When the next try is due; never for a name that cannot become valid.
    #[must_use]
    pub fn retry_at(&self) -> Option<Timestamp> {
        match self.reason {
            RefusalReason::InvalidImageName => None,
            _ if self.retry_now => Some(self.at),
            RefusalReason::ErrImagePull
            | RefusalReason::ErrImageNeverPull
            | RefusalReason::CreateContainerConfigError
            | RefusalReason::CreateContainerError => Some(super::after(self.at, backoff::delay(self.level))),
        }
    }
}

/// Why a container could not be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RefusalReason {
    /// The image is not here.
    ErrImagePull,
    /// The image is not here and may not be pulled.
    ErrImageNeverPull,
    /// The image's name is none.
    InvalidImageName,
    /// Something that the container's spec names is missing or cannot be done.
    CreateContainerConfigError,
    /// The node could not make it.
    CreateContainerError,
}

impl RefusalReason {
    /// As `state.waiting.reason` says it at the first refusal (`level` 1) and at later ones.
    #[must_use]
    pub fn as_str(self, level: u32) -> &'static str {
        match self {
            RefusalReason::ErrImagePull if level > 1 => "ImagePullBackOff",
            RefusalReason::ErrImagePull => "ErrImagePull",
            RefusalReason::ErrImageNeverPull => "ErrImageNeverPull",
            RefusalReason::InvalidImageName => "InvalidImageName",
            RefusalReason::CreateContainerConfigError => "CreateContainerConfigError",
            RefusalReason::CreateContainerError => "CreateContainerError",
        }
    }
}
