//! What the node says of itself: capacity, addresses, system, conditions, images.
//!
//! [`status`] is pure; [`read_facts`] reads the machine. The server remembers since when a condition holds. Never here:
//! when it is sent ([`report`] does, on change).
//! Source: Kubernetes, "Node Status" and "Reserve Compute Resources"; the kubelet's defaults.

use std::{
    collections::BTreeMap,
    fs,
    net::IpAddr,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use api::{Timestamp, node_stream::NodeStatus};
use nix::sys::{statvfs::statvfs, utsname::uname};
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::{
    sync::Notify,
    time::{Instant, MissedTickBehavior, interval},
};
use tokio_util::sync::CancellationToken;

use crate::{image::ImageStore, stream::Outbox};

/// Pods a node runs at most: Kubernetes' default.
const PODS_MAX: u32 = 110;
/// Memory kept from pods, in KiB: the kubelet begins to evict when 100 MiB are left.
pub(crate) const MEMORY_RESERVED_KIB: u64 = 100 << 10;
/// Part of the disk kept from pods, in percent: the kubelet begins to evict when 10 % are left. Of a large disk that is
/// more than any node needs to work on, so it is never more than so many KiB.
const DISK_RESERVED_PERCENT: u64 = 10;
const DISK_RESERVED_KIB_MAX: u64 = 4 << 20;
/// Images named in the status, the largest first, and names of each: Kubernetes' defaults. The scheduler uses them.
const IMAGES_MAX: usize = 50;
const IMAGE_NAMES_MAX: usize = 5;
/// How often the machine is looked at. Memory and disk say nothing when they change.
const LOOK_INTERVAL: Duration = Duration::from_secs(10);
/// Without a change the status is sent this often, as the kubelet does.
const REPORT_INTERVAL: Duration = Duration::from_secs(300);
/// How long the first status waits for the dataplane. An agent that starts anew on a node that works must not say in
/// between that it does not: endpoints would be withdrawn for nothing.
const FIRST_REPORT_WAIT: Duration = Duration::from_secs(20);
/// The API's version that the node speaks.
const KUBELET_VERSION: &str = concat!("v1.36.0+skep.", env!("CARGO_PKG_VERSION"));

/// What the machine is and how it fares.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Facts {
    /// Processors.
    pub cpus: usize,
    /// Memory, KiB.
    pub memory_kib: u64,
    /// Memory that programs can still get, KiB.
    pub memory_available_kib: u64,
    /// Size of the file system with the data directory, KiB.
    pub disk_kib: u64,
    /// What is free on it, KiB.
    pub disk_available_kib: u64,
    /// Of the system: kernel release.
    pub kernel: String,
    /// `PRETTY_NAME` of os-release.
    pub os_image: String,
    /// `/etc/machine-id`
    pub machine_id: String,
    /// Of the firmware; the machine's id where there is none.
    pub system_uuid: String,
    /// Of this boot.
    pub boot_id: String,
}

/// How the parts of the agent fare.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Programming {
    /// The maps have not been brought to the cluster's state yet.
    Pending,
    /// The maps hold the cluster's state.
    Done,
    /// The maps could not be brought to it.
    Failed(String),
}

/// What the agent knows of itself.
#[derive(Debug)]
pub struct Health {
    programming: Mutex<Programming>,
    changed: Notify,
}

impl Default for Health {
    fn default() -> Health {
        Health {
            programming: Mutex::new(Programming::Pending),
            changed: Notify::new(),
        }
    }
}

impl Health {
    /// How programming the dataplane went.
    pub fn set_programming(&self, now: Programming) {
        let mut programming = self.programming.lock();
        if *programming != now {
            *programming = now;
            self.changed.notify_one();
        }
    }

    fn programming(&self) -> Programming {
        self.programming.lock().clone()
    }
}

/// An image as the status names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageFact {
    /// References that mean it.
    pub names: Vec<String>,
    /// Its size.
    pub size_bytes: u64,
}

/// Who the node is.
#[derive(Debug, Clone)]
pub struct NodeIdentity {
    /// Name of the Node object.
    pub node_name: String,
    /// Its address on the underlay.
    pub node_ip: IpAddr,
    /// Labels from the configuration.
    pub labels: BTreeMap<String, String>,
    /// Addresses that pods can have here.
    pub pod_addresses: u32,
}

/// The labels of the Node object that the agent owns.
#[must_use]
pub fn labels(identity: &NodeIdentity) -> BTreeMap<String, String> {
    let mut labels = identity.labels.clone();
    for (key, value) in [
        ("kubernetes.io/hostname", identity.node_name.as_str()),
        ("kubernetes.io/os", "linux"),
        ("kubernetes.io/arch", architecture()),
    ] {
        labels.insert(key.to_owned(), value.to_owned());
    }
    labels
}

/// The status of the Node object.
#[must_use]
pub fn status(
    identity: &NodeIdentity,
    facts: &Facts,
    images: &[ImageFact],
    programming: &Programming,
    now: Timestamp,
) -> Value {
    let pods = PODS_MAX.min(identity.pod_addresses).to_string();
    let disk_allocatable = facts.disk_kib - disk_reserved_kib(facts);
    json!({
        "capacity": {
            "cpu": facts.cpus.to_string(),
            "memory": format!("{}Ki", facts.memory_kib),
            "ephemeral-storage": format!("{}Ki", facts.disk_kib),
            "pods": pods,
        },
        "allocatable": {
            "cpu": facts.cpus.to_string(),
            "memory": format!("{}Ki", facts.memory_kib.saturating_sub(MEMORY_RESERVED_KIB)),
            "ephemeral-storage": format!("{disk_allocatable}Ki"),
            "pods": pods,
        },
        "addresses": [
            {"type": "InternalIP", "address": identity.node_ip.to_string()},
            {"type": "Hostname", "address": identity.node_name},
        ],
        "nodeInfo": {
            "machineID": facts.machine_id,
            "systemUUID": facts.system_uuid,
            "bootID": facts.boot_id,
            "kernelVersion": facts.kernel,
            "osImage": facts.os_image,
            "containerRuntimeVersion": concat!("skep://", env!("CARGO_PKG_VERSION")),
            "kubeletVersion": KUBELET_VERSION,
            "kubeProxyVersion": "",
            "operatingSystem": "linux",
            "architecture": architecture(),
        },
        "conditions": conditions(facts, programming, now),
        "images": image_list(images),
    })
}

fn disk_reserved_kib(facts: &Facts) -> u64 {
    (facts.disk_kib / 100 * DISK_RESERVED_PERCENT).min(DISK_RESERVED_KIB_MAX)
}

fn conditions(facts: &Facts, programming: &Programming, now: Timestamp) -> Vec<Value> {
    let memory_is_short = facts.memory_available_kib < MEMORY_RESERVED_KIB;
    let disk_is_short = facts.disk_available_kib < disk_reserved_kib(facts);
    let (ready, network) = match programming {
        Programming::Pending => (
            Err(("KubeletNotReady", "the dataplane is not programmed yet".to_owned())),
            Err((
                "DataplaneNotProgrammed",
                "the dataplane is not programmed yet".to_owned(),
            )),
        ),
        Programming::Done => (Ok(()), Ok(())),
        // What was programmed before still works: pods need not leave, but none should come.
        Programming::Failed(why) => (Ok(()), Err(("DataplaneRefused", why.clone()))),
    };
    let condition = |kind: &str, is_true: bool, reason: &str, message: &str| {
        json!({
            "type": kind,
            "status": if is_true { "True" } else { "False" },
            "reason": reason,
            "message": message,
            "lastHeartbeatTime": seconds(now),
            "lastTransitionTime": seconds(now),
        })
    };
    let short = |kind: &str, is_short: bool, what: [&str; 2], said: [&str; 2]| {
        let at = usize::from(!is_short);
        condition(kind, is_short, what[at], said[at])
    };
    vec![
        short(
            "MemoryPressure",
            memory_is_short,
            ["KubeletHasInsufficientMemory", "KubeletHasSufficientMemory"],
            [
                "kubelet has insufficient memory available",
                "kubelet has sufficient memory available",
            ],
        ),
        short(
            "DiskPressure",
            disk_is_short,
            ["KubeletHasDiskPressure", "KubeletHasNoDiskPressure"],
            ["kubelet has disk pressure", "kubelet has no disk pressure"],
        ),
        condition(
            "PIDPressure",
            false,
            "KubeletHasSufficientPID",
            "kubelet has sufficient PID available",
        ),
        match &network {
            Ok(()) => condition(
                "NetworkUnavailable",
                false,
                "DataplaneProgrammed",
                "the dataplane holds the cluster's state",
            ),
            Err((reason, message)) => condition("NetworkUnavailable", true, reason, message),
        },
        match &ready {
            Ok(()) => condition("Ready", true, "KubeletReady", "kubelet is posting ready status"),
            Err((reason, message)) => condition("Ready", false, reason, message),
        },
    ]
}

fn image_list(images: &[ImageFact]) -> Vec<Value> {
    let mut largest: Vec<&ImageFact> = images.iter().collect();
    largest.sort_by(|one, other| {
        other
            .size_bytes
            .cmp(&one.size_bytes)
            .then_with(|| one.names.cmp(&other.names))
    });
    largest
        .iter()
        .take(IMAGES_MAX)
        .map(|image| {
            let names: Vec<&String> = image.names.iter().take(IMAGE_NAMES_MAX).collect();
            json!({"names": names, "sizeBytes": image.size_bytes})
        })
        .collect()
}

/// Kubernetes' times have no fractions of a second.
fn seconds(time: Timestamp) -> String {
    time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// Go's name of the architecture.
fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

/// Reads the machine. What cannot be read is left empty.
#[must_use]
pub fn read_facts(data_dir: &Path) -> Facts {
    let text = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let memory = text("/proc/meminfo");
    let machine_id = text("/etc/machine-id").trim().to_owned();
    let system_uuid = text("/sys/class/dmi/id/product_uuid").trim().to_owned();
    let (disk_kib, disk_available_kib) = statvfs(data_dir).map_or((0, 0), |disk| {
        let kib = |blocks: u64| blocks.saturating_mul(disk.fragment_size()) / 1024;
        (kib(disk.blocks()), kib(disk.blocks_available()))
    });
    Facts {
        cpus: std::thread::available_parallelism().map_or(1, usize::from),
        memory_kib: memory_field(&memory, "MemTotal"),
        memory_available_kib: memory_field(&memory, "MemAvailable"),
        disk_kib,
        disk_available_kib,
        kernel: uname().map_or_else(|_| String::new(), |name| name.release().to_string_lossy().into_owned()),
        os_image: pretty_name(&text("/etc/os-release")),
        system_uuid: if system_uuid.is_empty() {
            machine_id.clone()
        } else {
            system_uuid
        },
        machine_id,
        boot_id: text("/proc/sys/kernel/random/boot_id").trim().to_owned(),
    }
}

fn memory_field(meminfo: &str, field: &str) -> u64 {
    meminfo
        .lines()
        .find_map(|line| line.strip_prefix(field)?.strip_prefix(':'))
        .and_then(|rest| rest.split_whitespace().next()?.parse().ok())
        .unwrap_or(0)
}

fn pretty_name(os_release: &str) -> String {
    os_release
        .lines()
        .find_map(|line| line.strip_prefix("PRETTY_NAME="))
        .map_or("Linux", |name| name.trim_matches('"'))
        .to_owned()
}

/// Says what the node is, when the dataplane is programmed, on change, and now and then without one, until `shutdown`.
pub async fn report(
    identity: NodeIdentity,
    data_dir: PathBuf,
    health: Arc<Health>,
    outbox: Arc<Outbox>,
    shutdown: CancellationToken,
) {
    let identity = Arc::new(identity);
    tokio::select! {
        () = shutdown.cancelled() => return,
        () = health.changed.notified() => {}
        () = tokio::time::sleep(FIRST_REPORT_WAIT) => {}
    }
    let mut looks = interval(LOOK_INTERVAL);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut said: Option<(Value, Instant)> = None;
    loop {
        tokio::select! {
            () = shutdown.cancelled() => return,
            _ = looks.tick() => {}
            () = health.changed.notified() => {}
        }
        let programming = health.programming();
        let (who, dir) = (identity.clone(), data_dir.clone());
        let looked = tokio::task::spawn_blocking(move || {
            let facts = read_facts(&dir);
            status(&who, &facts, &read_images(&dir), &programming, Timestamp::now())
        });
        let Ok(status) = looked.await else { continue };
        let is_news = said
            .as_ref()
            .is_none_or(|(before, at)| at.elapsed() >= REPORT_INTERVAL || is_change(before, &status));
        if is_news {
            outbox.node_status(NodeStatus {
                status_json: status.to_string().into_bytes(),
                labels: labels(&identity).into_iter().collect(),
            });
            said = Some((status, Instant::now()));
        }
    }
}

fn read_images(data_dir: &Path) -> Vec<ImageFact> {
    let images = ImageStore::open(data_dir).and_then(|store| store.list());
    images.map_or_else(
        |err| {
            tracing::warn!(error = &err as &dyn std::error::Error, "the images cannot be listed");
            Vec::new()
        },
        |images| {
            images
                .into_iter()
                .map(|image| ImageFact {
                    names: image.names,
                    size_bytes: image.size_bytes,
                })
                .collect()
        },
    )
}

/// Whether the statuses differ in more than the time they were made.
fn is_change(before: &Value, after: &Value) -> bool {
    let timeless = |status: &Value| {
        let mut status = status.clone();
        for condition in status["conditions"].as_array_mut().into_iter().flatten() {
            if let Some(condition) = condition.as_object_mut() {
                condition.remove("lastHeartbeatTime");
                condition.remove("lastTransitionTime");
            }
        }
        status
    };
    timeless(before) != timeless(after)
}

#[cfg(test)]
mod tests;
