//! Host paths: what has to be there, and what is made if it is not.
//!
//! Source: Kubernetes documentation, "hostPath volume types".

use std::{
    fs::{self, File},
    os::unix::fs::{DirBuilderExt as _, FileTypeExt as _},
    path::Path,
};

use api::k8s_openapi::api::core::v1::HostPathVolumeSource;

use super::{VolumeError, io_error};

/// Checks the path's type, and makes it where the type says so.
pub(super) fn check(source: &HostPathVolumeSource) -> Result<(), VolumeError> {
    let path = Path::new(&source.path);
    let kind = fs::metadata(path).map(|meta| meta.file_type());
    let make_dir = || {
        let made = fs::DirBuilder::new().recursive(true).mode(0o755).create(path);
        made.map_err(io_error("make", path))
    };
    let (wanted, holds) = match source.type_.as_deref().unwrap_or_default() {
        "" => {
            // Runtimes make what is missing.
            return if kind.is_err() { make_dir() } else { Ok(()) };
        }
        "DirectoryOrCreate" => {
            if kind.is_err() {
                return make_dir();
            }
            ("directory", kind.is_ok_and(|kind| kind.is_dir()))
        }
        "FileOrCreate" => {
            if kind.is_err() {
                let made = File::options().create_new(true).write(true).open(path);
                return made.map(|_| ()).map_err(io_error("make", path));
            }
            ("file", kind.is_ok_and(|kind| kind.is_file()))
        }
        "Directory" => ("directory", kind.is_ok_and(|kind| kind.is_dir())),
        "File" => ("file", kind.is_ok_and(|kind| kind.is_file())),
        "Socket" => ("socket", kind.is_ok_and(|kind| kind.is_socket())),
        "CharDevice" => ("character device", kind.is_ok_and(|kind| kind.is_char_device())),
        "BlockDevice" => ("block device", kind.is_ok_and(|kind| kind.is_block_device())),
        _ => ("known type", false),
    };
    if holds {
        return Ok(());
    }
    Err(VolumeError::HostPathType {
        path: source.path.clone(),
        wanted,
    })
}
