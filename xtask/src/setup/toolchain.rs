//! The compiler's own source and the linker, both of which the eBPF object needs.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result};

use crate::shell;

/// Version of bpf-linker that agent/build.rs is tested with.
const BPF_LINKER: &str = "0.13.0";
/// Where Debian's llvm-22-dev installs.
const LLVM_PREFIX: &str = "/usr/lib/llvm-22";

/// `core` is built for the bpf target from source, which `rust-src` (rustup) or `rust-web-src` (Debian) provides.
pub(super) fn ensure_rust_source() -> Result<()> {
    if has_rust_source("rustc")? || has_debian_source() {
        return Ok(());
    }
    if shell::find_program("rustup").is_some() {
        println!("setup: installing rust-src (rustup component add rust-src)");
        if shell::run(Command::new("rustup").args(["component", "add", "rust-src"])).is_ok() {
            return Ok(());
        }
        println!("setup: rustup could not; falling back to Debian's compiler with its source");
    }
    super::install_packages(&[
        ("rustc-web", "compiler for the eBPF object"),
        ("cargo-web", "builds the eBPF object"),
        ("rust-web-src", "source of core for the bpf target"),
    ])
    .context("no source of Rust's core library: install rustup and `rustup component add rust-src`, or rust-web-src")
}

fn has_rust_source(rustc: &str) -> Result<bool> {
    let sysroot =
        shell::output(Command::new(rustc).args(["--print", "sysroot"])).context("ask rustc for its sysroot")?;
    Ok(Path::new(sysroot.trim())
        .join("lib/rustlib/src/rust/library/core/src/lib.rs")
        .exists())
}

/// Debian's rust-web-src puts the library beside /usr/bin/rustc's sysroot.
fn has_debian_source() -> bool {
    Path::new("/usr/bin/rustc").exists() && has_rust_source("/usr/bin/rustc").unwrap_or(false)
}

/// Links the eBPF object with BTF.
pub(super) fn ensure_bpf_linker() -> Result<()> {
    let found = bpf_linker().map(|program| shell::output(Command::new(program).arg("--version")));
    if let Some(Ok(version)) = &found
        && version.contains(BPF_LINKER.trim_end_matches(".0"))
    {
        return Ok(());
    }
    println!("setup: building bpf-linker {BPF_LINKER} (cargo install, about a minute)");
    let mut install = crate::cargo::cargo();
    install
        .args(["install", "bpf-linker", "--version", BPF_LINKER, "--locked", "--force"])
        .args(["--no-default-features", "--features", "llvm-22"])
        .env("LLVM_PREFIX", LLVM_PREFIX)
        .env("LIBRARY_PATH", format!("{LLVM_PREFIX}/lib"))
        .env_remove("CARGO_TARGET_DIR");
    shell::run(&mut install).context("build bpf-linker; it needs Debian's llvm-22-dev and libpolly-22-dev")
}

fn bpf_linker() -> Option<PathBuf> {
    shell::find_program("bpf-linker").or_else(|| {
        let home = std::env::var_os("CARGO_HOME")
            .map(PathBuf::from)
            .or_else(|| std::env::var_os("HOME").map(|home| Path::new(&home).join(".cargo")))?;
        Some(home.join("bin/bpf-linker")).filter(|program| program.exists())
    })
}
