//! Hostile and odd layers. Needs root: whiteouts are device nodes.

use std::{
    fs,
    io::Cursor,
    os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt},
    path::Path,
};

use tar::{Builder, EntryType, Header};

use super::{LayerError, Unpacked, unpack};

struct Entry {
    kind: EntryType,
    /// Written as it is: the tar crate's own setters refuse what hostile archives contain.
    path: &'static str,
    link: &'static str,
    content: &'static str,
    mode: u32,
}

fn file(path: &'static str, content: &'static str) -> Entry {
    Entry {
        kind: EntryType::Regular,
        path,
        link: "",
        content,
        mode: 0o644,
    }
}

fn dir(path: &'static str) -> Entry {
    Entry {
        kind: EntryType::Directory,
        path,
        link: "",
        content: "",
        mode: 0o755,
    }
}

fn symlink(path: &'static str, link: &'static str) -> Entry {
    Entry {
        kind: EntryType::Symlink,
        path,
        link,
        content: "",
        mode: 0o777,
    }
}

fn hard_link(path: &'static str, link: &'static str) -> Entry {
    Entry {
        kind: EntryType::Link,
        path,
        link,
        content: "",
        mode: 0o644,
    }
}

fn device(path: &'static str) -> Entry {
    Entry {
        kind: EntryType::Char,
        path,
        link: "",
        content: "",
        mode: 0o600,
    }
}

fn tar_of(entries: &[Entry]) -> Vec<u8> {
    let mut builder = Builder::new(Vec::new());
    for entry in entries {
        let mut header = Header::new_ustar();
        header.set_entry_type(entry.kind);
        header.as_old_mut().name[..entry.path.len()].copy_from_slice(entry.path.as_bytes());
        header.as_old_mut().linkname[..entry.link.len()].copy_from_slice(entry.link.as_bytes());
        header.set_size(entry.content.len() as u64);
        header.set_mode(entry.mode);
        header.set_uid(7);
        header.set_gid(8);
        header.set_mtime(1_000_000_000);
        header.set_cksum();
        builder.append(&header, Cursor::new(entry.content)).unwrap();
    }
    builder.into_inner().unwrap()
}

fn unpacked(entries: &[Entry]) -> (tempfile::TempDir, Result<Unpacked, LayerError>) {
    let outside = tempfile::tempdir().unwrap();
    fs::write(outside.path().join("secret"), "untouched").unwrap();
    let root = outside.path().join("root");
    fs::create_dir(&root).unwrap();
    let result = unpack(Cursor::new(tar_of(entries)), &root);
    assert_eq!(fs::read_to_string(outside.path().join("secret")).unwrap(), "untouched");
    (outside, result)
}

fn opaque(path: &Path) -> bool {
    let mut value = [0_u8; 8];
    rustix::fs::getxattr(path, "trusted.overlay.opaque", &mut value[..]).is_ok_and(|length| &value[..length] == b"y")
}

fn whiteout(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok_and(|meta| meta.file_type().is_char_device() && meta.rdev() == 0)
}

#[test]
fn files_keep_content_mode_owner_and_time() {
    let mut suid = file("bin/su", "#!");
    suid.mode = 0o4755;
    let (outside, result) = unpacked(&[dir("bin/"), suid, symlink("bin/s", "su"), hard_link("bin/h", "bin/su")]);
    assert_eq!(
        result.unwrap(),
        Unpacked {
            bytes: 2,
            devices_skipped: 0
        }
    );
    let root = outside.path().join("root");
    let meta = fs::metadata(root.join("bin/su")).unwrap();
    assert_eq!(meta.permissions().mode() & 0o7777, 0o4755);
    assert_eq!(
        (meta.uid(), meta.gid(), meta.mtime(), meta.nlink()),
        (7, 8, 1_000_000_000, 2)
    );
    assert_eq!(fs::metadata(root.join("bin")).unwrap().mtime(), 1_000_000_000);
    assert_eq!(fs::read_link(root.join("bin/s")).unwrap(), Path::new("su"));
}

#[test]
fn names_that_climb_are_refused() {
    for entries in [
        vec![file("../secret", "x")],
        vec![file("a/../../secret", "x")],
        vec![dir(".."), file("secret", "x")],
        vec![hard_link("inside", "../secret")],
        vec![file("a/.wh...", "")],
    ] {
        let name = entries[0].path;
        let (_outside, result) = unpacked(&entries);
        assert!(matches!(result, Err(LayerError::Escapes(_))), "{name}: {result:?}");
    }
}

#[test]
fn links_lead_nowhere_outside_the_layer() {
    // Through a symlink to a directory above, to an absolute path, and through /proc.
    for target in ["..", "/", "../..", "/proc/self/root", "/proc/self/cwd/.."] {
        let link = symlink("out", target);
        let (outside, result) = unpacked(&[link, file("out/secret", "evil")]);
        let root = outside.path().join("root");
        // Either it stayed inside or it was refused; `unpacked` has checked the file outside.
        if result.is_ok() {
            assert_eq!(fs::read_to_string(root.join("secret")).unwrap(), "evil", "{target}");
        }
    }
    let (_outside, result) = unpacked(&[symlink("out", "/proc/self/root"), hard_link("in", "out/etc/passwd")]);
    assert!(matches!(result, Err(LayerError::Write { .. })), "{result:?}");
}

#[test]
fn a_later_entry_replaces_a_link_instead_of_writing_through_it() {
    let (outside, result) = unpacked(&[symlink("a", "../secret"), file("a", "mine")]);
    result.unwrap();
    let meta = fs::symlink_metadata(outside.path().join("root/a")).unwrap();
    assert!(meta.is_file());
    let (outside, result) = unpacked(&[symlink("d", ".."), dir("d/"), file("d/secret", "mine")]);
    result.unwrap();
    assert!(fs::symlink_metadata(outside.path().join("root/d")).unwrap().is_dir());
    let (outside, result) = unpacked(&[dir("d"), file("d/x", "1"), file("d", "now a file")]);
    result.unwrap();
    assert_eq!(fs::read_to_string(outside.path().join("root/d")).unwrap(), "now a file");
}

#[test]
fn whiteouts_become_what_overlayfs_reads() {
    let (outside, result) = unpacked(&[
        dir("etc"),
        file("etc/.wh.passwd", ""),
        dir("var"),
        file("var/.wh..wh..opq", ""),
        file("var/new", "1"),
        file(".wh..wh.plnk", ""),
        file(".wh.gone", ""),
        // Hidden below and there again here: the directory is opaque, the file is simply itself.
        file(".wh.again", ""),
        dir("again"),
        file("kept", "1"),
        file(".wh.kept", ""),
        dir("full"),
        file(".wh.full", ""),
    ]);
    result.unwrap();
    let root = outside.path().join("root");
    assert!(whiteout(&root.join("etc/passwd")));
    assert!(whiteout(&root.join("gone")));
    assert!(opaque(&root.join("var")) && !opaque(&root.join("etc")));
    assert!(opaque(&root.join("again")) && opaque(&root.join("full")));
    assert!(root.join("kept").is_file() && root.join("var/new").is_file());
    assert!(!root.join(".wh..wh.plnk").exists() && !root.join(".wh.plnk").exists());
}

#[test]
fn device_nodes_are_left_out() {
    let (outside, result) = unpacked(&[dir("dev"), device("dev/mem"), file("dev/note", "1")]);
    assert_eq!(result.unwrap().devices_skipped, 1);
    assert!(!outside.path().join("root/dev/mem").exists());
    assert!(outside.path().join("root/dev/note").exists());
}

#[test]
fn missing_parents_are_made_and_odd_prefixes_are_stripped() {
    let (outside, result) = unpacked(&[file("./a/b/c", "1"), file("/x/y", "2"), dir("./")]);
    result.unwrap();
    let root = outside.path().join("root");
    assert_eq!(fs::read_to_string(root.join("a/b/c")).unwrap(), "1");
    assert_eq!(fs::read_to_string(root.join("x/y")).unwrap(), "2");
}

#[test]
fn a_truncated_archive_is_an_error() {
    let bytes = tar_of(&[file("a", "0123456789")]);
    let root = tempfile::tempdir().unwrap();
    let result = unpack(Cursor::new(&bytes[..515]), root.path());
    assert!(result.is_err(), "{result:?}");
}
