//! The one writer: takes what waits, applies it in one transaction, makes it durable with one sync, hands it to the
//! watchers, answers. Cuts history in steps between batches.
//!
//! A thread, since it blocks on the disk. Sleeps until there is a command or compaction is due.

use std::{
    collections::VecDeque,
    error::Error,
    io,
    sync::{Arc, mpsc},
    thread,
    time::Instant,
};

use tokio::sync::{OwnedSemaphorePermit, oneshot};

use super::{
    Change, CommitError, Op, Revision, Shared, StorageFailure, StoreConfig, Write,
    compaction::{STEP_ENTRIES_MAX, Schedule},
    machine::{self, Outcome},
    read,
    seal::Seal,
    tables::{META_REVISION, Marks, ResealPlace, Tables},
};

/// Commands made durable by one sync. Beyond this the sync is a small part of the batch's time.
const BATCH_COMMANDS_MAX: usize = 256;

/// Bytes of one batch: well under half of the cache, which is where redb starts to write pages early.
const BATCH_BYTES_MAX: usize = 8 << 20;

/// Log entries handed to watchers at once after the file was opened again.
const REPUBLISH_ENTRIES: usize = 256;

type Reply = oneshot::Sender<Result<Vec<Revision>, CommitError>>;

/// What the writer is asked for.
pub(super) enum Request {
    Commit {
        writes: Vec<Write>,
        reply: Reply,
        /// Returned when the command is answered: bounds the queue.
        permit: OwnedSemaphorePermit,
    },
    Compact {
        through: Revision,
        reply: oneshot::Sender<Result<(), CommitError>>,
    },
    /// A read met a failed disk.
    Reopen,
    Close {
        reply: oneshot::Sender<()>,
    },
}

struct Command {
    writes: Vec<Write>,
    reply: Reply,
    _permit: OwnedSemaphorePermit,
}

struct Writer {
    shared: Arc<Shared>,
    requests: mpsc::Receiver<Request>,
    /// Taken from the queue, to be handled next.
    held: VecDeque<Request>,
    marks: Marks,
    schedule: Schedule,
    compacting: Vec<oneshot::Sender<Result<(), CommitError>>>,
    /// Where to go on bringing values into the form that they would get now; absent when all are.
    resealing: Option<ResealPlace>,
    /// The file must be opened again before the next transaction.
    failed: bool,
}

/// Starts the writer; it ends when the last sender is gone.
pub(super) fn spawn(shared: Arc<Shared>, marks: Marks, config: &StoreConfig) -> io::Result<mpsc::Sender<Request>> {
    let (sender, requests) = mpsc::channel();
    let schedule = Schedule::new(
        config.compaction_interval,
        config.kept_revisions,
        marks.revision,
        Instant::now(),
    );
    let writer = Writer {
        resealing: shared.database.seal.is_unsettled().then(ResealPlace::start),
        shared,
        requests,
        held: VecDeque::new(),
        marks,
        schedule,
        compacting: Vec::new(),
        failed: false,
    };
    thread::Builder::new()
        .name("store-writer".to_owned())
        .spawn(move || writer.run())?;
    Ok(sender)
}

impl Writer {
    fn run(mut self) {
        while let Some(request) = self.next_request() {
            match request {
                None => self.tick(),
                Some(Request::Commit { writes, reply, permit }) => self.commit_batch(Command {
                    writes,
                    reply,
                    _permit: permit,
                }),
                Some(Request::Compact { through, reply }) => {
                    self.schedule.aim(through, self.marks.revision);
                    self.compacting.push(reply);
                }
                Some(Request::Reopen) => {
                    if let Err(error) = self.shared.database.read(super::tables::marks) {
                        tracing::warn!(error = &error as &dyn Error, "store is unreadable, opening it again");
                        self.failed = true;
                    }
                    // Logged there; tried again by the next request.
                    let _ = self.reopen_if_failed();
                }
                Some(Request::Close { reply }) => {
                    self.close();
                    // The closer may have stopped waiting.
                    let _ = reply.send(());
                    return;
                }
            }
            self.compaction_step();
            self.reseal_step();
        }
        self.close();
    }

    fn tick(&mut self) {
        let now = Instant::now();
        if now >= self.schedule.due() {
            match self.shared.database.seal.rotate_if_due() {
                Ok(false) => {}
                Ok(true) => {
                    tracing::info!("a new key encrypts the store's values; the older ones are encrypted anew");
                    self.resealing = Some(ResealPlace::start());
                }
                Err(error) => tracing::error!(
                    error = &error as &dyn Error,
                    "the store's encryption key was not replaced; tried again later"
                ),
            }
        }
        self.schedule.tick(self.marks.revision, now);
    }

    /// Brings a bounded part of the values into the form that they would get now; forgets old keys after the last.
    fn reseal_step(&mut self) {
        let Some(place) = self.resealing.take() else { return };
        let shared = Arc::clone(&self.shared);
        let database = &shared.database;
        let result = self.reopen_if_failed().and_then(|()| {
            let write = database.write(|transaction| {
                let mut tables = Tables::open(transaction, &database.seal)?;
                let (next, mut dirty) = tables.reseal(place, STEP_ENTRIES_MAX)?;
                if next.is_none() {
                    dirty |= tables.mark_seal_key()?;
                }
                Ok((next, dirty))
            });
            write.map_err(|failed| failed.failure)
        });
        match result {
            Ok(Some(next)) => self.resealing = Some(next),
            Ok(None) => match self.shared.database.seal.settle() {
                Ok(()) => tracing::info!("all values of the store are encrypted as they are to be"),
                Err(error) => tracing::error!(error = &error as &dyn Error, "old encryption keys are kept"),
            },
            Err(failure) => {
                tracing::error!(
                    error = &failure as &dyn Error,
                    "encrypting values anew has failed; it goes on after the next start"
                );
                self.failed = true;
            }
        }
    }

    fn close(&self) {
        self.shared.hub.close();
        self.shared.database.close();
    }

    /// The next request; `Some(None)` if there is something else to do first, `None` if there will be none.
    fn next_request(&mut self) -> Option<Option<Request>> {
        if let Some(held) = self.held.pop_front() {
            return Some(Some(held));
        }
        if self.compaction_is_due() || self.resealing.is_some() {
            return match self.requests.try_recv() {
                Ok(request) => Some(Some(request)),
                Err(mpsc::TryRecvError::Empty) => Some(None),
                Err(mpsc::TryRecvError::Disconnected) => None,
            };
        }
        let idle = self.schedule.due().saturating_duration_since(Instant::now());
        match self.requests.recv_timeout(idle) {
            Ok(request) => Some(Some(request)),
            Err(mpsc::RecvTimeoutError::Timeout) => Some(None),
            Err(mpsc::RecvTimeoutError::Disconnected) => None,
        }
    }

    fn commit_batch(&mut self, first: Command) {
        let mut bytes = size(&first.writes);
        let mut batch = vec![first];
        while batch.len() < BATCH_COMMANDS_MAX && bytes < BATCH_BYTES_MAX {
            match self.requests.try_recv() {
                Ok(Request::Commit { writes, reply, permit }) => {
                    bytes += size(&writes);
                    batch.push(Command {
                        writes,
                        reply,
                        _permit: permit,
                    });
                }
                Ok(other) => {
                    self.held.push_back(other);
                    break;
                }
                Err(_) => break,
            }
        }
        if let Err(failure) = self.reopen_if_failed() {
            return refuse(batch, &failure);
        }

        let revision = self.marks.revision;
        let begun = Instant::now();
        let written = self.shared.database.write(|transaction| {
            let staged = stage(transaction, &self.shared.database.seal, revision, &batch)?;
            let dirty = staged.revision > revision;
            Ok((staged, dirty))
        });
        let meter = &self.shared.meter;
        meter.batch(batch.len(), begun.elapsed(), written.is_ok());
        match written {
            Ok(staged) => {
                self.publish(&staged);
                answer(batch, staged.outcomes);
            }
            Err(failed) => {
                tracing::error!(error = &failed.failure as &dyn Error, "store write failed");
                self.failed = true;
                match (self.reopen_if_failed(), failed.staged) {
                    // The commit had reached the disk after all; `reopen_if_failed` has published it.
                    (Ok(()), Some(staged)) if self.marks.revision >= staged.revision => answer(batch, staged.outcomes),
                    (Ok(()), _) | (Err(_), None) => refuse(batch, &failed.failure),
                    (Err(_), Some(_)) => {
                        for command in batch {
                            // The caller may have stopped waiting.
                            let _ = command.reply.send(Err(CommitError::Unknown(failed.failure.clone())));
                        }
                    }
                }
            }
        }
    }

    fn publish(&mut self, staged: &Staged) {
        if staged.revision > self.marks.revision {
            self.marks.revision = staged.revision;
            self.shared.hub.publish(&staged.changes, staged.revision);
        }
    }

    /// After a failure: opens the file again and publishes what had been committed without our knowing.
    fn reopen_if_failed(&mut self) -> Result<(), StorageFailure> {
        if !self.failed {
            return Ok(());
        }
        let database = &self.shared.database;
        let unusable = |error: &StorageFailure| {
            tracing::error!(error = error as &dyn Error, "store cannot be opened again");
        };
        let marks = database.reopen().inspect_err(unusable)?;
        if marks.revision > self.marks.revision
            && let Err(failure) = database.settle()
        {
            unusable(&failure);
            // For the readers; whoever writes next tries to settle again.
            return database.reopen().and(Err(failure));
        }
        let mut published = self.marks.revision;
        while published < marks.revision {
            let part = read::log(database, None, None, published, REPUBLISH_ENTRIES).map_err(|error| match error {
                super::ReadError::Storage(failure) => failure,
                super::ReadError::Compacted { .. } | super::ReadError::Future { .. } | super::ReadError::Closed => {
                    StorageFailure::corrupt("the log lacks what was committed last")
                }
            })?;
            self.shared.hub.publish(&part.changes, part.through);
            published = part.through;
            self.marks.revision = published;
        }
        self.marks = marks;
        self.failed = false;
        tracing::info!(revision = marks.revision, "store opened again after a failure");
        Ok(())
    }

    fn compaction_is_due(&self) -> bool {
        self.schedule.goal(self.marks.compacted).is_some()
    }

    /// Cuts a bounded part of what is due, and answers those who wait for it when nothing is left.
    fn compaction_step(&mut self) {
        let result = match self.cut_some() {
            Ok(CutProgress::Partly) => return,
            Ok(CutProgress::Done) => Ok(()),
            Err(failure) => {
                tracing::error!(error = &failure as &dyn Error, "store compaction failed");
                self.schedule.give_up();
                Err(storage_error(&failure))
            }
        };
        for reply in self.compacting.drain(..) {
            // The caller may have stopped waiting.
            let _ = reply.send(result.clone());
        }
    }

    fn cut_some(&mut self) -> Result<CutProgress, StorageFailure> {
        let Some(goal) = self.schedule.goal(self.marks.compacted) else {
            return Ok(CutProgress::Done);
        };
        self.reopen_if_failed()?;
        let cut = self.shared.database.write(|transaction| {
            let mut tables = Tables::open(transaction, &self.shared.database.seal)?;
            Ok((tables.cut(goal, STEP_ENTRIES_MAX)?, true))
        });
        match cut {
            Ok(reached) => {
                self.marks.compacted = reached;
                Ok(if reached < goal {
                    CutProgress::Partly
                } else {
                    CutProgress::Done
                })
            }
            Err(failed) => {
                self.failed = true;
                Err(failed.failure)
            }
        }
    }
}

enum CutProgress {
    Partly,
    Done,
}

/// A batch as it will be once committed.
struct Staged {
    outcomes: Vec<Result<Vec<Revision>, CommitError>>,
    changes: Vec<Arc<Change>>,
    revision: Revision,
}

fn stage(
    transaction: &redb::WriteTransaction,
    seal: &Seal,
    revision: Revision,
    batch: &[Command],
) -> Result<Staged, StorageFailure> {
    let mut tables = Tables::open(transaction, seal)?;
    let mut staged = Staged {
        outcomes: Vec::with_capacity(batch.len()),
        changes: Vec::new(),
        revision,
    };
    for command in batch {
        let outcome = match machine::apply(&tables, staged.revision, &command.writes)? {
            Outcome::Conflict { key, current } => Err(CommitError::Conflict { key, current }),
            Outcome::Applied { changes, revisions } => {
                for change in changes {
                    tables.write(&change)?;
                    staged.revision = change.revision;
                    staged.changes.push(Arc::new(change));
                }
                Ok(revisions)
            }
        };
        staged.outcomes.push(outcome);
    }
    if staged.revision > revision {
        tables.mark(META_REVISION, staged.revision)?;
    }
    Ok(staged)
}

fn answer(batch: Vec<Command>, outcomes: Vec<Result<Vec<Revision>, CommitError>>) {
    for (command, outcome) in batch.into_iter().zip(outcomes) {
        // The caller may have stopped waiting.
        let _ = command.reply.send(outcome);
    }
}

fn refuse(batch: Vec<Command>, failure: &StorageFailure) {
    for command in batch {
        // The caller may have stopped waiting.
        let _ = command.reply.send(Err(storage_error(failure)));
    }
}

fn storage_error(failure: &StorageFailure) -> CommitError {
    if failure.is_disk_full() {
        CommitError::DiskFull(failure.clone())
    } else {
        CommitError::Storage(failure.clone())
    }
}

fn size(writes: &[Write]) -> usize {
    writes
        .iter()
        .map(|write| match &write.op {
            Op::Put(value) => value.len(),
            Op::Delete | Op::Check => 0,
        })
        .sum()
}
