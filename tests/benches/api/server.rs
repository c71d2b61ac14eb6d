//! The server that is measured: the real binary in a process of its own.
//!
//! Source: proc(5), VmRSS of /proc/PID/status, utime and stime of /proc/PID/stat.

use std::{
    fs::File,
    net::{Ipv4Addr, SocketAddr, TcpListener},
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::Duration,
};

use anyhow::{Context as _, Result};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use tests::{programs, wait_for};
use tokio::{sync::oneshot, task::JoinHandle};

/// How often memory is looked at for its peak.
const MEMORY_INTERVAL: Duration = Duration::from_millis(20);
/// Ticks per second of the times in /proc/PID/stat: fixed by the kernel's user interface.
const CLOCK_TICKS_PER_SECOND: f64 = 100.0;

/// A running server with a store of its own. Ends when dropped.
pub(crate) struct Server {
    process: Child,
    directory: tempfile::TempDir,
}

impl Server {
    /// Starts it and waits until it is ready.
    pub(crate) fn start() -> Result<Server> {
        let directory = tempfile::tempdir()?;
        // Free now; nobody else is known to take it until the server does.
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port();
        let log = File::create(directory.path().join("log"))?;
        let process = Command::new(programs::skep())
            .args([
                "server",
                "--listen",
                &SocketAddr::from((Ipv4Addr::LOCALHOST, port)).to_string(),
            ])
            .args(["--advertise", "127.0.0.1", "--data-dir"])
            .arg(directory.path().join("data"))
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .context("start the server")?;
        let server = Server { process, directory };
        wait_for("the server is ready", Duration::from_secs(30), || {
            let ready = Command::new(programs::skep())
                .args(["get", "namespaces"])
                .env("KUBECONFIG", server.kubeconfig())
                .output();
            ready.is_ok_and(|output| output.status.success()).then_some(())
        });
        Ok(server)
    }

    pub(crate) fn kubeconfig(&self) -> PathBuf {
        self.directory.path().join("data/kubeconfig")
    }

    /// Resident memory now.
    pub(crate) fn resident_mib(&self) -> Result<f64> {
        resident_mib(self.process.id())
    }

    /// Processor time until now.
    pub(crate) fn cpu_seconds(&self) -> Result<f64> {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.process.id()))?;
        // The name, in parentheses, may hold spaces; utime and stime are the 12th and 13th fields after it.
        let after_name = stat.rsplit_once(')').map(|(_, rest)| rest).unwrap_or_default();
        let fields: Vec<&str> = after_name.split_whitespace().collect();
        let ticks = |index: usize| fields.get(index).and_then(|field| field.parse::<f64>().ok());
        let total = ticks(11).zip(ticks(12)).map(|(user, system)| user + system);
        Ok(total.context("find the times in /proc/PID/stat")? / CLOCK_TICKS_PER_SECOND)
    }

    /// Begins to look for the most memory that is resident at once.
    pub(crate) fn watch_memory(&self) -> Peak {
        let pid = self.process.id();
        let (stop, mut stopped) = oneshot::channel::<()>();
        let task = tokio::spawn(async move {
            let mut peak: f64 = 0.0;
            loop {
                peak = peak.max(resident_mib(pid)?);
                if tokio::time::timeout(MEMORY_INTERVAL, &mut stopped).await.is_ok() {
                    return Ok(peak);
                }
            }
        });
        Peak { stop, task }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let pid = i32::try_from(self.process.id()).expect("process ids are small");
        // A server that is gone already has ended as it should.
        let _ = kill(Pid::from_raw(pid), Signal::SIGTERM);
        let _ = self.process.wait();
    }
}

/// A look-out for the most memory.
pub(crate) struct Peak {
    stop: oneshot::Sender<()>,
    task: JoinHandle<Result<f64>>,
}

impl Peak {
    /// The most that was seen, MiB.
    pub(crate) async fn end(self) -> Result<f64> {
        drop(self.stop);
        self.task.await?
    }
}

fn resident_mib(pid: u32) -> Result<f64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).context("look at the server; did it die?")?;
    let kib: f64 = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))
        .and_then(|value| value.trim().trim_end_matches(" kB").parse().ok())
        .context("find VmRSS in /proc/PID/status")?;
    Ok(kib / 1024.0)
}
