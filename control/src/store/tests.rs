mod crash;
mod disk;
mod disk_images;
mod history;
mod images;
mod sealed;
mod watch;

use bytes::Bytes;

use super::*;

/// A store in a directory of its own.
struct Place {
    directory: tempfile::TempDir,
}

impl Place {
    fn new() -> Place {
        Place {
            directory: tempfile::tempdir().expect("temporary directory"),
        }
    }

    fn config(&self) -> StoreConfig {
        StoreConfig::new(self.directory.path().join("store.redb"))
    }

    fn open(&self) -> Store {
        Store::open(self.config()).expect("open")
    }
}

fn key(name: &str) -> StoreKey {
    StoreKey::new("pods", "default", name)
}

fn write(key: StoreKey, expect: Expect, op: Op) -> Write {
    Write { key, expect, op }
}

async fn put(store: &Store, key: StoreKey, value: &str) -> Revision {
    let op = Op::Put(Bytes::copy_from_slice(value.as_bytes()));
    store.commit(vec![write(key, Expect::Anything, op)]).await.expect("put")[0]
}

async fn delete(store: &Store, key: StoreKey) -> Revision {
    store
        .commit(vec![write(key, Expect::Present, Op::Delete)])
        .await
        .expect("delete")[0]
}

fn value(stored: &Stored) -> &str {
    std::str::from_utf8(&stored.value).expect("UTF-8")
}

fn names(page: &Page) -> Vec<String> {
    page.items
        .iter()
        .map(|item| format!("{}/{}={}", item.key.namespace, item.key.name, value(item)))
        .collect()
}

fn all(collection: &str) -> ListRequest {
    ListRequest {
        collection: collection.to_owned(),
        ..ListRequest::default()
    }
}
