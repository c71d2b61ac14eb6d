//! The node's dataplane: loads the eBPF programs, attaches them, keeps their maps as the cluster's state calls for.
//!
//! Never here: decisions about packets (they are in the crate `dataplane`), links and routes (`net`), the stream.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs, io,
    os::{
        fd::{AsFd, OwnedFd},
        unix::fs::MetadataExt,
    },
    path::Path,
    sync::Arc,
};

use dataplane::{
    addr::Addr,
    layout::{LocalPod, Tuple},
};
use parking_lot::Mutex;
use serde_json::Value;

mod collector;
mod config;
mod conntrack;
pub mod desired;
mod dump;
mod error;
mod object;
mod pins;
mod plan;
mod pod_port;
mod sys;
mod table;

pub use config::DataplaneConfig;
pub use desired::{Image, NodeContext};
pub use error::{ApplyError, DumpError, OpenError, PodError, RemoveError};
pub use object::{LoadError, OBJECT};
pub use plan::FullError;
pub use pod_port::PodPort;
pub use table::{LayoutError, TableError};

use collector::Collector;
use config::program_config;
use object::{Maps, Programs, TCX_EGRESS, TCX_INGRESS};
use pins::Pins;
use plan::{State, Step};
use pod_port::{is_uid, local_pod, port_of, uid_of};
use sys::LinkTarget;

/// What an [`Dataplane::apply`] changed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Applied {
    /// Entries written.
    pub written: usize,
    /// Entries removed.
    pub removed: usize,
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
            let Some(program) = pod_port::program_of(&link) else {
                continue;
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
        for (link, program, attach) in pod_port::links(&pod.uid) {
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
        for (link, ..) in pod_port::links(uid) {
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
        Ok(entries.into_iter().map(|(addr, pod)| port_of(addr, &pod)).collect())
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
