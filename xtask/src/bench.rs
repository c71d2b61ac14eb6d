//! `cargo xtask bench`: the measurements behind the numbers in the documents.

use anyhow::Result;
use clap::{Args, Subcommand};

mod api;
mod idle;

/// What to measure.
#[derive(Args)]
pub struct BenchArguments {
    #[command(subcommand)]
    bench: Bench,
}

#[derive(Subcommand)]
enum Bench {
    /// Rate, latency and memory of reads, writes and watches over the API.
    Api(api::ApiArguments),
    /// Memory and CPU of a server with one agent and no workload.
    Idle(idle::IdleArguments),
}

/// Measures and prints.
///
/// # Errors
/// When the cluster to measure cannot be made, or a limit that was given is exceeded.
pub fn run(arguments: &BenchArguments) -> Result<()> {
    match &arguments.bench {
        Bench::Api(arguments) => api::run(arguments),
        Bench::Idle(arguments) => idle::run(arguments),
    }
}
