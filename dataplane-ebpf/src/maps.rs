//! The maps, and how the decisions in `dataplane` look at them.
//!
//! Names and limits are part of the pinned layout (`dataplane::layout`).
//! Never here: decisions.

use core::intrinsics::{AtomicOrdering, atomic_xadd};

use aya_ebpf::{
    bindings::{BPF_F_NO_PREALLOC, BPF_NOEXIST},
    btf_maps::{Array, HashMap, LpmTrie, LruHashMap, PerCpuArray, SkStorage, lpm_trie::Key},
    helpers::{bpf_get_prandom_u32, bpf_ktime_get_boot_ns},
    macros::btf_map,
};
use dataplane::{
    addr::Addr,
    layout::{
        AFFINITIES_MAX, Affinity, AffinityKey, BACKENDS_MAX, Backend, Config, FLOWS_MAX, FRAGMENTS_MAX, FRONTENDS_MAX,
        Flow, FlowKey, FragmentKey, FragmentPorts, Frontend, FrontendKey, KnownNode, LocalPod, NODES_MAX, PODS_MAX,
        ROUTES_MAX, Route, SERVICES_MAX, SLOTS_MAX, Scratch, SlotKey, SocketPeer, SocketPeers,
    },
    tables::{AddError, Tables},
    verdict::{DROPS_MAX, Hook, Reason, drop_index},
};

/// Entries take memory when they come, not when the map is made.
const ON_DEMAND: usize = BPF_F_NO_PREALLOC as usize;

#[btf_map]
static CONFIG: Array<Config, 1> = Array::new();
#[btf_map]
static FRONTENDS: HashMap<FrontendKey, Frontend, FRONTENDS_MAX, ON_DEMAND> = HashMap::new();
#[btf_map]
static SLOTS: HashMap<SlotKey, u32, SLOTS_MAX, ON_DEMAND> = HashMap::new();
#[btf_map]
static BACKENDS: HashMap<u32, Backend, BACKENDS_MAX, ON_DEMAND> = HashMap::new();
#[btf_map]
static TURNS: Array<u64, SERVICES_MAX> = Array::new();
#[btf_map]
static AFFINITIES: LruHashMap<AffinityKey, Affinity, AFFINITIES_MAX> = LruHashMap::new();
#[btf_map]
static PODS: HashMap<Addr, LocalPod, PODS_MAX, ON_DEMAND> = HashMap::new();
#[btf_map]
static NODES: HashMap<Addr, KnownNode, NODES_MAX, ON_DEMAND> = HashMap::new();
#[btf_map]
static ROUTES: LpmTrie<Addr, Route, ROUTES_MAX> = LpmTrie::new();
#[btf_map]
static FLOWS: HashMap<FlowKey, Flow, FLOWS_MAX, ON_DEMAND> = HashMap::new();
#[btf_map]
static FRAGMENTS: LruHashMap<FragmentKey, FragmentPorts, FRAGMENTS_MAX> = LruHashMap::new();
#[btf_map]
static SCRATCH: PerCpuArray<Scratch, 1> = PerCpuArray::new();
#[btf_map]
static DROPS: PerCpuArray<u64, DROPS_MAX> = PerCpuArray::new();
/// What a connected socket was given.
#[btf_map]
pub(crate) static SOCKETS: SkStorage<SocketPeer> = SkStorage::new();
/// What an unconnected socket was given, per service.
#[btf_map]
pub(crate) static SOCKET_PEERS: SkStorage<SocketPeers> = SkStorage::new();

/// Counts a dropped packet or a refused connection.
#[inline(always)]
pub(crate) fn count_drop(hook: Hook, reason: Reason) {
    if let Some(counter) = DROPS.get_ptr_mut(drop_index(hook, reason)) {
        // SAFETY: the pointer is this processor's own counter, and programs do not move between processors.
        unsafe { *counter = (*counter).wrapping_add(1) };
    }
}

/// The kernel's maps.
pub(crate) struct Maps;

impl Tables for Maps {
    #[inline(always)]
    fn config(&self) -> Option<&Config> {
        CONFIG.get(0)
    }

    #[inline(always)]
    fn pod(&self, addr: &Addr) -> Option<&LocalPod> {
        // SAFETY: without preallocation an element is freed after the RCU grace period, which outlasts this program.
        unsafe { PODS.get(addr) }
    }

    #[inline(always)]
    fn node(&self, addr: &Addr) -> Option<&KnownNode> {
        // SAFETY: as for `pod`.
        unsafe { NODES.get(addr) }
    }

    #[inline(always)]
    fn route(&self, addr: &Addr) -> Option<&Route> {
        ROUTES.get(&Key::new(128, *addr))
    }

    #[inline(always)]
    fn frontend(&self, key: &FrontendKey) -> Option<&Frontend> {
        // SAFETY: as for `pod`; an update replaces the element, so that a reader sees one generation only.
        unsafe { FRONTENDS.get(key) }
    }

    #[inline(always)]
    fn slot(&self, key: &SlotKey) -> Option<u32> {
        // SAFETY: as for `pod`.
        unsafe { SLOTS.get(key) }.copied()
    }

    #[inline(always)]
    fn backend(&self, id: u32) -> Option<&Backend> {
        // SAFETY: as for `pod`.
        unsafe { BACKENDS.get(id) }
    }

    #[inline(always)]
    fn turn(&self, service: u32) -> Option<u64> {
        let counter = TURNS.get_ptr_mut(service)?;
        // SAFETY: the pointer is to a map's value, aligned to 8. Sequential consistency: with a weaker order the
        // compiler emits an add whose result is the addend.
        Some(unsafe { atomic_xadd::<u64, u64, { AtomicOrdering::SeqCst }>(counter, 1) })
    }

    #[inline(always)]
    fn affinity(&self, key: &AffinityKey) -> Option<Affinity> {
        // SAFETY: the value is copied at once; of an entry recycled meanwhile the backend is looked for in the service.
        unsafe { AFFINITIES.get(key) }.copied()
    }

    #[inline(always)]
    fn set_affinity(&self, key: &AffinityKey, affinity: &Affinity) {
        // Fails only without memory; the client's next connection then takes a turn.
        let _ = AFFINITIES.insert(key, affinity, 0);
    }

    #[inline(always)]
    fn flow(&self, key: &FlowKey) -> Option<&Flow> {
        // SAFETY: as for `pod`; what changes in a flow is atomic.
        unsafe { FLOWS.get(key) }
    }

    #[inline(always)]
    fn add_flow(&self, key: &FlowKey, flow: &Flow) -> Result<(), AddError> {
        const EXISTS: i32 = -17;
        match FLOWS.insert(key, flow, BPF_NOEXIST.into()) {
            Ok(()) => Ok(()),
            Err(EXISTS) => Err(AddError::Exists),
            Err(_) => Err(AddError::Full),
        }
    }

    #[inline(always)]
    fn remove_flow(&self, key: &FlowKey) {
        // A flow that is gone already is as good as removed.
        let _ = FLOWS.remove(key);
    }

    #[inline(always)]
    fn fragment(&self, key: &FragmentKey) -> Option<FragmentPorts> {
        // SAFETY: the value is copied at once; an entry recycled meanwhile costs one misdirected fragment.
        unsafe { FRAGMENTS.get(key) }.copied()
    }

    #[inline(always)]
    fn add_fragment(&self, key: &FragmentKey, ports: &FragmentPorts) {
        // Fails only without memory; the later fragments are then dropped and counted.
        let _ = FRAGMENTS.insert(key, ports, 0);
    }

    #[inline(always)]
    fn scratch(&self) -> Option<&mut Scratch> {
        // SAFETY: one per processor; the programs that take it run with soft interrupts off and take it once.
        SCRATCH.get_ptr_mut(0).map(|scratch| unsafe { &mut *scratch })
    }

    #[inline(always)]
    fn now_s(&self) -> u32 {
        // SAFETY: the helper has no requirements.
        (unsafe { bpf_ktime_get_boot_ns() } / 1_000_000_000) as u32 + 1
    }

    #[inline(always)]
    fn random(&self) -> u32 {
        // SAFETY: the helper has no requirements.
        unsafe { bpf_get_prandom_u32() }
    }
}
