//! Actions, begun: each shows in the observation at once, and what it comes to happens later.
//!
//! Never here: waiting for anything that takes longer than starting a process.

use std::{
    borrow::Cow,
    time::{Duration, Instant},
};

use api::{Timestamp, k8s_openapi::api::core::v1::LifecycleHandler};
use reconcile::pod::{Action, Attempt, AttemptState, Health, Note, Resizing, Sandbox, StopCause, is_resize_pending};
use tracing::{info, warn};

use super::{
    super::{
        check::{Check, Target, ask},
        launch::{self, Launch, container_cgroup},
        layout::remove_dir,
        prober::{Answer, Probes},
        resize::{self, Resized},
        resources,
        sandbox::{self, blocking},
        tokens,
    },
    Carried, Happening, Live, Task,
};
use crate::{causes::chain, volume};

/// Attempts kept per container: the latest, and the one before it for its log and exit status.
pub(super) const ATTEMPTS_MAX: usize = 2;
const SIGKILL: i32 = 9;
const SIGTERM: i32 = 15;

impl Task {
    pub(super) async fn carry_out(&mut self, action: Action) -> Carried {
        match action {
            Action::PrepareSandbox => self.prepare_sandbox(),
            Action::Start {
                container,
                attempt,
                crash_level,
            } => self.start_container(&container, attempt, crash_level),
            Action::Stop {
                container,
                deadline,
                cause,
            } => self.stop_container(&container, deadline, &cause),
            Action::Kill { container } => self.kill_container(&container),
            Action::Resize { containers } => self.resize_containers(&containers),
            Action::ReleaseSandbox => self.release_sandbox(),
            Action::Forget => {
                self.forget().await;
                return Carried::PodForgotten;
            }
        }
        Carried::On
    }

    fn prepare_sandbox(&mut self) {
        self.observed.sandbox = Sandbox::Preparing;
        let inputs = sandbox::Inputs {
            pod: self.pod.clone(),
            home: self.home.clone(),
            facts: self.facts(),
            objects: self.context.objects.clone(),
            hierarchies: self.context.hierarchies.clone(),
            cgroup: self.cgroup.clone(),
            cluster_domain: self.context.cluster_domain.clone(),
            out: self.context.out.clone(),
        };
        let network = self.context.network.clone();
        let herald = self.herald();
        tokio::spawn(async move {
            let result = sandbox::prepare(inputs, network.as_ref()).await;
            herald.tell(Happening::SandboxPrepared(result)).await;
        });
    }

    fn release_sandbox(&mut self) {
        self.observed.sandbox = Sandbox::Releasing;
        self.live.clear();
        let (home, cgroup, uid) = (self.home.clone(), self.cgroup.clone(), self.uid.clone());
        let hierarchies = self.context.hierarchies.clone();
        let network = self.context.network.clone();
        let (herald, attaching) = (self.herald(), self.attaching.take());
        tokio::spawn(async move {
            if let Some(attaching) = attaching {
                // What is attached after it was detached would stay for ever. A panic has attached nothing.
                let _ = attaching.await;
            }
            let result = sandbox::release(home, cgroup, hierarchies, &uid, network.as_ref()).await;
            herald.tell(Happening::SandboxReleased(result)).await;
        });
    }

    async fn forget(&mut self) {
        let dir = self.home.dir().to_owned();
        if let Err(err) = blocking(move || remove_dir(&dir)).await {
            // The next agent sweeps it.
            warn!(error = &err as &dyn std::error::Error, "pod directory not removed");
        }
        info!("pod gone");
        self.say_gone().await;
    }

    fn start_container(&mut self, name: &str, number: u32, crash_level: u32) {
        let (Some(container), Some(record)) = (self.container(name), self.sandbox.clone()) else {
            return;
        };
        let mut container = container.into_owned();
        if is_resize_pending(&self.status.lock()) {
            let before = self.observed.containers.get(name).and_then(|record| record.latest());
            if let Some(resources) = before.and_then(|attempt| attempt.resources.clone()) {
                container.resources = Some(resources);
            }
        }
        let history = self.observed.containers.entry(name.to_owned()).or_default();
        history.attempts.push(Attempt {
            number,
            crash_level,
            container_id: String::new(),
            image: String::new(),
            image_id: String::new(),
            state: AttemptState::Starting,
            health: Health::default(),
            resources: Some(container.resources.clone().unwrap_or_default()),
            resize: Resizing::Idle,
        });
        self.live.remove(name);
        let namespace = self.pod.metadata.namespace.clone().unwrap_or_default();
        let launch = Launch {
            pod: self.pod.clone(),
            container,
            target: self.target_of_ephemeral(name),
            attempt: number,
            crash_level,
            sandbox: record,
            facts: self.facts(),
            objects: self.context.objects.clone(),
            services: self.context.network.services(&namespace),
            default_services: self.context.network.services("default"),
            images: self.context.images.clone(),
            machine: self.context.machine.clone(),
            pods: self.context.pods.clone(),
            home: self.home.clone(),
            cgroup: self.cgroup.clone(),
        };
        let herald = self.herald();
        let name = name.to_owned();
        tokio::spawn(async move {
            let result = blocking(move || launch::write_bundle(&launch)).await;
            let happening = Happening::BundleWritten {
                container: name,
                attempt: number,
                result,
            };
            herald.tell(happening).await;
        });
    }

    /// The container whose processes an ephemeral one sees, if it names one.
    fn target_of_ephemeral(&self, name: &str) -> Option<launch::ProcessesOf> {
        let spec = self.pod.spec.as_ref()?;
        let mut containers = spec.ephemeral_containers.iter().flatten();
        let ephemeral = containers.find(|container| container.name == name)?;
        let target = ephemeral
            .target_container_name
            .clone()
            .filter(|target| !target.is_empty())?;
        let attempt = self.observed.containers.get(&target)?.latest()?.number;
        Some(launch::ProcessesOf {
            bundle: self.home.bundle(&target, attempt),
            container: target,
        })
    }

    fn resize_containers(&mut self, names: &[String]) {
        let mut resized = Vec::new();
        for name in names {
            let Some(container) = self.container(name).map(Cow::into_owned) else {
                continue;
            };
            let Some(attempt) = self.running_attempt(name) else {
                continue;
            };
            attempt.resize = Resizing::UnderWay;
            let number = attempt.number;
            resized.push(Resized {
                limits: resources::of_container(&container),
                resources: container.resources.unwrap_or_default(),
                container: container.name,
                attempt: number,
            });
        }
        let together = resources::of_pod(&self.pod.spec.clone().unwrap_or_default());
        let (hierarchies, cgroup, home) = (self.context.hierarchies.clone(), self.cgroup.clone(), self.home.clone());
        let herald = self.herald();
        tokio::spawn(async move {
            let happening = blocking(move || {
                let result = resize::carry_out(&hierarchies, &cgroup, &together, &resized, &home);
                Happening::Resized { resized, result }
            });
            herald.tell(happening.await).await;
        });
    }

    fn stop_container(&mut self, name: &str, deadline: Timestamp, cause: &StopCause) {
        let now = Timestamp::now();
        let Some(attempt) = self.running_attempt(name) else {
            return;
        };
        let AttemptState::Running { started_at } = attempt.state else {
            return;
        };
        let number = attempt.number;
        if *cause == StopCause::Resized {
            attempt.resize = Resizing::Restarting;
        }
        attempt.state = AttemptState::Stopping {
            started_at,
            since: now,
            deadline,
            killed: false,
        };
        info!(container = name, cause = ?cause, "stopping container");
        if let Some(live) = self.live.get_mut(name) {
            live.probes.keep_readiness();
        }
        let hook = self.hook(name, |lifecycle| lifecycle.pre_stop.as_ref());
        let Some((check, target)) = hook else {
            return self.send_stop_signal(name, number);
        };
        let within = Duration::try_from(deadline.duration_since(now)).unwrap_or(Duration::ZERO);
        let herald = self.herald();
        let name = name.to_owned();
        tokio::spawn(async move {
            let failure = ask(&check, &target, within).await.err();
            let happening = Happening::PreStopDone {
                container: name,
                attempt: number,
                failure,
            };
            herald.tell(happening).await;
        });
    }

    /// Asks the container's first process to end.
    pub(super) fn send_stop_signal(&mut self, name: &str, attempt: u32) {
        if let Some(live) = self.live.get(name).filter(|live| live.attempt == attempt)
            && let Some(link) = &live.link
        {
            link.signal(live.stop_signal);
        }
    }

    pub(super) fn kill_container(&mut self, name: &str) {
        let now = Timestamp::now();
        let Some(attempt) = self.running_attempt(name) else {
            return;
        };
        if let Some(started_at) = attempt.state.started_at() {
            let since = match attempt.state {
                AttemptState::Stopping { since, .. } => since,
                AttemptState::Starting | AttemptState::Running { .. } | AttemptState::Exited(_) => now,
            };
            attempt.state = AttemptState::Stopping {
                started_at,
                since,
                deadline: now,
                killed: true,
            };
        }
        if let Some(live) = self.live.get(name)
            && let Some(link) = &live.link
        {
            link.signal(SIGKILL);
        }
        // Whoever is left, also where the shim does not answer.
        let hierarchies = self.context.hierarchies.clone();
        let cgroup = container_cgroup(&self.cgroup, name);
        tokio::task::spawn_blocking(move || hierarchies.kill(&cgroup));
    }

    pub(super) fn refresh_volumes(&mut self) {
        self.refreshed_at = Instant::now();
        let out = self.context.out.clone();
        let (pod, facts, objects) = (self.pod.clone(), self.facts(), self.context.objects.clone());
        let dir = self.home.volumes();
        let (herald, refreshing) = (self.herald(), self.refreshing.clone());
        tokio::spawn(async move {
            // Who waits is served in order.
            let _turn = refreshing.lock().await;
            if let Err(error) = tokens::obtain(&objects, &pod, &out).await {
                // What is in the volumes stays there.
                warn!(error = &error as &dyn std::error::Error, "volumes not refreshed");
                return;
            }
            let failures = blocking(move || {
                volume::refresh(&volume::Sources {
                    pod: &pod,
                    facts: &facts,
                    objects: &objects,
                    dir: &dir,
                })
            })
            .await;
            for (volume, err) in failures {
                let message = format!("MountVolume.SetUp failed for volume \"{volume}\": {}", chain(&err));
                herald
                    .tell(Happening::Noted(Note::warning("FailedMount", message)))
                    .await;
            }
        });
    }

    /// What hooks and probes of a container ask whom.
    pub(super) fn target(&self, name: &str, attempt: u32) -> Option<Target> {
        Some(Target {
            ip: self.sandbox.as_ref().and_then(|record| record.ips.first().copied()),
            container: self.container(name)?.into_owned(),
            bundle: self.home.bundle(name, attempt),
            shim_program: self.context.shim_program.clone(),
        })
    }

    pub(super) fn hook(
        &self,
        name: &str,
        which: impl Fn(&api::k8s_openapi::api::core::v1::Lifecycle) -> Option<&LifecycleHandler>,
    ) -> Option<(Check, Target)> {
        let container = self.container(name)?;
        let check = Check::of_hook(which(container.lifecycle.as_ref()?)?)?;
        let number = self.observed.containers.get(name)?.latest()?.number;
        Some((check, self.target(name, number)?))
    }

    /// Starts the probes that a running container is due: the startup probe first and alone.
    pub(super) fn start_probes(&mut self, name: &str) {
        use reconcile::pod::probe::ProbeKind;
        let Some(attempt) = self.observed.containers.get(name).and_then(|record| record.latest()) else {
            return;
        };
        let (AttemptState::Running { started_at }, number) = (&attempt.state, attempt.number) else {
            return;
        };
        let since = Duration::try_from(Timestamp::now().duration_since(*started_at)).unwrap_or(Duration::ZERO);
        let startup_is_due = !attempt.health.started;
        let Some(target) = self.target(name, number) else {
            return;
        };
        let herald = self.herald();
        let hear = |herald: super::Herald, container: String| {
            move |answer: Answer| {
                let happening = Happening::ProbeAnswered {
                    container: container.clone(),
                    attempt: number,
                    answer,
                };
                // A worker that is that far behind will be told again.
                let _ = herald.happens.try_send(happening);
            }
        };
        let live = self.live.entry(name.to_owned()).or_insert_with(|| Live {
            attempt: number,
            link: None,
            stop_signal: SIGTERM,
            probes: Probes::default(),
        });
        let container = &target.container;
        if container.startup_probe.is_some() && startup_is_due {
            let probe = container.startup_probe.as_ref();
            let hear = hear(herald, name.to_owned());
            return live.probes.start(ProbeKind::Startup, probe, &target, since, hear);
        }
        for (kind, probe) in [
            (ProbeKind::Readiness, &container.readiness_probe),
            (ProbeKind::Liveness, &container.liveness_probe),
        ] {
            let hear = hear(herald.clone(), name.to_owned());
            live.probes.start(kind, probe.as_ref(), &target, since, hear);
        }
    }

    fn running_attempt(&mut self, name: &str) -> Option<&mut Attempt> {
        let attempt = self.observed.containers.get_mut(name)?.attempts.last_mut()?;
        attempt.state.is_live().then_some(attempt)
    }
}
