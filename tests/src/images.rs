//! The images that tests run.

use std::path::{Path, PathBuf};

use xtask::image;

use crate::programs;

/// A shell with busybox' tools. `command: ["/bin/sh", "-c", …]`.
pub const BUSYBOX: &str = "skep.test/busybox:1";
/// [`programs::test_web`]: answers HTTP and UDP on port 8080 with the pod's name; keeps connections open.
pub const WEB: &str = "skep.test/test-web:1";
/// [`programs::test_load`]: sends requests and counts what comes back.
pub const LOAD: &str = "skep.test/test-load:1";

/// Writes the archives of all test images into a directory.
///
/// # Panics
/// When busybox-static is not installed (`cargo xtask setup` does) or the directory cannot be written.
#[must_use]
pub fn write_all(directory: &Path) -> Vec<PathBuf> {
    let images = [
        image::busybox(BUSYBOX).expect("build the busybox image"),
        image::program(WEB, &programs::test_web()).expect("build the web image"),
        image::program(LOAD, &programs::test_load()).expect("build the load image"),
    ];
    images
        .into_iter()
        .map(|image| {
            let name = image.reference().replace(['/', ':'], "-");
            let path = directory.join(format!("{name}.tar"));
            image.write(&path).expect("write the image");
            path
        })
        .collect()
}
