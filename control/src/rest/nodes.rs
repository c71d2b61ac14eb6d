//! Requests that travel down a node's stream: logs of containers, and what the dataplane's maps hold.

use std::{convert::Infallible, time::Duration};

use api::{
    Timestamp,
    node_stream::{LogsRequest, NetQuery, Reply, net_query::What, request::Kind},
    resource::Resource,
};
use axum::body::Body;
use bytes::Bytes;
use futures::{Stream, StreamExt as _};
use http::{Response, StatusCode};
use serde_json::Value;

use super::{Context, path::ObjectPath, status, streams};
use crate::{
    engine::{ApiError, object},
    reach::{FIRST_REPLY_WAIT, too_slow},
};

const TEXT: &str = "text/plain";
/// Bytes of one answer about maps; a node with more has to be asked by other means.
const NET_ANSWER_BYTES_MAX: usize = 256 << 20;
/// A log that is followed may stay silent; after this time the client is told that it is being read.
const FOLLOW_WAIT: Duration = Duration::from_secs(1);

/// `GET pods/NAME/log`
pub(super) async fn log(context: &Context, resource: &Resource, path: &ObjectPath) -> Result<Response<Body>, ApiError> {
    let pod = context.engine().get(resource, &path.namespace, &path.name)?;
    let node = pod["spec"]["nodeName"].as_str().unwrap_or_default();
    let container = container(&pod, context.query.get("container"))?;
    if node.is_empty() {
        // As the kubelet would say it, were there one.
        return Err(ApiError::BadRequest(format!(
            "container {container:?} in pod {:?} is waiting to start: no node is assigned yet",
            path.name
        )));
    }
    let request = Kind::Logs(LogsRequest {
        namespace: path.namespace.clone(),
        pod: path.name.clone(),
        uid: object::meta_str(&pod, "uid").to_owned(),
        container,
        follow: context.query.flag("follow"),
        previous: context.query.flag("previous"),
        timestamps: context.query.flag("timestamps"),
        tail_lines: not_negative(context, "tailLines")?.unwrap_or(-1),
        since_time: since(context)?,
        limit_bytes: not_negative(context, "limitBytes")?.unwrap_or(0),
    });
    let follow = context.query.flag("follow");
    let offer = streams::log(context)?;
    let mut replies = Box::pin(send(context, node, request).await?);
    let wait = if follow { FOLLOW_WAIT } else { FIRST_REPLY_WAIT };
    let first = match tokio::time::timeout(wait, replies.next()).await {
        Ok(first) => first,
        Err(_) if follow => None,
        Err(_) => return Err(too_slow(node)),
    };
    if let Some(first) = first.as_ref().filter(|first| first.data.is_empty()) {
        failure(first)?;
    }
    let bytes = futures::stream::iter(first).chain(replies).map(|reply| {
        // Once bytes have been sent, an error can only be told among them.
        let told = failure(&reply).err().map(|error| format!("{error}\n").into_bytes());
        let mut bytes = reply.data;
        bytes.extend(told.unwrap_or_default());
        Bytes::from(bytes)
    });
    let shutdown = context.rest.inner.shutdown.clone();
    let bytes = bytes.take_until(shutdown.cancelled_owned());
    if let Some(offer) = offer {
        return Ok(offer.accept(bytes.filter(|bytes| std::future::ready(!bytes.is_empty()))));
    }
    let body = Body::from_stream(bytes.map(Ok::<_, Infallible>));
    Ok(status::bytes_answer(StatusCode::OK, TEXT, body))
}

pub(super) fn container(pod: &Value, wanted: &str) -> Result<String, ApiError> {
    let names = |list: &str| -> Vec<String> {
        let list = pod["spec"][list].as_array().into_iter().flatten();
        list.filter_map(|container| container["name"].as_str())
            .map(str::to_owned)
            .collect()
    };
    let pod_name = object::meta_str(pod, "name");
    let main = names("containers");
    let all = [main.clone(), names("initContainers"), names("ephemeralContainers")].concat();
    if !wanted.is_empty() {
        return match all.into_iter().find(|name| name == wanted) {
            Some(name) => Ok(name),
            None => Err(ApiError::BadRequest(format!(
                "container {wanted} is not valid for pod {pod_name}"
            ))),
        };
    }
    let init = names("initContainers");
    let also = if init.is_empty() {
        String::new()
    } else {
        format!(" or one of the init containers: [{}]", init.join(" "))
    };
    match main.as_slice() {
        [only] => Ok(only.clone()),
        _ => Err(ApiError::BadRequest(format!(
            "a container name must be specified for pod {pod_name}, choose one of: [{}]{also}",
            main.join(" ")
        ))),
    }
}

fn not_negative(context: &Context, name: &str) -> Result<Option<i64>, ApiError> {
    match context.query.integer(name)? {
        Some(negative) if negative < 0 => Err(ApiError::BadRequest(format!(
            "{name}: Invalid value: {negative}: must be greater than or equal to 0"
        ))),
        number => Ok(number),
    }
}

fn since(context: &Context) -> Result<String, ApiError> {
    let time = context.query.get("sinceTime");
    let seconds = not_negative(context, "sinceSeconds")?;
    match (time, seconds) {
        ("", None) => Ok(String::new()),
        ("", Some(seconds)) => {
            let start = Timestamp::now().checked_sub(jiff::SignedDuration::from_secs(seconds));
            Ok(object::timestamp(start.unwrap_or(Timestamp::MIN)))
        }
        (time, None) => {
            let parsed: Result<Timestamp, _> = time.parse();
            let parsed = parsed.map_err(|error| ApiError::BadRequest(format!("sinceTime: {error}")))?;
            Ok(parsed.to_string())
        }
        (_, Some(_)) => Err(ApiError::BadRequest(
            "at most one of `sinceTime` or `sinceSeconds` may be specified".to_owned(),
        )),
    }
}

/// `GET /skep/v1/nodes/NODE/net/WHAT`
pub(super) async fn net(context: &Context, node: &str, what: &str) -> Result<Response<Body>, ApiError> {
    let what = match what {
        "services" => What::Services,
        "endpoints" => What::Endpoints,
        "conntrack" => What::Conntrack,
        "maps" => What::Maps,
        "drops" => What::Drops,
        _ => return Err(ApiError::NoSuchPath),
    };
    let nodes = api::resource::by_path("", "v1", "nodes").ok_or(ApiError::NoSuchPath)?;
    context.engine().get(nodes, "", node)?;
    let replies = send(context, node, Kind::Net(NetQuery { what: what.into() })).await?;
    let answer = tokio::time::timeout(FIRST_REPLY_WAIT, collect(replies)).await;
    let answer = answer.map_err(|_| too_slow(node))??;
    Ok(status::bytes_answer(StatusCode::OK, "application/json", answer))
}

async fn collect(replies: impl Stream<Item = Reply>) -> Result<Vec<u8>, ApiError> {
    let mut replies = std::pin::pin!(replies);
    let mut answer = Vec::new();
    while let Some(reply) = replies.next().await {
        if answer.len() + reply.data.len() > NET_ANSWER_BYTES_MAX {
            return Err(ApiError::TooLarge {
                limit: NET_ANSWER_BYTES_MAX,
            });
        }
        answer.extend_from_slice(&reply.data);
        failure(&reply)?;
    }
    Ok(answer)
}

async fn send(context: &Context, node: &str, request: Kind) -> Result<impl Stream<Item = Reply> + use<>, ApiError> {
    let replies = context.rest.inner.nodes.request(node, request).await;
    replies.map_err(|error| ApiError::Unreachable(error.to_string()))
}

/// The error in a reply, if it is one.
fn failure(reply: &Reply) -> Result<(), ApiError> {
    match &reply.end {
        Some(end) if end.status != 200 && end.status != 0 => Err(ApiError::Node {
            status: u16::try_from(end.status).unwrap_or(500),
            message: end.message.clone(),
        }),
        _ => Ok(()),
    }
}
