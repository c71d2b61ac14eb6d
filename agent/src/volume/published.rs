//! A directory of files that is replaced as a whole under the eyes of its readers.
//!
//! ```text
//! volume/..2026_11_24_01_02_03.456789012/a    the files
//! volume/..data -> ..2026_11_24_…             replaced by rename: a reader sees all old files or all new ones
//! volume/a -> ..data/a                        what programs open
//! ```
//!
//! Source: the layout that Kubernetes programs watch (`..data`); rename(2).

use std::{
    collections::BTreeSet,
    ffi::{OsStr, OsString},
    fs, io,
    io::{Read as _, Write as _},
    os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _, symlink},
    path::{Component, Path, PathBuf},
};

use api::Timestamp;

use super::{
    content::{File, Files},
    give_group,
};
use crate::durable;

const DATA: &str = "..data";
const DATA_NEW: &str = "..data_tmp";

/// Makes the directory hold exactly these files. Does nothing if it does already. One at a time for a directory.
pub(super) fn publish(dir: &Path, files: &Files, group: Option<u32>) -> io::Result<()> {
    durable::make_private_dir(dir)?;
    fs::set_permissions(dir, fs::Permissions::from_mode(0o755))?;
    let data = dir.join(DATA);
    if fs::symlink_metadata(&data).is_ok() && holds(&data, files)? {
        return Ok(());
    }
    let name = format!("..{}", Timestamp::now().strftime("%Y_%m_%d_%H_%M_%S.%N"));
    let fresh = dir.join(&name);
    fs::create_dir(&fresh)?;
    fs::set_permissions(&fresh, fs::Permissions::from_mode(0o755))?;
    for (path, file) in files {
        write(&fresh.join(path), file, group)?;
    }
    let fresh_link = dir.join(DATA_NEW);
    remove_file(&fresh_link)?;
    symlink(&name, &fresh_link)?;
    fs::rename(&fresh_link, &data)?;

    let tops: BTreeSet<&OsStr> = files.keys().filter_map(|path| top(path)).collect();
    for top in &tops {
        let link = dir.join(top);
        if fs::symlink_metadata(&link).is_err() {
            symlink(Path::new(DATA).join(top), &link)?;
        }
    }
    for entry in fs::read_dir(dir)? {
        let found: OsString = entry?.file_name();
        let path = dir.join(&found);
        if !found.to_string_lossy().starts_with("..") {
            if !tops.contains(found.as_os_str()) {
                remove_file(&path)?;
            }
        } else if found != DATA && found != DATA_NEW && found != name.as_str() {
            // The former files, and those of whoever was ended before it came to this.
            fs::remove_dir_all(&path)?;
        }
    }
    Ok(())
}

fn top(path: &Path) -> Option<&OsStr> {
    match path.components().next() {
        Some(Component::Normal(name)) => Some(name),
        _ => None,
    }
}

fn write(path: &Path, file: &File, group: Option<u32>) -> io::Result<()> {
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent)?;
        fs::set_permissions(parent, fs::Permissions::from_mode(0o755))?;
    }
    let mut out = fs::File::options()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)?;
    out.write_all(&file.bytes)?;
    give_group(&out, group)?;
    // The group is given so that it can read.
    let mode = if group.is_some() { file.mode | 0o040 } else { file.mode };
    out.set_permissions(fs::Permissions::from_mode(mode))
}

/// Whether the directory behind `data` has these files and no others.
fn holds(data: &Path, files: &Files) -> io::Result<bool> {
    let mut found = BTreeSet::new();
    collect(data, Path::new(""), &mut found)?;
    if found.len() != files.len() {
        return Ok(false);
    }
    for (path, file) in files {
        if !found.contains(path) {
            return Ok(false);
        }
        let mut bytes = Vec::new();
        fs::File::open(data.join(path))?.read_to_end(&mut bytes)?;
        if bytes != file.bytes {
            return Ok(false);
        }
    }
    Ok(true)
}

fn collect(dir: &Path, below: &Path, found: &mut BTreeSet<PathBuf>) -> io::Result<()> {
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let path = below.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            collect(&entry.path(), &path, found)?;
        } else {
            found.insert(path);
        }
    }
    Ok(())
}

fn remove_file(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(err) if err.kind() != io::ErrorKind::NotFound => Err(err),
        _ => Ok(()),
    }
}
