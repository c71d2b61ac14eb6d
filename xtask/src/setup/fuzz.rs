//! cargo-fuzz, which builds the targets of tests/fuzz. libFuzzer itself comes as source with the crate libfuzzer-sys.

use anyhow::{Context, Result};

use crate::{cargo, shell};

/// Version of cargo-fuzz that the targets are tested with.
const CARGO_FUZZ: &str = "0.13.2";

/// Installs it if there is none.
///
/// # Errors
/// When it cannot be built.
pub fn ensure() -> Result<()> {
    if shell::succeeds(cargo::cargo().args(["fuzz", "--version"])) {
        return Ok(());
    }
    println!("setup: building cargo-fuzz {CARGO_FUZZ} (cargo install, about a minute)");
    let mut install = cargo::cargo();
    install
        .args(["install", "cargo-fuzz", "--version", CARGO_FUZZ, "--locked"])
        .env_remove("CARGO_TARGET_DIR");
    shell::run(&mut install).context("build cargo-fuzz")
}
