//! Tests of what one stream is sent; whole streams are in the tests of `stream`.

use super::*;

fn outlet(sent: Revision, programmed: Revision) -> (Outlet, mpsc::Receiver<ToAgent>, Closer) {
    let (outgoing, told) = mpsc::channel(1);
    let closer = Closer {
        token: CancellationToken::new(),
        reason: std::sync::Arc::default(),
    };
    let outlet = Outlet {
        session: 1,
        outgoing,
        closer: closer.clone(),
        is_live: true,
        sent,
        programmed,
        pending: Vec::new(),
    };
    (outlet, told, closer)
}

fn map_of(bytes: usize) -> Told {
    Told {
        kind: Some(change::Kind::ConfigMap(vec![b'x'; bytes])),
    }
}

#[test]
fn a_snapshot_is_cut_into_batches_and_only_the_last_one_ends_it() {
    let half = SNAPSHOT_BATCH_BYTES / 2;
    // Bytes of the changes, and how many of them each batch has.
    let table: [(&[usize], &[usize]); 6] = [
        (&[], &[0]),
        (&[10, 10], &[2]),
        (&[half, half, 10], &[2, 1]),
        // A batch that is full is no last one.
        (&[half, half], &[2, 0]),
        (&[3 * half, 10, 3 * half], &[1, 2, 0]),
        (&[half - 100; 5], &[3, 2]),
    ];
    for (sizes, expected) in table {
        let changes: Vec<Told> = sizes.iter().copied().map(map_of).collect();
        let batches: Vec<Batch> = snapshot(changes.clone(), 7)
            .into_iter()
            .map(|message| match message {
                to_agent::Kind::Batch(batch) => batch,
                other => panic!("{other:?}"),
            })
            .collect();
        let counts: Vec<usize> = batches.iter().map(|batch| batch.changes.len()).collect();
        assert_eq!(counts, expected, "{sizes:?}");
        assert!(batches.iter().all(|batch| batch.revision == 7), "{sizes:?}");
        let (last, others) = batches.split_last().expect("one batch at least");
        assert_eq!(last.phase(), Phase::SnapshotEnd, "{sizes:?}");
        assert!(others.iter().all(|batch| batch.phase() == Phase::Snapshot), "{sizes:?}");
        let sent: Vec<Told> = batches.into_iter().flat_map(|batch| batch.changes).collect();
        assert_eq!(sent, changes, "{sizes:?}: all of them, in their order");
    }
}

#[test]
fn who_has_acknowledged_all_it_was_sent_knows_everything_up_to_now() {
    // Revision of the last batch sent, of the last acknowledged, and now; up to where it is current.
    let table = [
        (5, 5, 9, 9),
        (5, 4, 9, 4),
        (5, 0, 9, 0),
        // Nothing was sent yet that it could acknowledge.
        (0, 0, 9, 9),
        // An agent that acknowledges what it never got gains nothing by it.
        (5, 1_000, 9, 9),
    ];
    for (sent, programmed, now, expected) in table {
        let (outlet, ..) = outlet(sent, programmed);
        assert_eq!(outlet.known(now), expected, "{sent} {programmed} {now}");
    }
}

#[test]
fn a_stream_that_is_not_read_is_closed_and_one_that_has_ended_is_left_alone() {
    let (full, _told, closer) = outlet(0, 0);
    full.send(stop_allowed("a"));
    assert!(!closer.token.is_cancelled());
    full.send(stop_allowed("b"));
    assert!(closer.token.is_cancelled());
    let (gone, told, closer) = outlet(0, 0);
    drop(told);
    gone.send(stop_allowed("a"));
    assert!(!closer.token.is_cancelled());
}

#[test]
fn objects_are_told_and_taken_back_as_what_they_are() {
    for (kind, name) in [
        (Kind::ConfigMap, "config map"),
        (Kind::Secret, "secret"),
        (Kind::Pod, "pod"),
    ] {
        let key = ObjectKey::new(kind, "default", "a");
        let told = |told: Told| match told.kind.expect("a kind") {
            change::Kind::ConfigMap(json) => ("config map", json.len()),
            change::Kind::Secret(json) => ("secret", json.len()),
            change::Kind::Pod(json) => ("pod", json.len()),
            other => panic!("{other:?}"),
        };
        assert_eq!(told(object_told(&key, vec![1, 2])), (name, 2));
        let removed = |told: Told| match told.kind.expect("a kind") {
            change::Kind::ConfigMapRemoved(object) => ("config map", object),
            change::Kind::SecretRemoved(object) => ("secret", object),
            change::Kind::PodRemoved(object) => ("pod", object),
            other => panic!("{other:?}"),
        };
        let (found, object) = removed(removed_told(&key, "u".to_owned()));
        assert_eq!(
            (found, &*object.namespace, &*object.name, &*object.uid),
            (name, "default", "a", "u")
        );
    }
}
