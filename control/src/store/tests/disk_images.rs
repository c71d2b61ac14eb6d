//! A disk in memory that remembers everything it was asked, and the images that a crash may leave of it.

use std::io;

use parking_lot::{Condvar, Mutex};
use rand::{Rng as _, rngs::StdRng};
use redb::StorageBackend;

use super::*;

/// What a disk writes whole or not at all.
const SECTOR: usize = 512;

#[derive(Debug, Clone)]
enum Operation {
    SetLen(u64),
    Write(u64, Bytes),
    Sync,
}

#[derive(Debug, Default)]
struct State {
    bytes: Vec<u8>,
    operations: Vec<Operation>,
    /// Syncs wait.
    held: bool,
    /// A sync waits.
    waiting: bool,
}

/// The disk. Never closed: it can be opened again as it is.
#[derive(Debug, Clone, Default)]
pub(super) struct Disk {
    shared: Arc<(Mutex<State>, Condvar)>,
}

impl Disk {
    pub(super) fn with(bytes: Vec<u8>) -> Disk {
        let disk = Disk::default();
        disk.shared.0.lock().bytes = bytes;
        disk
    }

    /// A store on this disk, by the steps of [`Store::open`].
    pub(super) fn open(&self, config: &StoreConfig) -> Result<Store, OpenError> {
        let disk = self.clone();
        let opener = move || database::create_on(disk.clone(), 1 << 20);
        let database =
            Database::with_opener(Box::new(opener), Seal::nothing()).map_err(|source| OpenError::Database {
                path: config.path.clone(),
                source,
            })?;
        Store::start(database, config)
    }

    /// How many operations there were.
    pub(super) fn moment(&self) -> usize {
        self.shared.0.lock().operations.len()
    }

    /// From now on syncs wait, until [`Disk::release`].
    pub(super) fn hold(&self) {
        self.shared.0.lock().held = true;
    }

    /// Returns when a sync waits.
    pub(super) fn until_held(&self) {
        let (state, changed) = &*self.shared;
        let mut state = state.lock();
        while !state.waiting {
            changed.wait(&mut state);
        }
    }

    pub(super) fn release(&self) {
        self.shared.0.lock().held = false;
        self.shared.1.notify_all();
    }

    /// Everything that was asked until now, to be cut anywhere.
    pub(super) fn recording(&self, start: Vec<u8>) -> Recording {
        Recording {
            durable: start,
            synced: 0,
            operations: self.shared.0.lock().operations.clone(),
        }
    }
}

impl StorageBackend for Disk {
    fn len(&self) -> Result<u64, io::Error> {
        Ok(self.shared.0.lock().bytes.len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> Result<(), io::Error> {
        let state = self.shared.0.lock();
        let start = usize::try_from(offset).expect("a small disk");
        let part = state.bytes.get(start..start + out.len());
        out.copy_from_slice(part.ok_or_else(|| io::Error::from(io::ErrorKind::UnexpectedEof))?);
        Ok(())
    }

    fn set_len(&self, len: u64) -> Result<(), io::Error> {
        self.carry_out(Operation::SetLen(len));
        Ok(())
    }

    fn sync_data(&self) -> Result<(), io::Error> {
        let (state, changed) = &*self.shared;
        let mut state = state.lock();
        while state.held {
            state.waiting = true;
            changed.notify_all();
            changed.wait(&mut state);
        }
        state.waiting = false;
        state.operations.push(Operation::Sync);
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> Result<(), io::Error> {
        self.carry_out(Operation::Write(offset, Bytes::copy_from_slice(data)));
        Ok(())
    }
}

impl Disk {
    fn carry_out(&self, operation: Operation) {
        let mut state = self.shared.0.lock();
        apply(&mut state.bytes, &operation);
        state.operations.push(operation);
    }
}

fn apply(bytes: &mut Vec<u8>, operation: &Operation) {
    match operation {
        Operation::Sync => {}
        Operation::SetLen(len) => bytes.resize(usize::try_from(*len).expect("a small disk"), 0),
        Operation::Write(offset, data) => write_at(bytes, usize::try_from(*offset).expect("a small disk"), data),
    }
}

fn write_at(bytes: &mut Vec<u8>, at: usize, data: &[u8]) {
    if bytes.len() < at + data.len() {
        bytes.resize(at + data.len(), 0);
    }
    bytes[at..at + data.len()].copy_from_slice(data);
}

/// What reached the disk of the operations that no sync has covered yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unsynced {
    /// Nothing.
    Lost,
    /// All of it: a killed process, whose kernel lives on.
    Kept,
    /// Some operations.
    Some,
    /// Some sectors of some operations.
    Torn,
}

/// Everything that a disk was asked, in order.
pub(super) struct Recording {
    /// The disk as of the newest sync that was looked at.
    durable: Vec<u8>,
    /// Operations that are in it.
    synced: usize,
    operations: Vec<Operation>,
}

impl Recording {
    pub(super) fn len(&self) -> usize {
        self.operations.len()
    }

    /// Whether the last of the first `moment` operations is a sync.
    pub(super) fn is_synced(&self, moment: usize) -> bool {
        moment > 0 && matches!(self.operations[moment - 1], Operation::Sync)
    }

    /// The disk after a crash when `moment` operations had been asked. Moments must not descend.
    pub(super) fn image(&mut self, moment: usize, unsynced: Unsynced, random: &mut StdRng) -> Vec<u8> {
        let asked = &self.operations[..moment];
        let last_sync = asked.iter().rposition(|operation| matches!(operation, Operation::Sync));
        let synced = last_sync.map_or(0, |at| at + 1);
        assert!(synced >= self.synced, "moments descend");
        for operation in &asked[self.synced..synced] {
            apply(&mut self.durable, operation);
        }
        self.synced = synced;
        let mut bytes = self.durable.clone();
        for operation in &asked[synced..] {
            match (unsynced, operation) {
                (Unsynced::Lost, _) => {}
                (Unsynced::Kept, operation) => apply(&mut bytes, operation),
                (Unsynced::Some | Unsynced::Torn, operation) if random.random_bool(0.5) => {
                    apply(&mut bytes, operation);
                }
                (Unsynced::Torn, Operation::Write(offset, data)) => {
                    let start = usize::try_from(*offset).expect("a small disk");
                    for (at, sector) in data.chunks(SECTOR).enumerate() {
                        if random.random_bool(0.5) {
                            write_at(&mut bytes, start + at * SECTOR, sector);
                        }
                    }
                }
                (Unsynced::Some | Unsynced::Torn, _) => {}
            }
        }
        bytes
    }
}
