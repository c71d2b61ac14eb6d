//! Service selection: which frontend an address is, and whose turn it is.
//!
//! Round robin is exact: turns are numbers without gaps, so n times k new connections give each of n backends k.
//! Never here: rewriting, flows.

use crate::{
    addr::{Addr, PortBe},
    layout::{Backend, Config, FRONTEND_OUTSIDE, Frontend, FrontendKey, SCOPE_ADDRESS, SCOPE_NODE_PORT, SlotKey},
    tables::Tables,
    verdict::Reason,
};

/// Where a client is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Client {
    /// A pod, or a process of this node.
    Inside,
    /// Beyond the underlay device.
    Outside,
}

/// A backend and its id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Chosen {
    /// Its id.
    pub id: u32,
    /// The service port's id.
    pub service: u32,
    /// Where it is.
    pub addr: Addr,
    /// Its port.
    pub port: PortBe,
}

/// The frontend at an address, if it is one. A copy: it may be replaced while it is in use.
#[inline(always)]
pub fn frontend<T: Tables>(
    tables: &T,
    config: &Config,
    client: Client,
    addr: &Addr,
    port: PortBe,
    protocol: u8,
) -> Option<Frontend> {
    let exact = FrontendKey {
        addr: *addr,
        port,
        protocol,
        scope: SCOPE_ADDRESS,
    };
    if let Some(found) = tables.frontend(&exact) {
        return match client {
            Client::Outside if found.flags & FRONTEND_OUTSIDE == 0 => None,
            Client::Inside | Client::Outside => Some(*found),
        };
    }
    if !config.node_ports.contains(port) {
        return None;
    }
    let is_node = match client {
        // From outside only this node's own primary address is served.
        Client::Outside => *addr == config.node,
        Client::Inside => tables.node(addr).is_some(),
    };
    if !is_node {
        return None;
    }
    let key = FrontendKey {
        addr: Addr::ANY,
        port,
        protocol,
        scope: SCOPE_NODE_PORT,
    };
    tables.frontend(&key).copied()
}

/// The backend whose turn it is.
///
/// # Errors
/// [`Reason::NoBackend`] when the service has none.
#[inline(always)]
pub fn choose<T: Tables>(tables: &T, frontend: &Frontend) -> Result<Chosen, Reason> {
    if frontend.count == 0 {
        return Err(Reason::NoBackend);
    }
    let turn = tables.turn(frontend.service).ok_or(Reason::NoBackend)?;
    let slot = (turn % frontend.count as u64) as u32;
    let key = SlotKey {
        service: frontend.service,
        generation: frontend.generation,
        slot,
    };
    let id = tables.slot(&key).ok_or(Reason::NoBackend)?;
    let Backend { addr, port, .. } = *tables.backend(id).ok_or(Reason::NoBackend)?;
    Ok(Chosen {
        id,
        service: frontend.service,
        addr,
        port,
    })
}

/// Whether a backend chosen earlier still serves under its id.
#[inline(always)]
pub fn still_serves<T: Tables>(tables: &T, id: u32, addr: &Addr, port: PortBe) -> bool {
    match tables.backend(id) {
        Some(backend) => backend.addr == *addr && backend.port == port,
        None => false,
    }
}
