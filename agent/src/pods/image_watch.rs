//! Tells when images have been imported, by this process or another.
//!
//! Source: inotify(7).

use std::{io, os::fd::OwnedFd, path::Path};

use rustix::fs::inotify::{CreateFlags, WatchFlags, add_watch, init};
use tokio::io::unix::AsyncFd;

/// A watch on the image store's list.
#[derive(Debug)]
pub(super) struct ImageWatch {
    inotify: AsyncFd<OwnedFd>,
}

impl ImageWatch {
    pub(super) fn new(dir: &Path) -> io::Result<ImageWatch> {
        let inotify = init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK)?;
        // The list is replaced by rename; work in progress lies in directories below.
        add_watch(&inotify, dir, WatchFlags::MOVED_TO)?;
        Ok(ImageWatch {
            inotify: AsyncFd::new(inotify)?,
        })
    }

    /// Waits for the next change. Cancel-safe.
    pub(super) async fn changed(&self) -> io::Result<()> {
        let mut ready = self.inotify.readable().await?;
        let mut buffer = [0_u8; 4096];
        while rustix::io::read(self.inotify.get_ref(), &mut buffer).is_ok_and(|count| count > 0) {}
        ready.clear_ready();
        Ok(())
    }
}
