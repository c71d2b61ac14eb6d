//! Python's client library, for the test that real libraries work.

use std::{path::PathBuf, process::Command};

use anyhow::{Context, Result};

use super::tools_dir;
use crate::shell;

/// The library and its version; what it depends on, pip chooses.
const PACKAGE: &str = "kubernetes==34.1.0";

/// The directory to put into PYTHONPATH, if the library is there.
#[must_use]
pub fn find() -> Option<PathBuf> {
    Some(directory()).filter(|directory| directory.join("kubernetes").exists())
}

fn directory() -> PathBuf {
    tools_dir().join("python")
}

/// Finds or downloads the library.
///
/// # Errors
/// When PyPI cannot be reached.
pub(super) fn ensure() -> Result<()> {
    if find().is_some() {
        return Ok(());
    }
    println!("setup: downloading {PACKAGE} (a client library that tests use)");
    let mut install = Command::new("python3");
    install
        .args([
            "-m",
            "pip",
            "install",
            "--quiet",
            "--disable-pip-version-check",
            "--target",
        ])
        .arg(directory())
        .arg(PACKAGE);
    shell::run(&mut install).with_context(|| format!("install {PACKAGE} from PyPI"))
}
