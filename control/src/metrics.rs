//! What the server counts, in one registry, under the names that Kubernetes' dashboards know.
//!
//! Each part has a meter of its own and counts with atomics; labels have few values: kinds that are served, verbs of
//! the API, codes. Never here: what is counted when.
//! Source: Kubernetes metrics reference; Prometheus text format 0.0.4.

use prometheus::{
    HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry, TextEncoder,
    core::Collector, process_collector::ProcessCollector,
};

use crate::{audit::AuditMeter, driver::meter::WorkMeter};

/// Seconds, as apiserver_request_duration_seconds has them in Kubernetes.
const REQUEST_SECONDS: &[f64] = &[
    0.005, 0.025, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1.0, 1.25, 1.5, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0, 15.0, 20.0, 30.0,
    45.0, 60.0,
];

/// Everything that is counted. Clones share one.
#[derive(Clone)]
pub(crate) struct Metrics {
    registry: Registry,
    /// Of requests.
    pub(crate) requests: RequestMeter,
    /// Of the audit log.
    pub(crate) audit: AuditMeter,
    /// Of the controllers' queue.
    pub(crate) work: WorkMeter,
    levels: Levels,
}

/// What is counted of requests.
#[derive(Clone)]
pub(crate) struct RequestMeter {
    /// By verb, dry_run, group, version, resource, subresource, scope, component, code.
    pub(crate) total: IntCounterVec,
    /// By the same but the code.
    pub(crate) seconds: HistogramVec,
    /// By request_kind.
    pub(crate) in_flight: IntGaugeVec,
    /// By verb, group, version, resource, subresource, scope, component.
    pub(crate) long_running: IntGaugeVec,
    /// By group, version, resource.
    pub(crate) watch_events: IntCounterVec,
}

/// What is only looked at when somebody asks.
#[derive(Clone)]
struct Levels {
    objects: IntGaugeVec,
    revision: IntGauge,
    oldest: IntGauge,
    size_bytes: IntGauge,
    agents: IntGauge,
}

/// What there is at the moment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Observed {
    /// Plural name with its group, as in `deployments.apps`, and how many.
    pub(crate) objects: Vec<(String, u64)>,
    /// The store's newest revision.
    pub(crate) revision: u64,
    /// The oldest one that can be read.
    pub(crate) oldest: u64,
    /// Of the store's file.
    pub(crate) size_bytes: u64,
    /// Nodes with a stream.
    pub(crate) agents: usize,
}

impl Metrics {
    /// Nothing counted yet.
    pub(crate) fn new() -> Metrics {
        let registry = Registry::new();
        let about = ["group", "version", "resource"];
        let shape = ["subresource", "scope", "component"];
        let asked = [&["verb", "dry_run"][..], &about, &shape].concat();
        let requests = RequestMeter {
            total: counters(
                &registry,
                "apiserver_request_total",
                "Requests, by what they asked for and the HTTP code of the answer.",
                &[&asked[..], &["code"]].concat(),
            ),
            seconds: histograms(
                &registry,
                "apiserver_request_duration_seconds",
                "Time from a request's arrival to the end of its answer.",
                &asked,
                REQUEST_SECONDS,
            ),
            in_flight: gauges(
                &registry,
                "apiserver_current_inflight_requests",
                "Requests under way that do not last.",
                &["request_kind"],
            ),
            long_running: gauges(
                &registry,
                "apiserver_longrunning_requests",
                "Watches, logs and streams under way.",
                &[&["verb"][..], &about, &shape].concat(),
            ),
            watch_events: counters(
                &registry,
                "apiserver_watch_events_total",
                "Events sent to watches.",
                &about,
            ),
        };
        let audit = AuditMeter {
            events: counter(
                &registry,
                "apiserver_audit_event_total",
                "Events that the audit policy asked for.",
            ),
            lost: counters(
                &registry,
                "apiserver_audit_error_total",
                "Events that did not reach the audit log.",
                &["plugin"],
            )
            .with_label_values(&["log"]),
        };
        let levels = Levels {
            objects: gauges(
                &registry,
                "apiserver_storage_objects",
                "Objects that are stored.",
                &["resource"],
            ),
            revision: gauge(&registry, "skep_store_revision", "The store's newest revision."),
            oldest: gauge(
                &registry,
                "skep_store_oldest_revision",
                "The oldest revision that can be read.",
            ),
            size_bytes: gauge(&registry, "skep_store_size_bytes", "Size of the store's file."),
            agents: gauge(&registry, "skep_agent_streams", "Nodes whose agent has a stream."),
        };
        registered(&registry, ProcessCollector::for_self());
        let work = WorkMeter::new();
        let metrics = Metrics {
            registry,
            requests,
            audit,
            work,
            levels,
        };
        metrics.include(metrics.work.collectors());
        metrics
    }

    /// Everything, in Prometheus' text form.
    ///
    /// # Errors
    /// When the library cannot encode what it gathered.
    pub(crate) fn render(&self, observed: &Observed) -> Result<String, prometheus::Error> {
        let number = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
        // A kind whose last object went is no longer there.
        self.levels.objects.reset();
        for (resource, count) in &observed.objects {
            self.levels.objects.with_label_values(&[resource]).set(number(*count));
        }
        self.levels.revision.set(number(observed.revision));
        self.levels.oldest.set(number(observed.oldest));
        self.levels.size_bytes.set(number(observed.size_bytes));
        self.levels.agents.set(number(observed.agents as u64));
        TextEncoder::new().encode_to_string(&self.registry.gather())
    }

    /// Shows what another part counts, too.
    pub(crate) fn include(&self, collectors: Vec<Box<dyn Collector>>) {
        for collector in collectors {
            self.registry.register(collector).expect("each meter is included once");
        }
    }
}

fn registered<C: Collector + 'static>(registry: &Registry, collector: C) {
    registry
        .register(Box::new(collector))
        .expect("names in this file are different");
}

fn counters(registry: &Registry, name: &str, help: &str, labels: &[&str]) -> IntCounterVec {
    let counters = IntCounterVec::new(Opts::new(name, help), labels).expect("names in this file are valid");
    registered(registry, counters.clone());
    counters
}

fn counter(registry: &Registry, name: &str, help: &str) -> IntCounter {
    let counter = IntCounter::new(name, help).expect("names in this file are valid");
    registered(registry, counter.clone());
    counter
}

fn gauges(registry: &Registry, name: &str, help: &str, labels: &[&str]) -> IntGaugeVec {
    let gauges = IntGaugeVec::new(Opts::new(name, help), labels).expect("names in this file are valid");
    registered(registry, gauges.clone());
    gauges
}

fn gauge(registry: &Registry, name: &str, help: &str) -> IntGauge {
    let gauge = IntGauge::new(name, help).expect("names in this file are valid");
    registered(registry, gauge.clone());
    gauge
}

fn histograms(registry: &Registry, name: &str, help: &str, labels: &[&str], seconds: &[f64]) -> HistogramVec {
    let options = HistogramOpts::new(name, help).buckets(seconds.to_vec());
    let histograms = HistogramVec::new(options, labels).expect("names in this file are valid");
    registered(registry, histograms.clone());
    histograms
}
