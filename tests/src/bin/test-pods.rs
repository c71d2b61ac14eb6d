//! A node's pod workers alone, in a process that a test can kill: no control plane, no eBPF.
//!
//! `test-pods node DATA_DIR CGROUP_ROOT` reads inputs as JSON lines and writes what the workers say as JSON lines.
//! `test-pods shim …` is the shim, as in the skep binary. Pods get a network namespace with nothing in it.

use std::{
    ffi::OsString,
    io::{BufRead as _, Write as _},
    path::{Path, PathBuf},
    process::ExitCode,
    sync::Arc,
};

use agent::{
    net::netns,
    pods::{
        PodInput, PodsConfig,
        network::{AttachError, DetachError, DnsSettings, PodAttachment, PodNetRequest, PodNetwork, ResolvConf},
    },
};
use anyhow::{Context as _, bail};
use api::node_stream::{FromAgent, LogsRequest, Reply, Service, ServicePort, from_agent};
use serde_json::{Value, json};
use tokio::sync::mpsc;

fn main() -> ExitCode {
    let mut words = std::env::args_os().skip(1);
    match words.next().and_then(|word| word.into_string().ok()).as_deref() {
        // Before any thread exists.
        Some("shim") => u8::try_from(agent::shim::main(words)).map_or(ExitCode::FAILURE, ExitCode::from),
        Some("node") => match node(words) {
            Ok(()) => ExitCode::SUCCESS,
            Err(err) => {
                let _ = writeln!(std::io::stderr(), "{err:?}");
                ExitCode::FAILURE
            }
        },
        _ => ExitCode::FAILURE,
    }
}

fn node(mut words: impl Iterator<Item = OsString>) -> anyhow::Result<()> {
    let data_dir = PathBuf::from(words.next().context("DATA_DIR")?);
    let cgroup_root = words
        .next()
        .and_then(|word| word.into_string().ok())
        .context("CGROUP_ROOT")?;
    tracing_subscriber::fmt().with_writer(std::io::stderr).init();
    // Several threads on purpose: containers must come up all the same.
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(4)
        .enable_all()
        .build()?;
    runtime.block_on(serve(data_dir, cgroup_root))
}

async fn serve(data_dir: PathBuf, cgroup_root: String) -> anyhow::Result<()> {
    let network = Arc::new(EmptyNetwork {
        dir: data_dir.join("netns"),
    });
    let config = PodsConfig {
        data_dir,
        node_name: "test-node".to_owned(),
        node_ip: "192.0.2.1".parse()?,
        cgroup_root,
        cluster_domain: "cluster.local".to_owned(),
        shim_program: PathBuf::from("/proc/self/exe"),
    };
    let (said, mut says) = mpsc::channel::<FromAgent>(64);
    let inputs = agent::pods::start(config, network, said)?;
    tokio::spawn(async move {
        while let Some(message) = says.recv().await {
            if let Some(kind) = message.kind {
                print_line(&said_json(kind));
            }
        }
    });
    let handle = tokio::runtime::Handle::current();
    let reader = std::thread::spawn(move || -> anyhow::Result<()> {
        for line in std::io::stdin().lock().lines() {
            let input = input(serde_json::from_str(&line?)?, &handle)?;
            inputs.blocking_send(input).ok().context("the workers ended")?;
        }
        Ok(())
    });
    tokio::task::spawn_blocking(move || reader.join())
        .await?
        .map_err(|_| anyhow::anyhow!("the reader panicked"))?
}

fn print_line(value: &Value) {
    let mut out = std::io::stdout().lock();
    // The test that listens may have been killed.
    let _ = writeln!(out, "{value}").and_then(|()| out.flush());
}

fn said_json(kind: from_agent::Kind) -> Value {
    match kind {
        from_agent::Kind::PodStatus(status) => json!({
            "status": {"uid": status.uid, "status": serde_json::from_slice::<Value>(&status.status_json).ok()},
        }),
        from_agent::Kind::PodGone(gone) => json!({"gone": gone.uid}),
        from_agent::Kind::Event(event) => json!({
            "event": {"uid": event.involved_uid, "text": format!("{} {}: {}", event.r#type, event.reason, event.message)},
        }),
        _ => json!({"other": true}),
    }
}

fn input(value: Value, replies_to: &tokio::runtime::Handle) -> anyhow::Result<PodInput> {
    let (kind, value) = value
        .as_object()
        .and_then(|object| object.iter().next())
        .map(|(kind, value)| (kind.clone(), value.clone()))
        .context("one input per line")?;
    let text = |key: &str| value[key].as_str().unwrap_or_default().to_owned();
    Ok(match kind.as_str() {
        "begin" => PodInput::SnapshotBegin,
        "end" => PodInput::SnapshotEnd,
        "pod" => PodInput::Pod(serde_json::from_value(value)?),
        "removed" => PodInput::PodRemoved {
            namespace: text("namespace"),
            name: text("name"),
            uid: text("uid"),
        },
        "config_map" => PodInput::ConfigMap(serde_json::from_value(value)?),
        "secret" => PodInput::Secret(serde_json::from_value(value)?),
        "stop_allowed" => PodInput::StopAllowed { uid: text("uid") },
        "logs" => {
            let (reply, mut replies) = mpsc::channel::<Reply>(8);
            replies_to.spawn(async move {
                while let Some(reply) = replies.recv().await {
                    print_line(&json!({"log": {
                        "id": reply.request_id,
                        "text": String::from_utf8_lossy(&reply.data),
                        "end": reply.end.map(|end| json!({"status": end.status, "message": end.message})),
                    }}));
                }
            });
            PodInput::Logs {
                request_id: value["id"].as_u64().unwrap_or(0),
                request: LogsRequest {
                    namespace: "ns".to_owned(),
                    pod: text("pod"),
                    container: text("container"),
                    follow: value["follow"] == true,
                    previous: value["previous"] == true,
                    tail_lines: value["tail"].as_i64().unwrap_or(-1),
                    ..LogsRequest::default()
                },
                reply,
            }
        }
        other => bail!("unknown input {other}"),
    })
}

/// Namespaces without links.
struct EmptyNetwork {
    dir: PathBuf,
}

impl EmptyNetwork {
    fn path(&self, uid: &str) -> PathBuf {
        self.dir.join(uid)
    }
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    tokio::task::spawn_blocking(work)
        .await
        .expect("the work does not panic")
}

#[async_trait::async_trait]
impl PodNetwork for EmptyNetwork {
    async fn attach(&self, pod: &PodNetRequest) -> Result<PodAttachment, AttachError> {
        let path = self.path(&pod.uid);
        let ensured = {
            let path = path.clone();
            blocking(move || {
                std::fs::create_dir_all(path.parent().unwrap_or(Path::new("/"))).map_err(|err| err.to_string())?;
                netns::ensure(&path).map_err(|err| err.to_string())
            })
            .await
        };
        ensured.map_err(|err| AttachError {
            uid: pod.uid.clone(),
            step: "make its namespace".to_owned(),
            source: err.into(),
        })?;
        Ok(PodAttachment {
            netns: path,
            ips: vec!["10.42.0.9".parse().expect("an address")],
            resolv_conf: ResolvConf {
                nameservers: vec!["10.43.0.10".parse().expect("an address")],
                search: vec![format!("{}.svc.cluster.local", pod.namespace)],
                options: vec!["ndots:5".to_owned()],
            },
            hosts: Vec::new(),
        })
    }

    async fn detach(&self, uid: &str) -> Result<(), DetachError> {
        let path = self.path(uid);
        let released = blocking(move || netns::release(&path).map_err(|err| err.to_string())).await;
        released.map_err(|err| DetachError {
            uid: uid.to_owned(),
            step: "release its namespace".to_owned(),
            source: err.into(),
        })
    }

    async fn attached(&self) -> Vec<String> {
        let entries = std::fs::read_dir(&self.dir).into_iter().flatten().flatten();
        entries
            .filter_map(|entry| entry.file_name().into_string().ok())
            .collect()
    }

    async fn host_resolv_conf(&self, _namespace: &str, _dns: &DnsSettings) -> ResolvConf {
        ResolvConf::default()
    }

    fn services(&self, namespace: &str) -> Vec<Service> {
        if namespace != "default" {
            return Vec::new();
        }
        vec![Service {
            namespace: "default".to_owned(),
            name: "kubernetes".to_owned(),
            cluster_ips: vec![vec![10, 43, 0, 1]],
            ports: vec![ServicePort {
                name: "https".to_owned(),
                port: 443,
                ..ServicePort::default()
            }],
            ..Service::default()
        }]
    }
}
