//! What the store counts of its work.

use std::time::Duration;

use prometheus::{Histogram, HistogramOpts, IntCounter, core::Collector};

/// Seconds of a batch: a fast disk syncs in half a millisecond, a bad one in a second.
const COMMIT_SECONDS: &[f64] = &[
    0.0005, 0.001, 0.002, 0.004, 0.008, 0.016, 0.032, 0.064, 0.125, 0.25, 0.5, 1.0, 2.0, 4.0,
];
/// Commands of a batch, up to the most there can be.
const BATCH_COMMANDS: &[f64] = &[1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0];

/// Counts batches of commands, which become durable with one sync each.
pub(crate) struct StoreMeter {
    seconds: Histogram,
    commands: Histogram,
    failures: IntCounter,
}

impl StoreMeter {
    pub(super) fn new() -> StoreMeter {
        let histogram = |name: &str, help: &str, buckets: &[f64]| {
            let options = HistogramOpts::new(name, help).buckets(buckets.to_vec());
            Histogram::with_opts(options).expect("names in this file are valid")
        };
        StoreMeter {
            seconds: histogram(
                "skep_store_commit_duration_seconds",
                "Time to make a batch of commands durable.",
                COMMIT_SECONDS,
            ),
            commands: histogram(
                "skep_store_batch_commands",
                "Commands made durable with one sync.",
                BATCH_COMMANDS,
            ),
            failures: IntCounter::new("skep_store_commit_failures_total", "Batches that the disk refused.")
                .expect("names in this file are valid"),
        }
    }

    pub(super) fn batch(&self, commands: usize, took: Duration, is_written: bool) {
        if !is_written {
            self.failures.inc();
            return;
        }
        self.seconds.observe(took.as_secs_f64());
        // At most as many as a batch takes.
        self.commands
            .observe(f64::from(u32::try_from(commands).unwrap_or(u32::MAX)));
    }

    /// Everything, to be shown.
    pub(crate) fn collectors(&self) -> Vec<Box<dyn Collector>> {
        vec![
            Box::new(self.seconds.clone()),
            Box::new(self.commands.clone()),
            Box::new(self.failures.clone()),
        ]
    }
}
