//! The cargo invocations that tasks share, so that they select the same packages and features and nothing is built twice.

use std::{
    path::PathBuf,
    process::{Command, Stdio},
};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::shell;

/// How code is built.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Profile {
    /// Quick to build; what tests and the demo use.
    Dev,
    /// Optimised; what measurements use.
    Release,
}

/// `cargo <verb>` over all packages but the eBPF programs, which agent/build.rs builds for their own target.
#[must_use]
pub fn over_workspace(verb: &str) -> Command {
    let mut command = cargo();
    command.args([verb, "--workspace", "--exclude", "dataplane-ebpf"]);
    command
}

/// The cargo that started us, in the workspace's folder.
#[must_use]
pub fn cargo() -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(shell::workspace());
    command
}

/// Where cargo puts what it builds.
#[must_use]
pub fn target_dir() -> PathBuf {
    match std::env::var_os("CARGO_TARGET_DIR") {
        Some(directory) => shell::workspace().join(directory),
        None => shell::workspace().join("target"),
    }
}

/// Builds the binaries and returns the path of `skep`.
///
/// # Errors
/// When the build fails; cargo has then said why on the terminal.
pub fn build_skep(profile: Profile) -> Result<PathBuf> {
    // With the selection of `cargo test --workspace`, so that features unify in the same way and nothing is rebuilt.
    let mut command = over_workspace("build");
    if profile == Profile::Release {
        command.arg("--release");
    }
    command
        .args(["--bins", "--message-format=json-render-diagnostics"])
        .stderr(Stdio::inherit());
    let output = command
        .output()
        .with_context(|| format!("start `{}`", shell::shown(&command)))?;
    if !output.status.success() {
        bail!("the build failed; cargo's messages are above");
    }
    String::from_utf8_lossy(&output.stdout)
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .filter(|message| message["reason"] == "compiler-artifact" && message["target"]["name"] == "skep")
        .find_map(|message| message["executable"].as_str().map(PathBuf::from))
        .context("cargo did not name the executable of skep")
}
