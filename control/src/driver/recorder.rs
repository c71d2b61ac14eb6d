//! Writes Events: one object per (about, uid, reason, message, source), counted.
//!
//! The same event again within a short time is counted in memory and written with the next one after it, so that a
//! planner that says the same at every plan costs one write per interval. Events are for people: what does not fit
//! the queue is dropped, and a failed write is not repeated.
//! Source: Kubernetes API reference, Event v1 core.

use std::{
    collections::HashMap,
    error::Error,
    time::{Duration, Instant},
};

use api::{Kind, Timestamp};
use futures::{StreamExt, stream::FuturesUnordered};
use reconcile::plan::{Announcement, Severity};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tokio::{sync::mpsc, task::JoinHandle};
use tokio_util::sync::CancellationToken;

use super::hands::resource_of;
use crate::engine::{ApiError, Caller, Engine, Patch, WriteOptions};

/// Events that wait to be written. Bounds memory when the disk is slow; events beyond it are dropped.
const QUEUED_RECORDS_MAX: usize = 1024;

/// Events written at a time, so that a burst shares the store's syncs.
const CONCURRENT_WRITES_MAX: usize = 16;

/// The same event is written at most this often.
const REPEAT_INTERVAL: Duration = Duration::from_secs(10);

/// Events remembered for counting repeats; beyond it those that are not repeating are forgotten.
const REMEMBERED_MAX: usize = 4096;

/// Kubernetes' limit on an event's message, in bytes.
const MESSAGE_BYTES_MAX: usize = 1024;

/// Something to tell people about an object.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Record {
    /// The object's kind, as in `kind:`.
    pub(crate) kind: String,
    /// Its `apiVersion`.
    pub(crate) api_version: String,
    /// Empty for cluster scope.
    pub(crate) namespace: String,
    /// Its name.
    pub(crate) name: String,
    /// Its uid.
    pub(crate) uid: String,
    /// `Normal` or `Warning`.
    pub(crate) severity: &'static str,
    /// CamelCase.
    pub(crate) reason: String,
    /// A sentence.
    pub(crate) message: String,
    /// The component that speaks.
    pub(crate) source: String,
    /// The node it speaks from; empty for the control plane.
    pub(crate) host: String,
}

impl From<Announcement> for Record {
    fn from(announcement: Announcement) -> Record {
        let kind = announcement.about.kind;
        Record {
            kind: kind.name().to_owned(),
            api_version: kind.api_version(),
            namespace: announcement.about.namespace,
            name: announcement.about.name,
            uid: announcement.uid,
            severity: match announcement.severity {
                Severity::Normal => "Normal",
                Severity::Warning => "Warning",
            },
            reason: announcement.reason.to_owned(),
            message: announcement.message,
            source: announcement.source.to_owned(),
            host: String::new(),
        }
    }
}

/// Starts the task that writes events.
pub(crate) fn start(engine: Engine, shutdown: CancellationToken) -> (mpsc::Sender<Record>, JoinHandle<()>) {
    let (sender, mut records) = mpsc::channel(QUEUED_RECORDS_MAX);
    let task = tokio::spawn(async move {
        let mut repeats = Repeats::default();
        let mut writes = FuturesUnordered::new();
        loop {
            tokio::select! {
                record = records.recv(), if writes.len() < CONCURRENT_WRITES_MAX => {
                    let Some(record) = record else { return };
                    if let Some(count) = repeats.admit(&record, Instant::now()) {
                        writes.push(record_one(&engine, record, count));
                    }
                }
                Some(()) = writes.next() => {}
                () = shutdown.cancelled() => return,
            }
        }
    });
    (sender, task)
}

async fn record_one(engine: &Engine, record: Record, count: u32) {
    if let Err(error) = write(engine, &record, count).await {
        tracing::warn!(
            reason = %record.reason,
            object = %record.name,
            error = &error as &dyn Error,
            "event was not written"
        );
    }
}

/// Which events were written when, and how often they came since.
#[derive(Default)]
struct Repeats {
    seen: HashMap<Record, Repeat>,
}

struct Repeat {
    written: Instant,
    since: u32,
}

impl Repeats {
    /// How many times to count this event now; none if it is to be counted later.
    fn admit(&mut self, record: &Record, now: Instant) -> Option<u32> {
        if let Some(repeat) = self.seen.get_mut(record) {
            repeat.since = repeat.since.saturating_add(1);
            if now.duration_since(repeat.written) < REPEAT_INTERVAL {
                return None;
            }
            repeat.written = now;
            return Some(std::mem::take(&mut repeat.since));
        }
        if self.seen.len() >= REMEMBERED_MAX {
            self.seen
                .retain(|_, repeat| now.duration_since(repeat.written) < REPEAT_INTERVAL);
        }
        if self.seen.len() < REMEMBERED_MAX {
            self.seen.insert(record.clone(), Repeat { written: now, since: 0 });
        }
        Some(1)
    }
}

async fn write(engine: &Engine, record: &Record, count: u32) -> Result<(), ApiError> {
    let caller = Caller::system("system:event-recorder");
    let events = resource_of(Kind::Event);
    let now = Timestamp::now();
    let event = event(record, count, now);
    let namespace = namespace(record);
    let name = name(record);
    let options = WriteOptions::default();
    match engine.create(&caller, events, namespace, event, &options).await {
        Err(ApiError::AlreadyExists(_)) => {}
        // The namespace is gone or going, and the event's object with it.
        Ok(_) | Err(ApiError::NotFound(_) | ApiError::Forbidden { .. }) => return Ok(()),
        Err(error) => return Err(error),
    }
    let before = engine.get(events, namespace, &name)?;
    let total = before["count"].as_u64().unwrap_or(1) + u64::from(count);
    let patch = json!({ "count": total, "lastTimestamp": timestamp(now) });
    match engine
        .patch(&caller, events, namespace, &name, None, Patch::Merge(patch), &options)
        .await
    {
        Ok(_) | Err(ApiError::NotFound(_)) => Ok(()),
        Err(error) => Err(error),
    }
}

/// Events about objects without a namespace are in `default`, as in Kubernetes.
fn namespace(record: &Record) -> &str {
    if record.namespace.is_empty() {
        "default"
    } else {
        &record.namespace
    }
}

/// The same for the same event, so that its repetition finds it.
fn name(record: &Record) -> String {
    let mut hash = Sha256::new();
    for part in [
        &record.kind,
        &record.namespace,
        &record.name,
        &record.uid,
        &record.reason,
        &record.message,
        &record.source,
        &record.host,
        record.severity,
    ] {
        hash.update(part.as_bytes());
        hash.update([0]);
    }
    let digest = hash.finalize();
    let suffix: String = digest.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    format!("{}.{suffix}", record.name)
}

fn event(record: &Record, count: u32, now: Timestamp) -> Value {
    let now = timestamp(now);
    let mut about = json!({
        "kind": record.kind,
        "apiVersion": record.api_version,
        "name": record.name,
        "uid": record.uid,
    });
    if !record.namespace.is_empty() {
        about["namespace"] = json!(record.namespace);
    }
    let mut source = json!({ "component": record.source });
    if !record.host.is_empty() {
        source["host"] = json!(record.host);
    }
    json!({
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": { "name": name(record), "namespace": namespace(record) },
        "involvedObject": about,
        "reason": record.reason,
        "message": shortened(&record.message),
        "source": source,
        "type": record.severity,
        "count": count,
        "firstTimestamp": now,
        "lastTimestamp": now,
        "reportingComponent": record.source,
        "reportingInstance": record.host,
    })
}

fn shortened(message: &str) -> &str {
    if message.len() <= MESSAGE_BYTES_MAX {
        return message;
    }
    let mut end = MESSAGE_BYTES_MAX;
    while !message.is_char_boundary(end) {
        end -= 1;
    }
    &message[..end]
}

/// RFC 3339 in whole seconds, as Kubernetes writes `metav1.Time`.
fn timestamp(at: Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

#[cfg(test)]
mod tests;
