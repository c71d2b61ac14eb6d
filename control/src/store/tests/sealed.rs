//! Encrypted values: nothing of them is in the file, everybody who may reads them, and keys are replaced.

use std::{collections::BTreeSet, time::Duration};

use super::*;

const HUSH: &str = "{\"data\":\"a value that nobody should find\"}";
const OPEN: &str = "{\"data\":\"a value that anybody may find\"}";

fn config(place: &Place, collections: &[&str], key_age_max: Duration) -> StoreConfig {
    StoreConfig {
        seal: Some(SealConfig {
            key_file: place.directory.path().join("keys.json"),
            collections: collections
                .iter()
                .map(|name| (*name).to_owned())
                .collect::<BTreeSet<_>>(),
            key_age_max,
        }),
        // Often, so that a key that is due is replaced.
        compaction_interval: Duration::from_millis(10),
        ..place.config()
    }
}

const YEAR: Duration = Duration::from_secs(365 * 24 * 3600);

fn secret(name: &str) -> StoreKey {
    StoreKey::new("secrets", "default", name)
}

fn file_holds(place: &Place, text: &str) -> bool {
    let bytes = std::fs::read(place.config().path).expect("read the file");
    bytes.windows(text.len()).any(|part| part == text.as_bytes())
}

/// The ids of the keys in the key file.
fn keys(place: &Place) -> Vec<u64> {
    let text = std::fs::read(place.directory.path().join("keys.json")).expect("read the keys");
    let file: serde_json::Value = serde_json::from_slice(&text).expect("JSON");
    let keys = file["keys"].as_array().expect("keys").iter();
    keys.map(|key| key["id"].as_u64().expect("a number")).collect()
}

/// Looks until it is so; the writer works on it between requests.
fn eventually(what: &str, is_so: impl Fn() -> bool) {
    let deadline = std::time::Instant::now() + Duration::from_secs(20);
    while !is_so() {
        assert!(std::time::Instant::now() < deadline, "{what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[tokio::test]
async fn the_file_holds_no_plain_text_and_every_read_does() {
    let place = Place::new();
    let store = Store::open(config(&place, &["secrets"], YEAR)).expect("open");
    let first = put(&store, secret("a"), HUSH).await;
    put(&store, key("p"), OPEN).await;
    put(&store, secret("a"), &HUSH.replace("value", "later")).await;
    put(&store, secret("b"), HUSH).await;
    delete(&store, secret("b")).await;
    store.close().await;
    assert!(!file_holds(&place, "nobody should find") && file_holds(&place, "anybody may find"));

    let store = Store::open(config(&place, &["secrets"], YEAR)).expect("open again");
    let then = store
        .get(&secret("a"), Some(first))
        .expect("read")
        .expect("it was there");
    assert_eq!(value(&then), HUSH);
    let now = store.get(&secret("a"), None).expect("read").expect("it is there");
    assert!(value(&now).contains("a later that nobody"));
    let listed = store
        .list(&ListRequest {
            collection: "secrets".to_owned(),
            ..ListRequest::default()
        })
        .expect("list");
    assert_eq!(listed.items, [now]);
    let mut watcher = store
        .watch(WatchRequest {
            collection: Some("secrets".to_owned()),
            namespace: None,
            after: first,
        })
        .expect("watch");
    let mut seen = Vec::new();
    while seen.len() < 3 {
        if let Ok(WatchEvent::Change(change)) = watcher.next().await {
            let value = |version: &Option<Stored>| version.as_ref().map(|stored| value(stored).contains("nobody"));
            seen.push((value(&change.before), value(&change.after)));
        }
    }
    assert_eq!(seen, [(Some(true), Some(true)), (None, Some(true)), (Some(true), None)]);
}

#[tokio::test]
async fn a_key_that_is_due_is_replaced_under_writes_and_then_forgotten() {
    let place = Place::new();
    let store = Store::open(config(&place, &["secrets"], YEAR)).expect("open");
    for number in 0..2500 {
        put_many(&store, number).await;
    }
    let first = put(&store, secret("a"), HUSH).await;
    put(&store, secret("a"), HUSH).await;
    store.close().await;
    let old = keys(&place);

    let store = Store::open(config(&place, &["secrets"], Duration::from_millis(200))).expect("open");
    eventually("the key is replaced and the old one forgotten", || {
        let now = keys(&place);
        now.len() == 1 && now != old
    });
    store.close().await;
    let store = Store::open(config(&place, &["secrets"], YEAR)).expect("open with the new key only");
    let then = store
        .get(&secret("a"), Some(first))
        .expect("read")
        .expect("it was there");
    assert_eq!(value(&then), HUSH);
    let all = store
        .list(&ListRequest {
            collection: "secrets".to_owned(),
            ..ListRequest::default()
        })
        .expect("list");
    assert_eq!(all.items.len(), 2501);
}

async fn put_many(store: &Store, number: u32) {
    if number.is_multiple_of(100) {
        let writes = (number..number + 100)
            .map(|number| {
                let op = Op::Put(Bytes::from_static(HUSH.as_bytes()));
                write(secret(&format!("s{number}")), Expect::Anything, op)
            })
            .collect();
        store.commit(writes).await.expect("commit");
    }
}

#[tokio::test]
async fn what_is_chosen_may_change() {
    let place = Place::new();
    let store = place.open();
    put(&store, secret("a"), HUSH).await;
    store.close().await;
    assert!(file_holds(&place, HUSH), "nothing was chosen");

    for (chosen, sealed) in [
        (["secrets"].as_slice(), true),
        (&[], false),
        (&["secrets", "pods"], true),
    ] {
        let store = Store::open(config(&place, chosen, YEAR)).expect("open");
        let stored = || {
            store.handle.shared.database.read(|transaction| {
                let table = transaction.open_table(tables::CURRENT)?;
                let found = table.get(tables::encode_key(&secret("a")).as_slice())?;
                Ok(found.map(|version| version.value().2.to_vec()))
            })
        };
        eventually("the value is in the form that was chosen", || {
            stored().expect("read").expect("it is there").starts_with(b"{") != sealed
        });
        let read = store.get(&secret("a"), None).expect("read").expect("it is there");
        assert_eq!(value(&read), HUSH);
        store.close().await;
    }
}

#[tokio::test]
async fn without_its_keys_a_store_is_refused() {
    let place = Place::new();
    let key_file = place.directory.path().join("keys.json");
    let store = Store::open(config(&place, &["secrets"], YEAR)).expect("open");
    put(&store, secret("a"), HUSH).await;
    store.close().await;
    let saved = std::fs::read(&key_file).expect("read");
    std::fs::remove_file(&key_file).expect("remove");
    for config in [config(&place, &["secrets"], YEAR), place.config()] {
        let error = Store::open(config).map(|_| ()).expect_err("no keys").to_string();
        assert!(error.contains("restore the key file"), "{error}");
    }
    std::fs::write(&key_file, saved).expect("restore");
    let store = Store::open(config(&place, &["secrets"], YEAR)).expect("open");
    let read = store.get(&secret("a"), None).expect("read").expect("it is there");
    assert_eq!(value(&read), HUSH);
}
