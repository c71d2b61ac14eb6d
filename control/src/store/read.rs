//! Reads at a revision: one object, a page of a collection, a part of the log.
//!
//! Each call takes its own snapshot and lets it go. The version of an object at revision R is the current one if
//! that is not newer than R, else the one in the history that was replaced after R.

use std::{borrow::Cow, cmp::Ordering, collections::BTreeMap, ops::Bound, sync::Arc};

use redb::{ReadOnlyTable, ReadTransaction, ReadableTable as _};

use super::{
    Change, ReadError, Revision, StorageFailure, StoreKey, Stored,
    database::Database,
    seal::Seal,
    tables::{self, CURRENT, HISTORY, KeyBytes, LOG, VersionId},
};

/// Which page of a collection.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ListRequest {
    /// The collection.
    pub collection: String,
    /// One namespace; all if absent.
    pub namespace: Option<String>,
    /// As it was at this revision; the newest if absent.
    pub at: Option<Revision>,
    /// Begin behind this key.
    pub after: Option<StoreKey>,
    /// At most so many items; all if absent.
    pub limit: Option<usize>,
    /// Count what is behind the page. Costs a look at every key of it.
    pub counts_rest: bool,
}

/// A page of a collection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// Ordered by namespace and name.
    pub items: Vec<Stored>,
    /// The revision the page shows, and the one to continue at.
    pub revision: Revision,
    /// Items behind this page, if the request has them counted.
    pub remaining: Option<usize>,
    /// Whether there are any.
    pub more: bool,
}

/// How many objects there are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Census {
    /// At which revision.
    pub revision: Revision,
    /// By collection and namespace.
    pub counts: Vec<Count>,
}

/// How many objects a namespace has of a collection; the namespace is empty for objects of cluster scope.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Count {
    /// The collection.
    pub collection: String,
    /// The namespace.
    pub namespace: String,
    /// Their number.
    pub objects: i64,
}

/// A part of the log.
pub(super) struct LogPart {
    pub(super) changes: Vec<Arc<Change>>,
    /// No other change up to this revision concerns the request.
    pub(super) through: Revision,
}

type Current = ReadOnlyTable<KeyBytes, tables::Version>;
type History = ReadOnlyTable<VersionId, tables::Version>;

/// Whether a revision can be read.
pub(super) fn check(database: &Database, at: Revision) -> Result<(), ReadError> {
    snapshot(database, Some(at), |_, _| Ok(()))
}

/// How many objects each collection has.
pub(super) fn counts(database: &Database) -> Result<BTreeMap<String, u64>, ReadError> {
    snapshot(database, None, |transaction, _| {
        let current = transaction.open_table(CURRENT).map_err(StorageFailure::from)?;
        let mut counts = BTreeMap::new();
        for entry in current.iter().map_err(StorageFailure::from)? {
            let (key, _) = entry.map_err(StorageFailure::from)?;
            let collection = tables::collection_of(key.value());
            let collection = String::from_utf8_lossy(collection);
            match counts.get_mut(collection.as_ref()) {
                Some(count) => *count += 1,
                None => {
                    counts.insert(collection.into_owned(), 1);
                }
            }
        }
        Ok(counts)
    })
}

/// The oldest revision that can be read.
pub(super) fn oldest(database: &Database) -> Result<Revision, ReadError> {
    Ok(database.read(tables::marks)?.compacted)
}

pub(super) fn get(database: &Database, key: &StoreKey, at: Option<Revision>) -> Result<Option<Stored>, ReadError> {
    let seal = &database.seal;
    snapshot(database, at, |transaction, at| {
        let bytes = tables::encode_key(key);
        if let Some(found) = transaction.open_table(CURRENT)?.get(bytes.as_slice())? {
            let (created, modified, value) = found.value();
            if modified <= at {
                return stored(seal, key.clone(), created, modified, value).map(Some);
            }
        }
        let history = transaction.open_table(HISTORY)?;
        let last = history
            .range((bytes.as_slice(), 0)..=(bytes.as_slice(), at))?
            .next_back();
        let Some(entry) = last else { return Ok(None) };
        let (id, version) = entry?;
        let (replaced, created, value) = version.value();
        if replaced <= at {
            return Ok(None);
        }
        stored(seal, key.clone(), created, id.value().1, value).map(Some)
    })
}

pub(super) fn list(database: &Database, request: &ListRequest) -> Result<Page, ReadError> {
    snapshot(database, request.at, |transaction, at| {
        let (start, end) = tables::range(&request.collection, request.namespace.as_deref());
        let start = match &request.after {
            // Behind a key means at or behind the key and a NUL, which no key continues with.
            Some(after) => start.max([tables::encode_key(after), vec![0]].concat()),
            None => start,
        };
        let limit = request.limit.unwrap_or(usize::MAX);
        let mut page = Page {
            items: Vec::new(),
            revision: at,
            remaining: request.counts_rest.then_some(0),
            more: false,
        };
        let newest = tables::marks(transaction)?.revision;
        let mut versions = Versions::open(transaction, &start, &end, at, newest)?;
        while let Some(version) = versions.next()? {
            if page.items.len() < limit {
                page.items.push(version.read(&database.seal)?);
                continue;
            }
            page.more = true;
            match &mut page.remaining {
                Some(remaining) => *remaining += 1,
                None => break,
            }
        }
        Ok(page)
    })
}

pub(super) fn census(database: &Database) -> Result<Census, ReadError> {
    snapshot(database, None, |transaction, revision| {
        let mut counts: Vec<Count> = Vec::new();
        for entry in transaction.open_table(CURRENT)?.range::<&[u8]>(..)? {
            let key = tables::decode_key(entry?.0.value())?;
            match counts.last_mut() {
                Some(last) if last.collection == key.collection && last.namespace == key.namespace => last.objects += 1,
                _ => counts.push(Count {
                    collection: key.collection,
                    namespace: key.namespace,
                    objects: 1,
                }),
            }
        }
        Ok(Census { revision, counts })
    })
}

/// Changes after a revision, from at most `entries_max` log entries.
pub(super) fn log(
    database: &Database,
    collection: Option<&str>,
    namespace: Option<&str>,
    after: Revision,
    entries_max: usize,
) -> Result<LogPart, ReadError> {
    snapshot(database, Some(after), |transaction, _| {
        let current = transaction.open_table(CURRENT)?;
        let history = transaction.open_table(HISTORY)?;
        let newest = tables::marks(transaction)?.revision;
        let mut changes = Vec::new();
        let mut entries = 0;
        let mut last = after;
        for entry in transaction.open_table(LOG)?.range(after + 1..)?.take(entries_max) {
            let (revision, entry) = entry?;
            let (bytes, exists, replaced) = entry.value();
            last = revision.value();
            entries += 1;
            let key = tables::decode_key(bytes)?;
            if collection.is_some_and(|wanted| wanted != key.collection)
                || namespace.is_some_and(|wanted| wanted != key.namespace)
            {
                continue;
            }
            let before = match replaced {
                0 => None,
                modified => Some(version(&database.seal, &current, &history, &key, bytes, modified)?),
            };
            let after = match exists {
                0 => None,
                _ => Some(version(&database.seal, &current, &history, &key, bytes, last)?),
            };
            changes.push(Arc::new(Change::new(last, key, before, after)));
        }
        Ok(LogPart {
            changes,
            through: if entries < entries_max { newest } else { last },
        })
    })
}

/// Runs `work` on a snapshot, at the asked revision or the newest.
fn snapshot<T>(
    database: &Database,
    at: Option<Revision>,
    work: impl FnOnce(&ReadTransaction, Revision) -> Result<T, StorageFailure>,
) -> Result<T, ReadError> {
    database.read(|transaction| {
        let marks = tables::marks(transaction)?;
        match at {
            Some(at) if at < marks.compacted => Ok(Err(ReadError::Compacted {
                oldest: marks.compacted,
            })),
            Some(at) if at > marks.revision => Ok(Err(ReadError::Future {
                current: marks.revision,
            })),
            _ => work(transaction, at.unwrap_or(marks.revision)).map(Ok),
        }
    })?
}

fn stored(
    seal: &Seal,
    key: StoreKey,
    created: Revision,
    modified: Revision,
    value: &[u8],
) -> Result<Stored, StorageFailure> {
    Ok(Stored {
        value: seal.read(|| Cow::Owned(tables::encode_key(&key)), modified, value)?,
        key,
        created,
        modified,
    })
}

/// Exactly this version of an object, which the log says exists.
fn version(
    seal: &Seal,
    current: &Current,
    history: &History,
    key: &StoreKey,
    bytes: &[u8],
    modified: Revision,
) -> Result<Stored, StorageFailure> {
    if let Some(found) = current.get(bytes)? {
        let (created, newest, value) = found.value();
        if newest == modified {
            return stored(seal, key.clone(), created, modified, value);
        }
    }
    let found = history
        .get((bytes, modified))?
        .ok_or_else(|| StorageFailure::corrupt("a version that the log names is missing"))?;
    let (_, created, value) = found.value();
    stored(seal, key.clone(), created, modified, value)
}

/// The versions of a range of keys at one revision, by key: `current` and `history` merged.
struct Versions {
    at: Revision,
    current: redb::Range<'static, KeyBytes, tables::Version>,
    /// Absent when the newest revision is read: then all versions are current.
    history: Option<redb::Range<'static, VersionId, tables::Version>>,
    next_current: Option<Version>,
    next_history: Option<Version>,
}

enum Version {
    Current(
        redb::AccessGuard<'static, KeyBytes>,
        redb::AccessGuard<'static, tables::Version>,
    ),
    Replaced(
        redb::AccessGuard<'static, VersionId>,
        redb::AccessGuard<'static, tables::Version>,
    ),
}

impl Version {
    fn key(&self) -> &[u8] {
        match self {
            Version::Current(key, _) => key.value(),
            Version::Replaced(id, _) => id.value().0,
        }
    }

    fn read(&self, seal: &Seal) -> Result<Stored, StorageFailure> {
        let key = tables::decode_key(self.key())?;
        match self {
            Version::Current(_, version) => {
                let (created, modified, value) = version.value();
                stored(seal, key, created, modified, value)
            }
            Version::Replaced(id, version) => {
                let (_, created, value) = version.value();
                stored(seal, key, created, id.value().1, value)
            }
        }
    }
}

impl Versions {
    fn open(
        transaction: &ReadTransaction,
        start: &[u8],
        end: &[u8],
        at: Revision,
        newest: Revision,
    ) -> Result<Versions, StorageFailure> {
        let history = if at < newest {
            let table = transaction.open_table(HISTORY)?;
            Some(table.range::<(&[u8], u64)>((Bound::Included((start, 0)), Bound::Excluded((end, 0))))?)
        } else {
            None
        };
        let current = transaction.open_table(CURRENT)?;
        let mut versions = Versions {
            at,
            current: current.range::<&[u8]>(start..end)?,
            history,
            next_current: None,
            next_history: None,
        };
        versions.advance_current()?;
        versions.advance_history()?;
        Ok(versions)
    }

    fn next(&mut self) -> Result<Option<Version>, StorageFailure> {
        let order = match (&self.next_current, &self.next_history) {
            (None, None) => return Ok(None),
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (Some(current), Some(replaced)) => current.key().cmp(replaced.key()),
        };
        // A key has one version at a revision, so the two never meet on one.
        Ok(match order {
            Ordering::Less | Ordering::Equal => {
                let version = self.next_current.take();
                self.advance_current()?;
                version
            }
            Ordering::Greater => {
                let version = self.next_history.take();
                self.advance_history()?;
                version
            }
        })
    }

    fn advance_current(&mut self) -> Result<(), StorageFailure> {
        for entry in self.current.by_ref() {
            let (key, version) = entry?;
            if version.value().1 <= self.at {
                self.next_current = Some(Version::Current(key, version));
                break;
            }
        }
        Ok(())
    }

    fn advance_history(&mut self) -> Result<(), StorageFailure> {
        for entry in self.history.iter_mut().flatten() {
            let (id, version) = entry?;
            if id.value().1 <= self.at && version.value().0 > self.at {
                self.next_history = Some(Version::Replaced(id, version));
                break;
            }
        }
        Ok(())
    }
}
