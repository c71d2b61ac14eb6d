//! Refusing TCP: the segment itself becomes the reset that answers it.
//!
//! Addresses and ports change places, which leaves checksums as they are; only twelve bytes of TCP change. Options
//! and payload stay, which a reset may carry.
//! Never here: whether to refuse. Source: RFC 9293 section 3.5.2.

use crate::{
    checksum::Difference,
    packet::{TCP_ACK, TCP_FIN, TCP_RST, TCP_SYN},
};

/// Offset of the bytes that change, in the TCP header: sequence number to window.
pub const OFFSET: u32 = 4;

/// The new twelve bytes and what they change in the checksum. None: a reset is never answered.
#[inline(always)]
#[must_use]
pub fn answer(was: &[u32; 3], payload: u16) -> Option<([u32; 3], Difference)> {
    let [data_offset, flags, ..] = was[2].to_ne_bytes();
    if flags & TCP_RST != 0 {
        return None;
    }
    let (sequence, acknowledged) = (u32::from_be(was[0]), was[1]);
    let now = if flags & TCP_ACK != 0 {
        // In sequence for the sender, by its own word.
        [acknowledged, 0, u32::from_ne_bytes([data_offset, TCP_RST, 0, 0])]
    } else {
        let length = payload as u32 + u32::from(flags & TCP_SYN != 0) + u32::from(flags & TCP_FIN != 0);
        let acknowledge = sequence.wrapping_add(length).to_be();
        [
            0,
            acknowledge,
            u32::from_ne_bytes([data_offset, TCP_RST | TCP_ACK, 0, 0]),
        ]
    };
    let difference = Difference::default()
        .change(was[0], now[0])
        .change(was[1], now[1])
        .change(was[2], now[2]);
    Some((now, difference))
}

#[cfg(test)]
mod tests;
