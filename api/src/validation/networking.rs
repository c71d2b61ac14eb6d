//! `networking.k8s.io`: ingresses, their classes, network policies, service addresses.
//!
//! Source: `pkg/apis/networking/validation` of Kubernetes, by behaviour.

use std::net::IpAddr;

use ipnet::IpNet;

use super::{
    at::At,
    checks::{PROTOCOLS, ip_address, named, named_if_set, one_of, port_number, port_number_or_name, required},
    error::FieldError,
    names, same,
    selectors::label_selector,
};

const PATH_TYPES: [&str; 3] = ["Exact", "ImplementationSpecific", "Prefix"];
const PATH_SEQUENCES: [&str; 5] = ["//", "/./", "/../", "%2f", "%2F"];
const PATH_ENDS: [&str; 2] = ["/..", "/."];
const CONTROLLER_BYTES_MAX: usize = 250;
const CIDR: &str = "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)";

pub(super) fn create(kind: &str, root: &At<'_>, errors: &mut Vec<FieldError>) {
    let spec = root.field("spec");
    match kind {
        "Ingress" => ingress(&spec, errors),
        "IngressClass" => ingress_class(&spec, errors),
        "IPAddress" => ip(root, errors),
        "NetworkPolicy" => network_policy(&spec, errors),
        "ServiceCIDR" => service_cidr(&spec.field("cidrs"), errors),
        _ => {}
    }
}

pub(super) fn update(kind: &str, root: &At<'_>, before: &At<'_>, errors: &mut Vec<FieldError>) {
    let (spec, old) = (root.field("spec"), before.field("spec"));
    match kind {
        "IPAddress" => same(&spec.field("parentRef"), &old.field("parentRef"), errors),
        "IngressClass" => {
            ingress_class(&spec, errors);
            same(&spec.field("controller"), &old.field("controller"), errors);
        }
        "ServiceCIDR" => same(&spec.field("cidrs"), &old.field("cidrs"), errors),
        _ => create(kind, root, errors),
    }
}

fn ingress(spec: &At<'_>, errors: &mut Vec<FieldError>) {
    let (rules, default) = (spec.field("rules"), spec.field("defaultBackend"));
    if rules.count() == 0 && !default.is_set() {
        errors.push(spec.invalid("either `defaultBackend` or `rules` must be specified"));
    }
    for rule in rules.items() {
        host(&rule.field("host"), errors);
        let http = rule.field("http");
        if !http.is_set() {
            continue;
        }
        required(&http.field("paths"), errors);
        for path in http.field("paths").items() {
            self::path(&path, errors);
            backend(&path.field("backend"), errors);
        }
    }
    for tls in spec.field("tls").items() {
        tls.field("hosts").items().for_each(|name| host(&name, errors));
        named_if_set(&tls.field("secretName"), names::dns_subdomain, errors);
    }
    if default.is_set() {
        backend(&default, errors);
    }
    named_if_set(&spec.field("ingressClassName"), names::dns_subdomain, errors);
}

fn host(at: &At<'_>, errors: &mut Vec<FieldError>) {
    let name = at.text();
    if name.parse::<IpAddr>().is_ok() {
        errors.push(at.invalid("must be a DNS name, not an IP address"));
    } else if let Some(rest) = name.strip_prefix("*.") {
        if names::dns_subdomain(rest).is_err() {
            let reason = "a wildcard DNS-1123 subdomain must start with '*.', followed by a valid DNS subdomain, which \
                          must consist of lower case alphanumeric characters, '-' or '.' and end with an alphanumeric \
                          character (e.g. '*.example.com', regex used for validation is \
                          '\\*\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')";
            errors.push(at.invalid(reason));
        }
    } else {
        named_if_set(at, names::dns_subdomain, errors);
    }
}

fn path(at: &At<'_>, errors: &mut Vec<FieldError>) {
    let (kind, path) = (at.field("pathType"), at.field("path"));
    match kind.text() {
        "" => errors.push(kind.required("pathType must be specified")),
        "ImplementationSpecific" => {
            if !path.is_empty() && !path.text().starts_with('/') {
                errors.push(path.invalid("must be an absolute path"));
            }
        }
        "Exact" | "Prefix" => {
            if !path.text().starts_with('/') {
                errors.push(path.invalid("must be an absolute path"));
            }
            for sequence in PATH_SEQUENCES
                .iter()
                .filter(|sequence| path.text().contains(**sequence))
            {
                errors.push(path.invalid(format!("must not contain '{sequence}'")));
            }
            for end in PATH_ENDS.iter().filter(|end| path.text().ends_with(**end)) {
                errors.push(path.invalid(format!("cannot end with '{end}'")));
            }
        }
        _ => errors.push(kind.not_supported(&PATH_TYPES)),
    }
}

fn backend(at: &At<'_>, errors: &mut Vec<FieldError>) {
    let (service, resource) = (at.field("service"), at.field("resource"));
    let refuse = |reason: &str| FieldError::invalid(at.path.clone(), "", reason);
    match (service.is_set(), resource.is_set()) {
        (true, true) => errors.push(refuse("cannot set both resource and service backends")),
        (false, true) => {
            required(&resource.field("kind"), errors);
            required(&resource.field("name"), errors);
        }
        (true, false) => {
            let name = service.field("name");
            if required(&name, errors) {
                named(&name, names::dns_1035_label, errors);
            }
            let (name, number) = (
                service.field("port").field("name"),
                service.field("port").field("number"),
            );
            let has_number = number.number().is_some_and(|number| number != 0);
            match (!name.is_empty(), has_number) {
                (true, true) => errors.push(refuse("cannot set both port name & port number")),
                (true, false) => {
                    named(&name, names::port_name, errors);
                }
                (false, true) => port_number(&number, errors),
                (false, false) => errors.push(at.required("port name or number is required")),
            }
        }
        (false, false) => {}
    }
}

fn ingress_class(spec: &At<'_>, errors: &mut Vec<FieldError>) {
    let controller = spec.field("controller");
    if controller.text().len() > CONTROLLER_BYTES_MAX {
        errors.push(FieldError::too_long(controller.path.clone(), CONTROLLER_BYTES_MAX));
    }
    if required(&controller, errors) {
        match controller.text().split_once('/') {
            Some((domain, path)) if !domain.is_empty() && !path.is_empty() => {
                if let Err(reason) = names::dns_subdomain(domain) {
                    errors.push(controller.invalid(reason));
                }
            }
            _ => {
                let reason = "must be a domain-prefixed path (such as \"acme.io/foo\")";
                errors.push(controller.invalid(reason));
            }
        }
    }
    let parameters = spec.field("parameters");
    if !parameters.is_set() {
        return;
    }
    required(&parameters.field("kind"), errors);
    required(&parameters.field("name"), errors);
    let (scope, namespace) = (parameters.field("scope"), parameters.field("namespace"));
    one_of(&scope, &["Cluster", "Namespace"], errors);
    match (scope.text(), namespace.is_empty()) {
        ("Namespace", true) => errors.push(namespace.required("`parameters.scope` is set to 'Namespace'")),
        ("Cluster", false) => errors.push(namespace.forbidden("`parameters.scope` is set to 'Cluster'")),
        _ => {}
    }
}

fn network_policy(spec: &At<'_>, errors: &mut Vec<FieldError>) {
    label_selector(&spec.field("podSelector"), errors);
    for (direction, peers) in [("ingress", "from"), ("egress", "to")] {
        for rule in spec.field(direction).items() {
            rule.field("ports").items().for_each(|port| policy_port(&port, errors));
            rule.field(peers).items().for_each(|peer| policy_peer(&peer, errors));
        }
    }
    let types = spec.field("policyTypes");
    if types.count() > 2 {
        errors.push(types.invalid("may not specify more than two policyTypes"));
        return;
    }
    for kind in types.items() {
        if !["Egress", "Ingress"].contains(&kind.text()) {
            errors.push(kind.not_supported(&["Egress", "Ingress"]));
        }
    }
}

fn policy_port(at: &At<'_>, errors: &mut Vec<FieldError>) {
    let (protocol, port, end) = (at.field("protocol"), at.field("port"), at.field("endPort"));
    if !protocol.is_empty() && !PROTOCOLS.contains(&protocol.text()) {
        errors.push(protocol.not_supported(&PROTOCOLS));
    }
    if port.is_set() {
        port_number_or_name(&port, errors);
    }
    let Some(last) = end.number() else { return };
    match port.number() {
        _ if !port.is_set() => errors.push(end.required("must specify `port` when `endPort` is specified")),
        None => errors.push(end.invalid("may not be specified when `port` is non-numeric")),
        Some(first) if last < first => errors.push(end.invalid("must be greater than or equal to `port`")),
        Some(_) => port_number(&end, errors),
    }
}

fn policy_peer(at: &At<'_>, errors: &mut Vec<FieldError>) {
    let (pods, spaces, block) = (
        at.field("podSelector"),
        at.field("namespaceSelector"),
        at.field("ipBlock"),
    );
    for selector in [&pods, &spaces] {
        if selector.is_set() {
            label_selector(selector, errors);
        }
    }
    let selects = pods.is_set() || spaces.is_set();
    match (selects, block.is_set()) {
        (false, false) => errors.push(at.required("must specify a peer")),
        (true, true) => errors.push(at.forbidden("may not specify both ipBlock and another peer")),
        (false, true) => ip_block(&block, errors),
        (true, false) => {}
    }
}

fn ip_block(at: &At<'_>, errors: &mut Vec<FieldError>) {
    let cidr = at.field("cidr");
    if !required(&cidr, errors) {
        return;
    }
    let Ok(range) = cidr.text().parse::<IpNet>() else {
        errors.push(cidr.invalid(CIDR));
        return;
    };
    for except in at.field("except").items() {
        match except.text().parse::<IpNet>() {
            Err(_) => errors.push(except.invalid(CIDR)),
            Ok(inner) if !range.contains(&inner) || inner.prefix_len() <= range.prefix_len() => {
                errors.push(except.invalid("must be a strict subset of `cidr`"));
            }
            Ok(_) => {}
        }
    }
}

/// The object's name is the address, in its one canonical form.
fn ip(root: &At<'_>, errors: &mut Vec<FieldError>) {
    let name = root.field("metadata").field("name");
    if let Some(ip) = ip_address(&name, errors)
        && ip.to_string() != name.text()
    {
        errors.push(name.invalid(format!("must be in canonical form (\"{ip}\")")));
    }
    let parent = root.field("spec").field("parentRef");
    if required(&parent, errors) {
        required(&parent.field("resource"), errors);
        required(&parent.field("name"), errors);
    }
}

fn service_cidr(ranges: &At<'_>, errors: &mut Vec<FieldError>) {
    if ranges.count() == 0 {
        errors.push(ranges.required("at least one CIDR required"));
        return;
    }
    if ranges.count() > 2 {
        errors.push(ranges.invalid("may only hold up to 2 values"));
        return;
    }
    let mut families = Vec::new();
    for range in ranges.items() {
        match range.text().parse::<IpNet>() {
            Ok(net) => families.push(net.addr().is_ipv6()),
            Err(_) => errors.push(range.invalid(CIDR)),
        }
    }
    if let [one, other] = families[..]
        && one == other
    {
        errors.push(
            ranges.invalid("may specify no more than one IP for each IP family, i.e 192.168.0.0/24 and 2001:db8::/64"),
        );
    }
}
