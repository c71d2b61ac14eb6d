//! One stream of one agent, from Hello to its end: takes what the agent says, in order.
//!
//! ```text
//! opened ──Hello──▶ registering ──Node and Lease are there──▶ connected ──end, silence, replaced──▶ closed
//!    │ wrong name, no Hello in time                                ▲
//!    └────────────────────────────▶ closed                the feed sends Welcome and the snapshot
//! ```

use std::sync::Arc;

use api::{
    Kind, Timestamp,
    net_state::ip_from_bytes,
    node_stream::{EventRecord, FromAgent, Hello, ToAgent, from_agent, to_agent},
};
use futures::{Stream, StreamExt};
use serde_json::json;
use tonic::Status;

use super::{FeedCommand, Session, Shared, tokens, writes::Writes};
use crate::{
    driver::{recorder::Record, resource_of},
    engine::{AGENT_MANAGER, ApiError, Caller, Engine, WriteOptions},
};

/// Namespace of the nodes' leases.
pub(super) const LEASE_NAMESPACE: &str = "kube-node-lease";

/// `leaseDurationSeconds` of a node's lease, as the kubelet sets it.
const LEASE_DURATION_S: i32 = 40;

/// Runs a session until the stream ends, whoever ends it.
pub(super) async fn run(
    shared: Arc<Shared>,
    session: Arc<Session>,
    mut incoming: impl Stream<Item = Result<FromAgent, Status>> + Send + Unpin + 'static,
) {
    let closed = session.closer.token.clone();
    let reason = tokio::select! {
        reason = converse(&shared, &session, &mut incoming) => reason,
        () = closed.cancelled() => Status::aborted("closed"),
    };
    let is_current = {
        let mut sessions = shared.sessions.lock();
        match sessions.get(&session.node) {
            Some(current) if current.id == session.id => sessions.remove(&session.node).is_some(),
            _ => false,
        }
    };
    session.requests.end_all();
    let left = FeedCommand::Leave {
        node: session.node.clone(),
        session: session.id,
    };
    // An error means that the feed has ended, and all sessions with it.
    let _ = shared.feed.send(left).await;
    tracing::info!(node = %session.node, session = session.id, reason = reason.message(), replaced = !is_current, "agent disconnected");
    session.closer.close(reason);
}

async fn converse(
    shared: &Arc<Shared>,
    session: &Arc<Session>,
    incoming: &mut (impl Stream<Item = Result<FromAgent, Status>> + Send + Unpin),
) -> Status {
    let hello = match tokio::time::timeout(shared.patience.hello, incoming.next()).await {
        Ok(Some(Ok(FromAgent {
            kind: Some(from_agent::Kind::Hello(hello)),
        }))) => hello,
        Ok(Some(Ok(_))) => return Status::invalid_argument("the first message must be Hello"),
        Ok(Some(Err(status))) => return status,
        Ok(None) => return Status::cancelled("the agent closed the stream before Hello"),
        Err(_) => return Status::deadline_exceeded("no Hello in time"),
    };
    if hello.node_name != session.node {
        return Status::permission_denied("the node name is not the certificate's");
    }
    if let Err(error) = register(&shared.engine, &hello).await {
        tracing::warn!(node = %session.node, error = &error as &dyn std::error::Error, "node was not registered");
        return Status::unavailable(format!("register the node: {error}"));
    }
    let before = shared.sessions.lock().insert(session.node.clone(), session.clone());
    if let Some(before) = before {
        before
            .closer
            .close(Status::aborted("the agent has opened another stream"));
    }
    tracing::info!(node = %session.node, session = session.id, version = %hello.agent_version, "agent connected");
    let join = FeedCommand::Join {
        node: session.node.clone(),
        session: session.id,
        outgoing: session.outgoing.clone(),
        closer: session.closer.clone(),
    };
    if shared.feed.send(join).await.is_err() {
        return Status::unavailable("the server stops");
    }
    let writes = Writes::start(shared.engine.clone(), session.node.clone(), shared.renew_interval);
    loop {
        let message = match tokio::time::timeout(shared.patience.silence, incoming.next()).await {
            Ok(Some(Ok(message))) => message,
            Ok(Some(Err(status))) => return status,
            Ok(None) => return Status::cancelled("the agent closed the stream"),
            Err(_) => return Status::deadline_exceeded("the agent is silent"),
        };
        let Some(kind) = message.kind else {
            // A newer agent says something that this server does not know.
            continue;
        };
        match kind {
            from_agent::Kind::Hello(_) => return Status::invalid_argument("Hello came twice"),
            from_agent::Kind::Heartbeat(_) => writes.heartbeat(),
            from_agent::Kind::NodeStatus(status) => writes.node_status(status),
            from_agent::Kind::PodStatus(status) => writes.pod_status(status).await,
            from_agent::Kind::PodGone(gone) => writes.pod_gone(gone).await,
            from_agent::Kind::Programmed(programmed) => {
                let command = FeedCommand::Programmed {
                    node: session.node.clone(),
                    session: session.id,
                    revision: programmed.revision,
                };
                if shared.feed.send(command).await.is_err() {
                    return Status::unavailable("the server stops");
                }
            }
            from_agent::Kind::TokenWanted(wanted) => {
                let token = tokens::answer(&shared.engine, &session.node, &wanted);
                let message = ToAgent {
                    kind: Some(to_agent::Kind::Token(token)),
                };
                if session.outgoing.try_send(message).is_err() {
                    tracing::warn!(node = %session.node, "a token was not sent: the agent does not keep up");
                }
            }
            from_agent::Kind::Event(event) => {
                if shared.records.try_send(record(event, &session.node)).is_err() {
                    tracing::warn!(node = %session.node, "an event was dropped: too many wait to be written");
                }
            }
            from_agent::Kind::Reply(part) => session.requests.deliver(session, part),
            from_agent::Kind::RequestCredit(credit) => session.requests.credit(credit),
        }
    }
}

/// Makes the Node and its Lease if they are not there.
async fn register(engine: &Engine, hello: &Hello) -> Result<(), ApiError> {
    let caller = node_caller(&hello.node_name);
    let name = &hello.node_name;
    let nodes = resource_of(Kind::Node);
    let ip = ip_from_bytes(&hello.node_ip).map_err(|error| ApiError::BadRequest(error.to_string()))?;
    let node = match engine.get(nodes, "", name) {
        Ok(node) => node,
        Err(ApiError::NotFound(_)) => {
            let object = json!({
                "apiVersion": "v1",
                "kind": "Node",
                "metadata": {"name": name, "labels": {"kubernetes.io/hostname": name, "kubernetes.io/os": "linux"}},
                "spec": {},
                "status": {
                    "addresses": [
                        {"type": "InternalIP", "address": ip.to_string()},
                        {"type": "Hostname", "address": name},
                    ],
                },
            });
            match engine
                .create(&caller, nodes, "", object, &WriteOptions::by(AGENT_MANAGER))
                .await
            {
                Err(ApiError::AlreadyExists(_)) => engine.get(nodes, "", name)?,
                other => other?,
            }
        }
        Err(error) => return Err(error),
    };
    let leases = resource_of(Kind::Lease);
    if engine.get(leases, LEASE_NAMESPACE, name).is_ok() {
        return Ok(());
    }
    let lease = json!({
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "metadata": {
            "name": name,
            "namespace": LEASE_NAMESPACE,
            "ownerReferences": [{
                "apiVersion": "v1", "kind": "Node", "name": name, "uid": node["metadata"]["uid"],
            }],
        },
        "spec": {
            "holderIdentity": name,
            "leaseDurationSeconds": LEASE_DURATION_S,
            "renewTime": micro_time(Timestamp::now()),
        },
    });
    match engine
        .create(
            &caller,
            leases,
            LEASE_NAMESPACE,
            lease,
            &WriteOptions::by(AGENT_MANAGER),
        )
        .await
    {
        Ok(_) | Err(ApiError::AlreadyExists(_)) => Ok(()),
        Err(error) => Err(error),
    }
}

/// Who writes in the name of a node's agent.
pub(super) fn node_caller(node: &str) -> Caller {
    Caller::system(&format!("system:node:{node}"))
}

/// RFC 3339 with microseconds, as Kubernetes writes `metav1.MicroTime`.
pub(super) fn micro_time(at: Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%S%.6fZ").to_string()
}

fn record(event: EventRecord, node: &str) -> Record {
    let kind = Kind::by_name(&event.involved_kind);
    Record {
        api_version: kind.map_or_else(|| "v1".to_owned(), Kind::api_version),
        kind: event.involved_kind,
        namespace: event.namespace,
        name: event.involved_name,
        uid: event.involved_uid,
        severity: if event.r#type == "Warning" { "Warning" } else { "Normal" },
        reason: event.reason,
        message: event.message,
        source: "skep-agent".to_owned(),
        host: node.to_owned(),
    }
}
