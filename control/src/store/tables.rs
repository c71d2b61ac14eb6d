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
//! | meta | `revision`, `compacted`, `format` | number |
//!
//! An object's key is its collection, namespace and name, each but the last followed by a NUL: a collection and a
//! namespace are ranges. Never here: transactions.

use bytes::Bytes;
use redb::{ReadTransaction, ReadableTable, Table, TableDefinition, WriteTransaction};

use super::{Change, Revision, StoreKey, Stored, database::StorageFailure, machine::Records};

/// Version of this layout.
pub(super) const FORMAT: u64 = 1;

/// Name in `meta` of the newest revision.
pub(super) const META_REVISION: &str = "revision";
/// Name in `meta` of the newest revision whose log and replaced versions are gone.
pub(super) const META_COMPACTED: &str = "compacted";
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
    current: Table<'txn, KeyBytes, Version>,
    history: Table<'txn, VersionId, Version>,
    log: Table<'txn, u64, LogEntry>,
    meta: Table<'txn, &'static str, u64>,
}

impl<'txn> Tables<'txn> {
    pub(super) fn open(transaction: &'txn WriteTransaction) -> Result<Tables<'txn>, StorageFailure> {
        Ok(Tables {
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

    /// Writes one change and its log entry; the caller sets the revision mark.
    pub(super) fn write(&mut self, change: &Change) -> Result<(), StorageFailure> {
        let key = encode_key(&change.key);
        if let Some(before) = &change.before {
            self.history.insert(
                (key.as_slice(), before.modified),
                (change.revision, before.created, before.value.as_ref()),
            )?;
        }
        match &change.after {
            Some(after) => {
                self.current
                    .insert(key.as_slice(), (after.created, after.modified, after.value.as_ref()))?;
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
}

impl Records for Tables<'_> {
    type Error = StorageFailure;

    fn current(&self, key: &StoreKey) -> Result<Option<Stored>, StorageFailure> {
        let found = self.current.get(encode_key(key).as_slice())?;
        Ok(found.map(|guard| {
            let (created, modified, value) = guard.value();
            Stored {
                key: key.clone(),
                value: Bytes::copy_from_slice(value),
                created,
                modified,
            }
        }))
    }
}
