//! Requests that become streams: exec, attach and portforward of pods, and logs over WebSocket.
//!
//! What is wrong with a request is said as a Status before the connection becomes something else; the node has found
//! the container by then. Never here: the protocols on the wire (`upgrade` and below), what flows.
//! Source: Kubernetes API reference, "Pod" operations, "Misc Operations"; KEP-4006 (WebSockets).

mod channels;
mod forward;
mod remote;
mod spdy_client;
mod upgrade;
mod websocket;
mod wire;

use std::time::Duration;

use api::{
    node_stream::{AttachRequest, ExecRequest, Reply, Streams, request::Kind},
    resource::Resource,
};
use axum::body::Body;
use bytes::Bytes;
use futures::{Stream, StreamExt as _};
use http::Response;
use serde_json::Value;
use tokio::sync::OwnedSemaphorePermit;

use super::{Context, nodes, path::ObjectPath};
use crate::{
    engine::{ApiError, object},
    stream::{Feed, Replies},
};
use forward::PodPorts;

/// How long a node may take to find a container.
const FIRST_REPLY_WAIT: Duration = Duration::from_secs(30);
/// Connections that have become streams, at once. Each has up to a megabyte on its way in each direction.
pub(super) const SESSIONS_MAX: usize = 1_000;

/// `pods/NAME/exec`
pub(super) async fn exec(
    context: &Context,
    resource: &Resource,
    path: &ObjectPath,
) -> Result<Response<Body>, ApiError> {
    let command = context.query.all("command");
    if command.is_empty() {
        let message = "you must specify at least 1 command for the container";
        return Err(ApiError::BadRequest(message.to_owned()));
    }
    let (pod, node) = placed(context, resource, path)?;
    let streams = streams(context)?;
    let request = Kind::Exec(ExecRequest {
        namespace: path.namespace.clone(),
        pod: path.name.clone(),
        uid: object::meta_str(&pod, "uid").to_owned(),
        container: nodes::container(&pod, context.query.get("container"))?,
        command,
        streams: Some(streams),
    });
    remote_command(context, &node, request, streams).await
}

/// `pods/NAME/attach`
pub(super) async fn attach(
    context: &Context,
    resource: &Resource,
    path: &ObjectPath,
) -> Result<Response<Body>, ApiError> {
    let (pod, node) = placed(context, resource, path)?;
    let streams = streams(context)?;
    let request = Kind::Attach(AttachRequest {
        namespace: path.namespace.clone(),
        pod: path.name.clone(),
        uid: object::meta_str(&pod, "uid").to_owned(),
        container: nodes::container(&pod, context.query.get("container"))?,
        streams: Some(streams),
    });
    remote_command(context, &node, request, streams).await
}

/// `pods/NAME/portforward`
pub(super) async fn port_forward(
    context: &Context,
    resource: &Resource,
    path: &ObjectPath,
) -> Result<Response<Body>, ApiError> {
    let (pod, node) = placed(context, resource, path)?;
    let offer = upgrade::port_forward(context)?;
    let permit = permit(context)?;
    let ports = PodPorts {
        nodes: context.rest.inner.nodes.clone(),
        node,
        namespace: path.namespace.clone(),
        pod: path.name.clone(),
        uid: object::meta_str(&pod, "uid").to_owned(),
    };
    let shutdown = context.rest.inner.shutdown.clone();
    Ok(offer.accept(move |transport| async move {
        // A server that stops ends them.
        shutdown.run_until_cancelled(forward::serve(transport, ports)).await;
        drop(permit);
    }))
}

/// How a log is to be sent, if it is not to be a body.
///
/// # Errors
/// When the client asks for a protocol that is not known.
pub(super) fn log(context: &Context) -> Result<Option<LogOffer>, ApiError> {
    let Some(offer) = upgrade::log(context)? else {
        return Ok(None);
    };
    permit(context).map(|permit| Some(LogOffer { offer, permit }))
}

/// A client that reads a log as messages.
pub(super) struct LogOffer {
    offer: upgrade::LogOffer,
    permit: OwnedSemaphorePermit,
}

impl LogOffer {
    /// Answers, and sends.
    pub(super) fn accept(self, bytes: impl Stream<Item = Bytes> + Send + 'static) -> Response<Body> {
        self.offer.accept(bytes, self.permit)
    }
}

async fn remote_command(
    context: &Context,
    node: &str,
    request: Kind,
    streams: Streams,
) -> Result<Response<Body>, ApiError> {
    let offer = upgrade::remote_command(context)?;
    let permit = permit(context)?;
    let (feed, replies) = begin(context, node, request).await?;
    let shutdown = context.rest.inner.shutdown.clone();
    Ok(offer.accept(streams, move |client| async move {
        shutdown.run_until_cancelled(remote::serve(client, feed, replies)).await;
        drop(permit);
    }))
}

/// Asks the node, and waits until it has found what is asked for.
pub(super) async fn begin(context: &Context, node: &str, request: Kind) -> Result<(Feed, Replies), ApiError> {
    let answer = context.rest.inner.nodes.converse(node, request).await;
    let (feed, mut replies) = answer.map_err(|error| ApiError::Unavailable(error.to_string()))?;
    let first = tokio::time::timeout(FIRST_REPLY_WAIT, replies.next()).await;
    let first: Option<Reply> = first.map_err(|_| nodes::too_slow(node))?;
    if let Some(end) = first.and_then(|first| first.end) {
        return Err(ApiError::Node {
            status: u16::try_from(end.status).unwrap_or(500),
            message: end.message,
        });
    }
    Ok((feed, replies))
}

/// One of the places for connections that become streams.
pub(super) fn permit(context: &Context) -> Result<OwnedSemaphorePermit, ApiError> {
    let sessions = context.rest.inner.sessions.clone();
    let busy = |_| ApiError::Unavailable(format!("{SESSIONS_MAX} streams are open, try again later"));
    sessions.try_acquire_owned().map_err(busy)
}

/// The pod and its node.
fn placed(context: &Context, resource: &Resource, path: &ObjectPath) -> Result<(Value, String), ApiError> {
    let pod = context.engine().get(resource, &path.namespace, &path.name)?;
    let node = pod["spec"]["nodeName"].as_str().unwrap_or_default().to_owned();
    if node.is_empty() {
        let message = format!("pod {} does not have a host assigned", path.name);
        return Err(ApiError::BadRequest(message));
    }
    Ok((pod, node))
}

/// The standard streams that are wanted. With a terminal there is no standard error of its own.
fn streams(context: &Context) -> Result<Streams, ApiError> {
    let query = &context.query;
    let tty = query.flag("tty");
    let streams = Streams {
        stdin: query.flag("stdin"),
        stdout: query.flag("stdout"),
        stderr: query.flag("stderr") && !tty,
        tty,
    };
    if !streams.stdin && !streams.stdout && !streams.stderr {
        let message = "you must specify at least 1 of stdin, stdout, stderr";
        return Err(ApiError::BadRequest(message.to_owned()));
    }
    Ok(streams)
}
