use super::*;

async fn change(watcher: &mut Watcher) -> Arc<Change> {
    loop {
        match watcher.next().await.expect("watch") {
            WatchEvent::Change(change) => return change,
            WatchEvent::Progress(_) => {}
        }
    }
}

fn request(collection: Option<&str>, namespace: Option<&str>, after: Revision) -> WatchRequest {
    WatchRequest {
        collection: collection.map(str::to_owned),
        namespace: namespace.map(str::to_owned),
        after,
    }
}

#[tokio::test]
async fn a_watch_resumes_from_the_log_and_goes_on_live_with_before_and_after() {
    let place = Place::new();
    let store = place.open();
    let start = store.revision();
    put(&store, key("a"), "1").await;
    put(&store, StoreKey::new("nodes", "", "n"), "1").await;
    put(&store, key("a"), "2").await;
    let mut watcher = store.watch(request(Some("pods"), None, start)).expect("watch");
    let mut seen = Vec::new();
    let describe = |change: &Change| {
        let text = |version: &Option<Stored>| version.as_ref().map(|stored| value(stored).to_owned());
        (change.revision - start, text(&change.before), text(&change.after))
    };
    for _ in 0..2 {
        seen.push(describe(&*change(&mut watcher).await));
    }
    assert!(matches!(watcher.next().await, Ok(WatchEvent::Progress(at)) if at == start + 3));
    delete(&store, key("a")).await;
    put(&store, key("b"), "1").await;
    for _ in 0..2 {
        seen.push(describe(&*change(&mut watcher).await));
    }
    let some = |text: &str| Some(text.to_owned());
    assert_eq!(
        seen,
        [
            (1, None, some("1")),
            (3, some("1"), some("2")),
            (4, some("2"), None),
            (5, None, some("1"))
        ]
    );
}

#[tokio::test]
async fn a_bookmark_may_say_what_other_collections_reached() {
    let place = Place::new();
    let store = place.open();
    let mut watcher = store
        .watch(request(Some("pods"), Some("default"), store.revision()))
        .expect("watch");
    assert!(matches!(watcher.next().await, Ok(WatchEvent::Progress(1))));
    let other = put(&store, StoreKey::new("pods", "other", "x"), "1").await;
    assert_eq!(watcher.revision(), other);
    let own = put(&store, key("a"), "1").await;
    assert_eq!(watcher.revision(), 1, "an event waits, so nothing is promised about it");
    assert_eq!(change(&mut watcher).await.revision, own);
    assert_eq!(watcher.revision(), own);
}

#[tokio::test]
async fn a_slow_watcher_is_ended_alone_after_what_it_was_handed() {
    let place = Place::new();
    let store = place.open();
    let mut slow = store.watch(request(Some("pods"), None, 1)).expect("watch");
    let mut elsewhere = store.watch(request(Some("nodes"), None, 1)).expect("watch");
    for watcher in [&mut slow, &mut elsewhere] {
        assert!(matches!(watcher.next().await, Ok(WatchEvent::Progress(1))));
    }
    for round in 0..5 {
        let writes = (0..1000).map(|at| write(key(&format!("{round}-{at}")), Expect::Absent, Op::Put(Bytes::new())));
        store.commit(writes.collect()).await.expect("commit");
    }
    let mut expected = 2;
    let end = loop {
        match slow.next().await {
            Ok(WatchEvent::Change(change)) => {
                assert_eq!(change.revision, expected);
                expected += 1;
            }
            Ok(WatchEvent::Progress(_)) => panic!("progress twice"),
            Err(end) => break end,
        }
    };
    assert!(matches!(end, WatchEnd::Slow), "{end:?}");
    assert_eq!(expected, 2 + 4096);
    assert_eq!(slow.revision(), expected - 1);
    put(&store, StoreKey::new("nodes", "", "n"), "1").await;
    assert_eq!(change(&mut elsewhere).await.revision, 5002);

    let mut resumed = store
        .watch(request(Some("pods"), None, slow.revision()))
        .expect("watch");
    assert_eq!(change(&mut resumed).await.revision, expected);
}

#[tokio::test]
async fn too_old_and_too_new_are_said() {
    let place = Place::new();
    let store = Store::open(StoreConfig {
        kept_revisions: 2,
        ..place.config()
    })
    .expect("open");
    for name in ["a", "b", "c", "d"] {
        put(&store, key(name), "1").await;
    }
    store.compact(Revision::MAX).await.expect("compact");
    // (after, allowed)
    for (after, allowed) in [(1, false), (2, false), (3, true), (5, true), (6, false)] {
        assert_eq!(
            store.watch(request(None, None, after)).is_ok(),
            allowed,
            "after {after}"
        );
    }
}

#[tokio::test]
async fn closing_the_store_ends_watches_and_waits() {
    let place = Place::new();
    let store = place.open();
    let mut watcher = store.watch(request(None, None, 1)).expect("watch");
    assert!(matches!(watcher.next().await, Ok(WatchEvent::Progress(1))));
    let waiting = tokio::spawn({
        let store = store.clone();
        async move { store.wait_for(100).await }
    });
    tokio::task::yield_now().await;
    store.close().await;
    assert!(matches!(watcher.next().await, Err(WatchEnd::Closed)));
    waiting.await.expect("wait");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn watchers_that_come_at_any_moment_see_every_change_once_and_in_order() {
    let place = Place::new();
    let store = place.open();
    let last = 1 + 16 * 40;
    let watchers: Vec<_> = (0..16)
        .map(|at| {
            let store = store.clone();
            tokio::spawn(async move {
                store.wait_for(1 + at * 30).await;
                let after = 1 + at * 20;
                let mut watcher = store.watch(request(None, None, after)).expect("watch");
                for expected in after + 1..=last {
                    assert_eq!(change(&mut watcher).await.revision, expected);
                }
            })
        })
        .collect();
    let writers: Vec<_> = (0..16)
        .map(|at| {
            let store = store.clone();
            tokio::spawn(async move {
                for round in 0..40 {
                    put(&store, key(&format!("{at}")), &round.to_string()).await;
                }
            })
        })
        .collect();
    for task in writers.into_iter().chain(watchers) {
        task.await.expect("task");
    }
}

#[tokio::test]
async fn a_change_that_the_log_told_before_it_was_published_is_told_once() {
    let place = Place::new();
    let store = place.open();
    put(&store, key("a"), "1").await;
    let shared = &store.handle.shared;
    let creation = |revision, name| {
        let after = Stored {
            key: key(name),
            value: Bytes::from_static(b"1"),
            created: revision,
            modified: revision,
        };
        Change::new(revision, key(name), None, Some(after))
    };
    // As the writer does, stopped between the sync and the publication.
    let written = shared.database.write(|transaction| {
        let mut tables = tables::Tables::open(transaction, &shared.database.seal)?;
        tables.write(&creation(3, "b"))?;
        tables.mark(tables::META_REVISION, 3)?;
        Ok(((), true))
    });
    assert!(written.is_ok());
    let mut watcher = store.watch(request(Some("pods"), None, 1)).expect("watch");
    for expected in [2, 3] {
        assert_eq!(change(&mut watcher).await.revision, expected);
    }
    assert!(matches!(watcher.next().await, Ok(WatchEvent::Progress(3))));
    shared.hub.publish(&[Arc::new(creation(3, "b"))], 3);
    shared.hub.publish(&[Arc::new(creation(4, "c"))], 4);
    assert_eq!(change(&mut watcher).await.revision, 4);
}
