//! `cargo xtask bench`: the measurements behind the numbers in the documents.

use anyhow::Result;
use clap::{Args, Subcommand};

mod idle;

/// What to measure.
#[derive(Args)]
pub struct BenchArguments {
    #[command(subcommand)]
    bench: Bench,
}

#[derive(Subcommand)]
enum Bench {
    /// Memory and CPU of a server with one agent and no workload.
    Idle(idle::IdleArguments),
}

/// Measures and prints.
///
/// # Errors
/// When the cluster to measure cannot be made, or a limit that was given is exceeded.
pub fn run(arguments: &BenchArguments) -> Result<()> {
    match &arguments.bench {
        Bench::Idle(arguments) => idle::run(arguments),
    }
}
