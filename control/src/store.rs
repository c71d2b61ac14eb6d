//! The store: every object of the cluster in one durable, ordered history of revisions.
//!
//! One revision counter numbers all changes; it is the API's resourceVersion. Objects are opaque bytes under
//! (collection, namespace, name). Writes are commands applied by a deterministic state machine ([`machine`]) on one
//! writer thread, which makes everything that waits durable with one sync. Reads take a snapshot for as long as one
//! call lasts, never longer. Watches are fed from the log until they have caught up, and live from then on.
//!
//! Never here: what the bytes mean, HTTP, a decision about objects.
//! Source: etcd's MVCC semantics as Kubernetes relies on them; redb's design document for the durability of commits.

mod compaction;
mod database;
mod hub;
pub mod machine;
mod meter;
mod read;
mod seal;
mod tables;
mod watcher;
mod writer;

use std::{
    collections::BTreeMap,
    fmt,
    path::PathBuf,
    sync::{Arc, OnceLock, mpsc},
    time::Duration,
};

use bytes::Bytes;
use tokio::sync::{Semaphore, oneshot};

pub(crate) use self::meter::StoreMeter;
use self::{database::Database, hub::Hub, seal::Seal, writer::Request};
pub use self::{
    database::StorageFailure,
    read::{Census, Count, ListRequest, Page},
    seal::{KeyFileError, SealConfig},
    watcher::{WatchEnd, WatchEvent, Watcher},
};

/// Number of a change, ascending over the whole store; the API's resourceVersion. Never reused, never zero.
pub type Revision = u64;

/// Commands that may wait for the writer; more wait outside. Bounds the memory of a burst: a batch is at most a
/// quarter of it, so the writer never starves while the queue refills.
const QUEUED_COMMANDS_MAX: usize = 1024;

/// Bytes of one command. Kubernetes refuses request bodies above 3 MiB; a command may hold a few objects.
pub const COMMAND_BYTES_MAX: usize = 8 << 20;

/// Pages kept in memory by default: those of some ten thousand pods, which are listed in a fraction of the time that their
/// pages take from the kernel one by one. A small cluster's file is smaller, and so is what is kept of it.
const CACHE_BYTES: usize = 64 << 20;

/// How often history is cut by default, as in Kubernetes: clients may continue a list or a watch for at least this long.
const COMPACTION_INTERVAL: Duration = Duration::from_secs(300);

/// Revisions that compaction always leaves by default, so that a quiet cluster's clients can resume after hours.
const KEPT_REVISIONS: u64 = 1000;

/// Where an object is kept.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StoreKey {
    /// `pods`, `apps/deployments`: see [`api::Kind::collection`].
    pub collection: String,
    /// Empty for cluster scope.
    pub namespace: String,
    /// The object's name.
    pub name: String,
}

impl StoreKey {
    /// The key of `namespace/name` in `collection`; pass an empty namespace for cluster scope.
    #[must_use]
    pub fn new(collection: impl Into<String>, namespace: impl Into<String>, name: impl Into<String>) -> StoreKey {
        StoreKey {
            collection: collection.into(),
            namespace: namespace.into(),
            name: name.into(),
        }
    }
}

impl fmt::Display for StoreKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ", self.collection)?;
        if !self.namespace.is_empty() {
            write!(f, "{}/", self.namespace)?;
        }
        f.write_str(&self.name)
    }
}

/// One version of an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    /// Where it is kept.
    pub key: StoreKey,
    /// The object, JSON without `metadata.resourceVersion`; opaque here.
    pub value: Bytes,
    /// Revision of its creation.
    pub created: Revision,
    /// Revision of this version: its resourceVersion.
    pub modified: Revision,
}

/// What must be true of an object for a [`Write`] to go through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expect {
    /// Nothing.
    Anything,
    /// No such object.
    Absent,
    /// Any version of it.
    Present,
    /// Exactly this version: its [`Stored::modified`].
    At(Revision),
}

/// What a [`Write`] does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Op {
    /// Create or replace.
    Put(Bytes),
    /// Remove. Removing what is absent (with [`Expect::Anything`]) changes nothing and takes no revision.
    Delete,
    /// Only verify the expectation.
    Check,
}

/// One step of a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Write {
    /// The object.
    pub key: StoreKey,
    /// What must be true before.
    pub expect: Expect,
    /// What is done.
    pub op: Op,
}

/// One change of one object.
#[derive(Debug)]
pub struct Change {
    /// Its number.
    pub revision: Revision,
    /// The object.
    pub key: StoreKey,
    /// The version before; absent for a creation.
    pub before: Option<Stored>,
    /// The version after; absent for a deletion.
    pub after: Option<Stored>,
    rendered: OnceLock<Bytes>,
}

impl Change {
    pub(crate) fn new(revision: Revision, key: StoreKey, before: Option<Stored>, after: Option<Stored>) -> Change {
        Change {
            revision,
            key,
            before,
            after,
            rendered: OnceLock::new(),
        }
    }

    /// Bytes made from this change once and shared by all who watch it, for example the object with its
    /// resourceVersion. Everyone must pass a `render` of the same meaning.
    pub fn rendered(&self, render: impl FnOnce(&Change) -> Bytes) -> &Bytes {
        self.rendered.get_or_init(|| render(self))
    }
}

/// How a store is opened. [`StoreConfig::new`] has the defaults.
#[derive(Debug, Clone)]
pub struct StoreConfig {
    /// The database file; created if it does not exist. Its directory must.
    pub path: PathBuf,
    /// Upper bound of cached pages, bytes.
    pub cache_bytes: usize,
    /// How often history older than the interval is cut.
    pub compaction_interval: Duration,
    /// Revisions that compaction always leaves.
    pub kept_revisions: u64,
    /// Which values are encrypted in the file; none if absent.
    pub seal: Option<SealConfig>,
    /// The store was there before: a file without one is refused and left as it is, since it would be a store that has
    /// lost everything.
    pub must_exist: bool,
}

impl StoreConfig {
    /// The defaults for the file at `path`.
    #[must_use]
    pub fn new(path: impl Into<PathBuf>) -> StoreConfig {
        StoreConfig {
            path: path.into(),
            cache_bytes: CACHE_BYTES,
            compaction_interval: COMPACTION_INTERVAL,
            kept_revisions: KEPT_REVISIONS,
            seal: None,
            must_exist: false,
        }
    }
}

/// The store could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The file cannot be opened, is in use by another process, is not a database, or is damaged.
    #[error("open database {path}")]
    Database {
        /// The file.
        path: PathBuf,
        /// What redb said.
        #[source]
        source: StorageFailure,
    },
    /// The file was written by another version of the store.
    #[error("database {path} has format {found}; this version reads {supported}")]
    Format {
        /// The file.
        path: PathBuf,
        /// Its format.
        found: u64,
        /// Ours.
        supported: u64,
    },
    /// The store was there before, and is not there now.
    #[error("database {path} is gone or empty, although there was one")]
    Lost {
        /// The file.
        path: PathBuf,
    },
    /// The keys of encrypted values cannot be used.
    #[error(transparent)]
    Keys(#[from] KeyFileError),
    /// The keys are not the ones that values are encrypted with: their file was lost, or is another store's.
    #[error(
        "values in {path} are encrypted with key {key:08x}, which is not there; restore the key file from a backup"
    )]
    KeyMissing {
        /// The database.
        path: PathBuf,
        /// The key's id.
        key: u64,
    },
    /// The writer thread could not be started.
    #[error("start the writer thread")]
    Thread(#[source] std::io::Error),
}

/// A command was not carried out.
#[derive(Debug, Clone, thiserror::Error)]
pub enum CommitError {
    /// An expectation did not hold; nothing was written. Read again and decide anew.
    #[error("{key} is not as expected")]
    Conflict {
        /// The first object whose expectation failed.
        key: StoreKey,
        /// What is there instead.
        current: Option<Stored>,
    },
    /// The command can never be carried out: a key named twice or with a NUL, or more bytes than
    /// [`COMMAND_BYTES_MAX`].
    #[error("refused: {0}")]
    Refused(&'static str),
    /// The disk is full; nothing was written. The same command works once there is room. A deletion needs room, too: the
    /// version that it deletes is kept for watchers until compaction.
    #[error(
        "no space left on the store's disk: free some or make the disk larger, then try again; deletions need a little room, too, and nothing that was stored is lost"
    )]
    DiskFull(#[source] StorageFailure),
    /// The disk failed; nothing was written.
    #[error("write to the store")]
    Storage(#[source] StorageFailure),
    /// The disk failed in the last step and could not be read again: the command may or may not have been carried
    /// out. Its revision, if it has one, will be seen by watchers once the disk is back.
    #[error("write to the store: outcome unknown")]
    Unknown(#[source] StorageFailure),
    /// The store was closed.
    #[error("the store is closed")]
    Closed,
}

/// A read was not possible.
#[derive(Debug, Clone, thiserror::Error)]
pub enum ReadError {
    /// The revision's history is gone. List again.
    #[error("revision is compacted; the oldest is {oldest}")]
    Compacted {
        /// The oldest revision that can be read.
        oldest: Revision,
    },
    /// The revision has not happened yet.
    #[error("revision is in the future; the newest is {current}")]
    Future {
        /// The newest revision.
        current: Revision,
    },
    /// The disk failed.
    #[error("read from the store")]
    Storage(#[from] StorageFailure),
    /// The store was closed; nothing can be read any more.
    #[error("the store is closed")]
    Closed,
}

/// Which changes to watch.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct WatchRequest {
    /// One collection; all if absent.
    pub collection: Option<String>,
    /// One namespace; all if absent.
    pub namespace: Option<String>,
    /// Changes with a greater revision only.
    pub after: Revision,
}

/// What readers, watchers and the writer thread have in common.
struct Shared {
    database: Database,
    hub: Hub,
    meter: StoreMeter,
}

struct Handle {
    shared: Arc<Shared>,
    requests: mpsc::Sender<Request>,
    permits: Arc<Semaphore>,
    path: PathBuf,
}

/// A handle to the store; cheap to clone. The file is closed when the last handle is gone or after
/// [`Store::close`].
#[derive(Clone)]
pub struct Store {
    handle: Arc<Handle>,
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store").field("revision", &self.revision()).finish()
    }
}

impl Store {
    /// Opens the file, or creates it. After a crash this takes milliseconds, whatever the file's size.
    ///
    /// # Errors
    /// See [`OpenError`]; nothing was changed.
    pub fn open(config: StoreConfig) -> Result<Store, OpenError> {
        let seal = config.seal.as_ref().map_or_else(|| Ok(Seal::nothing()), Seal::open)?;
        let is_empty = std::fs::metadata(&config.path).is_ok_and(|file| file.len() == 0);
        if config.must_exist && (is_empty || !config.path.exists()) {
            return Err(OpenError::Lost { path: config.path });
        }
        let database = Database::open(&config.path, config.cache_bytes, seal)?;
        Store::start(database, &config)
    }

    fn start(database: Database, config: &StoreConfig) -> Result<Store, OpenError> {
        let marks = database.initialize(&config.path, config.must_exist)?;
        let shared = Arc::new(Shared {
            database,
            hub: Hub::new(marks.revision),
            meter: StoreMeter::new(),
        });
        let requests = writer::spawn(shared.clone(), marks, config).map_err(OpenError::Thread)?;
        Ok(Store {
            handle: Arc::new(Handle {
                shared,
                requests,
                permits: Arc::new(Semaphore::new(QUEUED_COMMANDS_MAX)),
                path: config.path.clone(),
            }),
        })
    }

    /// Carries out all of `writes` or none. When this returns, the result is durable and every watcher has been
    /// handed it.
    ///
    /// Answers one revision per write, in order: that of the change for a put or a removal, the store's for a check
    /// or the removal of nothing. Waits while too many commands are queued; a caller that stops
    /// waiting before that has written nothing, later the command may still be carried out.
    ///
    /// # Errors
    /// See [`CommitError`] for what was written.
    pub async fn commit(&self, writes: Vec<Write>) -> Result<Vec<Revision>, CommitError> {
        machine::admit(&writes).map_err(CommitError::Refused)?;
        let permit = self
            .handle
            .permits
            .clone()
            .acquire_owned()
            .await
            .map_err(|_| CommitError::Closed)?;
        let (reply, answer) = oneshot::channel();
        self.handle
            .requests
            .send(Request::Commit { writes, reply, permit })
            .map_err(|_| CommitError::Closed)?;
        answer.await.unwrap_or(Err(CommitError::Closed))
    }

    /// The object, now or as it was at a revision.
    ///
    /// # Errors
    /// When the revision is compacted or in the future, or the disk fails.
    pub fn get(&self, key: &StoreKey, at: Option<Revision>) -> Result<Option<Stored>, ReadError> {
        self.watched(read::get(&self.handle.shared.database, key, at))
    }

    /// A page of a collection, ordered by namespace and name, now or as it was at a revision.
    ///
    /// # Errors
    /// When the revision is compacted or in the future, or the disk fails.
    pub fn list(&self, request: &ListRequest) -> Result<Page, ReadError> {
        self.watched(read::list(&self.handle.shared.database, request))
    }

    /// How many objects each namespace has of each collection, now. Costs a look at every key.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn census(&self) -> Result<Census, ReadError> {
        self.watched(read::census(&self.handle.shared.database))
    }

    /// The changes after a revision: first from the log, then as they happen.
    ///
    /// # Errors
    /// When the revision is compacted or in the future, or the disk fails.
    pub fn watch(&self, request: WatchRequest) -> Result<Watcher, ReadError> {
        self.watched(Watcher::start(self.handle.shared.clone(), request))
    }

    /// How many objects each collection has. Costs a walk over all keys.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn counts(&self) -> Result<BTreeMap<String, u64>, ReadError> {
        self.watched(read::counts(&self.handle.shared.database))
    }

    /// Bytes of the file; 0 if it cannot be looked at.
    #[must_use]
    pub fn size_bytes(&self) -> u64 {
        std::fs::metadata(&self.handle.path).map_or(0, |file| file.len())
    }

    /// What is counted.
    #[must_use]
    pub(crate) fn meter(&self) -> &StoreMeter {
        &self.handle.shared.meter
    }

    /// The newest revision that watchers have been handed.
    #[must_use]
    pub fn revision(&self) -> Revision {
        self.handle.shared.hub.revision()
    }

    /// Returns once [`Store::revision`] is at least this, or the store is closed.
    pub async fn wait_for(&self, revision: Revision) {
        self.handle.shared.hub.wait_for(revision).await;
    }

    /// The oldest revision that can be read.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn oldest(&self) -> Result<Revision, ReadError> {
        self.watched(read::oldest(&self.handle.shared.database))
    }

    /// Cuts history up to `through`, or as far as the number of kept revisions allows.
    ///
    /// # Errors
    /// When the disk fails or the store is closed; what was cut until then stays cut.
    pub async fn compact(&self, through: Revision) -> Result<(), CommitError> {
        let (reply, answer) = oneshot::channel();
        self.handle
            .requests
            .send(Request::Compact { through, reply })
            .map_err(|_| CommitError::Closed)?;
        answer.await.unwrap_or(Err(CommitError::Closed))
    }

    /// Finishes what is queued, ends all watches and closes the file. Later writes answer [`CommitError::Closed`].
    pub async fn close(&self) {
        let (reply, closed) = oneshot::channel();
        if self.handle.requests.send(Request::Close { reply }).is_ok() {
            // An error means that the writer is gone already: closed all the same.
            let _ = closed.await;
        }
    }

    /// A failed read leaves the database handle unusable until it is opened again, which only the writer may do.
    fn watched<T>(&self, result: Result<T, ReadError>) -> Result<T, ReadError> {
        if matches!(result, Err(ReadError::Storage(_))) && self.handle.requests.send(Request::Reopen).is_err() {
            return Err(ReadError::Closed);
        }
        result
    }
}

#[cfg(test)]
mod tests;
