//! The REST side of the server: from an HTTP request to the engine and back.
//!
//! Knows paths, forms, codes; never decides about objects. HTTP codes exist only here.
//! Source: Kubernetes API Concepts; Kubernetes API conventions.

mod aggregated;
mod body;
mod collection;
mod components;
mod discovery;
mod front;
mod gate;
mod health;
mod metrics;
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
mod watches;

use std::{
    net::IpAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use api::discovery::RemoteVersion;
use axum::body::Body;
use http::{HeaderMap, HeaderValue, Method, Request, Response, Uri, header};
use hyper::upgrade::OnUpgrade;
use tokio::sync::{Mutex, Semaphore};
use tokio_util::sync::CancellationToken;

use crate::{
    aggregation::Aggregation,
    audit::Audit,
    auth::Caller,
    driver::Progress,
    engine::{Annotations, ApiError, Engine, Warnings, WriteOptions},
    flow::{Flow, FlowMeter},
    metrics::Metrics,
    stream::Nodes,
};

use front::Course;
use path::{ObjectPath, Route};
use query::Query;
pub(crate) use watch::BOOKMARK_INTERVAL;
use watches::Watches;

/// Bytes of path and query: label selectors with hundreds of values fit.
const URI_BYTES_MAX: usize = 32 << 10;
/// How long a request may take that is not a watch and not a log. As in Kubernetes.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(60);

/// Answers REST requests. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Rest {
    inner: Arc<Inner>,
}

/// The address that a request's connection comes from; in the extensions of each.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Peer(pub(crate) IpAddr);

/// What goes along with every request.
#[derive(Clone)]
pub(crate) struct Company {
    /// Writes requests down.
    pub(crate) audit: Audit,
    /// Counts them.
    pub(crate) metrics: Metrics,
    /// How many of them run at once.
    pub(crate) seats: usize,
    /// Counts those that wait and are refused.
    pub(crate) flow: FlowMeter,
    /// How far the controllers are.
    pub(crate) progress: Arc<Progress>,
    /// The server was told to stop; it still serves for a while.
    pub(crate) stopping: CancellationToken,
    /// How often a watch whose client asked for bookmarks tells of progress.
    pub(crate) bookmark_interval: Duration,
}

/// How many objects each collection has.
type Counts = Vec<(String, u64)>;

struct Inner {
    engine: Engine,
    nodes: Nodes,
    aggregation: Aggregation,
    audit: Audit,
    metrics: Metrics,
    flow: Flow,
    watches: Watches,
    progress: Arc<Progress>,
    stopping: CancellationToken,
    bookmark_interval: Duration,
    /// How many objects there were when.
    counted: Mutex<Option<(Instant, Counts)>>,
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
    /// What the audit log is to say besides.
    annotations: Annotations,
    /// How the connection becomes another, if the client may ask for that.
    on_upgrade: Option<OnUpgrade>,
}

impl Rest {
    /// A server of this engine's objects, of these nodes' logs and maps, and of what other servers have.
    #[must_use]
    pub(crate) fn new(
        engine: Engine,
        nodes: Nodes,
        aggregation: Aggregation,
        company: Company,
        shutdown: CancellationToken,
    ) -> Rest {
        Rest {
            inner: Arc::new(Inner {
                flow: Flow::new(engine.store().clone(), company.seats, company.flow),
                engine,
                nodes,
                aggregation,
                audit: company.audit,
                metrics: company.metrics,
                watches: Watches::default(),
                progress: company.progress,
                stopping: company.stopping,
                bookmark_interval: company.bookmark_interval,
                counted: Mutex::new(None),
                sessions: Arc::new(Semaphore::new(streams::SESSIONS_MAX)),
                shutdown,
            }),
        }
    }

    /// Answers one request. The caller is in its extensions.
    pub(crate) async fn handle(self, request: Request<Body>) -> Response<Body> {
        front::pass(self, request).await
    }

    async fn answer(
        self,
        course: &mut Course,
        parts: http::request::Parts,
        body: Body,
    ) -> Result<Response<Body>, ApiError> {
        if parts
            .uri
            .path_and_query()
            .is_some_and(|uri| uri.as_str().len() > URI_BYTES_MAX)
        {
            return Err(ApiError::UriTooLong { limit: URI_BYTES_MAX });
        }
        gate::prepare(&self.inner.engine, &parts).await;
        let caller = gate::identify(&self.inner.engine, &parts, course)?;
        course.take_seat(&caller).await?;
        gate::authorize(&self.inner.engine, &caller, &parts, course)?;
        let route = course.route.take().ok_or(ApiError::NoSuchPath)?;
        let body = course.tapped(body);
        let context = Context {
            rest: self,
            caller,
            query: Query::parse(&parts.uri)?,
            annotations: course.annotations.clone(),
            on_upgrade: parts.extensions.get().cloned(),
            method: parts.method,
            uri: parts.uri,
            headers: parts.headers,
        };
        if let Some(found) = aggregated::server(&context, &route)? {
            let answer = aggregated::handle(&context, &found, body);
            if course.is_long {
                return answer.await;
            }
            let timeout = context.query.request_timeout(REQUEST_TIMEOUT)?;
            return within_time(timeout, answer).await;
        }
        if let Route::Objects(object) = &route {
            let resource = object
                .resource(&context.engine().registry().kinds())
                .ok_or(ApiError::NoSuchPath)?;
            if course.is_long {
                return objects::handle(&context, resource, object, body).await;
            }
            let timeout = context.query.request_timeout(REQUEST_TIMEOUT)?;
            return within_time(timeout, objects::handle(&context, resource, object, body)).await;
        }
        if context.method != Method::GET && context.method != Method::HEAD {
            return Err(ApiError::MethodNotAllowed);
        }
        let timeout = context.query.request_timeout(REQUEST_TIMEOUT)?;
        within_time(timeout, context.other(route)).await
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
        options.annotations = self.annotations.clone();
        if options.manager.is_empty() {
            let agent = self
                .headers
                .get(header::USER_AGENT)
                .and_then(|agent| agent.to_str().ok());
            options.manager = query::manager_of_agent(agent.unwrap_or_default());
        }
        Ok(options)
    }

    /// What other API servers serve.
    fn remotes(&self) -> Result<Vec<RemoteVersion>, ApiError> {
        self.rest.inner.aggregation.versions()
    }

    async fn other(&self, route: Route) -> Result<Response<Body>, ApiError> {
        let kinds = self.engine().registry().kinds();
        match route {
            Route::Root => Ok(discovery::root()),
            Route::Version => Ok(health::version()),
            Route::Metrics => metrics::answer(self).await,
            Route::Health { check, part } => health::check(self, &check, &part).await,
            Route::CoreVersions => Ok(discovery::core_versions(&self.headers, &kinds)),
            Route::Groups => Ok(discovery::groups(&self.headers, &kinds, &self.remotes()?)),
            Route::Group(group) => discovery::group(&self.headers, &kinds, &group, &self.remotes()?),
            Route::Resources { group, version } => discovery::resources(&self.headers, &kinds, &group, &version),
            Route::OpenApiV2 => Ok(openapi::v2(&self.headers, &kinds)),
            Route::OpenApiIndex => Ok(openapi::index(
                &self.headers,
                &kinds,
                self.rest.inner.aggregation.openapi(),
            )),
            Route::OpenApiDocument(path) => openapi::document(&self.headers, &kinds, &path, self.query.has("hash")),
            Route::OpenIdConfiguration => Ok(discovery::openid_configuration(self.engine().tokens())),
            Route::OpenIdKeys => Ok(discovery::openid_keys(self.engine().tokens())),
            Route::NodeNet { node, what } => nodes::net(self, &node, &what).await,
            Route::Objects(_) => Err(ApiError::NoSuchPath),
        }
    }
}

async fn within_time(
    timeout: Duration,
    answer: impl Future<Output = Result<Response<Body>, ApiError>>,
) -> Result<Response<Body>, ApiError> {
    match tokio::time::timeout(timeout, answer).await {
        Ok(answer) => answer,
        Err(_) => Err(ApiError::Timeout(format!(
            "the request did not complete within {} seconds",
            timeout.as_secs_f64()
        ))),
    }
}

/// Watches and logs last as long as their reader wants; streams have limits of their own.
fn is_long(query: &Query, object: &ObjectPath) -> bool {
    let subresource = object.subresource.as_str();
    query.flag("watch")
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
