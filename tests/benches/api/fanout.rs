//! One writer and many watchers: how soon each is told, and what a watch costs that has nothing to tell.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use http::Method;
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use tokio::{
    sync::{mpsc, watch},
    task::JoinSet,
};

use crate::{
    connection::{Connection, Target},
    load::{Call, Load},
    objects,
    report::Row,
    server::Server,
};

pub(crate) const OPERATION: &str = "event to 1000 watchers";
const WATCHERS: usize = 1_000;
/// Watches of one connection, as a client library with all its informers has them.
const WATCHES_EACH: usize = 50;
/// Writes per second while watches are open; each is told to all.
const WRITES_PER_SECOND: u32 = 20;
const WATCHED: &str = "watched";

pub(crate) async fn measure(server: &Server, target: &Target, lasting: Duration) -> Result<()> {
    let mut writer = Connection::open(target).await?;
    write(&mut writer, Method::POST, 0).await?;

    let mut connections = Vec::new();
    for _ in 0..WATCHERS / WATCHES_EACH {
        connections.push(Connection::open(target).await?);
    }
    let before = server.resident_mib()?;
    let (sent, times) = watch::channel(Vec::<Instant>::new());
    let (opened, mut open) = mpsc::channel(WATCHERS);
    let mut watchers = JoinSet::new();
    for connection in connections.iter().cycle().take(WATCHERS) {
        let (connection, times, opened) = (connection.clone(), times.clone(), opened.clone());
        watchers.spawn(follow(connection, times, opened));
    }
    for _ in 0..WATCHERS {
        open.recv().await.context("a watch ended as it began")?;
    }
    let each_kb = (server.resident_mib()? - before) * 1_048_576.0 / 1e3 / WATCHERS as f64;

    let begun = Instant::now();
    let cpu = server.cpu_seconds()?;
    let peak = server.watch_memory();
    let pause = Duration::from_secs(1) / WRITES_PER_SECOND;
    let mut due = begun;
    for version in 1.. {
        tokio::time::sleep_until(due.into()).await;
        if begun.elapsed() >= lasting {
            write(&mut writer, Method::DELETE, version).await?;
            break;
        }
        sent.send_modify(|times| times.push(Instant::now()));
        write(&mut writer, Method::PUT, version).await?;
        due += pause;
    }
    let mut took = Vec::new();
    while let Some(watcher) = watchers.join_next().await {
        let seen = watcher??;
        if seen.len() != times.borrow().len() {
            bail!("a watcher was told {} of {} writes", seen.len(), times.borrow().len());
        }
        took.extend(seen);
    }
    let row = Row {
        operation: OPERATION,
        clients: WATCHERS,
        load: Load::new(took, begun.elapsed()),
        server_mib: peak.end().await?,
        server_cpu_seconds: server.cpu_seconds()? - cpu,
    };
    println!("{row}");
    println!(
        "\nan idle watch: {each_kb:.1} kB of the server's memory ({WATCHERS} watches, {WATCHES_EACH} to a connection)"
    );
    Ok(())
}

async fn write(writer: &mut Connection, method: Method, version: usize) -> Result<()> {
    let path = match method {
        Method::POST => objects::CONFIG_MAPS.to_owned(),
        _ => format!("{}/{WATCHED}", objects::CONFIG_MAPS),
    };
    let body = match method {
        Method::DELETE => String::new(),
        _ => objects::config_map(WATCHED, version),
    };
    writer.call(Call { method, path, body }).await?;
    Ok(())
}

/// Watches the one object until it is deleted; answers how long each write took to get here, from when it was sent.
async fn follow(
    mut connection: Connection,
    times: watch::Receiver<Vec<Instant>>,
    opened: mpsc::Sender<()>,
) -> Result<Vec<Duration>> {
    let watch = Call::get(format!(
        "{}?watch=true&fieldSelector=metadata.name%3D{WATCHED}",
        objects::CONFIG_MAPS
    ));
    let mut events = Events::new(connection.send(watch).await?.into_body());
    // What is there now comes first.
    events.next().await?;
    opened.send(()).await?;
    let mut took = Vec::new();
    loop {
        let event = events.next().await?;
        let now = Instant::now();
        if event.starts_with(br#"{"type":"DELETED""#) {
            return Ok(took);
        }
        let sent = times.borrow().get(took.len()).copied();
        took.push(now - sent.context("an event that nobody has sent")?);
    }
}

/// The lines of a watch.
struct Events {
    body: Incoming,
    buffer: Vec<u8>,
}

impl Events {
    fn new(body: Incoming) -> Events {
        Events {
            body,
            buffer: Vec::new(),
        }
    }

    async fn next(&mut self) -> Result<Vec<u8>> {
        loop {
            if let Some(end) = self.buffer.iter().position(|byte| *byte == b'\n') {
                return Ok(self.buffer.drain(..=end).collect());
            }
            let frame = self.body.frame().await.context("the watch ended")??;
            if let Some(data) = frame.data_ref() {
                self.buffer.extend_from_slice(data);
            }
        }
    }
}
