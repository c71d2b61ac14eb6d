//! CertificateSigningRequests: who asks is what the server knows, decisions and certificates are written apart.
//!
//! Source: Kubernetes, "Certificates and Certificate Signing Requests".

use api::Timestamp;
use serde_json::{Map, Value, json};

use crate::{
    auth::Caller,
    engine::object::{child_mut, timestamp},
};

/// Conditions that only the `approval` subresource writes.
const DECISIONS: [&str; 2] = ["Approved", "Denied"];
/// What a request says of who made it.
const REQUESTER: [&str; 4] = ["extra", "groups", "uid", "username"];

/// Notes who makes the request, whatever it says itself.
pub(in crate::engine) fn note_requester(request: &mut Value, caller: &Caller) {
    let spec = child_mut(request, "spec");
    spec.retain(|field, _| !REQUESTER.contains(&field.as_str()));
    spec.insert("username".to_owned(), json!(caller.user));
    if !caller.groups.is_empty() {
        spec.insert("groups".to_owned(), json!(caller.groups));
    }
    if !caller.uid.is_empty() {
        spec.insert("uid".to_owned(), json!(caller.uid));
    }
    if !caller.extra.is_empty() {
        spec.insert("extra".to_owned(), json!(caller.extra));
    }
}

/// A new decision; everything else stays.
pub(super) fn approval_update(old: &Value, wanted: &Value) -> Value {
    let decided = conditions(wanted).filter(|condition| is_decision(condition)).cloned();
    let rest = conditions(old).filter(|condition| !is_decision(condition)).cloned();
    with_conditions(old.clone(), old, rest.chain(decided).collect())
}

/// A certificate, or why there is none; the decision stays.
pub(super) fn status_update(old: &Value, wanted: &Value) -> Value {
    let decided = conditions(old).filter(|condition| is_decision(condition)).cloned();
    let rest = conditions(wanted).filter(|condition| !is_decision(condition)).cloned();
    let list = decided.chain(rest).collect();
    let mut new = old.clone();
    let status = wanted["status"].as_object().cloned().unwrap_or_default();
    new["status"] = Value::Object(status);
    with_conditions(new, old, list)
}

fn conditions(request: &Value) -> impl Iterator<Item = &Value> {
    request["status"]["conditions"].as_array().into_iter().flatten()
}

fn is_decision(condition: &Value) -> bool {
    DECISIONS.iter().any(|kind| condition["type"] == *kind)
}

/// The request with these conditions; new ones get the times that they lack.
fn with_conditions(mut request: Value, old: &Value, mut list: Vec<Value>) -> Value {
    let now = timestamp(Timestamp::now());
    for condition in &mut list {
        let before = conditions(old).find(|before| before["type"] == condition["type"]);
        if before == Some(condition) {
            continue;
        }
        let kept = before
            .filter(|before| before["status"] == condition["status"])
            .map(|before| before["lastTransitionTime"].clone());
        if let Some(fields) = condition.as_object_mut() {
            set_absent(fields, "lastUpdateTime", json!(now));
            set_absent(fields, "lastTransitionTime", kept.unwrap_or_else(|| json!(now)));
        }
    }
    let status = child_mut(&mut request, "status");
    if list.is_empty() {
        status.remove("conditions");
    } else {
        status.insert("conditions".to_owned(), json!(list));
    }
    request
}

fn set_absent(fields: &mut Map<String, Value>, name: &str, value: Value) {
    if fields.get(name).is_none_or(Value::is_null) {
        fields.insert(name.to_owned(), value);
    }
}
