//! What flow control counts, by priority level and flow schema.
//!
//! Source: Kubernetes metrics reference, `apiserver_flowcontrol_*`.

use std::time::Duration;

use prometheus::{HistogramOpts, HistogramVec, IntCounterVec, IntGaugeVec, Opts, core::Collector};

use super::schemas::Class;

const WAIT_SECONDS: &[f64] = &[0.0, 0.005, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 15.0];
const LABELS: [&str; 2] = ["priority_level", "flow_schema"];

/// Counts requests that run, wait and are refused. Clones share one.
#[derive(Clone)]
pub(crate) struct FlowMeter {
    dispatched: IntCounterVec,
    rejected: IntCounterVec,
    waiting: IntGaugeVec,
    executing: IntGaugeVec,
    limit: IntGaugeVec,
    wait_seconds: HistogramVec,
}

impl FlowMeter {
    pub(crate) fn new() -> FlowMeter {
        let counters = |name: &str, help: &str, labels: &[&str]| {
            IntCounterVec::new(Opts::new(name, help), labels).expect("names in this file are valid")
        };
        let gauges = |name: &str, help: &str, labels: &[&str]| {
            IntGaugeVec::new(Opts::new(name, help), labels).expect("names in this file are valid")
        };
        let wait = HistogramOpts::new(
            "apiserver_flowcontrol_request_wait_duration_seconds",
            "Time that requests waited for their turn.",
        );
        FlowMeter {
            dispatched: counters(
                "apiserver_flowcontrol_dispatched_requests_total",
                "Requests that got their turn.",
                &LABELS,
            ),
            rejected: counters(
                "apiserver_flowcontrol_rejected_requests_total",
                "Requests that were refused.",
                &[LABELS[0], LABELS[1], "reason"],
            ),
            waiting: gauges(
                "apiserver_flowcontrol_current_inqueue_requests",
                "Requests that wait for their turn.",
                &LABELS,
            ),
            executing: gauges(
                "apiserver_flowcontrol_current_executing_requests",
                "Requests that run.",
                &LABELS,
            ),
            limit: gauges(
                "apiserver_flowcontrol_nominal_limit_seats",
                "Requests of a level that may run at once.",
                &LABELS[..1],
            ),
            wait_seconds: HistogramVec::new(wait.buckets(WAIT_SECONDS.to_vec()), &LABELS)
                .expect("names in this file are valid"),
        }
    }

    /// Everything, to be shown.
    pub(crate) fn collectors(&self) -> Vec<Box<dyn Collector>> {
        vec![
            Box::new(self.dispatched.clone()),
            Box::new(self.rejected.clone()),
            Box::new(self.waiting.clone()),
            Box::new(self.executing.clone()),
            Box::new(self.limit.clone()),
            Box::new(self.wait_seconds.clone()),
        ]
    }

    pub(super) fn dispatched(&self, class: &Class, waited: Duration) {
        let labels = [class.level.as_str(), class.schema.as_str()];
        self.dispatched.with_label_values(&labels).inc();
        self.executing.with_label_values(&labels).inc();
        self.wait_seconds
            .with_label_values(&labels)
            .observe(waited.as_secs_f64());
    }

    pub(super) fn ended(&self, class: &Class) {
        self.executing.with_label_values(&[&class.level, &class.schema]).dec();
    }

    pub(super) fn queued(&self, class: &Class) {
        self.waiting.with_label_values(&[&class.level, &class.schema]).inc();
    }

    pub(super) fn unqueued(&self, class: &Class) {
        self.waiting.with_label_values(&[&class.level, &class.schema]).dec();
    }

    pub(super) fn rejected(&self, class: &Class, reason: &str) {
        let labels = [class.level.as_str(), class.schema.as_str(), reason];
        self.rejected.with_label_values(&labels).inc();
    }

    pub(super) fn limit(&self, level: &str, seats: usize) {
        let seats = i64::try_from(seats).unwrap_or(i64::MAX);
        self.limit.with_label_values(&[level]).set(seats);
    }
}
