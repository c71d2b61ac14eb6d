//! `skep server`, `skep agent` and `skep up`, the long-running commands, and `skep down`, which removes what the last of
//! them made.
//!
//! Only translates arguments to configurations and signals to cancellation; the work is in `control` and `agent`.

use std::{future::Future, net::Ipv4Addr, process::ExitCode};

use anyhow::Context;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

pub(crate) mod agent_arguments;
pub(crate) mod down;
mod mistakes;
mod oidc_arguments;
pub(crate) mod server_arguments;
pub(crate) mod up;

pub(crate) use agent_arguments::AgentArguments;
pub(crate) use down::DownArguments;
pub(crate) use server_arguments::ServerArguments;
pub(crate) use up::UpArguments;

/// Where the server and the agent keep what must survive a restart.
pub(crate) const DATA_DIR: &str = "/var/lib/skep";
/// The port of Kubernetes' API.
pub(crate) const API_PORT: u16 = 6443;

/// Exit code of a program that SIGINT ended.
const INTERRUPTED: i32 = 128 + 2;

/// Runs until the work ends, or SIGINT or SIGTERM cancels it. A second SIGINT ends the process at once.
pub(crate) fn run_until_signal<F, E>(work: impl FnOnce(CancellationToken) -> F) -> anyhow::Result<ExitCode>
where
    F: Future<Output = Result<(), E>>,
    E: std::error::Error + Send + Sync + 'static,
{
    allow_many_descriptors();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("start the asynchronous runtime")?;
    runtime.block_on(async {
        let cancel = CancellationToken::new();
        let on_signal = cancel.clone();
        let mut interrupt = signal(SignalKind::interrupt()).context("listen for SIGINT")?;
        let mut terminate = signal(SignalKind::terminate()).context("listen for SIGTERM")?;
        tokio::spawn(async move {
            // A supervisor's SIGTERM may follow the terminal's SIGINT; only a person's second Ctrl-C is impatience.
            let mut interrupts = 0;
            loop {
                tokio::select! {
                    _ = interrupt.recv() => interrupts += 1,
                    _ = terminate.recv() => {}
                }
                if interrupts > 1 {
                    std::process::exit(INTERRUPTED);
                }
                if !on_signal.is_cancelled() {
                    info!("stopping");
                    on_signal.cancel();
                }
            }
        });
        match work(cancel).await {
            Ok(()) => Ok(ExitCode::SUCCESS),
            Err(failure) => {
                error!(error = %chain(&failure), "ended");
                Ok(ExitCode::FAILURE)
            }
        }
    })
}

/// Connections, watches, maps and programs are all descriptors: as many as we may have, rather than the 1,024 that
/// programs using select(2) are protected with.
fn allow_many_descriptors() {
    let limits = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limits.maximum,
        maximum: limits.maximum,
    };
    if let Err(failure) = setrlimit(Resource::Nofile, raised) {
        warn!(
            error = &failure as &dyn std::error::Error,
            "raise the limit of open descriptors failed"
        );
    }
}

/// An error with its causes, outermost first.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}

/// This machine's name, as a node name: lower case, letters, digits, `-` and `.`.
pub(crate) fn host_name() -> anyhow::Result<String> {
    let name = nix::unistd::gethostname().context("read this machine's name")?;
    Ok(name.to_string_lossy().to_lowercase().replace('_', "-"))
}

/// The address this machine reaches others from, if it has a route out.
pub(crate) fn primary_address() -> Option<Ipv4Addr> {
    // Connecting a datagram socket sends nothing; it only makes the kernel choose a source address.
    let socket = std::net::UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).ok()?;
    socket.connect((Ipv4Addr::new(192, 0, 2, 1), 9)).ok()?;
    match socket.local_addr().ok()?.ip() {
        std::net::IpAddr::V4(address) if !address.is_unspecified() => Some(address),
        std::net::IpAddr::V4(_) | std::net::IpAddr::V6(_) => None,
    }
}
