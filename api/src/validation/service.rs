//! Services.

use ipnet::IpNet;
use serde_json::json;

use super::{
    IMMUTABLE,
    at::At,
    checks::{
        PROTOCOLS, ip_address, labels, named, named_if_set, one_of, one_of_if_set, port_number, port_number_or_name,
        required, unique_field,
    },
    error::FieldError,
    names,
};

const TYPES: [&str; 4] = ["ClusterIP", "ExternalName", "LoadBalancer", "NodePort"];
/// Longest time that a client sticks to a backend: a day.
const AFFINITY_SECONDS_MAX: i64 = 86_400;
const POLICIES: [&str; 2] = ["Cluster", "Local"];

pub(super) fn create(root: &At<'_>, errors: &mut Vec<FieldError>) {
    let spec = root.field("spec");
    let kind = spec.field("type");
    one_of(&kind, &TYPES, errors);
    ports(&spec, errors);
    addresses(&spec, errors);
    if kind.text() == "ExternalName" {
        external_name(&spec.field("externalName"), errors);
    }
    labels(&spec.field("selector"), errors);
    one_of(&spec.field("sessionAffinity"), &["ClientIP", "None"], errors);
    affinity(&spec, errors);
    policies(&spec, errors);
    for ip in spec.field("externalIPs").items() {
        if let Some(parsed) = ip_address(&ip, errors)
            && (parsed.is_unspecified() || parsed.is_loopback())
        {
            let reason = if parsed.is_loopback() {
                "may not be in the loopback range (127.0.0.0/8, ::1/128)"
            } else {
                "may not be unspecified (0.0.0.0 or ::)"
            };
            errors.push(ip.invalid(reason));
        }
    }
    only_balanced(&spec, errors);
    for range in spec.field("loadBalancerSourceRanges").items() {
        if range.text().trim().parse::<IpNet>().is_err() {
            let reason = "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)";
            errors.push(range.invalid(reason));
        }
    }
}

pub(super) fn update(new: &At<'_>, old: &At<'_>, errors: &mut Vec<FieldError>) {
    create(new, errors);
    let (after, before) = (new.field("spec"), old.field("spec"));
    let has_address = |spec: &At<'_>| spec.field("type").text() != "ExternalName";
    let (address, was) = (first_address(&after), first_address(&before));
    if has_address(&after) && has_address(&before) && !address.is_empty() && !was.is_empty() && address != was {
        let path = format!("{}[0]", after.path_of("clusterIPs"));
        errors.push(FieldError::invalid(path, json!([address]), "may not change once set"));
    }
    let is_balanced = |spec: &At<'_>| spec.field("type").text() == "LoadBalancer";
    let class = after.field("loadBalancerClass");
    if is_balanced(&after) && is_balanced(&before) && class.value != before.field("loadBalancerClass").value {
        errors.push(class.invalid(IMMUTABLE));
    }
}

/// What only makes sense with a load balancer.
fn only_balanced(spec: &At<'_>, errors: &mut Vec<FieldError>) {
    let is_balanced = spec.field("type").text() == "LoadBalancer";
    for field in [
        "allocateLoadBalancerNodePorts",
        "loadBalancerClass",
        "loadBalancerSourceRanges",
    ] {
        let at = spec.field(field);
        if !is_balanced && at.is_set() {
            errors.push(at.forbidden("may only be used when `type` is 'LoadBalancer'"));
        }
    }
    named_if_set(&spec.field("loadBalancerClass"), names::label_key, errors);
    let port = spec.field("healthCheckNodePort");
    let is_local = spec.field("externalTrafficPolicy").text() == "Local";
    if port.number().is_some_and(|number| number != 0) && !(is_balanced && is_local) {
        let reason = "may only be set when `type` is 'LoadBalancer' and `externalTrafficPolicy` is 'Local'";
        errors.push(port.invalid(reason));
    }
    let distributions = ["PreferClose", "PreferSameNode", "PreferSameZone"];
    one_of_if_set(&spec.field("trafficDistribution"), &distributions, errors);
}

fn first_address<'a>(spec: &At<'a>) -> &'a str {
    match spec.field("clusterIP").text() {
        "" => spec.value["clusterIPs"][0].as_str().unwrap_or_default(),
        address => address,
    }
}

fn ports(spec: &At<'_>, errors: &mut Vec<FieldError>) {
    let kind = spec.field("type").text();
    let ports = spec.field("ports");
    let is_headless = first_address(spec) == "None";
    if ports.count() == 0 && !is_headless && kind != "ExternalName" {
        required(&ports, errors);
    }
    for port in ports.items() {
        let name = port.field("name");
        if ports.count() > 1 {
            required(&name, errors);
        }
        named_if_set(&name, names::dns_label, errors);
        port_number(&port.field("port"), errors);
        one_of(&port.field("protocol"), &PROTOCOLS, errors);
        port_number_or_name(&port.field("targetPort"), errors);
        named_if_set(&port.field("appProtocol"), names::label_key, errors);
        let node_port = port.field("nodePort");
        if kind == "ClusterIP" && node_port.number().is_some_and(|number| number != 0) {
            let reason = "may not be used when `type` is 'ClusterIP'";
            errors.push(node_port.forbidden(reason));
        }
    }
    unique_field(&ports, "name", errors);
    unique_ports(&ports, "port", errors);
    unique_ports(&ports, "nodePort", errors);
}

/// No two ports have the same number and protocol.
fn unique_ports(ports: &At<'_>, field: &str, errors: &mut Vec<FieldError>) {
    let mut seen: Vec<(i64, &str)> = Vec::new();
    for port in ports.items() {
        let number = port.field(field).number().unwrap_or(0);
        if number == 0 {
            continue;
        }
        let identity = (number, port.field("protocol").text());
        if seen.contains(&identity) {
            let value = json!({ "protocol": identity.1, field: number });
            let path = if field == "port" {
                port.path
            } else {
                port.path_of(field)
            };
            errors.push(FieldError::duplicate(path, value));
        }
        seen.push(identity);
    }
}

fn addresses(spec: &At<'_>, errors: &mut Vec<FieldError>) {
    let kind = spec.field("type").text();
    let (single, list) = (spec.field("clusterIP"), spec.field("clusterIPs"));
    if kind == "ExternalName" {
        for name in ["clusterIPs", "ipFamilies", "ipFamilyPolicy"] {
            let field = spec.field(name);
            if !field.is_empty() {
                errors.push(field.forbidden("may not be set for ExternalName services"));
            }
        }
        if !single.is_empty() && list.is_empty() {
            errors.push(list.forbidden("may not be set for ExternalName services"));
        }
        return;
    }
    let first = list.value[0].as_str().unwrap_or_default();
    if !single.is_empty() && list.count() > 0 && single.text() != first {
        let reason = "first value must match `clusterIP`";
        errors.push(list.invalid(reason));
    }
    let first_path = format!("{}[0]", list.path);
    match first_address(spec) {
        "None" if matches!(kind, "NodePort" | "LoadBalancer") => {
            let reason = format!("may not be set to 'None' for {kind} services");
            errors.push(FieldError::invalid(first_path, "None", reason));
        }
        "" | "None" => {}
        address => {
            let at = At {
                value: &json!(address),
                path: first_path,
            };
            ip_address(&at, errors);
        }
    }
    let families = spec.field("ipFamilies");
    let mut seen = Vec::new();
    for family in families.items() {
        one_of(&family, &["IPv4", "IPv6"], errors);
        if seen.contains(&family.text()) {
            errors.push(family.duplicate());
        }
        seen.push(family.text());
    }
    if families.count() > 2 {
        errors.push(families.invalid("may only hold up to 2 values"));
    }
    if list.count() > 2 {
        errors.push(list.invalid("may only hold up to 2 values"));
    }
    let policies = ["PreferDualStack", "RequireDualStack", "SingleStack"];
    one_of_if_set(&spec.field("ipFamilyPolicy"), &policies, errors);
}

fn external_name(at: &At<'_>, errors: &mut Vec<FieldError>) {
    if required(at, errors) {
        let trimmed = json!(at.text().strip_suffix('.').unwrap_or(at.text()));
        let at = At {
            value: &trimmed,
            path: at.path.clone(),
        };
        named(&at, names::dns_subdomain, errors);
    }
}

fn affinity(spec: &At<'_>, errors: &mut Vec<FieldError>) {
    if spec.field("sessionAffinity").text() != "ClientIP" {
        return;
    }
    let timeout = spec
        .field("sessionAffinityConfig")
        .field("clientIP")
        .field("timeoutSeconds");
    if let Some(seconds) = timeout.number().filter(|s| !(1..=AFFINITY_SECONDS_MAX).contains(s)) {
        let reason = format!("must be greater than 0 and less than {AFFINITY_SECONDS_MAX}");
        errors.push(FieldError::invalid(timeout.path.clone(), seconds, reason));
    }
}

fn policies(spec: &At<'_>, errors: &mut Vec<FieldError>) {
    let kind = spec.field("type").text();
    let external = spec.field("externalTrafficPolicy");
    let reachable_from_outside =
        matches!(kind, "NodePort" | "LoadBalancer") || (kind == "ClusterIP" && spec.field("externalIPs").count() > 0);
    if !external.is_empty() && !reachable_from_outside {
        let reason = "may only be set for externally-accessible services";
        errors.push(external.invalid(reason));
    } else {
        one_of_if_set(&external, &POLICIES, errors);
    }
    one_of_if_set(&spec.field("internalTrafficPolicy"), &POLICIES, errors);
}
