//! Events: the older form of the core group is the stored one.

use serde_json::Value;

/// (in `events.k8s.io`, in the core group)
const FIELDS: [(&str, &str); 7] = [
    ("regarding", "involvedObject"),
    ("note", "message"),
    ("deprecatedSource", "source"),
    ("deprecatedFirstTimestamp", "firstTimestamp"),
    ("deprecatedLastTimestamp", "lastTimestamp"),
    ("deprecatedCount", "count"),
    ("reportingController", "reportingComponent"),
];

pub(super) fn to_core(object: &mut Value) {
    for (new, core) in FIELDS {
        rename(object, new, core);
    }
}

pub(super) fn from_core(object: &mut Value) {
    for (new, core) in FIELDS {
        rename(object, core, new);
    }
}

/// `regarding.name` is `involvedObject.name`.
pub(super) fn stored_field(path: &str) -> String {
    let (head, rest) = path.split_once('.').unwrap_or((path, ""));
    let head = FIELDS
        .iter()
        .find(|(new, _)| *new == head)
        .map_or(head, |(_, core)| *core);
    match rest {
        "" => head.to_owned(),
        rest => format!("{head}.{rest}"),
    }
}

fn rename(object: &mut Value, from: &str, to: &str) {
    if let Some(fields) = object.as_object_mut()
        && let Some(value) = fields.remove(from)
    {
        fields.insert(to.to_owned(), value);
    }
}
