//! What is made of some collections and is current whenever it is asked, without a task of its own.
//!
//! When a commit has returned, every watcher has been handed it; so whoever asks takes in first what waits.

use futures::FutureExt as _;
use parking_lot::Mutex;
use serde_json::Value;

use crate::store::{Change, ListRequest, ReadError, Store, WatchEnd, WatchEvent, WatchRequest, Watcher};

/// Polls of one watch before it has caught up with the log. Each takes in some hundred changes, and no more than a
/// few can have happened since the list.
const CATCH_UP_POLLS_MAX: usize = 64;

/// What is made of the collections' objects.
pub(crate) trait Fold: Default {
    /// Where the objects are kept.
    const COLLECTIONS: &'static [&'static str];

    /// Takes a new version of an object in, or its absence.
    fn fold(&mut self, collection: &str, name: &str, object: Option<&Value>);
}

/// A fold and what keeps it current.
pub(crate) struct Following<T> {
    store: Store,
    live: Mutex<Option<Live<T>>>,
}

struct Live<T> {
    fold: T,
    watchers: Vec<(&'static str, Watcher)>,
}

impl<T: Fold> Following<T> {
    /// Over the objects of this store, which is read when somebody asks.
    pub(crate) fn new(store: Store) -> Following<T> {
        Following {
            store,
            live: Mutex::new(None),
        }
    }

    /// Answers from a fold of everything that was committed before.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub(crate) fn with<Answer>(&self, answer: impl FnOnce(&T) -> Answer) -> Result<Answer, ReadError> {
        let mut live = self.live.lock();
        if let Some(present) = live.as_mut()
            && present.take_in()
        {
            return Ok(answer(&present.fold));
        }
        // The first question, or more changes waited than a watch keeps.
        *live = None;
        let loaded = live.insert(Live::load(&self.store)?);
        Ok(answer(&loaded.fold))
    }
}

impl<T: Fold> Live<T> {
    fn load(store: &Store) -> Result<Live<T>, ReadError> {
        let mut live = Live {
            fold: T::default(),
            watchers: Vec::new(),
        };
        for collection in T::COLLECTIONS.iter().copied() {
            let page = store.list(&ListRequest {
                collection: collection.to_owned(),
                ..ListRequest::default()
            })?;
            for item in &page.items {
                let object: Option<Value> = serde_json::from_slice(&item.value).ok();
                live.fold.fold(collection, &item.key.name, object.as_ref());
            }
            let mut watcher = store.watch(WatchRequest {
                collection: Some(collection.to_owned()),
                namespace: None,
                after: page.revision,
            })?;
            for _ in 0..CATCH_UP_POLLS_MAX {
                match poll(&mut watcher) {
                    Some(Ok(WatchEvent::Progress(_)) | Err(_)) => break,
                    Some(Ok(WatchEvent::Change(change))) => live.take(collection, &change),
                    None => {}
                }
            }
            live.watchers.push((collection, watcher));
        }
        Ok(live)
    }

    /// Takes in what waits. False if something was missed.
    fn take_in(&mut self) -> bool {
        let mut watchers = std::mem::take(&mut self.watchers);
        let mut is_whole = true;
        for (collection, watcher) in &mut watchers {
            while let Some(event) = poll(watcher) {
                match event {
                    Ok(WatchEvent::Change(change)) => self.take(collection, &change),
                    Ok(WatchEvent::Progress(_)) => {}
                    Err(_) => {
                        is_whole = false;
                        break;
                    }
                }
            }
        }
        self.watchers = watchers;
        is_whole
    }

    fn take(&mut self, collection: &str, change: &Change) {
        let after = change.after.as_ref();
        let object: Option<Value> = after.and_then(|stored| serde_json::from_slice(&stored.value).ok());
        self.fold.fold(collection, &change.key.name, object.as_ref());
    }
}

/// What a watch has ready. Not subject to the runtime's budget, which would hide what is there.
fn poll(watcher: &mut Watcher) -> Option<Result<WatchEvent, WatchEnd>> {
    tokio::task::unconstrained(watcher.next()).now_or_never()
}
