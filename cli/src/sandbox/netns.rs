//! Network namespaces, kept alive by bind mounts under /run/netns as iproute2 does, so that its tools see them.
//!
//! Source: network_namespaces(7), ip-netns(8).

use std::{
    fs::{self, File},
    future::Future,
    io,
    path::{Path, PathBuf},
    thread,
};

use nix::{
    mount::{MntFlags, MsFlags, mount, umount2},
    sched::{CloneFlags, setns, unshare},
};

const DIRECTORY: &str = "/run/netns";

/// A namespace could not be made, entered or removed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NetnsError {
    #[error(
        "the network namespace {name} exists already and is not this sandbox's: remove it with `ip netns delete {name}`, or give the sandbox another --name"
    )]
    Exists { name: String },
    #[error("prepare {DIRECTORY}")]
    Prepare(#[source] io::Error),
    #[error("create the network namespace {name}")]
    Create {
        name: String,
        #[source]
        source: io::Error,
    },
    #[error("enter the network namespace {}", path.display())]
    Enter {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("remove the network namespace {name}")]
    Remove {
        name: String,
        #[source]
        source: io::Error,
    },
    #[error("start a thread for the network namespace {}", path.display())]
    Thread {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
}

/// Where a namespace of this name is mounted.
pub(crate) fn path(name: &str) -> PathBuf {
    Path::new(DIRECTORY).join(name)
}

/// Makes sure that there is no namespace of this name.
pub(crate) fn check_free(name: &str) -> Result<(), NetnsError> {
    match path(name).symlink_metadata() {
        Ok(_) => Err(NetnsError::Exists { name: name.to_owned() }),
        Err(_) => Ok(()),
    }
}

/// Makes a namespace.
pub(crate) fn create(name: &str) -> Result<(), NetnsError> {
    prepare_directory().map_err(NetnsError::Prepare)?;
    let target = path(name);
    match File::options().create_new(true).write(true).open(&target) {
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            return Err(NetnsError::Exists { name: name.to_owned() });
        }
        Err(source) => {
            return Err(NetnsError::Create {
                name: name.to_owned(),
                source,
            });
        }
    }
    // In a thread of its own, which ends there: this process stays where it is.
    let made = thread::spawn(move || -> io::Result<()> {
        unshare(CloneFlags::CLONE_NEWNET)?;
        mount(
            Some("/proc/thread-self/ns/net"),
            &target,
            None::<&str>,
            MsFlags::MS_BIND,
            None::<&str>,
        )?;
        Ok(())
    })
    .join()
    .unwrap_or_else(|_| Err(io::Error::other("the thread that makes it panicked")));
    made.map_err(|source| NetnsError::Create {
        name: name.to_owned(),
        source,
    })
}

/// Mounts in the directory must reach other mount namespaces, or they would hold a removed namespace.
fn prepare_directory() -> io::Result<()> {
    fs::create_dir_all(DIRECTORY)?;
    let share = || {
        mount(
            None::<&str>,
            DIRECTORY,
            None::<&str>,
            MsFlags::MS_SHARED | MsFlags::MS_REC,
            None::<&str>,
        )
    };
    match share() {
        Ok(()) => Ok(()),
        Err(nix::errno::Errno::EINVAL) => {
            // Not a mount point yet.
            mount(
                Some(DIRECTORY),
                DIRECTORY,
                None::<&str>,
                MsFlags::MS_BIND | MsFlags::MS_REC,
                None::<&str>,
            )?;
            share()?;
            Ok(())
        }
        Err(error) => Err(error.into()),
    }
}

/// Removes a namespace's mount. Ok if it is not there. It lives on while a process is in it.
pub(crate) fn remove(name: &str) -> Result<(), NetnsError> {
    let target = path(name);
    let failed = |source: io::Error| NetnsError::Remove {
        name: name.to_owned(),
        source,
    };
    loop {
        match umount2(&target, MntFlags::MNT_DETACH) {
            // Another mount may be below it, from a creation that was repeated.
            Ok(()) => {}
            Err(nix::errno::Errno::EINVAL | nix::errno::Errno::ENOENT) => break,
            Err(error) => return Err(failed(error.into())),
        }
    }
    match fs::remove_file(&target) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(failed(error)),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// Moves the calling thread into a namespace. Threads it starts later are there, too; others are not.
pub(crate) fn enter(path: &Path) -> Result<(), NetnsError> {
    let entered = File::open(path).and_then(|file| Ok(setns(file, CloneFlags::CLONE_NEWNET)?));
    entered.map_err(|source| NetnsError::Enter {
        path: path.to_owned(),
        source,
    })
}

/// Runs a function in a namespace and returns what it returns.
pub(crate) fn within<T: Send + 'static>(
    path: &Path,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, NetnsError> {
    let inside = path.to_owned();
    let outcome = thread::spawn(move || {
        enter(&inside)?;
        Ok(work())
    })
    .join();
    match outcome {
        Ok(outcome) => outcome,
        Err(panic) => std::panic::resume_unwind(panic),
    }
}

/// Runs asynchronous work in a namespace: sockets that it opens belong there.
pub(crate) fn within_async<T, F>(path: &Path, work: impl FnOnce() -> F + Send + 'static) -> Result<T, NetnsError>
where
    T: Send + 'static,
    F: Future<Output = T>,
{
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|source| NetnsError::Thread {
            path: path.to_owned(),
            source,
        })?;
    within(path, move || runtime.block_on(work()))
}
