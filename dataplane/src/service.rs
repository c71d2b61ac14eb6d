//! Service selection: which frontend an address is, and whose turn it is.
//!
//! Round robin is exact: turns are numbers without gaps, so n times k new connections give each of n backends k.
//! With affinity (`sessionAffinity: ClientIP`) only a client that is new, was away too long or lost its backend takes a
//! turn. A client is an address; at the socket, which has none yet, it is a network namespace, which is a pod or a
//! node. Each node remembers the clients that come by it.
//! Never here: rewriting, flows.

use crate::{
    addr::{Addr, PortBe},
    layout::{
        Affinity, AffinityKey, Backend, Config, FRONTEND_OUTSIDE, Frontend, FrontendKey, SCOPE_ADDRESS,
        SCOPE_NODE_PORT, SLOT_OF_MEMBER, SlotKey,
    },
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

/// The backend of a new connection: with affinity the one of the client's last connection, if that was not too long
/// ago and the backend is still in the set; else the one whose turn it is.
///
/// # Errors
/// [`Reason::NoBackend`] when the service has none.
#[inline(always)]
pub fn choose<T: Tables>(tables: &T, frontend: &Frontend, client: &Addr) -> Result<Chosen, Reason> {
    if frontend.count == 0 {
        return Err(Reason::NoBackend);
    }
    let key = AffinityKey {
        client: *client,
        service: frontend.service,
    };
    let id = match last_of(tables, frontend, &key) {
        Some(id) => id,
        None => next(tables, frontend).ok_or(Reason::NoBackend)?,
    };
    let Backend { addr, port, .. } = *tables.backend(id).ok_or(Reason::NoBackend)?;
    if frontend.affinity_s() != 0 {
        let affinity = Affinity {
            backend: id,
            seen: tables.now_s(),
        };
        tables.set_affinity(&key, &affinity);
    }
    Ok(Chosen {
        id,
        service: frontend.service,
        addr,
        port,
    })
}

/// Whose turn it is.
#[inline(always)]
fn next<T: Tables>(tables: &T, frontend: &Frontend) -> Option<u32> {
    let turn = tables.turn(frontend.service)?;
    tables.slot(&SlotKey {
        service: frontend.service,
        generation: frontend.generation,
        slot: (turn % frontend.count as u64) as u32,
    })
}

/// Who served the client last and may still do so.
#[inline(always)]
fn last_of<T: Tables>(tables: &T, frontend: &Frontend, key: &AffinityKey) -> Option<u32> {
    if frontend.affinity_s() == 0 {
        return None;
    }
    let last = tables.affinity(key)?;
    // A second of the future is one that another processor's clock has reached first.
    if tables.now_s().saturating_sub(last.seen) >= frontend.affinity_s() {
        return None;
    }
    tables.slot(&SlotKey {
        service: frontend.service,
        generation: frontend.generation,
        slot: SLOT_OF_MEMBER | last.backend,
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

#[cfg(test)]
mod tests;
