//! `cargo xtask test --fuzz`: every fuzz target of tests/fuzz for a while, from seeds of real objects.
//!
//! What a target has learnt is kept in the target folder, so that the next run goes on from there. A finding fails with
//! the path of the input that leads to it.
//! Source: libFuzzer's documentation; cargo-fuzz's book.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, bail};

use crate::{cargo, setup, shell};

const TARGETS: [&str; 6] = ["json", "yaml", "protobuf", "patch", "apply", "selector"];

/// Most bytes of an input. Bigger ones reach nothing else and are slower; what grows with the square of a body's size
/// is looked for by unit tests.
const INPUT_BYTES_MAX: usize = 64 << 10;
/// Longest that one input may take: some thousand times what such an input takes.
const INPUT_SECONDS_MAX: u32 = 10;
/// Most memory of a target, with everything that it has learnt.
const MEMORY_MIB_MAX: u32 = 2048;

/// Runs each target for so many seconds.
///
/// # Errors
/// When a target cannot be built, or finds something; all of them are run first.
pub(super) fn run(seconds: u64) -> Result<()> {
    setup::fuzz::ensure()?;
    println!("test: building the fuzz targets");
    shell::run(&mut fuzz("build"))?;
    let mut findings = Vec::new();
    for target in TARGETS {
        println!("test: fuzzing {target} for {seconds} s");
        findings.extend(fuzz_target(target, seconds)?);
    }
    if findings.is_empty() {
        return Ok(());
    }
    let paths: Vec<String> = findings.iter().map(|path| path.display().to_string()).collect();
    bail!("fuzzing has found what must not be; the inputs: {}", paths.join(", "))
}

/// The inputs that the target failed with.
fn fuzz_target(target: &str, seconds: u64) -> Result<Vec<PathBuf>> {
    let corpus = make_dir("fuzz-corpus", target)?;
    let seeds = make_dir("fuzz-seeds", target)?;
    let findings = make_dir("fuzz-findings", target)?;
    let before = files(&findings)?;
    let mut run = Command::new(built(target)?);
    // The target fills the folder of seeds before it reads them.
    run.env("FUZZ_SEEDS", &seeds)
        .args([&corpus, &seeds])
        .arg(format!("-max_total_time={seconds}"))
        .arg(format!("-max_len={INPUT_BYTES_MAX}"))
        .arg(format!("-timeout={INPUT_SECONDS_MAX}"))
        .arg(format!("-rss_limit_mb={MEMORY_MIB_MAX}"))
        .arg(format!("-artifact_prefix={}/", findings.display()))
        .args(["-verbosity=0", "-print_funcs=0", "-print_final_stats=1"]);
    let outcome = shell::run(&mut run);
    let new: Vec<PathBuf> = files(&findings)?.difference(&before).cloned().collect();
    match outcome {
        Err(error) if new.is_empty() => Err(error.context(format!("fuzz {target}"))),
        Ok(()) | Err(_) => Ok(new),
    }
}

/// cargo-fuzz over our targets. Without a sanitizer: what is fuzzed has no unsafe code, so there is nothing that one
/// could find, and the compiler of everything else does.
fn fuzz(verb: &str) -> Command {
    let mut command = cargo::cargo();
    command
        .args(["fuzz", verb, "--sanitizer", "none", "--fuzz-dir", "tests/fuzz"])
        .arg("--target-dir")
        .arg(build_dir());
    command
}

fn build_dir() -> PathBuf {
    cargo::target_dir().join("fuzz")
}

/// cargo-fuzz builds for a named platform, in a folder of its name.
fn built(program: &str) -> Result<PathBuf> {
    let platforms = std::fs::read_dir(build_dir()).with_context(|| format!("read {}", build_dir().display()))?;
    platforms
        .filter_map(|entry| Some(entry.ok()?.path().join("release").join(program)))
        .find(|path| path.exists())
        .with_context(|| format!("cargo-fuzz did not build {program}"))
}

fn make_dir(kind: &str, target: &str) -> Result<PathBuf> {
    let directory = cargo::target_dir().join(kind).join(target);
    std::fs::create_dir_all(&directory).with_context(|| format!("make {}", directory.display()))?;
    Ok(directory)
}

fn files(directory: &Path) -> Result<BTreeSet<PathBuf>> {
    let entries = std::fs::read_dir(directory).with_context(|| format!("read {}", directory.display()))?;
    entries
        .map(|entry| Ok(entry?.path()))
        .collect::<std::io::Result<_>>()
        .with_context(|| format!("read {}", directory.display()))
}
