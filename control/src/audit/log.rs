//! Where events of the audit log go: a file that is rotated, or standard output, written by one thread.
//!
//! Requests never wait for the disk: what does not fit the queue is dropped and counted.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
        mpsc,
    },
    thread,
    time::{Duration, Instant},
};

use api::Timestamp;
use prometheus::IntCounter;
use serde_json::Value;
use tokio::sync::oneshot;

use super::rotation::{self, Limits};

/// Events that wait to be written: kube-apiserver's buffer.
const QUEUED_EVENTS_MAX: usize = 10_000;
/// Bytes that wait to be written: some twenty of the biggest requests, or every event of the queue at an ordinary size.
const QUEUED_BYTES_MAX: usize = 64 << 20;
/// A log that cannot be written is complained about this often, not once per event.
const COMPLAINT_INTERVAL: Duration = Duration::from_secs(60);

/// What is counted.
#[derive(Clone)]
pub(crate) struct AuditMeter {
    /// Events taken.
    pub(crate) events: IntCounter,
    /// Events lost: no room in the queue, or the file could not be written.
    pub(crate) lost: IntCounter,
}

/// Why the log did not start.
pub(super) enum Start {
    Open(io::Error),
    Thread(io::Error),
}

enum Order {
    Write(Vec<u8>),
    Close(oneshot::Sender<()>),
}

pub(super) struct Log {
    orders: mpsc::SyncSender<Order>,
    queued_bytes: Arc<AtomicUsize>,
    meter: AuditMeter,
}

impl Log {
    /// Opens the file (`-` is standard output) and starts to write.
    pub(super) fn start(path: &Path, limits: Limits, meter: AuditMeter) -> Result<Log, Start> {
        let target = if path == Path::new("-") {
            Target::Output
        } else {
            Target::File(RotatedFile::open(path, limits).map_err(Start::Open)?)
        };
        let (orders, received) = mpsc::sync_channel(QUEUED_EVENTS_MAX);
        let queued_bytes = Arc::new(AtomicUsize::new(0));
        let writer = Writer {
            target,
            orders: received,
            queued_bytes: queued_bytes.clone(),
            lost: meter.lost.clone(),
            complained: None,
        };
        thread::Builder::new()
            .name("audit-log".to_owned())
            .spawn(move || writer.run())
            .map_err(Start::Thread)?;
        Ok(Log {
            orders,
            queued_bytes,
            meter,
        })
    }

    /// Takes an event, or drops it.
    pub(super) fn write(&self, event: Value) {
        self.meter.events.inc();
        let mut line = event.to_string().into_bytes();
        line.push(b'\n');
        let length = line.len();
        let before = self.queued_bytes.fetch_add(length, Ordering::Relaxed);
        if before + length > QUEUED_BYTES_MAX || self.orders.try_send(Order::Write(line)).is_err() {
            self.queued_bytes.fetch_sub(length, Ordering::Relaxed);
            self.meter.lost.inc();
        }
    }

    /// Writes what waits and ends.
    pub(super) async fn close(&self) {
        let (reply, closed) = oneshot::channel();
        let orders = self.orders.clone();
        // The queue may be full. An error means that the thread has ended already.
        let asked = tokio::task::spawn_blocking(move || orders.send(Order::Close(reply)).is_ok());
        if asked.await.unwrap_or(false) {
            let _ = closed.await;
        }
    }
}

struct Writer {
    target: Target,
    orders: mpsc::Receiver<Order>,
    queued_bytes: Arc<AtomicUsize>,
    lost: IntCounter,
    complained: Option<Instant>,
}

impl Writer {
    fn run(mut self) {
        while let Ok(order) = self.orders.recv() {
            match order {
                Order::Write(line) => {
                    self.queued_bytes.fetch_sub(line.len(), Ordering::Relaxed);
                    if let Err(error) = self.target.write(&line) {
                        self.lost.inc();
                        self.complain(&error);
                    }
                }
                Order::Close(reply) => {
                    // The closer may have stopped waiting.
                    let _ = reply.send(());
                    return;
                }
            }
        }
    }

    fn complain(&mut self, error: &io::Error) {
        let now = Instant::now();
        if self
            .complained
            .is_none_or(|last| now.duration_since(last) >= COMPLAINT_INTERVAL)
        {
            self.complained = Some(now);
            tracing::error!(
                error = error as &dyn std::error::Error,
                "the audit log cannot be written"
            );
        }
    }
}

enum Target {
    Output,
    File(RotatedFile),
}

impl Target {
    fn write(&mut self, line: &[u8]) -> io::Result<()> {
        match self {
            Target::Output => io::stdout().lock().write_all(line),
            Target::File(file) => file.write(line),
        }
    }
}

struct RotatedFile {
    path: PathBuf,
    limits: Limits,
    file: File,
    written: u64,
}

impl RotatedFile {
    fn open(path: &Path, limits: Limits) -> io::Result<RotatedFile> {
        if let Some(parent) = path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
            fs::create_dir_all(parent)?;
        }
        let (file, written) = open(path)?;
        Ok(RotatedFile {
            path: path.to_owned(),
            limits,
            file,
            written,
        })
    }

    fn write(&mut self, line: &[u8]) -> io::Result<()> {
        let length = line.len() as u64;
        if rotation::is_due(&self.limits, self.written, length) {
            let now = Timestamp::now();
            fs::rename(&self.path, rotation::backup(&self.path, now))?;
            (self.file, self.written) = open(&self.path)?;
            self.remove_superfluous(now)?;
        }
        self.file.write_all(line)?;
        self.written += length;
        Ok(())
    }

    fn remove_superfluous(&self, now: Timestamp) -> io::Result<()> {
        let dir = match self.path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        };
        let mut names = Vec::new();
        for entry in fs::read_dir(dir)? {
            names.push(entry?.file_name().to_string_lossy().into_owned());
        }
        for name in rotation::superfluous(&self.path, &names, &self.limits, now) {
            fs::remove_file(dir.join(name))?;
        }
        Ok(())
    }
}

/// For its owner alone: requests name what is nobody else's business.
fn open(path: &Path) -> io::Result<(File, u64)> {
    let file = OpenOptions::new().create(true).append(true).mode(0o600).open(path)?;
    let written = file.metadata()?.len();
    Ok((file, written))
}
