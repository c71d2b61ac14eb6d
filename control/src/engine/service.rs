//! Addresses and node ports of services: who has which, and what a service gets.
//!
//! The truth is one record per address and port in the store, written in the same command as the service, so that two
//! services can never have the same. What is kept here in memory only says where to look first; a wrong guess costs a
//! retry. Never here: forwarding.
//! Source: Kubernetes, "Service ClusterIP allocation" and "NodePort allocation" (static and dynamic band).

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    ops::RangeInclusive,
};

use api::validation::FieldError;
use bytes::Bytes;
use ipnet::IpNet;
use parking_lot::Mutex;
use serde_json::{Map, Value, json};

use super::object::child_mut;
use crate::store::{CommitError, Expect, ListRequest, Op, ReadError, Store, StoreKey, Write};

/// Collection of the records of taken service addresses; not an API resource.
pub const ADDRESS_RECORDS: &str = "skep.internal/clusterips";
/// Collection of the records of taken node ports; not an API resource.
pub const PORT_RECORDS: &str = "skep.internal/nodeports";
/// Addresses at the start of the range that are given only to services that ask for them, at most.
const STATIC_ADDRESSES_MAX: u128 = 256;
/// The same for ports.
const STATIC_PORTS_MAX: usize = 128;

/// What one service holds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Claims {
    addresses: BTreeSet<IpAddr>,
    ports: BTreeSet<u16>,
}

/// The difference between what a service held and what it is to hold, and where its fields ask for it.
#[derive(Debug, Clone, Default)]
pub(super) struct ClaimChange {
    gained: Claims,
    lost: Claims,
    /// Field paths of what the service itself asked for; what is missing here was picked by us.
    asked: BTreeMap<StoreKey, FieldError>,
}

/// Why a write of claims failed.
pub(super) enum ClaimConflict {
    /// Somebody has what the service asked for by name.
    Taken(Box<FieldError>),
    /// Somebody has what we picked; pick again.
    PickAgain,
    /// The conflict is about something else.
    Elsewhere,
}

/// Chooses addresses and ports.
pub(super) struct Allocator {
    range: IpNet,
    reserved: Vec<IpAddr>,
    ports: RangeInclusive<u16>,
    taken: Mutex<Claims>,
}

impl Allocator {
    /// An allocator that has read which records are there.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub(super) fn open(
        store: &Store,
        range: IpNet,
        reserved: Vec<IpAddr>,
        ports: RangeInclusive<u16>,
    ) -> Result<Allocator, ReadError> {
        let names = |collection: &str| -> Result<Vec<String>, ReadError> {
            let page = store.list(&ListRequest {
                collection: collection.to_owned(),
                ..ListRequest::default()
            })?;
            Ok(page.items.into_iter().map(|item| item.key.name).collect())
        };
        let taken = Claims {
            addresses: names(ADDRESS_RECORDS)?
                .iter()
                .filter_map(|name| name.parse().ok())
                .collect(),
            ports: names(PORT_RECORDS)?
                .iter()
                .filter_map(|name| name.parse().ok())
                .collect(),
        };
        Ok(Allocator {
            range,
            reserved,
            ports,
            taken: Mutex::new(taken),
        })
    }

    /// Completes a new version of a service with addresses and ports and says what changes hands.
    /// `seed` spreads the choices.
    ///
    /// # Errors
    /// The faults of what the service asks for, or that nothing is free.
    pub(super) fn change(
        &self,
        old: Option<&Value>,
        new: &mut Value,
        seed: u64,
    ) -> Result<ClaimChange, Vec<FieldError>> {
        let held = old.map(claims).unwrap_or_default();
        let mut errors = Vec::new();
        let mut change = ClaimChange::default();
        if needs_address(new) {
            self.address(&held, new, seed, &mut change, &mut errors);
        }
        if needs_ports(new) {
            self.node_ports(&held, new, seed, &mut change, &mut errors);
        }
        if !errors.is_empty() {
            return Err(errors);
        }
        let wanted = claims(new);
        change.gained = wanted.without(&held);
        change.lost = held.without(&wanted);
        Ok(change)
    }

    /// What changes hands when the service goes.
    pub(super) fn release(&self, old: &Value) -> ClaimChange {
        ClaimChange {
            lost: claims(old),
            ..ClaimChange::default()
        }
    }

    /// The change was written.
    pub(super) fn committed(&self, change: &ClaimChange) {
        let mut taken = self.taken.lock();
        taken.addresses.extend(&change.gained.addresses);
        taken.ports.extend(&change.gained.ports);
        for address in &change.lost.addresses {
            taken.addresses.remove(address);
        }
        for port in &change.lost.ports {
            taken.ports.remove(port);
        }
    }

    /// The change was refused by the store.
    pub(super) fn refused(&self, change: &ClaimChange, error: &CommitError) -> ClaimConflict {
        let CommitError::Conflict { key, .. } = error else {
            return ClaimConflict::Elsewhere;
        };
        let mut taken = self.taken.lock();
        match key.collection.as_str() {
            ADDRESS_RECORDS => taken.addresses.extend(key.name.parse::<IpAddr>()),
            PORT_RECORDS => taken.ports.extend(key.name.parse::<u16>()),
            _ => return ClaimConflict::Elsewhere,
        }
        match change.asked.get(key) {
            Some(error) => ClaimConflict::Taken(Box::new(error.clone())),
            None => ClaimConflict::PickAgain,
        }
    }

    fn address(
        &self,
        held: &Claims,
        new: &mut Value,
        seed: u64,
        change: &mut ClaimChange,
        errors: &mut Vec<FieldError>,
    ) {
        let spec = child_mut(new, "spec");
        let asked = first_address(spec);
        let ip = match asked.as_deref() {
            Some("None") => return set_addresses(spec, "None"),
            Some(text) => match self.check_address(text) {
                Ok(ip) => {
                    if !held.addresses.contains(&ip) {
                        let error = address_error(text, "provided IP is already allocated");
                        change.asked.insert(address_key(ip), error);
                    }
                    ip
                }
                Err(error) => return errors.push(error),
            },
            None => match self.pick_address(seed) {
                Some(ip) => ip,
                None => {
                    let detail = "failed to allocate a serviceIP: range is full";
                    return errors.push(FieldError::invalid("spec.clusterIPs", json!([]), detail));
                }
            },
        };
        set_addresses(spec, &ip.to_string());
    }

    fn check_address(&self, text: &str) -> Result<IpAddr, FieldError> {
        let range = self.range;
        let outside = || {
            let detail = format!(
                "the provided network does not match the current range: the provided IP ({text}) is not in the valid \
                 range. The range of valid IPs is {range}"
            );
            address_error(text, &detail)
        };
        let ip: IpAddr = text.parse().map_err(|_| outside())?;
        if !range.contains(&ip) || ip == range.network() || ip == range.broadcast() {
            return Err(outside());
        }
        Ok(ip)
    }

    /// A free address, from the part of the range that nobody asks for by name as long as there is one.
    fn pick_address(&self, seed: u64) -> Option<IpAddr> {
        let first = number(self.range.network()) + 1;
        let last = number(self.range.broadcast()).saturating_sub(1);
        let size = (last + 1).saturating_sub(first);
        let offset = (size / 16).clamp(16, STATIC_ADDRESSES_MAX).min(size / 2);
        let taken = self.taken.lock();
        let free = |n: &u128| {
            let ip = address(*n, self.range);
            !taken.addresses.contains(&ip) && !self.reserved.contains(&ip)
        };
        let start = first + offset;
        let from = start + u128::from(seed) % (last + 1).saturating_sub(start).max(1);
        (from..=last)
            .chain(start..from)
            .chain(first..start)
            .find(free)
            .map(|n| address(n, self.range))
    }

    fn node_ports(
        &self,
        held: &Claims,
        new: &mut Value,
        seed: u64,
        change: &mut ClaimChange,
        errors: &mut Vec<FieldError>,
    ) {
        let Some(list) = new["spec"]["ports"].as_array_mut() else {
            return;
        };
        let mut own: BTreeSet<(u16, String)> = BTreeSet::new();
        for (index, port) in list.iter().enumerate() {
            // Also a number that no port can have; 0 asks for any.
            let asked = port["nodePort"].as_i64().filter(|number| *number != 0);
            let Some(asked) = asked else { continue };
            let field = format!("spec.ports[{index}].nodePort");
            let fault = |detail: String| FieldError::invalid(field.clone(), asked, detail);
            let range = &self.ports;
            let Some(number) = node_port(port).filter(|number| range.contains(number)) else {
                errors.push(fault(format!(
                    "provided port is not in the valid range. The range of valid ports is {}-{}",
                    range.start(),
                    range.end()
                )));
                continue;
            };
            if !own.insert((number, protocol(port))) {
                errors.push(fault("provided port is already allocated".to_owned()));
            } else if !held.ports.contains(&number) {
                change
                    .asked
                    .insert(port_key(number), fault("provided port is already allocated".to_owned()));
            }
        }
        let mut used: BTreeSet<u16> = own.iter().map(|(number, _)| *number).collect();
        for (index, port) in list.iter_mut().enumerate() {
            if node_port(port).is_some() || !port.is_object() {
                continue;
            }
            let Some(number) = self.pick_port(seed, &used) else {
                let field = format!("spec.ports[{index}].nodePort");
                errors.push(FieldError::invalid(
                    field,
                    0,
                    "failed to allocate a nodePort: range is full",
                ));
                continue;
            };
            used.insert(number);
            port["nodePort"] = json!(number);
        }
    }

    fn pick_port(&self, seed: u64, used: &BTreeSet<u16>) -> Option<u16> {
        let (first, last) = (*self.ports.start(), *self.ports.end());
        let size = usize::from(last.saturating_sub(first)) + 1;
        let offset = (size / 32).clamp(16, STATIC_PORTS_MAX).min(size / 2);
        let start = first + u16::try_from(offset).expect("the static band is at most 128");
        let from = start + u16::try_from(seed % u64::from((last - start).max(1))).expect("below a 16-bit modulus");
        let taken = self.taken.lock();
        (from..=last)
            .chain(start..from)
            .chain(first..start)
            .find(|port| !taken.ports.contains(port) && !used.contains(port))
    }
}

impl ClaimChange {
    /// The writes that make the change, for the service `namespace/name`.
    pub(super) fn writes(&self, namespace: &str, name: &str) -> Vec<Write> {
        let record = Bytes::from(json!({ "namespace": namespace, "service": name }).to_string());
        let keys = |claims: &Claims| -> Vec<StoreKey> {
            let addresses = claims.addresses.iter().map(|ip| address_key(*ip));
            addresses
                .chain(claims.ports.iter().map(|port| port_key(*port)))
                .collect()
        };
        let gained = keys(&self.gained).into_iter().map(|key| Write {
            key,
            expect: Expect::Absent,
            op: Op::Put(record.clone()),
        });
        let lost = keys(&self.lost).into_iter().map(|key| Write {
            key,
            expect: Expect::Anything,
            op: Op::Delete,
        });
        gained.chain(lost).collect()
    }
}

impl Claims {
    fn without(&self, other: &Claims) -> Claims {
        Claims {
            addresses: self.addresses.difference(&other.addresses).copied().collect(),
            ports: self.ports.difference(&other.ports).copied().collect(),
        }
    }
}

/// What a stored service holds.
fn claims(service: &Value) -> Claims {
    let spec = &service["spec"];
    let mut claims = Claims::default();
    if needs_address(service) {
        let list = spec["clusterIPs"].as_array().into_iter().flatten();
        claims.addresses = list
            .chain([&spec["clusterIP"]])
            .filter_map(|ip| ip.as_str()?.parse().ok())
            .collect();
    }
    if needs_ports(service) {
        let list = spec["ports"].as_array().into_iter().flatten();
        claims.ports = list.filter_map(node_port).collect();
    }
    claims
}

/// Takes over what the new version leaves open and still needs, and drops what it no longer needs. To be done before
/// validation, which refuses to lose an address.
pub(super) fn carry_over(old: &Value, new: &mut Value) {
    let needs_address_now = needs_address(new);
    let needs_ports_now = needs_ports(new);
    let (had_address, had_ports) = (needs_address(old), needs_ports(old));
    let is_balanced = service_type(new) == "LoadBalancer";
    let is_reached_from_outside = is_reached_from_outside(new);
    let spec = child_mut(new, "spec");
    for (field, is_needed) in [
        ("externalTrafficPolicy", is_reached_from_outside),
        ("healthCheckNodePort", is_balanced),
        ("allocateLoadBalancerNodePorts", is_balanced),
        ("loadBalancerClass", is_balanced),
    ] {
        if !is_needed && spec.get(field) == old["spec"].get(field) {
            spec.remove(field);
        }
    }
    if needs_address_now && had_address && first_address(spec).is_none() {
        for field in ["clusterIP", "clusterIPs"] {
            spec.insert(field.to_owned(), old["spec"][field].clone());
        }
    }
    if !needs_address_now {
        for field in [
            "clusterIP",
            "clusterIPs",
            "ipFamilies",
            "ipFamilyPolicy",
            "internalTrafficPolicy",
        ] {
            spec.remove(field);
        }
    }
    let Some(ports) = spec.get_mut("ports").and_then(Value::as_array_mut) else {
        return;
    };
    for port in ports {
        let before = old["spec"]["ports"]
            .as_array()
            .into_iter()
            .flatten()
            .find(|other| other["port"] == port["port"] && protocol(other) == protocol(port));
        let before = before.and_then(node_port);
        if needs_ports_now {
            if let (true, None, Some(number)) = (had_ports, node_port(port), before) {
                port["nodePort"] = json!(number);
            }
        } else if before.is_some() && node_port(port) == before {
            port.as_object_mut().map(|fields| fields.remove("nodePort"));
        }
    }
}

fn service_type(service: &Value) -> &str {
    service["spec"]["type"].as_str().unwrap_or("ClusterIP")
}

/// Whether a policy for traffic from outside means anything.
fn is_reached_from_outside(service: &Value) -> bool {
    let external_ips = service["spec"]["externalIPs"].as_array();
    match service_type(service) {
        "NodePort" | "LoadBalancer" => true,
        "ClusterIP" => external_ips.is_some_and(|list| !list.is_empty()),
        _ => false,
    }
}

fn needs_address(service: &Value) -> bool {
    service_type(service) != "ExternalName"
}

fn needs_ports(service: &Value) -> bool {
    match service_type(service) {
        "NodePort" => true,
        "LoadBalancer" => service["spec"]["allocateLoadBalancerNodePorts"] != json!(false),
        _ => false,
    }
}

/// What the service asks for: an address, `None`, or nothing.
fn first_address(spec: &Map<String, Value>) -> Option<String> {
    let single = spec.get("clusterIP").and_then(Value::as_str);
    let first = spec
        .get("clusterIPs")
        .and_then(|list| list.get(0))
        .and_then(Value::as_str);
    single
        .filter(|ip| !ip.is_empty())
        .or(first.filter(|ip| !ip.is_empty()))
        .map(str::to_owned)
}

fn set_addresses(spec: &mut Map<String, Value>, ip: &str) {
    spec.insert("clusterIP".to_owned(), json!(ip));
    spec.insert("clusterIPs".to_owned(), json!([ip]));
    let family = if ip.contains(':') { "IPv6" } else { "IPv4" };
    if spec.get("ipFamilies").is_none_or(|list| list.get(0).is_none()) {
        spec.insert("ipFamilies".to_owned(), json!([family]));
    }
    if spec.get("ipFamilyPolicy").is_none_or(Value::is_null) {
        spec.insert("ipFamilyPolicy".to_owned(), json!("SingleStack"));
    }
}

fn node_port(port: &Value) -> Option<u16> {
    port["nodePort"]
        .as_u64()
        .and_then(|number| u16::try_from(number).ok())
        .filter(|number| *number != 0)
}

fn protocol(port: &Value) -> String {
    port["protocol"].as_str().unwrap_or("TCP").to_owned()
}

fn address_error(text: &str, detail: &str) -> FieldError {
    FieldError::invalid(
        "spec.clusterIPs",
        json!([text]),
        format!("failed to allocate IP {text}: {detail}"),
    )
}

fn address_key(ip: IpAddr) -> StoreKey {
    StoreKey::new(ADDRESS_RECORDS, "", ip.to_string())
}

fn port_key(port: u16) -> StoreKey {
    StoreKey::new(PORT_RECORDS, "", port.to_string())
}

fn number(ip: IpAddr) -> u128 {
    match ip {
        IpAddr::V4(v4) => u128::from(u32::from(v4)),
        IpAddr::V6(v6) => u128::from(v6),
    }
}

fn address(n: u128, range: IpNet) -> IpAddr {
    match range {
        IpNet::V4(_) => IpAddr::V4(u32::try_from(n).expect("inside an IPv4 range").into()),
        IpNet::V6(_) => IpAddr::V6(n.into()),
    }
}

#[cfg(test)]
mod tests;
