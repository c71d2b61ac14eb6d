//! The rows of what configures the server: admission, API services, flow control; and of certificate requests.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::{
    age::{age, human},
    column::{AGE, NAME, Printer, column, list, text, text_or},
};
use crate::selector::LabelSelector;

pub(super) static WEBHOOKS: Printer = Printer::new(&[NAME, column("Webhooks", "integer", 0), AGE], |item, now| {
    let webhooks = list(item, "/webhooks").len();
    vec![item["metadata"]["name"].clone(), json!(webhooks), age(item, now)]
});

pub(super) static VALIDATING_POLICY: Printer = Printer::new(
    &[
        NAME,
        column("Validations", "integer", 0),
        column("ParamKind", "string", 0),
        AGE,
    ],
    |item, now| policy(item, "/spec/validations", now),
);

pub(super) static MUTATING_POLICY: Printer = Printer::new(
    &[
        NAME,
        column("Mutations", "integer", 0),
        column("ParamKind", "string", 0),
        AGE,
    ],
    |item, now| policy(item, "/spec/mutations", now),
);

pub(super) static POLICY_BINDING: Printer = Printer::new(
    &[
        NAME,
        column("PolicyName", "string", 0),
        column("ParamRef", "string", 0),
        AGE,
    ],
    |item, now| {
        vec![
            item["metadata"]["name"].clone(),
            json!(text(item, "/spec/policyName")),
            json!(parameter(&item["spec"]["paramRef"])),
            age(item, now),
        ]
    },
);

pub(super) static API_SERVICE: Printer = Printer::new(
    &[
        NAME,
        column("Service", "string", 0),
        column("Available", "string", 0),
        AGE,
    ],
    api_service,
);

pub(super) static CERTIFICATE_REQUEST: Printer = Printer::new(
    &[
        NAME,
        AGE,
        column("SignerName", "string", 0),
        column("Requestor", "string", 0),
        column("RequestedDuration", "string", 0),
        column("Condition", "string", 0),
    ],
    certificate_request,
);

pub(super) static FLOW_SCHEMA: Printer = Printer::new(
    &[
        NAME,
        column("PriorityLevel", "string", 0),
        column("MatchingPrecedence", "string", 0),
        column("DistinguisherMethod", "string", 0),
        AGE,
        column("MissingPL", "string", 0),
    ],
    |item, now| {
        vec![
            item["metadata"]["name"].clone(),
            json!(text(item, "/spec/priorityLevelConfiguration/name")),
            item["spec"]["matchingPrecedence"].clone(),
            text_or(item, "/spec/distinguisherMethod/type", "<none>"),
            age(item, now),
            json!(condition(item, "Dangling").map_or("?", |dangling| text(dangling, "/status"))),
        ]
    },
);

pub(super) static PRIORITY_LEVEL: Printer = Printer::new(
    &[
        NAME,
        column("Type", "string", 0),
        column("NominalConcurrencyShares", "string", 0),
        column("Queues", "string", 0),
        column("HandSize", "string", 0),
        column("QueueLengthLimit", "string", 0),
        AGE,
    ],
    priority_level,
);

pub(super) static RESOURCE_CLAIM: Printer = Printer::new(&[NAME, column("State", "string", 0), AGE], |item, now| {
    vec![
        item["metadata"]["name"].clone(),
        json!(claim_state(item)),
        age(item, now),
    ]
});

pub(super) static RESOURCE_SLICE: Printer = Printer::new(
    &[
        NAME,
        column("Node", "string", 0),
        column("Driver", "string", 0),
        column("Pool", "string", 0),
        AGE,
    ],
    |item, now| {
        vec![
            item["metadata"]["name"].clone(),
            json!(text(item, "/spec/nodeName")),
            json!(text(item, "/spec/driver")),
            json!(text(item, "/spec/pool/name")),
            age(item, now),
        ]
    },
);

/// Kinds of which there is nothing to show but that they are there.
pub(super) static NAMED: Printer = Printer::new(&[NAME, AGE], |item, now| {
    vec![item["metadata"]["name"].clone(), age(item, now)]
});

fn policy(item: &Value, parts: &str, now: Timestamp) -> Vec<Value> {
    let kind = &item["spec"]["paramKind"];
    let kind = match text(kind, "/apiVersion") {
        _ if !kind.is_object() => "<unset>".to_owned(),
        "" => text(kind, "/kind").to_owned(),
        version => format!("{version}/{}", text(kind, "/kind")),
    };
    vec![
        item["metadata"]["name"].clone(),
        json!(list(item, parts).len()),
        json!(kind),
        age(item, now),
    ]
}

/// `namespace/name`, `*/name`, or a selector.
fn parameter(reference: &Value) -> String {
    match (text(reference, "/namespace"), text(reference, "/name")) {
        ("", "") if reference["selector"].is_object() => LabelSelector::from_value(&reference["selector"])
            .map_or_else(|_| "<error>".to_owned(), |selector| selector.to_string()),
        (_, "") => "<unset>".to_owned(),
        ("", name) => format!("*/{name}"),
        (namespace, name) => format!("{namespace}/{name}"),
    }
}

fn condition<'a>(item: &'a Value, kind: &str) -> Option<&'a Value> {
    list(item, "/status/conditions")
        .iter()
        .find(|condition| condition["type"] == kind)
}

fn api_service(item: &Value, now: Timestamp) -> Vec<Value> {
    let service = match &item["spec"]["service"] {
        Value::Object(_) => format!(
            "{}/{}",
            text(item, "/spec/service/namespace"),
            text(item, "/spec/service/name")
        ),
        _ => "Local".to_owned(),
    };
    let available = match condition(item, "Available") {
        None => "Unknown".to_owned(),
        Some(condition) => match (text(condition, "/status"), text(condition, "/reason")) {
            ("True", _) => "True".to_owned(),
            (status, reason) => format!("{status} ({reason})"),
        },
    };
    vec![
        item["metadata"]["name"].clone(),
        json!(service),
        json!(available),
        age(item, now),
    ]
}

fn certificate_request(item: &Value, now: Timestamp) -> Vec<Value> {
    let has = |kind: &str| condition(item, kind).is_some();
    let mut state = match (has("Denied"), has("Approved")) {
        (true, _) => "Denied",
        (false, true) => "Approved",
        (false, false) => "Pending",
    }
    .to_owned();
    if has("Failed") {
        state.push_str(",Failed");
    }
    if !text(item, "/status/certificate").is_empty() {
        state.push_str(",Issued");
    }
    let duration = item["spec"]["expirationSeconds"]
        .as_i64()
        .map_or_else(|| "<none>".to_owned(), human);
    vec![
        item["metadata"]["name"].clone(),
        age(item, now),
        text_or(item, "/spec/signerName", "<none>"),
        json!(text(item, "/spec/username")),
        json!(duration),
        json!(state),
    ]
}

fn priority_level(item: &Value, now: Timestamp) -> Vec<Value> {
    let spec = &item["spec"];
    let number = |pointer: &str| match spec.pointer(pointer) {
        Some(number) if number.is_number() => json!(number.to_string()),
        _ => json!("<none>"),
    };
    let shares = match text(spec, "/type") {
        "Exempt" => "/exempt/nominalConcurrencyShares",
        _ => "/limited/nominalConcurrencyShares",
    };
    vec![
        item["metadata"]["name"].clone(),
        json!(text(spec, "/type")),
        number(shares),
        number("/limited/limitResponse/queuing/queues"),
        number("/limited/limitResponse/queuing/handSize"),
        number("/limited/limitResponse/queuing/queueLengthLimit"),
        age(item, now),
    ]
}

/// `pending`, or which of `deleted`, `allocated`, `reserved` hold.
fn claim_state(item: &Value) -> String {
    let mut states = Vec::new();
    if item["metadata"]["deletionTimestamp"].is_string() {
        states.push("deleted");
    }
    match item["status"]["allocation"].is_object() {
        true => states.push("allocated"),
        false if states.is_empty() => states.push("pending"),
        false => {}
    }
    if !list(item, "/status/reservedFor").is_empty() {
        states.push("reserved");
    }
    states.join(",")
}
