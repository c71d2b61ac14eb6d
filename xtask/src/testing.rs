//! `cargo xtask test`: the README's test command.
//!
//! Units of every crate first, in parallel; then the end-to-end tests, one after the other, because they share the
//! machine's kernel, and with the `skep` binary that was just built. A test that cannot run here records why; in CI
//! that is a failure. Fuzzing is asked for by itself.

mod fuzz;

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
    /// Only the fuzz targets, each for some time.
    #[arg(long, conflicts_with_all = ["unit", "end_to_end", "filter"])]
    fuzz: bool,
    /// How long each fuzz target is run.
    #[arg(long, default_value_t = 60, requires = "fuzz")]
    fuzz_seconds: u64,
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
    if arguments.fuzz {
        fuzz::run(arguments.fuzz_seconds)?;
        println!("test: fuzzing found nothing");
        return Ok(());
    }
    let mut failed = Vec::new();
    if !arguments.end_to_end {
        println!("test: units");
        let mut units = cargo::over_workspace("test");
        units
            .args(["--lib", "--bins", "--no-fail-fast", "--"])
            .args(&arguments.filter);
        if shell::run(&mut units).is_err() {
            failed.push("units".to_owned());
        }
    }
    let mut not_run = 0;
    if !arguments.unit {
        let outcome = end_to_end(arguments)?;
        if !outcome.passed {
            failed.push("end-to-end tests".to_owned());
        }
        not_run = outcome.not_run;
    }
    println!("test: {}", conclude(failed, not_run, Skipping::here())?);
    Ok(())
}

/// What becomes of the task when a test could not run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Skipping {
    Passes,
    Fails,
}

impl Skipping {
    fn here() -> Self {
        if is_ci() { Self::Fails } else { Self::Passes }
    }
}

/// The last line, or the error with which the task fails.
fn conclude(mut failed: Vec<String>, not_run: usize, skipping: Skipping) -> Result<String> {
    let skipped = match not_run {
        0 => None,
        1 => Some("1 test was not run".to_owned()),
        count => Some(format!("{count} tests were not run")),
    };
    if !failed.is_empty() || (skipping == Skipping::Fails && not_run > 0) {
        let why = match skipping {
            Skipping::Fails => ", which CI requires",
            Skipping::Passes => "",
        };
        failed.extend(skipped.map(|skipped| format!("{skipped}{why}")));
        bail!("failed: {}", failed.join("; "));
    }
    Ok(match skipped {
        None => "all passed".to_owned(),
        Some(skipped) => format!("all that were run passed; {skipped} (see NOT RUN above)"),
    })
}

/// How the end-to-end tests ended.
struct EndToEnd {
    passed: bool,
    not_run: usize,
}

fn end_to_end(arguments: &TestArguments) -> Result<EndToEnd> {
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
    Ok(EndToEnd {
        passed: shell::run(&mut tests).is_ok(),
        not_run: report_not_run(&not_run)?,
    })
}

/// Names the tests that could not run, and counts them.
fn report_not_run(file: &Path) -> Result<usize> {
    let content = std::fs::read_to_string(file).with_context(|| format!("read {}", file.display()))?;
    for line in content.lines() {
        println!("test: NOT RUN: {line}");
    }
    Ok(content.lines().count())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_line_counts_what_was_not_run_and_ci_fails_for_it() {
        let end_to_end = || vec!["end-to-end tests".to_owned()];
        for (failed, not_run, skipping, expected) in [
            (vec![], 0, Skipping::Fails, Ok("all passed")),
            (
                vec![],
                1,
                Skipping::Passes,
                Ok("all that were run passed; 1 test was not run (see NOT RUN above)"),
            ),
            (
                vec![],
                2,
                Skipping::Fails,
                Err("failed: 2 tests were not run, which CI requires"),
            ),
            (
                end_to_end(),
                2,
                Skipping::Passes,
                Err("failed: end-to-end tests; 2 tests were not run"),
            ),
            (end_to_end(), 0, Skipping::Fails, Err("failed: end-to-end tests")),
        ] {
            let concluded = conclude(failed.clone(), not_run, skipping).map_err(|error| error.to_string());
            let expected = expected.map(str::to_owned).map_err(str::to_owned);
            assert_eq!(concluded, expected, "{failed:?} {not_run} {skipping:?}");
        }
    }
}
