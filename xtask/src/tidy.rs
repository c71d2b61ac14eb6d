//! `cargo xtask tidy`: the rules of docs/architecture.md and docs/style.md that a program can check.
//!
//! Reads `cargo metadata` and the sources that git knows of; never changes anything.

use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::{cargo, shell};

mod edges;
mod sources;

/// Checks every rule and prints each breach as `file:line: rule`.
///
/// # Errors
/// When there is a breach.
pub fn run() -> Result<()> {
    let metadata = shell::output(cargo::cargo().args(["metadata", "--format-version=1", "--no-deps", "--offline"]))?;
    let metadata = serde_json::from_str(&metadata).context("read what cargo metadata printed")?;
    let mut breaches = edges::check(&metadata);
    for path in tracked_files()? {
        let Ok(text) = std::fs::read_to_string(shell::workspace().join(&path)) else {
            continue; // Deleted in the working tree, or not text.
        };
        breaches.extend(sources::check(&path, &text));
    }
    for breach in &breaches {
        println!("{breach}");
    }
    if breaches.is_empty() {
        println!("tidy: clean");
        return Ok(());
    }
    bail!("{} breaches of docs/architecture.md or docs/style.md", breaches.len())
}

fn tracked_files() -> Result<Vec<String>> {
    let mut list = Command::new("git");
    list.args([
        "ls-files",
        "--cached",
        "--others",
        "--exclude-standard",
        "*.rs",
        "*.toml",
    ])
    .current_dir(shell::workspace());
    Ok(shell::output(&mut list)?.lines().map(str::to_owned).collect())
}
