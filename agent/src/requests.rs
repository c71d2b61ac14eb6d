//! Requests that come down the node stream, and their answers.
//!
//! An answer ends with its connection, when the server cancels it, or by itself. A request whose reader is slow waits,
//! alone. Never here: reading logs, running processes (`pods`) and reading maps (`dataplane`).

use std::{collections::HashMap, sync::Arc};

use api::node_stream::{
    Channel, Credit, FromAgent, LogsRequest, ReplyEnd, Request, RequestData, net_query::What, request,
};
use serde_json::Value;
use tokio::{
    sync::{mpsc, oneshot},
    task::{AbortHandle, spawn_blocking},
};
use tracing::warn;

use crate::{
    dataplane::{Dataplane, DumpError},
    exchange::{Counterpart, Exchange, Outlet, exchange},
    pods::{FoundPod, PodInput, PodName, port_forward, streams},
};

/// Parts of one answer that wait; then whoever makes them waits.
const PARTS_WAITING_MAX: usize = 16;
/// Answers at a time; more are refused.
const OPEN_MAX: usize = 256;

const STATUS_OK: u32 = 200;
const STATUS_BAD_REQUEST: u32 = 400;
const STATUS_NOT_FOUND: u32 = 404;
const STATUS_TOO_MANY: u32 = 429;
const STATUS_INTERNAL: u32 = 500;

/// The requests of one connection that are not answered yet.
pub(crate) struct Requests {
    dataplane: Arc<Dataplane>,
    pods: mpsc::Sender<PodInput>,
    open: HashMap<u64, Open>,
}

/// A request that is being answered.
struct Open {
    task: AbortHandle,
    counterpart: Counterpart,
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

    /// Starts to answer; what is said goes to `up`, the connection's.
    pub(crate) fn begin(&mut self, request: Request, up: mpsc::Sender<FromAgent>) {
        self.open.retain(|_, open| !open.task.is_finished());
        let id = request.id;
        let (exchange, counterpart) = exchange(id, up);
        if self.open.len() >= OPEN_MAX {
            let message = format!("{OPEN_MAX} requests are open on this node");
            tokio::spawn(async move { exchange.outlet.end(refusal(STATUS_TOO_MANY, message)).await });
            return;
        }
        let (dataplane, pods) = (self.dataplane.clone(), self.pods.clone());
        let task = tokio::spawn(async move {
            let outlet = exchange.outlet.clone();
            let end = answer(id, request.kind, exchange, dataplane, pods).await;
            outlet.end(end).await;
        });
        let open = Open {
            task: task.abort_handle(),
            counterpart,
        };
        self.open.insert(id, open);
    }

    /// Something comes down for a request.
    pub(crate) fn data(&mut self, data: RequestData) {
        let (Some(open), Some(kind)) = (self.open.get(&data.request_id), data.kind) else {
            return;
        };
        if open.counterpart.take(kind).is_err() {
            warn!(
                request = data.request_id,
                "the server sends more than it may; the request is given up"
            );
            self.cancel(data.request_id);
        }
    }

    /// The reader of an answer has taken parts.
    pub(crate) fn credit(&self, credit: Credit) {
        if let Some(open) = self.open.get(&credit.request_id) {
            open.counterpart.credit(credit.parts);
        }
    }

    /// The answer is not wanted any more.
    pub(crate) fn cancel(&mut self, id: u64) {
        if let Some(open) = self.open.remove(&id) {
            open.task.abort();
        }
    }

    /// The connection has ended.
    pub(crate) fn cancel_all(&mut self) {
        for (_, open) in self.open.drain() {
            open.task.abort();
        }
    }
}

/// Answers a request, up to its end.
async fn answer(
    id: u64,
    kind: Option<request::Kind>,
    exchange: Exchange,
    dataplane: Arc<Dataplane>,
    pods: mpsc::Sender<PodInput>,
) -> ReplyEnd {
    match kind {
        Some(request::Kind::Logs(request)) => logs(id, request, &exchange.outlet, pods).await,
        Some(request::Kind::Net(query)) => match What::try_from(query.what) {
            Ok(what) => maps(what, &exchange.outlet, dataplane).await,
            Err(_) => unknown(),
        },
        Some(request::Kind::Exec(request)) => {
            let name = PodName::new(&request.namespace, &request.pod, &request.uid);
            match find(name, pods).await {
                Ok(pod) => streams::exec(&pod, &request, exchange).await,
                Err(end) => end,
            }
        }
        Some(request::Kind::Attach(request)) => {
            let name = PodName::new(&request.namespace, &request.pod, &request.uid);
            match find(name, pods).await {
                Ok(pod) => streams::attach(&pod, &request, exchange).await,
                Err(end) => end,
            }
        }
        Some(request::Kind::PortForward(request)) => {
            let name = PodName::new(&request.namespace, &request.pod, &request.uid);
            match find(name, pods).await {
                Ok(pod) => port_forward::serve(&pod, &request, exchange).await,
                Err(end) => end,
            }
        }
        None => unknown(),
    }
}

async fn find(name: PodName, pods: mpsc::Sender<PodInput>) -> Result<FoundPod, ReplyEnd> {
    let missing = format!("pods \"{}\" not found on this node", name.name);
    let (reply, found) = oneshot::channel();
    let stops = || refusal(STATUS_INTERNAL, "the agent stops".to_owned());
    pods.send(PodInput::Find { name, reply }).await.map_err(|_| stops())?;
    let found = found.await.map_err(|_| stops())?;
    found.ok_or_else(|| refusal(STATUS_NOT_FOUND, missing))
}

/// Passes on what the pod workers say; dropping the receiver tells them to stop.
async fn logs(id: u64, request: LogsRequest, outlet: &Outlet, pods: mpsc::Sender<PodInput>) -> ReplyEnd {
    let (reply, mut parts) = mpsc::channel(PARTS_WAITING_MAX);
    let input = PodInput::Logs {
        request_id: id,
        request,
        reply,
    };
    if pods.send(input).await.is_err() {
        return refusal(STATUS_INTERNAL, "the agent stops".to_owned());
    }
    while let Some(part) = parts.recv().await {
        if outlet.data(Channel::Main, &part.data).await.is_err() {
            break;
        }
        if let Some(end) = part.end {
            return end;
        }
    }
    refusal(STATUS_INTERNAL, "the log ended before it was complete".to_owned())
}

async fn maps(what: What, outlet: &Outlet, dataplane: Arc<Dataplane>) -> ReplyEnd {
    let dumped = spawn_blocking(move || dump(what, &dataplane).map(|json| json.to_string().into_bytes())).await;
    match dumped {
        // An error means that nobody wants it, nor the end.
        Ok(Ok(document)) => match outlet.data(Channel::Main, &document).await {
            Ok(()) | Err(_) => ReplyEnd {
                status: STATUS_OK,
                ..ReplyEnd::default()
            },
        },
        Ok(Err(err)) => {
            let cause = std::error::Error::source(&err).map_or_else(String::new, |cause| format!(": {cause}"));
            refusal(STATUS_INTERNAL, format!("{err}{cause}"))
        }
        Err(_) => refusal(STATUS_INTERNAL, "reading the maps panicked".to_owned()),
    }
}

fn unknown() -> ReplyEnd {
    let message = "this agent does not know the request; it may be older than the server".to_owned();
    refusal(STATUS_BAD_REQUEST, message)
}

fn refusal(status: u32, message: String) -> ReplyEnd {
    ReplyEnd {
        status,
        message,
        exit_code: None,
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
