//! Whole frames, with right checksums, from a line of text.

pub(crate) const ICMP: u8 = 1;
pub(crate) const TCP: u8 = 6;
pub(crate) const UDP: u8 = 17;
pub(crate) const SYN: u8 = 2;
pub(crate) const RST: u8 = 4;
pub(crate) const ACK: u8 = 16;
pub(crate) const MAC_A: [u8; 6] = [2, 0, 0, 0, 0, 0xa];
pub(crate) const MAC_B: [u8; 6] = [2, 0, 0, 0, 0, 0xb];

/// An IPv4 packet in Ethernet.
#[derive(Debug, Clone)]
pub(crate) struct Frame {
    pub(crate) destination_mac: [u8; 6],
    pub(crate) source_mac: [u8; 6],
    pub(crate) from: String,
    pub(crate) to: String,
    pub(crate) protocol: u8,
    pub(crate) hops: u8,
    pub(crate) flags: u8,
    pub(crate) sequence: u32,
    pub(crate) acknowledged: u32,
    pub(crate) window: u16,
    pub(crate) payload: Vec<u8>,
}

impl Frame {
    pub(crate) fn tcp(from: &str, to: &str, flags: u8) -> Self {
        Self {
            destination_mac: MAC_B,
            source_mac: MAC_A,
            from: from.to_owned(),
            to: to.to_owned(),
            protocol: TCP,
            hops: 64,
            flags,
            sequence: 100,
            acknowledged: 0,
            window: 1_000,
            payload: Vec::new(),
        }
    }

    pub(crate) fn udp(from: &str, to: &str, payload: &[u8]) -> Self {
        Self {
            protocol: UDP,
            payload: payload.to_vec(),
            ..Self::tcp(from, to, 0)
        }
    }

    /// An ICMP echo request (its identifier is the port of `from`) or its reply (the port of `to`).
    pub(crate) fn echo(from: &str, to: &str) -> Self {
        Self {
            protocol: ICMP,
            payload: b"echo".to_vec(),
            ..Self::tcp(from, to, 0)
        }
    }

    pub(crate) fn macs(mut self, destination: [u8; 6], source: [u8; 6]) -> Self {
        self.destination_mac = destination;
        self.source_mac = source;
        self
    }

    /// As a router leaves it: one hop less.
    pub(crate) fn hop(mut self) -> Self {
        self.hops -= 1;
        self
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        let ((source, source_port), (destination, destination_port)) = (end(&self.from), end(&self.to));
        let mut transport = [source_port.to_be_bytes(), destination_port.to_be_bytes()].concat();
        if self.protocol == ICMP {
            let (kind, id) = if source_port != 0 {
                (8, source_port)
            } else {
                (0, destination_port)
            };
            let [high, low] = id.to_be_bytes();
            transport = [&[kind, 0, 0, 0, high, low, 0, 1], &self.payload[..]].concat();
            let sum = checksum(&transport);
            transport[2..4].copy_from_slice(&sum);
            return self.framed(source, destination, &transport);
        }
        let checksum_at = if self.protocol == TCP {
            transport.extend(self.sequence.to_be_bytes());
            transport.extend(self.acknowledged.to_be_bytes());
            transport.extend([0x50, self.flags]);
            transport.extend(self.window.to_be_bytes());
            16
        } else {
            transport.extend((8 + self.payload.len() as u16).to_be_bytes());
            6
        };
        transport.extend([0; 2]);
        if self.protocol == TCP {
            transport.extend([0; 2]);
        }
        transport.extend(&self.payload);
        let pseudo = [
            &source[..],
            &destination[..],
            &[0, self.protocol],
            &(transport.len() as u16).to_be_bytes(),
            &transport[..],
        ]
        .concat();
        transport[checksum_at..checksum_at + 2].copy_from_slice(&checksum(&pseudo));
        self.framed(source, destination, &transport)
    }

    fn framed(&self, source: [u8; 4], destination: [u8; 4], transport: &[u8]) -> Vec<u8> {
        let length = (20 + transport.len() as u16).to_be_bytes();
        let mut ip = vec![
            0x45,
            0,
            length[0],
            length[1],
            0,
            1,
            0x40,
            0,
            self.hops,
            self.protocol,
            0,
            0,
        ];
        ip.extend(source);
        ip.extend(destination);
        let sum = checksum(&ip);
        ip[10..12].copy_from_slice(&sum);
        [&self.destination_mac[..], &self.source_mac, &[8, 0], &ip, transport].concat()
    }
}

fn end(text: &str) -> ([u8; 4], u16) {
    let at: std::net::SocketAddrV4 = text.parse().unwrap();
    (at.ip().octets(), at.port())
}

/// The Internet checksum, network byte order.
fn checksum(bytes: &[u8]) -> [u8; 2] {
    let word = |pair: &[u8]| u32::from(pair[0]) << 8 | u32::from(*pair.get(1).unwrap_or(&0));
    let mut sum: u32 = bytes.chunks(2).map(word).sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    (!(sum as u16)).to_be_bytes()
}
