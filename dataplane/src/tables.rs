//! What the paths ask of the maps. The programs answer from the kernel, the tests from memory.
//!
//! Never here: decisions.

use crate::{
    addr::Addr,
    layout::{
        Affinity, AffinityKey, Backend, Config, Flow, FlowKey, FragmentKey, FragmentPorts, Frontend, FrontendKey,
        KnownNode, LocalPod, Route, Scratch, SlotKey,
    },
};

/// Why an entry was not added.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AddError {
    /// There is one with this key.
    Exists,
    /// The table is full, or the kernel has no memory for it.
    Full,
}

/// The maps, the clock and chance.
#[expect(
    clippy::mut_from_ref,
    reason = "scratch space is the processor's own, and each program takes it once"
)]
pub trait Tables {
    /// The node's configuration.
    fn config(&self) -> Option<&Config>;
    /// The local pod with an address.
    fn pod(&self, addr: &Addr) -> Option<&LocalPod>;
    /// The node with an address.
    fn node(&self, addr: &Addr) -> Option<&KnownNode>;
    /// The node that owns the range of an address.
    fn route(&self, addr: &Addr) -> Option<&Route>;
    /// A frontend.
    fn frontend(&self, key: &FrontendKey) -> Option<&Frontend>;
    /// A backend's id.
    fn slot(&self, key: &SlotKey) -> Option<u32>;
    /// A backend.
    fn backend(&self, id: u32) -> Option<&Backend>;
    /// Takes a turn: numbers without gaps or repetition per service, on all processors together.
    fn turn(&self, service: u32) -> Option<u64>;
    /// Where a client's last connection to a service went.
    fn affinity(&self, key: &AffinityKey) -> Option<Affinity>;
    /// Remembers it.
    fn set_affinity(&self, key: &AffinityKey, affinity: &Affinity);
    /// A flow.
    fn flow(&self, key: &FlowKey) -> Option<&Flow>;
    /// Adds a flow.
    ///
    /// # Errors
    /// When there is one with this key, or the table is full.
    fn add_flow(&self, key: &FlowKey, flow: &Flow) -> Result<(), AddError>;
    /// Removes a flow, if it is there.
    fn remove_flow(&self, key: &FlowKey);
    /// Ports of a datagram whose first fragment came by.
    fn fragment(&self, key: &FragmentKey) -> Option<FragmentPorts>;
    /// Remembers them.
    fn add_fragment(&self, key: &FragmentKey, ports: &FragmentPorts);
    /// Room for large values.
    fn scratch(&self) -> Option<&mut Scratch>;
    /// Seconds since boot, never 0.
    fn now_s(&self) -> u32;
    /// Chance.
    fn random(&self) -> u32;
}
