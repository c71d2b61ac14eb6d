//! What becomes of a packet, and the reasons why one is dropped.
//!
//! Never here: how a verdict is carried out.

use crate::{
    addr::{Addr, Mac},
    layout::LocalPod,
};

/// What to do with a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// On along the path it is on: to the host's stack, or out of the device.
    Pass,
    /// Gone, and counted.
    Drop,
    /// Gone, and counted; a TCP sender gets a reset.
    Refuse,
    /// Straight into a local pod: `link`, `mac`.
    Deliver,
    /// Through the overlay: `node`, `vni`.
    Tunnel,
    /// Out of the underlay device, by its routes and neighbours.
    Uplink,
}

/// The decision about one packet. The packet's tuple may have been rewritten as well.
///
/// A struct whose fields always have a value, made by its functions only: for an enum with contents the compiler
/// saves what a variant does not have, and the verifier refuses to read what was never written.
#[must_use]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Verdict {
    /// What to do.
    pub action: Action,
    /// Why it is dropped or refused.
    pub reason: Reason,
    /// Host side of the pod's veth.
    pub link: u32,
    /// The pod's MAC.
    pub mac: Mac,
    /// The node at the other end of the tunnel.
    pub node: Addr,
    /// Who sends: [`VNI_POD`] or [`VNI_CLIENT`].
    pub vni: u32,
}

impl Verdict {
    /// [`Action::Pass`].
    pub const PASS: Self = Self::plain(Action::Pass, Reason::Truncated);
    /// [`Action::Uplink`].
    pub const UPLINK: Self = Self::plain(Action::Uplink, Reason::Truncated);

    #[inline(always)]
    const fn plain(action: Action, reason: Reason) -> Self {
        Self {
            action,
            reason,
            link: 0,
            mac: [0; 6],
            node: Addr::ANY,
            vni: 0,
        }
    }

    /// [`Action::Drop`].
    #[inline(always)]
    pub const fn drop(reason: Reason) -> Self {
        Self::plain(Action::Drop, reason)
    }

    /// [`Action::Refuse`].
    #[inline(always)]
    pub const fn refuse(reason: Reason) -> Self {
        Self::plain(Action::Refuse, reason)
    }

    /// [`Action::Deliver`].
    #[inline(always)]
    pub const fn deliver(pod: &LocalPod) -> Self {
        Self {
            link: pod.ifindex,
            mac: pod.mac,
            ..Self::plain(Action::Deliver, Reason::Truncated)
        }
    }

    /// [`Action::Tunnel`].
    #[inline(always)]
    pub const fn tunnel(node: Addr, vni: u32) -> Self {
        Self {
            node,
            vni,
            ..Self::plain(Action::Tunnel, Reason::Truncated)
        }
    }
}

/// Overlay packets of the sending node and its pods.
pub const VNI_POD: u32 = 1;
/// Overlay packets that the sending node passes on for a client outside the cluster.
pub const VNI_CLIENT: u32 = 2;

macro_rules! table {
    ($(#[$doc:meta])* $name:ident, $count:ident, $all:ident { $($(#[$vdoc:meta])* $variant:ident = $text:literal,)+ }) => {
        $(#[$doc])*
        #[repr(u8)]
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum $name { $($(#[$vdoc])* $variant,)+ }

        /// All of them, in the order of their numbers.
        pub const $all: &[$name] = &[$($name::$variant,)+];
        /// How many there are.
        pub const $count: usize = $all.len();

        impl $name {
            /// Its name in dumps and metrics.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $text,)+ }
            }
        }
    };
}

table! {
    /// Why a packet was dropped. Numbers are part of the layout: add at the end only.
    Reason, REASONS, ALL_REASONS {
        /// Headers are cut short or contradict themselves.
        Truncated = "truncated",
        /// Neither IPv4 nor ARP where only they may pass.
        Protocol = "unsupported_protocol",
        /// A later fragment whose first one was not seen.
        Fragment = "fragment_without_first",
        /// The programs have no configuration yet.
        NotConfigured = "not_configured",
        /// The source does not belong to the sender.
        SpoofedSource = "spoofed_source",
        /// An overlay packet from an address that is no known node.
        UnknownNode = "unknown_node",
        /// No pod here has the destination.
        NoPod = "no_such_pod",
        /// No node owns the destination.
        NoRoute = "no_route",
        /// A cluster IP or port that no service has.
        NoService = "no_such_service",
        /// The service has no backend.
        NoBackend = "service_without_backend",
        /// Neither the start of a connection nor part of a known one.
        NoFlow = "no_such_flow",
        /// The conntrack table is full: new flows are refused, known ones live.
        FlowsFull = "conntrack_full",
        /// All source ports tried are taken.
        PortsTaken = "source_ports_taken",
        /// From outside to the node's DNS address.
        DnsFromOutside = "dns_from_outside",
        /// From outside to a pod's own address.
        PodFromOutside = "pod_from_outside",
        /// The hop limit ran out.
        HopLimit = "hop_limit",
        /// ICMP that would have to be translated and cannot be.
        Icmp = "icmp_untranslated",
        /// A rewrite or redirect that the kernel refused.
        Kernel = "kernel_refused",
    }
}

table! {
    /// Where a program runs. Numbers are part of the layout: add at the end only.
    Hook, HOOKS, ALL_HOOKS {
        /// Packets that a pod sends.
        FromPod = "from_pod",
        /// Packets that the host's stack sends to a pod.
        ToPod = "to_pod",
        /// Packets that come out of the overlay.
        FromOverlay = "from_overlay",
        /// Packets that go into the overlay.
        ToOverlay = "to_overlay",
        /// Packets that come in from the underlay.
        FromUplink = "from_uplink",
        /// Packets that leave to the underlay.
        ToUplink = "to_uplink",
        /// Connections and datagrams at the socket.
        Socket = "socket",
    }
}

/// Index of a counter in `DROPS`.
#[inline(always)]
#[must_use]
pub const fn drop_index(hook: Hook, reason: Reason) -> u32 {
    hook as u32 * REASON_STRIDE + reason as u32
}

/// Reasons that one hook has room for, so that a new reason moves no counter.
pub const REASON_STRIDE: u32 = 32;
/// Entries of `DROPS`.
pub const DROPS_MAX: usize = HOOKS * REASON_STRIDE as usize;

const _: () = assert!(REASONS <= REASON_STRIDE as usize);
