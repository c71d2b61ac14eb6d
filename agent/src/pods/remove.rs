//! Removes every pod of a node without its agent: for `agent::cleanup`.
//!
//! Never here: a runtime of tasks; the network.

use std::{
    fs, io,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use super::{RemovedPods, layout::PodsHome, layout::remove_dir, shim_link::is_locked};
use crate::{
    runtime::cgroup::{CgroupError, Hierarchies},
    volume::unmount,
};

/// Shims end within milliseconds of their containers.
const SHIM_WAIT_MAX: Duration = Duration::from_secs(10);
const SHIM_RETRY: Duration = Duration::from_millis(5);

/// Something of a node's pods could not be removed.
#[derive(Debug, thiserror::Error)]
pub enum RemoveError {
    /// cgroups.
    #[error("remove the pods' cgroups")]
    Cgroup(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// A shim does not end although its container is dead.
    #[error("the shim of {0:?} does not end")]
    Shim(PathBuf),
    /// The mount table.
    #[error("read the mount table")]
    Mounts(#[source] io::Error),
    /// A mount.
    #[error("unmount {path:?}")]
    Unmount {
        /// Where.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A directory.
    #[error("remove {path:?}")]
    Remove {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}

pub(super) fn remove_all(data_dir: &Path, cgroup_root: &str) -> Result<RemovedPods, RemoveError> {
    let cgroup_error = |err: CgroupError| RemoveError::Cgroup(Box::new(err));
    let home = PodsHome::new(data_dir);
    let hierarchies = Hierarchies::discover().map_err(cgroup_error)?;
    let cgroup = format!("{cgroup_root}/pods");
    let processes = hierarchies.processes(&cgroup).len();
    hierarchies.kill(&cgroup);
    wait_for_shims(&home, || hierarchies.kill(&cgroup))?;
    hierarchies.remove(&cgroup).map_err(cgroup_error)?;
    let mut mounts = 0;
    for path in mounts_below(&home.dir())? {
        unmount(&path).map_err(|source| RemoveError::Unmount {
            path: path.clone(),
            source,
        })?;
        mounts += 1;
    }
    let pods = home.uids().len();
    for path in [home.dir(), home.runtime_dir()] {
        remove_dir(&path).map_err(|source| RemoveError::Remove {
            path: path.clone(),
            source,
        })?;
    }
    Ok(RemovedPods {
        pods,
        processes,
        mounts,
    })
}

/// A shim that had just been started may bring one more container to life: it is killed, too.
fn wait_for_shims(home: &PodsHome, kill: impl Fn()) -> Result<(), RemoveError> {
    let until = Instant::now() + SHIM_WAIT_MAX;
    for uid in home.uids() {
        let pod = home.pod(&uid);
        for container in pod.containers() {
            for attempt in pod.attempts(&container) {
                let bundle = pod.bundle(&container, attempt);
                while is_locked(&bundle) {
                    if Instant::now() >= until {
                        return Err(RemoveError::Shim(bundle.dir().to_owned()));
                    }
                    kill();
                    std::thread::sleep(SHIM_RETRY);
                }
            }
        }
    }
    Ok(())
}

/// What is mounted below a directory, the innermost first.
fn mounts_below(dir: &Path) -> Result<Vec<PathBuf>, RemoveError> {
    let Ok(dir) = dir.canonicalize() else {
        return Ok(Vec::new());
    };
    let table = fs::read_to_string("/proc/self/mountinfo").map_err(RemoveError::Mounts)?;
    let mut paths: Vec<PathBuf> = table
        .lines()
        .filter_map(|line| line.split(' ').nth(4))
        .map(|path| PathBuf::from(unescape(path)))
        .filter(|path| path.starts_with(&dir))
        .collect();
    paths.sort();
    paths.reverse();
    Ok(paths)
}

/// The mount table writes blanks as `\040`.
fn unescape(path: &str) -> String {
    let mut plain = path.to_owned();
    for (code, character) in [("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")] {
        plain = plain.replace(code, character);
    }
    plain
}
