//! Requests about objects: which verb, and the answer.

use api::{object::Scope, resource::Resource};
use axum::body::Body;
use http::{Method, Response, StatusCode};
use serde_json::{Value, json};

use super::{
    Context,
    body::{self, PatchBody},
    collection, components,
    negotiate::{Form, form},
    path::ObjectPath,
    reviews, status, subresources, table, warn, watch,
};
use crate::engine::{ApiError, Applied, Deleted, WriteOptions, object};

/// Answers a request about a collection, an object or a subresource of one.
pub(super) async fn handle(
    context: &Context,
    resource: &'static Resource,
    path: &ObjectPath,
    body: Body,
) -> Result<Response<Body>, ApiError> {
    if resource.scope == Scope::Cluster && !path.namespace.is_empty() {
        return Err(ApiError::NoSuchPath);
    }
    if path.subresource.is_empty()
        && !resource
            .verbs
            .contains(&super::verb(&context.method, context.query.flag("watch"), path))
    {
        return Err(ApiError::MethodNotAllowed);
    }
    if resource.group.is_empty() && resource.kind == "ComponentStatus" {
        return components::handle(context, resource, path);
    }
    if !resource.is_kept {
        if !path.name.is_empty() || resource.is_namespaced() == path.namespace.is_empty() {
            return Err(ApiError::NoSuchPath);
        }
        return reviews::answer(context, resource, path, body).await;
    }
    if path.name.is_empty() {
        return in_collection(context, resource, path, body).await;
    }
    if resource.scope == Scope::Namespaced && path.namespace.is_empty() {
        return Err(ApiError::NoSuchPath);
    }
    if !path.subresource.is_empty() {
        return subresources::handle(context, resource, path, body).await;
    }
    match context.method {
        Method::GET | Method::HEAD if context.query.flag("watch") => watch::start(context, resource, path).await,
        Method::GET | Method::HEAD => get(context, resource, path).await,
        Method::PUT => update(context, resource, path, body).await,
        Method::PATCH => patch(context, resource, path, body).await,
        Method::DELETE => delete(context, resource, path, body).await,
        _ => Err(ApiError::MethodNotAllowed),
    }
}

async fn in_collection(
    context: &Context,
    resource: &'static Resource,
    path: &ObjectPath,
    body: Body,
) -> Result<Response<Body>, ApiError> {
    match context.method {
        Method::GET | Method::HEAD if context.query.flag("watch") => watch::start(context, resource, path).await,
        Method::GET | Method::HEAD => collection::list(context, resource, path).await,
        Method::POST if resource.scope == Scope::Namespaced && path.namespace.is_empty() => {
            Err(ApiError::MethodNotAllowed)
        }
        Method::POST if resource.group.is_empty() && resource.kind == "Binding" => {
            subresources::bind(context, path, body).await
        }
        Method::POST => create(context, resource, path, body).await,
        Method::DELETE => collection::delete(context, resource, path, body).await,
        _ => Err(ApiError::MethodNotAllowed),
    }
}

async fn get(context: &Context, resource: &Resource, path: &ObjectPath) -> Result<Response<Body>, ApiError> {
    let form = form(&context.headers)?;
    let stored = context
        .engine()
        .get_stored(resource, &path.namespace, &path.name)
        .await?;
    if form == Form::Object {
        let bytes = object::bytes_as(resource, &stored)?;
        return Ok(status::bytes_answer(StatusCode::OK, "application/json", bytes));
    }
    Ok(answer(
        context,
        resource,
        form,
        StatusCode::OK,
        object::decode_as(resource, &stored)?,
    ))
}

async fn create(
    context: &Context,
    resource: &Resource,
    path: &ObjectPath,
    body: Body,
) -> Result<Response<Body>, ApiError> {
    let form = form(&context.headers)?;
    let options = context.write_options()?;
    let object = body::object(context, resource, body, &options).await?;
    let created = context
        .engine()
        .create(&context.caller, resource, &path.namespace, object, &options)
        .await?;
    let response = answer(context, resource, form, StatusCode::CREATED, created);
    Ok(warn(response, &options.warnings))
}

async fn update(
    context: &Context,
    resource: &Resource,
    path: &ObjectPath,
    body: Body,
) -> Result<Response<Body>, ApiError> {
    let form = form(&context.headers)?;
    let options = context.write_options()?;
    let object = body::object(context, resource, body, &options).await?;
    let updated = context
        .engine()
        .update(
            &context.caller,
            resource,
            &path.namespace,
            &path.name,
            None,
            object,
            &options,
        )
        .await?;
    Ok(warn(
        answer(context, resource, form, StatusCode::OK, updated),
        &options.warnings,
    ))
}

async fn patch(
    context: &Context,
    resource: &Resource,
    path: &ObjectPath,
    body: Body,
) -> Result<Response<Body>, ApiError> {
    let form = form(&context.headers)?;
    let options = context.write_options()?;
    let patch = body::patch(context, body, &options).await?;
    let (code, patched) = carry_out(context, resource, path, None, patch, &options).await?;
    Ok(warn(answer(context, resource, form, code, patched), &options.warnings))
}

/// Patches, or applies: only that creates what is not there.
pub(super) async fn carry_out(
    context: &Context,
    resource: &Resource,
    path: &ObjectPath,
    subresource: Option<&str>,
    patch: PatchBody,
    options: &WriteOptions,
) -> Result<(StatusCode, Value), ApiError> {
    let (engine, caller) = (context.engine(), &context.caller);
    let (namespace, name) = (&path.namespace, &path.name);
    match patch {
        PatchBody::Patch(patch) => {
            let patched = engine
                .patch(caller, resource, namespace, name, subresource, patch, options)
                .await?;
            Ok((StatusCode::OK, patched))
        }
        PatchBody::Apply(application) => {
            let applied = engine
                .apply(caller, resource, namespace, name, subresource, application, options)
                .await?;
            Ok(match applied {
                Applied::Created(object) => (StatusCode::CREATED, object),
                Applied::Updated(object) => (StatusCode::OK, object),
            })
        }
    }
}

async fn delete(
    context: &Context,
    resource: &Resource,
    path: &ObjectPath,
    body: Body,
) -> Result<Response<Body>, ApiError> {
    let form = form(&context.headers)?;
    let options = body::delete_options(context, body).await?;
    let warnings = options.warnings.clone();
    let deleted = context
        .engine()
        .delete(&context.caller, resource, &path.namespace, &path.name, options)
        .await?;
    let response = match deleted {
        Deleted::Pending(object) => answer(context, resource, form, StatusCode::OK, object),
        Deleted::Gone(object) if answers_object(resource) => answer(context, resource, form, StatusCode::OK, object),
        Deleted::Gone(object) => {
            let mut details = json!({
                "name": path.name,
                "kind": resource.plural,
                "uid": object::meta_str(&object, "uid"),
            });
            if !resource.group.is_empty() {
                details["group"] = json!(resource.group);
            }
            status::json(StatusCode::OK, &status::success(Some(details)))
        }
    };
    Ok(warn(response, &warnings))
}

/// Kinds whose deletion answers the deleted object rather than a Status.
fn answers_object(resource: &Resource) -> bool {
    const KINDS: [&str; 7] = [
        "PersistentVolume",
        "PersistentVolumeClaim",
        "Pod",
        "PodTemplate",
        "ResourceQuota",
        "Service",
        "ServiceAccount",
    ];
    resource.group.is_empty() && KINDS.contains(&resource.kind)
}

/// An object in the form the client asked for.
pub(super) fn answer(
    context: &Context,
    resource: &Resource,
    form: Form,
    code: StatusCode,
    object: Value,
) -> Response<Body> {
    let value = match form {
        Form::Object => object,
        Form::Metadata => table::metadata_only(&object),
        Form::Table => {
            let version = object::meta_str(&object, "resourceVersion").to_owned();
            let mut table = table::render(resource, &[object], table::include(&context.query));
            table["metadata"]["resourceVersion"] = json!(version);
            table
        }
    };
    status::json(code, &value)
}
