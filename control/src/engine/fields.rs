//! Whether a body is an object of its kind: apiVersion and kind, unknown fields, types of fields.

use api::{resource::Resource, schema};
use serde_json::{Value, json};

use super::{ApiError, FieldValidation, WriteOptions};

/// Sets apiVersion and kind, or refuses others than those of the resource.
pub(super) fn identify(resource: &Resource, object: &mut Value) -> Result<(), ApiError> {
    if !object.is_object() {
        return Err(ApiError::BadRequest(format!(
            "the body is not a JSON object that can be a {}",
            resource.kind
        )));
    }
    let api_version = resource.api_version();
    for (field, wanted) in [("apiVersion", api_version.as_str()), ("kind", resource.kind)] {
        match object[field].as_str() {
            None | Some("") => object[field] = json!(wanted),
            Some(given) if given == wanted => {}
            Some(given) => {
                let name = if field == "kind" { "kind" } else { "API version" };
                return Err(ApiError::BadRequest(format!(
                    "the {name} in the data ({given}) does not match the expected {name} ({wanted})"
                )));
            }
        }
    }
    Ok(())
}

/// Drops fields that the kind does not know, or refuses them, as the options say; then refuses what is not of the
/// right type.
pub(super) fn check(resource: &Resource, object: &mut Value, options: &WriteOptions) -> Result<(), ApiError> {
    if options.field_validation != FieldValidation::Ignore {
        let faults = schema::check_fields(resource, object);
        if !faults.is_empty() && options.field_validation == FieldValidation::Strict {
            return Err(strict_error(resource, &faults));
        }
        for fault in faults {
            options.warnings.push(fault);
        }
    }
    schema::prune(resource, object);
    schema::check_types(resource, object).map_err(|error| not_handled(resource, &error.to_string()))
}

/// The type that an object says it is of, as `apps/v1, Kind=Deployment`.
pub(super) fn object_type(object: &Value) -> String {
    let text = |field: &str| object[field].as_str().unwrap_or_default();
    let slash = if text("apiVersion").contains('/') { "" } else { "/" };
    format!("{slash}{}, Kind={}", text("apiVersion"), text("kind"))
}

/// The refusal of unknown or duplicate fields.
pub(crate) fn strict_error(resource: &Resource, faults: &[String]) -> ApiError {
    not_handled(resource, &format!("strict decoding error: {}", faults.join(", ")))
}

/// The refusal of a body that is not an object of the kind.
pub(crate) fn not_handled(resource: &Resource, detail: &str) -> ApiError {
    ApiError::BadRequest(format!(
        "{kind} in version {version:?} cannot be handled as a {kind}: {detail}",
        kind = resource.kind,
        version = resource.version,
    ))
}
