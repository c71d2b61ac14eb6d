//! What a watch promises, beside a model: ordered, each change once, without a gap, resumable, bookmarked, refused when
//! too old; while writers, compaction and restarts go on.
//!
//! The seed decides what is done, not how threads take turns: a failure with one seed may need several runs.

mod truth;

use std::ops::Range;

use parking_lot::Mutex;
use rand::{Rng as _, SeedableRng as _, rngs::StdRng, seq::IndexedRandom as _};
use tokio::sync::watch;

use self::truth::{SELECTIONS, Segment, Selection, Start, Told, Truth};
use super::*;
use crate::{
    engine::object as stored_form,
    seeds,
    store::{CommitError, Expect, Op, Revision, StoreKey, Write},
};

/// Runs of one server over the same store.
const EPOCHS: usize = 4;
const WRITERS: usize = 3;
/// Commands of one writer in the last epoch; the others end in between.
const COMMANDS: usize = 40;
/// Revisions after which an epoch ends.
const EPOCH_REVISIONS: Range<u64> = 60..250;
const BOOKMARKS: Duration = Duration::from_millis(15);
/// How long what is promised may take to come.
const PATIENCE: Duration = Duration::from_secs(20);

/// What there was of everything, so that a run that proves nothing fails.
#[derive(Debug, Default)]
struct Tally {
    changes: usize,
    events: usize,
    bookmarks: usize,
    marks: usize,
    refusals: usize,
    resumed: usize,
    left_selection: usize,
}

/// One client, over all epochs.
struct Client {
    selection: &'static Selection,
    random: StdRng,
    /// Where it may resume.
    known: Option<Revision>,
    segments: Vec<Segment>,
}

/// The end of an epoch: none yet, or all that has happened by then if its watches are to see the end.
type End = watch::Receiver<Option<Arc<Truth>>>;

fn object(key: &StoreKey, random: &mut StdRng) -> Value {
    let mut object = json!({
        "apiVersion": "v1",
        "metadata": { "name": key.name, "namespace": key.namespace, "labels": {} },
    });
    if let Some(tier) = ["", "x", "y"].choose(random).filter(|tier| !tier.is_empty()) {
        object["metadata"]["labels"]["tier"] = json!(tier);
    }
    let n = random.random::<u32>();
    if key.collection == "pods" {
        let node = ["n1", "n2", "n3"].choose(random);
        let phase = ["Pending", "Running"].choose(random);
        object["kind"] = json!("Pod");
        object["spec"] = json!({ "nodeName": node });
        object["status"] = json!({ "phase": phase, "message": n.to_string() });
    } else {
        object["kind"] = json!("ConfigMap");
        object["data"] = json!({ "n": n.to_string() });
    }
    object
}

/// Writes until it has written enough, or the store is closed.
async fn write_on(store: Store, truth: Arc<Mutex<Truth>>, mut random: StdRng, commands: usize) {
    for _ in 0..commands {
        let mut wanted = std::collections::BTreeMap::new();
        // Many at once now and then, so that the log is read in several parts.
        let count = if random.random_bool(0.1) {
            30
        } else {
            random.random_range(1..4)
        };
        for _ in 0..count {
            let collection = ["configmaps", "pods"].choose(&mut random).expect("two");
            let namespace = ["a", "b"].choose(&mut random).expect("two");
            let key = StoreKey::new(*collection, *namespace, format!("o{}", random.random_range(0..10)));
            let value = (count > 3 || random.random_bool(0.75)).then(|| object(&key, &mut random));
            wanted.insert(key, value);
        }
        let writes = wanted.iter().map(|(key, value)| Write {
            key: key.clone(),
            expect: value.as_ref().map_or(Expect::Present, |_| Expect::Anything),
            op: value
                .as_ref()
                .map_or(Op::Delete, |value| Op::Put(stored_form::encode(value))),
        });
        match store.commit(writes.collect()).await {
            Ok(revisions) => {
                let mut truth = truth.lock();
                for (revision, change) in revisions.into_iter().zip(wanted) {
                    let twice = truth.changes.insert(revision, change);
                    assert!(twice.is_none(), "revision {revision} twice");
                }
            }
            Err(CommitError::Conflict { .. }) => {}
            Err(CommitError::Closed) => return,
            Err(error) => panic!("{error:?}"),
        }
    }
}

async fn compact_on(store: Store, mut random: StdRng, end: End) {
    while !end.has_changed().unwrap_or(true) {
        let target = store.revision() + random.random_range(10..80);
        tokio::select! {
            () = store.wait_for(target) => {}
            _ = tokio::time::sleep(BOOKMARKS) => {}
        }
        let through = random.random_range(1..=store.revision());
        match store.compact(through).await {
            Ok(()) => {}
            Err(CommitError::Closed) => return,
            Err(error) => panic!("{error:?}"),
        }
    }
}

impl Client {
    /// Watches, now from here, now from there, until the epoch's end.
    async fn watch_on(mut self, server: Arc<Server>, mut end: End) -> Client {
        while !server.shutdown.is_cancelled() {
            let is_over = end.borrow().is_some();
            self.watch_once(&server, &mut end).await;
            if is_over {
                break;
            }
        }
        self
    }

    fn choose(&mut self, current: Revision) -> Start {
        match (self.random.random_range(0..10), self.known) {
            (0..5, Some(known)) => Start::After(known),
            (5, _) => Start::After(self.random.random_range(1..=current)),
            // Not long ago, and so not compacted in most cases.
            (6, _) => Start::After(current.saturating_sub(self.random.random_range(0..20)).max(1)),
            (7, _) => Start::Unmarked,
            (8, _) => Start::Now,
            _ => Start::Marked,
        }
    }

    async fn watch_once(&mut self, server: &Server, end: &mut End) {
        let store = server.engine.store();
        let before = store.revision();
        let Ok(oldest) = store.oldest() else { return };
        let start = self.choose(before);
        let bookmarks = self.random.random_bool(0.5) || start == Start::Marked;
        let mut path = format!("{}&watch=true&allowWatchBookmarks={bookmarks}", self.selection.path);
        path += &match start {
            Start::After(after) => format!("&resourceVersion={after}"),
            Start::Marked => "&sendInitialEvents=true&resourceVersionMatch=NotOlderThan".to_owned(),
            Start::Unmarked => "&resourceVersion=0".to_owned(),
            Start::Now => "&sendInitialEvents=false&resourceVersionMatch=NotOlderThan".to_owned(),
        };
        let caller = Caller::system("system:test");
        let answer = server.response(caller, "GET", &path, &[], Body::empty()).await;
        if answer.status() != StatusCode::OK {
            assert!(server.shutdown.is_cancelled(), "{path}: {}", answer.status());
            return;
        }
        let mut segment = Segment {
            start,
            // A snapshot may be ahead of what watchers have been handed: by what one batch holds.
            opened: before..=store.revision() + (WRITERS * 30) as u64,
            oldest: oldest..=oldest,
            told: Vec::new(),
        };
        let events = Events {
            body: answer.into_body(),
            buffer: Vec::new(),
        };
        self.take(server, end, bookmarks, events, &mut segment).await;
        if let Ok(oldest) = store.oldest() {
            segment.oldest = *segment.oldest.start()..=oldest;
        } else {
            segment.oldest = *segment.oldest.start()..=Revision::MAX;
        }
        self.known = match segment.told.last() {
            Some(last) if last.kind == "ERROR" => None,
            _ => self.resume_point(&segment),
        };
        self.segments.push(segment);
    }

    /// Takes some events, or all that are promised once the epoch's watches are to see its end.
    async fn take(&mut self, server: &Server, end: &mut End, bookmarks: bool, mut events: Events, into: &mut Segment) {
        let mut wanted = match self.random.random_range(0..4) {
            0 => 0,
            1 => self.random.random_range(0..8),
            _ => self.random.random_range(0..80),
        };
        loop {
            let over = end.borrow().clone();
            if let Some(truth) = &over {
                match self.left(truth, bookmarks, into) {
                    Some(0) => return,
                    left => wanted = left.unwrap_or(usize::MAX),
                }
            }
            if wanted == 0 {
                return;
            }
            let event = tokio::select! {
                event = events.whenever() => event,
                changed = end.changed(), if over.is_none() => match changed {
                    Ok(()) => continue,
                    Err(_) => return,
                },
                () = tokio::time::sleep(PATIENCE), if over.is_some() => {
                    panic!("{wanted} events of {} did not come: {into:?}", self.selection.path)
                }
            };
            let Some(event) = event else {
                let is_refused = into.told.last().is_some_and(|last| last.kind == "ERROR");
                assert!(
                    is_refused || server.shutdown.is_cancelled(),
                    "ended by itself: {into:?}"
                );
                return;
            };
            into.told.push(Told::parse(event));
            wanted = wanted.saturating_sub(1);
        }
    }

    /// How many events are still promised, if that can be said.
    fn left(&self, truth: &Truth, bookmarks: bool, segment: &Segment) -> Option<usize> {
        if segment.told.last().is_some_and(|last| last.kind == "ERROR") {
            return Some(0);
        }
        let begin = match segment.start {
            Start::After(after) => after,
            Start::Marked => segment.told.iter().find(|event| event.is_mark)?.revision,
            // Where it began is not said, so that nobody can tell what it lacks.
            Start::Unmarked | Start::Now => return Some(0),
        };
        let mark = segment.told.iter().position(|event| event.is_mark);
        let behind = &segment.told[mark.map_or(0, |at| at + 1)..];
        let got = behind.iter().filter(|event| event.kind != "BOOKMARK").count();
        let left = truth.count_after(self.selection, begin).saturating_sub(got);
        let last = behind.last().map_or(begin, |event| event.revision);
        let is_behind = bookmarks && Some(last) < truth.revision();
        Some(left + usize::from(is_behind))
    }

    fn resume_point(&self, segment: &Segment) -> Option<Revision> {
        let mark = segment.told.iter().position(|event| event.is_mark);
        let last = segment.told.last().map(|event| event.revision);
        match segment.start {
            Start::After(after) => Some(last.unwrap_or(after)),
            Start::Marked => last.filter(|_| mark.is_some()),
            Start::Now => last,
            Start::Unmarked => last.filter(|last| last > segment.opened.end()),
        }
    }

    fn check(&mut self, truth: &Truth, tally: &mut Tally) {
        for segment in self.segments.drain(..) {
            if let Err(reason) = segment.check(self.selection, truth) {
                panic!("watch of {}: {reason}; {segment:?}", self.selection.path);
            }
            let count = |kind: &str| segment.told.iter().filter(|event| event.kind == kind).count();
            tally.events += segment.told.len();
            tally.bookmarks += count("BOOKMARK");
            tally.marks += segment.told.iter().filter(|event| event.is_mark).count();
            tally.refusals += count("ERROR");
            tally.resumed += usize::from(matches!(segment.start, Start::After(_)));
            let is_there = |event: &&Told| {
                truth
                    .changes
                    .get(&event.revision)
                    .is_some_and(|(_, after)| after.is_some())
            };
            let left = segment
                .told
                .iter()
                .filter(|event| event.kind == "DELETED")
                .filter(is_there);
            tally.left_selection += left.count();
        }
    }
}

/// One server's life. The last sees all of it; the others are stopped in the midst of it.
async fn epoch(
    dir: Arc<tempfile::TempDir>,
    random: &mut StdRng,
    truth: &Arc<Mutex<Truth>>,
    clients: Vec<Client>,
    is_last: bool,
) -> Vec<Client> {
    let company = Company {
        bookmark_interval: BOOKMARKS,
        ..company()
    };
    let server = Arc::new(server_in(dir, company));
    let store = server.engine.store().clone();
    let known = truth.lock().revision().unwrap_or(1);
    assert_eq!(store.revision(), known, "exactly what was acknowledged is there");

    let (ending, end) = watch::channel(None);
    let mut writers = Vec::new();
    for _ in 0..WRITERS {
        let random = StdRng::seed_from_u64(random.random());
        let commands = if is_last { COMMANDS } else { usize::MAX };
        writers.push(tokio::spawn(write_on(store.clone(), truth.clone(), random, commands)));
    }
    let compactor = tokio::spawn(compact_on(
        store.clone(),
        StdRng::seed_from_u64(random.random()),
        end.clone(),
    ));
    let watching: Vec<_> = clients
        .into_iter()
        .map(|client| tokio::spawn(client.watch_on(server.clone(), end.clone())))
        .collect();
    if !is_last {
        store.wait_for(known + random.random_range(EPOCH_REVISIONS)).await;
        server.shutdown.cancel();
        store.close().await;
    }
    for writer in writers {
        writer.await.expect("writer");
    }
    if is_last {
        let all = std::mem::take(&mut *truth.lock());
        let all = Arc::new(all);
        ending.send(Some(all.clone())).expect("clients listen");
        let mut clients = Vec::new();
        for client in watching {
            clients.push(client.await.expect("client"));
        }
        compactor.await.expect("compactor");
        server.shutdown.cancel();
        store.close().await;
        drop(ending);
        drop(end);
        *truth.lock() = Arc::into_inner(all).expect("all others are done with it");
        return clients;
    }
    compactor.await.expect("compactor");
    let mut clients = Vec::new();
    for client in watching {
        clients.push(client.await.expect("client"));
    }
    drop(ending);
    clients
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn watches_tell_exactly_what_happened_under_writers_compaction_and_restarts() {
    let mut tally = Tally::default();
    for seed in seeds::of_run(&[1, 2]) {
        let mut random = StdRng::seed_from_u64(seed);
        let dir = Arc::new(tempfile::tempdir().unwrap());
        let truth = Arc::new(Mutex::new(Truth::default()));
        let mut clients: Vec<Client> = SELECTIONS
            .iter()
            .map(|selection| Client {
                selection,
                random: StdRng::seed_from_u64(random.random()),
                known: None,
                segments: Vec::new(),
            })
            .collect();
        for at in 1..=EPOCHS {
            clients = epoch(dir.clone(), &mut random, &truth, clients, at == EPOCHS).await;
            let truth = truth.lock();
            for client in &mut clients {
                client.check(&truth, &mut tally);
            }
        }
        tally.changes += truth.lock().changes.len();
    }
    println!("{tally:?}");
    let Tally {
        changes,
        events,
        bookmarks,
        marks,
        refusals,
        resumed,
        left_selection,
    } = tally;
    for (what, count, least) in [
        ("changes", changes, 400),
        ("events", events, 1000),
        ("bookmarks", bookmarks - marks, 10),
        ("marks", marks, 10),
        ("refusals", refusals, 5),
        ("resumed watches", resumed, 50),
        ("objects that left a selection", left_selection, 20),
    ] {
        assert!(count >= least, "only {count} {what}");
    }
}
