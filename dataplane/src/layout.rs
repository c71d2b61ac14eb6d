//! Keys and values of the maps, byte for byte, and the maps' names and limits.
//!
//! Never here: logic. A change here is a change of [`LAYOUT_VERSION`]: pins of another version are never adopted.

use core::cell::Cell;

use crate::addr::{Addr, Mac, PortBe, PortRange, Prefix};

/// Version of everything in this file; part of the pins' path.
pub const LAYOUT_VERSION: u32 = 1;

/// A type without padding whose every bit pattern is a value: what a map may hold.
///
/// # Safety
/// `repr(C)` or a primitive, no padding bytes, all bit patterns valid.
pub unsafe trait Plain: Sized + 'static {}

/// Frontends at most: 20,000 services of three ports. 1 MiB of buckets; entries take memory as they come.
pub const FRONTENDS_MAX: usize = 65_536;
/// Service ids at most, one per service port; a slot of 8 bytes each in the turn counters.
pub const SERVICES_MAX: usize = 65_536;
/// Backends at most. 1 MiB of buckets.
pub const BACKENDS_MAX: usize = 65_536;
/// Slots at most, old and new generation together. 4 MiB of buckets.
pub const SLOTS_MAX: usize = 262_144;
/// Clients whose backend is remembered at most, per service port; the longest unused ones are forgotten. About 6 MiB.
pub const AFFINITIES_MAX: usize = 65_536;
/// Conntrack entries at most, two per flow. 4 MiB of buckets, about 45 MiB when full.
pub const FLOWS_MAX: usize = 262_144;
/// Pods on this node at most; Kubernetes' own recommendation is 110.
pub const PODS_MAX: usize = 4_096;
/// Nodes at most; Kubernetes' own limit is 5,000.
pub const NODES_MAX: usize = 16_384;
/// Pod ranges at most, one per node.
pub const ROUTES_MAX: usize = 16_384;
/// Datagrams whose first fragment was seen and whose later ones may follow.
pub const FRAGMENTS_MAX: usize = 8_192;
/// Peers that one unconnected UDP socket can talk to through services at the same time.
pub const SOCKET_PEERS_MAX: usize = 8;

/// What the programs know about their node; the only entry of `CONFIG`.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Config {
    /// This node's address on the underlay.
    pub node: Addr,
    /// Where the node's DNS server listens.
    pub dns: Addr,
    /// The source that a pod sees when it reaches itself through a service.
    pub hairpin: Addr,
    /// Range of all pods.
    pub cluster: Prefix,
    /// Range of cluster IPs.
    pub services: Prefix,
    /// Index of the VXLAN device.
    pub overlay_ifindex: u32,
    /// Index of the underlay device.
    pub uplink_ifindex: u32,
    /// MAC of the VXLAN device, the same on every node.
    pub overlay_mac: Mac,
    /// UDP port of the overlay.
    pub vxlan_port: PortBe,
    /// Ports of NodePort services.
    pub node_ports: PortRange,
    /// Source ports for pods' flows to the outside.
    pub masquerade_ports: PortRange,
}

/// Key of `FRONTENDS`.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FrontendKey {
    /// The address, [`Addr::ANY`] in scope [`SCOPE_NODE_PORT`].
    pub addr: Addr,
    /// The port.
    pub port: PortBe,
    /// IP protocol number.
    pub protocol: u8,
    /// [`SCOPE_ADDRESS`] or [`SCOPE_NODE_PORT`].
    pub scope: u8,
}

/// A frontend on the address in its key.
pub const SCOPE_ADDRESS: u8 = 0;
/// A frontend on the primary address of every node.
pub const SCOPE_NODE_PORT: u8 = 1;

/// Value of `FRONTENDS`. Writing it is the flip from one generation of slots to the next.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Frontend {
    /// Id of the service port.
    pub service: u32,
    /// Generation of its slots.
    pub generation: u32,
    /// Slots in that generation. 0: refuse.
    pub count: u32,
    /// [`FRONTEND_OUTSIDE`]; from bit [`AFFINITY_SHIFT`] on [`Self::affinity_s`].
    pub flags: u32,
}

impl Frontend {
    /// Seconds for which a client's new connections go to the backend of its last one. 0: each takes its turn.
    #[inline(always)]
    #[must_use]
    pub const fn affinity_s(&self) -> u32 {
        self.flags >> AFFINITY_SHIFT
    }
}

/// Clients outside the cluster may use this frontend.
pub const FRONTEND_OUTSIDE: u32 = 1;
/// Where the seconds of affinity begin in a frontend's flags.
pub const AFFINITY_SHIFT: u32 = 8;
/// Seconds of affinity at most; Kubernetes' own limit is 86,400.
pub const AFFINITY_S_MAX: u32 = u32::MAX >> AFFINITY_SHIFT;

/// Key of `SLOTS`.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SlotKey {
    /// Id of the service port.
    pub service: u32,
    /// Generation.
    pub generation: u32,
    /// From 0 to the generation's count, exclusive; or a backend's id with [`SLOT_OF_MEMBER`], whose value is that
    /// id. Services with affinity have those too: they tell whether a backend belongs to the generation.
    pub slot: u32,
}

/// Set in the slots that are found by their backend's id.
pub const SLOT_OF_MEMBER: u32 = 1 << 31;

/// Key of `AFFINITIES`.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AffinityKey {
    /// Address of the client; at sockets [`Addr::of_namespace`].
    pub client: Addr,
    /// Id of the service port.
    pub service: u32,
}

/// Value of `AFFINITIES`: where a client's last connection went.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Affinity {
    /// Id of the backend.
    pub backend: u32,
    /// Second (since boot) of that connection.
    pub seen: u32,
}

/// Value of `BACKENDS`; the key is its id, never 0. The value of `SLOTS` is such an id.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Backend {
    /// Address.
    pub addr: Addr,
    /// Port.
    pub port: PortBe,
    /// IP protocol number.
    pub protocol: u8,
    /// Zero.
    pub reserved: u8,
}

/// Value of `PODS`; the key is the pod's address.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LocalPod {
    /// Index of the host side of its veth.
    pub ifindex: u32,
    /// MAC of its own side.
    pub mac: Mac,
    /// Bytes of `uid` in use.
    pub uid_len: u16,
    /// Its UID, padded with zeros.
    pub uid: [u8; 36],
}

/// Value of `NODES`; the key is the node's address.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KnownNode {
    /// [`NODE_LOCAL`].
    pub flags: u32,
}

/// This node itself.
pub const NODE_LOCAL: u32 = 1;

/// Key of `ROUTES`, a longest-prefix-match trie.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RouteKey {
    /// Bits of `addr` that count, host byte order.
    pub bits: u32,
    /// First address of the range.
    pub addr: Addr,
}

/// Value of `ROUTES`.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Route {
    /// Address of the node that owns the range.
    pub node: Addr,
}

/// Addresses and ports of a packet.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Tuple {
    /// Source address.
    pub source: Addr,
    /// Destination address.
    pub destination: Addr,
    /// Source port; of an ICMP echo request its identifier.
    pub source_port: PortBe,
    /// Destination port; of an ICMP echo reply its identifier.
    pub destination_port: PortBe,
}

impl Tuple {
    /// The tuple of the answer.
    #[inline(always)]
    #[must_use]
    pub const fn reversed(&self) -> Self {
        Self {
            source: self.destination,
            destination: self.source,
            source_port: self.destination_port,
            destination_port: self.source_port,
        }
    }

    /// Whether this is the tuple of the other's answer. Makes no copy: programs have a small stack.
    #[inline(always)]
    #[must_use]
    pub fn is_reverse_of(&self, other: &Self) -> bool {
        self.source_port == other.destination_port
            && self.destination_port == other.source_port
            && self.source == other.destination
            && self.destination == other.source
    }
}

/// Key of `FLOWS`: a packet as it looks where it is looked up.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct FlowKey {
    /// Addresses and ports before translation.
    pub tuple: Tuple,
    /// IP protocol number.
    pub protocol: u8,
    /// [`SITE_INNER`], [`SITE_UPLINK_IN`] or [`SITE_UPLINK_OUT`].
    pub site: u8,
    /// Zero.
    pub reserved: u16,
}

/// Looked up at pods' veths and the overlay.
pub const SITE_INNER: u8 = 0;
/// Looked up where packets come in from the underlay.
pub const SITE_UPLINK_IN: u8 = 1;
/// Looked up where packets leave to the underlay.
pub const SITE_UPLINK_OUT: u8 = 2;

/// A value of a flow that packets on several processors write: the last writer wins, which is all it needs.
/// A cell because the BPF target has no atomics of 32 bits; its loads and stores of one word are whole.
#[repr(transparent)]
#[derive(Debug, Default)]
pub struct Shared(Cell<u32>);

impl Shared {
    /// A first value.
    #[must_use]
    #[inline(always)]
    pub const fn new(value: u32) -> Self {
        Self(Cell::new(value))
    }

    /// The present value.
    #[inline(always)]
    #[must_use]
    pub fn get(&self) -> u32 {
        self.0.get()
    }

    /// Writes only what is new: an unchanged line stays shared between processors' caches.
    #[inline(always)]
    pub fn set(&self, value: u32) {
        if self.get() != value {
            self.0.set(value);
        }
    }
}

impl Clone for Shared {
    fn clone(&self) -> Self {
        Self::new(self.get())
    }
}

impl PartialEq for Shared {
    fn eq(&self, other: &Self) -> bool {
        self.get() == other.get()
    }
}

/// Value of `FLOWS`: what becomes of a packet of one direction. Flows come in pairs: the key of the other direction
/// is `tuple` reversed, at `pair_site`.
#[repr(C)]
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Flow {
    /// Addresses and ports after translation.
    pub tuple: Tuple,
    /// [`KIND_SERVICE`] and following.
    pub kind: u8,
    /// [`EXIT_ROUTE`] and following.
    pub exit: u8,
    /// Site of the other direction's key.
    pub pair_site: u8,
    /// 1 in the direction of the answers.
    pub reply: u8,
    /// Node for [`EXIT_NODE`] and [`EXIT_NODE_AS_CLIENT`].
    pub via: Addr,
    /// Id of the service port, 0: none.
    pub service: u32,
    /// Id of the backend, 0: none.
    pub backend: u32,
    /// Second (since boot) of the last packet in this direction, or of its opening.
    pub seen: Shared,
    /// [`STATE_ANSWERED`] and following: what packets of this direction have shown.
    pub state: Shared,
}

/// A pod reaches a service packet by packet.
pub const KIND_SERVICE: u8 = 0;
/// A client outside reaches a service through this node.
pub const KIND_NODE_PORT: u8 = 1;
/// A client outside reaches a pod here through the node in `via`.
pub const KIND_FORWARDED: u8 = 2;
/// A pod reaches the outside as this node.
pub const KIND_MASQUERADE: u8 = 3;
/// A pod reaches an end without a service, from a source port with which it reaches the same end through one.
pub const KIND_DIRECT: u8 = 4;

/// Deliver by the translated destination.
pub const EXIT_ROUTE: u8 = 0;
/// Leave it to the host's stack.
pub const EXIT_STACK: u8 = 1;
/// Out of the underlay device.
pub const EXIT_UPLINK: u8 = 2;
/// Through the overlay to the node in `via`, as from a pod.
pub const EXIT_NODE: u8 = 3;
/// Through the overlay to the node in `via`, on behalf of a client outside.
pub const EXIT_NODE_AS_CLIENT: u8 = 4;

/// Answers have been seen.
pub const STATE_ANSWERED: u32 = 1;
/// A FIN in this direction.
pub const STATE_FIN: u32 = 2;
/// A FIN in the other direction. Never in an entry: see [`joint_state`].
pub const STATE_PAIR_FIN: u32 = 4;
/// A RST in either direction.
pub const STATE_RESET: u32 = 8;

/// The state of a connection, from the entries of this direction and of the other.
///
/// An entry tells of its own direction's packets only, so that each word has one writer: both ends of a connection are
/// seen by two processors at once, and without atomic operations one would undo what the other writes.
#[inline(always)]
#[must_use]
pub const fn joint_state(own: u32, pair: u32) -> u32 {
    let fin = if pair & STATE_FIN != 0 { STATE_PAIR_FIN } else { 0 };
    own | fin | pair & (STATE_ANSWERED | STATE_RESET)
}

/// Whether a TCP connection of this joint state has ended (or may end any moment).
#[inline(always)]
#[must_use]
pub const fn is_closed(state: u32) -> bool {
    state & STATE_RESET != 0 || state & (STATE_FIN | STATE_PAIR_FIN) == STATE_FIN | STATE_PAIR_FIN
}

impl Flow {
    /// Whether the other direction's key is this one.
    #[inline(always)]
    #[must_use]
    pub fn leads_back_to(&self, key: &FlowKey) -> bool {
        self.pair_site == key.site && self.tuple.is_reverse_of(&key.tuple)
    }

    /// The key of the other direction.
    #[inline(always)]
    #[must_use]
    pub const fn pair_key(&self, protocol: u8) -> FlowKey {
        FlowKey {
            tuple: self.tuple.reversed(),
            protocol,
            site: self.pair_site,
            reserved: 0,
        }
    }
}

/// Key of `FRAGMENTS`.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FragmentKey {
    /// Source address.
    pub source: Addr,
    /// Destination address.
    pub destination: Addr,
    /// Identification.
    pub id: u32,
    /// IP protocol number.
    pub protocol: u32,
}

/// Value of `FRAGMENTS`: what only the first fragment carries.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FragmentPorts {
    /// Source port.
    pub source_port: PortBe,
    /// Destination port.
    pub destination_port: PortBe,
}

/// Where a socket believes to talk to, and where it does. Lives in the socket: it dies with it.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SocketPeer {
    /// The service's address.
    pub frontend: Addr,
    /// The backend's address.
    pub backend: Addr,
    /// The service's port.
    pub frontend_port: PortBe,
    /// The backend's port.
    pub backend_port: PortBe,
    /// Id of the service port.
    pub service: u32,
    /// Id of the backend. 0: this entry is free.
    pub backend_id: u32,
    /// Second (since boot) of the last datagram sent.
    pub seen: u32,
}

/// What an unconnected UDP socket sent to through services.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SocketPeers {
    /// In no order.
    pub peers: [SocketPeer; SOCKET_PEERS_MAX],
    /// The entry to overwrite next.
    pub next: u32,
}

/// Room for what does not fit on a program's stack of 512 bytes.
#[repr(C)]
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Scratch {
    /// Key of the direction of the first packet.
    pub key: FlowKey,
    /// Its value.
    pub flow: Flow,
    /// Key of the answers.
    pub reply_key: FlowKey,
    /// Their value.
    pub reply: Flow,
}

macro_rules! plain {
    ($($name:ty = $size:literal),+ $(,)?) => { $(
        // SAFETY: `repr(C)` or primitive; the assertion below excludes padding because `$size` is the sum of the
        // fields' sizes; integers and arrays of them take every bit pattern.
        unsafe impl Plain for $name {}
        const _: () = assert!(size_of::<$name>() == $size);
    )+ };
}

plain! {
    u32 = 4,
    u64 = 8,
    Addr = 16,
    Config = 136,
    FrontendKey = 20,
    Frontend = 16,
    SlotKey = 12,
    AffinityKey = 20,
    Affinity = 8,
    Backend = 20,
    LocalPod = 48,
    KnownNode = 4,
    RouteKey = 20,
    Route = 16,
    FlowKey = 40,
    Flow = 72,
    FragmentKey = 40,
    FragmentPorts = 4,
    SocketPeer = 48,
    SocketPeers = 388,
}
