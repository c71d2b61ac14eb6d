//! Addresses, ports and prefixes as maps and packets hold them: network byte order, in the type.
//!
//! Never here: parsing of text, host byte order outside the named conversions.
//! Source: RFC 4291 section 2.5.5.2 (IPv4-mapped IPv6 addresses).

/// IP protocol number of ICMP.
pub const PROTO_ICMP: u8 = 1;
/// IP protocol number of TCP.
pub const PROTO_TCP: u8 = 6;
/// IP protocol number of UDP.
pub const PROTO_UDP: u8 = 17;

/// An IPv6 address, or an IPv4 address in its mapped form. Four words as they stand in a packet.
#[repr(C)]
#[derive(Debug, Clone, Copy, Eq, PartialOrd, Ord, Hash, Default)]
#[expect(
    clippy::derived_hash_with_manual_eq,
    reason = "the equality below is the derived one, spelled out"
)]
pub struct Addr(pub [u32; 4]);

/// The third word of an IPv4-mapped address, as it stands in memory.
const MAPPED: u32 = 0x0000_ffff_u32.to_be();

/// Bits before the IPv4 part of a mapped address.
pub const MAPPED_BITS: u32 = 96;

impl PartialEq for Addr {
    /// Word by word: a compare of the array would call `memcmp`, which the verifier walks byte by byte.
    #[inline(always)]
    fn eq(&self, other: &Self) -> bool {
        self.0[3] == other.0[3] && self.0[2] == other.0[2] && self.0[1] == other.0[1] && self.0[0] == other.0[0]
    }
}

impl Addr {
    /// `::`, which no packet carries as an endpoint: the wildcard of frontends.
    pub const ANY: Self = Self([0; 4]);

    /// An IPv4 address from the word that a packet holds.
    #[inline(always)]
    #[must_use]
    pub const fn from_v4_word(word: u32) -> Self {
        Self([0, 0, MAPPED, word])
    }

    /// An IPv4 address from its octets.
    #[inline(always)]
    #[must_use]
    pub const fn from_v4(octets: [u8; 4]) -> Self {
        Self::from_v4_word(u32::from_ne_bytes(octets))
    }

    /// What stands for the clients in a network namespace where no address is known yet, by the namespace's cookie:
    /// no address of a client, for the first word is a multicast's.
    #[inline(always)]
    #[must_use]
    pub const fn of_namespace(cookie: u64) -> Self {
        Self([u32::MAX, 0, (cookie >> 32) as u32, cookie as u32])
    }

    /// An IPv6 address from its octets.
    #[must_use]
    pub const fn from_v6(o: [u8; 16]) -> Self {
        Self([
            u32::from_ne_bytes([o[0], o[1], o[2], o[3]]),
            u32::from_ne_bytes([o[4], o[5], o[6], o[7]]),
            u32::from_ne_bytes([o[8], o[9], o[10], o[11]]),
            u32::from_ne_bytes([o[12], o[13], o[14], o[15]]),
        ])
    }

    /// The word of an IPv4 address, as a packet holds it. None for IPv6.
    #[inline(always)]
    #[must_use]
    pub const fn v4_word(&self) -> Option<u32> {
        if self.0[0] == 0 && self.0[1] == 0 && self.0[2] == MAPPED {
            Some(self.0[3])
        } else {
            None
        }
    }

    /// The sixteen octets.
    #[must_use]
    pub const fn octets(&self) -> [u8; 16] {
        let mut octets = [0; 16];
        let mut i = 0;
        while i < 16 {
            octets[i] = self.0[i / 4].to_ne_bytes()[i % 4];
            i += 1;
        }
        octets
    }
}

impl From<core::net::IpAddr> for Addr {
    fn from(ip: core::net::IpAddr) -> Self {
        match ip {
            core::net::IpAddr::V4(v4) => Self::from_v4(v4.octets()),
            core::net::IpAddr::V6(v6) => Self::from_v6(v6.octets()),
        }
    }
}

impl From<Addr> for core::net::IpAddr {
    fn from(addr: Addr) -> Self {
        core::net::Ipv6Addr::from(addr.octets()).to_canonical()
    }
}

/// A port in network byte order.
#[repr(transparent)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct PortBe(pub u16);

impl PortBe {
    /// From host byte order.
    #[inline(always)]
    #[must_use]
    pub const fn new(port: u16) -> Self {
        Self(port.to_be())
    }

    /// In host byte order.
    #[inline(always)]
    #[must_use]
    pub const fn get(self) -> u16 {
        u16::from_be(self.0)
    }
}

/// A range of addresses: those that equal `addr` under `mask`.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Prefix {
    /// The first address of the range.
    pub addr: Addr,
    /// Ones where addresses of the range agree.
    pub mask: Addr,
}

impl Prefix {
    /// The range of the first `bits` (0 to 128) bits of `addr`. For IPv4, count from the mapped form: 96 + length.
    #[must_use]
    pub const fn new(addr: Addr, bits: u32) -> Self {
        let (mut mask, mut first, mut word) = ([0; 4], [0; 4], 0);
        while word < 4 {
            let here = bits.saturating_sub(32 * word as u32);
            let ones = if here >= 32 { u32::MAX } else { !(u32::MAX >> here) };
            mask[word] = ones.to_be();
            first[word] = addr.0[word] & mask[word];
            word += 1;
        }
        Self {
            addr: Addr(first),
            mask: Addr(mask),
        }
    }

    /// Whether `addr` is in the range.
    #[inline(always)]
    #[must_use]
    pub const fn contains(&self, addr: &Addr) -> bool {
        (addr.0[3] & self.mask.0[3]) == self.addr.0[3]
            && (addr.0[2] & self.mask.0[2]) == self.addr.0[2]
            && (addr.0[1] & self.mask.0[1]) == self.addr.0[1]
            && (addr.0[0] & self.mask.0[0]) == self.addr.0[0]
    }
}

/// A range of ports in host byte order, both ends included.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PortRange {
    /// The lowest.
    pub first: u16,
    /// The highest.
    pub last: u16,
}

impl PortRange {
    /// Whether `port` is in the range.
    #[inline(always)]
    #[must_use]
    pub const fn contains(&self, port: PortBe) -> bool {
        let port = port.get();
        self.first <= port && port <= self.last
    }
}

/// A MAC address.
pub type Mac = [u8; 6];

#[cfg(test)]
mod tests;
