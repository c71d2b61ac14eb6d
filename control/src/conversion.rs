//! Conversion webhooks: who converts the objects of a definition, what is sent, what an answer means.
//!
//! Pure. Never here: how a webhook is reached (`reach`), which objects are to be converted when (`engine::convert`).
//! Source: Kubernetes, "Versions in CustomResourceDefinitions", "Webhook conversion"; API reference,
//! apiextensions.k8s.io/v1 ConversionReview.

mod shared;

use std::time::Duration;

use api::validation::names;
use serde_json::{Map, Value, json};

pub(crate) use self::shared::Shared;
use crate::{
    admission::scope::texts,
    reach::{CallError, Destination},
};

/// How long a webhook may take. As in Kubernetes.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(30);
/// Objects that a webhook is asked about at once: as many as a list reads from the store at once.
const BATCH_OBJECTS_MAX: usize = 500;
/// Bytes of stored objects that a webhook is asked about at once: with the growth that conversions bring, an answer
/// stays within what is read of one.
const BATCH_BYTES_MAX: usize = 1 << 20;

/// The webhook that converts the objects of a definition.
#[derive(Debug)]
pub(crate) struct Hook {
    destination: Result<Destination, String>,
    /// The version of the review that it understands.
    review_version: Option<&'static str>,
    /// What it made of objects that many watch.
    pub(crate) shared: Shared,
}

impl Hook {
    /// From the `spec.conversion` of a definition; none if its versions differ in name only.
    pub(crate) fn parse(conversion: &Value) -> Option<Hook> {
        if conversion["strategy"] != "Webhook" {
            return None;
        }
        let webhook = &conversion["webhook"];
        let understood = texts(&webhook["conversionReviewVersions"]);
        Some(Hook {
            destination: Destination::parse(&webhook["clientConfig"]).map_err(|error: CallError| error.to_string()),
            review_version: understood.iter().find_map(|version| match version.as_str() {
                "v1" => Some("v1"),
                "v1beta1" => Some("v1beta1"),
                _ => None,
            }),
            shared: Shared::default(),
        })
    }

    /// Where it is, or why it cannot be asked.
    pub(crate) fn destination(&self) -> Result<&Destination, &str> {
        match (&self.destination, self.review_version) {
            (Err(error), _) => Err(error),
            (_, None) => Err("no supported conversion review versions"),
            (Ok(destination), Some(_)) => Ok(destination),
        }
    }

    /// The document that asks for these objects in a version.
    pub(crate) fn review(&self, uid: &str, api_version: &str, objects: &[Value]) -> Vec<u8> {
        let review = json!({
            "kind": "ConversionReview",
            "apiVersion": self.review_api_version(),
            "request": { "uid": uid, "desiredAPIVersion": api_version, "objects": objects },
        });
        serde_json::to_vec(&review).expect("a JSON value encodes into memory")
    }

    /// Reads the document that came back: the objects, in their order, as the request with this uid asked for them.
    ///
    /// # Errors
    /// Why it is no answer to that.
    pub(crate) fn read(
        &self,
        uid: &str,
        api_version: &str,
        objects: &[Value],
        document: &[u8],
    ) -> Result<Vec<Value>, Fault> {
        let mut review: Value = serde_json::from_slice(document)
            .map_err(|error| Fault::NoAnswer(format!("couldn't decode the webhook's answer: {error}")))?;
        let response = self.response(uid, &mut review).map_err(Fault::NoAnswer)?;
        let Value::Array(converted) = response["convertedObjects"].take() else {
            return Err(Fault::Count {
                expected: objects.len(),
                given: 0,
            });
        };
        if converted.len() != objects.len() {
            return Err(Fault::Count {
                expected: objects.len(),
                given: converted.len(),
            });
        }
        let pairs = objects.iter().zip(converted).enumerate();
        pairs
            .map(|(index, (before, after))| {
                accepted(api_version, before, after).map_err(|why| Fault::Object { index, why })
            })
            .collect()
    }

    fn review_api_version(&self) -> String {
        format!("apiextensions.k8s.io/{}", self.review_version.unwrap_or("v1"))
    }

    /// The `response` of a review, if it says that all went well.
    fn response<'r>(&self, uid: &str, review: &'r mut Value) -> Result<&'r mut Value, String> {
        let is_first = self.review_version != Some("v1beta1");
        let wanted = self.review_api_version();
        if is_first && (review["kind"] != "ConversionReview" || review["apiVersion"] != wanted) {
            return Err(format!(
                "expected webhook response of {wanted}, Kind=ConversionReview, got {}, Kind={}",
                text(&review["apiVersion"]),
                text(&review["kind"])
            ));
        }
        let response = &mut review["response"];
        if !response.is_object() {
            return Err("no response provided".to_owned());
        }
        if is_first && response["uid"] != uid {
            return Err(format!(
                "expected response.uid={uid:?}, got {:?}",
                text(&response["uid"])
            ));
        }
        let result = &response["result"];
        match (text(&result["status"]), text(&result["message"])) {
            ("Success", _) => Ok(response),
            (status, "") => Err(format!("response.result.status was '{status}', not 'Success'")),
            (_, message) => Err(message.to_owned()),
        }
    }
}

/// What is wrong with a webhook's answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Fault {
    /// It is none, or a refusal.
    NoAnswer(String),
    /// It has more or fewer objects than it was asked for.
    Count { expected: usize, given: usize },
    /// One of them is not what was asked for.
    Object { index: usize, why: String },
}

impl Fault {
    /// As clients are told, of a conversion of objects like this one.
    pub(crate) fn message(&self, object: &Value) -> String {
        let hook = format!(
            "conversion webhook for {}, Kind={}",
            text(&object["apiVersion"]),
            text(&object["kind"])
        );
        match self {
            Fault::NoAnswer(why) => format!("{hook} failed: {why}"),
            Fault::Count { expected, given } => format!("{hook} returned {given} objects, expected {expected}"),
            Fault::Object { index, why } => {
                format!("{hook} returned invalid converted object at index {index}: {why}")
            }
        }
    }
}

/// Divides objects of these sizes, in their order, into those that are asked about together: how many each time.
pub(crate) fn batches(sizes: impl Iterator<Item = usize>) -> Vec<usize> {
    let mut batches = Vec::new();
    let (mut count, mut bytes) = (0, 0);
    for size in sizes {
        if count > 0 && (count == BATCH_OBJECTS_MAX || bytes + size > BATCH_BYTES_MAX) {
            batches.push(count);
            (count, bytes) = (0, 0);
        }
        count += 1;
        bytes += size;
    }
    if count > 0 {
        batches.push(count);
    }
    batches
}

/// The object that a webhook made of another, with what a conversion may not change as it was.
fn accepted(api_version: &str, before: &Value, mut after: Value) -> Result<Value, String> {
    if after["apiVersion"] != api_version {
        return Err(format!(
            "invalid groupVersion (expected {api_version}, received {})",
            text(&after["apiVersion"])
        ));
    }
    if after["kind"] != before["kind"] {
        return Err(format!(
            "invalid kind (expected {}, received {})",
            text(&before["kind"]),
            text(&after["kind"])
        ));
    }
    for (field, name) in [("name", "name"), ("namespace", "namespace"), ("uid", "UID")] {
        let of = |object: &Value| text(&object["metadata"][field]).to_owned();
        let (was, is) = (of(before), of(&after));
        if was != is {
            return Err(format!("must have the same {name}: {was} != {is}"));
        }
    }
    let given = match after.get_mut("metadata") {
        None => return Err("missing metadata in converted object".to_owned()),
        Some(Value::Object(given)) => std::mem::take(given),
        Some(_) => return Err("invalid metadata in converted object: it is no object".to_owned()),
    };
    after["metadata"] = Value::Object(metadata(before["metadata"].as_object(), given)?);
    Ok(after)
}

/// The metadata of the object that was converted, with the labels and annotations that it was given.
fn metadata(before: Option<&Map<String, Value>>, mut given: Map<String, Value>) -> Result<Map<String, Value>, String> {
    let mut metadata = before.cloned().unwrap_or_default();
    for field in ["labels", "annotations"] {
        let entries = match given.remove(field) {
            None | Some(Value::Null) => {
                metadata.remove(field);
                continue;
            }
            Some(Value::Object(entries)) => entries,
            Some(_) => return Err(format!("invalid metadata.{field} in converted object: it is no object")),
        };
        let was = metadata.get(field).and_then(Value::as_object);
        // What the object had before may be of a time with other rules.
        let new = entries
            .iter()
            .filter(|(key, value)| was.and_then(|was| was.get(*key)) != Some(value));
        for (key, value) in new {
            check_entry(field, key, value)
                .map_err(|why| format!("invalid metadata.{field} in converted object: {why}"))?;
        }
        metadata.insert(field.to_owned(), Value::Object(entries));
    }
    Ok(metadata)
}

fn check_entry(field: &str, key: &str, value: &Value) -> Result<(), String> {
    let Value::String(value) = value else {
        return Err(format!("the value of {key:?} is no string"));
    };
    match field {
        "labels" => names::label_key(key).and_then(|()| names::label_value(value)),
        // Keys may be written in capitals, but their prefix is a domain.
        _ => names::label_key(&key.to_lowercase()),
    }
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

#[cfg(test)]
mod tests;
