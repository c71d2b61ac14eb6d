//! The rows of `networking.k8s.io`.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::{
    age::age,
    column::{AGE, NAME, Printer, column, joined, list, text, text_or},
};
use crate::selector::LabelSelector;

/// Most hosts that are named.
const HOSTS_MAX: usize = 3;

pub(super) static INGRESS: Printer = Printer::new(
    &[
        NAME,
        column("Class", "string", 0),
        column("Hosts", "string", 0),
        column("Address", "string", 0),
        column("Ports", "string", 0),
        AGE,
    ],
    ingress,
);

pub(super) static INGRESS_CLASS: Printer = Printer::new(
    &[
        NAME,
        column("Controller", "string", 0),
        column("Parameters", "string", 0),
        AGE,
    ],
    |item, now| {
        vec![
            item["metadata"]["name"].clone(),
            json!(text(item, "/spec/controller")),
            json!(parameters(&item["spec"]["parameters"])),
            age(item, now),
        ]
    },
);

pub(super) static NETWORK_POLICY: Printer =
    Printer::new(&[NAME, column("Pod-Selector", "string", 0), AGE], |item, now| {
        vec![
            item["metadata"]["name"].clone(),
            json!(selector(&item["spec"]["podSelector"])),
            age(item, now),
        ]
    });

pub(super) static IP_ADDRESS: Printer = Printer::new(&[NAME, column("ParentRef", "string", 0), AGE], |item, now| {
    vec![
        item["metadata"]["name"].clone(),
        json!(parent(&item["spec"]["parentRef"])),
        age(item, now),
    ]
});

pub(super) static SERVICE_CIDR: Printer = Printer::new(&[NAME, column("CIDRs", "string", 0), AGE], |item, now| {
    let ranges = joined(list(item, "/spec/cidrs").iter().filter_map(Value::as_str));
    vec![item["metadata"]["name"].clone(), json!(ranges), age(item, now)]
});

fn ingress(item: &Value, now: Timestamp) -> Vec<Value> {
    let addresses = list(item, "/status/loadBalancer/ingress")
        .iter()
        .map(|ingress| match text(ingress, "/ip") {
            "" => text(ingress, "/hostname"),
            ip => ip,
        })
        .filter(|address| !address.is_empty());
    let ports = if list(item, "/spec/tls").is_empty() {
        "80"
    } else {
        "80, 443"
    };
    vec![
        item["metadata"]["name"].clone(),
        text_or(item, "/spec/ingressClassName", "<none>"),
        json!(hosts(item)),
        json!(joined(addresses)),
        json!(ports),
        age(item, now),
    ]
}

/// `a.example,b.example,c.example + 1 more...`, or `*` for every host.
fn hosts(item: &Value) -> String {
    let hosts: Vec<&str> = list(item, "/spec/rules")
        .iter()
        .map(|rule| text(rule, "/host"))
        .filter(|host| !host.is_empty())
        .collect();
    match hosts.len() {
        0 => "*".to_owned(),
        1..=HOSTS_MAX => hosts.join(","),
        all => format!("{} + {} more...", hosts[..HOSTS_MAX].join(","), all - HOSTS_MAX),
    }
}

/// `Kind.group/name`
fn parameters(parameters: &Value) -> String {
    if !parameters.is_object() {
        return "<none>".to_owned();
    }
    let (kind, name) = (text(parameters, "/kind"), text(parameters, "/name"));
    match parameters["apiGroup"].as_str() {
        Some(group) => format!("{kind}.{group}/{name}"),
        None => format!("{kind}/{name}"),
    }
}

/// `services/default/kubernetes`
fn parent(reference: &Value) -> String {
    if !reference.is_object() {
        return "<none>".to_owned();
    }
    let mut shown = text(reference, "/resource").to_lowercase();
    for (separator, field) in [(".", "/group"), ("/", "/namespace"), ("/", "/name")] {
        let part = text(reference, field);
        if !part.is_empty() {
            shown.push_str(separator);
            shown.push_str(part);
        }
    }
    shown
}

/// A label selector in its text form; `<none>` if it takes everything.
fn selector(selector: &Value) -> String {
    match LabelSelector::from_value(selector).map(|selector| selector.to_string()) {
        Ok(shown) if shown.is_empty() => "<none>".to_owned(),
        Ok(shown) => shown,
        Err(_) => "<error>".to_owned(),
    }
}
