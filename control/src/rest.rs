//! The REST side of the server: from an HTTP request to the engine and back.
//!
//! Knows paths, forms, codes; never decides about objects. HTTP codes exist only here.
//! Source: Kubernetes API Concepts; Kubernetes API conventions.

mod body;
mod collection;
mod components;
mod discovery;
mod gate;
mod health;
mod negotiate;
mod nodes;
mod objects;
mod openapi;
mod path;
mod proxy;
mod query;
mod remainder;
mod reviews;
mod status;
mod streams;
mod subresources;
mod table;
mod watch;

use std::{panic::AssertUnwindSafe, sync::Arc, time::Duration};

use axum::body::Body;
use futures::FutureExt as _;
use http::{HeaderMap, HeaderValue, Method, Request, Response, Uri, header};
use hyper::upgrade::OnUpgrade;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tracing::debug;

use crate::{
    auth::Caller,
    engine::{ApiError, Engine, Warnings, WriteOptions},
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
    /// Connections that may still become streams.
    sessions: Arc<Semaphore>,
    /// Ends watches and streams, so that a server that is told to stop does.
    shutdown: CancellationToken,
}

/// What is common to the handling of one request.
struct Context {
    rest: Rest,
    caller: Caller,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    query: Query,
    /// How the connection becomes another, if the client may ask for that.
    on_upgrade: Option<OnUpgrade>,
}

impl Rest {
    /// A server of this engine's objects and of these nodes' logs and maps.
    #[must_use]
    pub(crate) fn new(engine: Engine, nodes: Nodes, shutdown: CancellationToken) -> Rest {
        Rest {
            inner: Arc::new(Inner {
                engine,
                nodes,
                sessions: Arc::new(Semaphore::new(streams::SESSIONS_MAX)),
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
        gate::prepare(&self.inner.engine, &caller, &parts.headers).await;
        let caller = gate::admit(&self.inner.engine, caller, &parts, route.as_ref())?;
        let route = route.ok_or(ApiError::NoSuchPath)?;
        let context = Context {
            rest: self,
            caller,
            query: Query::parse(&parts.uri)?,
            on_upgrade: parts.extensions.get().cloned(),
            method: parts.method,
            uri: parts.uri,
            headers: parts.headers,
        };
        if let Route::Objects(object) = &route {
            let resource = object
                .resource(&context.engine().registry().kinds())
                .ok_or(ApiError::NoSuchPath)?;
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

    /// How a write is to be done, and in whose name.
    ///
    /// # Errors
    /// When a parameter has a value that is not known.
    fn write_options(&self) -> Result<WriteOptions, ApiError> {
        let mut options = self.query.write_options()?;
        if options.manager.is_empty() {
            let agent = self
                .headers
                .get(header::USER_AGENT)
                .and_then(|agent| agent.to_str().ok());
            options.manager = query::manager_of_agent(agent.unwrap_or_default());
        }
        Ok(options)
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
            Route::OpenIdConfiguration => Ok(discovery::openid_configuration(self.engine().tokens())),
            Route::OpenIdKeys => Ok(discovery::openid_keys(self.engine().tokens())),
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

/// Watches and logs last as long as their reader wants; streams have limits of their own.
fn is_long(context: &Context, object: &ObjectPath) -> bool {
    let subresource = object.subresource.as_str();
    context.query.flag("watch")
        || matches!(subresource, "log" | "exec" | "attach" | "portforward")
        || subresources::is_proxy(subresource)
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
