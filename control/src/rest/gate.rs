//! What stands before every request: who calls, as whom, and whether that caller may do this.
//!
//! Never here: how tokens are checked (`auth`) and what rules say (`authorization`).
//! Source: Kubernetes, "Controlling Access to the Kubernetes API".

use api::{Timestamp, selector::FieldSelector};
use http::{HeaderMap, header, request::Parts};

use super::{
    front::Course,
    path::{ObjectPath, Route},
    query::Query,
    verb,
};
use crate::{
    auth::{self, Caller, Impersonation},
    authorization::{Decision, Request, ResourceRequest, refusal},
    engine::{ApiError, Engine, Target},
};

/// Fetches what is needed to tell whom the request's token stands for. Returns soon, whatever comes of it.
pub(super) async fn prepare(engine: &Engine, parts: &Parts) {
    let is_known = parts
        .extensions
        .get::<Caller>()
        .is_some_and(|caller| !caller.is_anonymous());
    if let Some(token) = bearer_token(&parts.headers).filter(|_| !is_known) {
        auth::prepare(engine.tokens(), token).await;
    }
}

/// Answers who the request is to be carried out for; its course learns of it on the way.
///
/// # Errors
/// When the caller is not who it says, or may not act as whom it wants to.
pub(super) fn identify(engine: &Engine, parts: &Parts, course: &mut Course) -> Result<Caller, ApiError> {
    let connected = parts.extensions.get::<Caller>().cloned();
    let caller = authenticate(engine, connected.unwrap_or_else(Caller::anonymous), &parts.headers);
    course.received(caller.as_ref().ok());
    let mut caller = caller?;
    if let Some(other) = impersonate(engine, &caller, &parts.headers)? {
        course.impersonated(&other);
        caller = other;
    }
    Ok(caller)
}

/// Whether the caller may do this; the request's course learns why.
///
/// # Errors
/// When it may not.
pub(super) fn authorize(engine: &Engine, caller: &Caller, parts: &Parts, course: &mut Course) -> Result<(), ApiError> {
    if auth::is_public_path(parts.uri.path()) {
        return Ok(());
    }
    let asked = course.asked.clone();
    for asked in std::iter::once(&asked).chain(also_needed(&asked).as_ref()) {
        let decision = judge(engine, caller, asked)?;
        course.judged(decision.allowed, &decision.reason);
        if !decision.allowed {
            return Err(forbidden(
                engine,
                caller,
                asked,
                course.route.as_ref(),
                &decision.reason,
            ));
        }
    }
    Ok(())
}

fn judge(engine: &Engine, caller: &Caller, request: &Request) -> Result<Decision, ApiError> {
    if caller.is_anonymous() {
        // Whatever bindings say: who wants more than health must say who it is.
        return Ok(Decision {
            allowed: false,
            reason: String::new(),
        });
    }
    engine.access().decide(caller, request).map_err(ApiError::Read)
}

fn forbidden(engine: &Engine, caller: &Caller, request: &Request, route: Option<&Route>, reason: &str) -> ApiError {
    let detail = refusal(caller, request, reason);
    match route {
        Some(Route::Objects(object)) => match object.resource(&engine.registry().kinds()) {
            Some(resource) => ApiError::forbidden(Target::new(resource, &object.name), detail),
            None => ApiError::ForbiddenPath(detail),
        },
        _ => ApiError::ForbiddenPath(detail),
    }
}

/// Running something in a pod takes the right to create, also where WebSocket makes its request a GET: who may only
/// read pods gets no shell in them.
fn also_needed(request: &Request) -> Option<Request> {
    let Request::Resource(asked) = request else { return None };
    let runs = asked.group.is_empty()
        && asked.resource == "pods"
        && matches!(asked.subresource.as_str(), "attach" | "exec" | "portforward");
    (runs && asked.verb == "get").then(|| {
        Request::Resource(ResourceRequest {
            verb: "create".to_owned(),
            ..asked.clone()
        })
    })
}

/// A certificate counts before a token, as in Kubernetes; a wrong token is an error even where none is needed.
fn authenticate(engine: &Engine, caller: Caller, headers: &HeaderMap) -> Result<Caller, ApiError> {
    if !caller.is_anonymous() || !headers.contains_key(header::AUTHORIZATION) {
        return Ok(caller);
    }
    let token = bearer_token(headers).ok_or(ApiError::Unauthorized)?;
    match auth::authenticate(engine.store(), engine.tokens(), token, &[], Timestamp::now())? {
        Ok(authenticated) => Ok(authenticated.caller),
        Err(error) => {
            tracing::info!(error = &error as &dyn std::error::Error, "token refused");
            Err(ApiError::Unauthorized)
        }
    }
}

fn bearer_token(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.trim().split_once(' ')?;
    Some(token.trim()).filter(|token| scheme.eq_ignore_ascii_case("bearer") && !token.is_empty())
}

/// Whom the caller wants to act as, which it may.
fn impersonate(engine: &Engine, caller: &Caller, headers: &HeaderMap) -> Result<Option<Caller>, ApiError> {
    let wanted = Impersonation::parse(headers).map_err(|error| ApiError::BadRequest(error.to_string()))?;
    let Some(wanted) = wanted else { return Ok(None) };
    for request in wanted.requests() {
        let decision = engine.access().decide(caller, &request).map_err(ApiError::Read)?;
        if caller.is_anonymous() || !decision.allowed {
            let Request::Resource(asked) = &request else { continue };
            let detail = refusal(caller, &request, &decision.reason);
            return Err(ApiError::forbidden(impersonated(asked), detail));
        }
    }
    tracing::info!(user = caller.user, r#as = ?wanted, "impersonation");
    Ok(Some(wanted.into_caller()))
}

/// What an impersonation is of, as refusals name it.
fn impersonated(request: &ResourceRequest) -> Target {
    let (group, resource, kind) = match request.resource.as_str() {
        "serviceaccounts" => ("", "serviceaccounts", "ServiceAccount"),
        "groups" => ("", "groups", "Group"),
        "uids" => ("authentication.k8s.io", "uids", "UID"),
        "userextras" => ("authentication.k8s.io", "userextras", "UserExtra"),
        _ => ("", "users", "User"),
    };
    Target {
        group,
        resource,
        kind,
        name: request.name.clone(),
    }
}

/// What a request asks to do, as rules see it.
pub(super) fn request(parts: &Parts, route: Option<&Route>) -> Request {
    match route {
        Some(Route::Objects(object)) => Request::Resource(with_objects(parts, object)),
        _ => Request::Path {
            verb: parts.method.as_str().to_ascii_lowercase(),
            path: parts.uri.path().to_owned(),
        },
    }
}

fn with_objects(parts: &Parts, object: &ObjectPath) -> ResourceRequest {
    let query = Query::parse(&parts.uri).unwrap_or_default();
    let selector = FieldSelector::parse(query.get("fieldSelector")).unwrap_or_default();
    let demanded = |path: &str| selector.required(path).unwrap_or_default().to_owned();
    let verb = verb(&parts.method, query.flag("watch"), object);
    // A collection of one object is that object.
    let name = match (object.name.as_str(), verb) {
        ("", "list" | "watch" | "deletecollection") => demanded("metadata.name"),
        (name, _) => name.to_owned(),
    };
    // A namespace is in itself: who has rights there may have some over it.
    let namespace = match object.plural.as_str() {
        "namespaces" if object.group.is_empty() => object.name.clone(),
        _ => object.namespace.clone(),
    };
    ResourceRequest {
        verb: verb.to_owned(),
        group: object.group.clone(),
        resource: object.plural.clone(),
        // What follows `proxy/` is the pod's own.
        subresource: match object.subresource.split_once('/') {
            Some((first, _)) => first.to_owned(),
            None => object.subresource.clone(),
        },
        namespace,
        name,
        node: demanded("spec.nodeName"),
    }
}

#[cfg(test)]
mod tests;
