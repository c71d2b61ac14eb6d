//! Which agent a host's network belongs to: one per network namespace, since links, the address of the DNS server and
//! programs are there once.
//!
//! A file in /run for each namespace names the agent's data directory and is locked while the agent runs. An agent claims
//! its host once it is a member, before it makes anything there; the file stays when the agent ends, as pods and their network do, until they are removed or the machine is rebooted.

use std::{
    fs::{self, File, TryLockError},
    io::{self, Read as _, Seek as _, Write as _},
    os::unix::{
        ffi::{OsStrExt as _, OsStringExt as _},
        fs::MetadataExt as _,
    },
    path::{Path, PathBuf},
};

use crate::config::LOCK;

const DIRECTORY: &str = "/run/skep/agents";
const NAMESPACE: &str = "/proc/thread-self/ns/net";

/// The host cannot be claimed.
#[derive(Debug, thiserror::Error)]
pub enum ClaimError {
    /// It is another agent's.
    #[error("this host's network is that of the agent with the data directory {0}; remove it first (`skep down`)")]
    Taken(PathBuf),
    /// The file cannot be used.
    #[error("use {path}")]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}

/// A claim, which holds while this is there and beyond.
#[derive(Debug)]
pub(crate) struct Claim(#[expect(dead_code, reason = "the file is locked as long as it is open")] File);

/// The data directory of another agent that this thread's network namespace belongs to.
#[must_use]
pub fn other_owner(data_dir: &Path) -> Option<PathBuf> {
    let content = fs::read(path_in(Path::new(DIRECTORY)).ok()?).ok()?;
    other_in(content, data_dir)
}

/// Claims this thread's network namespace for the agent with this data directory.
///
/// # Errors
/// When it is another's.
pub(crate) fn claim(data_dir: &Path) -> Result<Claim, ClaimError> {
    claim_in(Path::new(DIRECTORY), data_dir)
}

/// Gives up whatever the agent with this data directory has claimed: nothing of it is left.
pub(crate) fn release(data_dir: &Path) {
    release_in(Path::new(DIRECTORY), data_dir);
}

fn release_in(directory: &Path, data_dir: &Path) {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    for path in entries.map(|entry| entry.path()) {
        let is_its = fs::read(&path).is_ok_and(|content| content == data_dir.as_os_str().as_bytes());
        if is_its && let Err(error) = fs::remove_file(&path) {
            tracing::warn!(error = &error as &dyn std::error::Error, path = %path.display(), "a claim stays");
        }
    }
    // They go with the last one.
    for directory in directory.ancestors().take(2) {
        let _ = fs::remove_dir(directory);
    }
}

fn claim_in(directory: &Path, data_dir: &Path) -> Result<Claim, ClaimError> {
    let path = path_in(directory).map_err(|source| ClaimError::Io {
        path: NAMESPACE.into(),
        source,
    })?;
    let failed = |source| ClaimError::Io {
        path: path.clone(),
        source,
    };
    fs::create_dir_all(directory).map_err(failed)?;
    let open = || {
        File::options()
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .open(&path)
    };
    let mut file = open().map_err(failed)?;
    let is_ours = match file.try_lock() {
        Ok(()) => true,
        Err(TryLockError::WouldBlock) => false,
        Err(TryLockError::Error(source)) => return Err(failed(source)),
    };
    let mut content = Vec::new();
    file.read_to_end(&mut content).map_err(failed)?;
    if let Some(other) = other_in(content, data_dir) {
        return Err(ClaimError::Taken(other));
    }
    if !is_ours {
        // Whoever holds it is about to write its name, or is an agent of our directory, whose own lock tells.
        return Err(ClaimError::Taken(data_dir.to_owned()));
    }
    let write = |file: &mut File| {
        file.rewind()?;
        file.set_len(0)?;
        file.write_all(data_dir.as_os_str().as_bytes())
    };
    write(&mut file).map_err(failed)?;
    Ok(Claim(file))
}

fn path_in(directory: &Path) -> io::Result<PathBuf> {
    Ok(directory.join(fs::metadata(NAMESPACE)?.ino().to_string()))
}

/// The data directory that a claim names, if it is another's who is still there.
fn other_in(content: Vec<u8>, data_dir: &Path) -> Option<PathBuf> {
    let other = PathBuf::from(std::ffi::OsString::from_vec(content));
    (other != data_dir && other.join(LOCK).exists()).then_some(other)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_has_one_agent_until_it_is_gone() {
        let home = tempfile::tempdir().expect("a directory");
        let claims = home.path().join("run").join("agents");
        let agent = |name: &str| {
            let data_dir = home.path().join(name);
            fs::create_dir_all(&data_dir).expect("make");
            fs::write(data_dir.join(LOCK), "").expect("write");
            data_dir
        };
        let (a, b) = (agent("a"), agent("b"));
        let taken_by = |outcome: Result<Claim, ClaimError>| match outcome {
            Err(ClaimError::Taken(other)) => other,
            other => panic!("{other:?}"),
        };
        let held = claim_in(&claims, &a).expect("it is free");
        assert_eq!(taken_by(claim_in(&claims, &b)), a);
        drop(held);
        assert_eq!(
            taken_by(claim_in(&claims, &b)),
            a,
            "it has ended, and its pods are there"
        );
        drop(claim_in(&claims, &a).expect("it comes back"));
        release_in(&claims, &b);
        assert_eq!(taken_by(claim_in(&claims, &b)), a, "b had nothing to give up");
        release_in(&claims, &a);
        assert!(!home.path().join("run").exists());
        let held = claim_in(&claims, &b).expect("it is free");
        drop(held);
        fs::remove_dir_all(&b).expect("remove");
        let _held = claim_in(&claims, &a).expect("whose data is gone has nothing here");
    }
}
