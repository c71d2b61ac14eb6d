use std::os::unix::fs::MetadataExt as _;

use super::*;

#[test]
fn a_file_is_replaced_only_by_something_else() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("below").join("file");
    let inode = || fs::metadata(&path).expect("it is there").ino();
    replace(&path, b"one", Sync::No).expect("make it");
    let first = inode();
    replace(&path, b"one", Sync::No).expect("again");
    assert_eq!(inode(), first, "nothing was written");
    replace(&path, b"two", Sync::No).expect("replace it");
    assert_ne!(inode(), first);
    assert_eq!(fs::read(&path).expect("read"), b"two");
}
