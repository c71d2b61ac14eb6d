//! An OCI registry that tests serve on the loopback interface: Debian's, unpacked and not installed, since its package
//! starts a service.

use std::{path::PathBuf, process::Command};

use anyhow::{Context, Result};

use super::tools_dir;
use crate::shell;

const PACKAGE: &str = "docker-registry";

/// The program, if it was unpacked.
#[must_use]
pub fn find() -> Option<PathBuf> {
    Some(program()).filter(|program| program.exists())
}

fn program() -> PathBuf {
    tools_dir().join(PACKAGE)
}

/// Finds or downloads the registry.
///
/// # Errors
/// When Debian's archive cannot be reached.
pub(super) fn ensure() -> Result<()> {
    if find().is_some() || shell::find_program("dpkg-deb").is_none() {
        return Ok(());
    }
    let work = tools_dir().join("registry-download");
    std::fs::create_dir_all(&work).with_context(|| format!("create {}", work.display()))?;
    println!("setup: downloading {PACKAGE} (a registry that tests push charts to)");
    let download = || {
        let mut download = Command::new("apt-get");
        download.args(["download", "--quiet", PACKAGE]).current_dir(&work);
        shell::run(&mut download)
    };
    // A machine whose package lists are recent enough need not fetch them again.
    if download().is_err() {
        super::fetch_package_lists()?;
        download().with_context(|| format!("download Debian's package {PACKAGE}"))?;
    }
    let archive = std::fs::read_dir(&work)?
        .filter_map(Result::ok)
        .map(|entry| entry.path())
        .find(|path| path.extension().is_some_and(|extension| extension == "deb"))
        .context("apt-get has downloaded no package")?;
    let unpacked = work.join("unpacked");
    shell::run(Command::new("dpkg-deb").arg("--extract").args([&archive, &unpacked]))?;
    let target = program();
    std::fs::copy(unpacked.join("usr/bin").join(PACKAGE), &target)
        .with_context(|| format!("copy the registry to {}", target.display()))?;
    std::fs::remove_dir_all(&work).with_context(|| format!("remove {}", work.display()))
}
