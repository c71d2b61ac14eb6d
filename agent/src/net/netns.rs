//! Network namespaces as bind mounts, and work done inside one.
//!
//! A thread that changes its namespace never returns to the runtime: each piece of work has a thread of its own that
//! ends with it. Source: network_namespaces(7), setns(2), mount(2).

use std::{
    fs::{self, File, OpenOptions},
    io,
    os::{
        fd::AsFd,
        unix::fs::{MetadataExt, OpenOptionsExt},
    },
    path::{Path, PathBuf},
    thread,
};

use nix::{
    mount::{MntFlags, MsFlags, mount, umount2},
    sched::{CloneFlags, setns, unshare},
    sys::statfs::{NSFS_MAGIC, fstatfs},
};

/// The calling thread's own namespace; `/proc/self` would be the main thread's.
const THREAD_NETNS: &str = "/proc/thread-self/ns/net";

/// A network namespace could not be made, entered or released.
#[derive(Debug, thiserror::Error)]
pub enum NetnsError {
    /// The file that carries the bind mount cannot be made.
    #[error("make {path}")]
    MakeFile {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The file cannot be opened.
    #[error("open {path}")]
    Open {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// No thread could be started.
    #[error("start a thread")]
    Thread(#[source] io::Error),
    /// The thread panicked.
    #[error("the thread that worked in the namespace panicked")]
    Panicked,
    /// `unshare(2)` failed.
    #[error("make a network namespace")]
    Unshare(#[source] nix::Error),
    /// `mount(2)` failed.
    #[error("bind the network namespace to {path}")]
    Bind {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: nix::Error,
    },
    /// `setns(2)` failed.
    #[error("enter the network namespace {path}")]
    Enter {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: nix::Error,
    },
    /// `umount2(2)` failed.
    #[error("unmount {path}")]
    Unmount {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: nix::Error,
    },
    /// The file stayed after its mount had gone.
    #[error("remove {path}")]
    Remove {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}

/// Makes a namespace and binds it to `path`, unless one is bound there already. True if it was made now.
///
/// # Errors
/// Nothing is left mounted; the empty file may stay and is used by the next try.
pub fn ensure(path: &Path) -> Result<bool, NetnsError> {
    let make_file = |source| NetnsError::MakeFile {
        path: path.to_owned(),
        source,
    };
    OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o400)
        .open(path)
        .or_else(|err| {
            // A bound namespace cannot be opened for writing.
            if path.exists() { File::open(path) } else { Err(err) }
        })
        .map_err(make_file)?;
    if is_bound(path)? {
        return Ok(false);
    }
    let target = path.to_owned();
    on_thread(move || {
        unshare(CloneFlags::CLONE_NEWNET).map_err(NetnsError::Unshare)?;
        mount(
            Some(THREAD_NETNS),
            &target,
            None::<&str>,
            MsFlags::MS_BIND,
            None::<&str>,
        )
        .map_err(|source| NetnsError::Bind {
            path: target.clone(),
            source,
        })
    })??;
    Ok(true)
}

/// Whether a namespace is bound to `path`.
///
/// # Errors
/// When the file is there and cannot be looked at.
pub fn is_bound(path: &Path) -> Result<bool, NetnsError> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(err) if err.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(source) => {
            return Err(NetnsError::Open {
                path: path.to_owned(),
                source,
            });
        }
    };
    let kind = fstatfs(file.as_fd()).map_err(|source| NetnsError::Open {
        path: path.to_owned(),
        source: source.into(),
    })?;
    Ok(kind.filesystem_type() == NSFS_MAGIC)
}

/// Unmounts what is bound to `path` and removes the file. Nothing happens if there is none. The namespace itself lives
/// on for as long as a process is in it.
///
/// # Errors
/// When it is still mounted, or the file stays.
pub fn release(path: &Path) -> Result<(), NetnsError> {
    // Twice and more: a crash between two mounts over one another must not leave the lower one.
    while is_bound(path)? {
        umount2(path, MntFlags::MNT_DETACH).map_err(|source| NetnsError::Unmount {
            path: path.to_owned(),
            source,
        })?;
    }
    match fs::remove_file(path) {
        Err(source) if source.kind() != io::ErrorKind::NotFound => Err(NetnsError::Remove {
            path: path.to_owned(),
            source,
        }),
        _ => Ok(()),
    }
}

/// Runs `work` on a thread of its own inside the namespace bound to `path`. Blocks.
///
/// # Errors
/// When the namespace cannot be entered; `work` has then not run.
pub fn inside<T: Send + 'static>(path: &Path, work: impl FnOnce() -> T + Send + 'static) -> Result<T, NetnsError> {
    let path = path.to_owned();
    on_thread(move || {
        let file = File::open(&path).map_err(|source| NetnsError::Open {
            path: path.clone(),
            source,
        })?;
        setns(file.as_fd(), CloneFlags::CLONE_NEWNET).map_err(|source| NetnsError::Enter {
            path: path.clone(),
            source,
        })?;
        Ok(work())
    })?
}

/// Number that identifies the calling thread's network namespace for as long as it lives.
///
/// # Errors
/// When /proc is not mounted.
pub fn current_inode() -> Result<u64, NetnsError> {
    fs::metadata(THREAD_NETNS)
        .map(|metadata| metadata.ino())
        .map_err(|source| NetnsError::Open {
            path: PathBuf::from(THREAD_NETNS),
            source,
        })
}

fn on_thread<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, NetnsError> {
    thread::Builder::new()
        .name("netns".to_owned())
        .spawn(work)
        .map_err(NetnsError::Thread)?
        .join()
        .map_err(|_| NetnsError::Panicked)
}
