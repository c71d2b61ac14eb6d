//! Which kinds are served now: the built-in ones, and those that the cluster's CustomResourceDefinitions add.
//!
//! Never here: when a definition's kinds are to be served (`definitions`), and what a kind is (`api::resource`).

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
};

use api::resource::{Kinds, Resource};
use parking_lot::RwLock;
use tokio_util::sync::CancellationToken;

/// The kinds that are served. Clones share one.
#[derive(Clone)]
pub struct Registry {
    state: Arc<RwLock<State>>,
}

struct State {
    kinds: Arc<Kinds>,
    /// By the name of the definition.
    custom: BTreeMap<String, Served>,
}

/// What one definition adds.
struct Served {
    rows: Vec<&'static Resource>,
    /// Ends what is under way for a row, by its version.
    ends: HashMap<&'static str, CancellationToken>,
    /// Its objects are being deleted, and there shall be no new ones.
    is_closing: bool,
}

impl Registry {
    /// The built-in kinds.
    #[must_use]
    pub fn builtin() -> Registry {
        Registry {
            state: Arc::new(RwLock::new(State {
                kinds: Arc::new(Kinds::builtin()),
                custom: BTreeMap::new(),
            })),
        }
    }

    /// The kinds of this moment.
    #[must_use]
    pub fn kinds(&self) -> Arc<Kinds> {
        self.state.read().kinds.clone()
    }

    /// Serves these rows for a definition and no others. Watches of rows that go, or that others take the place of,
    /// end.
    pub fn serve(&self, definition: &str, rows: Vec<&'static Resource>, is_closing: bool) {
        let mut state = self.state.write();
        let before = state.custom.remove(definition);
        if let Some(before) = &before
            && before.rows == rows
        {
            let same = Served {
                rows,
                ends: before.ends.clone(),
                is_closing,
            };
            state.custom.insert(definition.to_owned(), same);
            return;
        }
        let mut ends = before.map(|before| kept(before, &rows)).unwrap_or_default();
        if !rows.is_empty() {
            for row in &rows {
                ends.entry(row.version).or_default();
            }
            let served = Served { rows, ends, is_closing };
            state.custom.insert(definition.to_owned(), served);
        }
        let custom = state.custom.values().flat_map(|served| served.rows.iter().copied());
        state.kinds = Arc::new(Kinds::with(custom.collect::<Vec<_>>()));
    }

    /// Names of the definitions that are served.
    #[must_use]
    pub fn definitions(&self) -> BTreeSet<String> {
        self.state.read().custom.keys().cloned().collect()
    }

    /// Cancelled when the row is no longer served. A token that never is, for built-in kinds.
    #[must_use]
    pub fn end_of(&self, row: &Resource) -> CancellationToken {
        if row.custom.is_none() {
            return CancellationToken::new();
        }
        let state = self.state.read();
        let served = state.custom.get(&row.qualified());
        match served.and_then(|served| served.ends.get(row.version)) {
            Some(token) => token.clone(),
            None => {
                let ended = CancellationToken::new();
                ended.cancel();
                ended
            }
        }
    }

    /// Whether there shall be no new objects of the kind, because its definition is being deleted.
    #[must_use]
    pub fn is_closing(&self, row: &Resource) -> bool {
        let state = self.state.read();
        row.custom.is_some()
            && state
                .custom
                .get(&row.qualified())
                .is_some_and(|served| served.is_closing)
    }
}

/// The tokens of rows that stay; those of the others are cancelled.
fn kept(before: Served, rows: &[&'static Resource]) -> HashMap<&'static str, CancellationToken> {
    let mut ends = before.ends;
    ends.retain(|version, token| {
        let was = before.rows.iter().find(|row| row.version == *version);
        let stays = was.is_some_and(|was| rows.contains(was));
        if !stays {
            token.cancel();
        }
        stays
    });
    ends
}

#[cfg(test)]
mod tests;
