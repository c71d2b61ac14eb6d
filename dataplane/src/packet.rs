//! Reading IPv4 packets: from fixed-size pieces of the header to a [`Packet`] that the paths decide about.
//!
//! Never here: access to the packet itself. The programs load the pieces, the tests make them.
//! Source: RFC 791, RFC 792, RFC 9293.

use crate::{
    addr::{Addr, Mac, PROTO_ICMP, PROTO_TCP, PROTO_UDP, PortBe},
    checksum::Difference,
    layout::{FlowKey, FragmentKey, Tuple},
    verdict::Reason,
};

/// Length of an Ethernet header.
pub const ETHERNET: usize = 14;
/// Length of an IPv4 header without options.
pub const IPV4: usize = 20;
/// What is loaded first.
pub const OUTER: usize = ETHERNET + IPV4;
/// What is loaded of the transport header: ports, and TCP's flags.
pub const TRANSPORT: usize = 14;
/// What every transport header has at least.
pub const TRANSPORT_MIN: usize = 8;
/// Offset of the piece of the IPv4 header that a rewrite replaces: hop limit to destination.
pub const REWRITE_OFFSET: usize = ETHERNET + 8;

/// TCP FIN.
pub const TCP_FIN: u8 = 1;
/// TCP SYN.
pub const TCP_SYN: u8 = 2;
/// TCP RST.
pub const TCP_RST: u8 = 4;
/// TCP ACK.
pub const TCP_ACK: u8 = 16;

const ICMP_ECHO_REPLY: u8 = 0;
const ICMP_ECHO_REQUEST: u8 = 8;

/// What an Ethernet frame carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ethertype {
    /// IPv4.
    Ipv4,
    /// ARP.
    Arp,
    /// Anything else.
    Other,
}

/// Whether a packet is a fragment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Fragment {
    /// It is whole.
    #[default]
    Whole,
    /// The first: it has the transport header.
    First,
    /// A later one: it has none.
    Later,
}

/// What the paths need to know of a packet. They rewrite `key.tuple`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Packet {
    /// Addresses, ports, protocol; the site is set by the path.
    pub key: FlowKey,
    /// Source address as it came.
    pub source_was: u32,
    /// Destination address as it came.
    pub destination_was: u32,
    /// Both ports as they came, as they stand in the packet.
    pub ports_was: u32,
    /// Hop limit in the low byte, protocol in the next, as the IPv4 header has them.
    pub hops_and_protocol: u16,
    /// The IPv4 header's checksum.
    pub checksum: u16,
    /// Identification.
    pub id: u16,
    /// Length of the IPv4 packet.
    pub length: u16,
    /// Offset of the transport header in the frame.
    pub transport: u16,
    /// Flags of TCP, else 0.
    pub tcp_flags: u8,
    /// Type of ICMP, else 0.
    pub icmp_type: u8,
    /// Fragmentation.
    pub fragment: Fragment,
}

/// The frame's type.
#[inline(always)]
#[must_use]
pub const fn ethertype(outer: &[u8; OUTER]) -> Ethertype {
    match (outer[12], outer[13]) {
        (0x08, 0x00) => Ethertype::Ipv4,
        (0x08, 0x06) => Ethertype::Arp,
        _ => Ethertype::Other,
    }
}

/// The frame's source.
#[inline(always)]
#[must_use]
pub const fn source_mac(outer: &[u8; OUTER]) -> Mac {
    [outer[6], outer[7], outer[8], outer[9], outer[10], outer[11]]
}

#[inline(always)]
const fn word(bytes: &[u8; OUTER], at: usize) -> u32 {
    u32::from_ne_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

#[inline(always)]
const fn half(bytes: &[u8; OUTER], at: usize) -> u16 {
    u16::from_ne_bytes([bytes[at], bytes[at + 1]])
}

impl Packet {
    /// Reads Ethernet and IPv4. Ports are not known yet: [`Self::read_transport`] or [`Self::set_ports`].
    ///
    /// # Errors
    /// [`Reason::Truncated`] when the header contradicts itself.
    #[inline(always)]
    pub fn read_ipv4(outer: &[u8; OUTER]) -> Result<Self, Reason> {
        let header = (outer[ETHERNET] & 0x0f) as u16 * 4;
        let length = u16::from_be(half(outer, ETHERNET + 2));
        if outer[ETHERNET] >> 4 != 4 || (header as usize) < IPV4 || length < header {
            return Err(Reason::Truncated);
        }
        let fragment = u16::from_be(half(outer, ETHERNET + 6));
        let fragment = match (fragment & 0x1fff != 0, fragment & 0x2000 != 0) {
            (true, _) => Fragment::Later,
            (false, true) => Fragment::First,
            (false, false) => Fragment::Whole,
        };
        let (source, destination) = (word(outer, ETHERNET + 12), word(outer, ETHERNET + 16));
        Ok(Self {
            key: FlowKey {
                tuple: Tuple {
                    source: Addr::from_v4_word(source),
                    destination: Addr::from_v4_word(destination),
                    source_port: PortBe(0),
                    destination_port: PortBe(0),
                },
                protocol: outer[ETHERNET + 9],
                site: 0,
                reserved: 0,
            },
            source_was: source,
            destination_was: destination,
            ports_was: 0,
            hops_and_protocol: half(outer, ETHERNET + 8),
            checksum: half(outer, ETHERNET + 10),
            id: half(outer, ETHERNET + 4),
            length,
            transport: ETHERNET as u16 + header,
            tcp_flags: 0,
            icmp_type: 0,
            fragment,
        })
    }

    /// Whether it has ports (or an identifier) to be read from its own transport header.
    #[inline(always)]
    #[must_use]
    pub const fn has_transport(&self) -> bool {
        matches!(self.key.protocol, PROTO_TCP | PROTO_UDP | PROTO_ICMP) && !matches!(self.fragment, Fragment::Later)
    }

    /// Bytes of the transport header that [`Self::read_transport`] wants.
    #[inline(always)]
    #[must_use]
    pub const fn transport_length(&self) -> usize {
        if self.key.protocol == PROTO_TCP {
            TRANSPORT
        } else {
            TRANSPORT_MIN
        }
    }

    /// Reads the transport header. Bytes past [`Self::transport_length`] are ignored.
    #[inline(always)]
    pub fn read_transport(&mut self, bytes: &[u8; TRANSPORT]) {
        let first = u16::from_ne_bytes([bytes[0], bytes[1]]);
        let second = u16::from_ne_bytes([bytes[2], bytes[3]]);
        match self.key.protocol {
            PROTO_TCP => {
                self.set_ports(PortBe(first), PortBe(second));
                self.tcp_flags = bytes[13];
            }
            PROTO_UDP => self.set_ports(PortBe(first), PortBe(second)),
            PROTO_ICMP => {
                self.icmp_type = bytes[0];
                let id = PortBe(u16::from_ne_bytes([bytes[4], bytes[5]]));
                match bytes[0] {
                    ICMP_ECHO_REQUEST => self.set_ports(id, PortBe(0)),
                    ICMP_ECHO_REPLY => self.set_ports(PortBe(0), id),
                    _ => {}
                }
            }
            _ => {}
        }
    }

    /// Sets what only the first fragment carries.
    #[inline(always)]
    pub fn set_ports(&mut self, source: PortBe, destination: PortBe) {
        self.key.tuple.source_port = source;
        self.key.tuple.destination_port = destination;
        self.ports_was = pair(source, destination);
    }

    /// Key under which fragments of its datagram find each other.
    #[inline(always)]
    #[must_use]
    pub const fn fragment_key(&self) -> FragmentKey {
        FragmentKey {
            source: self.key.tuple.source,
            destination: self.key.tuple.destination,
            id: self.id as u32,
            protocol: self.key.protocol as u32,
        }
    }

    /// The start of a TCP connection.
    #[inline(always)]
    #[must_use]
    pub const fn is_syn(&self) -> bool {
        self.tcp_flags & (TCP_SYN | TCP_ACK) == TCP_SYN
    }

    /// TCP that does not start a connection.
    #[inline(always)]
    #[must_use]
    pub const fn is_tcp_midway(&self) -> bool {
        self.key.protocol == PROTO_TCP && !self.is_syn()
    }

    /// ICMP other than echo: about another packet.
    #[inline(always)]
    #[must_use]
    pub const fn is_icmp_other(&self) -> bool {
        self.key.protocol == PROTO_ICMP && !matches!(self.icmp_type, ICMP_ECHO_REPLY | ICMP_ECHO_REQUEST)
    }

    /// Carries the overlay's own packets.
    #[inline(always)]
    #[must_use]
    pub const fn is_udp_to(&self, port: PortBe) -> bool {
        self.key.protocol == PROTO_UDP && self.key.tuple.destination_port.0 == port.0
    }

    /// Bytes after the transport header of TCP whose data offset is `offset` words.
    #[inline(always)]
    #[must_use]
    pub const fn tcp_payload(&self, offset: u8) -> u16 {
        let headers = self.transport - ETHERNET as u16 + offset as u16 * 4;
        self.length.saturating_sub(headers)
    }

    /// What must be written to the packet so that it is as `key.tuple` says. `hop`: it takes a hop.
    ///
    /// # Errors
    /// [`Reason::HopLimit`] when a hop is one too many; [`Reason::Protocol`] for addresses that are not IPv4.
    #[inline(always)]
    pub fn rewrite(&self, hop: bool) -> Result<Rewrite, Reason> {
        let tuple = &self.key.tuple;
        let (Some(source), Some(destination)) = (tuple.source.v4_word(), tuple.destination.v4_word()) else {
            return Err(Reason::Protocol);
        };
        let [hops, protocol] = self.hops_and_protocol.to_ne_bytes();
        if hop && hops <= 1 {
            return Err(Reason::HopLimit);
        }
        let hops_and_protocol = u16::from_ne_bytes([hops - u8::from(hop), protocol]);
        let addresses = Difference::default()
            .change(self.source_was, source)
            .change(self.destination_was, destination);
        let header = addresses.change(self.hops_and_protocol as u32, hops_and_protocol as u32);
        let ports = pair(tuple.source_port, tuple.destination_port);
        Ok(Rewrite {
            hops_and_protocol,
            checksum: header.apply(self.checksum),
            source,
            destination,
            ports,
            header_changed: hop || source != self.source_was || destination != self.destination_was,
            ports_changed: ports != self.ports_was,
            addresses,
            ports_difference: Difference::default().change(self.ports_was, ports),
        })
    }

    /// Where the transport checksum is in the frame, and whether it covers the addresses. None: there is none.
    #[inline(always)]
    #[must_use]
    pub const fn transport_checksum(&self) -> Option<(u32, bool)> {
        let transport = self.transport as u32;
        match self.key.protocol {
            PROTO_TCP => Some((transport + 16, true)),
            PROTO_UDP => Some((transport + 6, true)),
            PROTO_ICMP => Some((transport + 2, false)),
            _ => None,
        }
    }

    /// Where the ports (or ICMP's identifier) are in the frame, and the bytes they become.
    #[inline(always)]
    #[must_use]
    pub const fn port_bytes(&self, rewrite: &Rewrite) -> (u32, u32, u32) {
        if self.key.protocol == PROTO_ICMP {
            // One of the two halves is zero, the other is the identifier.
            let id = (rewrite.ports | rewrite.ports >> 16) & 0xffff;
            (self.transport as u32 + 4, id, 2)
        } else {
            (self.transport as u32, rewrite.ports, 4)
        }
    }
}

/// Both ports as the first four bytes of a transport header.
#[inline(always)]
const fn pair(source: PortBe, destination: PortBe) -> u32 {
    let (s, d) = (source.0.to_ne_bytes(), destination.0.to_ne_bytes());
    u32::from_ne_bytes([s[0], s[1], d[0], d[1]])
}

/// New contents of header fields, with their checksums.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rewrite {
    /// Hop limit and protocol.
    pub hops_and_protocol: u16,
    /// Checksum of the IPv4 header.
    pub checksum: u16,
    /// Source address.
    pub source: u32,
    /// Destination address.
    pub destination: u32,
    /// Both ports.
    pub ports: u32,
    /// Whether anything in the IPv4 header is new.
    pub header_changed: bool,
    /// Whether a port is new.
    pub ports_changed: bool,
    /// Change of the addresses.
    pub addresses: Difference,
    /// Change of the ports.
    pub ports_difference: Difference,
}

impl Rewrite {
    /// The bytes from hop limit to destination, for [`REWRITE_OFFSET`].
    #[inline(always)]
    #[must_use]
    pub const fn header(&self) -> [u32; 3] {
        let (h, c) = (self.hops_and_protocol.to_ne_bytes(), self.checksum.to_ne_bytes());
        [
            u32::from_ne_bytes([h[0], h[1], c[0], c[1]]),
            self.source,
            self.destination,
        ]
    }
}

#[cfg(test)]
mod tests;
