//! The load generator of tests: sends requests to a web server and counts what comes back.
//!
//! `test-load new HOST:PORT COUNT`: so many requests one after the other, each on a connection of its own.
//! `test-load keep HOST:PORT CONNECTIONS RATE`: over so many connections that stay open, so many requests a second,
//! until SIGTERM (or, with a fifth argument, for so many seconds). `renew` instead of `keep`: so many clients side by
//! side, and a connection of its own for each of their requests.
//!
//! Prints a JSON line every second and a last one at the end:
//! `{"requests":…,"failed":…,"reconnects":…,"longest_ms":…,"by_name":{…},"errors":[…],"done":…}`.

#![allow(clippy::print_stdout, reason = "a program of its own")]

use std::{
    cell::RefCell,
    collections::BTreeMap,
    rc::Rc,
    time::{Duration, Instant},
};

use serde_json::json;
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::TcpStream,
    signal::unix::{SignalKind, signal},
    task::LocalSet,
    time::{interval, sleep, timeout},
};

/// A request that takes longer has failed.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);
/// Failures that are kept as text.
const ERRORS_MAX: usize = 20;

#[derive(Default)]
struct Counts {
    requests: u64,
    failed: u64,
    reconnects: u64,
    longest: Duration,
    by_name: BTreeMap<String, u64>,
    errors: Vec<String>,
}

impl Counts {
    fn take(&mut self, outcome: Result<String, String>, took: Duration) {
        self.requests += 1;
        self.longest = self.longest.max(took);
        match outcome {
            Ok(name) => *self.by_name.entry(name).or_default() += 1,
            Err(error) => {
                self.failed += 1;
                if self.errors.len() < ERRORS_MAX {
                    self.errors.push(error);
                }
            }
        }
    }

    fn print(&self, stage: Stage) {
        println!(
            "{}",
            json!({
                "requests": self.requests, "failed": self.failed, "reconnects": self.reconnects,
                "longest_ms": self.longest.as_millis(), "by_name": self.by_name, "errors": self.errors, "done": stage == Stage::Done,
            })
        );
    }
}

fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let number = |index: usize| words.get(index).and_then(|word| word.parse::<u32>().ok());
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("start the runtime");
    let local = LocalSet::new();
    match (words.first().map(String::as_str), words.get(1), number(2), number(3)) {
        (Some("new"), Some(target), Some(count), _) => local.block_on(&runtime, new_connections(target, count)),
        (Some(mode @ ("keep" | "renew")), Some(target), Some(clients), Some(rate)) => {
            let reuse = if mode == "keep" { Reuse::Always } else { Reuse::Never };
            local.block_on(&runtime, side_by_side(target.clone(), clients, rate, reuse, number(4)));
        }
        _ => {
            println!("test-load new HOST:PORT COUNT | test-load keep|renew HOST:PORT CONNECTIONS RATE [SECONDS]");
            std::process::exit(2);
        }
    }
}

async fn new_connections(target: &str, count: u32) {
    let mut counts = Counts::default();
    for _ in 0..count {
        let start = Instant::now();
        let outcome = async {
            let mut connection = connect(target).await?;
            request(&mut connection, "close").await
        };
        let outcome = timeout(ANSWER_WITHIN, outcome)
            .await
            .unwrap_or_else(|_| Err("timed out".to_owned()));
        counts.take(outcome, start.elapsed());
    }
    counts.print(Stage::Done);
}

/// Whether more will be counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Running,
    Done,
}

/// Whether a connection serves more than one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reuse {
    Always,
    Never,
}

async fn side_by_side(target: String, clients: u32, rate: u32, reuse: Reuse, seconds: Option<u32>) {
    let counts = Rc::new(RefCell::new(Counts::default()));
    let between = Duration::from_secs(1) * clients.max(1) / rate.max(1);
    for index in 0..clients {
        let (target, counts) = (target.clone(), Rc::clone(&counts));
        tokio::task::spawn_local(async move {
            // Spread over the interval, so that requests do not come in bursts.
            sleep(between * index / clients).await;
            keep_requesting(&target, between, reuse, &counts).await;
        });
    }
    let mut terminate = signal(SignalKind::terminate()).expect("listen for SIGTERM");
    let mut each_second = interval(Duration::from_secs(1));
    let limit = seconds.map(|seconds| Duration::from_secs(seconds.into()));
    let end = async {
        match limit {
            Some(limit) => sleep(limit).await,
            None => std::future::pending().await,
        }
    };
    tokio::pin!(end);
    loop {
        tokio::select! {
            _ = each_second.tick() => counts.borrow().print(Stage::Running),
            _ = terminate.recv() => break,
            () = &mut end => break,
        }
    }
    counts.borrow().print(Stage::Done);
}

async fn keep_requesting(target: &str, between: Duration, reuse: Reuse, counts: &RefCell<Counts>) {
    let mut connection = None;
    let mut ticks = interval(between);
    loop {
        ticks.tick().await;
        let start = Instant::now();
        let outcome = async {
            if connection.is_none() {
                connection = Some(connect(target).await?);
            }
            match (&mut connection, reuse) {
                (Some(connection), Reuse::Always) => request(connection, "keep-alive").await,
                (Some(connection), Reuse::Never) => request(connection, "close").await,
                (None, _) => Err("no connection".to_owned()),
            }
        };
        let outcome = timeout(ANSWER_WITHIN, outcome)
            .await
            .unwrap_or_else(|_| Err("timed out".to_owned()));
        if outcome.is_err() {
            counts.borrow_mut().reconnects += 1;
        }
        if outcome.is_err() || reuse == Reuse::Never {
            connection = None;
        }
        counts.borrow_mut().take(outcome, start.elapsed());
    }
}

async fn connect(target: &str) -> Result<BufReader<TcpStream>, String> {
    let stream = TcpStream::connect(target)
        .await
        .map_err(|error| format!("connect: {error}"))?;
    stream.set_nodelay(true).map_err(|error| format!("connect: {error}"))?;
    Ok(BufReader::new(stream))
}

/// Sends a request and returns the body, without the line break.
async fn request(stream: &mut BufReader<TcpStream>, connection: &str) -> Result<String, String> {
    let failed = |step: &'static str| move |error: std::io::Error| format!("{step}: {error}");
    let text = format!("GET / HTTP/1.1\r\nHost: test\r\nConnection: {connection}\r\n\r\n");
    stream
        .get_mut()
        .write_all(text.as_bytes())
        .await
        .map_err(failed("send"))?;
    let mut length = None;
    let mut status = String::new();
    if stream.read_line(&mut status).await.map_err(failed("receive"))? == 0 {
        return Err("receive: the connection was closed".to_owned());
    }
    loop {
        let mut header = String::new();
        stream.read_line(&mut header).await.map_err(failed("receive"))?;
        if header.trim().is_empty() {
            break;
        }
        if let Some(value) = header.to_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse::<usize>().ok();
        }
    }
    let mut body = vec![0; length.ok_or("receive: no length")?];
    stream.read_exact(&mut body).await.map_err(failed("receive"))?;
    if !status.contains(" 200 ") {
        return Err(format!("answer: {}", status.trim()));
    }
    Ok(String::from_utf8_lossy(&body).trim().to_owned())
}
