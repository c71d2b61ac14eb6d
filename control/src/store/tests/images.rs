//! Crashes at every sync, and between any two with any part of what was not synced yet: the store on each disk that
//! such a crash leaves.
//!
//! A round is one command alone, whose sync is held up until several more wait; these are then one group commit. So
//! the test knows where group commits end, and no image may show another revision.

use std::collections::{BTreeMap, BTreeSet};

use futures::future::join_all;
use rand::{Rng as _, SeedableRng as _, rngs::StdRng, seq::IndexedRandom as _};

use super::{
    disk_images::{Disk, Recording, Unsynced},
    *,
};
use crate::seeds;

const COLLECTIONS: [&str; 2] = ["pods", "apps/deployments"];
const NAMES: u32 = 12;
const ROUNDS: usize = 14;
const KEPT: u64 = 25;

/// What the store must hold, and when it said so.
#[derive(Default)]
struct Truth {
    /// Every change: what was put, or nothing for a deletion.
    changes: BTreeMap<Revision, (StoreKey, Option<Bytes>)>,
    /// The revisions at which a group commit ended.
    ends: BTreeSet<Revision>,
    /// From which moment on a revision was acknowledged.
    acknowledged: Vec<(usize, Revision)>,
    /// From which moment on a compaction was.
    compacted: Vec<(usize, Revision)>,
}

impl Truth {
    fn acknowledged_at(&self, moment: usize) -> Revision {
        last_of(&self.acknowledged, moment)
    }

    /// The objects at a revision.
    fn at(&self, revision: Revision) -> BTreeMap<StoreKey, Stored> {
        let mut objects: BTreeMap<StoreKey, Stored> = BTreeMap::new();
        for (modified, (key, value)) in self.changes.range(..=revision) {
            let created = objects.get(key).map_or(*modified, |before| before.created);
            match value {
                None => objects.remove(key),
                Some(value) => objects.insert(
                    key.clone(),
                    Stored {
                        key: key.clone(),
                        value: value.clone(),
                        created,
                        modified: *modified,
                    },
                ),
            };
        }
        objects
    }

    /// Notes what a batch of commands did, each with its answer.
    fn note(&mut self, moment: usize, commands: &[Vec<Write>], answers: &[Result<Vec<Revision>, CommitError>]) {
        let before = self.acknowledged_at(moment);
        for (writes, answer) in commands.iter().zip(answers) {
            let revisions = match answer {
                Ok(revisions) => revisions,
                Err(CommitError::Conflict { .. }) => continue,
                Err(error) => panic!("{error:?}"),
            };
            for (write, revision) in writes.iter().zip(revisions) {
                let value = match &write.op {
                    Op::Put(value) => Some(value.clone()),
                    Op::Delete if write.expect == Expect::Present => None,
                    Op::Delete | Op::Check => continue,
                };
                let twice = self.changes.insert(*revision, (write.key.clone(), value));
                assert!(twice.is_none(), "revision {revision} twice");
            }
        }
        let last = self.changes.last_key_value().map_or(1, |(revision, _)| *revision);
        assert!(last >= before);
        self.ends.insert(last);
        self.acknowledged.push((moment, last));
    }
}

fn last_of(marks: &[(usize, Revision)], moment: usize) -> Revision {
    let reached = marks.iter().rev().find(|(from, _)| *from <= moment);
    reached.map_or(0, |(_, revision)| *revision)
}

fn config() -> StoreConfig {
    StoreConfig {
        kept_revisions: KEPT,
        ..StoreConfig::new("a disk in memory")
    }
}

fn command(random: &mut StdRng) -> Vec<Write> {
    let mut writes: BTreeMap<StoreKey, Write> = BTreeMap::new();
    for _ in 0..random.random_range(1..=4) {
        let collection = COLLECTIONS.choose(random).expect("some");
        let key = StoreKey::new(*collection, "default", random.random_range(0..NAMES).to_string());
        let bytes = match random.random_range(0..20) {
            0 => 60_000,
            1..5 => 3_000,
            _ => random.random_range(0..300),
        };
        let (expect, op) = match random.random_range(0..10) {
            0..2 => (Expect::Present, Op::Delete),
            2 => (Expect::Absent, Op::Put(Bytes::from(vec![random.random(); bytes]))),
            3 => (Expect::Present, Op::Check),
            _ => (Expect::Anything, Op::Put(Bytes::from(vec![random.random(); bytes]))),
        };
        writes.insert(key.clone(), write(key, expect, op));
    }
    writes.into_values().collect()
}

/// Plays random commands on a disk. Answers what is true of it.
async fn play(disk: &Disk, random: &mut StdRng) -> Truth {
    let mut truth = Truth::default();
    let store = disk.open(&config()).expect("open");
    truth.note(disk.moment(), &[], &[]);
    for _ in 0..ROUNDS {
        // It changes something in any case, so that its sync comes.
        let pilot = key(&random.random_range(0..NAMES).to_string());
        let pilot = vec![write(pilot, Expect::Anything, Op::Put(Bytes::from_static(b"pilot")))];
        disk.hold();
        let mut first = Box::pin(store.commit(pilot.clone()));
        assert!(futures::poll!(&mut first).is_pending());
        disk.until_held();
        let commands: Vec<_> = (0..random.random_range(2..10)).map(|_| command(random)).collect();
        let mut group: Vec<_> = commands
            .iter()
            .map(|writes| Box::pin(store.commit(writes.clone())))
            .collect();
        for waiting in &mut group {
            assert!(futures::poll!(waiting).is_pending());
        }
        disk.release();
        let answer = first.await;
        // What follows may already be under way: the moment is then too late, which asks for less.
        truth.note(disk.moment(), &[pilot], &[answer]);
        let answers = join_all(group).await;
        truth.note(disk.moment(), &commands, &answers);
        if random.random_bool(0.3) {
            let through = random.random_range(1..=store.revision());
            store.compact(through).await.expect("compact");
            truth.compacted.push((disk.moment(), store.oldest().expect("oldest")));
        }
    }
    store.close().await;
    truth
}

/// What one image is checked against.
struct Crash<'a> {
    truth: &'a Truth,
    /// At least this revision is there.
    acknowledged: Revision,
    /// At least up to here history was cut.
    compacted: Revision,
    name: String,
}

impl Crash<'_> {
    /// Opens the store on the image, compares everything it shows, and writes to it. Answers its revision.
    async fn check(&self, disk: &Disk, random: &mut StdRng) -> Revision {
        let name = &self.name;
        let store = disk.open(&config()).unwrap_or_else(|error| panic!("{name}: {error:?}"));
        let found = store.revision();
        assert!(
            found >= self.acknowledged,
            "{name}: revision {found} is there, {} was acknowledged",
            self.acknowledged
        );
        assert!(self.truth.ends.contains(&found), "{name}: half a group commit, {found}");
        let oldest = store.oldest().expect("oldest");
        assert!(
            oldest >= self.compacted && (oldest == 1 || oldest + KEPT <= found),
            "{name}: oldest {oldest}"
        );
        self.compare(&store, found, None);
        let past = random.random_range(oldest..=found);
        self.compare(&store, past, Some(past));
        self.follow(&store, oldest, found).await;

        let next = put(&store, key("after"), "the crash").await;
        assert_eq!(next, found + 1, "{name}: the first write after it");
        store.close().await;
        let store = disk
            .open(&config())
            .unwrap_or_else(|error| panic!("{name}, again: {error:?}"));
        assert_eq!(store.revision(), next, "{name}: opened again");
        let after = store.get(&key("after"), None).expect("get").expect("acknowledged");
        assert_eq!(value(&after), "the crash", "{name}");
        store.close().await;
        found
    }

    fn compare(&self, store: &Store, revision: Revision, at: Option<Revision>) {
        let expected = self.truth.at(revision);
        for collection in COLLECTIONS {
            let request = ListRequest { at, ..all(collection) };
            let page = store.list(&request).expect("list");
            let there: Vec<_> = page.items.iter().collect();
            let wanted: Vec<_> = expected
                .values()
                .filter(|stored| stored.key.collection == collection)
                .collect();
            assert!(there == wanted, "{}: {collection} at {revision} differs", self.name);
        }
    }

    /// The log from the oldest revision on is that of the truth.
    async fn follow(&self, store: &Store, oldest: Revision, newest: Revision) {
        let name = &self.name;
        let mut watcher = store
            .watch(WatchRequest {
                after: oldest,
                ..WatchRequest::default()
            })
            .expect("watch");
        for expected in oldest + 1..=newest {
            let WatchEvent::Change(change) = watcher.next().await.expect("watch") else {
                panic!("{name}: no change {expected}");
            };
            let (key, value) = &self.truth.changes[&expected];
            assert_eq!((change.revision, &change.key), (expected, key), "{name}");
            let after = change.after.as_ref().map(|stored| &stored.value);
            assert!(after == value.as_ref(), "{name}: the value of {expected}");
        }
        let end = watcher.next().await;
        assert!(
            matches!(end, Ok(WatchEvent::Progress(at)) if at == newest),
            "{name}: {end:?}"
        );
    }
}

/// Crashes the recovery of an image, too.
async fn crash_again(crash: &Crash<'_>, start: Vec<u8>, random: &mut StdRng) {
    let disk = Disk::with(start.clone());
    let store = disk.open(&config()).expect("opened before");
    store.close().await;
    let mut recording = disk.recording(start);
    let moment = random.random_range(0..=recording.len());
    let image = recording.image(moment, Unsynced::Torn, random);
    let again = Crash {
        name: format!("{}, again after {moment} of {}", crash.name, recording.len()),
        ..*crash
    };
    again.check(&Disk::with(image), random).await;
}

#[tokio::test]
async fn no_crash_loses_an_acknowledged_write_or_shows_half_a_group_commit() {
    for seed in seeds::of_run(&[1, 2]) {
        let mut random = StdRng::seed_from_u64(seed);
        let disk = Disk::default();
        let truth = play(&disk, &mut random).await;
        let mut recording: Recording = disk.recording(Vec::new());
        let mut highest = 0;
        let mut synced = 0;
        for moment in 0..=recording.len() {
            let kinds: &[Unsynced] = if recording.is_synced(moment) {
                &[Unsynced::Lost]
            } else if random.random_bool(0.12) {
                &[Unsynced::Lost, Unsynced::Kept, Unsynced::Some, Unsynced::Torn]
            } else {
                continue;
            };
            for unsynced in kinds {
                let crash = Crash {
                    truth: &truth,
                    acknowledged: truth.acknowledged_at(moment),
                    compacted: last_of(&truth.compacted, moment),
                    name: format!("seed {seed}, after operation {moment}, unsynced {unsynced:?}"),
                };
                let image = recording.image(moment, *unsynced, &mut random);
                let found = crash.check(&Disk::with(image.clone()), &mut random).await;
                if recording.is_synced(moment) {
                    assert!(found >= highest, "{}: {found} after {highest}", crash.name);
                    highest = found;
                    synced += 1;
                }
                if random.random_bool(0.1) {
                    crash_again(&crash, image, &mut random).await;
                }
            }
        }
        assert_eq!(highest, truth.acknowledged_at(usize::MAX));
        assert!(synced > 2 * ROUNDS, "seed {seed}: only {synced} syncs");
    }
}

#[tokio::test]
async fn a_file_whose_making_was_cut_short_is_made_again_and_a_damaged_one_is_refused() {
    let place = Place::new();
    let path = place.config().path;
    // (bytes, whether the store opens)
    let unfinished = vec![0; 1 << 20];
    let damaged = [vec![0; 600_000], vec![7; 10], vec![0; 400_000]].concat();
    let foreign = [b"another program's file".to_vec(), vec![0; 8192]].concat();
    for (bytes, opens) in [(unfinished, true), (damaged, false), (foreign, false)] {
        std::fs::write(&path, &bytes).expect("write");
        match Store::open(place.config()) {
            Ok(store) => {
                assert!(opens, "{} bytes", bytes.len());
                put(&store, key("a"), "1").await;
                store.close().await;
            }
            Err(error) => {
                assert!(!opens, "{} bytes: {error:?}", bytes.len());
                assert!(std::fs::read(&path).expect("read") == bytes, "left as it was");
            }
        }
    }
}
