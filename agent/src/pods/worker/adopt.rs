//! A pod that a former agent left: found on disk, taken over without touching its containers.
//!
//! Never here: trusting half of anything. What is not whole is undone or made again.

use api::Timestamp;
use reconcile::pod::{Attempt, AttemptState, Health, Record, Resizing};
use tracing::{info, warn};

use super::{
    super::{
        layout::AttemptRecord,
        prober::Probes,
        sandbox::{self, blocking},
        shim_link::{self, Adopted},
    },
    Live, Task,
    carry_out::ATTEMPTS_MAX,
    ending,
};
use crate::runtime::bundle::State;

impl Task {
    /// Fills the observation from what is on disk.
    pub(super) async fn adopt(&mut self) {
        if self.pod.metadata.deletion_timestamp.is_some() {
            self.observed.stop_requested_at = Some(Timestamp::now());
        }
        let home = self.home.clone();
        let spec = self.pod.spec.clone().unwrap_or_default();
        let (sandbox, containers) = blocking(move || {
            let containers: Vec<(String, Vec<u32>)> = home
                .containers()
                .into_iter()
                .map(|name| {
                    let attempts = home.attempts(&name);
                    (name, attempts)
                })
                .collect();
            (sandbox::existing(&home, &spec), containers)
        })
        .await;
        if let Some(record) = sandbox {
            self.sandbox_ready(record);
            self.attach_again();
        }
        for (name, attempts) in containers {
            self.adopt_container(&name, &attempts).await;
        }
        let names: Vec<String> = self.live.keys().cloned().collect();
        for name in names {
            info!(container = name, "container adopted");
            self.start_probes(&name);
        }
    }

    /// The network is asked again for what it gave: it may have to program it anew.
    fn attach_again(&mut self) {
        let Some(request) = sandbox::network_request(&self.pod) else {
            return;
        };
        if self.observed.removed {
            return;
        }
        let network = self.context.network.clone();
        self.attaching = Some(tokio::spawn(async move {
            if let Err(err) = network.attach(&request).await {
                warn!(
                    error = &err as &dyn std::error::Error,
                    "network of an adopted pod not attached"
                );
            }
        }));
    }

    async fn adopt_container(&mut self, name: &str, attempts: &[u32]) {
        let (old, kept) = attempts.split_at(attempts.len().saturating_sub(ATTEMPTS_MAX));
        let mut history = Record::default();
        let mut lost = None;
        for (index, number) in kept.iter().copied().enumerate() {
            let Ok(record) = self.home.attempt(name, number) else {
                // The agent died while it wrote the bundle: no shim has been started.
                self.remove_attempts(name, vec![number]);
                continue;
            };
            let bundle = self.home.bundle(name, number);
            let (state, live) = if index + 1 == kept.len() {
                match shim_link::adopt(&bundle, self.hearing(name, number)).await {
                    Adopted::Alive(link, state) => (state, Some(Some(link))),
                    Adopted::Gone(state) => (state, None),
                }
            } else {
                (bundle.state().ok().flatten(), None)
            };
            let mut attempt = attempt_of(number, &record, &state, live.is_some());
            if let AttemptState::Exited(exit) = attempt.state {
                attempt.state = AttemptState::Exited(match exit.started_at {
                    Some(_) => self.with_message(name, number, exit).await,
                    None => exit,
                });
            }
            if let Some(link) = live {
                attempt.health = self.remembered_health(&attempt.container_id);
                let live = Live {
                    attempt: number,
                    link,
                    stop_signal: record.stop_signal,
                    probes: Probes::default(),
                };
                self.live.insert(name.to_owned(), live);
            } else if attempt.state.is_live() {
                lost = Some((number, state));
            }
            history.attempts.push(attempt);
        }
        self.observed.containers.insert(name.to_owned(), history);
        if let Some((number, state)) = lost {
            self.lost(name, number, state);
        }
        self.remove_attempts(name, old.to_vec());
    }

    fn remove_attempts(&self, name: &str, numbers: Vec<u32>) {
        if numbers.is_empty() {
            return;
        }
        let (home, name) = (self.home.clone(), name.to_owned());
        tokio::task::spawn_blocking(move || {
            for number in numbers {
                if let Err(err) = home.remove_attempt(&name, number) {
                    warn!(error = &err as &dyn std::error::Error, "old attempt not removed");
                }
            }
        });
    }

    /// A container that was ready stays so until its probe says otherwise.
    fn remembered_health(&self, container_id: &str) -> Health {
        let status = self.status.lock();
        let init = status.init_container_statuses.iter().flatten();
        init.chain(status.container_statuses.iter().flatten())
            .find(|status| status.container_id.as_deref() == Some(container_id))
            .map(|status| Health {
                started: status.started.unwrap_or(false),
                ready: status.ready,
                ..Health::default()
            })
            .unwrap_or_default()
    }
}

/// An attempt as its shim left it. One that is live without a shim is to be cleared.
fn attempt_of(number: u32, record: &AttemptRecord, state: &Option<State>, has_shim: bool) -> Attempt {
    let state_while_live = match state {
        // A shim that is cleaning up says how it ended when it is gone.
        Some(State::Running { started_at, .. } | State::Exited { started_at, .. }) => AttemptState::Running {
            started_at: *started_at,
        },
        Some(State::Failed { .. }) | None => AttemptState::Starting,
    };
    let end = state.as_ref().filter(|_| !has_shim).and_then(ending::recorded);
    let state = end.map_or(state_while_live, AttemptState::Exited);
    Attempt {
        number,
        crash_level: record.crash_level,
        container_id: format!("skep://{}", record.container_id),
        image: record.image.clone(),
        image_id: record.image_id.clone(),
        state,
        health: Health::default(),
        resources: record.resources.clone(),
        resize: Resizing::Idle,
    }
}
