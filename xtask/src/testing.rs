//! `cargo xtask test`: the README's test command.
//!
//! Units of every crate first, in parallel; then the end-to-end tests, one after the other, because they share the
//! machine's kernel, and with the `skep` binary that was just built. A test that cannot run here records why; in CI
//! that is a failure.

use std::{path::Path, process::Command};

use anyhow::{Context, Result, bail};
use clap::Args;

use crate::{cargo, setup, shell};

/// What to run.
#[derive(Args)]
pub struct TestArguments {
    /// Only the unit tests.
    #[arg(long, conflicts_with = "end_to_end")]
    unit: bool,
    /// Only the end-to-end tests.
    #[arg(long)]
    end_to_end: bool,
    /// Only tests whose name contains this.
    filter: Option<String>,
}

/// True when no test may be skipped.
#[must_use]
pub fn is_ci() -> bool {
    std::env::var_os("CI").is_some_and(|value| value == "true" || value == "1")
}

/// Runs the tests that were asked for.
///
/// # Errors
/// When a test fails, or could not run and CI is set.
pub fn run(arguments: &TestArguments) -> Result<()> {
    setup::run()?;
    let mut failed = Vec::new();
    if !arguments.end_to_end {
        println!("test: units");
        let mut units = cargo::over_workspace("test");
        units
            .args(["--lib", "--bins", "--no-fail-fast", "--"])
            .args(&arguments.filter);
        if shell::run(&mut units).is_err() {
            failed.push("units");
        }
    }
    if !arguments.unit && end_to_end(arguments)? == Outcome::Failed {
        failed.push("end-to-end tests");
    }
    if failed.is_empty() {
        println!("test: all passed");
        return Ok(());
    }
    bail!("failed: {}", failed.join(", "))
}

#[derive(PartialEq, Eq)]
enum Outcome {
    Passed,
    Failed,
}

fn end_to_end(arguments: &TestArguments) -> Result<Outcome> {
    let skep = cargo::build_skep(cargo::Profile::Dev)?;
    let kubectl = setup::kubectl::ensure()?.kubectl;
    let not_run = cargo::target_dir().join("not-run.txt");
    std::fs::write(&not_run, "").with_context(|| format!("write {}", not_run.display()))?;

    println!("test: end to end (serially, with {})", skep.display());
    let mut tests: Command = cargo::over_workspace("test");
    tests
        .args(["--test", "*", "--no-fail-fast", "--", "--test-threads=1"])
        .args(&arguments.filter)
        .env("SKEP_BIN", &skep)
        .env("SKEP_KUBECTL", &kubectl)
        .env("SKEP_NOT_RUN_FILE", &not_run);
    let passed = shell::run(&mut tests).is_ok();
    let none_skipped = report_not_run(&not_run)?;
    Ok(if passed && none_skipped {
        Outcome::Passed
    } else {
        Outcome::Failed
    })
}

/// Names the tests that could not run. False if that is a failure.
fn report_not_run(file: &Path) -> Result<bool> {
    let content = std::fs::read_to_string(file).with_context(|| format!("read {}", file.display()))?;
    for line in content.lines() {
        println!("test: NOT RUN: {line}");
    }
    Ok(content.is_empty() || !is_ci())
}
