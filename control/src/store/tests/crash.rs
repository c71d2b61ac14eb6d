//! kill -9 of a writing process, again and again on the same file.
//!
//! The child is this test binary, running [`writes_until_killed`]; it prints a line once a write is acknowledged.

use std::{
    collections::HashMap,
    env,
    io::{BufRead, BufReader, Write as _},
    process::{Command, Stdio},
    time::Duration,
};

use super::*;

const DATABASE: &str = "STORE_CRASH_DATABASE";
const ROUND: &str = "STORE_CRASH_ROUND";
const ROUNDS: u64 = 12;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "the child process of acknowledged_writes_survive_kill_9; writes until it is killed"]
async fn writes_until_killed() {
    let Ok(path) = env::var(DATABASE) else { return };
    let round = env::var(ROUND).expect("round");
    let store = Store::open(StoreConfig {
        kept_revisions: 20,
        ..StoreConfig::new(path)
    })
    .expect("open");
    let writers: Vec<_> = (0..8)
        .map(|writer| {
            let (store, round) = (store.clone(), round.clone());
            tokio::spawn(async move {
                for at in 0.. {
                    let name = format!("{round}-{writer}-{}", at % 10);
                    let revision = put(&store, key(&name), &format!("{name}@{at}")).await;
                    let line = format!("{revision} {name} {name}@{at}\n");
                    // One write call per line, so that a kill cuts no line in two that counts.
                    std::io::stdout().lock().write_all(line.as_bytes()).expect("tell");
                    if at % 50 == 49 {
                        store.compact(revision).await.expect("compact");
                    }
                }
            })
        })
        .collect();
    for writer in writers {
        writer.await.expect("writer");
    }
}

#[tokio::test]
async fn acknowledged_writes_survive_kill_9_and_no_revision_is_used_twice() {
    let place = Place::new();
    let path = place.config().path;
    let mut acknowledged: HashMap<Revision, (String, String)> = HashMap::new();
    let mut highest = 0;
    for round in 0..ROUNDS {
        let mut child = Command::new(env::current_exe().expect("own path"))
            .args([
                "--exact",
                "store::tests::crash::writes_until_killed",
                "--ignored",
                "--nocapture",
            ])
            .env(DATABASE, &path)
            .env(ROUND, round.to_string())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("spawn");
        let lines = BufReader::new(child.stdout.take().expect("piped"));
        let reader = std::thread::spawn(move || {
            let mut told = Vec::new();
            for line in lines.lines().map_while(Result::ok) {
                let mut parts = line.split(' ');
                if let (Some(Ok(revision)), Some(name), Some(text)) =
                    (parts.next().map(str::parse::<Revision>), parts.next(), parts.next())
                {
                    told.push((revision, name.to_owned(), text.to_owned()));
                }
            }
            told
        });
        // Another moment in each round; the first leave no time for more than opening.
        std::thread::sleep(Duration::from_millis(40 + round * 37));
        child.kill().expect("kill");
        child.wait().expect("wait");
        for (revision, name, text) in reader.join().expect("reader") {
            assert!(revision > highest, "round {round}: revision {revision} was used before");
            let twice = acknowledged.insert(revision, (name, text));
            assert_eq!(twice, None, "round {round}: revision {revision} twice");
        }
        let before = highest;
        let store = place.open();
        highest = store.revision();
        assert!(highest >= before);
        assert!(
            acknowledged.keys().all(|revision| *revision <= highest),
            "round {round}"
        );
        verify(&store, &acknowledged, round);
        store.close().await;
    }
    assert!(
        acknowledged.len() > 100,
        "only {} writes were acknowledged",
        acknowledged.len()
    );
}

/// Each object is at its last acknowledged write or a later one of the same writer.
fn verify(store: &Store, acknowledged: &HashMap<Revision, (String, String)>, round: u64) {
    let mut last: HashMap<&str, Revision> = HashMap::new();
    for (revision, (name, _)) in acknowledged {
        let newest = last.entry(name).or_default();
        *newest = (*newest).max(*revision);
    }
    let oldest = store.oldest().expect("oldest");
    for (name, revision) in last {
        let found = store
            .get(&key(name), None)
            .expect("get")
            .unwrap_or_else(|| panic!("round {round}: {name} lost"));
        assert!(
            found.modified >= revision,
            "round {round}: {name} is older than acknowledged"
        );
        if found.modified == revision {
            assert_eq!(value(&found), acknowledged[&revision].1, "round {round}: {name}");
        } else if revision >= oldest {
            let then = store.get(&key(name), Some(revision)).expect("get").expect("there then");
            assert_eq!(
                value(&then),
                acknowledged[&revision].1,
                "round {round}: {name} at {revision}"
            );
        }
    }
}
