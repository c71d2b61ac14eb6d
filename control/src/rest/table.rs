//! Objects as tables and as bare metadata.
//!
//! Source: Kubernetes API Concepts, "Receiving resources as Tables".

use api::{
    Timestamp,
    resource::Resource,
    table::{IncludeObject, render_including, render_scale},
};
use serde_json::{Value, json};

use super::query::Query;

/// What of its object each row carries, as the query asks for it.
pub(super) fn include(query: &Query) -> IncludeObject {
    match query.get("includeObject") {
        "None" => IncludeObject::None,
        "Object" => IncludeObject::Object,
        _ => IncludeObject::Metadata,
    }
}

/// A Table of these objects, one row each, in order.
pub(super) fn render(resource: &Resource, objects: &[Value], include: IncludeObject) -> Value {
    render_including(resource, objects, Timestamp::now(), include)
}

/// The Table of a Scale.
pub(super) fn scale(scale: &Value, include: IncludeObject) -> Value {
    render_scale(scale, Timestamp::now(), include)
}

/// The object's metadata as an object of its own.
pub(super) fn metadata_only(object: &Value) -> Value {
    json!({
        "kind": "PartialObjectMetadata",
        "apiVersion": "meta.k8s.io/v1",
        "metadata": object["metadata"],
    })
}
