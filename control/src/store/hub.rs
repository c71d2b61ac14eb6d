//! Hands each committed change to those who watch for it.
//!
//! One shared event per change, one bounded queue per watcher. A watcher whose queue is full is ended, alone; what
//! it was handed until then it can still take. Never here: the log, from which late watchers catch up.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use parking_lot::Mutex;
use tokio::sync::{mpsc, watch};

use super::{Change, Revision};

/// Events that may wait for one watcher. A burst of this size (a large Deployment rolled out at once) passes; beyond
/// it the watcher is not keeping up. Costs one pointer each.
const QUEUED_EVENTS_MAX: usize = 4096;

pub(super) struct Hub {
    state: Mutex<State>,
    revision: watch::Sender<Revision>,
}

#[derive(Default)]
struct State {
    next_id: u64,
    closed: bool,
    /// By collection; `None` watches all of them.
    watchers: HashMap<Option<String>, HashMap<u64, Subscriber>>,
}

struct Subscriber {
    namespace: Option<String>,
    events: mpsc::Sender<Arc<Change>>,
    slow: Arc<AtomicBool>,
}

/// A place in the hub: the changes published after it was taken.
pub(super) struct Subscription {
    collection: Option<String>,
    id: u64,
    slow: Arc<AtomicBool>,
    events: mpsc::Receiver<Arc<Change>>,
}

/// The hub has published more than the watcher has seen: read the log first.
pub(super) struct Behind;

impl Hub {
    pub(super) fn new(revision: Revision) -> Hub {
        Hub {
            state: Mutex::default(),
            revision: watch::Sender::new(revision),
        }
    }

    pub(super) fn revision(&self) -> Revision {
        *self.revision.borrow()
    }

    /// Returns at this revision, or when the hub is closed.
    pub(super) async fn wait_for(&self, revision: Revision) {
        let mut published = self.revision.subscribe();
        while *published.borrow_and_update() < revision && !self.state.lock().closed {
            if published.changed().await.is_err() {
                return;
            }
        }
    }

    /// Subscribes a watcher that has seen everything up to `seen`.
    pub(super) fn subscribe(
        &self,
        collection: Option<&str>,
        namespace: Option<&str>,
        seen: Revision,
    ) -> Result<Subscription, Behind> {
        let mut state = self.state.lock();
        if seen < self.revision() {
            return Err(Behind);
        }
        let (sender, events) = mpsc::channel(QUEUED_EVENTS_MAX);
        let slow = Arc::new(AtomicBool::new(false));
        let id = state.next_id;
        state.next_id += 1;
        let collection = collection.map(str::to_owned);
        // In a closed hub the sender is dropped here, which ends the watch.
        if !state.closed {
            state.watchers.entry(collection.clone()).or_default().insert(
                id,
                Subscriber {
                    namespace: namespace.map(str::to_owned),
                    events: sender,
                    slow: slow.clone(),
                },
            );
        }
        Ok(Subscription {
            collection,
            id,
            slow,
            events,
        })
    }

    pub(super) fn unsubscribe(&self, subscription: &Subscription) {
        let mut state = self.state.lock();
        if let Some(watchers) = state.watchers.get_mut(&subscription.collection) {
            watchers.remove(&subscription.id);
            if watchers.is_empty() {
                state.watchers.remove(&subscription.collection);
            }
        }
    }

    /// Publishes changes, in order, and then the revision they lead to.
    pub(super) fn publish(&self, changes: &[Arc<Change>], revision: Revision) {
        let mut state = self.state.lock();
        for change in changes {
            for collection in [Some(change.key.collection.clone()), None] {
                if let Some(watchers) = state.watchers.get_mut(&collection) {
                    watchers.retain(|_, watcher| watcher.offer(change));
                }
            }
        }
        // Inside the lock, so that a subscriber sees either the revision or the events that led to it.
        self.revision.send_replace(revision);
    }

    /// Ends all watches and refuses new ones.
    pub(super) fn close(&self) {
        let mut state = self.state.lock();
        state.closed = true;
        state.watchers.clear();
        // Wakes those who wait for a revision that will not come.
        self.revision.send_modify(|_| ());
    }
}

impl Subscriber {
    /// False if the watcher is to be taken out.
    fn offer(&self, change: &Arc<Change>) -> bool {
        if self.namespace.as_ref().is_some_and(|own| *own != change.key.namespace) {
            return true;
        }
        match self.events.try_send(change.clone()) {
            Ok(()) => true,
            Err(mpsc::error::TrySendError::Closed(_)) => false,
            Err(mpsc::error::TrySendError::Full(_)) => {
                self.slow.store(true, Ordering::Release);
                false
            }
        }
    }
}

impl Subscription {
    /// The next change, or nothing once the hub has ended this watch and all it was handed has been taken.
    pub(super) async fn next(&mut self) -> Option<Arc<Change>> {
        self.events.recv().await
    }

    pub(super) fn is_drained(&self) -> bool {
        self.events.is_empty()
    }

    /// Whether the hub ended this watch because its queue was full.
    pub(super) fn was_slow(&self) -> bool {
        self.slow.load(Ordering::Acquire)
    }
}
