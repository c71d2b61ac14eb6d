//! A pod on a pretended node: actions become states under way, happenings are called by the test.

use std::net::IpAddr;

use api::{
    Timestamp,
    k8s_openapi::api::core::v1::{ContainerStatus, Pod, PodCondition, PodStatus, ResourceRequirements},
};
use serde_json::{Value, json};

use crate::{
    plan::Severity,
    pod::{
        Action, Attempt, AttemptState, Decision, Exit, ExitReason, Failure, Health, Input, Note, Observed, Refusal,
        RefusalReason, Resizing, Room, Sandbox, Share, StopCause, decide,
    },
};

pub(super) struct Script {
    pub(super) pod: Pod,
    pub(super) observed: Observed,
    pub(super) previous: PodStatus,
    pub(super) room: Room,
    now: Timestamp,
    notes: Vec<Note>,
    wake_at: Option<Timestamp>,
}

impl Script {
    /// A pod named p in ns with this spec, new on its node.
    pub(super) fn new(spec: Value) -> Script {
        let pod = json!({
            "metadata": {"name": "p", "namespace": "ns", "uid": "u", "generation": 1},
            "spec": spec,
        });
        Script {
            pod: serde_json::from_value(pod).unwrap(),
            observed: Observed::default(),
            previous: PodStatus::default(),
            room: Room {
                allocatable: Share {
                    cpu_milli: 4000,
                    memory_bytes: 1 << 30,
                },
                others: Share::default(),
            },
            now: Timestamp::from_second(1_000_000).unwrap(),
            notes: Vec::new(),
            wake_at: None,
        }
    }

    /// The same with all its containers running.
    pub(super) fn running(spec: Value) -> Script {
        let mut script = Script::new(spec);
        script.step();
        script.sandbox_ready();
        script.step();
        let names: Vec<String> = script
            .pod
            .spec
            .clone()
            .unwrap()
            .containers
            .into_iter()
            .map(|c| c.name)
            .collect();
        for name in names {
            script.started(&name);
        }
        script.step();
        script
    }

    /// Decides once, begins the actions and answers them in words.
    pub(super) fn step(&mut self) -> String {
        let decision = self.decide();
        let words: Vec<String> = decision.actions.iter().map(|action| self.begin(action)).collect();
        words.join(", ")
    }

    #[track_caller]
    pub(super) fn expect(&mut self, actions: &str) {
        assert_eq!(self.step(), actions);
    }

    fn decide(&mut self) -> Decision {
        let host: IpAddr = "192.0.2.1".parse().unwrap();
        let input = Input {
            pod: &self.pod,
            observed: &self.observed,
            previous: &self.previous,
            host_ips: &[host],
            room: self.room,
            now: self.now,
        };
        let decision = decide(&input);
        assert_eq!(decision, decide(&input), "the same input gives the same answer");
        self.previous = decision.status.clone();
        self.notes.extend(decision.notes.iter().cloned());
        self.wake_at = decision.wake_at;
        decision
    }

    fn begin(&mut self, action: &Action) -> String {
        match action {
            Action::PrepareSandbox => {
                self.observed.sandbox = Sandbox::Preparing;
                "prepare".to_owned()
            }
            Action::Resize { containers } => {
                for container in containers {
                    self.attempt(container).resize = Resizing::UnderWay;
                }
                format!("resize {}", containers.join(" "))
            }
            Action::Start {
                container,
                attempt,
                crash_level,
            } => {
                let resources = self.resources(container);
                let record = self.observed.containers.entry(container.clone()).or_default();
                record.attempts.push(Attempt {
                    number: *attempt,
                    crash_level: *crash_level,
                    container_id: String::new(),
                    image: String::new(),
                    image_id: String::new(),
                    state: AttemptState::Starting,
                    health: Health::default(),
                    resources,
                    resize: Resizing::Idle,
                });
                if record.attempts.len() > 2 {
                    record.attempts.remove(0);
                }
                format!("start {container}#{attempt}")
            }
            Action::Stop {
                container,
                deadline,
                cause,
            } => {
                let now = self.now;
                let attempt = self.attempt(container);
                if *cause == StopCause::Resized {
                    attempt.resize = Resizing::Restarting;
                }
                let started_at = attempt.state.started_at().unwrap();
                attempt.state = AttemptState::Stopping {
                    started_at,
                    since: now,
                    deadline: *deadline,
                    killed: false,
                };
                format!("stop {container} within {}", deadline.as_second() - now.as_second())
            }
            Action::Kill { container } => {
                let now = self.now;
                let attempt = self.attempt(container);
                let started_at = attempt.state.started_at().unwrap();
                attempt.state = AttemptState::Stopping {
                    started_at,
                    since: now,
                    deadline: now,
                    killed: true,
                };
                format!("kill {container}")
            }
            Action::ReleaseSandbox => {
                self.observed.sandbox = Sandbox::Releasing;
                "release".to_owned()
            }
            Action::Forget => "forget".to_owned(),
        }
    }

    fn attempt(&mut self, container: &str) -> &mut Attempt {
        self.observed
            .containers
            .get_mut(container)
            .unwrap()
            .attempts
            .last_mut()
            .unwrap()
    }

    fn resources(&self, container: &str) -> Option<ResourceRequirements> {
        let spec = self.pod.spec.as_ref().unwrap();
        let mut containers = spec.containers.iter().chain(spec.init_containers.iter().flatten());
        containers.find(|known| known.name == container)?.resources.clone()
    }

    pub(super) fn add_ephemeral(&mut self, container: Value) {
        let spec = self.pod.spec.as_mut().unwrap();
        spec.ephemeral_containers = Some(vec![serde_json::from_value(container).unwrap()]);
    }

    /// Gives a container other resources, in the spec.
    pub(super) fn resize(&mut self, container: &str, resources: Value) {
        let spec = self.pod.spec.as_mut().unwrap();
        let found = spec.containers.iter_mut().find(|known| known.name == container);
        found.unwrap().resources = Some(serde_json::from_value(resources).unwrap());
    }

    /// The cgroups have been told.
    pub(super) fn resized(&mut self, container: &str) {
        let resources = self.resources(container);
        let attempt = self.attempt(container);
        attempt.resources = resources;
        attempt.resize = Resizing::Idle;
    }

    // Happenings.

    pub(super) fn pass(&mut self, seconds: i64) {
        self.now = Timestamp::from_second(self.now.as_second() + seconds).unwrap();
    }

    pub(super) fn sandbox_ready(&mut self) {
        self.observed.sandbox = Sandbox::Ready {
            ips: vec!["10.42.0.7".parse().unwrap()],
            since: self.now,
        };
    }

    pub(super) fn sandbox_failed(&mut self, level: u32) {
        self.observed.sandbox = Sandbox::Failed(Failure {
            message: "because".to_owned(),
            at: self.now,
            level,
        });
        self.decide();
    }

    pub(super) fn lose_sandbox(&mut self) {
        self.observed.sandbox = Sandbox::Absent;
    }

    pub(super) fn released(&mut self) {
        self.observed.sandbox = Sandbox::Released;
    }

    pub(super) fn started(&mut self, container: &str) {
        let started_at = self.now;
        self.observed.containers.get_mut(container).unwrap().refusal = None;
        let attempt = self.attempt(container);
        attempt.state = AttemptState::Running { started_at };
        attempt.container_id = format!("skep://{container}{}", attempt.number);
        self.decide();
    }

    pub(super) fn exited_quietly(&mut self, container: &str, code: i32) {
        let finished_at = self.now;
        let attempt = self.attempt(container);
        attempt.state = AttemptState::Exited(Exit {
            started_at: attempt.state.started_at(),
            finished_at,
            code,
            signal: None,
            reason: if code == 0 {
                ExitReason::Completed
            } else {
                ExitReason::Error
            },
            message: String::new(),
        });
    }

    pub(super) fn exited(&mut self, container: &str, code: i32) {
        self.exited_quietly(container, code);
        self.decide();
    }

    pub(super) fn refused(&mut self, container: &str, reason: RefusalReason) {
        let at = self.now;
        let record = self.observed.containers.get_mut(container).unwrap();
        assert_eq!(record.attempts.pop().unwrap().state, AttemptState::Starting);
        let level = record.refusal.as_ref().map_or(0, |refusal| refusal.level) + 1;
        record.refusal = Some(Refusal {
            reason,
            message: "because".to_owned(),
            at,
            level,
            retry_now: false,
        });
    }

    pub(super) fn retry(&mut self, container: &str) {
        let record = self.observed.containers.get_mut(container).unwrap();
        record.refusal.as_mut().unwrap().retry_now = true;
    }

    pub(super) fn startup_succeeded(&mut self, container: &str) {
        self.attempt(container).health.started = true;
    }

    pub(super) fn ready(&mut self, container: &str, ready: bool) {
        self.attempt(container).health.ready = ready;
        self.decide();
    }

    pub(super) fn unhealthy(&mut self, container: &str, why: &str, grace_s: Option<i64>) {
        let health = &mut self.attempt(container).health;
        health.failed = Some(why.to_owned());
        health.failed_grace_s = grace_s;
    }

    pub(super) fn delete(&mut self, grace_s: i64) {
        use api::k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
        self.pod.metadata.deletion_timestamp = Some(Time(self.now));
        self.pod.metadata.deletion_grace_period_seconds = Some(grace_s);
        self.observed.stop_requested_at.get_or_insert(self.now);
    }

    pub(super) fn allow_stop(&mut self) {
        self.observed.stop_allowed = true;
    }

    pub(super) fn remove(&mut self) {
        self.observed.removed = true;
    }

    pub(super) fn foreign_condition(&mut self, type_: &str, status: &str) {
        let condition = PodCondition {
            type_: type_.to_owned(),
            status: status.to_owned(),
            ..PodCondition::default()
        };
        self.pod
            .status
            .get_or_insert_default()
            .conditions
            .get_or_insert_default()
            .push(condition);
        self.decide();
    }

    // What shows.

    pub(super) fn phase(&self) -> String {
        self.previous.phase.clone().unwrap_or_default()
    }

    pub(super) fn reason(&self) -> Option<String> {
        self.previous.reason.clone()
    }

    pub(super) fn wakes_in_s(&self) -> Option<i64> {
        Some(self.wake_at?.as_second() - self.now.as_second())
    }

    /// Status and reason of a condition.
    pub(super) fn condition(&self, type_: &str) -> (String, String) {
        let condition = self.find_condition(type_);
        (condition.status.clone(), condition.reason.clone().unwrap_or_default())
    }

    pub(super) fn has_condition(&self, type_: &str) -> bool {
        let mut conditions = self.previous.conditions.iter().flatten();
        conditions.any(|condition| condition.type_ == type_)
    }

    pub(super) fn transition(&self, type_: &str) -> Timestamp {
        self.find_condition(type_).last_transition_time.clone().unwrap().0
    }

    fn find_condition(&self, type_: &str) -> &PodCondition {
        let conditions = self.previous.conditions.as_ref().unwrap();
        conditions.iter().find(|condition| condition.type_ == type_).unwrap()
    }

    fn container(&self, name: &str) -> &ContainerStatus {
        let init = self.previous.init_container_statuses.iter().flatten();
        init.chain(self.previous.container_statuses.iter().flatten())
            .find(|status| status.name == name)
            .unwrap()
    }

    pub(super) fn waiting(&self, container: &str) -> String {
        let state = self.container(container).state.clone().unwrap();
        state.waiting.and_then(|waiting| waiting.reason).unwrap_or_default()
    }

    pub(super) fn waiting_message(&self, container: &str) -> String {
        let state = self.container(container).state.clone().unwrap();
        state.waiting.and_then(|waiting| waiting.message).unwrap_or_default()
    }

    pub(super) fn last_exit(&self, container: &str) -> Option<i32> {
        let state = self.container(container).last_state.clone()?;
        Some(state.terminated?.exit_code)
    }

    pub(super) fn noted(&self, text: &str) -> bool {
        self.notes.iter().any(|note| {
            let severity = match note.severity {
                Severity::Normal => "Normal",
                Severity::Warning => "Warning",
            };
            format!("{severity} {}: {}", note.reason, note.message) == text
        })
    }
}
