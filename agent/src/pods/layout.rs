//! Where a pod's things lie on disk, and the records that outlive the agent.
//!
//! ```text
//! pods/<uid>/pod.json                  whose this is: [`PodRecord`]
//! pods/<uid>/sandbox.json              the sandbox that exists: [`SandboxRecord`]
//! pods/<uid>/ns/{ipc,uts}              namespaces, bound
//! pods/<uid>/etc/{hosts,hostname,resolv.conf}
//! pods/<uid>/shm                       /dev/shm of all its containers
//! pods/<uid>/volumes/<volume>
//! pods/<uid>/containers/<name>/<attempt>/   a bundle, and attempt.json: [`AttemptRecord`]
//! pods/<uid>/logs/<name>/<attempt>.log
//! ```

use std::{
    fs, io,
    net::IpAddr,
    path::{Path, PathBuf},
};

use api::{Timestamp, k8s_openapi::api::core::v1::ResourceRequirements};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::{durable, runtime::bundle::Bundle};

/// Whose directory this is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct PodRecord {
    pub(crate) namespace: String,
    pub(crate) name: String,
    pub(crate) uid: String,
}

/// A sandbox that has been made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SandboxRecord {
    pub(crate) ips: Vec<IpAddr>,
    pub(crate) since: Timestamp,
    /// Absent on the node's own network.
    pub(crate) netns: Option<PathBuf>,
}

/// What is known of an attempt besides what its shim writes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct AttemptRecord {
    pub(crate) crash_level: u32,
    pub(crate) container_id: String,
    pub(crate) image: String,
    pub(crate) image_id: String,
    /// Number of the signal that asks it to stop.
    pub(crate) stop_signal: i32,
    /// What its cgroup was told last that it may use.
    #[serde(default)]
    pub(crate) resources: Option<ResourceRequirements>,
}

/// The directories of all pods.
#[derive(Debug, Clone)]
pub(crate) struct PodsHome {
    data_dir: PathBuf,
}

impl PodsHome {
    pub(crate) fn new(data_dir: &Path) -> PodsHome {
        PodsHome {
            data_dir: data_dir.to_owned(),
        }
    }

    pub(crate) fn dir(&self) -> PathBuf {
        self.data_dir.join("pods")
    }

    /// Where the runtime keeps its state.
    pub(crate) fn runtime_dir(&self) -> PathBuf {
        self.data_dir.join("runtime")
    }

    pub(crate) fn pod(&self, uid: &str) -> PodHome {
        PodHome {
            dir: self.dir().join(uid),
        }
    }

    /// The pods that have a directory.
    pub(crate) fn records(&self) -> Vec<PodRecord> {
        names(&self.dir())
            .iter()
            .filter_map(|uid| self.pod(uid).record().ok())
            .collect()
    }

    /// The names of all directories, also of those that were only begun.
    pub(crate) fn uids(&self) -> Vec<String> {
        names(&self.dir())
    }
}

/// One pod's directory.
#[derive(Debug, Clone)]
pub(crate) struct PodHome {
    dir: PathBuf,
}

impl PodHome {
    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    pub(crate) fn record(&self) -> io::Result<PodRecord> {
        read_json(&self.dir.join("pod.json"))
    }

    pub(crate) fn write_record(&self, record: &PodRecord) -> io::Result<()> {
        write_json(&self.dir.join("pod.json"), record, durable::Sync::No)
    }

    pub(crate) fn sandbox(&self) -> Option<SandboxRecord> {
        read_json(&self.dir.join("sandbox.json")).ok()
    }

    pub(crate) fn write_sandbox(&self, record: &SandboxRecord) -> io::Result<()> {
        write_json(&self.dir.join("sandbox.json"), record, durable::Sync::No)
    }

    pub(crate) fn remove_sandbox_record(&self) -> io::Result<()> {
        match fs::remove_file(self.dir.join("sandbox.json")) {
            Err(err) if err.kind() != io::ErrorKind::NotFound => Err(err),
            _ => Ok(()),
        }
    }

    pub(crate) fn namespaces(&self) -> PathBuf {
        self.dir.join("ns")
    }

    pub(crate) fn etc(&self) -> PathBuf {
        self.dir.join("etc")
    }

    pub(crate) fn shm(&self) -> PathBuf {
        self.dir.join("shm")
    }

    pub(crate) fn volumes(&self) -> PathBuf {
        self.dir.join("volumes")
    }

    pub(crate) fn bundle(&self, container: &str, attempt: u32) -> Bundle {
        Bundle::new(self.dir.join("containers").join(container).join(attempt.to_string()))
    }

    pub(crate) fn log(&self, container: &str, attempt: u32) -> PathBuf {
        self.dir.join("logs").join(container).join(format!("{attempt}.log"))
    }

    /// The containers that have ever been begun.
    pub(crate) fn containers(&self) -> Vec<String> {
        names(&self.dir.join("containers"))
    }

    /// Numbers of a container's attempts on disk, ascending.
    pub(crate) fn attempts(&self, container: &str) -> Vec<u32> {
        let mut numbers: Vec<u32> = names(&self.dir.join("containers").join(container))
            .iter()
            .filter_map(|name| name.parse().ok())
            .collect();
        numbers.sort_unstable();
        numbers
    }

    pub(crate) fn attempt(&self, container: &str, attempt: u32) -> io::Result<AttemptRecord> {
        read_json(&self.bundle(container, attempt).dir().join("attempt.json"))
    }

    pub(crate) fn write_attempt(&self, container: &str, attempt: u32, record: &AttemptRecord) -> io::Result<()> {
        let path = self.bundle(container, attempt).dir().join("attempt.json");
        write_json(&path, record, durable::Sync::No)
    }

    /// Removes an attempt that is over, with its log.
    pub(crate) fn remove_attempt(&self, container: &str, attempt: u32) -> io::Result<()> {
        let bundle = self.bundle(container, attempt);
        crate::volume::unmount(&bundle.rootfs())?;
        remove_dir(bundle.dir())?;
        let log = self.log(container, attempt);
        let prefix = log.file_name().map(|name| name.to_string_lossy().into_owned());
        let (Some(dir), Some(prefix)) = (log.parent(), prefix) else {
            return Ok(());
        };
        for name in file_names(dir) {
            if name == prefix || name.strip_prefix(&prefix).is_some_and(|rest| rest.starts_with('.')) {
                fs::remove_file(dir.join(name))?;
            }
        }
        Ok(())
    }
}

/// Removes a directory and what is in it; nothing is fine.
pub(crate) fn remove_dir(path: &Path) -> io::Result<()> {
    match fs::remove_dir_all(path) {
        Err(err) if err.kind() != io::ErrorKind::NotFound => Err(err),
        _ => Ok(()),
    }
}

fn names(dir: &Path) -> Vec<String> {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    entries
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
        .filter_map(|entry| entry.file_name().into_string().ok())
        .collect()
}

fn file_names(dir: &Path) -> Vec<String> {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    entries
        .filter_map(|entry| entry.file_name().into_string().ok())
        .collect()
}

fn read_json<T: DeserializeOwned>(path: &Path) -> io::Result<T> {
    serde_json::from_slice(&fs::read(path)?).map_err(io::Error::other)
}

fn write_json<T: Serialize>(path: &Path, value: &T, sync: durable::Sync) -> io::Result<()> {
    let bytes = serde_json::to_vec(value).map_err(io::Error::other)?;
    durable::replace(path, &bytes, sync)
}
