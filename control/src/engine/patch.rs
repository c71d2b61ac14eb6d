//! Patches: JSON patch, JSON merge patch, strategic merge patch, of an object or of one of its subresources.
//!
//! Source: RFC 6902, RFC 7396; Kubernetes, "Update API Objects in Place Using kubectl patch".

use api::{
    conversion,
    patch::{self, PatchError},
    resource::Resource,
};
use serde_json::Value;

use super::{
    ApiError, Attempt, Caller, Engine, Operation, WriteOptions, fields,
    managed::Record,
    object::{child_mut, meta_str},
    scale,
    strategy::Part,
    update::{check_uid, check_version, draft, part},
};

const CUSTOM_PATCH_TYPES: &[&str] = &[
    "application/json-patch+json",
    "application/merge-patch+json",
    "application/apply-patch+yaml",
];

/// A change relative to the object as it is.
#[derive(Debug, Clone, PartialEq)]
pub enum Patch {
    /// RFC 6902: the JSON text of a list of operations.
    Json(Vec<u8>),
    /// RFC 7396.
    Merge(Value),
    /// As a merge patch, but lists are merged by the keys of their kind.
    Strategic(Value),
}

impl Engine {
    /// Patches an object, or one of its subresources (`status`, `scale`), and answers it as stored; a scale answers a
    /// Scale. A `metadata.resourceVersion` in a merge patch is a precondition; without one the patch is applied to
    /// whatever version is there.
    ///
    /// # Errors
    /// See [`ApiError`]; nothing was written.
    #[expect(clippy::too_many_arguments, reason = "each names one part of the request path")]
    pub async fn patch(
        &self,
        caller: &Caller,
        resource: &Resource,
        namespace: &str,
        name: &str,
        subresource: Option<&str>,
        patch: Patch,
        options: &WriteOptions,
    ) -> Result<Value, ApiError> {
        if resource.custom.is_some() && matches!(patch, Patch::Strategic(_)) {
            // Nobody says of a custom kind how its lists are merged.
            return Err(ApiError::UnsupportedMediaType {
                accepted: CUSTOM_PATCH_TYPES,
            });
        }
        let scaled = subresource == Some("scale");
        let part = if scaled {
            scale::known(resource)?;
            Part::Main
        } else {
            part(resource, subresource)?
        };
        let asked = resource;
        let resource = asked.stored();
        let attempt = Attempt {
            subresource: subresource.unwrap_or_default(),
            ..Attempt::new(caller, Operation::Update, asked, namespace, name, options)
        };
        let outcome = self
            .modify(attempt, |current| {
                let wanted = if scaled {
                    let mut wanted = scale::of(resource, current);
                    apply(resource, &patch, &mut wanted)?;
                    fixed(resource, current, &wanted)?;
                    scale::apply(resource, current, &wanted)?
                } else {
                    patched(asked, &patch, current, options)?
                };
                let record = Record::Changes {
                    manager: &options.manager,
                    subresource: subresource.unwrap_or_default(),
                };
                Ok(draft(resource, part, current, wanted, record))
            })
            .await?;
        let mut object = outcome.into_object();
        if scaled {
            return Ok(scale::of(resource, &object));
        }
        conversion::from_stored(asked, &mut object);
        Ok(object)
    }
}

/// The patch is applied in the form that the client knows; the result is in the stored one.
fn patched(resource: &Resource, patch: &Patch, current: &Value, options: &WriteOptions) -> Result<Value, ApiError> {
    let mut wanted = current.clone();
    conversion::from_stored(resource, &mut wanted);
    apply(resource, patch, &mut wanted)?;
    fixed(resource, current, &wanted)?;
    fields::identify(resource, &mut wanted)?;
    fields::check(resource, &mut wanted, options)?;
    conversion::to_stored(resource, &mut wanted);
    Ok(wanted)
}

fn apply(resource: &Resource, patch: &Patch, object: &mut Value) -> Result<(), ApiError> {
    let result = match patch {
        Patch::Json(operations) => patch::json_patch(object, operations),
        Patch::Merge(merge) => patch::json_merge(object, merge),
        Patch::Strategic(merge) => patch::strategic_merge(resource, object, merge),
    };
    result.map_err(|error| match error {
        PatchError::Malformed(detail) => ApiError::BadRequest(format!("the patch is malformed: {detail}")),
        PatchError::Inapplicable(detail) | PatchError::TestFailed(detail) => ApiError::PatchFailed { detail },
    })?;
    if !object.is_object() {
        return Err(ApiError::BadRequest("a patch must leave an object".to_owned()));
    }
    // A patch that removes the metadata keeps what the server owns.
    child_mut(object, "metadata");
    Ok(())
}

/// A patch cannot change which object it is about; a version it names is a precondition.
pub(super) fn fixed(resource: &Resource, current: &Value, wanted: &Value) -> Result<(), ApiError> {
    check_uid(resource, current, meta_str(wanted, "uid"))?;
    for field in ["name", "namespace"] {
        let (there, given) = (meta_str(current, field), meta_str(wanted, field));
        if !given.is_empty() && given != there {
            return Err(ApiError::BadRequest(format!(
                "the {field} of the object ({given}) does not match the {field} on the URL ({there})"
            )));
        }
    }
    check_version(resource, current, meta_str(wanted, "resourceVersion"))
}
