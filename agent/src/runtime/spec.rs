//! The OCI configuration of a container: pure, from what has been resolved already.
//!
//! Never here: reading files, resolving names. What the machine cannot give (capabilities outside the agent's own
//! bounding set, a negative OOM score without the right to it) is left out here, once for all containers.
//! Source: OCI runtime specification 1.2; Kubernetes' `securityContext`.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
};

use api::k8s_openapi::api::core::v1::{Container, PodSecurityContext, SecurityContext};
use serde_json::{Value, json};

use super::{
    cgroup::{CPU_PERIOD_US, Limits},
    seccomp,
    user::User,
};

/// What a container may do unless it says otherwise: what container runtimes have agreed on.
const CAPABILITIES: [&str; 14] = [
    "CAP_AUDIT_WRITE",
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_FOWNER",
    "CAP_FSETID",
    "CAP_KILL",
    "CAP_MKNOD",
    "CAP_NET_BIND_SERVICE",
    "CAP_NET_RAW",
    "CAP_SETFCAP",
    "CAP_SETGID",
    "CAP_SETPCAP",
    "CAP_SETUID",
    "CAP_SYS_CHROOT",
];

/// Capabilities by number.
const CAPABILITY_NAMES: [&str; 41] = [
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_DAC_READ_SEARCH",
    "CAP_FOWNER",
    "CAP_FSETID",
    "CAP_KILL",
    "CAP_SETGID",
    "CAP_SETUID",
    "CAP_SETPCAP",
    "CAP_LINUX_IMMUTABLE",
    "CAP_NET_BIND_SERVICE",
    "CAP_NET_BROADCAST",
    "CAP_NET_ADMIN",
    "CAP_NET_RAW",
    "CAP_IPC_LOCK",
    "CAP_IPC_OWNER",
    "CAP_SYS_MODULE",
    "CAP_SYS_RAWIO",
    "CAP_SYS_CHROOT",
    "CAP_SYS_PTRACE",
    "CAP_SYS_PACCT",
    "CAP_SYS_ADMIN",
    "CAP_SYS_BOOT",
    "CAP_SYS_NICE",
    "CAP_SYS_RESOURCE",
    "CAP_SYS_TIME",
    "CAP_SYS_TTY_CONFIG",
    "CAP_MKNOD",
    "CAP_LEASE",
    "CAP_AUDIT_WRITE",
    "CAP_AUDIT_CONTROL",
    "CAP_SETFCAP",
    "CAP_MAC_OVERRIDE",
    "CAP_MAC_ADMIN",
    "CAP_SYSLOG",
    "CAP_WAKE_ALARM",
    "CAP_BLOCK_SUSPEND",
    "CAP_AUDIT_READ",
    "CAP_PERFMON",
    "CAP_BPF",
    "CAP_CHECKPOINT_RESTORE",
];

/// Hidden from containers: they tell of, or change, the whole machine.
const MASKED_PATHS: [&str; 11] = [
    "/proc/acpi",
    "/proc/asound",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/proc/timer_list",
    "/sys/devices/virtual/powercap",
    "/sys/firmware",
];

/// Readable, not writable.
const READONLY_PATHS: [&str; 5] = ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"];

/// A directory or file of the node in a container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Bind {
    pub(crate) source: PathBuf,
    pub(crate) target: String,
    pub(crate) access: Access,
    pub(crate) propagation: Propagation,
}

/// Whether a bind can be written to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Access {
    ReadOnly,
    ReadWrite,
}

/// `mountPropagation`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Propagation {
    Private,
    HostToContainer,
    Bidirectional,
}

/// The namespaces that the containers of a pod share; nothing means the node's own.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Namespaces {
    pub(crate) network: Option<PathBuf>,
    pub(crate) ipc: Option<PathBuf>,
    pub(crate) uts: Option<PathBuf>,
    pub(crate) pid: PidNamespace,
}

/// Where a container's processes are numbered.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) enum PidNamespace {
    /// In a namespace of the container's own.
    #[default]
    Own,
    /// In the node's (`hostPID`).
    Host,
    /// In another container's.
    Of(PathBuf),
}

/// What the machine can give.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Machine {
    /// Capabilities that the agent can pass on.
    pub(crate) capabilities: BTreeSet<String>,
    /// Most open files of a process.
    pub(crate) open_files_max: u64,
    /// All controllers are in one hierarchy of cgroups, of version 2.
    pub(crate) unified_cgroups: bool,
}

impl Machine {
    /// This process' bounding set and limit of open files, on a machine with such cgroups.
    pub(crate) fn of_this_process(unified_cgroups: bool) -> Machine {
        let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
        let bounding = status
            .lines()
            .find_map(|line| line.strip_prefix("CapBnd:"))
            .and_then(|hex| u64::from_str_radix(hex.trim(), 16).ok())
            .unwrap_or(0);
        let capabilities = CAPABILITY_NAMES
            .iter()
            .enumerate()
            .filter(|(number, _)| bounding & (1 << number) != 0)
            .map(|(_, name)| (*name).to_owned())
            .collect();
        let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile);
        Machine {
            capabilities,
            open_files_max: limit.maximum.unwrap_or(1_048_576).min(1_048_576),
            unified_cgroups,
        }
    }
}

/// A container, resolved.
#[derive(Debug)]
pub(crate) struct Plan<'a> {
    pub(crate) container: &'a Container,
    pub(crate) pod_security: Option<&'a PodSecurityContext>,
    pub(crate) machine: &'a Machine,
    pub(crate) rootfs: &'a Path,
    pub(crate) args: &'a [String],
    /// `NAME=value`
    pub(crate) env: &'a [String],
    pub(crate) working_dir: &'a str,
    pub(crate) user: &'a User,
    pub(crate) namespaces: &'a Namespaces,
    /// In the order they are mounted; a target below another comes after it.
    pub(crate) binds: &'a [Bind],
    /// Shared by the pod's containers at /dev/shm.
    pub(crate) shm: &'a Path,
    pub(crate) cgroup: &'a str,
    pub(crate) limits: &'a Limits,
    pub(crate) oom_score_adj: i32,
    pub(crate) sysctls: &'a [(String, String)],
}

/// A container asks for something that this node does not do.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub(crate) enum SpecError {
    /// A seccomp profile of the node.
    #[error("seccompProfile.type {0:?} is not supported; use RuntimeDefault or Unconfined")]
    Seccomp(String),
    /// A capability that does not exist.
    #[error("unknown capability {0:?}")]
    Capability(String),
}

/// The configuration, to be written as config.json.
///
/// # Errors
/// When the container asks for what this node does not do.
pub(crate) fn config(plan: &Plan<'_>) -> Result<Value, SpecError> {
    let security = plan.container.security_context.as_ref();
    let privileged = security.and_then(|security| security.privileged).unwrap_or(false);
    let capabilities = capabilities(security, privileged, &plan.machine.capabilities)?;
    let mut process = json!({
        "terminal": plan.container.tty.unwrap_or(false),
        "user": {"uid": plan.user.uid, "gid": plan.user.gid, "additionalGids": plan.user.groups},
        "args": plan.args,
        "env": plan.env,
        "cwd": plan.working_dir,
        "capabilities": {
            "bounding": capabilities, "effective": capabilities, "permitted": capabilities,
            "inheritable": [], "ambient": [],
        },
        "rlimits": [{
            "type": "RLIMIT_NOFILE", "soft": plan.machine.open_files_max, "hard": plan.machine.open_files_max,
        }],
        "oomScoreAdj": oom_score(plan),
    });
    // Left out rather than false: only then is the seccomp filter loaded while the right to load it is still there.
    if security.and_then(|security| security.allow_privilege_escalation) == Some(false) {
        process["noNewPrivileges"] = json!(true);
    }
    let mut linux = json!({
        "namespaces": namespaces(plan.namespaces),
        "cgroupsPath": format!("/{}", plan.cgroup),
        "resources": resources(plan.limits, privileged),
        "maskedPaths": if privileged { json!([]) } else { json!(MASKED_PATHS) },
        "readonlyPaths": if privileged { json!([]) } else { json!(READONLY_PATHS) },
        "sysctl": plan.sysctls.iter().cloned().collect::<std::collections::BTreeMap<_, _>>(),
    });
    if !privileged && let Some(profile) = seccomp_profile(plan, security, &capabilities)? {
        linux["seccomp"] = profile;
    }
    Ok(json!({
        "ociVersion": "1.2.0",
        "root": {
            "path": plan.rootfs,
            "readonly": security.and_then(|security| security.read_only_root_filesystem).unwrap_or(false),
        },
        "process": process,
        "mounts": mounts(plan, privileged),
        "linux": linux,
    }))
}

/// Without the right to it, a process cannot make itself less likely to be killed.
fn oom_score(plan: &Plan<'_>) -> i32 {
    if plan.machine.capabilities.contains("CAP_SYS_RESOURCE") {
        plan.oom_score_adj
    } else {
        plan.oom_score_adj.max(0)
    }
}

fn capabilities(
    security: Option<&SecurityContext>,
    privileged: bool,
    available: &BTreeSet<String>,
) -> Result<BTreeSet<String>, SpecError> {
    if privileged {
        return Ok(available.clone());
    }
    let named = |list: Option<&Vec<String>>| -> Result<(BTreeSet<String>, bool), SpecError> {
        let mut names = BTreeSet::new();
        let mut all = false;
        for name in list.into_iter().flatten() {
            let upper = name.to_ascii_uppercase();
            if upper == "ALL" {
                all = true;
                continue;
            }
            let full = if upper.starts_with("CAP_") {
                upper
            } else {
                format!("CAP_{upper}")
            };
            if !CAPABILITY_NAMES.contains(&full.as_str()) {
                return Err(SpecError::Capability(name.clone()));
            }
            names.insert(full);
        }
        Ok((names, all))
    };
    let change = security.and_then(|security| security.capabilities.as_ref());
    let (added, add_all) = named(change.and_then(|change| change.add.as_ref()))?;
    let (dropped, drop_all) = named(change.and_then(|change| change.drop.as_ref()))?;
    let mut set: BTreeSet<String> = match (add_all, drop_all) {
        (true, _) => available.clone(),
        (false, true) => BTreeSet::new(),
        (false, false) => CAPABILITIES.iter().map(|name| (*name).to_owned()).collect(),
    };
    set.extend(added);
    set.retain(|name| !dropped.contains(name) && available.contains(name));
    Ok(set)
}

fn seccomp_profile(
    plan: &Plan<'_>,
    security: Option<&SecurityContext>,
    capabilities: &BTreeSet<String>,
) -> Result<Option<Value>, SpecError> {
    let profile = security
        .and_then(|security| security.seccomp_profile.as_ref())
        .or_else(|| plan.pod_security?.seccomp_profile.as_ref());
    match profile.map(|profile| profile.type_.as_str()) {
        None | Some("Unconfined") => Ok(None),
        Some("RuntimeDefault") => Ok(Some(seccomp::runtime_default(capabilities))),
        Some(other) => Err(SpecError::Seccomp(other.to_owned())),
    }
}

fn namespaces(namespaces: &Namespaces) -> Value {
    let mut list = vec![json!({"type": "mount"}), json!({"type": "cgroup"})];
    match &namespaces.pid {
        PidNamespace::Own => list.push(json!({"type": "pid"})),
        PidNamespace::Of(path) => list.push(json!({"type": "pid", "path": path})),
        PidNamespace::Host => {}
    }
    let shared = [
        ("network", &namespaces.network),
        ("ipc", &namespaces.ipc),
        ("uts", &namespaces.uts),
    ];
    for (kind, path) in shared {
        if let Some(path) = path {
            list.push(json!({"type": kind, "path": path}));
        }
    }
    json!(list)
}

fn resources(limits: &Limits, privileged: bool) -> Value {
    let mut resources = json!({
        "devices": [{"allow": privileged, "access": "rwm"}],
        "cpu": {"shares": limits.cpu_shares.unwrap_or(2)},
    });
    if let Some(quota) = limits.cpu_quota_us {
        resources["cpu"]["quota"] = json!(quota);
        resources["cpu"]["period"] = json!(CPU_PERIOD_US);
    }
    if let Some(bytes) = limits.memory_bytes {
        resources["memory"] = json!({"limit": bytes});
    }
    if let Some(pids) = limits.pids {
        resources["pids"] = json!({"limit": pids});
    }
    resources
}

fn mounts(plan: &Plan<'_>, privileged: bool) -> Value {
    let access = if privileged { "rw" } else { "ro" };
    let mount = |target: &str, kind: &str, source: &str, options: &[&str]| json!({"destination": target, "type": kind, "source": source, "options": options});
    let mut mounts = vec![
        mount("/proc", "proc", "proc", &["nosuid", "noexec", "nodev"]),
        mount(
            "/dev",
            "tmpfs",
            "tmpfs",
            &["nosuid", "strictatime", "mode=755", "size=65536k"],
        ),
        mount(
            "/dev/pts",
            "devpts",
            "devpts",
            &["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"],
        ),
        mount("/dev/mqueue", "mqueue", "mqueue", &["nosuid", "noexec", "nodev"]),
        mount("/sys", "sysfs", "sysfs", &["nosuid", "noexec", "nodev", access]),
        mount("/dev/shm", "bind", &plan.shm.to_string_lossy(), &["rbind", "rw"]),
    ];
    // With hierarchies of version 1, libcontainer looks its own process up in the node's /proc by the number that it has in
    // the container's namespace: that is nobody there, or another, unless it is the first.
    let joins_processes = matches!(plan.namespaces.pid, PidNamespace::Of(_));
    if plan.machine.unified_cgroups || !joins_processes {
        let options = ["nosuid", "noexec", "nodev", "relatime", access];
        mounts.push(mount("/sys/fs/cgroup", "cgroup", "cgroup", &options));
    }
    for bind in plan.binds {
        let access = match bind.access {
            Access::ReadOnly => "ro",
            Access::ReadWrite => "rw",
        };
        let propagation = match bind.propagation {
            Propagation::Private => "rprivate",
            Propagation::HostToContainer => "rslave",
            Propagation::Bidirectional => "rshared",
        };
        let source = bind.source.to_string_lossy();
        mounts.push(mount(&bind.target, "bind", &source, &["rbind", propagation, access]));
    }
    json!(mounts)
}

#[cfg(test)]
mod tests;
