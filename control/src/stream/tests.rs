//! Agents in-process: what they say goes in as messages, what they are told comes out, over a real engine and store.

mod registration;
mod requests;
mod statuses;
mod stops;
mod telling;
mod whole;

use std::time::Duration;

use api::{
    Kind,
    net_state::NetState,
    node_stream::{
        Batch, Change, Heartbeat, Hello, NodeStatus, PodGone, PodStatus, Programmed, batch::Phase, change, from_agent,
        to_agent,
    },
};
use serde_json::{Value, json};
use tonic::Code;

use super::*;
use crate::{
    driver::resource_of,
    engine::{ApiError, DeleteOptions, EngineConfig, Patch, Tokens, WriteOptions},
    store::{Revision, Store, StoreConfig},
};

/// Longer than anything here takes; a test that reaches it has failed.
const TEST_MAX: Duration = Duration::from_secs(10);
/// What must not come would have come by then.
const QUIET: Duration = Duration::from_millis(150);

struct Cluster {
    _directory: tempfile::TempDir,
    engine: Engine,
    store: Store,
    nodes: Nodes,
    shutdown: CancellationToken,
}

fn caller() -> Caller {
    Caller::system("system:test")
}

impl Cluster {
    async fn new() -> Cluster {
        Cluster::with(super::PATIENCE).await
    }

    async fn with(patience: Patience) -> Cluster {
        let directory = tempfile::tempdir().expect("temporary directory");
        let store = Store::open(StoreConfig::new(directory.path().join("store.redb"))).expect("open");
        let config = ServerConfig::default();
        let engine = Engine::new(
            store.clone(),
            EngineConfig {
                service_cidr: config.service_cidr,
                reserved_ips: vec![config.dns_ip],
                node_port_range: config.node_port_range.clone(),
                default_not_ready_toleration: config.default_not_ready_toleration,
                tokens: Tokens::open(directory.path(), "https://issuer", "").expect("a key for tokens"),
            },
        )
        .expect("engine");
        let authority = Authority::open(&directory.path().join("pki")).expect("authority");
        let shutdown = CancellationToken::new();
        let nodes = Nodes::start_with(engine.clone(), authority, &config, shutdown.clone(), patience);
        let cluster = Cluster {
            _directory: directory,
            engine,
            store,
            nodes,
            shutdown,
        };
        for name in ["default", "kube-system", "kube-node-lease"] {
            cluster
                .create(Kind::Namespace, "", json!({"metadata": {"name": name}}))
                .await;
        }
        cluster
            .create(
                Kind::ServiceAccount,
                "default",
                json!({"metadata": {"name": "default"}}),
            )
            .await;
        cluster
    }

    async fn create(&self, kind: Kind, namespace: &str, object: Value) -> Value {
        self.engine
            .create(
                &caller(),
                resource_of(kind),
                namespace,
                object,
                &WriteOptions::default(),
            )
            .await
            .unwrap_or_else(|error| panic!("create {kind}: {error}"))
    }

    async fn patch(&self, kind: Kind, name: &str, subresource: Option<&str>, patch: Value) -> Value {
        let namespace = if kind == Kind::Node { "" } else { "default" };
        self.engine
            .patch(
                &caller(),
                resource_of(kind),
                namespace,
                name,
                subresource,
                Patch::Merge(patch),
                &WriteOptions::default(),
            )
            .await
            .unwrap_or_else(|error| panic!("patch {kind} {name}: {error}"))
    }

    async fn delete(&self, kind: Kind, name: &str, grace_period_s: Option<i64>) {
        let options = DeleteOptions {
            grace_period_s,
            ..DeleteOptions::default()
        };
        self.engine
            .delete(&caller(), resource_of(kind), "default", name, options)
            .await
            .unwrap_or_else(|error| panic!("delete {kind} {name}: {error}"));
    }

    fn get(&self, kind: Kind, namespace: &str, name: &str) -> Option<Value> {
        match self.engine.get(resource_of(kind), namespace, name) {
            Ok(object) => Some(object),
            Err(ApiError::NotFound(_)) => None,
            Err(error) => panic!("get {kind} {name}: {error}"),
        }
    }

    /// Waits, change by change, until `found` answers something.
    async fn until<T>(&self, what: &str, mut found: impl FnMut(&Cluster) -> Option<T>) -> T {
        let waiting = async {
            loop {
                let revision = self.store.revision();
                if let Some(found) = found(self) {
                    return found;
                }
                self.store.wait_for(revision + 1).await;
            }
        };
        tokio::time::timeout(TEST_MAX, waiting)
            .await
            .unwrap_or_else(|_| panic!("never came: {what}"))
    }

    /// A pod on a node, with the volumes given.
    async fn pod(&self, name: &str, node: &str, volumes: Value) -> Value {
        let object = json!({
            "metadata": {"name": name, "namespace": "default"},
            "spec": {"nodeName": node, "containers": [{"name": "c", "image": "busybox"}], "volumes": volumes},
        });
        self.create(Kind::Pod, "default", object).await
    }

    /// Opens a stream and says Hello.
    async fn dial(&self, node: &str) -> Agent {
        let agent = self.open(node);
        agent.hello(node).await;
        agent
    }

    fn open(&self, node: &str) -> Agent {
        let (says, incoming) = mpsc::channel(64);
        let told = self
            .nodes
            .accept(node, tokio_stream::wrappers::ReceiverStream::new(incoming));
        Agent {
            says,
            told,
            mirror: NetState::default(),
        }
    }

    /// An agent with a snapshot, all of it acknowledged.
    async fn agent(&self, node: &str, cidr: &str) -> Agent {
        let mut agent = self.dial(node).await;
        self.until("the node", |cluster| cluster.get(Kind::Node, "", node))
            .await;
        self.patch(Kind::Node, node, None, json!({"spec": {"podCIDR": cidr}}))
            .await;
        agent.snapshot().await;
        agent
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.shutdown.cancel();
    }
}

/// The other end of a stream.
struct Agent {
    says: mpsc::Sender<Result<FromAgent, Status>>,
    told: BoxStream<'static, Result<ToAgent, Status>>,
    mirror: NetState,
}

impl Agent {
    async fn say(&self, kind: from_agent::Kind) {
        let message = FromAgent { kind: Some(kind) };
        self.says.send(Ok(message)).await.expect("the session listens");
    }

    async fn hello(&self, node: &str) {
        self.say(from_agent::Kind::Hello(Hello {
            node_name: node.to_owned(),
            agent_version: "test".to_owned(),
            node_ip: vec![192, 0, 2, 1],
        }))
        .await;
    }

    async fn next(&mut self) -> Result<to_agent::Kind, Status> {
        let message = tokio::time::timeout(TEST_MAX, self.told.next())
            .await
            .expect("told in time")
            .expect("the stream is open")?;
        Ok(message.kind.expect("a kind"))
    }

    async fn expect_quiet(&mut self) {
        if let Ok(message) = tokio::time::timeout(QUIET, self.told.next()).await {
            panic!("told: {message:?}");
        }
    }

    async fn welcome(&mut self) -> Welcome {
        match self.next().await {
            Ok(to_agent::Kind::Welcome(welcome)) => welcome,
            other => panic!("not Welcome: {other:?}"),
        }
    }

    /// The next batch, folded into the mirror.
    async fn batch(&mut self) -> Batch {
        match self.next().await {
            Ok(to_agent::Kind::Batch(batch)) => {
                for change in &batch.changes {
                    self.mirror.apply(change);
                }
                batch
            }
            other => panic!("not a batch: {other:?}"),
        }
    }

    /// Welcome and the whole snapshot, acknowledged.
    async fn snapshot(&mut self) -> Vec<String> {
        self.welcome().await;
        let mut told = Vec::new();
        loop {
            let batch = self.batch().await;
            told.extend(batch.changes.iter().map(text));
            match batch.phase() {
                Phase::Snapshot => {}
                Phase::SnapshotEnd => {
                    self.programmed(batch.revision).await;
                    return told;
                }
                Phase::Delta => panic!("a delta before the snapshot's end"),
            }
        }
    }

    /// Reads deltas until one mentions `what`; answers all that was told.
    async fn until(&mut self, what: &str) -> Vec<String> {
        let mut told = Vec::new();
        while !told.iter().any(|text: &String| text.contains(what)) {
            let batch = self.batch().await;
            assert_eq!(batch.phase(), Phase::Delta);
            told.extend(batch.changes.iter().map(text));
        }
        told
    }

    async fn programmed(&self, revision: Revision) {
        self.say(from_agent::Kind::Programmed(Programmed { revision })).await;
    }

    /// Reads until the stream ends; answers why.
    async fn ended(&mut self) -> Status {
        loop {
            if let Err(status) = self.next().await {
                return status;
            }
        }
    }
}

/// A change, for people.
fn text(change: &Change) -> String {
    let name = |json: &[u8]| {
        let object: Value = serde_json::from_slice(json).expect("JSON");
        assert!(object["metadata"]["resourceVersion"].is_string(), "{object}");
        object["metadata"]["name"].as_str().expect("a name").to_owned()
    };
    match change.kind.as_ref().expect("a kind") {
        change::Kind::Pod(json) => format!("pod {}", name(json)),
        change::Kind::PodRemoved(object) => format!("-pod {}", object.name),
        change::Kind::ConfigMap(json) => format!("map {}", name(json)),
        change::Kind::ConfigMapRemoved(object) => format!("-map {}", object.name),
        change::Kind::Secret(json) => format!("secret {}", name(json)),
        change::Kind::SecretRemoved(object) => format!("-secret {}", object.name),
        change::Kind::Node(node) => format!("node {}", node.name),
        change::Kind::NodeRemoved(name) => format!("-node {name}"),
        change::Kind::Service(service) => format!("service {}", service.name),
        change::Kind::ServiceRemoved(number) => format!("-service {number}"),
        change::Kind::Endpoints(delta) => {
            format!("endpoints +{} -{}", delta.upserted.len(), delta.removed.len())
        }
    }
}
