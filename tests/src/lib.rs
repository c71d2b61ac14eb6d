//! What end-to-end tests need: sandboxes, real clients, images, and programs to run in pods.
//!
//! Tests are in `tests/*.rs`, one subject each; they run one after the other, because they share this machine's
//! kernel. A test that cannot run here says so through [`not_run`], and then fails in CI.

#![allow(clippy::print_stderr, reason = "tests report to the terminal")]

pub mod clients;
pub mod images;
pub mod neighbour;
pub mod programs;
pub mod sandbox;
pub mod waiting;
pub mod workloads;

use std::io::Write;

pub use sandbox::Sandbox;
pub use waiting::wait_for;

/// Says that a test could not run, and why.
///
/// # Panics
/// In CI (`CI=true`), where every test must run.
pub fn not_run(reason: &str) {
    let name = std::thread::current().name().unwrap_or("a test").to_owned();
    if let Some(file) = std::env::var_os("SKEP_NOT_RUN_FILE") {
        let appended = std::fs::File::options()
            .create(true)
            .append(true)
            .open(file)
            .and_then(|mut file| writeln!(file, "{name}: {reason}"));
        appended.expect("record that the test did not run");
    }
    eprintln!("not run: {name}: {reason}");
    let is_ci = std::env::var_os("CI").is_some_and(|value| value == "true" || value == "1");
    assert!(!is_ci, "{name} could not run, which CI requires: {reason}");
}
