//! Data made of objects and kept current from the store, without a task of its own: when a commit has returned, every
//! watcher has been handed it, so whoever asks takes in first what waits.
//!
//! Never here: what the data means.

use futures::FutureExt as _;
use parking_lot::Mutex;

use crate::store::{Change, ListRequest, ReadError, Store, Stored, WatchEnd, WatchEvent, WatchRequest, Watcher};

/// Polls of one watch before it has caught up with the log. Each takes in some hundred changes, and no more than a
/// few can have happened since the list.
const CATCH_UP_POLLS_MAX: usize = 64;

/// Data that is made of all objects of some collections.
pub(crate) trait Fold: Default {
    /// Names the collections.
    type Part: Copy + 'static;
    /// Every one of them.
    const PARTS: &'static [Self::Part];

    /// Where the store keeps the objects.
    fn collection(part: Self::Part) -> &'static str;

    /// Takes a new version of an object in, or its absence.
    fn fold(&mut self, part: Self::Part, namespace: &str, name: &str, stored: Option<&Stored>);
}

/// Data that follows the store.
pub(crate) struct Following<Data: Fold> {
    store: Store,
    live: Mutex<Option<Live<Data>>>,
}

/// The data and what keeps it current.
struct Live<Data: Fold> {
    data: Data,
    watchers: Vec<(Data::Part, Watcher)>,
}

impl<Data: Fold> Following<Data> {
    /// Over the objects of this store.
    pub(crate) fn new(store: Store) -> Following<Data> {
        Following {
            store,
            live: Mutex::new(None),
        }
    }

    /// The store below.
    pub(crate) fn store(&self) -> &Store {
        &self.store
    }

    /// Answers from data that holds everything that was committed before. Answers come one after the other, so they
    /// are to be short.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub(crate) fn with<Answer>(&self, answer: impl FnOnce(&Data) -> Answer) -> Result<Answer, ReadError> {
        let mut live = self.live.lock();
        if let Some(present) = live.as_mut()
            && present.take_in()
        {
            return Ok(answer(&present.data));
        }
        // The first question, or more changes waited than a watch keeps.
        *live = None;
        let loaded = live.insert(Live::load(&self.store)?);
        Ok(answer(&loaded.data))
    }
}

impl<Data: Fold> Live<Data> {
    fn load(store: &Store) -> Result<Live<Data>, ReadError> {
        let mut live = Live {
            data: Data::default(),
            watchers: Vec::new(),
        };
        for part in Data::PARTS {
            let page = store.list(&ListRequest {
                collection: Data::collection(*part).to_owned(),
                ..ListRequest::default()
            })?;
            for item in &page.items {
                live.data.fold(*part, &item.key.namespace, &item.key.name, Some(item));
            }
            let mut watcher = store.watch(WatchRequest {
                collection: Some(Data::collection(*part).to_owned()),
                namespace: None,
                after: page.revision,
            })?;
            for _ in 0..CATCH_UP_POLLS_MAX {
                match poll(&mut watcher) {
                    Some(Ok(WatchEvent::Progress(_))) => break,
                    Some(Ok(WatchEvent::Change(change))) => live.take(*part, &change),
                    Some(Err(_)) => break,
                    None => {}
                }
            }
            live.watchers.push((*part, watcher));
        }
        Ok(live)
    }

    /// Takes in what waits. False if something was missed.
    fn take_in(&mut self) -> bool {
        for (part, watcher) in &mut self.watchers {
            while let Some(event) = poll(watcher) {
                match event {
                    Ok(WatchEvent::Change(change)) => {
                        let key = &change.key;
                        self.data.fold(*part, &key.namespace, &key.name, change.after.as_ref());
                    }
                    Ok(WatchEvent::Progress(_)) => {}
                    Err(_) => return false,
                }
            }
        }
        true
    }

    fn take(&mut self, part: Data::Part, change: &Change) {
        let key = &change.key;
        self.data.fold(part, &key.namespace, &key.name, change.after.as_ref());
    }
}

/// What a watch has ready. Not subject to the runtime's budget, which would hide what is there.
fn poll(watcher: &mut Watcher) -> Option<Result<WatchEvent, WatchEnd>> {
    tokio::task::unconstrained(watcher.next()).now_or_never()
}
