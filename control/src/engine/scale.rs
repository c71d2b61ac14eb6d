//! The `scale` subresource: a number of replicas as an object of its own.
//!
//! Source: Kubernetes API reference, autoscaling/v1 Scale.

use api::{resource::Resource, selector::LabelSelector};
use serde_json::{Value, json};

use super::{
    ApiError, Target, invalid,
    object::{child_mut, meta_str, metadata},
};
use api::validation::FieldError;

/// Refuses kinds without the subresource.
pub(super) fn known(resource: &Resource) -> Result<(), ApiError> {
    resource.subresource("scale").map(drop).ok_or(ApiError::NoSuchPath)
}

/// The Scale of an object.
pub(super) fn of(resource: &Resource, object: &Value) -> Value {
    let (wanted, present, selector) = match resource.custom.and_then(|custom| custom.scale_of(object)) {
        Some(declared) => declared,
        None => (
            object["spec"]["replicas"].as_i64().unwrap_or(1),
            object["status"]["replicas"].as_i64().unwrap_or(0),
            selector_text(object),
        ),
    };
    let mut meta = serde_json::Map::new();
    for field in ["name", "namespace", "uid", "resourceVersion", "creationTimestamp"] {
        if let Some(value) = metadata(object).get(field) {
            meta.insert(field.to_owned(), value.clone());
        }
    }
    json!({
        "kind": "Scale",
        "apiVersion": "autoscaling/v1",
        "metadata": meta,
        "spec": { "replicas": wanted },
        "status": {
            "replicas": present,
            "selector": selector,
        },
    })
}

/// The object with the replicas of a Scale.
pub(super) fn apply(resource: &Resource, object: &Value, scale: &Value) -> Result<Value, ApiError> {
    let replicas = match &scale["spec"]["replicas"] {
        Value::Null => 0,
        Value::Number(number) => number.as_i64().ok_or_else(|| not_a_scale(&scale["spec"]["replicas"]))?,
        other => return Err(not_a_scale(other)),
    };
    if replicas < 0 || i32::try_from(replicas).is_err() {
        let target = Target {
            group: "autoscaling",
            kind: "Scale",
            ..Target::new(resource, meta_str(object, "name"))
        };
        let detail = "must be greater than or equal to 0";
        let cause = FieldError::invalid("spec.replicas", replicas, detail);
        return Err(invalid(target, vec![cause]));
    }
    let mut scaled = object.clone();
    match resource.custom {
        Some(custom) => custom.set_scale(&mut scaled, replicas),
        None => {
            child_mut(&mut scaled, "spec").insert("replicas".to_owned(), json!(replicas));
        }
    }
    Ok(scaled)
}

/// What a configuration of the scale states, as a configuration of the object.
pub(super) fn config_of_object(resource: &Resource, scale: &Value) -> Value {
    let mut config = json!({ "apiVersion": resource.api_version(), "kind": resource.kind });
    for field in ["metadata", "spec"] {
        if let Some(value) = scale.get(field) {
            config[field] = value.clone();
        }
    }
    config
}

fn not_a_scale(value: &Value) -> ApiError {
    ApiError::BadRequest(format!(
        "Scale in version \"v1\" cannot be handled as a Scale: spec.replicas must be an integer, not {value}"
    ))
}

/// The object's label selector in the form of the query parameter; empty if it cannot be one.
fn selector_text(object: &Value) -> String {
    let selector = &object["spec"]["selector"];
    if object["kind"] == "ReplicationController" {
        // The oldest of the kinds selects by labels alone.
        let selector = json!({ "matchLabels": selector });
        return LabelSelector::from_value(&selector).map_or_else(|_| String::new(), |selector| selector.to_string());
    }
    LabelSelector::from_value(selector).map_or_else(|_| String::new(), |selector| selector.to_string())
}
