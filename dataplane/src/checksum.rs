//! Internet checksums, by difference.
//!
//! Never here: sums over payloads; the kernel and the devices do those.
//! Source: RFC 1071, RFC 1624.

/// A ones' complement sum of 32 bits, words as they stand in memory. What the kernel calls `__wsum`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Difference(pub u32);

impl Difference {
    /// Adds the change of one word of 32 bits (or two aligned ones of 16).
    #[inline(always)]
    #[must_use]
    pub const fn change(self, from: u32, to: u32) -> Self {
        Self(add(add(self.0, !from), to))
    }

    /// The checksum field that follows from the change.
    #[inline(always)]
    #[must_use]
    pub const fn apply(self, checksum: u16) -> u16 {
        !fold(add(self.0, !(checksum as u32) & 0xffff))
    }
}

#[inline(always)]
const fn add(a: u32, b: u32) -> u32 {
    let sum = a as u64 + b as u64;
    // End-around carry.
    (sum as u32).wrapping_add((sum >> 32) as u32)
}

#[inline(always)]
const fn fold(sum: u32) -> u16 {
    let once = (sum & 0xffff) + (sum >> 16);
    ((once & 0xffff) + (once >> 16)) as u16
}

#[cfg(test)]
pub(crate) mod tests;
