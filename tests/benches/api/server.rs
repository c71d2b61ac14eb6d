//! The server that is measured: the real binary in a process of its own.

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
use xtask::process;

/// How often memory is looked at for its peak.
const MEMORY_INTERVAL: Duration = Duration::from_millis(20);

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
        process::resident_mib(self.process.id())
    }

    /// Processor time until now.
    pub(crate) fn cpu_seconds(&self) -> Result<f64> {
        process::cpu_seconds(self.process.id())
    }

    /// Begins to look for the most memory that is resident at once.
    pub(crate) fn watch_memory(&self) -> Peak {
        let pid = self.process.id();
        let (stop, mut stopped) = oneshot::channel::<()>();
        let task = tokio::spawn(async move {
            let mut peak: f64 = 0.0;
            loop {
                peak = peak.max(process::resident_mib(pid)?);
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
