//! Which kinds are served now: the built-in ones, and those that the cluster's CustomResourceDefinitions add.
//!
//! Never here: when a definition's kinds are to be served (`definitions`), and what a kind is (`api::resource`).

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
};

use api::resource::{Kinds, Resource};
use parking_lot::RwLock;
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use crate::conversion::Hook;

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
#[derive(Debug, Clone, Default)]
pub struct Addition {
    /// The versions that it serves.
    pub rows: Vec<&'static Resource>,
    /// All its versions: objects may be stored in any.
    pub forms: Vec<&'static Resource>,
    /// How one version becomes another: `spec.conversion`.
    pub conversion: Value,
    /// Its objects are being deleted, and there shall be no new ones.
    pub is_closing: bool,
}

struct Served {
    addition: Addition,
    hook: Option<Arc<Hook>>,
    /// Ends what is under way for a row, by its version.
    ends: HashMap<&'static str, CancellationToken>,
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

    /// Serves the rows of a definition and no others. Watches of rows that go, or that others take the place of, end; so
    /// do all if objects are to be converted in another way.
    pub fn serve(&self, definition: &str, addition: Addition) {
        let mut state = self.state.write();
        let before = state.custom.remove(definition);
        let is_converted_alike = |before: &Served| before.addition.conversion == addition.conversion;
        let hook = match before.as_ref().filter(|before| is_converted_alike(before)) {
            Some(before) => before.hook.clone(),
            None => Hook::parse(&addition.conversion).map(Arc::new),
        };
        let is_same = before
            .as_ref()
            .is_some_and(|before| before.addition.rows == addition.rows && is_converted_alike(before));
        let mut ends = before.map(|before| kept(before, &addition)).unwrap_or_default();
        if !addition.rows.is_empty() {
            for row in &addition.rows {
                ends.entry(row.version).or_default();
            }
            let served = Served { addition, hook, ends };
            state.custom.insert(definition.to_owned(), served);
        }
        if !is_same {
            let custom = state.custom.values();
            let rows = custom.flat_map(|served| served.addition.rows.iter().copied());
            state.kinds = Arc::new(Kinds::with(rows.collect::<Vec<_>>()));
        }
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
        match self.of(row, |served| served.ends.get(row.version).cloned()).flatten() {
            Some(token) => token,
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
        self.of(row, |served| served.addition.is_closing).unwrap_or(false)
    }

    /// The webhook that converts the objects of the row's kind; none if versions differ in name only.
    pub(crate) fn hook(&self, row: &Resource) -> Option<Arc<Hook>> {
        self.of(row, |served| served.hook.clone()).flatten()
    }

    /// The row of a version of a custom kind, served or not, by any row of the kind.
    #[must_use]
    pub fn form(&self, row: &Resource, api_version: &str) -> Option<&'static Resource> {
        self.of(row, |served| {
            let mut forms = served.addition.forms.iter().copied();
            forms.find(|form| form.api_version() == api_version)
        })
        .flatten()
    }

    /// The row of the version in which objects of a custom kind are stored now, served or not.
    #[must_use]
    pub fn storage_row(&self, row: &Resource) -> Option<&'static Resource> {
        self.form(row, row.custom?.storage_api_version())
    }

    /// What is asked about the definition of a custom kind; none for built-in ones.
    fn of<T>(&self, row: &Resource, ask: impl FnOnce(&Served) -> T) -> Option<T> {
        row.custom?;
        self.state.read().custom.get(&row.qualified()).map(ask)
    }
}

/// The tokens of rows that stay as they were; those of the others are cancelled.
fn kept(before: Served, addition: &Addition) -> HashMap<&'static str, CancellationToken> {
    let Served {
        addition: was,
        mut ends,
        ..
    } = before;
    ends.retain(|version, token| {
        let row = was.rows.iter().find(|row| row.version == *version);
        let stays = was.conversion == addition.conversion && row.is_some_and(|row| addition.rows.contains(row));
        if !stays {
            token.cancel();
        }
        stays
    });
    ends
}

#[cfg(test)]
mod tests;
