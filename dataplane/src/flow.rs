//! Conntrack: flows whose packets are translated, in both directions.
//!
//! Only what is translated has an entry; a packet between pods that needs no translation costs one failed look-up, the
//! first one of a TCP connection two. Both directions are entries of their own, each under the key its packets have
//! where they are looked up. When the table is full, new flows are refused and counted, and known ones live.
//!
//! ```text
//!   first packet ──▶ opened ──answer──▶ answered ──FIN both ways or RST──▶ closed
//!                      │                   │                                 │
//!                      └── idle too long ──┴──────── removed ◀── idle ───────┘   (a SYN reopens a closed flow)
//! ```
//!
//! An entry whose other direction is gone, or is another flow's by now, is a half: new connections do not follow it.
//!
//! A pod may reach a backend through a service and directly from one and the same source port: to the pod these are
//! two connections, and the answers of both look alike. What becomes of a direct one while the service's flow is known:
//! - TCP: its first packet looks whether a flow would take its answers. A closed or idle one is removed; beside a live
//!   one the direct connection becomes a flow as well, from another port. In the other order nothing knows of the
//!   direct connection: a service's flow that comes to its port and backend while it lasts takes its answers.
//! - UDP has no first packet, and a second look-up for every datagram would be paid by all: answers come from the
//!   service's address until its flow is idle, 30 s after a datagram that nobody answered and 120 s otherwise.
//!
//! Never here: removal of idle flows (the agent does it, by [`idle_limit_s`]).

use crate::{
    addr::{Addr, PROTO_TCP, PROTO_UDP, PortBe, PortRange},
    layout::{
        Flow, FlowKey, STATE_ANSWERED, STATE_FIN, STATE_PAIR_FIN, STATE_RESET, Shared, Tuple, is_closed, joint_state,
    },
    packet::{Packet, TCP_FIN, TCP_RST},
    service,
    tables::{AddError, Tables},
    verdict::Reason,
};

/// Source ports tried for one flow before it is refused: at 90 % of the ports taken, fewer than one in five fails.
const PORT_TRIES: u32 = 16;

/// Seconds within which a client repeats a SYN whose answer it has reset: Linux does at once.
const REPEATED_WITHIN_S: u32 = 3;
/// Seconds after which a half is no flow that another processor is just opening.
const HALF_AGE_S: u32 = 1;

/// A flow to open: what its first packet becomes, and how both directions go on.
#[derive(Debug, Clone, Copy)]
pub struct Opening {
    /// Addresses and ports after translation; the source port may be replaced by another.
    pub tuple: Tuple,
    /// `layout::KIND_…`.
    pub kind: u8,
    /// `layout::EXIT_…` of this direction.
    pub exit: u8,
    /// Where answers are looked up.
    pub reply_site: u8,
    /// `layout::EXIT_…` of the answers.
    pub reply_exit: u8,
    /// The node that exits through the overlay go to.
    pub via: Addr,
    /// Id of the service port, or 0.
    pub service: u32,
    /// Id of the backend, or 0.
    pub backend: u32,
    /// Whether the first packet's own source port may be used.
    pub keep_port: bool,
    /// Source ports to use otherwise.
    pub ports: PortRange,
}

/// Adds both directions and translates the packet.
///
/// # Errors
/// [`Reason::FlowsFull`], [`Reason::PortsTaken`].
#[inline(always)]
pub fn open<T: Tables>(tables: &T, packet: &mut Packet, opening: &Opening) -> Result<(), Reason> {
    let Some(scratch) = tables.scratch() else {
        return Err(Reason::NotConfigured);
    };
    let now = tables.now_s();
    let protocol = packet.key.protocol;
    scratch.key = packet.key;
    scratch.flow = Flow {
        tuple: opening.tuple,
        kind: opening.kind,
        exit: opening.exit,
        pair_site: opening.reply_site,
        reply: 0,
        via: opening.via,
        service: opening.service,
        backend: opening.backend,
        seen: Shared::new(now),
        state: Shared::new(0),
    };
    scratch.reply = Flow {
        tuple: packet.key.tuple.reversed(),
        kind: opening.kind,
        exit: opening.reply_exit,
        pair_site: packet.key.site,
        reply: 1,
        via: opening.via,
        service: opening.service,
        backend: opening.backend,
        seen: Shared::new(now),
        state: Shared::new(0),
    };
    let size = (opening.ports.last - opening.ports.first) as u32 + 1;
    let start = tables.random();
    let mut found = false;
    for attempt in 0..PORT_TRIES {
        if attempt > 0 || !opening.keep_port {
            let port = opening.ports.first as u32 + start.wrapping_add(attempt) % size;
            scratch.flow.tuple.source_port = PortBe::new(port as u16);
        }
        scratch.reply_key = scratch.flow.pair_key(protocol);
        found = match tables.flow(&scratch.reply_key) {
            Some(taken) => is_over(tables, &scratch.reply_key, taken),
            None => true,
        };
        if found {
            break;
        }
    }
    if !found {
        return Err(Reason::PortsTaken);
    }
    if let Some(closed) = tables.flow(&scratch.reply_key) {
        remove(tables, &scratch.reply_key, closed);
    }
    match tables.add_flow(&scratch.reply_key, &scratch.reply) {
        Ok(()) => {}
        // Another processor was faster; who sent this will send it again.
        Err(AddError::Exists) => return Err(Reason::PortsTaken),
        Err(AddError::Full) => return Err(Reason::FlowsFull),
    }
    match tables.add_flow(&scratch.key, &scratch.flow) {
        Ok(()) => {
            packet.key.tuple = scratch.flow.tuple;
            Ok(())
        }
        Err(error) => {
            tables.remove_flow(&scratch.reply_key);
            // A packet of the same flow on another processor: the next one finds its entry.
            Err(if error == AddError::Full {
                Reason::FlowsFull
            } else {
                Reason::PortsTaken
            })
        }
    }
}

/// The entry of the other direction. None if it is gone; what is in its place may be another flow's.
#[inline(always)]
fn pair<'t, T: Tables>(tables: &'t T, key: &FlowKey, flow: &Flow) -> Option<&'t Flow> {
    let pair = tables.flow(&flow.pair_key(key.protocol))?;
    if pair.leads_back_to(key) { Some(pair) } else { None }
}

/// Whether the connection of a flow has ended, or the flow has lost a direction.
#[inline(always)]
fn is_over<T: Tables>(tables: &T, key: &FlowKey, flow: &Flow) -> bool {
    match pair(tables, key, flow) {
        Some(pair) => is_closed(joint_state(flow.state.get(), pair.state.get())),
        None => tables.now_s().saturating_sub(flow.seen.get()) > HALF_AGE_S,
    }
}

/// Removes both directions.
#[inline(always)]
pub fn remove<T: Tables>(tables: &T, key: &FlowKey, flow: &Flow) {
    if pair(tables, key, flow).is_some() {
        tables.remove_flow(&flow.pair_key(key.protocol));
    }
    tables.remove_flow(key);
}

/// Whether a flow would take the answers of a packet that goes out as it is. A closed or idle one gives way: it is
/// removed.
#[inline(always)]
pub fn would_take_answers<T: Tables>(tables: &T, packet: &Packet) -> bool {
    let answers = FlowKey {
        tuple: packet.key.tuple.reversed(),
        ..packet.key
    };
    let Some(flow) = tables.flow(&answers) else {
        return false;
    };
    let gives_way = is_over(tables, &answers, flow) || is_idle(tables, &answers, flow);
    if gives_way {
        remove(tables, &answers, flow);
    }
    !gives_way
}

/// Whether neither direction had a packet within the limit: an entry that only waits for its removal.
#[inline(always)]
fn is_idle<T: Tables>(tables: &T, key: &FlowKey, flow: &Flow) -> bool {
    let pair = pair(tables, key, flow);
    let (state, seen) = match pair {
        Some(pair) => (pair.state.get(), pair.seen.get().max(flow.seen.get())),
        None => (0, flow.seen.get()),
    };
    // A second of the future is one that another processor's clock has reached first.
    tables.now_s().saturating_sub(seen) > idle_limit_s(key.protocol, joint_state(flow.state.get(), state))
}

/// The flow of a packet, if it is still the right one. A closed flow or a half whose ports a new connection uses, a flow
/// of datagrams to a backend that no longer serves, and an idle one that datagrams seem to answer, are removed here.
#[inline(always)]
pub fn find<'t, T: Tables>(tables: &'t T, packet: &Packet) -> Option<&'t Flow> {
    let flow = tables.flow(&packet.key)?;
    let reopened = packet.is_syn() && is_reopened(tables, packet, flow);
    let is_datagram = packet.key.protocol == PROTO_UDP;
    let moved = is_datagram && flow.reply == 0 && !still_leads_somewhere(tables, flow);
    let is_late = is_datagram && flow.reply != 0 && is_idle(tables, &packet.key, flow);
    if reopened || moved || is_late {
        remove(tables, &packet.key, flow);
        return None;
    }
    Some(flow)
}

/// Whether a SYN begins another connection than that of the flow it belongs to.
///
/// One that the client repeats because it has reset what came back does not: a server that still waits for the end of
/// an earlier connection from the same port answers that. It goes to the same server, or turns would be counted twice.
#[inline(always)]
fn is_reopened<T: Tables>(tables: &T, packet: &Packet, flow: &Flow) -> bool {
    let Some(pair) = pair(tables, &packet.key, flow) else {
        // Of a first direction, which is added last, a half is what is left of a flow.
        return flow.reply == 0 || is_over(tables, &packet.key, flow);
    };
    let state = joint_state(flow.state.get(), pair.state.get());
    if !is_closed(state) {
        return false;
    }
    let was_refused = flow.reply == 0
        && flow.state.get() == STATE_RESET
        && pair.state.get() & (STATE_FIN | STATE_RESET) == 0
        && tables.now_s().saturating_sub(flow.seen.get()) <= REPEATED_WITHIN_S;
    if was_refused && still_leads_somewhere(tables, flow) {
        flow.state.set(0);
        return false;
    }
    true
}

/// Whether the backend of a flow still serves; true of a flow without one.
#[inline(always)]
fn still_leads_somewhere<T: Tables>(tables: &T, flow: &Flow) -> bool {
    let (destination, port) = (&flow.tuple.destination, flow.tuple.destination_port);
    flow.backend == 0 || service::still_serves(tables, flow.backend, destination, port)
}

/// Records a packet in its flow, and translates the packet.
#[inline(always)]
pub fn translate<T: Tables>(tables: &T, packet: &mut Packet, flow: &Flow) {
    flow.seen.set(tables.now_s());
    let mut state = flow.state.get();
    if flow.reply != 0 {
        state |= STATE_ANSWERED;
    }
    if packet.tcp_flags & TCP_FIN != 0 {
        state |= STATE_FIN;
    }
    if packet.tcp_flags & TCP_RST != 0 {
        state |= STATE_RESET;
    }
    flow.state.set(state);
    packet.key.tuple = flow.tuple;
}

/// Seconds without a packet in either direction after which a flow of this joint state may be removed.
///
/// TCP: kube-proxy's 24 hours established; a minute for what was never answered or is closed is Linux's own.
/// UDP: Linux's 30 s one way and 120 s answered. Others: Linux's 30 s of ICMP.
#[must_use]
pub const fn idle_limit_s(protocol: u8, state: u32) -> u32 {
    let closing = STATE_FIN | STATE_PAIR_FIN;
    match protocol {
        PROTO_TCP if is_closed(state) => 10,
        PROTO_TCP if state & closing != 0 => 3_600,
        PROTO_TCP if state & STATE_ANSWERED != 0 => 86_400,
        PROTO_TCP => 60,
        PROTO_UDP if state & STATE_ANSWERED != 0 => 120,
        _ => 30,
    }
}

#[cfg(test)]
mod tests;
