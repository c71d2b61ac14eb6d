//! Requests that come down the node stream, and their answers.
//!
//! An answer ends with its connection, when the server cancels it, or by itself. Never here: reading logs (`pods`) and
//! maps (`dataplane`).

use std::{collections::HashMap, sync::Arc};

use api::node_stream::{LogsRequest, Reply, ReplyEnd, Request, net_query::What, request};
use serde_json::Value;
use tokio::{
    sync::mpsc,
    task::{AbortHandle, spawn_blocking},
};

use crate::{
    dataplane::{Dataplane, DumpError},
    pods::PodInput,
};

/// Parts of one answer that wait; then whoever makes them waits.
const PARTS_WAITING_MAX: usize = 16;
/// Bytes of one part of what the maps hold.
const PART_BYTES_MAX: usize = 64 << 10;
/// Answers at a time; more are refused.
const OPEN_MAX: usize = 256;

const STATUS_OK: u32 = 200;
const STATUS_BAD_REQUEST: u32 = 400;
const STATUS_TOO_MANY: u32 = 429;
const STATUS_INTERNAL: u32 = 500;

/// The requests of one connection that are not answered yet.
pub(crate) struct Requests {
    dataplane: Arc<Dataplane>,
    pods: mpsc::Sender<PodInput>,
    open: HashMap<u64, AbortHandle>,
}

impl Drop for Requests {
    fn drop(&mut self) {
        self.cancel_all();
    }
}

impl Requests {
    pub(crate) fn new(dataplane: Arc<Dataplane>, pods: mpsc::Sender<PodInput>) -> Requests {
        Requests {
            dataplane,
            pods,
            open: HashMap::new(),
        }
    }

    /// Starts to answer; the parts go to `replies`, the connection's.
    pub(crate) fn begin(&mut self, request: Request, replies: mpsc::Sender<Reply>) {
        self.open.retain(|_, task| !task.is_finished());
        let id = request.id;
        let answer = Answer { id, replies };
        if self.open.len() >= OPEN_MAX {
            tokio::spawn(answer.end(STATUS_TOO_MANY, format!("{OPEN_MAX} requests are open on this node")));
            return;
        }
        let task = match request.kind {
            Some(request::Kind::Logs(logs)) => tokio::spawn(answer.logs(logs, self.pods.clone())),
            Some(request::Kind::Net(query)) => match What::try_from(query.what) {
                Ok(what) => tokio::spawn(answer.maps(what, self.dataplane.clone())),
                Err(_) => tokio::spawn(answer.unknown()),
            },
            None => tokio::spawn(answer.unknown()),
        };
        self.open.insert(id, task.abort_handle());
    }

    /// The answer is not wanted any more.
    pub(crate) fn cancel(&mut self, id: u64) {
        if let Some(task) = self.open.remove(&id) {
            task.abort();
        }
    }

    /// The connection has ended.
    pub(crate) fn cancel_all(&mut self) {
        for (_, task) in self.open.drain() {
            task.abort();
        }
    }
}

struct Answer {
    id: u64,
    replies: mpsc::Sender<Reply>,
}

impl Answer {
    /// Passes on what the pod workers say; dropping the receiver tells them to stop.
    async fn logs(self, request: LogsRequest, pods: mpsc::Sender<PodInput>) {
        let (reply, mut parts) = mpsc::channel(PARTS_WAITING_MAX);
        let input = PodInput::Logs {
            request_id: self.id,
            request,
            reply,
        };
        if pods.send(input).await.is_err() {
            return self.end(STATUS_INTERNAL, "the agent stops".to_owned()).await;
        }
        while let Some(part) = parts.recv().await {
            let is_last = part.end.is_some();
            if self.replies.send(part).await.is_err() || is_last {
                return;
            }
        }
        self.end(STATUS_INTERNAL, "the log ended before it was complete".to_owned())
            .await;
    }

    async fn maps(self, what: What, dataplane: Arc<Dataplane>) {
        let dumped = spawn_blocking(move || dump(what, &dataplane).map(|json| json.to_string().into_bytes())).await;
        let document = match dumped {
            Ok(Ok(document)) => document,
            Ok(Err(err)) => {
                let cause = std::error::Error::source(&err).map_or_else(String::new, |cause| format!(": {cause}"));
                return self.end(STATUS_INTERNAL, format!("{err}{cause}")).await;
            }
            Err(_) => return self.end(STATUS_INTERNAL, "reading the maps panicked".to_owned()).await,
        };
        for part in document.chunks(PART_BYTES_MAX) {
            let part = Reply {
                request_id: self.id,
                data: part.to_vec(),
                end: None,
            };
            if self.replies.send(part).await.is_err() {
                return;
            }
        }
        self.end(STATUS_OK, String::new()).await;
    }

    async fn unknown(self) {
        let message = "this agent does not know the request; it may be older than the server".to_owned();
        self.end(STATUS_BAD_REQUEST, message).await;
    }

    async fn end(self, status: u32, message: String) {
        let last = Reply {
            request_id: self.id,
            data: Vec::new(),
            end: Some(ReplyEnd { status, message }),
        };
        // A connection that has ended wants no answer.
        _ = self.replies.send(last).await;
    }
}

fn dump(what: What, dataplane: &Dataplane) -> Result<Value, DumpError> {
    match what {
        What::Services => dataplane.services_json(),
        What::Endpoints => dataplane.endpoints_json(),
        What::Conntrack => dataplane.conntrack_json(),
        What::Maps => dataplane.maps_json(),
        What::Drops => dataplane.drops_json(),
    }
}
