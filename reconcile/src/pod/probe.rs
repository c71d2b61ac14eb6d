//! Counting probe results: when a probe's verdict changes.
//!
//! Never here: asking the container; time. Source: Kubernetes documentation, "Configure Liveness, Readiness and
//! Startup Probes": `successThreshold` and `failureThreshold` consecutive results change the verdict.

use std::time::Duration;

use api::k8s_openapi::api::core::v1::Probe;

/// Which question a probe answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ProbeKind {
    /// Has it come up? The others wait for it.
    Startup,
    /// Does it want traffic?
    Readiness,
    /// Does it work at all?
    Liveness,
}

impl ProbeKind {
    /// As messages name it: `Liveness`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            ProbeKind::Startup => "Startup",
            ProbeKind::Readiness => "Readiness",
            ProbeKind::Liveness => "Liveness",
        }
    }
}

/// The times and thresholds of a probe, defaults filled in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Schedule {
    /// From the container's start to the first try.
    pub initial_delay: Duration,
    /// Between tries.
    pub period: Duration,
    /// For one try.
    pub timeout: Duration,
    /// Consecutive successes that make the verdict good.
    pub successes: u32,
    /// Consecutive failures that make the verdict bad.
    pub failures: u32,
}

impl Schedule {
    /// The schedule of a probe.
    #[must_use]
    pub fn of(probe: &Probe) -> Schedule {
        let positive = |value: Option<i32>, default: u32| {
            value
                .and_then(|value| u32::try_from(value).ok())
                .filter(|value| *value > 0)
                .unwrap_or(default)
        };
        let seconds = |value: u32| Duration::from_secs(u64::from(value));
        Schedule {
            initial_delay: seconds(positive(probe.initial_delay_seconds, 0)),
            period: seconds(positive(probe.period_seconds, 10)),
            timeout: seconds(positive(probe.timeout_seconds, 1)),
            successes: positive(probe.success_threshold, 1),
            failures: positive(probe.failure_threshold, 3),
        }
    }
}

/// Consecutive results.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Streak {
    last: Option<bool>,
    length: u32,
}

impl Streak {
    /// Takes one result in; answers the verdict if the threshold is reached (again and again while it lasts).
    #[must_use]
    pub fn record(&mut self, success: bool, schedule: &Schedule) -> Option<bool> {
        if self.last == Some(success) {
            self.length = self.length.saturating_add(1);
        } else {
            *self = Streak {
                last: Some(success),
                length: 1,
            };
        }
        let threshold = if success { schedule.successes } else { schedule.failures };
        (self.length >= threshold).then_some(success)
    }
}
