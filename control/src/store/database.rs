//! The database file: opening, initializing, and opening again after the disk failed.
//!
//! redb refuses all work on a handle that met an I/O error, since it cannot know what reached the disk. Opening the
//! file again finds the last complete commit; this is what makes a full disk survivable. A process that dies while it
//! makes a new file leaves one that redb refuses for good; it holds nothing, and is made again.
//!
//! Invariant: only the writer thread replaces the handle, and never while it has a transaction.

use std::{
    error::Error,
    fmt,
    fs::{File, OpenOptions, TryLockError},
    io,
    os::unix::fs::OpenOptionsExt,
    path::Path,
    sync::Arc,
};

use parking_lot::RwLock;
use redb::{ReadTransaction, ReadableDatabase, StorageBackend, WriteTransaction, backends::FileBackend};

use super::{
    OpenError,
    seal::Seal,
    tables::{self, FORMAT, META_COMPACTED, META_FORMAT, META_REVISION, META_SEAL_KEY, Marks, Tables},
};

/// Revision of a new store: the first change is number 2. Zero means "any" to Kubernetes clients, so that not even
/// the list of an empty store may carry it.
const FIRST_REVISION: u64 = 1;

/// redb's mark at the start of a file.
const MARK_BYTES: usize = 9;
/// redb's header, mark included.
const HEADER_BYTES: usize = 512;
/// Bytes read at once of a file that may be unfinished.
const UNFINISHED_CHUNK_BYTES: usize = 4096;

/// The disk or the database on it failed.
#[derive(Clone)]
pub struct StorageFailure(Arc<redb::Error>);

impl StorageFailure {
    pub(super) fn corrupt(what: &str) -> StorageFailure {
        StorageFailure(Arc::new(redb::Error::Corrupted(what.to_owned())))
    }

    /// Whether the cause is that the disk (or a quota on it) is full.
    #[must_use]
    pub fn is_disk_full(&self) -> bool {
        matches!(
            &*self.0,
            redb::Error::Io(error)
                if matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
        )
    }
}

impl fmt::Debug for StorageFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl fmt::Display for StorageFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl Error for StorageFailure {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.0.source()
    }
}

macro_rules! failure_from {
    ($($source:ty),* $(,)?) => {
        $(impl From<$source> for StorageFailure {
            fn from(error: $source) -> StorageFailure {
                StorageFailure(Arc::new(error.into()))
            }
        })*
    };
}

failure_from!(
    redb::Error,
    redb::StorageError,
    redb::TableError,
    redb::TransactionError,
    redb::DatabaseError,
    redb::CommitError,
    redb::SetDurabilityError,
);

/// Opens the file; called again after each failure.
pub(super) type Opener = Box<dyn Fn() -> Result<redb::Database, redb::DatabaseError> + Send + Sync>;

/// The open file, or none while the disk does not let it be opened.
pub(super) struct Database {
    open_file: Opener,
    file: RwLock<Option<redb::Database>>,
    pub(super) seal: Seal,
}

impl Database {
    pub(super) fn open(path: &Path, cache_bytes: usize, seal: Seal) -> Result<Database, OpenError> {
        let file = path.to_owned();
        create_private(path).map_err(|error| OpenError::Database {
            path: path.to_owned(),
            source: redb::Error::Io(error).into(),
        })?;
        let opener = Box::new(move || open_file(&file, cache_bytes));
        Database::with_opener(opener, seal).map_err(|source| OpenError::Database {
            path: path.to_owned(),
            source,
        })
    }

    pub(super) fn with_opener(open_file: Opener, seal: Seal) -> Result<Database, StorageFailure> {
        let file = open_file()?;
        Ok(Database {
            open_file,
            file: RwLock::new(Some(file)),
            seal,
        })
    }

    /// Creates the tables of a new file, unless there must have been one; answers the marks of the file.
    pub(super) fn initialize(&self, path: &Path, must_exist: bool) -> Result<Marks, OpenError> {
        let failed = |source| OpenError::Database {
            path: path.to_owned(),
            source,
        };
        let (format, seal_key) = self
            .write(|transaction| {
                let mut tables = Tables::open(transaction, &self.seal)?;
                let format = tables.meta(META_FORMAT)?;
                if format.is_none() && must_exist {
                    return Ok(((None, None), false));
                }
                let seal_key = tables.meta(META_SEAL_KEY)?;
                if format.is_none() {
                    tables.mark(META_FORMAT, FORMAT)?;
                    tables.mark(META_REVISION, FIRST_REVISION)?;
                    tables.mark(META_COMPACTED, FIRST_REVISION)?;
                }
                // Before the first value is written with it; a key that replaced it is noted when no value needs the
                // old one any more.
                let first_key = seal_key.is_none() && tables.mark_seal_key()?;
                Ok(((format, seal_key), format.is_none() || first_key))
            })
            .map_err(|failed_write| failed(failed_write.failure))?;
        if format.is_none() && must_exist {
            return Err(OpenError::Lost { path: path.to_owned() });
        }
        if let Some(found) = format.filter(|found| *found != FORMAT) {
            return Err(OpenError::Format {
                path: path.to_owned(),
                found,
                supported: FORMAT,
            });
        }
        if let Some(key) = seal_key.filter(|key| !u32::try_from(*key).is_ok_and(|key| self.seal.knows(key))) {
            return Err(OpenError::KeyMissing {
                path: path.to_owned(),
                key,
            });
        }
        self.read(tables::marks).map_err(failed)
    }

    /// Runs `work` on a snapshot of the newest commit. `work` must be short: it holds off reopening.
    pub(super) fn read<T>(
        &self,
        work: impl FnOnce(&ReadTransaction) -> Result<T, StorageFailure>,
    ) -> Result<T, StorageFailure> {
        let file = self.file.read();
        let file = file.as_ref().ok_or_else(closed)?;
        work(&file.begin_read()?)
    }

    /// Runs `work` in a transaction, and commits it durably if `work` says so with `true`.
    pub(super) fn write<T>(
        &self,
        work: impl FnOnce(&WriteTransaction) -> Result<(T, bool), StorageFailure>,
    ) -> Result<T, FailedWrite<T>> {
        let before = |failure| FailedWrite { failure, staged: None };
        let file = self.file.read();
        let file = file.as_ref().ok_or_else(|| before(closed()))?;
        let mut transaction = file.begin_write().map_err(|error| before(error.into()))?;
        // Implies two phases: the commit that is found after a crash is complete without checking every page, and
        // opening needs no walk over the whole file.
        transaction.set_quick_repair(true);
        let (staged, dirty) = work(&transaction).map_err(before)?;
        if !dirty {
            transaction.abort().map_err(|error| before(error.into()))?;
            return Ok(staged);
        }
        match transaction.commit() {
            Ok(()) => Ok(staged),
            Err(error) => Err(FailedWrite {
                failure: error.into(),
                staged: Some(staged),
            }),
        }
    }

    /// Opens the file again after a failure and answers what it holds. Only the writer thread may call this.
    pub(super) fn reopen(&self) -> Result<Marks, StorageFailure> {
        {
            let mut file = self.file.write();
            // Dropped before the new one is opened: the file is locked by its handle.
            *file = None;
            *file = Some((self.open_file)()?);
        }
        self.read(tables::marks)
    }

    /// Makes what the file holds durable. Needed after a commit whose sync failed although its bytes can be read.
    pub(super) fn settle(&self) -> Result<(), StorageFailure> {
        self.write(|transaction| {
            let mut tables = Tables::open(transaction, &self.seal)?;
            tables.mark(META_FORMAT, FORMAT)?;
            Ok(((), true))
        })
        .map_err(|failed| failed.failure)
    }

    /// Closes the file; everything after answers a failure.
    pub(super) fn close(&self) {
        if let Some(file) = self.file.write().take()
            && let Err(error) = file.close()
        {
            tracing::warn!(
                error = &error as &dyn Error,
                "closing the store left it to be recovered"
            );
        }
    }
}

/// Opens the file that [`create_private`] made; finishes what a process that was killed while it made the file has
/// left. A file that is gone is not made again: the store would go on without what it acknowledged.
fn open_file(path: &Path, cache_bytes: usize) -> Result<redb::Database, redb::DatabaseError> {
    let file = OpenOptions::new().read(true).write(true).open(path)?;
    let lock = file.try_clone()?;
    let backend = FileBackend::new(file)?;
    if !is_unfinished(&backend)? {
        return builder(cache_bytes).create_with_backend(backend);
    }
    // Only under redb's own lock, and looked at again: another process may be making the file just now.
    match lock.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => return Err(redb::DatabaseError::DatabaseAlreadyOpen),
        Err(TryLockError::Error(error)) => return Err(error.into()),
    }
    let emptied = empty_if_unfinished(&backend);
    lock.unlock()?;
    emptied?;
    builder(cache_bytes).create_with_backend(backend)
}

/// Opens or creates the database on a backend that nobody else has open.
#[cfg(test)]
pub(super) fn create_on(
    backend: impl StorageBackend,
    cache_bytes: usize,
) -> Result<redb::Database, redb::DatabaseError> {
    empty_if_unfinished(&backend)?;
    builder(cache_bytes).create_with_backend(backend)
}

fn builder(cache_bytes: usize) -> redb::Builder {
    let mut builder = redb::Database::builder();
    builder.set_cache_size(cache_bytes);
    builder
}

fn empty_if_unfinished(backend: &impl StorageBackend) -> io::Result<()> {
    if is_unfinished(backend)? {
        backend.set_len(0)?;
    }
    Ok(())
}

/// Whether the making of the file was cut short: redb marks a file last, and never opens one that has length but no
/// mark. True only if there is nothing behind the header, so that no damage to a store's file looks like this.
fn is_unfinished(backend: &impl StorageBackend) -> io::Result<bool> {
    let length = backend.len()?;
    if length == 0 {
        return Ok(false);
    }
    let mut chunk = [0; UNFINISHED_CHUNK_BYTES];
    let mut offset = 0;
    while offset < length {
        let bytes = chunk.len().min(usize::try_from(length - offset).unwrap_or(usize::MAX));
        backend.read(offset, &mut chunk[..bytes])?;
        let empty = if offset == 0 { MARK_BYTES.min(bytes) } else { 0 };
        let data = if offset == 0 { HEADER_BYTES.min(bytes) } else { 0 };
        if chunk[..empty].iter().chain(&chunk[data..bytes]).any(|byte| *byte != 0) {
            return Ok(false);
        }
        offset += bytes as u64;
    }
    Ok(true)
}

/// Creates the file if there is none: readable by its owner only, since it holds secrets, and durable under its name.
fn create_private(path: &Path) -> io::Result<()> {
    match OpenOptions::new().write(true).create_new(true).mode(0o600).open(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(error),
        Ok(_) => match path.parent() {
            Some(directory) if !directory.as_os_str().is_empty() => File::open(directory)?.sync_all(),
            _ => File::open(".")?.sync_all(),
        },
    }
}

/// A transaction failed.
pub(super) struct FailedWrite<T> {
    pub(super) failure: StorageFailure,
    /// Present if the failure was in the commit itself: it may have reached the disk.
    pub(super) staged: Option<T>,
}

fn closed() -> StorageFailure {
    redb::StorageError::DatabaseClosed.into()
}
