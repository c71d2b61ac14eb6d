//! The probes of one running container: asked on schedule, heard of when a verdict changes.
//!
//! One task per probe, asleep between questions; tokio's timer wheel is the only clock. Dropping a [`Probes`] stops
//! them. Never here: what follows from a verdict.

use std::time::Duration;

use api::k8s_openapi::api::core::v1::Probe;
use reconcile::pod::probe::{ProbeKind, Schedule, Streak};
use tokio_util::task::AbortOnDropHandle;

use super::check::{Check, Target, ask};

/// A probe's answer, or its verdict if the threshold is reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) kind: ProbeKind,
    /// What to tell people about a failure.
    pub(crate) failure: Option<String>,
    /// Present when the threshold is reached.
    pub(crate) verdict: Option<bool>,
}

/// Running probes of one attempt.
#[derive(Debug, Default)]
pub(crate) struct Probes {
    running: Vec<(ProbeKind, AbortOnDropHandle<()>)>,
}

impl Probes {
    /// Starts a probe unless it runs already. `since` is how long the container has been running.
    pub(crate) fn start(
        &mut self,
        kind: ProbeKind,
        probe: Option<&Probe>,
        target: &Target,
        since: Duration,
        hear: impl Fn(Answer) + Send + 'static,
    ) {
        let Some(probe) = probe else { return };
        if self.running.iter().any(|(running, _)| *running == kind) {
            return;
        }
        let Some(check) = Check::of_probe(probe) else { return };
        let schedule = Schedule::of(probe);
        let target = target.clone();
        let task = tokio::spawn(async move {
            tokio::time::sleep(schedule.initial_delay.saturating_sub(since)).await;
            let mut streak = Streak::default();
            let mut told = None;
            let mut ticks = tokio::time::interval(schedule.period);
            ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
            loop {
                ticks.tick().await;
                let failure = ask(&check, &target, schedule.timeout).await.err();
                let verdict = streak.record(failure.is_none(), &schedule);
                // A verdict that stands is not told again; each failure is, for its event.
                let news = verdict.filter(|verdict| told != Some(*verdict));
                if news.is_some() {
                    told = news;
                }
                if failure.is_some() || news.is_some() {
                    hear(Answer {
                        kind,
                        failure,
                        verdict: news,
                    });
                }
                if kind == ProbeKind::Startup && news.is_some() {
                    return;
                }
            }
        });
        self.running.push((kind, AbortOnDropHandle::new(task)));
    }

    /// Stops the probes that could only ask for another stop.
    pub(crate) fn keep_readiness(&mut self) {
        self.running.retain(|(kind, _)| *kind == ProbeKind::Readiness);
    }
}
