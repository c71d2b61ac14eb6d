//! Files whose readers see the old content or the new, also after a crash; most of them JSON.

use std::{
    fs::{self, File},
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use serde::{Serialize, de::DeserializeOwned};

/// How the name of a content ends that has not taken its file's place yet; before it stands who writes it.
const STAGED: &str = ".new";

/// A file of JSON could not be read or written.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FileError {
    #[error("{} is damaged", path.display())]
    Broken {
        path: PathBuf,
        #[source]
        source: serde_json::Error,
    },
    #[error("access {}", path.display())]
    Io {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
}

/// What the file holds; None if it is not there.
pub(crate) fn read_json<T: DeserializeOwned>(path: &Path) -> Result<Option<T>, FileError> {
    match fs::read(path) {
        Ok(content) => serde_json::from_slice(&content)
            .map(Some)
            .map_err(|source| FileError::Broken {
                path: path.to_owned(),
                source,
            }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(FileError::Io {
            path: path.to_owned(),
            source,
        }),
    }
}

/// Replaces a file that anybody may read.
pub(crate) fn write_json<T: Serialize>(path: &Path, value: &T) -> Result<(), FileError> {
    let content = serde_json::to_vec_pretty(value).map_err(|source| FileError::Broken {
        path: path.to_owned(),
        source,
    })?;
    write(path, &content, 0o644).map_err(|source| FileError::Io {
        path: path.to_owned(),
        source,
    })
}

/// Contents of a file that never took its place, because their writer was killed.
pub(crate) fn staged(path: &Path) -> Vec<PathBuf> {
    let Some((directory, name)) = path.parent().zip(path.file_name().and_then(|name| name.to_str())) else {
        return Vec::new();
    };
    let is_staged = |found: &str| {
        let process = found
            .strip_prefix(name)
            .and_then(|rest| rest.strip_prefix('.'))
            .and_then(|rest| rest.strip_suffix(STAGED));
        process.is_some_and(|process| !process.is_empty() && process.bytes().all(|byte| byte.is_ascii_digit()))
    };
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    entries
        .filter(|entry| entry.file_name().to_str().is_some_and(is_staged))
        .map(|entry| entry.path())
        .collect()
}

/// Replaces a file, or makes it with this mode.
pub(crate) fn write(path: &Path, content: &[u8], mode: u32) -> io::Result<()> {
    let mut staged_name = path.file_name().unwrap_or_default().to_owned();
    staged_name.push(format!(".{}{STAGED}", std::process::id()));
    let staged = path.with_file_name(staged_name);
    let written = stage(&staged, content, mode).and_then(|()| fs::rename(&staged, path));
    if written.is_err() {
        // On a full disk there may be nothing to remove, or nothing to be done about it.
        let _ = fs::remove_file(&staged);
    }
    written
}

fn stage(path: &Path, content: &[u8], mode: u32) -> io::Result<()> {
    let mut file = File::options()
        .create(true)
        .truncate(true)
        .write(true)
        .mode(mode)
        .open(path)?;
    file.write_all(content)?;
    file.sync_all()
}
