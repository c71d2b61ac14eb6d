//! The node's dataplane: loads the eBPF programs, attaches them, keeps their maps as the cluster's state calls for.
//!
//! Never here: decisions about packets (they are in the crate `dataplane`), links and routes (`net`), the stream.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs, io,
    net::{IpAddr, SocketAddr},
    ops::RangeInclusive,
    os::{
        fd::{AsFd, OwnedFd},
        unix::fs::MetadataExt,
    },
    path::{Path, PathBuf},
    sync::Arc,
};

use dataplane::{
    addr::{Addr, MAPPED_BITS, PortBe, PortRange, Prefix},
    layout::{Config, LocalPod, Tuple},
};
use ipnet::IpNet;
use parking_lot::Mutex;
use serde_json::Value;

mod collector;
mod conntrack;
pub mod desired;
mod dump;
mod object;
mod pins;
mod plan;
mod sys;
mod table;

pub use desired::{Image, NodeContext};
pub use object::{LoadError, OBJECT};
pub use plan::FullError;
pub use table::{LayoutError, TableError};

use collector::Collector;
use object::{Maps, Programs, TCX_EGRESS, TCX_INGRESS};
use pins::Pins;
use plan::{State, Step};
use sys::LinkTarget;

/// What a pod sees as its client when it reaches itself through a service: link-local, owned by nothing.
const HAIRPIN: [u8; 4] = [169, 254, 42, 1];
/// Source ports of pods' flows to the outside: above Linux' own range (32768 to 60999) and NodePorts, so that they
/// never meet the node's connections. One destination address and port takes that many flows of a node at a time.
const MASQUERADE_PORTS: PortRange = PortRange {
    first: 61_000,
    last: 65_535,
};
/// Bytes of a pod's UID: a UUID as text.
const UID_MAX: usize = 36;

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
        source: io::Error,
    },
    /// Maps or programs cannot be loaded or adopted.
    #[error("load the dataplane")]
    Load(#[from] LoadError),
    /// A map cannot be read or written.
    #[error("take over the maps")]
    Table(#[from] TableError),
    /// A program cannot be attached.
    #[error("attach {link}")]
    Attach {
        /// Name of the link's pin.
        link: String,
        /// The refusal.
        #[source]
        source: io::Error,
    },
    /// The cgroup for the socket programs cannot be opened.
    #[error("open the cgroup {path}")]
    Cgroup {
        /// The directory.
        path: PathBuf,
        /// The refusal.
        #[source]
        source: io::Error,
    },
    /// The thread that removes idle flows cannot start.
    #[error("start the removal of idle flows")]
    Collector(#[source] io::Error),
}

/// The maps could not be brought to an image. They hold a consistent state between the old one and the new one.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    /// The image does not fit; nothing was changed.
    #[error("the image does not fit")]
    Full(#[from] FullError),
    /// A map cannot be read or written.
    #[error("apply the image")]
    Table(#[from] TableError),
    /// The kernel does not tell when readers of an old generation are done.
    #[error("wait for the programs that run")]
    Wait(#[source] io::Error),
}

/// A pod's veth could not be connected or disconnected.
#[derive(Debug, thiserror::Error)]
pub enum PodError {
    /// A UID is 1 to 36 letters, digits and hyphens: it is part of a pin's name.
    #[error("the pod's uid {uid:?} cannot name a pin")]
    Uid {
        /// The UID.
        uid: String,
    },
    /// A link cannot be made or removed.
    #[error("change {link}")]
    Link {
        /// Name of the link's pin.
        link: String,
        /// The refusal.
        #[source]
        source: io::Error,
    },
    /// A program is missing.
    #[error("find the pod's programs")]
    Program(#[from] LoadError),
    /// The map of pods cannot be read or written.
    #[error("change the pods' map")]
    Table(#[from] TableError),
}

/// The maps could not be read.
#[derive(Debug, thiserror::Error)]
pub enum DumpError {
    /// A map cannot be read.
    #[error("read the maps")]
    Table(#[from] TableError),
    /// The number of processors is not known.
    #[error("read the number of processors")]
    Processors(#[source] io::Error),
}

/// The pins could not be removed.
#[derive(Debug, thiserror::Error)]
#[error("remove the pins in {path}")]
pub struct RemoveError {
    /// The directory.
    pub path: PathBuf,
    /// The refusal.
    #[source]
    pub source: io::Error,
}

/// The loaded programs, their links and maps. Everything is pinned: dropping this value or killing the process
/// changes nothing for traffic. Methods block for microseconds to some milliseconds and may run on any thread of the
/// node's network namespace.
#[derive(Debug)]
pub struct Dataplane {
    config: DataplaneConfig,
    pins: Pins,
    maps: Arc<Maps>,
    programs: Programs,
    /// What the maps hold, and the image it came from. None: read them first.
    held: Mutex<Held>,
    /// Pods come and go one at a time.
    pods: Mutex<()>,
    _collector: Collector,
}

#[derive(Debug, Default)]
struct Held {
    state: Option<State>,
    image: Option<Image>,
}

impl Dataplane {
    /// Loads the programs and adopts what a former agent left pinned; connections are not disturbed.
    ///
    /// # Errors
    /// When the kernel refuses a program, or what is pinned does not fit this version's layouts.
    pub fn open(config: DataplaneConfig) -> Result<Self, OpenError> {
        let pins = Pins::prepare(&config.bpffs).map_err(|source| OpenError::Pins {
            path: config.bpffs.clone(),
            source,
        })?;
        let (maps, programs) = object::load(&pins)?;
        let maps = Arc::new(maps);
        maps.config.put(&0, &program_config(&config))?;
        let dataplane = Self {
            _collector: Collector::start(maps.clone()).map_err(OpenError::Collector)?,
            held: Mutex::new(Held {
                state: Some(read_state(&maps)?),
                image: None,
            }),
            pods: Mutex::default(),
            config,
            pins,
            maps,
            programs,
        };
        dataplane.attach_node()?;
        dataplane.renew_pods()?;
        Ok(dataplane)
    }

    /// The configuration it was opened with.
    #[must_use]
    pub fn config(&self) -> &DataplaneConfig {
        &self.config
    }

    fn attach_node(&self) -> Result<(), OpenError> {
        let DataplaneConfig {
            overlay_ifindex,
            uplink_ifindex,
            ..
        } = self.config;
        for (link, program, ifindex, attach) in [
            ("overlay-in", "from_overlay", overlay_ifindex, TCX_INGRESS),
            ("overlay-out", "to_overlay", overlay_ifindex, TCX_EGRESS),
            ("uplink-in", "from_uplink", uplink_ifindex, TCX_INGRESS),
            ("uplink-out", "to_uplink", uplink_ifindex, TCX_EGRESS),
        ] {
            self.attach_device(link, program, ifindex, attach)
                .map_err(|source| OpenError::Attach {
                    link: link.to_owned(),
                    source,
                })??;
        }
        let path = &self.config.socket_cgroup;
        let cgroup = || -> io::Result<(OwnedFd, u64)> {
            fs::create_dir_all(path)?;
            let directory = fs::File::open(path)?;
            let id = directory.metadata()?.ino();
            Ok((directory.into(), id))
        };
        let (directory, id) = cgroup().map_err(|source| OpenError::Cgroup {
            path: path.clone(),
            source,
        })?;
        for (name, attach) in object::SOCKET_PROGRAMS {
            let link = format!("socket-{name}");
            let program = self.programs.get(name)?;
            let create = || sys::link_cgroup(program, directory.as_fd(), attach);
            self.pins
                .ensure(&link, program, LinkTarget::Cgroup(id), create)
                .map_err(|source| OpenError::Attach { link, source })?;
        }
        Ok(())
    }

    fn attach_device(
        &self,
        link: &str,
        program: &'static str,
        ifindex: u32,
        attach: u32,
    ) -> io::Result<Result<(), LoadError>> {
        let program = match self.programs.get(program) {
            Ok(program) => program,
            Err(error) => return Ok(Err(error)),
        };
        let create = || sys::link_device(program, ifindex, attach);
        self.pins
            .ensure(link, program, LinkTarget::Device(ifindex), create)
            .map(Ok)
    }

    /// Pods of a former agent get this agent's programs at once, before anyone calls [`Self::attach_pod`] for them.
    fn renew_pods(&self) -> Result<(), OpenError> {
        let fail = |link: &str| {
            let link = link.to_owned();
            move |source| OpenError::Attach { link, source }
        };
        for link in self.pins.links().map_err(fail("links"))? {
            let program = match link.strip_prefix("pod-").and_then(|rest| rest.rsplit_once('-')) {
                Some((_, "in")) => "from_pod",
                Some((_, "out")) => "to_pod",
                Some(_) | None => continue,
            };
            self.pins
                .replace(&link, self.programs.get(program)?)
                .map_err(fail(&link))?;
        }
        Ok(())
    }

    /// Connects a pod: after this returns its packets pass. Idempotent; call it again for every pod after a restart.
    ///
    /// # Errors
    /// When the device is gone, or a map is full.
    pub fn attach_pod(&self, pod: &PodPort) -> Result<(), PodError> {
        let _one = self.pods.lock();
        let value = local_pod(pod)?;
        let addr = Addr::from(pod.ip);
        for (link, program, attach) in pod_links(&pod.uid, ["from_pod", "to_pod"]) {
            self.attach_device(&link, program, pod.host_ifindex, attach)
                .map_err(|source| PodError::Link { link, source })??;
        }
        // Without its entry nothing from or to the pod passes: it is the last step in, and the first out.
        for (held, _) in self.entries_of(&pod.uid)?.into_iter().filter(|(held, _)| *held != addr) {
            self.maps.pods.delete(&held)?;
        }
        self.maps.pods.put(&addr, &value)?;
        Ok(())
    }

    /// Disconnects a pod. One that is not known is no error.
    ///
    /// # Errors
    /// When a pin or a map entry cannot be removed.
    pub fn detach_pod(&self, uid: &str) -> Result<(), PodError> {
        let _one = self.pods.lock();
        if !is_uid(uid) {
            return Err(PodError::Uid { uid: uid.to_owned() });
        }
        for (addr, _) in self.entries_of(uid)? {
            self.maps.pods.delete(&addr)?;
            // The address may soon be another pod's.
            let is_of = |tuple: &Tuple| tuple.source == addr || tuple.destination == addr;
            conntrack::purge(&self.maps.flows, |key, flow| is_of(&key.tuple) || is_of(&flow.tuple))?;
        }
        for (link, ..) in pod_links(uid, ["from_pod", "to_pod"]) {
            self.pins
                .unpin(&link)
                .map_err(|source| PodError::Link { link, source })?;
        }
        Ok(())
    }

    fn entries_of(&self, uid: &str) -> Result<Vec<(Addr, LocalPod)>, TableError> {
        let mut entries = self.maps.pods.entries()?;
        entries.retain(|(_, pod)| uid_of(pod) == uid);
        Ok(entries)
    }

    /// The pods that are connected, also by a former agent.
    ///
    /// # Errors
    /// When the map cannot be read.
    pub fn pods(&self) -> Result<Vec<PodPort>, DumpError> {
        let entries = self.maps.pods.entries()?;
        Ok(entries
            .into_iter()
            .map(|(addr, pod)| PodPort {
                uid: uid_of(&pod),
                host_ifindex: pod.ifindex,
                ip: addr.into(),
                mac: pod.mac,
            })
            .collect())
    }

    /// Brings the maps to `image`: backends, tables, services, then deletions. Call it first with a complete image
    /// (after SNAPSHOT_END): whatever it does not name is removed.
    ///
    /// # Errors
    /// When a map is full or the kernel refuses; nothing that worked before stops working.
    pub fn apply(&self, image: &Image) -> Result<Applied, ApplyError> {
        let mut held = self.held.lock();
        let mut state = match held.state.take() {
            Some(state) => state,
            None => read_state(&self.maps)?,
        };
        let steps = match plan::plan(&state, image, Addr::from(self.config.node_ip)) {
            Ok(steps) => steps,
            Err(error) => {
                held.state = Some(state);
                return Err(error.into());
            }
        };
        let mut applied = Applied::default();
        // From here to the end `held.state` is none: after a failure the maps are read again.
        for step in &steps {
            self.carry_out(step)?;
            let entries = step.len().unwrap_or_default();
            if let Step::DeleteBackends(ids) = step {
                // Clients of a backend that is gone shall not wait for it.
                let gone: BTreeSet<u32> = ids.iter().copied().collect();
                conntrack::purge(&self.maps.flows, |_, flow| gone.contains(&flow.backend))?;
            }
            match step {
                Step::PutNodes(_)
                | Step::PutRoutes(_)
                | Step::PutBackends(_)
                | Step::PutSlots(_)
                | Step::PutFrontends(_) => applied.written += entries,
                Step::WaitForReaders => {}
                Step::DeleteFrontends(_)
                | Step::DeleteSlots(_)
                | Step::DeleteBackends(_)
                | Step::DeleteRoutes(_)
                | Step::DeleteNodes(_) => applied.removed += entries,
            }
            state.record(step);
        }
        held.state = Some(state);
        held.image = Some(image.clone());
        Ok(applied)
    }

    fn carry_out(&self, step: &Step) -> Result<(), ApplyError> {
        let maps = &self.maps;
        match step {
            Step::PutNodes(entries) => maps.nodes.put_all(entries.clone())?,
            // A trie has no batches on the kernels we know; there is one range per node.
            Step::PutRoutes(entries) => entries
                .iter()
                .try_for_each(|(key, value)| maps.routes.put(key, value))?,
            Step::PutBackends(entries) => maps.backends.put_all(entries.clone())?,
            Step::PutSlots(entries) => maps.slots.put_all(entries.clone())?,
            Step::PutFrontends(entries) => maps.frontends.put_all(entries.clone())?,
            Step::DeleteFrontends(keys) => maps.frontends.delete_all(keys)?,
            Step::WaitForReaders => sys::wait_for_readers().map_err(ApplyError::Wait)?,
            Step::DeleteSlots(keys) => maps.slots.delete_all(keys)?,
            Step::DeleteBackends(keys) => maps.backends.delete_all(keys)?,
            Step::DeleteRoutes(keys) => keys.iter().try_for_each(|key| maps.routes.delete(key).map(drop))?,
            Step::DeleteNodes(keys) => maps.nodes.delete_all(keys)?,
        }
        Ok(())
    }

    /// Removes flows that are idle at `now_s` seconds since boot, and returns how many entries that were. A thread of
    /// this value does it every 15 s with the present second.
    ///
    /// # Errors
    /// When the map cannot be read or written.
    pub fn remove_idle_flows(&self, now_s: u32) -> Result<usize, DumpError> {
        Ok(conntrack::collect(&self.maps.flows, now_s)?)
    }

    /// Services: an array of `{namespace, service, portName, address, port, protocol, scope, id, generation,
    /// affinitySeconds, turn, backends: [{id, address, port}]}`. Names are null before the first image.
    ///
    /// # Errors
    /// When a map cannot be read.
    pub fn services_json(&self) -> Result<Value, DumpError> {
        let image = self.held.lock().image.clone();
        dump::services(&self.maps, image.as_ref())
    }

    /// Endpoints: `{backends: [{id, address, port, protocol, services}], pods: [{uid, address, interfaceIndex, mac}],
    /// nodes: [{address, name, local, ranges}]}`.
    ///
    /// # Errors
    /// When a map cannot be read.
    pub fn endpoints_json(&self) -> Result<Value, DumpError> {
        let image = self.held.lock().image.clone();
        dump::endpoints(&self.maps, image.as_ref())
    }

    /// Translated flows: an array of `{protocol, kind, direction, site, source, destination, translatedSource,
    /// translatedDestination, via, idleSeconds, state}`; sources and destinations as `address:port`.
    ///
    /// # Errors
    /// When a map cannot be read.
    pub fn conntrack_json(&self) -> Result<Value, DumpError> {
        dump::conntrack(&self.maps, conntrack::now_s())
    }

    /// Maps: an array of `{name, entries, limit}`.
    ///
    /// # Errors
    /// When a map cannot be read.
    pub fn maps_json(&self) -> Result<Value, DumpError> {
        dump::maps(&self.maps)
    }

    /// Drops: an array of `{hook, reason, packets}`, without those that never happened.
    ///
    /// # Errors
    /// When a map cannot be read.
    pub fn drops_json(&self) -> Result<Value, DumpError> {
        dump::drops(&self.maps)
    }

    /// Unpins everything under `bpffs` (and unmounts it if `open` mounted it): programs stop, maps go.
    /// Works without a running agent; nothing there is no error.
    ///
    /// # Errors
    /// When a pin cannot be removed.
    pub fn remove(bpffs: &Path) -> Result<(), RemoveError> {
        pins::remove(bpffs).map_err(|source| RemoveError {
            path: bpffs.to_owned(),
            source,
        })
    }
}

fn program_config(config: &DataplaneConfig) -> Config {
    let prefix = |range: &IpNet| {
        let bits = u32::from(range.prefix_len());
        Prefix::new(
            range.network().into(),
            if range.addr().is_ipv4() {
                MAPPED_BITS + bits
            } else {
                bits
            },
        )
    };
    Config {
        node: config.node_ip.into(),
        dns: config.dns_listen.ip().into(),
        hairpin: Addr::from_v4(HAIRPIN),
        cluster: prefix(&config.cluster_cidr),
        services: prefix(&config.service_cidr),
        overlay_ifindex: config.overlay_ifindex,
        uplink_ifindex: config.uplink_ifindex,
        overlay_mac: config.overlay_mac,
        vxlan_port: PortBe::new(config.vxlan_port),
        node_ports: PortRange {
            first: *config.node_port_range.start(),
            last: *config.node_port_range.end(),
        },
        masquerade_ports: MASQUERADE_PORTS,
    }
}

fn read_state(maps: &Maps) -> Result<State, TableError> {
    fn sorted<K: Ord, V>(entries: Vec<(K, V)>) -> BTreeMap<K, V> {
        entries.into_iter().collect()
    }
    Ok(State {
        frontends: sorted(maps.frontends.entries()?),
        slots: sorted(maps.slots.entries()?),
        backends: sorted(maps.backends.entries()?),
        nodes: sorted(maps.nodes.entries()?),
        routes: sorted(maps.routes.entries()?),
    })
}

fn is_uid(uid: &str) -> bool {
    (1..=UID_MAX).contains(&uid.len()) && uid.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}

fn local_pod(pod: &PodPort) -> Result<LocalPod, PodError> {
    if !is_uid(&pod.uid) {
        return Err(PodError::Uid { uid: pod.uid.clone() });
    }
    let mut uid = [0; UID_MAX];
    uid[..pod.uid.len()].copy_from_slice(pod.uid.as_bytes());
    // At most 36, by the check above.
    Ok(LocalPod {
        ifindex: pod.host_ifindex,
        mac: pod.mac,
        uid_len: pod.uid.len() as u16,
        uid,
    })
}

fn uid_of(pod: &LocalPod) -> String {
    let length = usize::from(pod.uid_len).min(UID_MAX);
    String::from_utf8_lossy(&pod.uid[..length]).into_owned()
}

/// Names of a pod's links with their programs (in, out) and where they attach.
fn pod_links(uid: &str, [ingress, egress]: [&'static str; 2]) -> [(String, &'static str, u32); 2] {
    [
        (format!("pod-{uid}-in"), ingress, TCX_INGRESS),
        (format!("pod-{uid}-out"), egress, TCX_EGRESS),
    ]
}
