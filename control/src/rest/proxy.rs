//! Requests passed on to pods: `pods/NAME/proxy/PATH` and `services/NAME/proxy/PATH`.
//!
//! A name is `[SCHEME:]NAME[:PORT]`. Each request has a connection of its own, through the node's stream to the pod.
//! Links in pages are not rewritten; where an answer redirects to, is. Never here: how bytes get to a pod (`reach`).
//! Source: Kubernetes documentation, "Access Services Running on Clusters"; API reference, "proxy" operations.

use api::resource::Resource;
use axum::body::Body;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, Uri, header};
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use serde_json::json;
use tracing::debug;

use super::{Context, path::ObjectPath, streams};
use crate::{
    engine::ApiError,
    reach::{self, Place, Stream, Target, unreachable},
};

/// Headers that are about one connection.
const HOP_BY_HOP: [HeaderName; 8] = [
    header::CONNECTION,
    HeaderName::from_static("keep-alive"),
    header::PROXY_AUTHENTICATE,
    header::PROXY_AUTHORIZATION,
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
];
const FORWARDED_URI: HeaderName = HeaderName::from_static("x-forwarded-uri");

/// Answers as the pod does.
pub(super) async fn handle(
    context: &Context,
    resource: &Resource,
    path: &ObjectPath,
    body: Body,
) -> Result<Response<Body>, ApiError> {
    let (base, rest) = split_path(context.uri.path());
    if rest.is_empty() && matches!(context.method, Method::GET | Method::HEAD) {
        return Ok(redirect_to_root(&context.uri));
    }
    let target = Target::parse(&path.name).ok_or_else(|| {
        let kind = resource.singular;
        ApiError::BadRequest(format!("invalid {kind} request {:?}", path.name))
    })?;
    let place = reach::place(context.engine(), resource, &path.namespace, target).await?;
    let kind = if resource.kind == "Pod" {
        "PodProxyOptions"
    } else {
        "ServiceProxyOptions"
    };
    let options = json!({ "kind": kind, "apiVersion": "v1", "path": rest });
    let of = (path.namespace.as_str(), path.name.as_str());
    let engine = context.engine();
    engine
        .admit_connection(&context.caller, resource, of, "proxy", &options)
        .await?;
    let permit = streams::permit(context)?;
    let stream = reach::open(&context.rest.inner.nodes, &place, permit).await?;
    let mut answer = exchange(context, stream, outgoing(context, &place, rest, body)).await?;
    if answer.status().is_redirection() {
        rewrite_location(answer.headers_mut(), base, &place);
    }
    Ok(answer)
}

/// Sends a request over a connection of its own, and answers what comes back; the connection of the client and this one
/// become others together.
pub(super) async fn exchange(
    context: &Context,
    stream: Box<dyn Stream>,
    request: Request<Body>,
) -> Result<Response<Body>, ApiError> {
    let wants_upgrade = request.headers().contains_key(header::UPGRADE);
    let unreachable = |error: hyper::Error| unreachable(&error.to_string());
    let (mut sender, http) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
        .await
        .map_err(unreachable)?;
    tokio::spawn(async move {
        if let Err(error) = http.with_upgrades().await {
            debug!(
                error = &error as &dyn std::error::Error,
                "a connection that requests are passed on over has ended"
            );
        }
    });
    let mut answer = sender.send_request(request).await.map_err(unreachable)?;
    if answer.status() == StatusCode::SWITCHING_PROTOCOLS
        && wants_upgrade
        && let Some(client) = context.on_upgrade.clone()
    {
        let other = hyper::upgrade::on(&mut answer);
        tokio::spawn(join(client, other));
        return Ok(answer.map(|_| Body::empty()));
    }
    let mut answer = answer.map(Body::new);
    remove_hop_by_hop(answer.headers_mut());
    Ok(answer)
}

/// Both connections have become others: what one sends the other gets.
async fn join(client: OnUpgrade, pod: OnUpgrade) {
    let (Ok(client), Ok(pod)) = tokio::join!(client, pod) else {
        return;
    };
    // An error is an end.
    _ = tokio::io::copy_bidirectional(&mut TokioIo::new(client), &mut TokioIo::new(pod)).await;
}

/// The path up to `proxy`, and what is behind it: nothing, or beginning with a slash.
fn split_path(path: &str) -> (&str, &str) {
    // api, v1, namespaces, NAMESPACE, PLURAL, NAME, proxy
    const SEGMENTS: usize = 7;
    let mut seen = 0;
    let mut in_segment = false;
    for (at, byte) in path.bytes().enumerate() {
        let is_slash = byte == b'/';
        if is_slash && in_segment {
            seen += 1;
            if seen == SEGMENTS {
                return path.split_at(at);
            }
        }
        in_segment = !is_slash;
    }
    (path, "")
}

fn redirect_to_root(uri: &Uri) -> Response<Body> {
    let query = uri.query().map_or_else(String::new, |query| format!("?{query}"));
    let mut answer = Response::new(Body::empty());
    *answer.status_mut() = StatusCode::MOVED_PERMANENTLY;
    if let Ok(location) = HeaderValue::from_str(&format!("{}/{query}", uri.path())) {
        answer.headers_mut().insert(header::LOCATION, location);
    }
    answer
}

/// The request as the pod gets it.
fn outgoing(context: &Context, place: &Place, rest: &str, body: Body) -> Request<Body> {
    let path = if rest.is_empty() { "/" } else { rest };
    let query = context
        .uri
        .query()
        .map_or_else(String::new, |query| format!("?{query}"));
    // Both were part of a URI.
    let uri = format!("{path}{query}").parse().unwrap_or_default();
    let mut request = passed_on(context, uri, &place.authority(), body);
    // Who the caller is, is for the API server only.
    request.headers_mut().remove(header::AUTHORIZATION);
    if let Ok(uri) = HeaderValue::from_str(context.uri.path()) {
        request.headers_mut().insert(FORWARDED_URI, uri);
    }
    request
}

/// The client's request as it goes to another server: all but what is about the client's connection.
pub(super) fn passed_on(context: &Context, uri: Uri, host: &str, body: Body) -> Request<Body> {
    let mut request = Request::new(body);
    *request.method_mut() = context.method.clone();
    *request.uri_mut() = uri;
    let headers = request.headers_mut();
    *headers = context.headers.clone();
    let upgrade = headers.get(header::UPGRADE).cloned();
    remove_hop_by_hop(headers);
    if let Some(upgrade) = upgrade.filter(|_| context.on_upgrade.is_some()) {
        headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
        headers.insert(header::UPGRADE, upgrade);
    }
    let host = HeaderValue::from_str(host);
    headers.insert(
        header::HOST,
        host.expect("a name or an address with a port makes a header"),
    );
    request
}

fn remove_hop_by_hop(headers: &mut HeaderMap) {
    let named: Vec<HeaderName> = headers
        .get_all(header::CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|name| name.trim().parse().ok())
        .collect();
    for name in named.iter().chain(&HOP_BY_HOP) {
        headers.remove(name);
    }
}

/// A redirection within the pod becomes one within its proxy.
fn rewrite_location(headers: &mut HeaderMap, base: &str, place: &Place) {
    let Some(location) = headers.get(header::LOCATION).and_then(|value| value.to_str().ok()) else {
        return;
    };
    let authority = place.authority();
    let within = ["http", "https"]
        .iter()
        .find_map(|scheme| location.strip_prefix(&format!("{scheme}://{authority}")))
        .unwrap_or(location);
    if !within.starts_with('/') || within.starts_with("//") {
        return;
    }
    if let Ok(rewritten) = HeaderValue::from_str(&format!("{base}{within}")) {
        headers.insert(header::LOCATION, rewritten);
    }
}

#[cfg(test)]
mod tests;
