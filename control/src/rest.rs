//! The REST side of the server: from an HTTP request to the engine and back.
//!
//! Knows paths, forms, codes; never decides about objects. HTTP codes exist only here.
//! Source: Kubernetes API Concepts; Kubernetes API conventions.

mod body;
mod collection;
mod components;
mod discovery;
mod health;
mod negotiate;
mod nodes;
mod objects;
mod openapi;
mod path;
mod query;
mod remainder;
mod status;
mod subresources;
mod table;
mod watch;

use std::{panic::AssertUnwindSafe, sync::Arc, time::Duration};

use api::resource::{Kinds, Resource};
use axum::body::Body;
use futures::FutureExt as _;
use http::{HeaderMap, HeaderValue, Method, Request, Response, Uri, header};
use tokio_util::sync::CancellationToken;
use tracing::debug;

use crate::{
    auth::{self, Caller},
    engine::{ApiError, Engine, Target, Warnings},
    stream::Nodes,
};

use path::{ObjectPath, Route};
use query::Query;

/// How long a request may take that is not a watch and not a log. As in Kubernetes.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(60);

/// Answers REST requests. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Rest {
    inner: Arc<Inner>,
}

struct Inner {
    engine: Engine,
    nodes: Nodes,
    /// Ends watches, so that a server that is told to stop does.
    shutdown: CancellationToken,
}

/// What is common to the handling of one request.
struct Context {
    rest: Rest,
    caller: Caller,
    method: Method,
    headers: HeaderMap,
    query: Query,
}

impl Rest {
    /// A server of this engine's objects and of these nodes' logs and maps.
    #[must_use]
    pub(crate) fn new(engine: Engine, nodes: Nodes, shutdown: CancellationToken) -> Rest {
        Rest {
            inner: Arc::new(Inner {
                engine,
                nodes,
                shutdown,
            }),
        }
    }

    /// Answers one request. The caller is in its extensions.
    pub(crate) async fn handle(self, request: Request<Body>) -> Response<Body> {
        let caller = request
            .extensions()
            .get::<Caller>()
            .cloned()
            .unwrap_or_else(Caller::anonymous);
        let (parts, body) = request.into_parts();
        let (method, path, user) = (parts.method.clone(), parts.uri.path().to_owned(), caller.user.clone());
        let (body, remainder) = remainder::lend(body);
        // A request that hits a bug must not take the other requests of its connection with it.
        let answer = AssertUnwindSafe(self.answer(caller, parts, body)).catch_unwind().await;
        let response = match answer {
            Ok(Ok(response)) => response,
            Ok(Err(error)) => status::refuse(&error),
            Err(_) => status::refuse(&ApiError::Panicked),
        };
        if response.status().is_client_error() || response.status().is_server_error() {
            remainder.discard().await;
        }
        debug!(%method, path, user, code = response.status().as_u16(), "request");
        response
    }

    async fn answer(self, caller: Caller, parts: http::request::Parts, body: Body) -> Result<Response<Body>, ApiError> {
        let route = path::parse(parts.uri.path());
        let kinds = self.inner.engine.registry().kinds();
        authorize(
            &caller,
            &parts.method,
            &parts.uri,
            &parts.headers,
            route.as_ref(),
            &kinds,
        )?;
        let route = route.ok_or(ApiError::NoSuchPath)?;
        let context = Context {
            rest: self,
            caller,
            query: Query::parse(&parts.uri)?,
            method: parts.method,
            headers: parts.headers,
        };
        if let Route::Objects(object) = &route {
            let resource = object.resource(&kinds).ok_or(ApiError::NoSuchPath)?;
            if is_long(&context, object) {
                return objects::handle(&context, resource, object, body).await;
            }
            return within_time(objects::handle(&context, resource, object, body)).await;
        }
        if context.method != Method::GET && context.method != Method::HEAD {
            return Err(ApiError::MethodNotAllowed);
        }
        within_time(context.other(route)).await
    }
}

impl Context {
    fn engine(&self) -> &Engine {
        &self.rest.inner.engine
    }

    async fn other(&self, route: Route) -> Result<Response<Body>, ApiError> {
        let kinds = self.engine().registry().kinds();
        match route {
            Route::Root => Ok(discovery::root()),
            Route::Version => Ok(health::version()),
            Route::Health { check, part } => health::check(self, &check, &part),
            Route::CoreVersions => Ok(discovery::core_versions(&self.headers, &kinds)),
            Route::Groups => Ok(discovery::groups(&self.headers, &kinds)),
            Route::Group(group) => discovery::group(&self.headers, &kinds, &group),
            Route::Resources { group, version } => discovery::resources(&self.headers, &kinds, &group, &version),
            Route::OpenApiV2 => Ok(openapi::v2(&self.headers, &kinds)),
            Route::OpenApiIndex => Ok(openapi::index(&self.headers, &kinds)),
            Route::OpenApiDocument(path) => openapi::document(&self.headers, &kinds, &path, self.query.has("hash")),
            Route::NodeNet { node, what } => nodes::net(self, &node, &what).await,
            Route::Objects(_) => Err(ApiError::NoSuchPath),
        }
    }
}

async fn within_time(
    answer: impl Future<Output = Result<Response<Body>, ApiError>>,
) -> Result<Response<Body>, ApiError> {
    match tokio::time::timeout(REQUEST_TIMEOUT, answer).await {
        Ok(answer) => answer,
        Err(_) => Err(ApiError::Timeout(format!(
            "the request did not complete within {} seconds",
            REQUEST_TIMEOUT.as_secs()
        ))),
    }
}

/// Watches and logs last as long as their reader wants.
fn is_long(context: &Context, object: &ObjectPath) -> bool {
    context.query.flag("watch") || object.subresource == "log"
}

fn authorize(
    caller: &Caller,
    method: &Method,
    uri: &Uri,
    headers: &HeaderMap,
    route: Option<&Route>,
    kinds: &Kinds,
) -> Result<(), ApiError> {
    if auth::may_use_api(caller) {
        return Ok(());
    }
    if caller.is_anonymous() && headers.contains_key(header::AUTHORIZATION) {
        // Tokens are not accepted yet; saying "forbidden" would hide that the token is the problem.
        return Err(ApiError::Unauthorized);
    }
    if auth::is_public_path(uri.path()) {
        return Ok(());
    }
    if let Some(Route::Objects(object)) = route
        && let Some(resource) = object.resource(kinds)
    {
        return Err(forbidden(caller, method, uri, resource, object));
    }
    Err(ApiError::ForbiddenPath {
        user: caller.user.clone(),
        verb: method.as_str().to_ascii_lowercase(),
        path: uri.path().to_owned(),
    })
}

/// The API's verb for a request.
fn verb(method: &Method, watches: bool, object: &ObjectPath) -> &'static str {
    match (method.as_str(), object.name.is_empty()) {
        ("GET" | "HEAD", _) if watches => "watch",
        ("GET" | "HEAD", true) => "list",
        ("GET" | "HEAD", false) => "get",
        ("POST", _) => "create",
        ("PUT", _) => "update",
        ("PATCH", _) => "patch",
        ("DELETE", true) => "deletecollection",
        ("DELETE", false) => "delete",
        _ => "use",
    }
}

fn forbidden(caller: &Caller, method: &Method, uri: &Uri, resource: &Resource, object: &ObjectPath) -> ApiError {
    let watches = Query::parse(uri).is_ok_and(|query| query.flag("watch"));
    let verb = verb(method, watches, object);
    let part = if object.subresource.is_empty() {
        object.plural.clone()
    } else {
        format!("{}/{}", object.plural, object.subresource)
    };
    let place = if object.namespace.is_empty() {
        "at the cluster scope".to_owned()
    } else {
        format!("in the namespace {:?}", object.namespace)
    };
    let detail = format!(
        "User {:?} cannot {verb} resource {part:?} in API group {:?} {place}",
        caller.user, object.group
    );
    ApiError::forbidden(Target::new(resource, &object.name), detail)
}

/// Adds what the client should be told to an answer.
fn warn(mut response: Response<Body>, warnings: &Warnings) -> Response<Body> {
    for warning in warnings.take() {
        let text = warning
            .replace('\\', "\\\\")
            .replace('"', "\\\"")
            .replace(['\n', '\r'], " ");
        if let Ok(value) = HeaderValue::from_str(&format!("299 - \"{text}\"")) {
            response.headers_mut().append(header::WARNING, value);
        }
    }
    response
}

#[cfg(test)]
mod tests;
