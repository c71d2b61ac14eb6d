//! Ctrl-C while a sandbox is made: ends the process as ever, but says what there is by then and how to remove it.

use std::thread;

use anyhow::Context;
use tokio::signal::unix::{SignalKind, signal};

use super::{name::SandboxName, registry};

/// Exit codes of programs that SIGINT and SIGTERM ended.
const INTERRUPTED: i32 = 128 + 2;
const TERMINATED: i32 = 128 + 15;

/// From now on until the process ends.
pub(super) fn explain(name: SandboxName) -> anyhow::Result<()> {
    let runtime = super::runtime()?;
    let entered = runtime.enter();
    let mut interrupt = signal(SignalKind::interrupt()).context("listen for SIGINT")?;
    let mut terminate = signal(SignalKind::terminate()).context("listen for SIGTERM")?;
    drop(entered);
    let wait = move || {
        let code = runtime.block_on(async {
            tokio::select! {
                _ = interrupt.recv() => INTERRUPTED,
                _ = terminate.recv() => TERMINATED,
            }
        });
        if registry::find(&name).is_ok() {
            // The first line ends what a terminal shows of the progress.
            eprintln!(
                "\ninterrupted: the sandbox {name} exists as far as it got; `skep sandbox delete --name {name}` removes it"
            );
        }
        std::process::exit(code)
    };
    thread::Builder::new()
        .name("signals".to_owned())
        .spawn(wait)
        .context("start the thread that waits for signals")?;
    Ok(())
}
