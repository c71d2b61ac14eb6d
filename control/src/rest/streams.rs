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

use api::{
    node_stream::{AttachRequest, ExecRequest, Streams, request::Kind},
    resource::Resource,
};
use axum::body::Body;
use bytes::Bytes;
use futures::Stream;
use http::Response;
use serde_json::{Value, json};
use tokio::sync::OwnedSemaphorePermit;

use super::{Context, nodes, path::ObjectPath};
use crate::{
    engine::{ApiError, object},
    reach,
};
use forward::PodPorts;

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
    let container = nodes::container(&pod, context.query.get("container"))?;
    let mut wanted = options(&streams, &container);
    wanted["command"] = json!(command);
    admit(context, resource, path, "PodExecOptions", wanted).await?;
    let request = Kind::Exec(ExecRequest {
        namespace: path.namespace.clone(),
        pod: path.name.clone(),
        uid: object::meta_str(&pod, "uid").to_owned(),
        container,
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
    let container = nodes::container(&pod, context.query.get("container"))?;
    let wanted = options(&streams, &container);
    admit(context, resource, path, "PodAttachOptions", wanted).await?;
    let request = Kind::Attach(AttachRequest {
        namespace: path.namespace.clone(),
        pod: path.name.clone(),
        uid: object::meta_str(&pod, "uid").to_owned(),
        container,
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
    admit(context, resource, path, "PodPortForwardOptions", json!({})).await?;
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
    let (feed, replies) = reach::begin(&context.rest.inner.nodes, node, request).await?;
    let shutdown = context.rest.inner.shutdown.clone();
    Ok(offer.accept(streams, move |client| async move {
        shutdown.run_until_cancelled(remote::serve(client, feed, replies)).await;
        drop(permit);
    }))
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

/// Asks admission about a stream. `options` are what the client wants of it, and of this kind.
async fn admit(
    context: &Context,
    resource: &Resource,
    path: &ObjectPath,
    kind: &str,
    mut options: Value,
) -> Result<(), ApiError> {
    options["apiVersion"] = json!("v1");
    options["kind"] = json!(kind);
    let place = (path.namespace.as_str(), path.name.as_str());
    let engine = context.engine();
    engine
        .admit_connection(&context.caller, resource, place, &path.subresource, &options)
        .await
}

/// What a request says of standard streams, as an object.
fn options(streams: &Streams, container: &str) -> Value {
    json!({
        "stdin": streams.stdin,
        "stdout": streams.stdout,
        "stderr": streams.stderr,
        "tty": streams.tty,
        "container": container,
    })
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
