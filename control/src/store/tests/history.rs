use super::*;

#[tokio::test]
async fn a_new_store_is_not_at_zero_and_counts_every_change() {
    let place = Place::new();
    let store = place.open();
    assert_eq!(store.revision(), 1);
    assert_eq!(put(&store, key("a"), "1").await, 2);
    assert_eq!(put(&store, key("a"), "2").await, 3);
    assert_eq!(delete(&store, key("a")).await, 4);
    assert_eq!(store.revision(), 4);
}

#[tokio::test]
async fn what_was_committed_is_there_after_opening_again() {
    let place = Place::new();
    let store = place.open();
    let revision = put(&store, key("a"), "1").await;
    store.close().await;
    assert!(matches!(
        store.commit(vec![write(key("a"), Expect::Anything, Op::Delete)]).await,
        Err(CommitError::Closed)
    ));
    drop(store);
    let store = place.open();
    let found = store.get(&key("a"), None).expect("get").expect("there");
    assert_eq!(
        (value(&found), found.created, found.modified),
        ("1", revision, revision)
    );
    assert_eq!(put(&store, key("b"), "1").await, revision + 1);
}

#[tokio::test]
async fn a_second_process_cannot_open_the_file() {
    let place = Place::new();
    let _store = place.open();
    assert!(matches!(Store::open(place.config()), Err(OpenError::Database { .. })));
}

#[tokio::test]
async fn a_conflict_shows_what_is_there() {
    let place = Place::new();
    let store = place.open();
    let revision = put(&store, key("a"), "1").await;
    let refused = store
        .commit(vec![
            write(key("b"), Expect::Absent, Op::Put(Bytes::from_static(b"x"))),
            write(key("a"), Expect::At(revision + 9), Op::Delete),
        ])
        .await;
    let Err(CommitError::Conflict { key: at, current }) = refused else {
        panic!("{refused:?}");
    };
    assert_eq!((at, current.expect("there").modified), (key("a"), revision));
    assert_eq!(store.get(&key("b"), None).expect("get"), None);
    assert_eq!(store.revision(), revision);
}

#[tokio::test]
async fn lists_and_gets_show_any_revision_since_compaction() {
    let place = Place::new();
    let store = place.open();
    // What each revision shows, by applying the same changes to a map.
    let mut model = std::collections::BTreeMap::new();
    let mut versions = vec![(store.revision(), model.clone())];
    let steps = [
        ("b", Some("1")),
        ("a", Some("1")),
        ("c", Some("1")),
        ("a", Some("2")),
        ("b", None),
        ("b", Some("2")),
        ("a", None),
        ("c", Some("2")),
        ("c", Some("3")),
        ("a", Some("3")),
    ];
    for (name, step) in steps {
        let revision = match step {
            Some(text) => {
                model.insert(name, text);
                put(&store, key(name), text).await
            }
            None => {
                model.remove(name);
                delete(&store, key(name)).await
            }
        };
        versions.push((revision, model.clone()));
    }
    let verify = |oldest: Revision| {
        for (revision, model) in &versions {
            let expected: Vec<_> = model
                .iter()
                .map(|(name, text)| format!("default/{name}={text}"))
                .collect();
            let listed = store.list(&ListRequest {
                at: Some(*revision),
                ..all("pods")
            });
            if *revision < oldest {
                assert!(
                    matches!(listed, Err(ReadError::Compacted { oldest: said }) if said == oldest),
                    "{revision}"
                );
                continue;
            }
            let page = listed.expect("list");
            assert_eq!(names(&page), expected, "at {revision}");
            assert_eq!(page.revision, *revision);
            for name in ["a", "b", "c"] {
                let found = store.get(&key(name), Some(*revision)).expect("get");
                assert_eq!(
                    found.as_ref().map(value),
                    model.get(name).copied(),
                    "{name} at {revision}"
                );
            }
        }
    };
    verify(0);
    let newest = store.revision();
    assert!(matches!(
        store.get(&key("a"), Some(newest + 1)),
        Err(ReadError::Future { current }) if current == newest
    ));

    store.close().await;
    drop(store);
    let store = Store::open(StoreConfig {
        kept_revisions: 4,
        ..place.config()
    })
    .expect("open");
    store.compact(newest).await.expect("compact");
    assert_eq!(store.oldest().expect("oldest"), newest - 4);
    let versions_kept = newest - 4;
    for (revision, model) in &versions {
        let listed = store.list(&ListRequest {
            at: Some(*revision),
            ..all("pods")
        });
        if *revision < versions_kept {
            assert!(matches!(listed, Err(ReadError::Compacted { .. })), "{revision}");
        } else {
            let expected: Vec<_> = model
                .iter()
                .map(|(name, text)| format!("default/{name}={text}"))
                .collect();
            assert_eq!(names(&listed.expect("list")), expected, "at {revision}");
        }
    }
}

#[tokio::test]
async fn compaction_in_steps_leaves_exactly_the_current_versions_and_the_kept_log() {
    let place = Place::new();
    let store = Store::open(StoreConfig {
        kept_revisions: 10,
        ..place.config()
    })
    .expect("open");
    for round in 0..5 {
        let writes = (0..600).map(|at| {
            write(
                key(&format!("p{at}")),
                Expect::Anything,
                Op::Put(Bytes::from(format!("{round}"))),
            )
        });
        store.commit(writes.collect()).await.expect("commit");
    }
    let newest = store.revision();
    store.compact(Revision::MAX).await.expect("compact");
    let rows = store.handle.shared.database.read(|transaction| {
        use redb::ReadableTableMetadata;
        Ok((
            transaction.open_table(tables::CURRENT)?.len()?,
            transaction.open_table(tables::LOG)?.len()?,
            transaction.open_table(tables::HISTORY)?.len()?,
        ))
    });
    assert_eq!(rows.expect("count"), (600, 10, 10));
    assert_eq!(store.oldest().expect("oldest"), newest - 10);
}

#[tokio::test]
async fn pages_continue_at_their_revision_while_the_store_moves_on() {
    let place = Place::new();
    let store = place.open();
    for name in ["a", "b", "c", "d", "e"] {
        put(&store, key(name), "1").await;
        put(&store, StoreKey::new("pods", "other", name), "1").await;
        put(&store, StoreKey::new("pods2", "default", name), "1").await;
    }
    let request = ListRequest {
        namespace: Some("default".to_owned()),
        limit: Some(2),
        counts_rest: true,
        ..all("pods")
    };
    let first = store.list(&request).expect("list");
    assert_eq!(
        (names(&first), first.remaining, first.more),
        (vec!["default/a=1".into(), "default/b=1".into()], Some(3), true)
    );

    delete(&store, key("d")).await;
    put(&store, key("c"), "2").await;
    put(&store, key("bb"), "1").await;
    let next = |page: &Page| ListRequest {
        at: Some(page.revision),
        after: page.items.last().map(|item| item.key.clone()),
        ..request.clone()
    };
    let second = store.list(&next(&first)).expect("list");
    assert_eq!(
        (names(&second), second.remaining),
        (vec!["default/c=1".into(), "default/d=1".into()], Some(1))
    );
    let third = store.list(&next(&second)).expect("list");
    assert_eq!((names(&third), third.more), (vec!["default/e=1".into()], false));
    assert_eq!(store.list(&all("pods")).expect("list").items.len(), 10);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn concurrent_increments_lose_nothing() {
    let place = Place::new();
    let store = place.open();
    put(&store, key("counter"), "0").await;
    let workers: Vec<_> = (0..16)
        .map(|_| {
            let store = store.clone();
            tokio::spawn(async move {
                for _ in 0..10 {
                    loop {
                        let now = store.get(&key("counter"), None).expect("get").expect("there");
                        let next = value(&now).parse::<u32>().expect("number") + 1;
                        let op = Op::Put(Bytes::from(next.to_string()));
                        match store
                            .commit(vec![write(key("counter"), Expect::At(now.modified), op)])
                            .await
                        {
                            Ok(_) => break,
                            Err(CommitError::Conflict { .. }) => {}
                            Err(error) => panic!("{error}"),
                        }
                    }
                }
            })
        })
        .collect();
    for worker in workers {
        worker.await.expect("worker");
    }
    let end = store.get(&key("counter"), None).expect("get").expect("there");
    assert_eq!(value(&end), "160");
    assert_eq!(end.modified, 1 + 161);
}
