//! The store on a disk that fills up and fails, by a backend that stands between redb and the file.

use std::{
    fs::OpenOptions,
    io,
    sync::atomic::{AtomicU64, Ordering},
};

use redb::{StorageBackend, backends::FileBackend};

use super::*;

/// What the disk does from now on.
#[derive(Debug)]
struct Faults {
    /// No byte at or behind this offset can be written.
    room: AtomicU64,
    /// So many syncs succeed.
    syncs: AtomicU64,
}

#[derive(Debug)]
struct Faulty {
    file: FileBackend,
    faults: Arc<Faults>,
}

impl StorageBackend for Faulty {
    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.file.read(offset, out)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.file.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        let left = &self.faults.syncs;
        match left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)) {
            Ok(_) => self.file.sync_data(),
            Err(_) => Err(io::Error::other("sync failed")),
        }
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        if offset + data.len() as u64 > self.faults.room.load(Ordering::SeqCst) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        self.file.write(offset, data)
    }

    fn close(&self) -> io::Result<()> {
        self.file.close()
    }
}

fn open(place: &Place) -> (Store, Arc<Faults>) {
    let faults = Arc::new(Faults {
        room: AtomicU64::new(u64::MAX),
        syncs: AtomicU64::new(u64::MAX),
    });
    let config = place.config();
    let opener = {
        let faults = faults.clone();
        let path = config.path.clone();
        move || {
            let file = OpenOptions::new()
                .read(true)
                .write(true)
                .create(true)
                .truncate(false)
                .open(&path)?;
            redb::Database::builder()
                .set_cache_size(1 << 20)
                .create_with_backend(Faulty {
                    file: FileBackend::new(file)?,
                    faults: faults.clone(),
                })
        }
    };
    let database = Database::with_opener(Box::new(opener), Seal::nothing()).expect("open");
    (Store::start(database, &config).expect("start"), faults)
}

#[tokio::test]
async fn a_full_disk_refuses_writes_keeps_what_was_acknowledged_and_recovers_with_room() {
    let place = Place::new();
    let (store, faults) = open(&place);
    faults.room.store(256 << 10, Ordering::SeqCst);
    let mut watcher = store
        .watch(WatchRequest {
            after: 1,
            ..WatchRequest::default()
        })
        .expect("watch");
    let text = "x".repeat(10_000);
    let mut acknowledged = Vec::new();
    let mut refused = 0;
    for round in 0..3 {
        for at in 0..60 {
            let key = key(&format!("{round}-{at:03}"));
            let op = Op::Put(Bytes::from(text.clone()));
            match store.commit(vec![write(key.clone(), Expect::Absent, op)]).await {
                Ok(revisions) => acknowledged.push((key, revisions[0])),
                Err(CommitError::DiskFull(_)) => refused += 1,
                Err(error) => panic!("{error:?}"),
            }
            for (key, revision) in &acknowledged {
                let found = store.get(key, None).expect("reads go on").expect("acknowledged");
                assert_eq!(found.modified, *revision);
            }
        }
        assert!(round == 1 || refused > 0, "round {round}: the disk was never full");
        match round {
            0 => faults.room.store(4 << 20, Ordering::SeqCst),
            1 => {
                assert!(acknowledged.len() >= 60, "later commits work again");
                refused = 0;
                faults.room.store(64 << 10, Ordering::SeqCst);
            }
            _ => {}
        }
    }
    faults.room.store(u64::MAX, Ordering::SeqCst);
    let last = put(&store, key("last"), "1").await;
    assert_eq!(
        last,
        1 + acknowledged.len() as u64 + 1,
        "refused writes took no revision"
    );
    for (key, revision) in &acknowledged {
        loop {
            if let WatchEvent::Change(change) = watcher.next().await.expect("watch") {
                assert_eq!((&change.key, change.revision), (key, *revision));
                break;
            }
        }
    }
}

#[tokio::test]
async fn a_failed_sync_is_never_acknowledged_as_success_and_its_outcome_is_consistent() {
    for good_syncs in 0..8 {
        let place = Place::new();
        let (store, faults) = open(&place);
        let mut watcher = store
            .watch(WatchRequest {
                after: 1,
                ..WatchRequest::default()
            })
            .expect("watch");
        put(&store, key("before"), "1").await;
        faults.syncs.store(good_syncs, Ordering::SeqCst);
        let op = Op::Put(Bytes::from_static(b"1"));
        let outcome = store.commit(vec![write(key("doubtful"), Expect::Absent, op)]).await;
        faults.syncs.store(u64::MAX, Ordering::SeqCst);
        let last = put(&store, key("after"), "1").await;

        let found = store.get(&key("doubtful"), None).expect("get").is_some();
        match &outcome {
            Ok(_) => assert!(found, "{good_syncs} good syncs: acknowledged, so there"),
            Err(CommitError::Unknown(_)) => {}
            Err(CommitError::Storage(_)) => assert!(!found, "{good_syncs} good syncs: refused, so not there"),
            Err(error) => panic!("{good_syncs} good syncs: {error:?}"),
        }
        // Watchers and readers agree on what happened.
        let mut seen = Vec::new();
        while seen.last() != Some(&last) {
            if let WatchEvent::Change(change) = watcher.next().await.expect("watch") {
                seen.push(change.revision);
            }
        }
        assert_eq!(seen, (2..=last).collect::<Vec<_>>());
        assert_eq!(last, if found { 4 } else { 3 }, "{good_syncs} good syncs");
        store.close().await;
        drop(store);
        let store = place.open();
        assert_eq!(store.revision(), last);
        assert_eq!(store.get(&key("doubtful"), None).expect("get").is_some(), found);
    }
}

#[tokio::test]
async fn reads_come_back_after_a_failed_compaction() {
    let place = Place::new();
    let (store, faults) = open(&place);
    for at in 0..2000 {
        if at % 100 == 0 {
            let writes = (0..100).map(|n| {
                write(
                    key(&format!("{n}")),
                    Expect::Anything,
                    Op::Put(Bytes::from(vec![0; 100])),
                )
            });
            store.commit(writes.collect()).await.expect("commit");
        }
    }
    faults.syncs.store(0, Ordering::SeqCst);
    assert!(store.compact(Revision::MAX).await.is_err());
    faults.syncs.store(u64::MAX, Ordering::SeqCst);
    put(&store, key("x"), "1").await;
    assert_eq!(store.list(&all("pods")).expect("list").items.len(), 101);
    store.compact(Revision::MAX).await.expect("compact");
    assert_eq!(store.oldest().expect("oldest"), store.revision() - 1000);
}
