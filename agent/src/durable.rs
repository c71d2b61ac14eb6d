//! Files that are replaced as a whole or not at all.
//!
//! Write beside, then rename. Source: rename(2), fsync(2).

use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, Write},
    os::{
        fd::AsRawFd,
        unix::fs::{DirBuilderExt, OpenOptionsExt},
    },
    path::Path,
};

/// Whether the file must survive a loss of power, and not only the death of the process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sync {
    /// fsync of the file and of its directory, about a millisecond each.
    Yes,
    /// The kernel writes it when it likes.
    No,
}

/// Puts `bytes` at `path`, mode 0600. A reader sees the old file or the new one.
///
/// # Errors
/// The old file is then still there.
pub(crate) fn replace(path: &Path, bytes: &[u8], sync: Sync) -> io::Result<()> {
    if sync == Sync::No && fs::read(path).is_ok_and(|held| held == bytes) {
        // Nothing to write, which works on a full disk too: an agent must be able to start on one.
        return Ok(());
    }
    let parent = path.parent().unwrap_or(Path::new("."));
    make_private_dir(parent)?;
    let mut beside = path.as_os_str().to_owned();
    beside.push(".new");
    let mut file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&beside)?;
    file.write_all(bytes)?;
    if sync == Sync::Yes {
        file.sync_all()?;
    }
    fs::rename(&beside, path)?;
    if sync == Sync::Yes {
        File::open(parent)?.sync_all()?;
    }
    Ok(())
}

/// Moves a directory, with all that is in it, to a place that is free. After a loss of power the place is still free or
/// holds all of it. Writes out everything that waits to be written to that file system.
///
/// # Errors
/// The directory may then be at either place.
pub(crate) fn rename_tree(from: &Path, to: &Path) -> io::Result<()> {
    nix::unistd::syncfs(File::open(from)?.as_raw_fd())?;
    fs::rename(from, to)?;
    File::open(to.parent().unwrap_or(Path::new(".")))?.sync_all()
}

/// Makes a directory, and those above it that are missing, with mode 0700.
///
/// # Errors
/// When it is not there afterwards.
pub(crate) fn make_private_dir(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}

#[cfg(test)]
mod tests;
