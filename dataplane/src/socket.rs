//! Service selection at the socket: before a packet exists, the destination becomes the backend.
//!
//! Never here: access to sockets. What a socket must remember is a [`SocketPeer`], kept in the socket by the program.

use crate::{
    addr::{Addr, PortBe},
    layout::{SocketPeer, SocketPeers},
    service::{self, Client},
    tables::Tables,
    verdict::Reason,
};

/// An unconnected socket that was silent this long towards a service gets the next turn when it sends again.
/// Kubernetes' documented idle time of an answered UDP flow.
pub const DATAGRAM_IDLE_S: u32 = 120;

/// What becomes of a connect or a send.
#[must_use]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Selection {
    /// The address is no service.
    Unchanged,
    /// Go to `backend`, and remember this.
    Peer(SocketPeer),
    /// The service has nobody to answer.
    Refused(Reason),
}

/// Selects for a new connection of `client`, or for a datagram that has no earlier selection.
#[inline(always)]
pub fn select<T: Tables>(tables: &T, client: &Addr, addr: &Addr, port: PortBe, protocol: u8) -> Selection {
    let Some(config) = tables.config() else {
        return Selection::Unchanged;
    };
    let Some(frontend) = service::frontend(tables, config, Client::Inside, addr, port, protocol) else {
        return Selection::Unchanged;
    };
    match service::choose(tables, &frontend, client) {
        Ok(chosen) => Selection::Peer(SocketPeer {
            frontend: *addr,
            backend: chosen.addr,
            frontend_port: port,
            backend_port: chosen.port,
            service: chosen.service,
            backend_id: chosen.id,
            seen: tables.now_s(),
        }),
        Err(reason) => Selection::Refused(reason),
    }
}

/// Whether an earlier selection of an unconnected socket holds for another datagram to the same service.
#[inline(always)]
pub fn holds<T: Tables>(tables: &T, peer: &SocketPeer, addr: &Addr, port: PortBe, now_s: u32) -> bool {
    peer.backend_id != 0
        && peer.frontend_port == port
        && peer.frontend == *addr
        && now_s.wrapping_sub(peer.seen) < DATAGRAM_IDLE_S
        && service::still_serves(tables, peer.backend_id, &peer.backend, peer.backend_port)
}

/// Whether a datagram from `addr` answers one that went through this selection.
#[inline(always)]
#[must_use]
pub fn answers(peer: &SocketPeer, addr: &Addr, port: PortBe) -> bool {
    peer.backend_id != 0 && peer.backend_port == port && peer.backend == *addr
}

impl SocketPeers {
    /// The place for a selection: the one of the same service, else the next in turn.
    #[inline(always)]
    pub fn remember(&mut self, peer: &SocketPeer) {
        for held in &mut self.peers {
            if held.frontend_port == peer.frontend_port && held.frontend == peer.frontend {
                *held = *peer;
                return;
            }
        }
        let next = self.next as usize % self.peers.len();
        // The remainder keeps it inside; `get_mut` keeps a panic out of the program.
        if let Some(place) = self.peers.get_mut(next) {
            *place = *peer;
        }
        self.next = self.next.wrapping_add(1);
    }
}

#[cfg(test)]
mod tests;
