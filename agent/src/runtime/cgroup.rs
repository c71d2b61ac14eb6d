//! The cgroup directories of pods and containers, in every hierarchy of the machine.
//!
//! Three worlds: v1 controllers with or without an empty v2 beside them, and v2 alone. A container's processes are in
//! a v2 directory in all of them that have v2, because programs for sockets attach there. The runtime sets a
//! container's limits; a pod's are set here. Never here: how much anybody gets.
//! Source: cgroups(7), Documentation/admin-guide/cgroup-v1 and cgroup-v2.rst.

use std::{
    collections::BTreeSet,
    fs, io,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};

/// Controllers that pods and containers use.
const CONTROLLERS: [&str; 5] = ["cpu", "memory", "pids", "cpuset", "io"];
/// Killed processes are gone within milliseconds; one that hangs in the kernel for longer is reported.
const REMOVE_WAIT_MAX: Duration = Duration::from_secs(5);
const REMOVE_RETRY: Duration = Duration::from_millis(5);

/// A cgroup could not be made, limited or removed.
#[derive(Debug, thiserror::Error)]
#[error("{step} {path:?}")]
pub(crate) struct CgroupError {
    step: &'static str,
    path: PathBuf,
    #[source]
    source: io::Error,
}

/// How much a cgroup may use; nothing means no limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Limits {
    /// Relative weight, as v1 counts: 1024 per CPU requested.
    pub(crate) cpu_shares: Option<u64>,
    /// Microseconds of CPU time in [`CPU_PERIOD_US`].
    pub(crate) cpu_quota_us: Option<i64>,
    /// Bytes.
    pub(crate) memory_bytes: Option<i64>,
    /// Processes and threads.
    pub(crate) pids: Option<i64>,
}

/// The period that quotas refer to.
pub(crate) const CPU_PERIOD_US: u64 = 100_000;

/// The mounted hierarchies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Hierarchies {
    /// Mount points of v1 hierarchies, with their controllers.
    v1: Vec<(Vec<String>, PathBuf)>,
    /// Mount point of the v2 hierarchy.
    v2: Option<PathBuf>,
}

impl Hierarchies {
    /// Finds what is mounted below /sys/fs/cgroup.
    pub(crate) fn discover() -> Result<Hierarchies, CgroupError> {
        let path = Path::new("/proc/self/mounts");
        let mounts = fs::read_to_string(path).map_err(error("read", path))?;
        let mut v1 = Vec::new();
        let mut v2 = None;
        let mut seen = BTreeSet::new();
        for line in mounts.lines() {
            let mut words = line.split(' ').skip(1);
            let (Some(target), Some(kind), Some(options)) = (words.next(), words.next(), words.next()) else {
                continue;
            };
            if !target.starts_with("/sys/fs/cgroup") || !matches!(kind, "cgroup" | "cgroup2") {
                continue;
            }
            // One hierarchy may be mounted twice.
            let Ok(meta) = fs::metadata(target) else { continue };
            if !seen.insert(meta.dev()) {
                continue;
            }
            match kind {
                "cgroup2" => v2 = v2.or_else(|| Some(PathBuf::from(target))),
                _ => v1.push((options.split(',').map(str::to_owned).collect(), PathBuf::from(target))),
            }
        }
        Ok(Hierarchies { v1, v2 })
    }

    /// Whether v2 is all there is, so that it has the controllers.
    pub(crate) fn is_unified(&self) -> bool {
        self.v2.is_some() && self.v1.is_empty()
    }

    /// A container's directory in the v2 hierarchy, if there is one.
    pub(crate) fn v2_dir(&self, cgroup: &str) -> Option<PathBuf> {
        self.v2.as_ref().map(|root| root.join(cgroup))
    }

    /// A cgroup's directory in the hierarchy of a v1 controller, or in v2 if that has them.
    pub(crate) fn controller_dir(&self, controller: &str, cgroup: &str) -> Option<PathBuf> {
        self.v1
            .iter()
            .find(|(controllers, _)| controllers.iter().any(|known| known == controller))
            .map(|(_, root)| root.join(cgroup))
            .or_else(|| if self.is_unified() { self.v2_dir(cgroup) } else { None })
    }

    fn dirs(&self, cgroup: &str) -> Vec<PathBuf> {
        let v1 = self.v1.iter().map(|(_, root)| root);
        v1.chain(self.v2.as_ref()).map(|root| root.join(cgroup)).collect()
    }

    /// Makes a pod's directory and limits it. Idempotent.
    pub(crate) fn make(&self, cgroup: &str, limits: &Limits) -> Result<(), CgroupError> {
        if self.is_unified() {
            self.make_unified(cgroup)?;
        } else if let Some(v2) = self.v2_dir(cgroup) {
            fs::create_dir_all(&v2).map_err(error("make", &v2))?;
        }
        let set = |controller: &str, file: &str, value: Option<String>| -> Result<(), CgroupError> {
            let (Some(dir), Some(value)) = (self.controller_dir(controller, cgroup), value) else {
                return Ok(());
            };
            fs::create_dir_all(&dir).map_err(error("make", &dir))?;
            let path = dir.join(file);
            fs::write(&path, value).map_err(error("write", &path))
        };
        let text = |value: Option<i64>| value.map(|value| value.to_string());
        if self.is_unified() {
            let weight = limits.cpu_shares.map(|shares| cpu_weight(shares).to_string());
            set("cpu", "cpu.weight", weight)?;
            let quota = limits.cpu_quota_us.map(|quota| format!("{quota} {CPU_PERIOD_US}"));
            set("cpu", "cpu.max", quota)?;
            set("memory", "memory.max", text(limits.memory_bytes))?;
        } else {
            set("cpu", "cpu.shares", limits.cpu_shares.map(|shares| shares.to_string()))?;
            let period = limits.cpu_quota_us.map(|_| CPU_PERIOD_US.to_string());
            set("cpu", "cpu.cfs_period_us", period)?;
            set("cpu", "cpu.cfs_quota_us", text(limits.cpu_quota_us))?;
            set("memory", "memory.limit_in_bytes", text(limits.memory_bytes))?;
        }
        set("pids", "pids.max", text(limits.pids))
    }

    /// Bytes that the processes of a cgroup use, the cache of their files among them.
    pub(crate) fn memory_usage(&self, cgroup: &str) -> Option<i64> {
        let file = if self.is_unified() {
            "memory.current"
        } else {
            "memory.usage_in_bytes"
        };
        self.number("memory", cgroup, file)
    }

    /// What a cgroup is limited to; no limit reads as a number that nobody reaches, or as none.
    pub(crate) fn limits(&self, cgroup: &str) -> Limits {
        if self.is_unified() {
            let dir = self.controller_dir("cpu", cgroup);
            let text = dir.and_then(|dir| fs::read_to_string(dir.join("cpu.max")).ok());
            return Limits {
                cpu_quota_us: text.and_then(|text| text.split(' ').next()?.parse().ok()),
                memory_bytes: self.number("memory", cgroup, "memory.max"),
                ..Limits::default()
            };
        }
        Limits {
            cpu_quota_us: self
                .number("cpu", cgroup, "cpu.cfs_quota_us")
                .filter(|quota| *quota > 0),
            memory_bytes: self.number("memory", cgroup, "memory.limit_in_bytes"),
            ..Limits::default()
        }
    }

    fn number(&self, controller: &str, cgroup: &str, file: &str) -> Option<i64> {
        let dir = self.controller_dir(controller, cgroup)?;
        fs::read_to_string(dir.join(file)).ok()?.trim().parse().ok()
    }

    /// A child only has the controllers that every directory above it passes on.
    fn make_unified(&self, cgroup: &str) -> Result<(), CgroupError> {
        let Some(root) = &self.v2 else { return Ok(()) };
        let mut dir = root.clone();
        for part in Path::new(cgroup).components() {
            let path = dir.join("cgroup.controllers");
            let available = fs::read_to_string(&path).map_err(error("read", &path))?;
            let wanted: Vec<String> = CONTROLLERS
                .iter()
                .filter(|controller| available.split_whitespace().any(|known| known == **controller))
                .map(|controller| format!("+{controller}"))
                .collect();
            let path = dir.join("cgroup.subtree_control");
            fs::write(&path, wanted.join(" ")).map_err(error("write", &path))?;
            dir.push(part);
            fs::create_dir_all(&dir).map_err(error("make", &dir))?;
        }
        Ok(())
    }

    /// The processes in a cgroup and those below it.
    pub(crate) fn processes(&self, cgroup: &str) -> BTreeSet<i32> {
        let mut pids = BTreeSet::new();
        for dir in self.dirs(cgroup) {
            collect_processes(&dir, &mut pids);
        }
        pids
    }

    /// Kills every process in a cgroup and below it.
    pub(crate) fn kill(&self, cgroup: &str) {
        if let Some(v2) = self.v2_dir(cgroup) {
            // Atomic, also against forks; kernels before 5.14 do not have it.
            let _ = fs::write(v2.join("cgroup.kill"), "1");
        }
        for pid in self.processes(cgroup) {
            if let Some(pid) = Pid::from_raw(pid) {
                let _ = kill_process(pid, Signal::KILL);
            }
        }
    }

    /// Kills what is left in a cgroup and removes it in every hierarchy. Blocks until the kernel has let go, within
    /// bounds. Not an error if there is none.
    pub(crate) fn remove(&self, cgroup: &str) -> Result<(), CgroupError> {
        let until = Instant::now() + REMOVE_WAIT_MAX;
        for dir in self.dirs(cgroup) {
            loop {
                match remove_tree(&dir) {
                    Ok(()) => break,
                    Err(err) if err.source.raw_os_error() == Some(rustix::io::Errno::BUSY.raw_os_error()) => {
                        if Instant::now() >= until {
                            return Err(err);
                        }
                        self.kill(cgroup);
                        std::thread::sleep(REMOVE_RETRY);
                    }
                    Err(err) => return Err(err),
                }
            }
        }
        Ok(())
    }

    /// Names of the directories directly below a cgroup, in any hierarchy.
    pub(crate) fn children(&self, cgroup: &str) -> BTreeSet<String> {
        self.dirs(cgroup)
            .iter()
            .filter_map(|dir| fs::read_dir(dir).ok())
            .flatten()
            .flatten()
            .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
            .filter_map(|entry| entry.file_name().into_string().ok())
            .collect()
    }

    /// How often the kernel killed for want of memory in this cgroup.
    pub(crate) fn oom_kills(&self, cgroup: &str) -> u64 {
        let Some(dir) = self.controller_dir("memory", cgroup) else {
            return 0;
        };
        let file = if self.is_unified() {
            "memory.events"
        } else {
            "memory.oom_control"
        };
        let text = fs::read_to_string(dir.join(file)).unwrap_or_default();
        text.lines()
            .find_map(|line| line.strip_prefix("oom_kill "))
            .and_then(|count| count.trim().parse().ok())
            .unwrap_or(0)
    }
}

/// v1 shares (2 to 262144, 1024 normal) as a v2 weight (1 to 10000, 100 normal).
fn cpu_weight(shares: u64) -> u64 {
    1 + (shares.clamp(2, 262_144) - 2) * 9_999 / 262_142
}

fn collect_processes(dir: &Path, pids: &mut BTreeSet<i32>) {
    let text = fs::read_to_string(dir.join("cgroup.procs")).unwrap_or_default();
    pids.extend(
        text.lines()
            .filter_map(|line| line.parse::<i32>().ok())
            .filter(|pid| *pid > 0),
    );
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            collect_processes(&entry.path(), pids);
        }
    }
}

/// Children first; the files of a cgroup go with it.
fn remove_tree(dir: &Path) -> Result<(), CgroupError> {
    let entries = match fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(err) if err.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(err) => return Err(error("read", dir)(err)),
    };
    for entry in entries.flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            remove_tree(&entry.path())?;
        }
    }
    match fs::remove_dir(dir) {
        Err(err) if err.kind() != io::ErrorKind::NotFound => Err(error("remove", dir)(err)),
        _ => Ok(()),
    }
}

fn error(step: &'static str, path: &Path) -> impl FnOnce(io::Error) -> CgroupError {
    move |source| CgroupError {
        step,
        path: path.to_owned(),
        source,
    }
}
