//! What a webhook made of versions of objects, for all who watch them: each is told of a change within moments of the
//! others.
//!
//! Never here: reads. They ask the webhook, which may convert otherwise than it did.

use std::{collections::VecDeque, fmt, sync::Arc};

use parking_lot::Mutex;
use tokio::sync::OnceCell;

use crate::store::{Revision, StoreKey, Stored};

/// Most versions that are kept: a watcher that lags behind further asks for itself.
const KEPT_MAX: usize = 128;
/// Objects with more bytes are not shared, so that what is kept stays within some megabytes.
const BYTES_MAX: usize = 64 << 10;

type Cell = Arc<OnceCell<Stored>>;

/// Versions of objects, converted or being converted.
#[derive(Default)]
pub(crate) struct Shared {
    kept: Mutex<VecDeque<(Version, Cell)>>,
}

/// A version of an object in a version of its kind.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Version {
    modified: Revision,
    key: StoreKey,
    api_version: String,
}

impl Shared {
    /// Where the form of a version is, or is to be put by whoever comes first; nowhere if it is too big.
    pub(crate) fn cell(&self, stored: &Stored, api_version: &str) -> Cell {
        if stored.value.len() > BYTES_MAX {
            return Cell::default();
        }
        let version = Version {
            modified: stored.modified,
            key: stored.key.clone(),
            api_version: api_version.to_owned(),
        };
        let mut kept = self.kept.lock();
        if let Some((_, cell)) = kept.iter().rev().find(|(known, _)| *known == version) {
            return cell.clone();
        }
        if kept.len() == KEPT_MAX {
            kept.pop_front();
        }
        let cell = Cell::default();
        kept.push_back((version, cell.clone()));
        cell
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").finish_non_exhaustive()
    }
}
