//! Deletes Events an hour after their last change, whoever wrote them.
//!
//! One timer for the oldest; no polling.

use std::{
    collections::{HashMap, VecDeque},
    error::Error,
    time::{Duration, Instant},
};

use api::{Kind, Object, Timestamp};
use tokio_util::sync::CancellationToken;

use super::{hands::resource_of, sleep_until};
use crate::{
    engine::{ApiError, Caller, DeleteOptions, Engine},
    store::{ListRequest, ReadError, Revision, Store, StoreKey, Stored, WatchEnd, WatchEvent, WatchRequest},
};

/// How long an Event is kept after its last change, as in Kubernetes.
const EVENT_LIFETIME: Duration = Duration::from_secs(3600);

/// Pause after the store could not be read or written.
const RETRY: Duration = Duration::from_secs(5);

/// Runs until `shutdown`, or until the store is closed.
pub(super) async fn run(engine: Engine, store: Store, shutdown: CancellationToken) {
    let work = async {
        loop {
            match follow(&engine, &store).await {
                WatchEnd::Closed => return,
                WatchEnd::Slow | WatchEnd::Compacted { .. } => {}
                end @ WatchEnd::Storage(_) => {
                    tracing::warn!(error = &end as &dyn Error, "events are not expired");
                    tokio::time::sleep(RETRY).await;
                }
            }
        }
    };
    tokio::select! {
        () = work => {}
        () = shutdown.cancelled() => {}
    }
}

/// Lists all events and follows their changes, until the watch ends.
async fn follow(engine: &Engine, store: &Store) -> WatchEnd {
    let collection = Kind::Event.collection();
    let page = store.list(&ListRequest {
        collection: collection.clone(),
        ..ListRequest::default()
    });
    let started = page.and_then(|page| {
        let watcher = store.watch(WatchRequest {
            collection: Some(collection),
            after: page.revision,
            ..WatchRequest::default()
        })?;
        Ok((page, watcher))
    });
    let (page, mut watcher) = match started {
        Ok(started) => started,
        Err(ReadError::Storage(failure)) => return WatchEnd::Storage(failure),
        Err(ReadError::Closed) => return WatchEnd::Closed,
        // Compacted between list and watch; list again.
        Err(ReadError::Compacted { .. } | ReadError::Future { .. }) => return WatchEnd::Slow,
    };
    let mut deadlines = Deadlines::begin(&page.items, Timestamp::now(), Instant::now());
    loop {
        tokio::select! {
            event = watcher.next() => match event {
                Ok(WatchEvent::Change(change)) => {
                    let version = change.after.as_ref().map(|after| after.modified);
                    deadlines.changed(&change.key, version, Instant::now());
                }
                Ok(WatchEvent::Progress(_)) => {}
                Err(end) => return end,
            },
            () = sleep_until(deadlines.next()) => {
                for (key, version) in deadlines.take_due(Instant::now()) {
                    if let Err(error) = delete(engine, &key, version).await {
                        tracing::warn!(event = %key, error = &error as &dyn Error, "event was not deleted");
                        deadlines.retry(key, version, Instant::now());
                    }
                }
            }
        }
    }
}

async fn delete(engine: &Engine, key: &StoreKey, version: Revision) -> Result<(), ApiError> {
    let caller = Caller::system("system:event-expiry");
    let options = DeleteOptions {
        resource_version: Some(version.to_string()),
        ..DeleteOptions::default()
    };
    match engine
        .delete(&caller, resource_of(Kind::Event), &key.namespace, &key.name, options)
        .await
    {
        // Gone, or changed meanwhile and due later.
        Ok(_) | Err(ApiError::NotFound(_) | ApiError::Conflict { .. }) => Ok(()),
        Err(error) => Err(error),
    }
}

/// Which event is due when. Pure.
#[derive(Default)]
struct Deadlines {
    /// The newest version of each event.
    versions: HashMap<StoreKey, Revision>,
    /// In order; may hold versions that are not the newest.
    queue: VecDeque<(Instant, StoreKey, Revision)>,
}

impl Deadlines {
    fn begin(items: &[Stored], now: Timestamp, at: Instant) -> Deadlines {
        let mut deadlines = Deadlines::default();
        let mut queue: Vec<_> = items
            .iter()
            .map(|stored| {
                let left = EVENT_LIFETIME.saturating_sub(age(stored, now));
                (at + left, stored.key.clone(), stored.modified)
            })
            .collect();
        queue.sort_unstable_by_key(|(due, ..)| *due);
        deadlines.versions = queue.iter().map(|(_, key, version)| (key.clone(), *version)).collect();
        deadlines.queue = queue.into();
        deadlines
    }

    fn changed(&mut self, key: &StoreKey, version: Option<Revision>, now: Instant) {
        match version {
            Some(version) => {
                self.versions.insert(key.clone(), version);
                self.queue.push_back((now + EVENT_LIFETIME, key.clone(), version));
            }
            None => {
                self.versions.remove(key);
            }
        }
    }

    fn retry(&mut self, key: StoreKey, version: Revision, now: Instant) {
        self.versions.insert(key.clone(), version);
        self.queue.push_front((now + RETRY, key, version));
    }

    fn next(&mut self) -> Option<Instant> {
        while let Some((due, key, version)) = self.queue.front() {
            if self.versions.get(key) == Some(version) {
                return Some(*due);
            }
            self.queue.pop_front();
        }
        None
    }

    fn take_due(&mut self, now: Instant) -> Vec<(StoreKey, Revision)> {
        let mut due = Vec::new();
        while self.next().is_some_and(|at| at <= now)
            && let Some((_, key, version)) = self.queue.pop_front()
        {
            self.versions.remove(&key);
            due.push((key, version));
        }
        due
    }
}

/// How long ago an event last happened, by its own word.
fn age(stored: &Stored, now: Timestamp) -> Duration {
    let Ok(Object::Event(event)) = Object::decode(Kind::Event, &stored.value) else {
        return Duration::ZERO;
    };
    let last = [
        event
            .series
            .and_then(|series| series.last_observed_time)
            .map(|time| time.0),
        event.last_timestamp.map(|time| time.0),
        event.event_time.map(|time| time.0),
        event.metadata.creation_timestamp.map(|time| time.0),
    ]
    .into_iter()
    .flatten()
    .max();
    last.map_or(Duration::ZERO, |last| {
        Duration::try_from(now.duration_since(last)).unwrap_or(Duration::ZERO)
    })
}

#[cfg(test)]
mod tests;
