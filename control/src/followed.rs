//! An index of some collections that is current whenever it is asked, without a task of its own: when a commit has
//! returned, every watcher has been handed it, so whoever asks takes in first what waits.
//!
//! Who was handed a change by a watch of its own may be earlier than an index, and waits for the store to have the
//! change's revision before it asks. Never here: what an index answers.

use std::sync::Arc;

use futures::FutureExt as _;
use parking_lot::{Mutex, MutexGuard};
use serde_json::Value;

use crate::{
    engine::object,
    store::{ListRequest, ReadError, Store, StoreKey, Stored, WatchEvent, WatchRequest, Watcher},
};

/// Polls of one watch before it has caught up with the log. Each takes in some hundred changes, and no more than a
/// few can have happened since the list.
const CATCH_UP_POLLS_MAX: usize = 64;

/// What is made of objects, one by one.
pub(crate) trait Fold: Default {
    /// Which collection an object is of.
    type Part: Copy + 'static;
    /// The collections, in the order in which they are read.
    const PARTS: &'static [Self::Part];

    /// Where the store keeps them.
    fn collection(part: Self::Part) -> &'static str;

    /// Takes a new version of an object in, as it is read (with its `resourceVersion`), or its absence.
    fn fold(&mut self, part: Self::Part, namespace: &str, name: &str, object: Option<&Value>);
}

/// An index over a store. Cheap to clone; clones share it.
pub(crate) struct Followed<Index: Fold> {
    store: Store,
    live: Arc<Mutex<Option<Live<Index>>>>,
}

impl<Index: Fold> Clone for Followed<Index> {
    fn clone(&self) -> Followed<Index> {
        Followed {
            store: self.store.clone(),
            live: self.live.clone(),
        }
    }
}

/// The index and what keeps it current.
struct Live<Index: Fold> {
    index: Index,
    watchers: Vec<(Index::Part, Watcher)>,
}

impl<Index: Fold> Followed<Index> {
    pub(crate) fn new(store: Store) -> Followed<Index> {
        Followed {
            store,
            live: Arc::default(),
        }
    }

    pub(crate) fn store(&self) -> &Store {
        &self.store
    }

    /// Answers from an index that holds everything that was committed before.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub(crate) fn ask<Answer>(&self, answer: impl FnOnce(&Index) -> Answer) -> Result<Answer, ReadError> {
        let mut live = self.live.lock();
        self.bring_up_to_date(&mut live)?;
        Ok(answer(&live.as_ref().expect("it was made just above").index))
    }

    fn bring_up_to_date(&self, live: &mut MutexGuard<'_, Option<Live<Index>>>) -> Result<(), ReadError> {
        if let Some(present) = live.as_mut()
            && present.take_in()
        {
            return Ok(());
        }
        // The first question, or more changes waited than a watch keeps.
        **live = None;
        **live = Some(Live::load(&self.store)?);
        Ok(())
    }
}

impl<Index: Fold> Live<Index> {
    fn load(store: &Store) -> Result<Live<Index>, ReadError> {
        let mut live = Live {
            index: Index::default(),
            watchers: Vec::new(),
        };
        for part in Index::PARTS {
            let page = store.list(&ListRequest {
                collection: Index::collection(*part).to_owned(),
                ..ListRequest::default()
            })?;
            for item in &page.items {
                take(&mut live.index, *part, &item.key, Some(item));
            }
            let mut watcher = store.watch(WatchRequest {
                collection: Some(Index::collection(*part).to_owned()),
                namespace: None,
                after: page.revision,
            })?;
            for _ in 0..CATCH_UP_POLLS_MAX {
                match poll(&mut watcher) {
                    Some(Ok(WatchEvent::Progress(_))) => break,
                    Some(Ok(WatchEvent::Change(change))) => {
                        take(&mut live.index, *part, &change.key, change.after.as_ref());
                    }
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
                        take(&mut self.index, *part, &change.key, change.after.as_ref());
                    }
                    Ok(WatchEvent::Progress(_)) => {}
                    Err(_) => return false,
                }
            }
        }
        true
    }
}

fn take<Index: Fold>(index: &mut Index, part: Index::Part, key: &StoreKey, stored: Option<&Stored>) {
    let object = stored.and_then(|stored| object::decode(stored).ok());
    index.fold(part, &key.namespace, &key.name, object.as_ref());
}

/// What a watch has ready. Not subject to the runtime's budget, which would hide what is there.
fn poll(watcher: &mut Watcher) -> Option<Result<WatchEvent, crate::store::WatchEnd>> {
    tokio::task::unconstrained(watcher.next()).now_or_never()
}
