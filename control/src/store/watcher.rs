//! One watch: the log up to the present, then the hub.
//!
//! Invariant: changes are handed out in ascending order, each once, without a gap.

use std::{collections::VecDeque, sync::Arc};

use super::{Change, ReadError, Revision, Shared, StorageFailure, WatchRequest, hub::Subscription, read};

/// Log entries read at once while catching up. Bounds memory per watcher and the time of one snapshot.
const CATCH_UP_ENTRIES: usize = 256;

/// What a watch hands out.
#[derive(Debug, Clone)]
pub enum WatchEvent {
    /// Something changed.
    Change(Arc<Change>),
    /// The watch has caught up: everything up to this revision has been handed out. Comes once.
    Progress(Revision),
}

/// Why a watch ended. The watcher's last revision can be resumed from, as long as it is not compacted.
#[derive(Debug, Clone, thiserror::Error)]
pub enum WatchEnd {
    /// Too many events waited for this watcher.
    #[error("the watcher does not keep up")]
    Slow,
    /// Compaction overtook the watcher while it read the log.
    #[error("the watcher's revision was compacted; the oldest is {oldest}")]
    Compacted {
        /// The oldest revision that can be read.
        oldest: Revision,
    },
    /// The log cannot be read.
    #[error("read the store's log")]
    Storage(#[source] StorageFailure),
    /// The store was closed.
    #[error("the store is closed")]
    Closed,
}

/// A stream of changes. Dropping it ends the watch.
pub struct Watcher {
    shared: Arc<Shared>,
    request: WatchRequest,
    /// Everything up to this has been handed out or does not concern this watch.
    seen: Revision,
    backlog: VecDeque<Arc<Change>>,
    live: Option<Subscription>,
}

impl Watcher {
    pub(super) fn start(shared: Arc<Shared>, request: WatchRequest) -> Result<Watcher, ReadError> {
        read::check(&shared.database, request.after)?;
        Ok(Watcher {
            seen: request.after,
            shared,
            request,
            backlog: VecDeque::new(),
            live: None,
        })
    }

    /// The next event. Waits without end if nothing changes. May be dropped and called again.
    ///
    /// # Errors
    /// When the watch has ended; calling again answers the same.
    pub async fn next(&mut self) -> Result<WatchEvent, WatchEnd> {
        loop {
            if let Some(change) = self.backlog.pop_front() {
                self.seen = change.revision;
                return Ok(WatchEvent::Change(change));
            }
            let Some(live) = &mut self.live else {
                if let Some(progress) = self.catch_up()? {
                    return Ok(WatchEvent::Progress(progress));
                }
                // A long log without matching entries must not hold up the other tasks of this thread.
                tokio::task::yield_now().await;
                continue;
            };
            match live.next().await {
                // A snapshot of the log may be ahead of what the hub had published.
                Some(change) if change.revision <= self.seen => {}
                Some(change) => {
                    self.seen = change.revision;
                    return Ok(WatchEvent::Change(change));
                }
                None if live.was_slow() => return Err(WatchEnd::Slow),
                None => return Err(WatchEnd::Closed),
            }
        }
    }

    /// The revision up to which everything that concerns this watch has been handed out: what a bookmark may say.
    /// Costs nothing; ask when a bookmark is due.
    #[must_use]
    pub fn revision(&self) -> Revision {
        match &self.live {
            Some(live) if self.backlog.is_empty() && !live.was_slow() => {
                // Read before the queue is looked at: what was published until then is in the queue or was taken.
                let published = self.shared.hub.revision();
                if live.is_drained() {
                    published.max(self.seen)
                } else {
                    self.seen
                }
            }
            _ => self.seen,
        }
    }

    /// Reads the next part of the log, or goes live and answers where.
    fn catch_up(&mut self) -> Result<Option<Revision>, WatchEnd> {
        let collection = self.request.collection.as_deref();
        let namespace = self.request.namespace.as_deref();
        if let Ok(live) = self.shared.hub.subscribe(collection, namespace, self.seen) {
            self.live = Some(live);
            return Ok(Some(self.seen));
        }
        let part = read::log(
            &self.shared.database,
            collection,
            namespace,
            self.seen,
            CATCH_UP_ENTRIES,
        )
        .map_err(|error| match error {
            ReadError::Compacted { oldest } => WatchEnd::Compacted { oldest },
            ReadError::Storage(failure) => WatchEnd::Storage(failure),
            // The revision was checked when the watch began, and revisions only grow.
            ReadError::Future { .. } | ReadError::Closed => WatchEnd::Closed,
        })?;
        self.backlog = part.changes.into();
        if self.backlog.is_empty() {
            self.seen = part.through;
        }
        Ok(None)
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        if let Some(live) = &self.live {
            self.shared.hub.unsubscribe(live);
        }
    }
}
