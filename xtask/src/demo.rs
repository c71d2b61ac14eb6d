//! `cargo xtask demo`.

use anyhow::Result;
use clap::Args;

/// How to run the demo.
#[derive(Args)]
pub struct DemoArguments {
    /// Leave the cluster up at the end.
    #[arg(long)]
    keep: bool,
}

/// Runs the demo.
///
/// # Errors
/// When a step does not see what it should.
pub fn run(arguments: &DemoArguments) -> Result<()> {
    crate::setup::run()?;
    anyhow::ensure!(!arguments.keep, "wip");
    Ok(())
}
