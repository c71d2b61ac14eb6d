//! Mounts left below a directory.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use nix::mount::{MntFlags, umount2};

/// A mount could not be undone.
#[derive(Debug, thiserror::Error)]
pub(crate) enum UnmountError {
    #[error("read /proc/self/mountinfo")]
    List(#[source] io::Error),
    #[error("unmount {}", path.display())]
    Unmount {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
}

/// Undoes every mount at or below a directory, innermost first.
pub(crate) fn unmount_below(directory: &Path) -> Result<(), UnmountError> {
    for path in below(directory)?.into_iter().rev() {
        // Detached rather than merely unmounted: a process of somebody else may look into it right now.
        match umount2(&path, MntFlags::MNT_DETACH | MntFlags::UMOUNT_NOFOLLOW) {
            Ok(()) | Err(nix::errno::Errno::EINVAL | nix::errno::Errno::ENOENT) => {}
            Err(error) => {
                return Err(UnmountError::Unmount {
                    path,
                    source: error.into(),
                });
            }
        }
    }
    Ok(())
}

/// Mount points at or below a directory, in the order they were mounted.
pub(crate) fn below(directory: &Path) -> Result<Vec<PathBuf>, UnmountError> {
    let mountinfo = fs::read_to_string("/proc/self/mountinfo").map_err(UnmountError::List)?;
    // The mount table has no links in its paths.
    let directory = fs::canonicalize(directory).unwrap_or_else(|_| directory.to_owned());
    Ok(mounts_below(&mountinfo, &directory))
}

fn mounts_below(mountinfo: &str, directory: &Path) -> Vec<PathBuf> {
    mountinfo
        .lines()
        .filter_map(|line| line.split(' ').nth(4))
        .map(unescape)
        .filter(|path| path.starts_with(directory))
        .collect()
}

/// The kernel writes space, tab, line break and backslash as three octal digits.
fn unescape(text: &str) -> PathBuf {
    use std::os::unix::ffi::OsStringExt;
    let bytes = text.as_bytes();
    let mut plain = Vec::with_capacity(bytes.len());
    let mut index = 0;
    while index < bytes.len() {
        let digits = text.get(index + 1..index + 4).filter(|_| bytes[index] == b'\\');
        if let Some(byte) = digits.and_then(|digits| u8::from_str_radix(digits, 8).ok()) {
            plain.push(byte);
            index += 4;
        } else {
            plain.push(bytes[index]);
            index += 1;
        }
    }
    std::ffi::OsString::from_vec(plain).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mounts_below_are_listed_in_order() {
        let mountinfo = "\
30 1 0:30 / /data rw - ext4 /dev/x rw\n\
31 30 0:31 / /data/a\\040b/bpf rw - bpf bpf rw\n\
32 30 0:32 / /data/a\\040bc rw - tmpfs tmpfs rw\n\
33 31 0:33 / /data/a\\040b/bpf/x rw - tmpfs tmpfs rw\n";
        assert_eq!(
            mounts_below(mountinfo, Path::new("/data/a b")),
            [PathBuf::from("/data/a b/bpf"), PathBuf::from("/data/a b/bpf/x")]
        );
    }
}
