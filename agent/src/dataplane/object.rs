//! The eBPF object that this agent carries: its maps and programs, and how they come into the kernel.
//!
//! The only place that names aya. Never here: links, contents of maps.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use aya::{
    EbpfError, EbpfLoader, VerifierLogLevel,
    programs::{Program, ProgramError},
};
use dataplane::{
    addr::Addr,
    layout::{
        AFFINITIES_MAX, Affinity, AffinityKey, BACKENDS_MAX, Backend, Config, FLOWS_MAX, FRAGMENTS_MAX, FRONTENDS_MAX,
        Flow, FlowKey, FragmentKey, FragmentPorts, Frontend, FrontendKey, KnownNode, LocalPod, NODES_MAX, PODS_MAX,
        ROUTES_MAX, Route, RouteKey, SERVICES_MAX, SLOTS_MAX, SlotKey, SocketPeer, SocketPeers,
    },
    verdict::DROPS_MAX,
};

use super::{
    pins::Pins,
    table::{Kind, LayoutError, Spec, Table},
};

/// The object, as the build script made it.
pub static OBJECT: &[u8] = aya::include_bytes_aligned!(env!("SKEP_DATAPLANE_OBJECT"));

const CONFIG: Spec = Spec::new::<u32, Config>("CONFIG", Kind::Array, 1);
const FRONTENDS: Spec = Spec::new::<FrontendKey, Frontend>("FRONTENDS", Kind::Hash, FRONTENDS_MAX);
const SLOTS: Spec = Spec::new::<SlotKey, u32>("SLOTS", Kind::Hash, SLOTS_MAX);
const BACKENDS: Spec = Spec::new::<u32, Backend>("BACKENDS", Kind::Hash, BACKENDS_MAX);
const AFFINITIES: Spec = Spec::new::<AffinityKey, Affinity>("AFFINITIES", Kind::LruHash, AFFINITIES_MAX);
const TURNS: Spec = Spec::new::<u32, u64>("TURNS", Kind::Array, SERVICES_MAX);
const PODS: Spec = Spec::new::<Addr, LocalPod>("PODS", Kind::Hash, PODS_MAX);
const NODES: Spec = Spec::new::<Addr, KnownNode>("NODES", Kind::Hash, NODES_MAX);
const ROUTES: Spec = Spec::new::<RouteKey, Route>("ROUTES", Kind::Trie, ROUTES_MAX);
const FLOWS: Spec = Spec::new::<FlowKey, Flow>("FLOWS", Kind::Hash, FLOWS_MAX);
const FRAGMENTS: Spec = Spec::new::<FragmentKey, FragmentPorts>("FRAGMENTS", Kind::LruHash, FRAGMENTS_MAX);
const DROPS: Spec = Spec::new::<u32, u64>("DROPS", Kind::PerCpuArray, DROPS_MAX);
const SOCKETS: Spec = Spec::new::<u32, SocketPeer>("SOCKETS", Kind::SocketStorage, 0);
const SOCKET_PEERS: Spec = Spec::new::<u32, SocketPeers>("SOCKET_PEERS", Kind::SocketStorage, 0);

/// All maps that are pinned.
const PINNED: [&Spec; 14] = [
    &CONFIG,
    &FRONTENDS,
    &SLOTS,
    &BACKENDS,
    &TURNS,
    &AFFINITIES,
    &PODS,
    &NODES,
    &ROUTES,
    &FLOWS,
    &FRAGMENTS,
    &DROPS,
    &SOCKETS,
    &SOCKET_PEERS,
];

/// The maps that the agent reads or writes.
#[derive(Debug)]
pub(super) struct Maps {
    pub(super) config: Table<u32, Config>,
    pub(super) frontends: Table<FrontendKey, Frontend>,
    pub(super) slots: Table<SlotKey, u32>,
    pub(super) backends: Table<u32, Backend>,
    pub(super) turns: Table<u32, u64>,
    pub(super) affinities: Table<AffinityKey, Affinity>,
    pub(super) pods: Table<Addr, LocalPod>,
    pub(super) nodes: Table<Addr, KnownNode>,
    pub(super) routes: Table<RouteKey, Route>,
    pub(super) flows: Table<FlowKey, Flow>,
    pub(super) fragments: Table<FragmentKey, FragmentPorts>,
    pub(super) drops: Table<u32, u64>,
}

/// Programs at sockets: name, and the kernel's number of where they attach.
pub(super) const SOCKET_PROGRAMS: [(&str, u32); 8] = [
    ("connect4", 10),
    ("connect6", 11),
    ("sendmsg4", 14),
    ("sendmsg6", 15),
    ("recvmsg4", 19),
    ("recvmsg6", 20),
    ("getpeername4", 29),
    ("getpeername6", 30),
];

/// A program is at a device's ingress.
pub(super) const TCX_INGRESS: u32 = 46;
/// A program is at a device's egress.
pub(super) const TCX_EGRESS: u32 = 47;

/// Programs at devices.
const DEVICE_PROGRAMS: [&str; 6] = [
    "from_pod",
    "to_pod",
    "from_overlay",
    "to_overlay",
    "from_uplink",
    "to_uplink",
];

/// Programs in the kernel, by name.
#[derive(Debug)]
pub(super) struct Programs(Vec<(&'static str, OwnedFd)>);

impl Programs {
    /// A program of the object.
    pub(super) fn get(&self, name: &'static str) -> Result<BorrowedFd<'_>, LoadError> {
        self.0
            .iter()
            .find(|(held, _)| *held == name)
            .map(|(_, fd)| fd.as_fd())
            .ok_or(LoadError::Missing { name })
    }
}

/// The object could not be loaded.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// A pinned map is not this version's.
    #[error("adopt the pinned maps; if they are of no use any more, remove them with `skep agent --cleanup`")]
    Layout(#[source] LayoutError),
    /// A map cannot be made, or the object not be read.
    #[error("load the eBPF object")]
    Object(#[source] EbpfError),
    /// The object lacks a program.
    #[error("the eBPF object has no program {name}")]
    Missing {
        /// Name of the program.
        name: &'static str,
    },
    /// The kernel refuses a program.
    #[error("load the eBPF program {name}")]
    Program {
        /// Name of the program.
        name: &'static str,
        /// The refusal, with the verifier's words.
        #[source]
        source: ProgramError,
    },
}

/// Makes or adopts the maps, and loads the programs onto them.
pub(super) fn load(pins: &Pins) -> Result<(Maps, Programs), LoadError> {
    let directory = pins.maps();
    // Before anything uses them: whoever opens a map by its pin gets it as it is.
    for spec in PINNED {
        match super::sys::open_pin(&directory.join(spec.name)) {
            Ok(fd) => spec.check(fd.as_fd()).map_err(LoadError::Layout)?,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(source) => return Err(LoadError::Layout(LayoutError::Read { map: spec.name, source })),
        }
    }
    let mut loader = EbpfLoader::new();
    loader
        .verifier_log_level(VerifierLogLevel::DISABLE)
        .allow_unsupported_maps();
    for spec in PINNED {
        loader.map_pin_path(spec.name, directory.join(spec.name));
    }
    let mut object = loader.load(OBJECT).map_err(LoadError::Object)?;
    let names = SOCKET_PROGRAMS.iter().map(|(name, _)| *name).chain(DEVICE_PROGRAMS);
    let mut programs = Vec::new();
    for name in names {
        let program = object.program_mut(name).ok_or(LoadError::Missing { name })?;
        let fail = |source| LoadError::Program { name, source };
        let fd = match program {
            Program::SchedClassifier(program) => {
                program.load().map_err(fail)?;
                program.fd().map_err(fail)?.as_fd().try_clone_to_owned()
            }
            Program::CgroupSockAddr(program) => {
                program.load().map_err(fail)?;
                program.fd().map_err(fail)?.as_fd().try_clone_to_owned()
            }
            _ => return Err(LoadError::Missing { name }),
        };
        programs.push((name, fd.map_err(|error| fail(ProgramError::IOError(error)))?));
    }
    let maps = Maps {
        config: Table::open(CONFIG, &directory).map_err(LoadError::Layout)?,
        frontends: Table::open(FRONTENDS, &directory).map_err(LoadError::Layout)?,
        slots: Table::open(SLOTS, &directory).map_err(LoadError::Layout)?,
        backends: Table::open(BACKENDS, &directory).map_err(LoadError::Layout)?,
        turns: Table::open(TURNS, &directory).map_err(LoadError::Layout)?,
        affinities: Table::open(AFFINITIES, &directory).map_err(LoadError::Layout)?,
        pods: Table::open(PODS, &directory).map_err(LoadError::Layout)?,
        nodes: Table::open(NODES, &directory).map_err(LoadError::Layout)?,
        routes: Table::open(ROUTES, &directory).map_err(LoadError::Layout)?,
        flows: Table::open(FLOWS, &directory).map_err(LoadError::Layout)?,
        fragments: Table::open(FRAGMENTS, &directory).map_err(LoadError::Layout)?,
        drops: Table::open(DROPS, &directory).map_err(LoadError::Layout)?,
    };
    Ok((maps, Programs(programs)))
}
