//! Answers a request for a container's log.
//!
//! Never here: reading the file (`logs`). Source: `kubectl logs`, the API's `pods/log`.

use std::sync::Arc;

use api::{
    k8s_openapi::api::core::v1::{ContainerStatus, PodStatus},
    node_stream::{LogsRequest, Reply, ReplyEnd},
};
use parking_lot::Mutex;
use tokio::sync::mpsc;

use super::{layout::PodHome, shim_link};
use crate::{
    causes::chain,
    logs::{self, Wanted},
    runtime::bundle::State,
};

const OK: u32 = 200;
const BAD_REQUEST: u32 = 400;
const NOT_FOUND: u32 = 404;
const INTERNAL_ERROR: u32 = 500;

/// A pod's directory and status.
type Known = (PodHome, Arc<Mutex<PodStatus>>);

/// Sends the log in parts and then the end.
pub(super) async fn serve(known: Option<Known>, request_id: u64, request: LogsRequest, reply: mpsc::Sender<Reply>) {
    let end = match answer(known, request_id, &request, &reply).await {
        Ok(()) => ReplyEnd {
            status: OK,
            ..ReplyEnd::default()
        },
        Err((status, message)) => ReplyEnd {
            status,
            message,
            exit_code: None,
        },
    };
    let last = Reply {
        request_id,
        end: Some(end),
        ..Reply::default()
    };
    // Whoever asked may have gone.
    let _ = reply.send(last).await;
}

async fn answer(
    known: Option<Known>,
    request_id: u64,
    request: &LogsRequest,
    reply: &mpsc::Sender<Reply>,
) -> Result<(), (u32, String)> {
    let pod = &request.pod;
    let Some((home, status)) = known else {
        return Err((NOT_FOUND, format!("pods \"{pod}\" not found on this node")));
    };
    let status = status.lock().clone();
    let name = container_name(&status, request).map_err(|message| (BAD_REQUEST, message))?;
    let mut attempts = home.attempts(&name);
    attempts.retain(|attempt| home.log(&name, *attempt).exists());
    // A container that waits shows the run that ended last, whichever is asked for.
    let waits = waits(&status, &name);
    let attempt = if request.previous {
        let steps_back = if waits.is_some() { 1 } else { 2 };
        let before = attempts
            .len()
            .checked_sub(steps_back)
            .and_then(|index| attempts.get(index));
        before.copied().ok_or_else(|| {
            let message = format!("previous terminated container \"{name}\" in pod \"{pod}\" not found");
            (BAD_REQUEST, message)
        })?
    } else {
        attempts.last().copied().ok_or_else(|| {
            let reason = waits.unwrap_or_else(|| "ContainerCreating".to_owned());
            let message = format!("container \"{name}\" in pod \"{pod}\" is waiting to start: {reason}");
            (BAD_REQUEST, message)
        })?
    };
    let since = match request.since_time.as_str() {
        "" => None,
        text => Some(
            text.parse()
                .map_err(|_| (BAD_REQUEST, format!("{text:?} is not a time")))?,
        ),
    };
    let wanted = Wanted {
        tail_lines: u64::try_from(request.tail_lines).ok(),
        since,
        limit_bytes: u64::try_from(request.limit_bytes).ok().filter(|limit| *limit > 0),
        timestamps: request.timestamps,
        follow: request.follow,
    };
    let bundle = home.bundle(&name, attempt);
    let send = |data: Vec<u8>| {
        let part = Reply {
            request_id,
            data,
            ..Reply::default()
        };
        async { reply.send(part).await.is_ok() }
    };
    let ended = || match bundle.state() {
        Ok(Some(State::Exited { .. } | State::Failed { .. })) => true,
        Ok(Some(State::Running { .. }) | None) | Err(_) => reply.is_closed() || !shim_link::is_locked(&bundle),
    };
    logs::read(&home.log(&name, attempt), bundle.dir(), &wanted, send, ended)
        .await
        .map_err(|err| (INTERNAL_ERROR, chain(&err)))
}

/// The container that is asked for; a pod's only one need not be named.
fn container_name(status: &PodStatus, request: &LogsRequest) -> Result<String, String> {
    let names: Vec<&str> = statuses(status).map(|status| status.name.as_str()).collect();
    let pod = &request.pod;
    match request.container.as_str() {
        "" => match status.container_statuses.as_deref() {
            Some([only]) => Ok(only.name.clone()),
            _ => Err(format!(
                "a container name must be specified for pod {pod}, choose one of: {names:?}"
            )),
        },
        name if names.contains(&name) => Ok(name.to_owned()),
        name => Err(format!("container {name} is not valid for pod {pod}")),
    }
}

/// What a container waits for, if it does.
fn waits(status: &PodStatus, name: &str) -> Option<String> {
    let status = statuses(status).find(|status| status.name == name)?;
    status.state.as_ref()?.waiting.as_ref()?.reason.clone()
}

fn statuses(status: &PodStatus) -> impl Iterator<Item = &ContainerStatus> {
    let init = status.init_container_statuses.iter().flatten();
    let ephemeral = status.ephemeral_container_statuses.iter().flatten();
    init.chain(status.container_statuses.iter().flatten()).chain(ephemeral)
}
