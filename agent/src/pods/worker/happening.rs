//! What came of actions, of containers and of probes, taken into the observation.
//!
//! A happening about an attempt that is not the latest any more is dropped. Never here: deciding.

use std::io::Read as _;

use api::Timestamp;
use reconcile::pod::{
    Attempt, AttemptState, Exit, Health, Note, Refusal, RefusalReason, Resizing, Sandbox, observed::Failure,
    probe::ProbeKind,
};
use tracing::{info, warn};

use super::{
    super::{
        check::{self, ask},
        launch::{Refused, container_cgroup},
        layout::{AttemptRecord, SandboxRecord},
        prober::{Answer, Probes},
        resize::Resized,
        sandbox::{PrepareError, ReleaseError, blocking},
        shim_link::{self, Heard, complaints},
    },
    Live, Task,
    carry_out::ATTEMPTS_MAX,
    ending,
};
use crate::{
    causes::chain,
    runtime::bundle::{Bundle, State},
    volume,
};

/// Longest message taken from a container: kubelet's limit.
const TERMINATION_MESSAGE_BYTES_MAX: u64 = 4096;

/// Something that a worker waits for.
#[derive(Debug)]
pub(super) enum Happening {
    SandboxPrepared(Result<SandboxRecord, PrepareError>),
    SandboxReleased(Result<(), ReleaseError>),
    /// The files of an attempt are there, or cannot be.
    BundleWritten {
        container: String,
        attempt: u32,
        result: Result<AttemptRecord, Refused>,
    },
    Heard {
        container: String,
        attempt: u32,
        heard: Heard,
    },
    /// What a killed shim left behind is gone.
    LossCleared {
        container: String,
        attempt: u32,
        exit: Exit,
    },
    PreStopDone {
        container: String,
        attempt: u32,
        failure: Option<String>,
    },
    PostStartFailed {
        container: String,
        attempt: u32,
        failure: String,
    },
    ProbeAnswered {
        container: String,
        attempt: u32,
        answer: Answer,
    },
    /// Cgroups have been told what their containers may use, or not all.
    Resized {
        resized: Vec<Resized>,
        result: Result<(), String>,
    },
    Noted(Note),
}

impl Task {
    pub(super) async fn happen(&mut self, happening: Happening) {
        match happening {
            Happening::SandboxPrepared(Ok(record)) => self.sandbox_ready(record),
            Happening::SandboxPrepared(Err(err)) => self.sandbox_failed(&err).await,
            Happening::SandboxReleased(Ok(())) => {
                self.sandbox = None;
                self.sandbox_failures = 0;
                self.observed.sandbox = Sandbox::Released;
            }
            Happening::SandboxReleased(Err(err)) => {
                warn!(error = &err as &dyn std::error::Error, "sandbox not released");
                let failure = self.failure(chain(&err));
                self.announce(&Note::warning(
                    "FailedKillPod",
                    format!("error killing pod: {}", failure.message),
                ))
                .await;
                self.observed.sandbox = Sandbox::ReleaseFailed(failure);
            }
            Happening::BundleWritten {
                container,
                attempt,
                result,
            } => match result {
                Ok(record) => self.bundle_written(&container, attempt, record).await,
                Err(refused) => self.refuse(&container, attempt, refused),
            },
            Happening::Heard {
                container,
                attempt,
                heard,
            } => self.heard(&container, attempt, heard).await,
            Happening::LossCleared {
                container,
                attempt,
                exit,
            } => self.exited(&container, attempt, exit),
            Happening::PreStopDone {
                container,
                attempt,
                failure,
            } => {
                if let Some(failure) = failure {
                    self.announce(&Note::warning(
                        "FailedPreStopHook",
                        format!("PreStopHook failed: {failure}"),
                    ))
                    .await;
                }
                self.send_stop_signal(&container, attempt);
            }
            Happening::PostStartFailed {
                container,
                attempt,
                failure,
            } => {
                self.announce(&Note::warning(
                    "FailedPostStartHook",
                    format!("PostStartHook failed: {failure}"),
                ))
                .await;
                if self.latest(&container, attempt).is_some() {
                    self.kill_container(&container);
                }
            }
            Happening::ProbeAnswered {
                container,
                attempt,
                answer,
            } => self.probe_answered(&container, attempt, answer).await,
            Happening::Resized { resized, result } => self.resized(resized, &result).await,
            Happening::Noted(note) => self.announce(&note).await,
        }
    }

    pub(super) fn sandbox_ready(&mut self, record: SandboxRecord) {
        self.observed.sandbox = Sandbox::Ready {
            ips: record.ips.clone(),
            since: record.since,
        };
        self.sandbox = Some(record);
        self.sandbox_failures = 0;
    }

    async fn sandbox_failed(&mut self, err: &PrepareError) {
        warn!(error = err as &dyn std::error::Error, "sandbox not made");
        let failure = self.failure(chain(err));
        let note = match err {
            PrepareError::Volume { .. } => Note::warning("FailedMount", failure.message.clone()),
            PrepareError::System { .. }
            | PrepareError::Cgroup(_)
            | PrepareError::Network(_)
            | PrepareError::SharedPids => Note::warning(
                "FailedCreatePodSandBox",
                format!("Failed to create pod sandbox: {}", failure.message),
            ),
        };
        self.announce(&note).await;
        self.observed.sandbox = Sandbox::Failed(failure);
    }

    fn failure(&mut self, message: String) -> Failure {
        self.sandbox_failures = self.sandbox_failures.saturating_add(1);
        Failure {
            message,
            at: Timestamp::now(),
            level: self.sandbox_failures,
        }
    }

    async fn bundle_written(&mut self, name: &str, number: u32, record: AttemptRecord) {
        let Some(attempt) = self.latest(name, number) else {
            return;
        };
        attempt.container_id = format!("skep://{}", record.container_id);
        attempt.image.clone_from(&record.image);
        attempt.image_id.clone_from(&record.image_id);
        let image = self
            .container(name)
            .and_then(|container| container.image.clone())
            .unwrap_or_default();
        let pulled = format!("Container image \"{image}\" already present on machine");
        self.announce(&Note::normal("Pulled", pulled)).await;
        let bundle = self.home.bundle(name, number);
        match shim_link::start(&self.context.shim_program, &bundle, self.hearing(name, number)) {
            Ok(link) => {
                let live = Live {
                    attempt: number,
                    link: Some(link),
                    stop_signal: record.stop_signal,
                    probes: Probes::default(),
                };
                self.live.insert(name.to_owned(), live);
                self.announce(&Note::normal("Created", format!("Created container: {name}")))
                    .await;
            }
            Err(err) => self.refuse(
                name,
                number,
                Refused {
                    reason: RefusalReason::CreateContainerError,
                    message: chain(&err),
                },
            ),
        }
    }

    /// What a shim tells, brought to this worker.
    pub(super) fn hearing(&self, name: &str, attempt: u32) -> impl FnMut(Heard) + Send + 'static {
        let herald = self.herald();
        let container = name.to_owned();
        move |heard| {
            let herald = herald.clone();
            let happening = Happening::Heard {
                container: container.clone(),
                attempt,
                heard,
            };
            // In order where it fits at once, which is always but for a worker far behind.
            if let Err(full) = herald.happens.try_send(happening) {
                tokio::spawn(async move { herald.tell(full.into_inner()).await });
            }
        }
    }

    fn refuse(&mut self, name: &str, number: u32, refused: Refused) {
        let Some(history) = self.observed.containers.get_mut(name) else {
            return;
        };
        if history.latest().is_none_or(|attempt| attempt.number != number) {
            return;
        }
        history.attempts.pop();
        history.refusal = Some(refusal(history.refusal.as_ref(), refused, Timestamp::now()));
        let home = self.home.clone();
        let name = name.to_owned();
        // An attempt that never was leaves nothing.
        tokio::task::spawn_blocking(move || home.remove_attempt(&name, number));
    }

    async fn heard(&mut self, name: &str, number: u32, heard: Heard) {
        match heard {
            Heard::Running { started_at } => self.running(name, number, started_at).await,
            Heard::Ended(state) => {
                let Some(exit) = state.as_ref().and_then(ending::recorded) else {
                    self.lost(name, number, state);
                    return;
                };
                let exit = if exit.started_at.is_some() {
                    self.with_message(name, number, exit).await
                } else {
                    self.announce(&Note::warning("Failed", format!("Error: {}", exit.message)))
                        .await;
                    exit
                };
                self.exited(name, number, exit);
            }
        }
    }

    async fn running(&mut self, name: &str, number: u32, started_at: Timestamp) {
        let Some(attempt) = self.latest(name, number) else {
            return;
        };
        if attempt.state != AttemptState::Starting {
            // Adopted, and known already.
            return;
        }
        attempt.state = AttemptState::Running { started_at };
        info!(container = name, attempt = number, "container started");
        let old = {
            let history = self.observed.containers.entry(name.to_owned()).or_default();
            history.refusal = None;
            let excess = history.attempts.len().saturating_sub(ATTEMPTS_MAX);
            history
                .attempts
                .drain(..excess)
                .map(|attempt| attempt.number)
                .collect::<Vec<_>>()
        };
        let home = self.home.clone();
        let container = name.to_owned();
        tokio::task::spawn_blocking(move || {
            for number in old {
                let _ = home.remove_attempt(&container, number);
            }
        });
        self.announce(&Note::normal("Started", format!("Started container {name}")))
            .await;
        if let Some((check, target)) = self.hook(name, |lifecycle| lifecycle.post_start.as_ref()) {
            let herald = self.herald();
            let container = name.to_owned();
            tokio::spawn(async move {
                if let Err(failure) = ask(&check, &target, check::HOOK_MAX).await {
                    let happening = Happening::PostStartFailed {
                        container,
                        attempt: number,
                        failure,
                    };
                    herald.tell(happening).await;
                }
            });
        }
        self.start_probes(name);
    }

    pub(super) fn exited(&mut self, name: &str, number: u32, exit: Exit) {
        let Some(attempt) = self.latest(name, number) else {
            return;
        };
        info!(
            container = name,
            attempt = number,
            code = exit.code,
            reason = exit.reason.as_str(),
            "container ended"
        );
        attempt.state = AttemptState::Exited(exit);
        attempt.health = Health::default();
        self.live.remove(name);
    }

    /// The shim was killed, or did not get anywhere: what may be left of the container goes, and that is its end.
    pub(super) fn lost(&mut self, name: &str, number: u32, state: Option<State>) {
        self.live.remove(name);
        let bundle = self.home.bundle(name, number);
        let cgroup = container_cgroup(&self.cgroup, name);
        let hierarchies = self.context.hierarchies.clone();
        let herald = self.herald();
        let container = name.to_owned();
        tokio::spawn(async move {
            let exit = blocking(move || {
                warn!(container = %bundle.dir().display(), "shim lost");
                if let Err(err) = hierarchies.remove(&cgroup) {
                    warn!(
                        error = &err as &dyn std::error::Error,
                        "cgroup of a lost container not removed"
                    );
                }
                clear_loss(&bundle, state)
            })
            .await;
            let happening = Happening::LossCleared {
                container,
                attempt: number,
                exit,
            };
            herald.tell(happening).await;
        });
    }

    async fn resized(&mut self, resized: Vec<Resized>, result: &Result<(), String>) {
        let mut names = Vec::new();
        for Resized {
            container,
            attempt: number,
            resources,
            ..
        } in resized
        {
            let Some(attempt) = self.latest(&container, number) else {
                continue;
            };
            match result {
                Ok(()) => {
                    attempt.resources = Some(resources);
                    attempt.resize = Resizing::Idle;
                    names.push(container);
                }
                Err(message) => {
                    attempt.resize = Resizing::Failed(Failure {
                        message: message.clone(),
                        at: Timestamp::now(),
                        level: 1,
                    });
                }
            }
        }
        let note = match result {
            Ok(()) if names.is_empty() => return,
            Ok(()) => Note::normal("ResizeCompleted", format!("Pod resize completed: {}", names.join(", "))),
            Err(message) => Note::warning("ResizeError", format!("Pod resize error: {message}")),
        };
        self.announce(&note).await;
    }

    async fn probe_answered(&mut self, name: &str, number: u32, answer: Answer) {
        let container = self.container(name).map(std::borrow::Cow::into_owned);
        if let Some(failure) = &answer.failure {
            let message = format!("{} probe failed: {failure}", answer.kind.as_str());
            self.announce(&Note::warning("Unhealthy", message)).await;
        }
        let Some(attempt) = self.latest(name, number) else {
            return;
        };
        let Some(verdict) = answer.verdict else { return };
        let own_grace = |probe: Option<&api::k8s_openapi::api::core::v1::Probe>| {
            probe.and_then(|probe| probe.termination_grace_period_seconds)
        };
        let own_grace_s = container.as_ref().and_then(|container| match answer.kind {
            ProbeKind::Startup => own_grace(container.startup_probe.as_ref()),
            ProbeKind::Liveness => own_grace(container.liveness_probe.as_ref()),
            ProbeKind::Readiness => None,
        });
        judge(&mut attempt.health, answer.kind, verdict, own_grace_s);
        if answer.kind == ProbeKind::Startup && verdict {
            self.start_probes(name);
        }
    }

    /// The exit with what the container said about it.
    pub(super) async fn with_message(&self, name: &str, number: u32, mut exit: Exit) -> Exit {
        let fallback = exit.code != 0
            && self.container(name).is_some_and(|container| {
                container.termination_message_policy.as_deref() == Some("FallbackToLogsOnError")
            });
        let path = self.home.bundle(name, number).termination_log();
        let log = self.home.log(name, number);
        exit.message = blocking(move || {
            let mut bytes = Vec::new();
            if let Ok(file) = std::fs::File::open(path) {
                let _ = file.take(TERMINATION_MESSAGE_BYTES_MAX).read_to_end(&mut bytes);
            }
            if bytes.is_empty() && fallback {
                return end_of_log(&log);
            }
            String::from_utf8_lossy(&bytes).into_owned()
        })
        .await;
        exit
    }

    fn latest(&mut self, name: &str, number: u32) -> Option<&mut Attempt> {
        let attempt = self.observed.containers.get_mut(name)?.attempts.last_mut()?;
        (attempt.number == number && attempt.state.is_live()).then_some(attempt)
    }
}

/// Removes what a killed shim left in the bundle, and writes down that this was the end.
fn clear_loss(bundle: &Bundle, state: Option<State>) -> Exit {
    if let Err(err) = volume::unmount(&bundle.rootfs()) {
        warn!(
            error = &err as &dyn std::error::Error,
            "root filesystem of a lost container not unmounted"
        );
    }
    if let Ok(config) = bundle.shim_config() {
        let _ = super::super::layout::remove_dir(&config.runtime_dir.join(&config.id));
    }
    let (left, exit) = ending::lost(state, complaints(bundle), Timestamp::now());
    if let Err(err) = bundle.write_state(&left) {
        warn!(
            error = &err as &dyn std::error::Error,
            "end of a lost container not written down"
        );
    }
    exit
}

/// One more refusal: `level` counts those in a row that have the same reason.
fn refusal(former: Option<&Refusal>, refused: Refused, at: Timestamp) -> Refusal {
    let level = match former {
        Some(former) if former.reason == refused.reason => former.level,
        Some(_) | None => 0,
    };
    Refusal {
        reason: refused.reason,
        message: refused.message,
        at,
        level: level.saturating_add(1),
        retry_now: false,
    }
}

/// What a probe's verdict says of a container. `own_grace_s` is the probe's own time to stop.
fn judge(health: &mut Health, kind: ProbeKind, verdict: bool, own_grace_s: Option<i64>) {
    let mut fail = |what: &str| {
        health.failed = Some(what.to_owned());
        health.failed_grace_s = own_grace_s;
    };
    match (kind, verdict) {
        (ProbeKind::Readiness, ready) => health.ready = ready,
        (ProbeKind::Liveness, true) => {}
        (ProbeKind::Liveness, false) => fail("failed liveness probe"),
        (ProbeKind::Startup, true) => health.started = true,
        (ProbeKind::Startup, false) => fail("failed startup probe"),
    }
}

/// End of what a log's file holds that may be wanted.
fn end_of_log(path: &std::path::Path) -> String {
    let text = std::fs::read(path).unwrap_or_default();
    ending::last_words(&String::from_utf8_lossy(&text))
}

#[cfg(test)]
mod tests;
