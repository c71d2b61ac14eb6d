//! `componentstatuses`: the parts of the server that can be asked how they are, as objects that are made when read.
//!
//! Source: Kubernetes API reference, "ComponentStatus" (deprecated, still served).

use api::resource::Resource;
use axum::body::Body;
use http::{Response, StatusCode};
use serde_json::{Value, json};

use super::{Context, collection, health, negotiate::form, objects, path::ObjectPath};
use crate::engine::{ApiError, Target, selects};

/// Answers a read of all parts, or of one.
pub(super) fn handle(context: &Context, resource: &Resource, path: &ObjectPath) -> Result<Response<Body>, ApiError> {
    let form = form(&context.headers)?;
    let components = [component(resource, health::STORE, health::store(context))];
    if !path.subresource.is_empty() {
        return Err(ApiError::NoSuchPath);
    }
    if !path.name.is_empty() {
        let found = components
            .into_iter()
            .find(|component| component["metadata"]["name"] == path.name);
        let found = found.ok_or_else(|| ApiError::NotFound(Target::new(resource, &path.name)))?;
        return Ok(objects::answer(context, resource, form, StatusCode::OK, found));
    }
    let (labels, fields) = context.query.selectors(resource)?;
    let items: Vec<Value> = components
        .into_iter()
        .filter(|component| selects(component, &labels, &fields))
        .collect();
    let metadata = json!({ "resourceVersion": context.engine().store().revision().to_string() });
    Ok(collection::answer(context, resource, form, metadata, &items))
}

fn component<E: std::error::Error>(resource: &Resource, name: &str, state: Result<(), E>) -> Value {
    let condition = match state {
        Ok(()) => json!({ "type": "Healthy", "status": "True", "message": "ok" }),
        Err(error) => json!({ "type": "Healthy", "status": "False", "error": error.to_string() }),
    };
    json!({
        "kind": resource.kind,
        "apiVersion": resource.api_version(),
        "metadata": { "name": name },
        "conditions": [condition],
    })
}
