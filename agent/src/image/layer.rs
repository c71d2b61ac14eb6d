//! Unpacks one layer into a directory of its own, in the form overlayfs wants for a lower directory.
//!
//! A whiteout becomes a 0/0 character device, an opaque directory gets `trusted.overlay.opaque`. Layers are hostile:
//! every name is resolved inside the layer's root by the kernel (`RESOLVE_IN_ROOT`), links lead nowhere else, device
//! nodes are left out (a container's /dev is its own) and so are attributes that mean something to overlayfs.
//! Never here: what lies in other layers. Source: OCI image specification 1.1 layer.md, overlayfs.rst, openat2(2).

use std::{
    ffi::OsStr,
    fs::File,
    io::{self, Read},
    os::{fd::OwnedFd, unix::ffi::OsStrExt},
    path::{Component, Path, PathBuf},
};

use rustix::fs::{
    AtFlags, FileType, Gid, Mode, OFlags, ResolveFlags, Timespec, Timestamps, Uid, XattrFlags, chownat, fchmod, fchown,
    fsetxattr, linkat, mkdirat, mknodat, openat, openat2, statat, symlinkat, unlinkat, utimensat,
};

use super::archive::legible;

const WHITEOUT_PREFIX: &[u8] = b".wh.";
const OPAQUE_MARKER: &[u8] = b".wh..wh..opq";
/// aufs' own files; they mean nothing to anybody else.
const AUFS_PREFIX: &[u8] = b".wh..wh.";
const OVERLAY_OPAQUE: &str = "trusted.overlay.opaque";
const PAX_XATTR_PREFIX: &str = "SCHILY.xattr.";
/// The attributes a layer may set.
const XATTRS_TAKEN: [&str; 2] = ["security.capability", "user."];
/// Deepest directory: far beyond any real layer, small enough for the recursion that makes parents.
const PATH_DEPTH_MAX: usize = 256;

/// A layer could not be unpacked; what was written so far is of no use.
#[derive(Debug, thiserror::Error)]
pub enum LayerError {
    /// The tar stream ends early or is damaged.
    #[error("read the layer's archive")]
    Read(#[source] io::Error),
    /// A name that would lead out of the layer.
    #[error("entry {0:?} leads out of the layer")]
    Escapes(PathBuf),
    /// A name nested too deeply.
    #[error("entry {0:?} is nested more than {PATH_DEPTH_MAX} directories deep")]
    TooDeep(PathBuf),
    /// A link without target, or a number out of range.
    #[error("entry {path:?} has an invalid {field}")]
    Invalid {
        /// The entry.
        path: PathBuf,
        /// The field of its header.
        field: &'static str,
    },
    /// The file system refused.
    #[error("{step} {path:?}")]
    Write {
        /// What was tried.
        step: &'static str,
        /// The entry.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}

/// What a layer held.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Unpacked {
    /// Bytes of regular files.
    pub(super) bytes: u64,
    /// Device nodes that were left out.
    pub(super) devices_skipped: u64,
}

/// Unpacks the uncompressed tar stream `layer` into the empty directory `root`.
///
/// Needs the rights to make device nodes and to give files away. Reads `layer` to its end only as far as tar does.
pub(super) fn unpack(layer: impl Read, root: &Path) -> Result<Unpacked, LayerError> {
    let mut unpacker = Unpacker::open(root)?;
    let mut archive = tar::Archive::new(layer);
    for entry in archive.entries().map_err(unreadable)? {
        unpacker.entry(entry.map_err(unreadable)?)?;
    }
    unpacker.finish()
}

struct Unpacker {
    root: OwnedFd,
    unpacked: Unpacked,
    /// Directories get their times last: what is made in them changes them.
    directory_times: Vec<(PathBuf, u64)>,
}

/// Owner, rights and times of an entry.
struct Attributes {
    owner: Uid,
    group: Gid,
    mode: Mode,
    modified_s: u64,
    xattrs: Vec<(String, Vec<u8>)>,
}

impl Unpacker {
    fn open(root: &Path) -> Result<Unpacker, LayerError> {
        let root_fd = rustix::fs::open(root, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
            .map_err(write_error("open", root))?;
        Ok(Unpacker {
            root: root_fd,
            unpacked: Unpacked::default(),
            directory_times: Vec::new(),
        })
    }

    fn entry(&mut self, mut entry: tar::Entry<'_, impl Read>) -> Result<(), LayerError> {
        let path = inner_path(&entry.path().map_err(unreadable)?)?;
        let kind = entry.header().entry_type();
        if matches!(kind, tar::EntryType::XGlobalHeader) {
            return Ok(());
        }
        let attributes = attributes(&mut entry, &path)?;
        let Some(name) = path.file_name().map(OsStr::to_owned) else {
            // The root itself.
            let root = self.open_directory(Path::new(""))?;
            return self.set_directory(&root, &path, &attributes);
        };
        let parent = self.parent(&path)?;
        if name.as_bytes().starts_with(WHITEOUT_PREFIX) {
            return self.whiteout(&parent, &path, &name);
        }
        if kind.is_dir() {
            return self.directory(&parent, &path, &name, &attributes);
        }
        if kind.is_character_special() || kind.is_block_special() {
            self.unpacked.devices_skipped += 1;
            return Ok(());
        }
        self.clear(&parent, &path, &name)?;
        if kind.is_hard_link() {
            return self.hard_link(&entry, &parent, &path, &name);
        }
        if kind.is_symlink() {
            let target = entry.link_name_bytes().ok_or_else(|| invalid(&path, "link target"))?;
            symlinkat(OsStr::from_bytes(&target), &parent, &name).map_err(write_error("link", &path))?;
            give_away(&parent, &name, &attributes).map_err(write_error("give away", &path))?;
            return set_times(&parent, &name, attributes.modified_s).map_err(write_error("set the times of", &path));
        }
        if kind.is_fifo() {
            mknodat(&parent, &name, FileType::Fifo, attributes.mode, 0).map_err(write_error("make fifo", &path))?;
            give_away(&parent, &name, &attributes).map_err(write_error("give away", &path))?;
            return Ok(());
        }
        self.file(entry, &parent, &path, &name, &attributes)
    }

    fn file(
        &mut self,
        mut entry: tar::Entry<'_, impl Read>,
        parent: &OwnedFd,
        path: &Path,
        name: &OsStr,
        attributes: &Attributes,
    ) -> Result<(), LayerError> {
        let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let fd = openat(parent, name, flags, Mode::RUSR | Mode::WUSR).map_err(write_error("create", path))?;
        let mut file = File::from(fd);
        self.unpacked.bytes += io::copy(&mut entry, &mut file).map_err(|source| LayerError::Write {
            step: "write",
            path: path.to_owned(),
            source,
        })?;
        // In this order: a change of owner clears set-uid bits and capabilities.
        fchown(&file, Some(attributes.owner), Some(attributes.group)).map_err(write_error("give away", path))?;
        fchmod(&file, attributes.mode).map_err(write_error("set the mode of", path))?;
        for (xattr, value) in &attributes.xattrs {
            fsetxattr(&file, xattr.as_str(), value, XattrFlags::empty())
                .map_err(write_error("set an attribute of", path))?;
        }
        set_times(parent, name, attributes.modified_s).map_err(write_error("set the times of", path))
    }

    fn directory(
        &mut self,
        parent: &OwnedFd,
        path: &Path,
        name: &OsStr,
        attributes: &Attributes,
    ) -> Result<(), LayerError> {
        match statat(parent, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) if FileType::from_raw_mode(stat.st_mode) == FileType::Directory => {}
            Ok(stat) => {
                // A whiteout and then a directory of that name: it hides what is below.
                let whiteout = FileType::from_raw_mode(stat.st_mode) == FileType::CharacterDevice && stat.st_rdev == 0;
                self.clear(parent, path, name)?;
                mkdirat(parent, name, Mode::RWXU).map_err(write_error("make directory", path))?;
                if whiteout {
                    self.make_opaque(path)?;
                }
            }
            Err(rustix::io::Errno::NOENT) => {
                mkdirat(parent, name, Mode::RWXU).map_err(write_error("make directory", path))?;
            }
            Err(err) => return Err(write_error("look at", path)(err)),
        }
        let directory = self.open_directory(path)?;
        self.set_directory(&directory, path, attributes)
    }

    fn set_directory(&mut self, directory: &OwnedFd, path: &Path, attributes: &Attributes) -> Result<(), LayerError> {
        fchown(directory, Some(attributes.owner), Some(attributes.group)).map_err(write_error("give away", path))?;
        fchmod(directory, attributes.mode).map_err(write_error("set the mode of", path))?;
        for (xattr, value) in &attributes.xattrs {
            fsetxattr(directory, xattr.as_str(), value, XattrFlags::empty())
                .map_err(write_error("set an attribute of", path))?;
        }
        self.directory_times.push((path.to_owned(), attributes.modified_s));
        Ok(())
    }

    fn hard_link(
        &self,
        entry: &tar::Entry<'_, impl Read>,
        parent: &OwnedFd,
        path: &Path,
        name: &OsStr,
    ) -> Result<(), LayerError> {
        let target = entry
            .link_name()
            .map_err(unreadable)?
            .ok_or_else(|| invalid(path, "link target"))?;
        let target = inner_path(&target)?;
        let target_name = target.file_name().ok_or_else(|| invalid(path, "link target"))?;
        let target_parent = self.open_directory(target.parent().unwrap_or(Path::new("")))?;
        linkat(&target_parent, target_name, parent, name, AtFlags::empty()).map_err(write_error("link", path))
    }

    fn whiteout(&self, parent: &OwnedFd, path: &Path, name: &OsStr) -> Result<(), LayerError> {
        let bytes = name.as_bytes();
        if bytes == OPAQUE_MARKER {
            return self.make_opaque(path.parent().unwrap_or(Path::new("")));
        }
        if bytes.starts_with(AUFS_PREFIX) {
            return Ok(());
        }
        let hidden = OsStr::from_bytes(&bytes[WHITEOUT_PREFIX.len()..]);
        if hidden.is_empty() || hidden == "." || hidden == ".." {
            return Err(LayerError::Escapes(path.to_owned()));
        }
        match mknodat(parent, hidden, FileType::CharacterDevice, Mode::empty(), 0) {
            Ok(()) => Ok(()),
            // The layer has something of that name itself: a directory then hides what is below, a file does anyway.
            Err(rustix::io::Errno::EXIST) => {
                let stat = statat(parent, hidden, AtFlags::SYMLINK_NOFOLLOW).map_err(write_error("look at", path))?;
                if FileType::from_raw_mode(stat.st_mode) == FileType::Directory {
                    self.make_opaque(&path.with_file_name(hidden))?;
                }
                Ok(())
            }
            Err(err) => Err(write_error("make whiteout", path)(err)),
        }
    }

    fn make_opaque(&self, directory: &Path) -> Result<(), LayerError> {
        let fd = self.open_directory(directory)?;
        fsetxattr(&fd, OVERLAY_OPAQUE, b"y", XattrFlags::empty()).map_err(write_error("make opaque", directory))
    }

    /// Removes what an earlier entry left at this name, so that the new one never writes through it.
    fn clear(&self, parent: &OwnedFd, path: &Path, name: &OsStr) -> Result<(), LayerError> {
        match unlinkat(parent, name, AtFlags::empty()) {
            Ok(()) | Err(rustix::io::Errno::NOENT) => Ok(()),
            Err(rustix::io::Errno::ISDIR) => remove_tree(parent, name).map_err(write_error("replace directory", path)),
            Err(err) => Err(write_error("replace", path)(err)),
        }
    }

    /// The directory above `path`, made where an archive leaves it out.
    fn parent(&self, path: &Path) -> Result<OwnedFd, LayerError> {
        self.ensure_directory(path.parent().unwrap_or(Path::new("")))
    }

    fn ensure_directory(&self, path: &Path) -> Result<OwnedFd, LayerError> {
        match self.resolve(path) {
            Ok(fd) => Ok(fd),
            Err(rustix::io::Errno::NOENT) => {
                let (Some(above), Some(name)) = (path.parent(), path.file_name()) else {
                    return Err(write_error("open", path)(rustix::io::Errno::NOENT));
                };
                let above = self.ensure_directory(above)?;
                let mode = Mode::RWXU | Mode::RGRP | Mode::XGRP | Mode::ROTH | Mode::XOTH;
                match mkdirat(&above, name, mode) {
                    Ok(()) | Err(rustix::io::Errno::EXIST) => self.open_directory(path),
                    Err(err) => Err(write_error("make directory", path)(err)),
                }
            }
            Err(err) => Err(write_error("open", path)(err)),
        }
    }

    fn open_directory(&self, path: &Path) -> Result<OwnedFd, LayerError> {
        self.resolve(path).map_err(write_error("open", path))
    }

    fn resolve(&self, path: &Path) -> rustix::io::Result<OwnedFd> {
        let path = if path.as_os_str().is_empty() {
            Path::new(".")
        } else {
            path
        };
        openat2(
            &self.root,
            path,
            OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC,
            Mode::empty(),
            ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS,
        )
    }

    fn finish(self) -> Result<Unpacked, LayerError> {
        for (path, modified_s) in self.directory_times.iter().rev() {
            // A later entry may have replaced the directory.
            if let Ok(fd) = self.resolve(path) {
                rustix::fs::futimens(&fd, &times(*modified_s)).map_err(write_error("set the times of", path))?;
            }
        }
        Ok(self.unpacked)
    }
}

fn attributes(entry: &mut tar::Entry<'_, impl Read>, path: &Path) -> Result<Attributes, LayerError> {
    let mut xattrs = Vec::new();
    if let Some(extensions) = entry.pax_extensions().map_err(unreadable)? {
        for extension in extensions {
            let extension = extension.map_err(unreadable)?;
            let Some(name) = extension.key().ok().and_then(|key| key.strip_prefix(PAX_XATTR_PREFIX)) else {
                continue;
            };
            if XATTRS_TAKEN.iter().any(|taken| name.starts_with(taken)) {
                xattrs.push((name.to_owned(), extension.value_bytes().to_owned()));
            }
        }
    }
    let header = entry.header();
    let fields = header.as_old();
    // A field left blank means zero to every tar.
    let number = |blank: &[u8], value: io::Result<u64>, field| match value {
        Ok(value) => Ok(value),
        Err(_) if blank.iter().all(|byte| matches!(byte, 0 | b' ')) => Ok(0),
        Err(_) => Err(invalid(path, field)),
    };
    let id = |value: u64, field| {
        u32::try_from(value)
            .ok()
            .filter(|value| *value != u32::MAX)
            .ok_or_else(|| invalid(path, field))
    };
    let mode = number(&fields.mode, header.mode().map(u64::from), "mode")?;
    Ok(Attributes {
        owner: Uid::from_raw(id(number(&fields.uid, header.uid(), "uid")?, "uid")?),
        group: Gid::from_raw(id(number(&fields.gid, header.gid(), "gid")?, "gid")?),
        mode: Mode::from_raw_mode(id(mode, "mode")? & 0o7777),
        modified_s: number(&fields.mtime, header.mtime(), "mtime")?,
        xattrs,
    })
}

/// The name relative to the layer's root; one that climbs is refused, not repaired.
fn inner_path(path: &Path) -> Result<PathBuf, LayerError> {
    let mut inner = PathBuf::new();
    for component in path.components() {
        match component {
            Component::Normal(part) => inner.push(part),
            Component::CurDir | Component::RootDir => {}
            Component::ParentDir | Component::Prefix(_) => return Err(LayerError::Escapes(path.to_owned())),
        }
    }
    if inner.components().count() > PATH_DEPTH_MAX {
        return Err(LayerError::TooDeep(path.to_owned()));
    }
    Ok(inner)
}

fn remove_tree(parent: &OwnedFd, name: &OsStr) -> rustix::io::Result<()> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let directory = openat(parent, name, flags, Mode::empty())?;
    for entry in rustix::fs::Dir::read_from(&directory)? {
        let entry = entry?;
        let inner = OsStr::from_bytes(entry.file_name().to_bytes());
        if inner == "." || inner == ".." {
            continue;
        }
        match unlinkat(&directory, inner, AtFlags::empty()) {
            Err(rustix::io::Errno::ISDIR) => remove_tree(&directory, inner)?,
            other => other?,
        }
    }
    unlinkat(parent, name, AtFlags::REMOVEDIR)
}

fn give_away(parent: &OwnedFd, name: &OsStr, attributes: &Attributes) -> rustix::io::Result<()> {
    let (owner, group) = (Some(attributes.owner), Some(attributes.group));
    chownat(parent, name, owner, group, AtFlags::SYMLINK_NOFOLLOW)
}

fn set_times(parent: &OwnedFd, name: &OsStr, modified_s: u64) -> rustix::io::Result<()> {
    utimensat(parent, name, &times(modified_s), AtFlags::SYMLINK_NOFOLLOW)
}

fn times(modified_s: u64) -> Timestamps {
    let time = Timespec {
        tv_sec: i64::try_from(modified_s).unwrap_or(0),
        tv_nsec: 0,
    };
    Timestamps {
        last_access: time,
        last_modification: time,
    }
}

fn unreadable(err: io::Error) -> LayerError {
    LayerError::Read(legible(err))
}

fn invalid(path: &Path, field: &'static str) -> LayerError {
    LayerError::Invalid {
        path: path.to_owned(),
        field,
    }
}

fn write_error(step: &'static str, path: &Path) -> impl FnOnce(rustix::io::Errno) -> LayerError {
    move |errno| LayerError::Write {
        step,
        path: path.to_owned(),
        source: errno.into(),
    }
}

#[cfg(test)]
mod tests;
