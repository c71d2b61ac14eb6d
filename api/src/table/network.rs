//! The rows of services, endpoint slices and endpoints.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::{
    age::age,
    column::{AGE, NAME, Printer, column, joined, labels, list, map, number, text, text_or},
};

/// Most ports, and most addresses, that are named.
const NAMED_MAX: usize = 3;
/// Longest text of a load balancer's addresses.
const BALANCER_CHARS_MAX: usize = 16;

pub(super) static SERVICE: Printer = Printer::new(
    &[
        NAME,
        column("Type", "string", 0),
        column("Cluster-IP", "string", 0),
        column("External-IP", "string", 0),
        column("Port(s)", "string", 0),
        AGE,
        column("Selector", "string", 1),
    ],
    service,
);

pub(super) static ENDPOINT_SLICE: Printer = Printer::new(
    &[
        NAME,
        column("AddressType", "string", 0),
        column("Ports", "string", 0),
        column("Endpoints", "string", 0),
        AGE,
    ],
    endpoint_slice,
);

pub(super) static ENDPOINTS: Printer = Printer::new(&[NAME, column("Endpoints", "string", 0), AGE], |item, now| {
    let addresses: Vec<String> = list(item, "/subsets").iter().flat_map(addresses_of).collect();
    let shown = match addresses.is_empty() {
        true => "<none>".to_owned(),
        false => first_of(addresses),
    };
    vec![item["metadata"]["name"].clone(), json!(shown), age(item, now)]
});

/// Each address with each port; the address alone where there is none.
fn addresses_of(subset: &Value) -> Vec<String> {
    let addresses = list(subset, "/addresses").iter().map(|address| text(address, "/ip"));
    let ports = list(subset, "/ports");
    if ports.is_empty() {
        return addresses.map(str::to_owned).collect();
    }
    let with_port = |ip: &str, port: &Value| {
        let port = number(port, "/port");
        match ip.contains(':') {
            true => format!("[{ip}]:{port}"),
            false => format!("{ip}:{port}"),
        }
    };
    ports
        .iter()
        .flat_map(|port| addresses.clone().map(move |ip| with_port(ip, port)))
        .collect()
}

fn service(item: &Value, now: Timestamp) -> Vec<Value> {
    let ip = match text(item, "/spec/clusterIPs/0") {
        "" => text_or(item, "/spec/clusterIP", "<none>"),
        ip => json!(ip),
    };
    vec![
        item["metadata"]["name"].clone(),
        item["spec"]["type"].clone(),
        ip,
        json!(external_ip(item)),
        json!(service_ports(item)),
        age(item, now),
        json!(labels(map(item, "/spec/selector"))),
    ]
}

fn external_ip(item: &Value) -> String {
    let external = joined(list(item, "/spec/externalIPs").iter().filter_map(Value::as_str));
    let or_none = |text: String| if text.is_empty() { "<none>".to_owned() } else { text };
    match text(item, "/spec/type") {
        "ExternalName" => text(item, "/spec/externalName").to_owned(),
        "LoadBalancer" => {
            let balancer = balancer(item);
            match (balancer.is_empty(), external.is_empty()) {
                (true, true) => "<pending>".to_owned(),
                (true, false) => external,
                (false, true) => balancer,
                (false, false) => format!("{balancer},{external}"),
            }
        }
        _ => or_none(external),
    }
}

fn balancer(item: &Value) -> String {
    let mut addresses: Vec<&str> = list(item, "/status/loadBalancer/ingress")
        .iter()
        .map(|ingress| match text(ingress, "/ip") {
            "" => text(ingress, "/hostname"),
            ip => ip,
        })
        .filter(|address| !address.is_empty())
        .collect();
    addresses.sort_unstable();
    addresses.dedup();
    let joined = addresses.join(",");
    if joined.chars().count() > BALANCER_CHARS_MAX {
        let short: String = joined.chars().take(BALANCER_CHARS_MAX - 3).collect();
        return format!("{short}...");
    }
    joined
}

fn service_ports(item: &Value) -> String {
    let ports: Vec<String> = list(item, "/spec/ports")
        .iter()
        .map(|port| {
            let number_of = number(port, "/port");
            let protocol = text(port, "/protocol");
            match number(port, "/nodePort") {
                0 => format!("{number_of}/{protocol}"),
                node_port => format!("{number_of}:{node_port}/{protocol}"),
            }
        })
        .collect();
    match ports.is_empty() {
        true => "<none>".to_owned(),
        false => ports.join(","),
    }
}

fn endpoint_slice(item: &Value, now: Timestamp) -> Vec<Value> {
    let ports = list(item, "/ports").iter().map(|port| match port["port"].as_i64() {
        Some(number) => number.to_string(),
        None if port["name"].is_string() => text(port, "/name").to_owned(),
        None => "*".to_owned(),
    });
    let addresses = list(item, "/endpoints")
        .iter()
        .flat_map(|endpoint| list(endpoint, "/addresses"))
        .filter_map(|address| Some(address.as_str()?.to_owned()));
    vec![
        item["metadata"]["name"].clone(),
        item["addressType"].clone(),
        json!(first_of(ports.collect())),
        json!(first_of(addresses.collect())),
        age(item, now),
    ]
}

/// `a,b,c + 2 more...`
fn first_of(texts: Vec<String>) -> String {
    match texts.len() {
        0 => "<unset>".to_owned(),
        1..=NAMED_MAX => texts.join(","),
        all => format!("{} + {} more...", texts[..NAMED_MAX].join(","), all - NAMED_MAX),
    }
}
