//! The annotation in which kubectl's client-side apply keeps what it applied last.
//!
//! Only the manager that `kubectl apply --server-side` names by default goes by it; others choose a name of their own.
//! Source: Kubernetes, "Upgrading from client-side apply to server-side apply".

use serde_json::{Value, json};

use super::{compare::compare, extract::extract, ownership::Writer, place::Place, set::FieldSet};

const ANNOTATION: &str = "kubectl.kubernetes.io/last-applied-configuration";
const KUBECTL: &str = "kubectl";
/// Most bytes of all annotations together, as in Kubernetes.
const ANNOTATIONS_BYTES_MAX: usize = 256 << 10;

/// The fields that kubectl applied last and that still are as it applied them; none if it never did.
pub(super) fn fields<P: Place>(place: P, live: &Value, writer: &Writer<'_>) -> Option<FieldSet> {
    if writer.manager != KUBECTL {
        return None;
    }
    let text = annotation(live)?;
    let last: Value = serde_json::from_str(text).ok()?;
    if last["apiVersion"] != writer.api_version {
        return None;
    }
    let fields = extract(place, &last).ok()?;
    let change = compare(place, &last, live);
    Some(
        fields
            .difference(&change.modified)
            .difference(&change.added)
            .difference(&change.removed),
    )
}

/// Writes what kubectl applied into the annotation, if there is one: the next client-side apply starts from there.
pub(super) fn sync(object: &mut Value, config: &Value, manager: &str) {
    if manager != KUBECTL || annotation(object).is_none() {
        return;
    }
    let mut last = config.clone();
    if let Some(metadata) = last["metadata"].as_object_mut() {
        metadata.remove("managedFields");
        if let Some(annotations) = metadata.get_mut("annotations").and_then(Value::as_object_mut) {
            annotations.remove(ANNOTATION);
        }
    }
    let Some(annotations) = object["metadata"]["annotations"].as_object_mut() else {
        return;
    };
    annotations.insert(ANNOTATION.to_owned(), json!(format!("{last}\n")));
    let bytes: usize = annotations
        .iter()
        .map(|(name, value)| name.len() + value.as_str().map_or(0, str::len))
        .sum();
    if bytes > ANNOTATIONS_BYTES_MAX {
        annotations.remove(ANNOTATION);
    }
}

fn annotation(object: &Value) -> Option<&str> {
    object["metadata"]["annotations"][ANNOTATION]
        .as_str()
        .filter(|text| !text.is_empty())
}
