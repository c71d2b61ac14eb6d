//! Ways from the server to others: to pods through their nodes' streams, and by HTTPS to services and URLs that objects
//! name.
//!
//! The server needs no route to pods: an agent connects for it. Never here: what is said over a connection.

mod call;
mod destination;
mod place;
mod pod;
mod tls;

use std::time::Duration;

use api::node_stream::{Reply, request::Kind};
use futures::StreamExt as _;

pub(crate) use self::{
    call::{CallError, post, send},
    destination::Destination,
    place::{Place, SERVICE_NAME, Scheme, Target, place, slices},
    pod::{Stream, open},
};
use crate::{
    engine::ApiError,
    stream::{Feed, Nodes, Replies},
};

/// How long a node may take to find what is asked for.
pub(crate) const FIRST_REPLY_WAIT: Duration = Duration::from_secs(30);

/// Asks the node, and waits until it has found what is asked for.
///
/// # Errors
/// When the node cannot be asked, or refuses.
pub(crate) async fn begin(nodes: &Nodes, node: &str, request: Kind) -> Result<(Feed, Replies), ApiError> {
    let answer = nodes.converse(node, request).await;
    let (feed, mut replies) = answer.map_err(|error| ApiError::Unreachable(error.to_string()))?;
    let first = tokio::time::timeout(FIRST_REPLY_WAIT, replies.next()).await;
    let first: Option<Reply> = first.map_err(|_| too_slow(node))?;
    if let Some(end) = first.and_then(|first| first.end) {
        return Err(ApiError::Node {
            status: u16::try_from(end.status).unwrap_or(500),
            message: end.message,
        });
    }
    Ok((feed, replies))
}

/// A node that does not answer.
pub(crate) fn too_slow(node: &str) -> ApiError {
    ApiError::Timeout(format!(
        "node {node} did not answer within {} seconds",
        FIRST_REPLY_WAIT.as_secs()
    ))
}

/// A pod that cannot be talked to, as upstream says it.
pub(crate) fn unreachable(why: &str) -> ApiError {
    ApiError::Unreachable(format!("error trying to reach service: {why}"))
}
