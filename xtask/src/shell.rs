//! Running other programs, with errors that carry the command line and what it said.
//!
//! Never a shell: arguments are passed as they are.

use std::{
    ffi::OsStr,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context, Result, bail};

/// The command line as a person would type it, for messages.
#[must_use]
pub fn shown(command: &Command) -> String {
    let mut line = command.get_program().to_string_lossy().into_owned();
    for argument in command.get_args() {
        line.push(' ');
        line.push_str(&argument.to_string_lossy());
    }
    line
}

/// Runs a program on our terminal.
///
/// # Errors
/// When it cannot be started or does not exit with 0.
pub fn run(command: &mut Command) -> Result<()> {
    let status = command
        .status()
        .with_context(|| format!("start `{}`", shown(command)))?;
    if !status.success() {
        bail!("`{}` ended with {status}", shown(command));
    }
    Ok(())
}

/// Runs a program and returns its standard output.
///
/// # Errors
/// When it cannot be started or does not exit with 0; the error carries what it wrote to standard error.
pub fn output(command: &mut Command) -> Result<String> {
    let output = command
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("start `{}`", shown(command)))?;
    if !output.status.success() {
        bail!(
            "`{}` ended with {}: {}",
            shown(command),
            output.status,
            String::from_utf8_lossy(&output.stderr).trim()
        );
    }
    String::from_utf8(output.stdout).with_context(|| format!("read the output of `{}`", shown(command)))
}

/// True if the program can be started and exits with 0; its output is discarded.
#[must_use]
pub fn succeeds(command: &mut Command) -> bool {
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

/// Where a program is in PATH.
#[must_use]
pub fn find_program(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path)
        .map(|directory| directory.join(name))
        .find(|candidate| candidate.is_file())
}

/// A command that runs as root: through sudo unless we are root.
///
/// # Errors
/// When we are not root and there is no sudo.
pub fn as_root(program: impl AsRef<OsStr>) -> Result<Command> {
    if is_root()? {
        return Ok(Command::new(program));
    }
    if find_program("sudo").is_none() {
        bail!(
            "`{}` needs root, and there is no sudo: run this task as root",
            program.as_ref().to_string_lossy()
        );
    }
    let mut command = Command::new("sudo");
    command.arg(program);
    Ok(command)
}

/// True if our effective user is root.
///
/// # Errors
/// When /proc cannot be read.
pub fn is_root() -> Result<bool> {
    let status = std::fs::read_to_string("/proc/self/status").context("read /proc/self/status")?;
    let effective = status
        .lines()
        .find_map(|line| line.strip_prefix("Uid:"))
        .and_then(|uids| uids.split_whitespace().nth(1))
        .context("find the user id in /proc/self/status")?;
    Ok(effective == "0")
}

/// The folder of the workspace's Cargo.toml.
#[must_use]
pub fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("the manifest of xtask lies one folder below the workspace")
        .to_path_buf()
}
