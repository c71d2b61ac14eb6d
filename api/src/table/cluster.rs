//! The rows of nodes, namespaces, events, leases and the server's own parts.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::{
    age::{age, since},
    column::{AGE, NAME, Printer, column, list, map, number, text, text_or},
};

const ROLE_PREFIX: &str = "node-role.kubernetes.io/";
const ROLE_LABEL: &str = "kubernetes.io/role";

pub(super) static NODE: Printer = Printer::new(
    &[
        NAME,
        column("Status", "string", 0),
        column("Roles", "string", 0),
        AGE,
        column("Version", "string", 0),
        column("Internal-IP", "string", 1),
        column("External-IP", "string", 1),
        column("OS-Image", "string", 1),
        column("Kernel-Version", "string", 1),
        column("Container-Runtime", "string", 1),
    ],
    node,
);

pub(super) static NAMESPACE: Printer = Printer::new(&[NAME, column("Status", "string", 0), AGE], |item, now| {
    vec![
        item["metadata"]["name"].clone(),
        json!(text(item, "/status/phase")),
        age(item, now),
    ]
});

pub(super) static EVENT: Printer = Printer::new(
    &[
        column("Last Seen", "string", 0),
        column("Type", "string", 0),
        column("Reason", "string", 0),
        column("Object", "string", 0),
        column("Subobject", "string", 1),
        column("Source", "string", 1),
        column("Message", "string", 0),
        column("First Seen", "string", 1),
        column("Count", "string", 1),
        column("Name", "string", 1),
    ],
    event,
);

pub(super) static LEASE: Printer = Printer::new(&[NAME, column("Holder", "string", 0), AGE], |item, now| {
    vec![
        item["metadata"]["name"].clone(),
        json!(text(item, "/spec/holderIdentity")),
        age(item, now),
    ]
});

pub(super) static COMPONENT_STATUS: Printer = Printer::new(
    &[
        NAME,
        column("Status", "string", 0),
        column("Message", "string", 0),
        column("Error", "string", 0),
    ],
    |item, _| {
        let healthy = list(item, "/conditions")
            .iter()
            .find(|condition| text(condition, "/type") == "Healthy");
        let field = |pointer: &str| healthy.map_or("", |condition| text(condition, pointer));
        let status = match field("/status") {
            "True" => "Healthy",
            "False" => "Unhealthy",
            _ => "Unknown",
        };
        vec![
            item["metadata"]["name"].clone(),
            json!(status),
            json!(field("/message")),
            json!(field("/error")),
        ]
    },
);

fn node(item: &Value, now: Timestamp) -> Vec<Value> {
    let ready = list(item, "/status/conditions")
        .iter()
        .find(|condition| text(condition, "/type") == "Ready");
    let mut status = match ready.map(|condition| text(condition, "/status")) {
        Some("True") => "Ready",
        Some(_) => "NotReady",
        None => "Unknown",
    }
    .to_owned();
    if item["spec"]["unschedulable"] == true {
        status.push_str(",SchedulingDisabled");
    }
    let address = |kind: &str| {
        list(item, "/status/addresses")
            .iter()
            .find(|address| text(address, "/type") == kind)
            .map_or("<none>", |address| text(address, "/address"))
    };
    vec![
        item["metadata"]["name"].clone(),
        json!(status),
        json!(roles(item)),
        age(item, now),
        json!(text(item, "/status/nodeInfo/kubeletVersion")),
        json!(address("InternalIP")),
        json!(address("ExternalIP")),
        text_or(item, "/status/nodeInfo/osImage", "<unknown>"),
        text_or(item, "/status/nodeInfo/kernelVersion", "<unknown>"),
        text_or(item, "/status/nodeInfo/containerRuntimeVersion", "<unknown>"),
    ]
}

fn roles(item: &Value) -> String {
    let mut roles: Vec<&str> = map(item, "/metadata/labels")
        .into_iter()
        .flatten()
        .filter_map(|(key, value)| match key.strip_prefix(ROLE_PREFIX) {
            Some(role) => Some(role),
            None if key == ROLE_LABEL => value.as_str(),
            None => None,
        })
        .filter(|role| !role.is_empty())
        .collect();
    roles.sort_unstable();
    roles.dedup();
    match roles.is_empty() {
        true => "<none>".to_owned(),
        false => roles.join(","),
    }
}

fn event(item: &Value, now: Timestamp) -> Vec<Value> {
    let first = match &item["firstTimestamp"] {
        Value::Null => since(&item["eventTime"], now),
        first => since(first, now),
    };
    let mut last = match &item["lastTimestamp"] {
        Value::Null => first.clone(),
        last => since(last, now),
    };
    let mut count = number(item, "/count").max(1);
    if item["series"].is_object() {
        count = number(item, "/series/count");
        last = since(&item["series"]["lastObservedTime"], now);
    }
    let kind = text(item, "/involvedObject/kind").to_lowercase();
    let object = match text(item, "/involvedObject/name") {
        "" => kind,
        name => format!("{kind}/{name}"),
    };
    vec![
        json!(last),
        json!(text(item, "/type")),
        json!(text(item, "/reason")),
        json!(object),
        json!(text(item, "/involvedObject/fieldPath")),
        json!(source(item)),
        json!(text(item, "/message").trim()),
        json!(first),
        json!(count),
        item["metadata"]["name"].clone(),
    ]
}

/// Who reported the event, and from where.
fn source(item: &Value) -> String {
    let pick = |old: &str, new: &str| match text(item, old) {
        "" => text(item, new).to_owned(),
        text => text.to_owned(),
    };
    let component = pick("/source/component", "/reportingComponent");
    match pick("/source/host", "/reportingInstance").as_str() {
        "" => component,
        host => format!("{component}, {host}"),
    }
}
