//! Keeping processes alive: what a service manager does, for `skep up` and for a sandbox.
//!
//! The decisions are in [`machine`], without I/O; [`runner`] carries them out; [`process`] names a process so that a
//! reused pid is never mistaken for it; [`record`] is what others read of it.

use std::{
    fs::{File, TryLockError},
    io,
    path::Path,
};

use anyhow::Context;

pub(crate) mod machine;
pub(crate) mod process;
pub(crate) mod record;
pub(crate) mod runner;

pub(crate) use process::ProcessId;
pub(crate) use runner::{Output, Report, Supervised, Supervisor, Unit};

/// The lock that the one supervisor of some data holds; None if another process has it.
pub(crate) fn lock(path: &Path) -> anyhow::Result<Option<File>> {
    let file = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(path)
        .with_context(|| format!("open {}", path.display()))?;
    match file.try_lock() {
        Ok(()) => Ok(Some(file)),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(error)) => Err(error).with_context(|| format!("lock {}", path.display())),
    }
}

/// Whether a supervisor holds this lock. Makes nothing.
pub(crate) fn is_locked(path: &Path) -> anyhow::Result<bool> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(error).with_context(|| format!("open {}", path.display())),
    };
    match file.try_lock_shared() {
        Ok(()) => Ok(false),
        Err(TryLockError::WouldBlock) => Ok(true),
        Err(TryLockError::Error(error)) => Err(error).with_context(|| format!("lock {}", path.display())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn looking_at_a_lock_makes_none_and_tells_of_its_holder() {
        let directory = tempfile::tempdir().expect("make a directory");
        let path = directory.path().join("lock");
        assert!(!is_locked(&path).expect("look"));
        assert!(!path.exists());
        let held = lock(&path).expect("lock").expect("it is free");
        assert!(is_locked(&path).expect("look"));
        drop(held);
        assert!(!is_locked(&path).expect("look"));
    }
}
