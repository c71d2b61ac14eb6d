//! Waiting for changes below directories, as a task.
//!
//! Never here: what changed; who waits looks for itself. Source: inotify(7).

use std::{io, os::fd::OwnedFd, path::Path};

pub(crate) use rustix::fs::inotify::WatchFlags;
use rustix::fs::inotify::{CreateFlags, add_watch, init};
use tokio::io::unix::AsyncFd;

/// Watches on some directories.
#[derive(Debug)]
pub(crate) struct Inotify {
    fd: AsyncFd<OwnedFd>,
}

impl Inotify {
    /// Watches nothing yet. Must be called in a tokio runtime.
    pub(crate) fn new() -> io::Result<Inotify> {
        let fd = init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK)?;
        #[expect(
            deprecated,
            reason = "unsound for types that lie about their descriptor; an OwnedFd does not, and the successor is unsafe"
        )]
        let fd = AsyncFd::new(fd)?;
        Ok(Inotify { fd })
    }

    /// Watches one more directory.
    pub(crate) fn watch(&self, dir: &Path, flags: WatchFlags) -> io::Result<()> {
        add_watch(self.fd.get_ref(), dir, flags)?;
        Ok(())
    }

    /// Waits for the next change; changes that have gathered count as one. Cancel-safe.
    pub(crate) async fn changed(&self) -> io::Result<()> {
        let mut ready = self.fd.readable().await?;
        let mut buffer = [0_u8; 4096];
        while rustix::io::read(self.fd.get_ref(), &mut buffer).is_ok_and(|count| count > 0) {}
        ready.clear_ready();
        Ok(())
    }
}
