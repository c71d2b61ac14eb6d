//! Removes from a machine what a node made there: processes, mounts, links, pins, cgroups.
//!
//! By the node's own names only, so that other nodes of the same machine are left alone; and with the agent dead, also
//! after a crash at any moment. Files of the data directory stay. Never here: removing what was not made by this node.

use std::{
    error::Error,
    fs::{self, File, TryLockError},
    io,
    net::Ipv4Addr,
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use nix::{
    mount::{MntFlags, umount2},
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use crate::{
    claim,
    config::AgentConfig,
    dataplane::{Dataplane, RemoveError},
    dns_sockets,
    hierarchies::{self, Hierarchy},
    net::{self, RemovedLinks, link::LinkError},
};

/// How long killed processes may take to be gone.
const KILL_WAIT: Duration = Duration::from_secs(10);
/// Between looks at whether they are.
const KILL_LOOK: Duration = Duration::from_millis(20);
/// Below the node's cgroup: the pods'. What is beside it is not the agent's.
const PODS: &str = "pods";

/// What was removed.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Removed {
    /// Processes killed: containers' and shims'.
    pub processes: usize,
    /// Whether the DNS sockets were held open, and no longer are.
    pub dns_sockets: bool,
    /// Names of links.
    pub links: Vec<String>,
    /// Addresses of links that stay.
    pub addresses: Vec<Ipv4Addr>,
    /// Mount points: pods' file systems and network namespaces.
    pub mounts: Vec<PathBuf>,
    /// Whether there were pins.
    pub pins: bool,
    /// cgroup directories.
    pub cgroups: Vec<PathBuf>,
}

/// Something stays.
#[derive(Debug, thiserror::Error)]
pub enum CleanupError {
    /// The agent runs.
    #[error("the agent of the data directory {0} runs; stop it first")]
    AgentRuns(PathBuf),
    /// The data directory cannot be used.
    #[error("use the data directory {path}")]
    DataDir {
        /// The directory.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// /proc cannot be read.
    #[error("read the mounts")]
    ReadMounts(#[source] io::Error),
    /// Processes are still there.
    #[error("processes of pods do not end: {0:?}")]
    Processes(Vec<i32>),
    /// A process cannot be killed.
    #[error("kill process {pid}")]
    Kill {
        /// The process.
        pid: i32,
        /// Why.
        #[source]
        source: nix::Error,
    },
    /// No runtime for netlink.
    #[error("start a runtime")]
    Runtime(#[source] io::Error),
    /// A link stays.
    #[error("remove the node's links")]
    Links(#[from] LinkError),
    /// A mount stays.
    #[error("unmount {path}")]
    Unmount {
        /// The mount point.
        path: PathBuf,
        /// Why.
        #[source]
        source: nix::Error,
    },
    /// Pins stay.
    #[error(transparent)]
    Pins(#[from] RemoveError),
    /// A cgroup stays.
    #[error("remove cgroup {path}")]
    Cgroup {
        /// The directory.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}

/// Removes what the node of this configuration made on this machine, which must not be another agent's by now (see
/// [`claim::other_owner`]). Links are removed if this is called in the
/// node's network namespace; with the namespace itself they go anyway.
///
/// # Errors
/// The first thing that stays. The rest was still tried, except that nothing is done while the agent runs; calling
/// again goes on.
pub fn cleanup(config: &AgentConfig) -> Result<Removed, CleanupError> {
    let paths = config.paths();
    let _lock = if paths.data_dir().exists() {
        Some(lock(config)?)
    } else {
        None
    };
    let hierarchies = hierarchies::mounted().map_err(CleanupError::ReadMounts)?;
    let mut removed = Removed::default();
    let mut first = Ok(());
    let mut keep = |step: Result<(), CleanupError>| {
        if let Err(err) = step {
            tracing::warn!(error = &err as &dyn Error, "something of the node stays");
            if first.is_ok() {
                first = Err(err);
            }
        }
    };
    keep(kill_pods(&hierarchies, &config.cgroup_root).map(|count| removed.processes = count));
    removed.dns_sockets = dns_sockets::release(&paths.dns_sockets());
    keep(remove_links(&paths.net()).map(|RemovedLinks { links, addresses }| {
        removed.links = links;
        removed.addresses = addresses;
    }));
    // Pins first: the bpf file system may be mounted below the data directory.
    removed.pins = config.bpffs.exists();
    keep(Dataplane::remove(&config.bpffs).map_err(CleanupError::from));
    keep(unmount_below(paths.data_dir(), &mut removed.mounts));
    for hierarchy in &hierarchies {
        let root = hierarchy.mount.join(&config.cgroup_root);
        keep(remove_cgroups(&root, &mut removed.cgroups));
        remove_empty_parents(&hierarchy.mount, &config.cgroup_root, &mut removed.cgroups);
    }
    first?;
    claim::release(paths.data_dir());
    Ok(removed)
}

fn lock(config: &AgentConfig) -> Result<File, CleanupError> {
    let unusable = |source| CleanupError::DataDir {
        path: config.data_dir.clone(),
        source,
    };
    let file = File::create(config.paths().lock()).map_err(unusable)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(CleanupError::AgentRuns(config.data_dir.clone())),
        Err(TryLockError::Error(source)) => Err(unusable(source)),
    }
}

/// Kills whatever is in the pods' cgroups until nothing is. How many processes there were.
fn kill_pods(hierarchies: &[Hierarchy], cgroup_root: &str) -> Result<usize, CleanupError> {
    let roots: Vec<PathBuf> = hierarchies
        .iter()
        .map(|hierarchy| hierarchy.mount.join(cgroup_root).join(PODS))
        .collect();
    let mut killed = std::collections::BTreeSet::new();
    let deadline = Instant::now() + KILL_WAIT;
    loop {
        for root in &roots {
            thaw(root);
        }
        let alive: Vec<i32> = {
            let mut pids: Vec<i32> = roots.iter().flat_map(|root| processes_below(root)).collect();
            pids.sort_unstable();
            pids.dedup();
            pids
        };
        if alive.is_empty() {
            return Ok(killed.len());
        }
        if Instant::now() > deadline {
            return Err(CleanupError::Processes(alive));
        }
        for pid in alive {
            match kill(Pid::from_raw(pid), Signal::SIGKILL) {
                Ok(()) => _ = killed.insert(pid),
                Err(nix::Error::ESRCH) => {}
                Err(source) => return Err(CleanupError::Kill { pid, source }),
            }
        }
        thread::sleep(KILL_LOOK);
    }
}

/// A frozen process does not die before it is thawed.
fn thaw(root: &Path) {
    for directory in directories_below(root) {
        for (file, value) in [("freezer.state", "THAWED"), ("cgroup.freeze", "0")] {
            let path = directory.join(file);
            if path.exists() {
                // One that is gone by now needs no thawing.
                _ = fs::write(path, value);
            }
        }
    }
}

fn processes_below(root: &Path) -> Vec<i32> {
    directories_below(root)
        .iter()
        .filter_map(|directory| fs::read_to_string(directory.join("cgroup.procs")).ok())
        .flat_map(|pids| pids.lines().filter_map(|pid| pid.parse().ok()).collect::<Vec<i32>>())
        // Zero: a process of another pid namespace, which is not ours.
        .filter(|pid| *pid > 0)
        .collect()
}

/// The directory and all below it, deepest first; none if it is not there.
fn directories_below(root: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut next = vec![root.to_owned()];
    while let Some(directory) = next.pop() {
        let Ok(entries) = fs::read_dir(&directory) else {
            continue;
        };
        next.extend(
            entries
                .flatten()
                .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
                .map(|entry| entry.path()),
        );
        found.push(directory);
    }
    found.reverse();
    found
}

/// netlink wants a runtime; the caller's thread, which may be in another namespace than the process, does the work.
fn remove_links(record_dir: &Path) -> Result<RemovedLinks, CleanupError> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .build()
        .map_err(CleanupError::Runtime)?;
    Ok(runtime.block_on(net::remove_links(record_dir))?)
}

/// Unmounts everything below the directory, the last mounted first.
fn unmount_below(root: &Path, unmounted: &mut Vec<PathBuf>) -> Result<(), CleanupError> {
    // The mount table has no links in its paths.
    let root = fs::canonicalize(root).unwrap_or_else(|_| root.to_owned());
    let table = fs::read_to_string("/proc/self/mounts").map_err(CleanupError::ReadMounts)?;
    let mut first = Ok(());
    for mount in mounts_below(&table, &root).into_iter().rev() {
        match umount2(&mount, MntFlags::MNT_DETACH) {
            // It went with one that was above it.
            Err(nix::Error::EINVAL | nix::Error::ENOENT) => {}
            Ok(()) => unmounted.push(mount),
            Err(source) => first = first.and(Err(CleanupError::Unmount { path: mount, source })),
        }
    }
    first
}

fn mounts_below(table: &str, root: &Path) -> Vec<PathBuf> {
    table
        .lines()
        .filter_map(|line| line.split(' ').nth(1))
        .map(|mount| PathBuf::from(hierarchies::unescaped(mount)))
        .filter(|mount| mount.starts_with(root) && mount != root)
        .collect()
}

/// Removes the pods' cgroups and the node's own, if nothing is left in it.
fn remove_cgroups(root: &Path, removed: &mut Vec<PathBuf>) -> Result<(), CleanupError> {
    for directory in directories_below(&root.join(PODS)) {
        match fs::remove_dir(&directory) {
            Ok(()) => removed.push(directory),
            Err(err) if err.kind() == io::ErrorKind::NotFound => {}
            Err(source) => {
                return Err(CleanupError::Cgroup {
                    path: directory,
                    source,
                });
            }
        }
    }
    Ok(())
}

/// The node's directory and those above it, as long as they are empty: others may use them.
fn remove_empty_parents(mount: &Path, cgroup_root: &str, removed: &mut Vec<PathBuf>) {
    let mut relative = Path::new(cgroup_root);
    while !relative.as_os_str().is_empty() {
        let directory = mount.join(relative);
        if fs::remove_dir(&directory).is_err() {
            return;
        }
        removed.push(directory);
        relative = relative.parent().unwrap_or(Path::new(""));
    }
}

#[cfg(test)]
mod tests;
