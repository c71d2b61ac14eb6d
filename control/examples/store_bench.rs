//! Measures the store on this machine's disk: durable writes, reads, watch delivery, memory.
//!
//! Prints one line per measurement: name, value, unit. Run it with `cargo run --release --package control
//! --example store_bench [DIRECTORY]`; without a directory, it uses the one for temporary files.

use std::{
    env,
    error::Error,
    fs,
    io::{self, Write as _},
    path::PathBuf,
    time::{Duration, Instant},
};

use bytes::Bytes;
use control::store::{Expect, ListRequest, Op, Store, StoreConfig, StoreKey, WatchEvent, WatchRequest, Write};

/// Bytes of one object: about a pod with its status.
const OBJECT_BYTES: usize = 2048;
/// Writers at a time, one measurement each.
const WRITERS: [usize; 4] = [1, 8, 64, 256];
/// How long each measurement of writes takes.
const WRITE_TIME: Duration = Duration::from_secs(2);
/// Objects that are listed.
const LISTED: usize = 10_000;
/// Objects of one page, as kubectl asks for.
const PAGE: usize = 500;
/// Watchers of one change.
const WATCHERS: usize = 1000;

type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

#[tokio::main]
async fn main() -> Result<()> {
    let directory = env::args_os().nth(1).map_or_else(env::temp_dir, PathBuf::from);
    let directory = directory.join(format!("store-bench-{}", std::process::id()));
    fs::create_dir_all(&directory)?;
    let result = measure(&directory.join("store.redb")).await;
    fs::remove_dir_all(&directory)?;
    result
}

async fn measure(path: &std::path::Path) -> Result<()> {
    let store = Store::open(StoreConfig::new(path))?;
    for writers in WRITERS {
        let (count, worst) = write_for(&store, writers).await?;
        let rate = count as f64 / WRITE_TIME.as_secs_f64();
        print(&format!("durable writes/s, {writers} writers"), rate, "1/s")?;
        print(&format!("slowest write, {writers} writers"), ms(worst), "ms")?;
    }
    fill(&store).await?;
    reads(&store)?;
    watch(&store).await?;
    print("resident memory", resident_mib()?, "MiB")?;
    let began = Instant::now();
    store.close().await;
    drop(store);
    let store = Store::open(StoreConfig::new(path))?;
    print("close and open again", ms(began.elapsed()), "ms")?;
    print("file", fs::metadata(path)?.len() as f64 / f64::from(1 << 20), "MiB")?;
    store.close().await;
    Ok(())
}

fn object(collection: &str, name: String, expect: Expect) -> Write {
    Write {
        key: StoreKey::new(collection, "default", name),
        expect,
        op: Op::Put(Bytes::from(vec![b'x'; OBJECT_BYTES])),
    }
}

/// Each writer updates ten objects in turn. Answers the number of writes and the slowest one.
async fn write_for(store: &Store, writers: usize) -> Result<(usize, Duration)> {
    let end = Instant::now() + WRITE_TIME;
    let tasks: Vec<_> = (0..writers)
        .map(|writer| {
            let store = store.clone();
            tokio::spawn(async move {
                let (mut count, mut worst) = (0, Duration::ZERO);
                while Instant::now() < end {
                    let began = Instant::now();
                    let name = format!("{writer}-{}", count % 10);
                    store.commit(vec![object("written", name, Expect::Anything)]).await?;
                    worst = worst.max(began.elapsed());
                    count += 1;
                }
                Ok::<_, Box<dyn Error + Send + Sync>>((count, worst))
            })
        })
        .collect();
    let mut sum = (0, Duration::ZERO);
    for task in tasks {
        let (count, worst) = task.await??;
        sum = (sum.0 + count, sum.1.max(worst));
    }
    Ok(sum)
}

async fn fill(store: &Store) -> Result<()> {
    for part in 0..LISTED / PAGE {
        let writes = (0..PAGE).map(|at| object("listed", format!("{part:05}-{at:05}"), Expect::Absent));
        store.commit(writes.collect()).await?;
    }
    Ok(())
}

fn reads(store: &Store) -> Result<()> {
    let key = StoreKey::new("listed", "default", "00003-00003");
    let began = Instant::now();
    for _ in 0..10_000 {
        store.get(&key, None)?;
    }
    print("get", ms(began.elapsed()) / 10.0, "µs")?;

    let mut request = ListRequest {
        collection: "listed".to_owned(),
        ..ListRequest::default()
    };
    let began = Instant::now();
    let all = store.list(&request)?;
    print(&format!("list of {}", all.items.len()), ms(began.elapsed()), "ms")?;
    let began = Instant::now();
    request.limit = Some(PAGE);
    loop {
        let page = store.list(&request)?;
        if !page.more {
            break;
        }
        request.at = Some(page.revision);
        request.after = page.items.last().map(|item| item.key.clone());
    }
    print(&format!("the same in pages of {PAGE}"), ms(began.elapsed()), "ms")
}

async fn watch(store: &Store) -> Result<()> {
    let after = store.revision();
    let mut watchers = Vec::with_capacity(WATCHERS);
    for _ in 0..WATCHERS {
        let mut watcher = store.watch(WatchRequest {
            collection: Some("watched".to_owned()),
            after,
            ..WatchRequest::default()
        })?;
        watcher.next().await?;
        watchers.push(watcher);
    }
    let began = Instant::now();
    let write = tokio::spawn({
        let store = store.clone();
        async move {
            store
                .commit(vec![object("watched", "one".to_owned(), Expect::Absent)])
                .await
        }
    });
    for watcher in &mut watchers {
        while !matches!(watcher.next().await?, WatchEvent::Change(_)) {}
    }
    print(
        &format!("one change to {WATCHERS} watchers, with its sync"),
        ms(began.elapsed()),
        "ms",
    )?;
    write.await??;
    Ok(())
}

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}

fn resident_mib() -> Result<f64> {
    let status = fs::read_to_string("/proc/self/status")?;
    let line = status
        .lines()
        .find(|line| line.starts_with("VmRSS:"))
        .unwrap_or_default();
    let kib: f64 = line.split_whitespace().nth(1).unwrap_or("0").parse()?;
    Ok(kib / 1024.0)
}

fn print(name: &str, value: f64, unit: &str) -> Result<()> {
    writeln!(io::stdout(), "{name:<50} {value:>12.2} {unit}")?;
    Ok(())
}
