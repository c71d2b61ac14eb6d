//! The layout of the database: four tables, and what one change does to them.
//!
//! A value is kept once: in `current` while it is the newest, in `history` from the change that replaced it until
//! compaction. The log names changes without their values.
//!
//! | table | key | value |
//! |---|---|---|
//! | current | object | created, modified, bytes |
//! | history | object, modified | replaced at, created, bytes |
//! | log | revision | object, 1 if it exists after, modified before (0: did not exist) |
//! | meta | `revision`, `compacted`, `format`, `seal_key` | number |
//!
//! An object's key is its collection, namespace and name, each but the last followed by a NUL: a collection and a
//! namespace are ranges. Never here: transactions.

use std::borrow::Cow;

use redb::{ReadTransaction, ReadableTable, Table, TableDefinition, WriteTransaction};

use super::{Change, Revision, StoreKey, Stored, database::StorageFailure, machine::Records, seal::Seal};

/// Version of this layout.
pub(super) const FORMAT: u64 = 1;

/// Name in `meta` of the newest revision.
pub(super) const META_REVISION: &str = "revision";
/// Name in `meta` of the newest revision whose log and replaced versions are gone.
pub(super) const META_COMPACTED: &str = "compacted";
/// Name in `meta` of the id of a key without which values cannot be read; absent while none was ever used.
pub(super) const META_SEAL_KEY: &str = "seal_key";
/// Name in `meta` of the layout's version.
pub(super) const META_FORMAT: &str = "format";

/// An object's key: see [`encode_key`].
pub(super) type KeyBytes = &'static [u8];
/// An object's key and the revision of one version of it.
pub(super) type VersionId = (&'static [u8], u64);
/// Two revisions and the object's bytes: created and modified, or replaced at and created.
pub(super) type Version = (u64, u64, &'static [u8]);
/// Which object, whether it exists after, and the revision of the version before.
pub(super) type LogEntry = (&'static [u8], u8, u64);

pub(super) const CURRENT: TableDefinition<'_, KeyBytes, Version> = TableDefinition::new("current");
pub(super) const HISTORY: TableDefinition<'_, VersionId, Version> = TableDefinition::new("history");
pub(super) const LOG: TableDefinition<'_, u64, LogEntry> = TableDefinition::new("log");
pub(super) const META: TableDefinition<'_, &str, u64> = TableDefinition::new("meta");

const SEPARATOR: u8 = 0;

/// The bytes of a key.
pub(super) fn encode_key(key: &StoreKey) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(key.collection.len() + key.namespace.len() + key.name.len() + 2);
    bytes.extend_from_slice(key.collection.as_bytes());
    bytes.push(SEPARATOR);
    bytes.extend_from_slice(key.namespace.as_bytes());
    bytes.push(SEPARATOR);
    bytes.extend_from_slice(key.name.as_bytes());
    bytes
}

/// The key of these bytes.
pub(super) fn decode_key(bytes: &[u8]) -> Result<StoreKey, StorageFailure> {
    let mut parts = bytes.splitn(3, |byte| *byte == SEPARATOR).map(std::str::from_utf8);
    match (parts.next(), parts.next(), parts.next()) {
        (Some(Ok(collection)), Some(Ok(namespace)), Some(Ok(name))) => Ok(StoreKey::new(collection, namespace, name)),
        _ => Err(StorageFailure::corrupt("a key is not collection, namespace and name")),
    }
}

/// The collection of the object with this key.
pub(super) fn collection_of(key: &[u8]) -> &[u8] {
    key.split(|byte| *byte == SEPARATOR).next().unwrap_or_default()
}

/// First and past-the-end key of a collection, or of one namespace of it.
pub(super) fn range(collection: &str, namespace: Option<&str>) -> (Vec<u8>, Vec<u8>) {
    let mut start = collection.as_bytes().to_vec();
    start.push(SEPARATOR);
    if let Some(namespace) = namespace {
        start.extend_from_slice(namespace.as_bytes());
        start.push(SEPARATOR);
    }
    let mut end = start.clone();
    if let Some(last) = end.last_mut() {
        *last = SEPARATOR + 1;
    }
    (start, end)
}

/// How far the database is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Marks {
    pub(super) revision: Revision,
    pub(super) compacted: Revision,
}

/// The marks that a read transaction sees.
pub(super) fn marks(transaction: &ReadTransaction) -> Result<Marks, StorageFailure> {
    let meta = transaction.open_table(META)?;
    let number = |name| -> Result<u64, StorageFailure> {
        let found = meta.get(name)?.map(|guard| guard.value());
        found.ok_or_else(|| StorageFailure::corrupt("a mark is missing"))
    };
    Ok(Marks {
        revision: number(META_REVISION)?,
        compacted: number(META_COMPACTED)?,
    })
}

/// The tables, open for writing.
pub(super) struct Tables<'txn> {
    seal: &'txn Seal,
    current: Table<'txn, KeyBytes, Version>,
    history: Table<'txn, VersionId, Version>,
    log: Table<'txn, u64, LogEntry>,
    meta: Table<'txn, &'static str, u64>,
}

impl<'txn> Tables<'txn> {
    pub(super) fn open(transaction: &'txn WriteTransaction, seal: &'txn Seal) -> Result<Tables<'txn>, StorageFailure> {
        Ok(Tables {
            seal,
            current: transaction.open_table(CURRENT)?,
            history: transaction.open_table(HISTORY)?,
            log: transaction.open_table(LOG)?,
            meta: transaction.open_table(META)?,
        })
    }

    /// Sets one number of `meta`.
    pub(super) fn mark(&mut self, name: &str, value: u64) -> Result<(), StorageFailure> {
        self.meta.insert(name, value)?;
        Ok(())
    }

    pub(super) fn meta(&self, name: &str) -> Result<Option<u64>, StorageFailure> {
        Ok(self.meta.get(name)?.map(|guard| guard.value()))
    }

    /// Notes which key the newest values are encrypted with; true if that is news.
    pub(super) fn mark_seal_key(&mut self) -> Result<bool, StorageFailure> {
        let wanted = self.seal.active_key().map(u64::from);
        let is_news = self.meta(META_SEAL_KEY)? != wanted;
        if let Some(key) = wanted.filter(|_| is_news) {
            self.mark(META_SEAL_KEY, key)?;
        }
        Ok(is_news && wanted.is_some())
    }

    /// Writes one change and its log entry; the caller sets the revision mark.
    pub(super) fn write(&mut self, change: &Change) -> Result<(), StorageFailure> {
        let key = encode_key(&change.key);
        if let Some(before) = &change.before {
            let value = self.seal.close(&key, before.modified, &before.value)?;
            self.history.insert(
                (key.as_slice(), before.modified),
                (change.revision, before.created, value.as_ref()),
            )?;
        }
        match &change.after {
            Some(after) => {
                let value = self.seal.close(&key, after.modified, &after.value)?;
                self.current
                    .insert(key.as_slice(), (after.created, after.modified, value.as_ref()))?;
            }
            None => {
                self.current.remove(key.as_slice())?;
            }
        }
        let replaced = change.before.as_ref().map_or(0, |before| before.modified);
        self.log.insert(
            change.revision,
            (key.as_slice(), u8::from(change.after.is_some()), replaced),
        )?;
        Ok(())
    }

    /// Removes at most `entries_max` log entries up to and including `through`, with the versions they replaced.
    /// Answers the revision up to which the log is now empty.
    pub(super) fn cut(&mut self, through: Revision, entries_max: usize) -> Result<Revision, StorageFailure> {
        let mut cut = Vec::with_capacity(entries_max);
        for entry in self.log.range(..=through)?.take(entries_max) {
            let (revision, entry) = entry?;
            let (key, _, replaced) = entry.value();
            cut.push((revision.value(), key.to_vec(), replaced));
        }
        let reached = match cut.last() {
            Some((revision, ..)) if cut.len() == entries_max => *revision,
            _ => through,
        };
        for (revision, key, replaced) in cut {
            self.log.remove(revision)?;
            if replaced != 0 {
                self.history.remove((key.as_slice(), replaced))?;
            }
        }
        self.mark(META_COMPACTED, reached)?;
        Ok(reached)
    }

    /// Brings at most `entries_max` values from `place` on into the form that they would get now. Answers where to go
    /// on, or nothing if all have been looked at, and whether anything was written.
    pub(super) fn reseal(
        &mut self,
        place: ResealPlace,
        entries_max: usize,
    ) -> Result<(Option<ResealPlace>, bool), StorageFailure> {
        match place {
            ResealPlace::Current(from) => self.reseal_current(&from, entries_max),
            ResealPlace::History(from, revision) => self.reseal_history(&from, revision, entries_max),
        }
    }

    fn reseal_current(
        &mut self,
        from: &[u8],
        entries_max: usize,
    ) -> Result<(Option<ResealPlace>, bool), StorageFailure> {
        let mut stale = Vec::new();
        let mut last = None;
        let mut looked_at = 0;
        for entry in self.current.range::<&[u8]>(from..)?.take(entries_max) {
            let (key, version) = entry?;
            let (key, (created, modified, value)) = (key.value(), version.value());
            looked_at += 1;
            last = Some(key.to_vec());
            if let Some(value) = in_form(self.seal, key, modified, value)? {
                stale.push((key.to_vec(), (created, modified, value)));
            }
        }
        for (key, (created, modified, value)) in &stale {
            self.current
                .insert(key.as_slice(), (*created, *modified, value.as_slice()))?;
        }
        let next = match last {
            // Nothing lies between a key and the same key with a NUL.
            Some(last) if looked_at == entries_max => ResealPlace::Current([last, vec![0]].concat()),
            _ => ResealPlace::History(Vec::new(), 0),
        };
        Ok((Some(next), !stale.is_empty()))
    }

    fn reseal_history(
        &mut self,
        from: &[u8],
        revision: Revision,
        entries_max: usize,
    ) -> Result<(Option<ResealPlace>, bool), StorageFailure> {
        let mut stale = Vec::new();
        let mut last = None;
        let mut looked_at = 0;
        for entry in self.history.range((from, revision)..)?.take(entries_max) {
            let (id, version) = entry?;
            let ((key, modified), (replaced, created, value)) = (id.value(), version.value());
            looked_at += 1;
            last = Some((key.to_vec(), modified));
            if let Some(value) = in_form(self.seal, key, modified, value)? {
                stale.push(((key.to_vec(), modified), (replaced, created, value)));
            }
        }
        for ((key, modified), (replaced, created, value)) in &stale {
            self.history
                .insert((key.as_slice(), *modified), (*replaced, *created, value.as_slice()))?;
        }
        let next = match last {
            Some((key, modified)) if looked_at == entries_max => Some(ResealPlace::History(key, modified + 1)),
            _ => None,
        };
        Ok((next, !stale.is_empty()))
    }
}

/// The value in the form that it would get now, if it has another.
fn in_form(seal: &Seal, key: &[u8], modified: Revision, value: &[u8]) -> Result<Option<Vec<u8>>, StorageFailure> {
    if !seal.is_stale(key, value) {
        return Ok(None);
    }
    let plain = seal.read(|| Cow::Borrowed(key), modified, value)?;
    Ok(Some(seal.close(key, modified, &plain)?.into_owned()))
}

/// How far values have been brought into form: the first key, or version, that has not been looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum ResealPlace {
    Current(Vec<u8>),
    History(Vec<u8>, u64),
}

impl ResealPlace {
    pub(super) fn start() -> ResealPlace {
        ResealPlace::Current(Vec::new())
    }
}

impl Records for Tables<'_> {
    type Error = StorageFailure;

    fn current(&self, key: &StoreKey) -> Result<Option<Stored>, StorageFailure> {
        let bytes = encode_key(key);
        let Some(found) = self.current.get(bytes.as_slice())? else {
            return Ok(None);
        };
        let (created, modified, value) = found.value();
        Ok(Some(Stored {
            key: key.clone(),
            value: self.seal.read(|| Cow::Borrowed(&bytes), modified, value)?,
            created,
            modified,
        }))
    }
}
