//! `cargo xtask verify` and `fix`: formatting, lints, licences and our own rules.

use anyhow::{Context, Result, bail};

use crate::{cargo, setup, shell, testing, tidy};

/// Version of cargo-deny that is installed when there is none.
const CARGO_DENY: &str = "0.20.2";

/// Runs every check, and fails after the last one if any failed, so that one run shows all.
///
/// # Errors
/// When a check fails; each has said why on the terminal.
pub fn run() -> Result<()> {
    setup::run()?;
    type Check = fn() -> Result<()>;
    let checks: [(&str, Check); 4] = [
        ("formatting", formatting),
        ("lints", lints),
        ("licences", licences),
        ("tidy", tidy::run),
    ];
    let mut failed = Vec::new();
    for (name, check) in checks {
        println!("verify: {name}");
        if let Err(error) = check() {
            eprintln!("verify: {name}: {error:#}");
            failed.push(name);
        }
    }
    if failed.is_empty() {
        println!("verify: clean");
        return Ok(());
    }
    bail!(
        "not clean: {} (`cargo xtask fix` mends formatting and what lints can mend)",
        failed.join(", ")
    )
}

/// Formats and applies machine-applicable suggestions.
///
/// # Errors
/// When cargo fails.
pub fn fix() -> Result<()> {
    format(&[])?;
    let mut documents = cargo::over_workspace("test");
    documents.args(["--lib", "the_document_says_what_the_code_does"]);
    shell::run(documents.env("SKEP_WRITE_DOCS", "1"))?;
    shell::run(cargo::over_workspace("clippy").args(["--all-targets", "--fix", "--allow-dirty", "--allow-staged"]))?;
    format(&[])
}

fn formatting() -> Result<()> {
    format(&["--check"])
}

fn format(arguments: &[&str]) -> Result<()> {
    shell::run(cargo::cargo().args(["fmt", "--all"]).args(arguments))?;
    // The fuzz targets are a workspace of their own.
    let fuzz = ["fmt", "--manifest-path", "tests/fuzz/Cargo.toml"];
    shell::run(cargo::cargo().args(fuzz).args(arguments))
}

fn lints() -> Result<()> {
    shell::run(cargo::over_workspace("clippy").args(["--all-targets", "--", "--deny", "warnings"]))
}

fn licences() -> Result<()> {
    if !shell::succeeds(cargo::cargo().args(["deny", "--version"])) {
        println!("verify: installing cargo-deny {CARGO_DENY} (cargo install, some minutes)");
        let mut install = cargo::cargo();
        install
            .args(["install", "cargo-deny", "--version", CARGO_DENY, "--locked"])
            .env_remove("CARGO_TARGET_DIR");
        if let Err(error) = shell::run(&mut install) {
            println!("verify: licences and advisories NOT RUN: {error:#}");
            return if testing::is_ci() {
                Err(error).context("cargo-deny is required in CI")
            } else {
                Ok(())
            };
        }
    }
    shell::run(cargo::cargo().args(["deny", "--workspace", "check", "bans", "licenses", "sources"]))?;
    // The advisory database is fetched from the network; without it nothing can be said about advisories.
    match shell::run(cargo::cargo().args(["deny", "--workspace", "check", "advisories"])) {
        Err(error) if !testing::is_ci() => {
            println!("verify: advisories not checked or not clean: {error:#}");
            Ok(())
        }
        outcome => outcome,
    }
}
