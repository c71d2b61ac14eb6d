//! Hands inputs to the pods' workers, starts workers for new pods, and sweeps what no pod calls for.
//!
//! One task. Never here: anything about the inside of a pod.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use api::{
    Timestamp,
    k8s_openapi::{
        api::core::v1::{Pod, PodSpec},
        apimachinery::pkg::apis::meta::v1::ObjectMeta,
    },
};
use tokio::sync::mpsc;
use tracing::{info, warn};

use super::{
    FoundPod, PodInput,
    layout::PodRecord,
    log_request,
    objects::Objects,
    sandbox::blocking,
    tokens,
    worker::{self, Context, Origin, Presence, Told, Worker},
};
use crate::inotify::Inotify;

/// Ends of workers that may wait.
const ENDED_WAITING_MAX: usize = 256;

/// Serves until the inputs end.
pub(super) async fn run(context: Arc<Context>, mut inputs: mpsc::Receiver<PodInput>, images: Inotify) {
    let (ended, mut ends) = mpsc::channel(ENDED_WAITING_MAX);
    let mut supervisor = Supervisor {
        context,
        workers: HashMap::new(),
        snapshot: None,
        ended,
    };
    loop {
        tokio::select! {
            input = inputs.recv() => match input {
                Some(input) => supervisor.take(input).await,
                None => return,
            },
            Some(uid) = ends.recv() => {
                supervisor.workers.remove(&uid);
                supervisor.context.objects.forget_tokens(&uid);
            }
            changed = images.changed() => match changed {
                Ok(()) => supervisor.tell_all(|| Told::ImagesChanged, |_| true).await,
                Err(err) => {
                    warn!(error = &err as &dyn std::error::Error, "image store not watched any more");
                    return;
                }
            },
        }
    }
}

/// What a snapshot has named so far.
#[derive(Default)]
struct Snapshot {
    pods: HashSet<String>,
    objects: Objects,
}

struct Supervisor {
    context: Arc<Context>,
    /// By pod uid.
    workers: HashMap<String, Worker>,
    snapshot: Option<Snapshot>,
    ended: mpsc::Sender<String>,
}

impl Supervisor {
    async fn take(&mut self, input: PodInput) {
        match input {
            PodInput::Pod(pod) => self.pod(pod).await,
            PodInput::PodRemoved { uid, .. } => self.tell(&uid, Told::Removed).await,
            PodInput::ConfigMap(object) => {
                let namespace = object.metadata.namespace.clone().unwrap_or_default();
                if let Some(snapshot) = &self.snapshot {
                    snapshot.objects.put_config_map((*object).clone());
                }
                self.context.objects.put_config_map(*object);
                self.objects_changed(&namespace).await;
            }
            PodInput::ConfigMapRemoved { namespace, name } => {
                self.context.objects.remove_config_map(&namespace, &name);
                self.objects_changed(&namespace).await;
            }
            PodInput::Secret(object) => {
                let namespace = object.metadata.namespace.clone().unwrap_or_default();
                if let Some(snapshot) = &self.snapshot {
                    snapshot.objects.put_secret((*object).clone());
                }
                self.context.objects.put_secret(*object);
                self.objects_changed(&namespace).await;
            }
            PodInput::SecretRemoved { namespace, name } => {
                self.context.objects.remove_secret(&namespace, &name);
                self.objects_changed(&namespace).await;
            }
            PodInput::Token(said) => {
                let (key, answer) = tokens::answer(said, Timestamp::now());
                // A pod that is gone wants no token any more.
                if self.workers.contains_key(&key.pod_uid) {
                    self.context.objects.put_token(key, answer);
                }
            }
            PodInput::SnapshotBegin => self.snapshot = Some(Snapshot::default()),
            PodInput::SnapshotEnd => self.snapshot_end().await,
            PodInput::StopAllowed { uid } => self.tell(&uid, Told::StopAllowed).await,
            PodInput::Logs {
                request_id,
                request,
                reply,
            } => {
                let known = self.find(&request.uid, &request.namespace, &request.pod);
                let home = known.map(|(uid, worker)| (self.context.pods.pod(uid), Arc::clone(&worker.status)));
                tokio::spawn(log_request::serve(home, request_id, request, reply));
            }
            PodInput::Find { name, reply } => {
                let found = self.find(&name.uid, &name.namespace, &name.name);
                let found = found.map(|(uid, worker)| FoundPod {
                    home: self.context.pods.pod(uid),
                    status: Arc::clone(&worker.status),
                    shim_program: self.context.shim_program.clone(),
                });
                // Whoever asked may have gone.
                _ = reply.send(found);
            }
        }
    }

    async fn pod(&mut self, pod: Box<Pod>) {
        let uid = pod.metadata.uid.clone().unwrap_or_default();
        if !is_file_name(&uid) {
            warn!(pod.uid = uid, "pod refused: its uid cannot name a directory");
            return;
        }
        let origin = match &mut self.snapshot {
            Some(snapshot) => {
                snapshot.pods.insert(uid.clone());
                Origin::Snapshot
            }
            None => Origin::Delta,
        };
        if let Some(worker) = self.workers.get(&uid) {
            let told = Told::Pod { pod, origin };
            match worker.told.send(told).await {
                Ok(()) => return,
                // It has just ended: the object calls for another.
                Err(mpsc::error::SendError(Told::Pod { pod, .. })) => return self.start(uid, pod, Presence::Present),
                Err(_) => return,
            }
        }
        self.start(uid, pod, Presence::Present);
    }

    fn start(&mut self, uid: String, pod: Box<Pod>, presence: Presence) {
        let worker = worker::start(Arc::clone(&self.context), pod, presence, self.ended.clone());
        self.workers.insert(uid, worker);
    }

    async fn tell(&self, uid: &str, told: Told) {
        if let Some(worker) = self.workers.get(uid) {
            // A worker that has just ended has nothing to be told.
            let _ = worker.told.send(told).await;
        }
    }

    async fn tell_all(&self, told: impl Fn() -> Told, concerns: impl Fn(&Worker) -> bool) {
        for worker in self.workers.values().filter(|worker| concerns(worker)) {
            let _ = worker.told.send(told()).await;
        }
    }

    async fn objects_changed(&self, namespace: &str) {
        // At the end of a snapshot all are told at once.
        if self.snapshot.is_none() {
            self.tell_all(|| Told::ObjectsChanged, |worker| worker.namespace == namespace)
                .await;
        }
    }

    async fn snapshot_end(&mut self) {
        let Some(snapshot) = self.snapshot.take() else { return };
        self.context.objects.replace(snapshot.objects);
        self.tell_all(|| Told::ObjectsChanged, |_| true).await;
        let gone = self.workers.iter().filter(|(uid, _)| !snapshot.pods.contains(*uid));
        for (_, worker) in gone {
            let _ = worker.told.send(Told::Removed).await;
        }
        self.sweep().await;
    }

    /// Removes what former agents left of pods that nobody names any more.
    async fn sweep(&mut self) {
        let context = Arc::clone(&self.context);
        let (records, uids, cgroups) = blocking(move || {
            let cgroups = context.hierarchies.children(&context.pods_cgroup());
            (context.pods.records(), context.pods.uids(), cgroups)
        })
        .await;
        let attached = self.context.network.attached().await;
        let mut left: HashMap<String, PodRecord> = HashMap::new();
        for uid in uids.into_iter().chain(cgroups).chain(attached) {
            let unnamed = PodRecord {
                namespace: String::new(),
                name: String::new(),
                uid: uid.clone(),
            };
            left.entry(uid).or_insert(unnamed);
        }
        for record in records {
            left.insert(record.uid.clone(), record);
        }
        for (uid, record) in left {
            if !self.workers.contains_key(&uid) && is_file_name(&uid) {
                info!(
                    pod.uid = uid,
                    pod.name = record.name,
                    "removing a pod that is not wanted any more"
                );
                self.start(uid, Box::new(stand_in(record)), Presence::Removed);
            }
        }
    }

    fn find(&self, uid: &str, namespace: &str, name: &str) -> Option<(&String, &Worker)> {
        self.workers.iter().find(|(known, worker)| match uid {
            "" => worker.namespace == namespace && worker.name == name,
            uid => known.as_str() == uid,
        })
    }
}

/// The object of a pod that has none any more.
fn stand_in(record: PodRecord) -> Pod {
    Pod {
        metadata: ObjectMeta {
            namespace: Some(record.namespace),
            name: Some(record.name),
            uid: Some(record.uid),
            ..ObjectMeta::default()
        },
        spec: Some(PodSpec::default()),
        status: None,
    }
}

/// A uid becomes part of paths.
fn is_file_name(uid: &str) -> bool {
    !uid.is_empty()
        && uid.len() <= 64
        && uid
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
}
