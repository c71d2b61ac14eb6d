//! What is counted of the queue, planner by planner, under the names of Kubernetes' work queues.
//!
//! Never here: the queue. Source: Kubernetes metrics reference, `workqueue_*`.

use std::time::Duration;

use prometheus::{
    Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, core::Collector,
};

/// Seconds, as Kubernetes has them for work queues.
const SECONDS: &[f64] = &[1e-8, 1e-7, 1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1.0, 10.0];

/// Counts of all planners. Clones share one.
#[derive(Clone)]
pub struct WorkMeter {
    depth: IntGaugeVec,
    adds: IntCounterVec,
    retries: IntCounterVec,
    waits: HistogramVec,
    works: HistogramVec,
}

impl Default for WorkMeter {
    fn default() -> Self {
        Self::new()
    }
}

impl WorkMeter {
    /// Nothing counted yet.
    #[must_use]
    pub fn new() -> WorkMeter {
        let opts = |name: &str, help: &str| Opts::new(format!("workqueue_{name}"), help);
        let times =
            |name: &str, help: &str| HistogramOpts::new(format!("workqueue_{name}"), help).buckets(SECONDS.to_vec());
        let valid = "names in this file are valid";
        let by = &["name"];
        WorkMeter {
            depth: IntGaugeVec::new(opts("depth", "Keys that wait to be planned."), by).expect(valid),
            adds: IntCounterVec::new(opts("adds_total", "Keys that became ready to be planned."), by).expect(valid),
            retries: IntCounterVec::new(
                opts(
                    "retries_total",
                    "Plans that are made again: they were stale, or something failed.",
                ),
                by,
            )
            .expect(valid),
            waits: HistogramVec::new(times("queue_duration_seconds", "How long keys wait to be planned."), by)
                .expect(valid),
            works: HistogramVec::new(
                times(
                    "work_duration_seconds",
                    "How long planning a key and carrying its plan out take.",
                ),
                by,
            )
            .expect(valid),
        }
    }

    /// Everything, to be shown.
    pub(crate) fn collectors(&self) -> Vec<Box<dyn Collector>> {
        vec![
            Box::new(self.depth.clone()),
            Box::new(self.adds.clone()),
            Box::new(self.retries.clone()),
            Box::new(self.waits.clone()),
            Box::new(self.works.clone()),
        ]
    }

    /// The counts of one planner.
    pub(super) fn of(&self, planner: &str) -> PlannerMeter {
        PlannerMeter {
            depth: self.depth.with_label_values(&[planner]),
            adds: self.adds.with_label_values(&[planner]),
            retries: self.retries.with_label_values(&[planner]),
            waits: self.waits.with_label_values(&[planner]),
            works: self.works.with_label_values(&[planner]),
        }
    }
}

/// Counts of one planner.
pub(super) struct PlannerMeter {
    depth: IntGauge,
    adds: IntCounter,
    retries: IntCounter,
    waits: Histogram,
    works: Histogram,
}

impl PlannerMeter {
    /// A key became ready.
    pub(super) fn entered(&self) {
        self.adds.inc();
        self.depth.inc();
    }

    /// A key is planned after so long.
    pub(super) fn left(&self, waited: Duration) {
        self.depth.dec();
        self.waits.observe(waited.as_secs_f64());
    }

    /// A plan was carried out, or was not, after so long.
    pub(super) fn ended(&self, worked: Duration, again: bool) {
        self.works.observe(worked.as_secs_f64());
        if again {
            self.retries.inc();
        }
    }
}
