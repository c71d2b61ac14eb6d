//! Endpoint slices.

use std::{collections::BTreeSet, net::IpAddr};

use super::{
    at::At,
    checks::{PROTOCOLS, named, named_if_set, one_of, port_number},
    error::FieldError,
    names,
};

const ENDPOINTS_MAX: usize = 1000;
const PORTS_MAX: usize = 20_000;
const ADDRESSES_MAX: usize = 100;

pub(super) fn endpoint_slice(root: &At<'_>, errors: &mut Vec<FieldError>) {
    let kind = root.field("addressType");
    one_of(&kind, &["FQDN", "IPv4", "IPv6"], errors);
    let endpoints = root.field("endpoints");
    if endpoints.count() > ENDPOINTS_MAX {
        errors.push(FieldError::too_many(
            endpoints.path.clone(),
            endpoints.count(),
            ENDPOINTS_MAX,
        ));
        return;
    }
    for endpoint in endpoints.items() {
        let addresses = endpoint.field("addresses");
        if addresses.count() == 0 {
            let reason = "must contain at least 1 address";
            errors.push(addresses.required(reason));
        }
        if addresses.count() > ADDRESSES_MAX {
            errors.push(FieldError::too_many(
                addresses.path.clone(),
                addresses.count(),
                ADDRESSES_MAX,
            ));
            continue;
        }
        for address in addresses.items() {
            endpoint_address(kind.text(), &address, errors);
        }
        named_if_set(&endpoint.field("hostname"), names::dns_label, errors);
        named_if_set(&endpoint.field("nodeName"), names::dns_subdomain, errors);
    }
    let ports = root.field("ports");
    if ports.count() > PORTS_MAX {
        errors.push(FieldError::too_many(ports.path.clone(), ports.count(), PORTS_MAX));
        return;
    }
    let mut seen: BTreeSet<&str> = BTreeSet::new();
    for port in ports.items() {
        let name = port.field("name");
        named_if_set(&name, names::dns_label, errors);
        if !seen.insert(name.text()) {
            errors.push(name.duplicate());
        }
        one_of(&port.field("protocol"), &PROTOCOLS, errors);
        if port.field("port").is_set() {
            port_number(&port.field("port"), errors);
        }
    }
}

fn endpoint_address(kind: &str, address: &At<'_>, errors: &mut Vec<FieldError>) {
    let ip = address.text().parse::<IpAddr>();
    let reason = match (kind, ip) {
        ("IPv4", Ok(IpAddr::V4(ip))) => unusable(ip.is_unspecified(), ip.is_loopback(), ip.is_multicast()),
        ("IPv6", Ok(IpAddr::V6(ip))) => unusable(ip.is_unspecified(), ip.is_loopback(), ip.is_multicast()),
        ("IPv4", _) => Some("must be an IPv4 address"),
        ("IPv6", _) => Some("must be an IPv6 address"),
        ("FQDN", _) => {
            named(address, names::dns_subdomain, errors);
            None
        }
        _ => None,
    };
    if let Some(reason) = reason {
        errors.push(address.invalid(reason));
    }
}

fn unusable(unspecified: bool, loopback: bool, multicast: bool) -> Option<&'static str> {
    match (unspecified, loopback, multicast) {
        (true, _, _) => Some("may not be unspecified (0.0.0.0 or ::)"),
        (_, true, _) => Some("may not be in the loopback range (127.0.0.0/8, ::1/128)"),
        (_, _, true) => Some("may not be in the link-local multicast range (224.0.0.0/24, ff02::/10)"),
        (false, false, false) => None,
    }
}
