//! Writes Events: one object per (about, uid, reason, message, source), counted.
//!
//! The same event again within a short time is counted in memory and written with the next one after it, so that a
//! planner that says the same at every plan costs one write per interval. An event's object is named for the moment
//! the event was first heard of, so that lists, which are in the order of names, show an object's events in the order
//! in which they happened, even within one second. Events that differ only in their messages are combined when there are
//! many (`similar`). Which object counts what is forgotten with the process: then the
//! same event begins a new one. Events are for people: what does not fit the queue is dropped, and a failed write is
//! not repeated.
//! Source: Kubernetes API reference, Event v1 core; client-go, `tools/record` (names with a time).

mod similar;

use std::{
    collections::HashMap,
    error::Error,
    time::{Duration, Instant},
};

use api::{Kind, Timestamp};
use futures::{StreamExt, stream::FuturesUnordered};
use reconcile::plan::{Announcement, Severity};
use serde_json::{Value, json};
use tokio::{sync::mpsc, task::JoinHandle};
use tokio_util::sync::CancellationToken;

use self::similar::Similar;
use super::hands::resource_of;
use crate::engine::{ApiError, Caller, Engine, Patch, SERVER_MANAGER, WriteOptions};

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
        let mut similar = Similar::default();
        let mut writes = FuturesUnordered::new();
        loop {
            tokio::select! {
                record = records.recv(), if writes.len() < CONCURRENT_WRITES_MAX => {
                    let Some(record) = record else { return };
                    let clock = Instant::now();
                    let told = similar.combine(record, clock);
                    if let Some(entry) = repeats.admit(&told.same, clock, Timestamp::now()) {
                        writes.push(record_one(&engine, told.record, entry));
                    }
                }
                Some(()) = writes.next() => {}
                () = shutdown.cancelled() => return,
            }
        }
    });
    (sender, task)
}

async fn record_one(engine: &Engine, record: Record, entry: Entry) {
    if let Err(error) = write(engine, &record, entry).await {
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
    /// The last moment given to an event: no two get the same.
    last_ns: i128,
}

struct Repeat {
    written: Instant,
    since: u32,
    /// When the event was first heard of.
    first_ns: i128,
}

/// What is to be written of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Entry {
    /// Since the Unix epoch: when it was first heard of, which names its object.
    first_ns: i128,
    /// How many times it came since it was last written.
    count: u32,
    /// Whether its object is there already.
    known: bool,
    now: Timestamp,
}

impl Repeats {
    /// What to write now; none if the event is to be counted later. `clock` is for measuring, `now` for writing down.
    fn admit(&mut self, record: &Record, clock: Instant, now: Timestamp) -> Option<Entry> {
        if let Some(repeat) = self.seen.get_mut(record) {
            repeat.since = repeat.since.saturating_add(1);
            if clock.duration_since(repeat.written) < REPEAT_INTERVAL {
                return None;
            }
            repeat.written = clock;
            return Some(Entry {
                first_ns: repeat.first_ns,
                count: std::mem::take(&mut repeat.since),
                known: true,
                now,
            });
        }
        if self.seen.len() >= REMEMBERED_MAX {
            self.seen
                .retain(|_, repeat| clock.duration_since(repeat.written) < REPEAT_INTERVAL);
        }
        self.last_ns = now.as_nanosecond().max(self.last_ns + 1);
        if self.seen.len() < REMEMBERED_MAX {
            let repeat = Repeat {
                written: clock,
                since: 0,
                first_ns: self.last_ns,
            };
            self.seen.insert(record.clone(), repeat);
        }
        Some(Entry {
            first_ns: self.last_ns,
            count: 1,
            known: false,
            now,
        })
    }
}

async fn write(engine: &Engine, record: &Record, entry: Entry) -> Result<(), ApiError> {
    let caller = Caller::system("system:event-recorder");
    let events = resource_of(Kind::Event);
    let namespace = namespace(record);
    let name = name(record, entry);
    let options = WriteOptions::by(SERVER_MANAGER);
    if entry.known {
        match engine.get(events, namespace, &name) {
            Ok(before) => {
                let total = before["count"].as_u64().unwrap_or(1) + u64::from(entry.count);
                let patch = Patch::Merge(json!({
                    "count": total,
                    "lastTimestamp": timestamp(entry.now),
                    // That of a combined event is the newest one.
                    "message": shortened(&record.message),
                }));
                return match engine
                    .patch(&caller, events, namespace, &name, None, patch, &options)
                    .await
                {
                    Ok(_) | Err(ApiError::NotFound(_)) => Ok(()),
                    Err(error) => Err(error),
                };
            }
            // It has expired, or was refused when it first came.
            Err(ApiError::NotFound(_)) => {}
            Err(error) => return Err(error),
        }
    }
    match engine
        .create(&caller, events, namespace, event(record, entry), &options)
        .await
    {
        // The namespace is gone or going, and the event's object with it.
        Ok(_) | Err(ApiError::NotFound(_) | ApiError::Forbidden { .. }) => Ok(()),
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

/// The same at every repetition of an event; later events have names behind those of earlier ones.
fn name(record: &Record, entry: Entry) -> String {
    format!("{}.{:016x}", record.name, entry.first_ns)
}

fn event(record: &Record, entry: Entry) -> Value {
    let now = timestamp(entry.now);
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
        "metadata": { "name": name(record, entry), "namespace": namespace(record) },
        "involvedObject": about,
        "reason": record.reason,
        "message": shortened(&record.message),
        "source": source,
        "type": record.severity,
        "count": entry.count,
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
