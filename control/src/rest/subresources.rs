//! Requests about parts of objects: status, scale, finalize, binding, eviction, ephemeralcontainers, resize, log, exec,
//! attach, portforward, proxy.
//!
//! Source: Kubernetes API reference, "Pod" operations; autoscaling/v1 Scale; policy/v1 Eviction.

use api::resource::Resource;
use axum::body::Body;
use http::{Method, Response, StatusCode};
use serde_json::Value;

use super::{
    Context, body,
    negotiate::{Form, form},
    nodes, objects,
    path::ObjectPath,
    proxy, reviews, status, streams, table, warn,
};
use crate::engine::{ApiError, object::meta_str};

/// Answers a request about a subresource.
pub(super) async fn handle(
    context: &Context,
    resource: &'static Resource,
    path: &ObjectPath,
    body: Body,
) -> Result<Response<Body>, ApiError> {
    if is_proxy(&path.subresource) && resource.subresource("proxy").is_some() {
        return proxy::handle(context, resource, path, body).await;
    }
    if resource.subresource(&path.subresource).is_none() {
        return Err(ApiError::NoSuchPath);
    }
    match (path.subresource.as_str(), &context.method) {
        ("approval" | "ephemeralcontainers" | "finalize" | "resize" | "status", &Method::GET) => {
            read_whole(context, resource, path).await
        }
        ("scale", &Method::GET) => {
            let scale = context
                .engine()
                .get_scale(resource, &path.namespace, &path.name)
                .await?;
            let answer = match form(&context.headers)? {
                Form::Table => table::scale(&scale, table::include(&context.query)),
                Form::Object | Form::Metadata => scale,
            };
            Ok(status::json(StatusCode::OK, &answer))
        }
        ("approval" | "ephemeralcontainers" | "finalize" | "resize" | "scale" | "status", &Method::PUT) => {
            update(context, resource, path, body).await
        }
        ("approval" | "ephemeralcontainers" | "resize" | "scale" | "status", &Method::PATCH) => {
            patch(context, resource, path, body).await
        }
        ("binding", &Method::POST) => bind(context, path, body).await,
        ("eviction", &Method::POST) => evict(context, resource, path, body).await,
        ("token", &Method::POST) => reviews::token(context, path, body).await,
        ("log", &Method::GET) => nodes::log(context, resource, path).await,
        ("exec", &Method::GET | &Method::POST) => streams::exec(context, resource, path).await,
        ("attach", &Method::GET | &Method::POST) => streams::attach(context, resource, path).await,
        ("portforward", &Method::GET | &Method::POST) => streams::port_forward(context, resource, path).await,
        (
            "approval"
            | "attach"
            | "binding"
            | "ephemeralcontainers"
            | "eviction"
            | "exec"
            | "finalize"
            | "log"
            | "portforward"
            | "resize"
            | "scale"
            | "status"
            | "token",
            _,
        ) => Err(ApiError::MethodNotAllowed),
        _ => Err(ApiError::NoSuchPath),
    }
}

/// Whether a subresource is a proxy or something behind one.
pub(super) fn is_proxy(subresource: &str) -> bool {
    subresource.split('/').next() == Some("proxy")
}

async fn read_whole(context: &Context, resource: &Resource, path: &ObjectPath) -> Result<Response<Body>, ApiError> {
    let form = form(&context.headers)?;
    let object = context.engine().shown(resource, &path.namespace, &path.name).await?;
    Ok(objects::answer(context, resource, form, StatusCode::OK, object))
}

async fn update(
    context: &Context,
    resource: &Resource,
    path: &ObjectPath,
    body: Body,
) -> Result<Response<Body>, ApiError> {
    let options = context.write_options()?;
    let wanted = if path.subresource == "scale" {
        body::any(context, body, "Scale").await?
    } else {
        body::object(context, resource, body, &options).await?
    };
    let updated = context
        .engine()
        .update(
            &context.caller,
            resource,
            &path.namespace,
            &path.name,
            Some(&path.subresource),
            wanted,
            &options,
        )
        .await?;
    Ok(warn(written(context, resource, path, updated)?, &options.warnings))
}

async fn patch(
    context: &Context,
    resource: &Resource,
    path: &ObjectPath,
    body: Body,
) -> Result<Response<Body>, ApiError> {
    let options = context.write_options()?;
    let patch = body::patch(context, body, &options).await?;
    let subresource = Some(path.subresource.as_str());
    let (_, patched) = objects::carry_out(context, resource, path, subresource, patch, &options).await?;
    Ok(warn(written(context, resource, path, patched)?, &options.warnings))
}

fn written(
    context: &Context,
    resource: &Resource,
    path: &ObjectPath,
    object: Value,
) -> Result<Response<Body>, ApiError> {
    let form = if path.subresource == "scale" {
        Form::Object
    } else {
        form(&context.headers)?
    };
    Ok(objects::answer(context, resource, form, StatusCode::OK, object))
}

/// `POST pods/NAME/binding`, or `POST bindings`, where the binding's own name is the pod's.
pub(super) async fn bind(context: &Context, path: &ObjectPath, body: Body) -> Result<Response<Body>, ApiError> {
    let binding = body::any(context, body, "Binding").await?;
    let target = &binding["target"];
    let kind = target["kind"].as_str().unwrap_or_default();
    if !matches!(kind, "" | "Node") {
        return Err(ApiError::BadRequest(format!(
            "target.kind: Unsupported value: {kind:?}: supported values: \"Node\""
        )));
    }
    let node = target["name"].as_str().unwrap_or_default();
    if node.is_empty() {
        return Err(ApiError::BadRequest("target.name: Required value".to_owned()));
    }
    let pod = match (path.name.as_str(), meta_str(&binding, "name")) {
        ("", "") => return Err(ApiError::BadRequest("metadata.name: Required value".to_owned())),
        ("", own) => own,
        (name, _) => name,
    };
    let uid = Some(meta_str(&binding, "uid")).filter(|uid| !uid.is_empty());
    context
        .engine()
        .bind(&context.caller, &path.namespace, pod, uid, node)
        .await?;
    Ok(status::json(StatusCode::CREATED, &status::success(None)))
}

/// `POST pods/NAME/eviction`: a deletion that may be refused. Nothing protects pods yet, so none is.
async fn evict(
    context: &Context,
    resource: &Resource,
    path: &ObjectPath,
    body: Body,
) -> Result<Response<Body>, ApiError> {
    let eviction = body::any(context, body, "Eviction").await?;
    let options = context.query.delete_options()?;
    let options = body::merge_delete_options(options, &eviction["deleteOptions"])?;
    context
        .engine()
        .delete(&context.caller, resource, &path.namespace, &path.name, options)
        .await?;
    Ok(status::json(StatusCode::CREATED, &status::success(None)))
}
