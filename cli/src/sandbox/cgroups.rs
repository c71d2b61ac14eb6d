//! Control groups of a sandbox: one directory per node (and one for the server) in every hierarchy.
//!
//! Works with a pure v2 tree, with v1 controllers, and with both side by side. Touches no group outside skep-sandbox/.
//! Source: cgroups(7); Documentation/admin-guide/cgroup-v2.rst and cgroup-v1/cpusets.rst of the kernel.

use std::{
    collections::BTreeSet,
    fs, io,
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use crate::supervise::ProcessId;

/// Directory of a group's own processes: in v2 a group with subgroups must not have processes itself.
pub(crate) const HOST: &str = "host";
/// How long killed processes may take to be gone.
const EMPTY_WITHIN: Duration = Duration::from_secs(10);
/// How often we look; the kernel tells of a v1 group's emptiness through a helper program only.
const LOOK_INTERVAL: Duration = Duration::from_millis(20);

/// A control group could not be changed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CgroupError {
    #[error("read /proc/self/mountinfo")]
    Mounts(#[source] io::Error),
    #[error("no control group file system is mounted; Linux mounts one at /sys/fs/cgroup")]
    None,
    #[error("create the control group {}", path.display())]
    Create {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("enter the control group {}", path.display())]
    Enter {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("remove the control group {}", path.display())]
    Remove {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("processes {pids:?} in the control group {} do not end though killed", path.display())]
    NotEmpty { path: PathBuf, pids: Vec<i32> },
}

/// Roots of the mounted hierarchies.
fn hierarchies() -> Result<Vec<PathBuf>, CgroupError> {
    let mountinfo = fs::read_to_string("/proc/self/mountinfo").map_err(CgroupError::Mounts)?;
    let roots = hierarchies_in(&mountinfo);
    if roots.is_empty() {
        Err(CgroupError::None)
    } else {
        Ok(roots)
    }
}

fn hierarchies_in(mountinfo: &str) -> Vec<PathBuf> {
    let mut seen = Vec::new();
    let mut roots = Vec::new();
    for line in mountinfo.lines() {
        let Some((mount, kind)) = line.split_once(" - ") else {
            continue;
        };
        let fields: Vec<&str> = mount.split(' ').collect();
        // 2: major:minor, which names the hierarchy; 3: root within it; 4: where it is mounted.
        let (Some(device), Some(root), Some(target)) = (fields.get(2), fields.get(3), fields.get(4)) else {
            continue;
        };
        let is_cgroup = kind.starts_with("cgroup ") || kind.starts_with("cgroup2 ");
        if is_cgroup && *root == "/" && !seen.contains(device) {
            seen.push(device);
            roots.push(PathBuf::from(target));
        }
    }
    roots
}

/// Moves this process into a group, which is made if it is not there, in every hierarchy.
pub(crate) fn enter(group: &str) -> Result<(), CgroupError> {
    for root in hierarchies()? {
        let path = root.join(group);
        create(&root, group)?;
        fs::write(path.join("cgroup.procs"), std::process::id().to_string())
            .map_err(|source| CgroupError::Enter { path, source })?;
    }
    Ok(())
}

/// Makes a group and its parents in one hierarchy.
fn create(root: &Path, group: &str) -> Result<(), CgroupError> {
    let mut path = root.to_owned();
    for part in Path::new(group) {
        let parent = path.clone();
        path.push(part);
        match fs::create_dir(&path) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(source) => return Err(CgroupError::Create { path, source }),
        }
        // A new v1 cpuset has neither CPUs nor memory nodes, and takes no process until it does.
        for file in ["cpuset.cpus", "cpuset.mems"] {
            let (own, inherited) = (path.join(file), parent.join(file));
            if !path.join("cgroup.controllers").exists()
                && let (Ok(value), Ok(parent_value)) = (fs::read_to_string(&own), fs::read_to_string(inherited))
                && value.trim().is_empty()
            {
                fs::write(&own, parent_value).map_err(|source| CgroupError::Create {
                    path: path.clone(),
                    source,
                })?;
            }
        }
    }
    Ok(())
}

/// Kills every process in the group or below it, in every hierarchy, and waits until they are gone.
pub(crate) fn kill(group: &str) -> Result<(), CgroupError> {
    for root in hierarchies()? {
        let path = root.join(group);
        let deadline = Instant::now() + EMPTY_WITHIN;
        let mut ending: BTreeSet<ProcessId> = BTreeSet::new();
        loop {
            // Remembered: a group lists a process no more as soon as it begins to end, when it still holds its files.
            ending.extend(processes(&path));
            // Frozen processes do not die; v1 groups keep them frozen, v2 kills them all the same.
            for directory in subtree(&path) {
                let _ = fs::write(directory.join("freezer.state"), "THAWED");
                let _ = fs::write(directory.join("cgroup.kill"), "1");
            }
            for process in &ending {
                // One that ends by itself meanwhile is as good.
                let _ = process.signal(rustix::process::Signal::KILL);
            }
            ending.retain(|process| process.is_alive());
            if ending.is_empty() && processes(&path).next().is_none() {
                break;
            }
            if Instant::now() > deadline {
                let pids = ending.iter().map(|process| process.pid).collect();
                return Err(CgroupError::NotEmpty { path, pids });
            }
            thread::sleep(LOOK_INTERVAL);
        }
    }
    Ok(())
}

/// Removes the group and all below it, in every hierarchy. Nothing may be in it.
pub(crate) fn remove(group: &str) -> Result<(), CgroupError> {
    for root in hierarchies()? {
        let path = root.join(group);
        for directory in subtree(&path).into_iter().rev() {
            remove_directory(&directory)?;
        }
        // The directory of all sandboxes goes with the last one.
        if let Some(parent) = path.parent().filter(|parent| *parent != root) {
            let _ = fs::remove_dir(parent);
        }
    }
    Ok(())
}

fn remove_directory(path: &Path) -> Result<(), CgroupError> {
    let deadline = Instant::now() + EMPTY_WITHIN;
    loop {
        match fs::remove_dir(path) {
            Ok(()) => return Ok(()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            // The kernel is still letting the last process go.
            Err(error) if error.kind() == io::ErrorKind::ResourceBusy && Instant::now() < deadline => {
                thread::sleep(LOOK_INTERVAL);
            }
            Err(source) => {
                return Err(CgroupError::Remove {
                    path: path.to_owned(),
                    source,
                });
            }
        }
    }
}

/// The directory and all below it, parents first. Empty if it is not there.
fn subtree(path: &Path) -> Vec<PathBuf> {
    let mut directories = Vec::new();
    let mut open = vec![path.to_owned()];
    while let Some(directory) = open.pop() {
        let Ok(entries) = fs::read_dir(&directory) else {
            continue;
        };
        open.extend(
            entries
                .filter_map(Result::ok)
                .filter(|entry| entry.path().is_dir())
                .map(|entry| entry.path()),
        );
        directories.push(directory);
    }
    directories
}

/// The living processes in the group and below it. A zombie is listed, too, until a process that we do not know reaps
/// it.
fn processes(path: &Path) -> impl Iterator<Item = ProcessId> {
    let listed = |directory: PathBuf| fs::read_to_string(directory.join("cgroup.procs")).ok();
    subtree(path)
        .into_iter()
        .filter_map(listed)
        .flat_map(|content| content.lines().filter_map(|line| line.parse().ok()).collect::<Vec<_>>())
        .filter_map(ProcessId::of)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hierarchies_are_found_once_each() {
        let mountinfo = "\
24 1 0:20 / /sys/fs/cgroup rw - tmpfs tmpfs rw\n\
25 24 0:21 / /sys/fs/cgroup/cpu rw,relatime shared:9 - cgroup cgroup rw,cpu\n\
26 24 0:22 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n\
27 24 0:22 / /elsewhere rw - cgroup2 cgroup2 rw\n\
28 24 0:23 /inner /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n";
        assert_eq!(
            hierarchies_in(mountinfo),
            [
                PathBuf::from("/sys/fs/cgroup/cpu"),
                PathBuf::from("/sys/fs/cgroup/unified")
            ]
        );
    }
}
