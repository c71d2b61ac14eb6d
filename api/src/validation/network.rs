//! Endpoint slices, and endpoints as they were before.

use std::{collections::BTreeSet, net::IpAddr};

use super::{
    at::At,
    checks::{PROTOCOLS, ip_address, named, named_if_set, one_of, port_number},
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

pub(super) fn endpoints(root: &At<'_>, errors: &mut Vec<FieldError>) {
    for subset in root.field("subsets").items() {
        let lists = [subset.field("addresses"), subset.field("notReadyAddresses")];
        if lists.iter().all(|list| list.count() == 0) {
            errors.push(subset.required("must specify `addresses` or `notReadyAddresses`"));
        }
        for address in lists.iter().flat_map(At::items) {
            let ip = address.field("ip");
            if let Some(parsed) = ip_address(&ip, errors)
                && let Some(reason) = special(parsed, ip.text())
            {
                errors.push(ip.invalid(reason));
            }
            named_if_set(&address.field("hostname"), names::dns_label, errors);
            named_if_set(&address.field("nodeName"), names::dns_subdomain, errors);
        }
        let ports = subset.field("ports");
        for port in ports.items() {
            let name = port.field("name");
            if name.is_empty() && ports.count() > 1 {
                errors.push(name.required(""));
            }
            named_if_set(&name, names::dns_label, errors);
            port_number(&port.field("port"), errors);
            one_of(&port.field("protocol"), &PROTOCOLS, errors);
            named_if_set(&port.field("appProtocol"), names::label_key, errors);
        }
    }
}

/// Why no endpoint can have this address, if none can.
fn special(ip: IpAddr, text: &str) -> Option<String> {
    let (is_link_local, is_local_multicast) = match ip {
        IpAddr::V4(ip) => (ip.is_link_local(), ip.octets()[..3] == [224, 0, 0]),
        IpAddr::V6(ip) => (ip.segments()[0] & 0xffc0 == 0xfe80, ip.segments()[0] & 0xff0f == 0xff02),
    };
    if ip.is_unspecified() {
        return Some(format!("may not be unspecified ({text})"));
    }
    if ip.is_loopback() {
        return Some("may not be in the loopback range (127.0.0.0/8, ::1/128)".to_owned());
    }
    if is_link_local {
        return Some("may not be in the link-local range (169.254.0.0/16, fe80::/10)".to_owned());
    }
    is_local_multicast.then(|| "may not be in the link-local multicast range (224.0.0.0/24, ff02::/10)".to_owned())
}
