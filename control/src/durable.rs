//! Files that are either wholly there or not at all, also after a crash at any moment.
//!
//! Never here: what the files mean.

use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
};

/// A file could not be written; the former version, if any, is untouched.
#[derive(Debug, thiserror::Error)]
#[error("write {path}")]
pub struct WriteFileError {
    /// The file.
    pub path: PathBuf,
    /// Why.
    #[source]
    pub source: io::Error,
}

/// Replaces `path` by a file of these bytes and this mode. When this returns, the new version survives a power cut.
///
/// # Errors
/// When any step fails; the former version stays.
pub fn write_file(path: &Path, bytes: &[u8], mode: u32) -> Result<(), WriteFileError> {
    write(path, bytes, mode).map_err(|source| WriteFileError {
        path: path.to_owned(),
        source,
    })
}

fn write(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    let parent = parent.unwrap_or(Path::new("."));
    let mut file_name = path.file_name().unwrap_or_default().to_owned();
    file_name.push(".new");
    let temporary = parent.join(file_name);
    match fs::remove_file(&temporary) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    if let Err(error) = write_new(&temporary, bytes, mode).and_then(|()| fs::rename(&temporary, path)) {
        // Half a file is of no use, and the disk may be full; the next attempt removes it, too.
        let _ = fs::remove_file(&temporary);
        return Err(error);
    }
    File::open(parent)?.sync_all()
}

fn write_new(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(path)?;
    file.write_all(bytes)?;
    // The umask may have taken bits that the caller asked for.
    file.set_permissions(fs::Permissions::from_mode(mode))?;
    file.sync_all()
}

/// Makes a directory (and its parents) that only its owner can enter; one that exists is left as it is.
///
/// # Errors
/// When it cannot be made.
pub fn make_private_dir(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}
