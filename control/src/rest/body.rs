//! Request bodies: bounded, and decoded from JSON, YAML or protobuf.

use api::{protobuf, resource::Resource, schema, yaml};
use axum::body::Body;
use bytes::Bytes;
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use serde_json::Value;

use super::{
    Context,
    negotiate::{BodyType, body_type},
    query::propagation,
};
use crate::engine::{ApiError, Application, DeleteOptions, FieldValidation, Patch, WriteOptions, strict_error};

/// As in Kubernetes: a few times the biggest object that the store should hold.
pub(super) const BODY_BYTES_MAX: usize = 3 << 20;
const OBJECT_TYPES: &[&str] = &[
    "application/json",
    "application/yaml",
    "application/vnd.kubernetes.protobuf",
];
const CUSTOM_OBJECT_TYPES: &[&str] = &["application/json", "application/yaml"];
const PATCH_TYPES: &[&str] = &[
    "application/json-patch+json",
    "application/merge-patch+json",
    "application/strategic-merge-patch+json",
    "application/apply-patch+yaml",
];

/// What a PATCH asks for.
pub(super) enum PatchBody {
    /// A change relative to the object as it is.
    Patch(Patch),
    /// A configuration to apply.
    Apply(Application),
}

/// Reads the whole body.
pub(super) async fn read(body: Body) -> Result<Bytes, ApiError> {
    match Limited::new(body, BODY_BYTES_MAX).collect().await {
        Ok(collected) => Ok(collected.to_bytes()),
        Err(error) if error.downcast_ref::<LengthLimitError>().is_some() => {
            Err(ApiError::TooLarge { limit: BODY_BYTES_MAX })
        }
        Err(error) => Err(ApiError::BadRequest(format!("the body could not be read: {error}"))),
    }
}

/// The object in a body, for creation or replacement of `resource`.
pub(super) async fn object(
    context: &Context,
    resource: &Resource,
    body: Body,
    options: &WriteOptions,
) -> Result<Value, ApiError> {
    if resource.custom.is_some() && matches!(body_type(&context.headers), BodyType::Protobuf) {
        // Nobody gives the fields of a custom kind numbers.
        return Err(ApiError::UnsupportedMediaType {
            accepted: CUSTOM_OBJECT_TYPES,
        });
    }
    let bytes = read(body).await?;
    let (object, duplicates) = decode(context, &bytes, resource.kind)?;
    if !duplicates.is_empty() {
        match options.field_validation {
            FieldValidation::Ignore => {}
            FieldValidation::Warn => duplicates
                .into_iter()
                .for_each(|duplicate| options.warnings.push(duplicate)),
            FieldValidation::Strict => {
                let unknown = schema::check_fields(resource, &object);
                return Err(strict_error(resource, &[duplicates, unknown].concat()));
            }
        }
    }
    Ok(object)
}

/// Any object; fields that stand twice are named.
fn decode(context: &Context, bytes: &[u8], kind: &str) -> Result<(Value, Vec<String>), ApiError> {
    let malformed = |error: &dyn std::fmt::Display| {
        ApiError::BadRequest(format!(
            "the object provided is unrecognized (expected a {kind}): {error}"
        ))
    };
    match body_type(&context.headers) {
        BodyType::Json => {
            let parsed = schema::parse_strict(bytes).map_err(|error| malformed(&error))?;
            Ok((parsed.value, parsed.duplicates))
        }
        BodyType::Yaml => {
            let text = std::str::from_utf8(bytes).map_err(|error| malformed(&error))?;
            let document = yaml::document(text).map_err(|error| malformed(&error))?;
            Ok((document.value, document.duplicates))
        }
        BodyType::Protobuf => {
            let (_, value) = protobuf::decode(bytes).map_err(|error| malformed(&error))?;
            Ok((value, Vec::new()))
        }
        BodyType::JsonPatch
        | BodyType::MergePatch
        | BodyType::StrategicMergePatch
        | BodyType::ApplyPatch
        | BodyType::Unknown => Err(ApiError::UnsupportedMediaType { accepted: OBJECT_TYPES }),
    }
}

/// The patch in a body, once what goes with it is known to be right.
pub(super) async fn patch(context: &Context, body: Body, options: &WriteOptions) -> Result<PatchBody, ApiError> {
    let kind = body_type(&context.headers);
    context.query.check_patch_options(kind == BodyType::ApplyPatch)?;
    let bytes = read(body).await?;
    // In the words of an API server, which kubectl shows as they are.
    let parse = |bytes: &[u8]| {
        serde_json::from_slice(bytes).map_err(|error| ApiError::BadRequest(format!("error decoding patch: {error}")))
    };
    match kind {
        BodyType::JsonPatch => Ok(PatchBody::Patch(Patch::Json(bytes.to_vec()))),
        BodyType::MergePatch => Ok(PatchBody::Patch(Patch::Merge(parse(&bytes)?))),
        BodyType::StrategicMergePatch => Ok(PatchBody::Patch(Patch::Strategic(parse(&bytes)?))),
        BodyType::ApplyPatch => Ok(PatchBody::Apply(Application {
            config: config(&bytes, options)?,
            force: context.query.flag("force"),
        })),
        BodyType::Json | BodyType::Yaml | BodyType::Protobuf | BodyType::Unknown => {
            Err(ApiError::UnsupportedMediaType { accepted: PATCH_TYPES })
        }
    }
}

/// The configuration in the body of an apply: YAML, of which JSON is a part.
fn config(bytes: &[u8], options: &WriteOptions) -> Result<Value, ApiError> {
    let refuse = |error: &dyn std::fmt::Display| ApiError::BadRequest(format!("error decoding YAML: {error}"));
    let (config, duplicates) = match schema::parse_strict(bytes) {
        Ok(parsed) => (parsed.value, parsed.duplicates),
        Err(_) => {
            let text = std::str::from_utf8(bytes).map_err(|error| refuse(&error))?;
            let document = yaml::document(text).map_err(|error| refuse(&error))?;
            (document.value, document.duplicates)
        }
    };
    if !config.is_object() {
        return Err(refuse(&"the configuration is not an object"));
    }
    match options.field_validation {
        FieldValidation::Strict if !duplicates.is_empty() => Err(ApiError::BadRequest(format!(
            "error strict decoding YAML: {}",
            duplicates.join(", ")
        ))),
        FieldValidation::Strict | FieldValidation::Ignore => Ok(config),
        FieldValidation::Warn => {
            duplicates
                .into_iter()
                .for_each(|duplicate| options.warnings.push(duplicate));
            Ok(config)
        }
    }
}

/// The options of a deletion: what the query says, and what the body says instead.
pub(super) async fn delete_options(context: &Context, body: Body) -> Result<DeleteOptions, ApiError> {
    let options = context.query.delete_options()?;
    let bytes = read(body).await?;
    if bytes.is_empty() {
        return Ok(options);
    }
    let (value, _) = decode(context, &bytes, "DeleteOptions")?;
    merge_delete_options(options, &value)
}

/// Options with what a `DeleteOptions` object says.
pub(super) fn merge_delete_options(mut options: DeleteOptions, value: &Value) -> Result<DeleteOptions, ApiError> {
    if let Some(grace) = value["gracePeriodSeconds"].as_i64() {
        options.grace_period_s = Some(grace);
    }
    if let Some(text) = value["propagationPolicy"].as_str() {
        options.propagation = propagation(text)?;
    } else if let Some(orphan) = value["orphanDependents"].as_bool() {
        options.propagation = propagation(if orphan { "Orphan" } else { "Background" })?;
    }
    let text = |value: &Value| value.as_str().filter(|text| !text.is_empty()).map(str::to_owned);
    options.uid = text(&value["preconditions"]["uid"]).or(options.uid);
    options.resource_version = text(&value["preconditions"]["resourceVersion"]).or(options.resource_version);
    for dry_run in value["dryRun"].as_array().into_iter().flatten() {
        if dry_run != "All" {
            return Err(ApiError::BadRequest(format!(
                "invalid value for dryRun: Unsupported value: {dry_run}: supported values: \"All\""
            )));
        }
        options.dry_run = true;
    }
    Ok(options)
}

/// The object in the body of a subresource's request; null if there is no body.
pub(super) async fn any(context: &Context, body: Body, kind: &str) -> Result<Value, ApiError> {
    let bytes = read(body).await?;
    if bytes.is_empty() {
        return Ok(Value::Null);
    }
    Ok(decode(context, &bytes, kind)?.0)
}
