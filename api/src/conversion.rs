//! The same object in the forms of several rows that share one collection.
//!
//! A row names the row in whose form its objects are kept (see [`crate::resource::Resource::stored`]); here is how the
//! one form becomes the other. Never here: defaults; they are those of the stored form.
//! Source: the API reference; `pkg/apis/*/conversion.go` of Kubernetes, by behaviour.

mod autoscaling;
mod events;

use std::borrow::Cow;

use serde_json::Value;

use crate::resource::Resource;

/// Brings an object of this row into the stored form.
pub fn to_stored(resource: &Resource, object: &mut Value) {
    if resource.stored_as.is_none() {
        return;
    }
    match (resource.group, resource.version, resource.kind) {
        ("autoscaling", "v1", "HorizontalPodAutoscaler") => autoscaling::v1_to_v2(object),
        ("events.k8s.io", "v1", "Event") => events::to_core(object),
        _ => {}
    }
    identify(resource.stored(), object);
}

/// Brings an object of the stored form into that of this row.
pub fn from_stored(resource: &Resource, object: &mut Value) {
    if resource.stored_as.is_none() {
        return;
    }
    match (resource.group, resource.version, resource.kind) {
        ("autoscaling", "v1", "HorizontalPodAutoscaler") => autoscaling::v2_to_v1(object),
        ("events.k8s.io", "v1", "Event") => events::from_core(object),
        _ => {}
    }
    identify(resource, object);
}

/// The object of this row in the stored form.
#[must_use]
pub fn stored_form<'a>(resource: &Resource, object: &'a Value) -> Cow<'a, Value> {
    if resource.stored_as.is_none() {
        return Cow::Borrowed(object);
    }
    let mut stored = object.clone();
    to_stored(resource, &mut stored);
    Cow::Owned(stored)
}

/// Where a field that selectors name in this row's form is in the stored one.
#[must_use]
pub fn stored_field(resource: &Resource, path: &str) -> String {
    match (resource.group, resource.kind) {
        ("events.k8s.io", "Event") => events::stored_field(path),
        _ => path.to_owned(),
    }
}

fn identify(resource: &Resource, object: &mut Value) {
    if let Some(fields) = object.as_object_mut() {
        fields.insert("apiVersion".to_owned(), Value::from(resource.api_version()));
        fields.insert("kind".to_owned(), Value::from(resource.kind));
    }
}

#[cfg(test)]
mod tests;
