//! The socket that a container's runtime sends the master of a new terminal to.
//!
//! Source: OCI runtime command line interface, `--console-socket`.

use std::{
    fs, io,
    os::{fd::OwnedFd, unix::net::UnixListener},
    path::{Path, PathBuf},
};

use crate::net::descriptors;

/// A socket for one terminal; its file goes with the value.
#[derive(Debug)]
pub(super) struct ConsoleSocket {
    listener: UnixListener,
    path: PathBuf,
}

impl ConsoleSocket {
    /// Listens in a directory, under a name of this process.
    pub(super) fn listen(dir: &Path) -> io::Result<ConsoleSocket> {
        let name = format!("console-{}.sock", std::process::id());
        // By its short name from within: a socket's path has at most 107 bytes.
        std::env::set_current_dir(dir)?;
        let listener = UnixListener::bind(&name);
        std::env::set_current_dir("/")?;
        let listener = listener?;
        listener.set_nonblocking(true)?;
        Ok(ConsoleSocket {
            listener,
            path: dir.join(name),
        })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// The master that the runtime has sent. It has: the process is started.
    pub(super) fn take(self) -> io::Result<OwnedFd> {
        let (stream, _) = self.listener.accept()?;
        stream.set_nonblocking(true)?;
        let (_, fds) = descriptors::receive(&stream, &mut [0; 64])?;
        let master = fds.into_iter().next();
        master.ok_or_else(|| io::Error::other("the runtime sent no terminal"))
    }

    /// Removes the links to this socket that the runtime leaves in its directory.
    pub(super) fn remove_links(&self, runtime_dir: &Path) {
        for entry in fs::read_dir(runtime_dir).into_iter().flatten().flatten() {
            if fs::read_link(entry.path()).is_ok_and(|target| target == self.path) {
                // One that stays costs a name, until the container is forgotten.
                let _ = fs::remove_file(entry.path());
            }
        }
    }
}

impl Drop for ConsoleSocket {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}
