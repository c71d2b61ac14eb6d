//! The database file: opening, initializing, and opening again after the disk failed.
//!
//! redb refuses all work on a handle that met an I/O error, since it cannot know what reached the disk. Opening the
//! file again finds the last complete commit; this is what makes a full disk survivable.
//!
//! Invariant: only the writer thread replaces the handle, and never while it has a transaction.

use std::{
    error::Error,
    fmt,
    fs::{File, OpenOptions},
    io,
    os::unix::fs::OpenOptionsExt,
    path::Path,
    sync::Arc,
};

use parking_lot::RwLock;
use redb::{ReadTransaction, ReadableDatabase, WriteTransaction};

use super::{
    OpenError,
    seal::Seal,
    tables::{self, FORMAT, META_COMPACTED, META_FORMAT, META_REVISION, META_SEAL_KEY, Marks, Tables},
};

/// Revision of a new store: the first change is number 2. Zero means "any" to Kubernetes clients, so that not even
/// the list of an empty store may carry it.
const FIRST_REVISION: u64 = 1;

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
        let opener = Box::new(move || redb::Database::builder().set_cache_size(cache_bytes).create(&file));
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

    /// Creates the tables of a new file; answers the marks of the file.
    pub(super) fn initialize(&self, path: &Path) -> Result<Marks, OpenError> {
        let failed = |source| OpenError::Database {
            path: path.to_owned(),
            source,
        };
        let (format, seal_key) = self
            .write(|transaction| {
                let mut tables = Tables::open(transaction, &self.seal)?;
                let format = tables.meta(META_FORMAT)?;
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
