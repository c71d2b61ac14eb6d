//! What the cluster knows about a question.
//!
//! Pure: a function of the index, the question and a number that spreads load over the records of one answer. Never
//! here: names outside the cluster (the caller asks upstream), messages, sockets.
//! Source: Kubernetes' DNS-based service discovery specification, version 1.1.0; RFC 1035, 2308, 2782, 8020.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use api::node_stream::Protocol;
use hickory_proto::rr::{
    LowerName, Name, RData, Record, RecordType,
    rdata::{A, AAAA, CNAME, NS, PTR, SOA, SRV, TXT},
};

use ipnet::IpNet;

use crate::index::{EndpointNames, Entry, Index, ServiceNames, Stands};

/// How long an answer may be kept, in seconds: names follow services within this time. As kube-dns and CoreDNS do.
pub const RECORD_TTL_S: u32 = 5;
/// How long "there is no such name" may be kept, in seconds: a service that is made is seen within this time.
pub const NEGATIVE_TTL_S: u32 = 5;
/// The version of the specification that these records follow.
const SCHEMA_VERSION: &str = "1.1.0";
/// The label of names with which the server finds out whether an upstream server asks it back.
pub const LOOP_CHECK_LABEL: &str = "loop-check";
/// SRV weights of one answer add up to about this.
const SRV_WEIGHT_SUM: u16 = 100;

/// What the cluster knows.
#[derive(Debug, Clone, PartialEq)]
pub enum Answer {
    /// These records.
    Records {
        /// They answer the question.
        answers: Vec<Record>,
        /// Addresses of names in the answers.
        additionals: Vec<Record>,
    },
    /// The name is another name's alias; the question is to be asked of that.
    Alias {
        /// Says so.
        alias: Record,
        /// The other name.
        target: Name,
    },
    /// The name is there and has no record of the type.
    NoData {
        /// For the authority section.
        soa: Record,
    },
    /// The name is not there.
    NoName {
        /// For the authority section.
        soa: Record,
    },
    /// A question of the loop check with this label: the server itself asked it.
    LoopCheck(String),
    /// Not a name of the cluster.
    Elsewhere,
}

/// Answers a question of class IN. `name` as asked, so that the answer repeats its letters' case; `rotation` is any
/// number, different from one question to the next.
#[must_use]
pub fn answer(index: &Index, name: &Name, record_type: RecordType, rotation: usize) -> Answer {
    let lower = LowerName::new(name);
    let question = Question {
        index,
        name,
        record_type,
        rotation,
    };
    match index.zone().relative(&lower) {
        Some(labels) => {
            let labels: Vec<&str> = labels.iter().map(String::as_str).collect();
            question.in_zone(&labels)
        }
        None => question.reverse(&lower),
    }
}

#[derive(Clone, Copy)]
struct Question<'a> {
    index: &'a Index,
    name: &'a Name,
    record_type: RecordType,
    rotation: usize,
}

impl Question<'_> {
    /// `labels` are those before the zone's own, the last first.
    fn in_zone(&self, labels: &[&str]) -> Answer {
        match *labels {
            [] => self.apex(),
            ["dns-version"] => self.of_type(RecordType::TXT, || {
                vec![self.record(self.name, RData::TXT(TXT::new(vec![SCHEMA_VERSION.to_owned()])))]
            }),
            ["dns"] | ["svc"] | ["pod"] => self.no_data(),
            ["dns", "ns"] => self.addresses(&[self.index.zone().dns_ip]),
            [LOOP_CHECK_LABEL, token] => Answer::LoopCheck(token.to_owned()),
            ["svc", namespace] if self.index.has_namespace(namespace) => self.no_data(),
            ["svc", namespace, service, ref rest @ ..] => match self.index.service(namespace, service) {
                Some(entry) => self.in_service(entry, rest),
                None => self.no_name(),
            },
            // Any namespace and address, without a look at pods: the specification's deprecated record.
            ["pod", _namespace] => self.no_data(),
            ["pod", _namespace, dashed] => match undashed(dashed) {
                Some(ip) => self.addresses(&[ip]),
                None => self.no_name(),
            },
            _ => self.no_name(),
        }
    }

    fn apex(&self) -> Answer {
        match self.record_type {
            RecordType::SOA => self.records(vec![self.zone_soa()]),
            RecordType::NS => {
                let server = self.name_server();
                let ns = self.record(self.name, RData::NS(NS(server.clone())));
                Answer::Records {
                    answers: vec![ns],
                    additionals: vec![self.address(&server, self.index.zone().dns_ip)],
                }
            }
            RecordType::ANY => {
                let ns = self.record(self.name, RData::NS(NS(self.name_server())));
                self.records(vec![self.zone_soa(), ns])
            }
            _ => self.no_data(),
        }
    }

    /// `rest` are the labels before the service's name, the last first.
    fn in_service(&self, entry: &Entry, rest: &[&str]) -> Answer {
        let Some(service) = &entry.service else {
            return self.no_name();
        };
        match (&service.stands, rest) {
            (Stands::External(target), []) => self.alias(target),
            (Stands::External(_), _) => self.no_name(),
            (Stands::ClusterIps(ips), []) => match self.record_type {
                RecordType::SRV => self.srv_of_addresses(service, ips, |_, _| true),
                _ => self.addresses(ips),
            },
            // The specification asks for NXDOMAIN, where the name alone would call for an empty answer.
            (Stands::Headless, _) if entry.published().next().is_none() => self.no_name(),
            (Stands::Headless, []) => match self.record_type {
                RecordType::SRV => self.srv_of_endpoints(entry, service, |_, _| true),
                _ => {
                    let ips: Vec<IpAddr> = entry.published().map(|(ip, _)| ip).collect();
                    self.addresses(&ips)
                }
            },
            (_, [label]) => match protocol(label) {
                Some(protocol) if has_port(service, protocol) => self.no_data(),
                Some(_) => self.no_name(),
                None => self.endpoint(entry, label),
            },
            (stands, [proto, port]) => {
                let (Some(protocol), Some(port)) = (protocol(proto), port.strip_prefix('_')) else {
                    return self.no_name();
                };
                let wanted = |name: &str, of: Protocol| name == port && of == protocol;
                let is_there = !port.is_empty() && service.ports.iter().any(|port| wanted(&port.name, port.protocol));
                match (is_there, self.record_type, stands) {
                    (false, _, _) => self.no_name(),
                    (true, RecordType::SRV | RecordType::ANY, Stands::ClusterIps(ips)) => {
                        self.srv_of_addresses(service, ips, wanted)
                    }
                    (true, RecordType::SRV | RecordType::ANY, Stands::Headless) => {
                        self.srv_of_endpoints(entry, service, wanted)
                    }
                    (true, _, _) => self.no_data(),
                }
            }
            (_, _) => self.no_name(),
        }
    }

    fn endpoint(&self, entry: &Entry, hostname: &str) -> Answer {
        let ips: Vec<IpAddr> = entry
            .published()
            .filter(|(_, endpoint)| endpoint.hostname == hostname)
            .map(|(ip, _)| ip)
            .collect();
        if ips.is_empty() {
            return self.no_name();
        }
        self.addresses(&ips)
    }

    fn srv_of_addresses(
        &self,
        service: &ServiceNames,
        ips: &[IpAddr],
        wanted: impl Fn(&str, Protocol) -> bool,
    ) -> Answer {
        let target = self.service_name(service);
        let ports: Vec<u16> = service
            .ports
            .iter()
            .filter(|port| wanted(&port.name, port.protocol))
            .map(|port| port.port)
            .collect();
        let targets: Vec<(u16, Name)> = ports.into_iter().map(|port| (port, target.clone())).collect();
        let additionals = ips.iter().map(|ip| self.address(&target, *ip)).collect();
        self.srv(&targets, additionals)
    }

    fn srv_of_endpoints(
        &self,
        entry: &Entry,
        service: &ServiceNames,
        wanted: impl Fn(&str, Protocol) -> bool,
    ) -> Answer {
        let mut targets = Vec::new();
        let mut additionals = Vec::new();
        for (ip, endpoint) in entry.published() {
            let before = targets.len();
            for target in &endpoint.targets {
                if wanted(&target.name, target.protocol) {
                    targets.push((target.port, self.endpoint_name(service, endpoint)));
                }
            }
            if targets.len() > before {
                additionals.push(self.address(&self.endpoint_name(service, endpoint), ip));
            }
        }
        self.srv(&targets, additionals)
    }

    fn srv(&self, targets: &[(u16, Name)], additionals: Vec<Record>) -> Answer {
        if targets.is_empty() {
            return self.no_data();
        }
        let count = u16::try_from(targets.len()).unwrap_or(u16::MAX);
        let weight = (SRV_WEIGHT_SUM / count).max(1);
        let mut answers: Vec<Record> = targets
            .iter()
            .map(|(port, target)| self.record(self.name, RData::SRV(SRV::new(0, weight, *port, target.clone()))))
            .collect();
        self.rotate(&mut answers);
        Answer::Records { answers, additionals }
    }

    fn alias(&self, target: &str) -> Answer {
        let Ok(mut target) = Name::from_ascii(target) else {
            return self.no_data();
        };
        target.set_fqdn(true);
        let alias = self.record(self.name, RData::CNAME(CNAME(target.clone())));
        match self.record_type {
            RecordType::CNAME | RecordType::ANY => self.records(vec![alias]),
            _ => Answer::Alias { alias, target },
        }
    }

    /// A and AAAA records of the name that was asked.
    fn addresses(&self, ips: &[IpAddr]) -> Answer {
        let mut answers: Vec<Record> = ips
            .iter()
            .filter(|ip| match self.record_type {
                RecordType::A => ip.is_ipv4(),
                RecordType::AAAA => ip.is_ipv6(),
                other => other == RecordType::ANY,
            })
            .map(|ip| self.address(self.name, *ip))
            .collect();
        if answers.is_empty() {
            return self.no_data();
        }
        self.rotate(&mut answers);
        self.records(answers)
    }

    fn reverse(&self, lower: &LowerName) -> Answer {
        let Some(asked) = Reverse::parse(lower) else {
            return Answer::Elsewhere;
        };
        let owned = self.index.zone().own_ranges.iter().find(|range| asked.is_in(range));
        let names: Vec<Name> = match asked {
            Reverse::Whole(ip) => self.names_of(ip),
            Reverse::Part(_) => Vec::new(),
        };
        match (names.is_empty(), owned) {
            (false, _) => self.of_type(RecordType::PTR, || {
                names
                    .iter()
                    .map(|name| self.record(self.name, RData::PTR(PTR(name.clone()))))
                    .collect()
            }),
            (true, None) => Answer::Elsewhere,
            (true, Some(range)) => {
                let soa = self.soa(&reverse_apex(range));
                match asked {
                    Reverse::Whole(_) => Answer::NoName { soa },
                    Reverse::Part(_) => Answer::NoData { soa },
                }
            }
        }
    }

    /// A service's own address stands for the service; any other for the endpoints there.
    fn names_of(&self, ip: IpAddr) -> Vec<Name> {
        let services = self.index.at(ip).filter_map(|entry| entry.service.as_ref());
        let own: Vec<Name> = services
            .filter(|service| matches!(&service.stands, Stands::ClusterIps(ips) if ips.contains(&ip)))
            .map(|service| self.service_name(service))
            .collect();
        if !own.is_empty() {
            return own;
        }
        self.index
            .at(ip)
            .filter_map(|entry| {
                let (_, endpoint) = entry.published().find(|(address, _)| *address == ip)?;
                Some(self.endpoint_name(entry.service.as_ref()?, endpoint))
            })
            .collect()
    }

    fn of_type(&self, record_type: RecordType, records: impl FnOnce() -> Vec<Record>) -> Answer {
        if self.record_type == record_type || self.record_type == RecordType::ANY {
            self.records(records())
        } else if self.index.zone().relative(&LowerName::new(self.name)).is_some() {
            self.no_data()
        } else {
            Answer::NoData {
                soa: self.soa(self.name),
            }
        }
    }

    fn records(&self, answers: Vec<Record>) -> Answer {
        Answer::Records {
            answers,
            additionals: Vec::new(),
        }
    }

    fn no_data(&self) -> Answer {
        Answer::NoData { soa: self.zone_soa() }
    }

    fn no_name(&self) -> Answer {
        Answer::NoName { soa: self.zone_soa() }
    }

    fn rotate(&self, records: &mut [Record]) {
        if let Some(by) = self.rotation.checked_rem(records.len()) {
            records.rotate_left(by);
        }
    }

    fn record(&self, owner: &Name, data: RData) -> Record {
        Record::from_rdata(owner.clone(), RECORD_TTL_S, data)
    }

    fn address(&self, owner: &Name, ip: IpAddr) -> Record {
        match ip {
            IpAddr::V4(v4) => self.record(owner, RData::A(A(v4))),
            IpAddr::V6(v6) => self.record(owner, RData::AAAA(AAAA(v6))),
        }
    }

    fn zone_soa(&self) -> Record {
        self.soa(&self.index.zone().domain)
    }

    fn soa(&self, owner: &Name) -> Record {
        let soa = SOA::new(
            self.name_server(),
            self.under_zone(&["hostmaster"]),
            self.index.serial(),
            7_200,
            1_800,
            86_400,
            NEGATIVE_TTL_S,
        );
        Record::from_rdata(owner.clone(), NEGATIVE_TTL_S, RData::SOA(soa))
    }

    fn name_server(&self) -> Name {
        self.under_zone(&["ns", "dns"])
    }

    fn service_name(&self, service: &ServiceNames) -> Name {
        self.under_zone(&[&service.name, &service.namespace, "svc"])
    }

    fn endpoint_name(&self, service: &ServiceNames, endpoint: &EndpointNames) -> Name {
        self.under_zone(&[&endpoint.hostname, &service.name, &service.namespace, "svc"])
    }

    /// The zone's name with labels before it; the zone itself should they make no name, which names of Kubernetes'
    /// objects always do.
    fn under_zone(&self, labels: &[&str]) -> Name {
        let zone = &self.index.zone().domain;
        labels
            .iter()
            .rev()
            .try_fold(zone.clone(), |name, label| name.prepend_label(*label))
            .unwrap_or_else(|_| zone.clone())
    }
}

fn protocol(label: &str) -> Option<Protocol> {
    match label {
        "_tcp" => Some(Protocol::Tcp),
        "_udp" => Some(Protocol::Udp),
        "_sctp" => Some(Protocol::Sctp),
        _ => None,
    }
}

fn has_port(service: &ServiceNames, protocol: Protocol) -> bool {
    service
        .ports
        .iter()
        .any(|port| port.protocol == protocol && !port.name.is_empty())
}

/// The address that `10-42-0-7` or `fd00--7` names.
fn undashed(label: &str) -> Option<IpAddr> {
    let v4 = label.replace('-', ".").parse::<Ipv4Addr>().map(IpAddr::V4);
    let v6 = || label.replace('-', ":").parse::<Ipv6Addr>().map(IpAddr::V6);
    v4.or_else(|_| v6()).ok()
}

/// A name below in-addr.arpa or ip6.arpa.
enum Reverse {
    /// Of an address.
    Whole(IpAddr),
    /// Of the addresses that begin with these bytes, IPv4.
    Part(Vec<u8>),
}

impl Reverse {
    fn parse(lower: &LowerName) -> Option<Reverse> {
        let name: &Name = lower;
        let mut labels = name.iter().rev();
        if labels.next()? != b"arpa" {
            return None;
        }
        match labels.next()? {
            b"in-addr" => {
                let bytes: Vec<u8> = labels.map(octet).collect::<Option<_>>()?;
                match <[u8; 4]>::try_from(bytes.as_slice()) {
                    Ok(whole) => Some(Reverse::Whole(IpAddr::from(whole))),
                    Err(_) if bytes.len() < 4 => Some(Reverse::Part(bytes)),
                    Err(_) => None,
                }
            }
            b"ip6" => {
                let nibbles: Vec<u8> = labels.map(nibble).collect::<Option<_>>()?;
                let mut whole = [0_u8; 16];
                if nibbles.len() != 32 {
                    return None;
                }
                for (byte, pair) in whole.iter_mut().zip(nibbles.chunks_exact(2)) {
                    *byte = pair[0] << 4 | pair[1];
                }
                Some(Reverse::Whole(IpAddr::from(whole)))
            }
            _ => None,
        }
    }

    fn is_in(&self, range: &IpNet) -> bool {
        match self {
            Reverse::Whole(ip) => range.contains(ip),
            Reverse::Part(bytes) => {
                let mut first = [0; 4];
                first[..bytes.len()].copy_from_slice(bytes);
                let whole_octets = usize::from(range.prefix_len() / 8);
                bytes.len() >= whole_octets && range.contains(&IpAddr::from(first))
            }
        }
    }
}

fn octet(label: &[u8]) -> Option<u8> {
    std::str::from_utf8(label).ok()?.parse().ok()
}

fn nibble(label: &[u8]) -> Option<u8> {
    match label {
        [digit @ b'0'..=b'9'] => Some(digit - b'0'),
        [digit @ b'a'..=b'f'] => Some(digit - b'a' + 10),
        _ => None,
    }
}

/// The shortest reverse name all of whose addresses are in the range, or the nearest above it: `42.10.in-addr.arpa.`
fn reverse_apex(range: &IpNet) -> Name {
    let labels: Vec<String> = match range {
        IpNet::V4(v4) => {
            let octets = v4.network().octets();
            octets[..usize::from(v4.prefix_len() / 8)]
                .iter()
                .rev()
                .map(u8::to_string)
                .chain(["in-addr".to_owned(), "arpa".to_owned()])
                .collect()
        }
        IpNet::V6(v6) => {
            let nibbles = v6.network().octets().map(|byte| [byte >> 4, byte & 15]).concat();
            nibbles[..usize::from(v6.prefix_len() / 4)]
                .iter()
                .rev()
                .map(|nibble| format!("{nibble:x}"))
                .chain(["ip6".to_owned(), "arpa".to_owned()])
                .collect()
        }
    };
    let mut name = Name::from_ascii(labels.join(".")).unwrap_or_else(|_| Name::root());
    name.set_fqdn(true);
    name
}

#[cfg(test)]
mod tests;
