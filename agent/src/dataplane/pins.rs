//! The directory of pins: a bpffs of ours or another's, a directory per layout version, maps and links in it.
//!
//! ```text
//!   <bpffs>/v1/maps/FRONTENDS …      <bpffs>/v1/links/socket-connect4, uplink-in, pod-<uid>-out …
//! ```
//! All of mode 0700. Links live as long as their pin: a new agent puts its programs into them, in place.
//! Never here: which programs and maps there are.

use std::{
    fs, io,
    os::{
        fd::{AsFd, BorrowedFd},
        unix::fs::PermissionsExt,
    },
    path::{Path, PathBuf},
};

use dataplane::layout::LAYOUT_VERSION;
use nix::{
    mount::{MntFlags, MsFlags, mount, umount2},
    sys::statfs::statfs,
};

use super::sys::{self, LinkTarget};

/// `BPF_FS_MAGIC`.
const BPF_FS: i64 = 0xcafe_4a11;
/// Where systems have it; service managers mount it there, and it stays for others.
const BPF_FS_HOME: &str = "/sys/fs/bpf";
/// Source of a bpffs that was mounted here: `/proc/self/mounts` tells whose it is.
const MOUNT_SOURCE: &str = "skep";
const MAPS: &str = "maps";
const LINKS: &str = "links";

/// The directories of this version, existing.
#[derive(Debug)]
pub(super) struct Pins {
    version: PathBuf,
}

impl Pins {
    /// Makes what is missing: a mount of bpffs, and the directories.
    pub(super) fn prepare(bpffs: &Path) -> io::Result<Self> {
        let home = Path::new(BPF_FS_HOME);
        if bpffs != home && bpffs.starts_with(home) && !is_bpffs(home)? {
            // Nobody has mounted it yet, and the kernel's own directory takes no directories.
            mount(Some("bpf"), home, Some("bpf"), MsFlags::empty(), Some("mode=0700"))?;
        }
        fs::create_dir_all(bpffs)?;
        if !is_bpffs(bpffs)? {
            mount(
                Some(MOUNT_SOURCE),
                bpffs,
                Some("bpf"),
                MsFlags::empty(),
                Some("mode=0700"),
            )?;
        }
        let version = bpffs.join(format!("v{LAYOUT_VERSION}"));
        for directory in [version.clone(), version.join(MAPS), version.join(LINKS)] {
            match fs::create_dir(&directory) {
                Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
                _ => fs::set_permissions(&directory, fs::Permissions::from_mode(0o700))?,
            }
        }
        Ok(Self { version })
    }

    /// Where maps are pinned, each under its name.
    pub(super) fn maps(&self) -> PathBuf {
        self.version.join(MAPS)
    }

    fn link(&self, name: &str) -> PathBuf {
        self.version.join(LINKS).join(name)
    }

    /// Names of all pinned links.
    pub(super) fn links(&self) -> io::Result<Vec<String>> {
        let entries = fs::read_dir(self.version.join(LINKS))?;
        entries
            .map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()))
            .collect()
    }

    /// Puts a program into a pinned link. False: the link's device or cgroup is gone, and now its pin too.
    pub(super) fn replace(&self, name: &str, program: BorrowedFd<'_>) -> io::Result<bool> {
        let link = sys::open_pin(&self.link(name))?;
        match sys::link_update(link.as_fd(), program) {
            Ok(()) => Ok(true),
            Err(error) if error.raw_os_error() == Some(libc::ENOLINK) => {
                fs::remove_file(self.link(name))?;
                Ok(false)
            }
            Err(error) => Err(error),
        }
    }

    /// The link `name` runs `program` on `target`: in place if it is there, else newly made by `create`.
    pub(super) fn ensure(
        &self,
        name: &str,
        program: BorrowedFd<'_>,
        target: LinkTarget,
        create: impl FnOnce() -> io::Result<std::os::fd::OwnedFd>,
    ) -> io::Result<()> {
        let path = self.link(name);
        match sys::open_pin(&path) {
            Ok(held) => {
                if sys::link_target(held.as_fd())? == target && self.replace(name, program)? {
                    return Ok(());
                }
                self.unpin(name)?;
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        let link = create()?;
        sys::pin(link.as_fd(), &path)
    }

    /// Takes a link's pin away, and with it the link. One that is not there is no error.
    pub(super) fn unpin(&self, name: &str) -> io::Result<()> {
        match fs::remove_file(self.link(name)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }
}

/// Takes all pins of all versions away, and the mount if it is ours.
pub(super) fn remove(bpffs: &Path) -> io::Result<()> {
    if !bpffs.exists() || !is_bpffs(bpffs)? {
        return Ok(());
    }
    for entry in fs::read_dir(bpffs)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let is_version = name.strip_prefix('v').is_some_and(|rest| rest.parse::<u32>().is_ok());
        if !is_version {
            continue;
        }
        // Links first: programs stop before their maps go.
        for directory in [LINKS, MAPS] {
            let directory = entry.path().join(directory);
            if !directory.exists() {
                continue;
            }
            for pin in fs::read_dir(&directory)? {
                fs::remove_file(pin?.path())?;
            }
            fs::remove_dir(&directory)?;
        }
        fs::remove_dir(entry.path())?;
    }
    if is_own_mount(bpffs)? {
        umount2(bpffs, MntFlags::MNT_DETACH)?;
    }
    // Somebody may keep pins of their own in it.
    let _ = fs::remove_dir(bpffs);
    Ok(())
}

/// Whether a bpffs was mounted on this very directory by [`Pins::prepare`].
fn is_own_mount(bpffs: &Path) -> io::Result<bool> {
    let path = fs::canonicalize(bpffs)?;
    let mounts = fs::read_to_string("/proc/self/mounts")?;
    Ok(mounts.lines().any(|line| {
        let mut words = line.split(' ');
        // The kernel writes a blank in a path as \040.
        words.next() == Some(MOUNT_SOURCE)
            && words
                .next()
                .is_some_and(|target| Path::new(&target.replace("\\040", " ")) == path)
            && words.next() == Some("bpf")
    }))
}

fn is_bpffs(path: &Path) -> io::Result<bool> {
    Ok(statfs(path)?.filesystem_type().0 == BPF_FS)
}
