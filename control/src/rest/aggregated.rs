//! Requests for what other API servers serve: passed on, with who the caller is.
//!
//! Never here: which servers there are and how they know us (`aggregation`).
//! Source: Kubernetes, "Kubernetes API Aggregation Layer".

use axum::body::Body;
use http::Response;

use super::{Context, path::Route, proxy, streams};
use crate::{
    aggregation::{self, Found},
    engine::{ApiError, chain},
    reach::unreachable,
};

/// The other server that a route leads to, if it does.
///
/// # Errors
/// When the store cannot be read.
pub(super) fn server(context: &Context, route: &Route) -> Result<Option<Found>, ApiError> {
    let (group, version) = match route {
        Route::Objects(object) => (object.group.as_str(), object.version.as_str()),
        Route::Resources { group, version } => (group.as_str(), version.as_str()),
        Route::OpenApiDocument(path) => match path.split('/').collect::<Vec<_>>().as_slice() {
            ["apis", group, version] => (*group, *version),
            _ => return Ok(None),
        },
        _ => return Ok(None),
    };
    if group.is_empty() {
        return Ok(None);
    }
    context.rest.inner.aggregation.remote(group, version)
}

/// Answers as the other server does.
///
/// # Errors
/// When it cannot be reached.
pub(super) async fn handle(context: &Context, found: &Found, body: Body) -> Result<Response<Body>, ApiError> {
    if !found.is_available {
        return Err(ApiError::Unreachable("service unavailable".to_owned()));
    }
    let inner = &context.rest.inner;
    let destination = inner.aggregation.destination(&found.remote)?;
    let permit = streams::permit(context)?;
    let connected = destination.connect(&inner.engine, &inner.nodes, permit).await;
    let stream = connected.map_err(|error| unreachable(&chain(&error)))?;
    let path = context.uri.path_and_query().map_or("/", |path| path.as_str());
    let uri = path.parse().unwrap_or_default();
    let mut request = proxy::passed_on(context, uri, &destination.server_name(), body);
    aggregation::identify(request.headers_mut(), &context.caller)?;
    proxy::exchange(context, stream, request).await
}
