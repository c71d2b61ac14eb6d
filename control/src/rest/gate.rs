//! What stands before every request: who calls, as whom, and whether that caller may do this.
//!
//! Never here: how tokens are checked (`auth`) and what rules say (`authorization`).
//! Source: Kubernetes, "Controlling Access to the Kubernetes API".

use api::{Timestamp, selector::FieldSelector};
use http::{HeaderMap, header, request::Parts};

use super::{
    path::{ObjectPath, Route},
    query::Query,
    verb,
};
use crate::{
    auth::{self, Caller, Impersonation},
    authorization::{Request, ResourceRequest, refusal},
    engine::{ApiError, Engine, Target},
};

/// Fetches what is needed to tell whom the request's token stands for. Returns soon, whatever comes of it.
pub(super) async fn prepare(engine: &Engine, caller: &Caller, headers: &HeaderMap) {
    if caller.is_anonymous()
        && let Some(token) = bearer_token(headers)
    {
        auth::prepare(engine.tokens(), token).await;
    }
}

/// Answers who the request is to be carried out for.
///
/// # Errors
/// When the caller is not who it says, or may not do this.
pub(super) fn admit(engine: &Engine, caller: Caller, parts: &Parts, route: Option<&Route>) -> Result<Caller, ApiError> {
    let caller = authenticate(engine, caller, &parts.headers)?;
    let caller = impersonate(engine, caller, &parts.headers)?;
    if auth::is_public_path(parts.uri.path()) {
        return Ok(caller);
    }
    let request = request(parts, route);
    may(engine, &caller, &request, route)?;
    if let Some(also) = also_needed(&request) {
        may(engine, &caller, &also, route)?;
    }
    Ok(caller)
}

fn may(engine: &Engine, caller: &Caller, request: &Request, route: Option<&Route>) -> Result<(), ApiError> {
    let reason = match caller.is_anonymous() {
        // Whatever bindings say: who wants more than health must say who it is.
        true => String::new(),
        false => {
            let decision = engine.access().decide(caller, request).map_err(ApiError::Read)?;
            if decision.allowed {
                return Ok(());
            }
            decision.reason
        }
    };
    let detail = refusal(caller, request, &reason);
    match route {
        Some(Route::Objects(object)) => match object.resource(&engine.registry().kinds()) {
            Some(resource) => Err(ApiError::forbidden(Target::new(resource, &object.name), detail)),
            None => Err(ApiError::ForbiddenPath(detail)),
        },
        _ => Err(ApiError::ForbiddenPath(detail)),
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

fn impersonate(engine: &Engine, caller: Caller, headers: &HeaderMap) -> Result<Caller, ApiError> {
    let wanted = Impersonation::parse(headers).map_err(|error| ApiError::BadRequest(error.to_string()))?;
    let Some(wanted) = wanted else { return Ok(caller) };
    for request in wanted.requests() {
        let decision = engine.access().decide(&caller, &request).map_err(ApiError::Read)?;
        if caller.is_anonymous() || !decision.allowed {
            let Request::Resource(asked) = &request else { continue };
            let detail = refusal(&caller, &request, &decision.reason);
            return Err(ApiError::forbidden(impersonated(asked), detail));
        }
    }
    tracing::info!(user = caller.user, r#as = ?wanted, "impersonation");
    Ok(wanted.into_caller())
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
fn request(parts: &Parts, route: Option<&Route>) -> Request {
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
