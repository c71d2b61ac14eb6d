//! Removing what was made: every step is tried, and what failed is told together.
//!
//! Never here: what there is to remove.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use anyhow::{Context, anyhow, bail};

pub(crate) mod mounts;

/// A removal under way.
#[derive(Debug, Default)]
pub(crate) struct Removal {
    failures: Vec<String>,
}

impl Removal {
    /// Notes how a step went.
    pub(crate) fn attempt(&mut self, step: &str, outcome: anyhow::Result<()>) {
        if let Err(error) = outcome {
            self.failures.push(format!("{step}: {error:#}"));
        }
    }

    /// Whether nothing has failed so far.
    pub(crate) fn is_complete(&self) -> bool {
        self.failures.is_empty()
    }

    /// What failed, if anything did.
    pub(crate) fn finish(self, what: &str) -> anyhow::Result<()> {
        if self.failures.is_empty() {
            return Ok(());
        }
        Err(anyhow!(
            "some of {what} could not be removed; run this again when the cause is mended:\n  {}",
            self.failures.join("\n  ")
        ))
    }
}

/// Removes directories with all that is in them, and files. One that is not there is no error.
///
/// Refuses as long as something is mounted in a directory: that may be anybody's files.
pub(crate) fn remove_files(directories: &[PathBuf], files: &[PathBuf]) -> anyhow::Result<()> {
    for directory in directories {
        if let Some(mount) = mounts::below(directory)?.first() {
            bail!("{} is still mounted", mount.display());
        }
        absent_is_fine(fs::remove_dir_all(directory), directory)?;
    }
    files
        .iter()
        .try_for_each(|file| absent_is_fine(fs::remove_file(file), file))
}

fn absent_is_fine(outcome: io::Result<()>, path: &Path) -> anyhow::Result<()> {
    match outcome {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        outcome => outcome.with_context(|| format!("remove {}", path.display())),
    }
}
