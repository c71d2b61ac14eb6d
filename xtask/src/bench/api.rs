//! `cargo xtask bench api`: how fast the API reads, writes and tells. What is measured is in `tests/benches/api.rs`.

use anyhow::Result;
use clap::Args;

use crate::{
    cargo::{self, Profile},
    setup, shell,
};

/// How to measure.
#[derive(Args)]
pub(super) struct ApiArguments {
    /// Seconds that each row is measured for.
    #[arg(long, default_value_t = 5)]
    seconds: u64,
}

pub(super) fn run(arguments: &ApiArguments) -> Result<()> {
    setup::run()?;
    let skep = cargo::build_skep(Profile::Release)?;
    let mut bench = cargo::over_workspace("bench");
    bench
        .args(["--bench", "api", "--", "--seconds", &arguments.seconds.to_string()])
        .env("SKEP_BIN", skep);
    shell::run(&mut bench)
}
