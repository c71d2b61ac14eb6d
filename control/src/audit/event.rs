//! One event of the audit log as JSON. Pure.
//!
//! Source: `audit.k8s.io/v1` Event.

use std::{collections::BTreeMap, net::IpAddr};

use api::Timestamp;
use serde_json::{Map, Value, json};

use super::policy::{Level, Stage};

/// What is known of a request when it arrives.
#[derive(Debug, Clone)]
pub(crate) struct Arrival {
    /// The id of all events of the request.
    pub(crate) id: String,
    /// When.
    pub(crate) at: Timestamp,
    /// Path and query.
    pub(crate) uri: String,
    /// Where it came from: the client as proxies tell, then the peer.
    pub(crate) source_ips: Vec<IpAddr>,
    /// What the client calls itself; may be empty.
    pub(crate) user_agent: String,
}

/// The object that a request is about. Empty text: not known, or none.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct ObjectReference {
    /// Plural name.
    pub(crate) resource: String,
    /// Of the object.
    pub(crate) namespace: String,
    /// Of the object.
    pub(crate) name: String,
    /// Of the object.
    pub(crate) uid: String,
    /// Empty for the core group.
    pub(crate) group: String,
    /// For example `v1`.
    pub(crate) version: String,
    /// That the request carries.
    pub(crate) resource_version: String,
    /// For example `status`.
    pub(crate) subresource: String,
}

/// Everything that is known of a request by now.
pub(super) struct Facts {
    pub(super) arrival: Arrival,
    pub(super) verb: String,
    pub(super) user: Option<Value>,
    pub(super) impersonated: Option<Value>,
    pub(super) reference: Option<ObjectReference>,
    pub(super) status: Option<Value>,
    pub(super) request_object: Option<Value>,
    pub(super) response_object: Option<Value>,
    pub(super) annotations: BTreeMap<String, String>,
}

impl Facts {
    pub(super) fn of(arrival: Arrival) -> Facts {
        Facts {
            arrival,
            verb: String::new(),
            user: None,
            impersonated: None,
            reference: None,
            status: None,
            request_object: None,
            response_object: None,
            annotations: BTreeMap::new(),
        }
    }

    /// What the path did not say of the object, it may say itself.
    pub(super) fn learn_reference(&mut self, object: &Value) {
        let Some(reference) = &mut self.reference else { return };
        let metadata = &object["metadata"];
        for (known, field) in [
            (&mut reference.name, "name"),
            (&mut reference.namespace, "namespace"),
            (&mut reference.uid, "uid"),
            (&mut reference.resource_version, "resourceVersion"),
        ] {
            if known.is_empty() {
                metadata[field].as_str().unwrap_or_default().clone_into(known);
            }
        }
    }
}

/// The status of an answer that is no Status.
pub(super) fn success(code: u16) -> Value {
    json!({ "metadata": {}, "code": code })
}

/// The event of a stage, at `level`.
pub(super) fn render(facts: &Facts, level: Level, stage: Stage, now: Timestamp) -> Value {
    let arrival = &facts.arrival;
    let mut event = json!({
        "kind": "Event",
        "apiVersion": "audit.k8s.io/v1",
        "level": level.name(),
        "auditID": arrival.id,
        "stage": stage.name(),
        "requestURI": arrival.uri,
        "verb": facts.verb,
        "user": facts.user.clone().unwrap_or_else(|| json!({})),
        "sourceIPs": arrival.source_ips,
        "requestReceivedTimestamp": timestamp(arrival.at),
        "stageTimestamp": timestamp(now),
    });
    let is_answer = stage != Stage::RequestReceived;
    let parts = [
        ("impersonatedUser", facts.impersonated.clone()),
        (
            "userAgent",
            Some(json!(arrival.user_agent)).filter(|_| !arrival.user_agent.is_empty()),
        ),
        ("objectRef", facts.reference.as_ref().map(reference)),
        ("responseStatus", facts.status.clone().filter(|_| is_answer)),
        (
            "requestObject",
            facts
                .request_object
                .clone()
                .filter(|_| is_answer && level >= Level::Request),
        ),
        (
            "responseObject",
            facts
                .response_object
                .clone()
                .filter(|_| is_answer && level >= Level::RequestResponse),
        ),
        (
            "annotations",
            Some(json!(facts.annotations)).filter(|_| !facts.annotations.is_empty()),
        ),
    ];
    for (name, value) in parts {
        if let Some(value) = value {
            event[name] = value;
        }
    }
    event
}

fn reference(reference: &ObjectReference) -> Value {
    let fields = [
        ("resource", &reference.resource),
        ("namespace", &reference.namespace),
        ("name", &reference.name),
        ("uid", &reference.uid),
        ("apiGroup", &reference.group),
        ("apiVersion", &reference.version),
        ("resourceVersion", &reference.resource_version),
        ("subresource", &reference.subresource),
    ];
    let known = fields.into_iter().filter(|(_, value)| !value.is_empty());
    Value::Object(
        known
            .map(|(name, value)| (name.to_owned(), json!(value)))
            .collect::<Map<_, _>>(),
    )
}

/// Takes who manages which fields out of an object, or out of each object of a list.
pub(super) fn remove_managed_fields(object: &mut Value) {
    if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.remove("managedFields");
    }
    for item in object
        .get_mut("items")
        .and_then(Value::as_array_mut)
        .into_iter()
        .flatten()
    {
        if let Some(metadata) = item.get_mut("metadata").and_then(Value::as_object_mut) {
            metadata.remove("managedFields");
        }
    }
}

/// RFC 3339 in microseconds, as Kubernetes writes `metav1.MicroTime`.
fn timestamp(at: Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%S%.6fZ").to_string()
}
