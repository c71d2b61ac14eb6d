//! One pod's worker: a task that observes, asks `reconcile::pod` what to do, and carries it out.
//!
//! Whatever takes time runs beside it and comes back as a [`Happening`]; what is under way shows in the observation,
//! so nothing is begun twice. Ends when the pod is forgotten, or when the agent does; the containers do not care.
//! Never here: decisions about the pod's life.

mod adopt;
mod carry_out;
mod ending;
mod happening;
mod report;

use std::{
    borrow::Cow,
    collections::HashMap,
    net::IpAddr,
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};

use api::{
    Timestamp,
    k8s_openapi::api::core::v1::{Container, Pod, PodStatus},
    node_stream::FromAgent,
};
use parking_lot::Mutex;
use reconcile::pod::{Decision, Input, Observed, Refusal, RefusalReason, Room, Sandbox, Share, as_container, decide};
use tokio::sync::mpsc;
use tracing::{Instrument as _, info_span};

use super::{
    PodsConfig, StartError,
    fields::PodFacts,
    layout::{PodHome, PodsHome, SandboxRecord},
    network::PodNetwork,
    objects::Objects,
    prober::Probes,
    shim_link::ShimLink,
    tokens,
};
use crate::{
    image::ImageStore,
    node_status,
    runtime::{cgroup::Hierarchies, spec::Machine},
    volume,
};
use happening::Happening;

/// Messages that may wait for one worker.
const TOLD_WAITING_MAX: usize = 32;
/// Happenings that may wait for one worker: a few per container, and the largest pods have a few dozen.
const HAPPENINGS_WAITING_MAX: usize = 256;
/// The shortest sleep before deciding again.
const WAKE_MIN: Duration = Duration::from_millis(1);
/// Sleeps are cut to this; waking early does no harm.
const WAKE_MAX: Duration = Duration::from_secs(3600);

/// What is kept from pods.
const MEMORY_RESERVED_BYTES: i64 = (node_status::MEMORY_RESERVED_KIB << 10) as i64;
/// Volumes are brought up to date by the clock no more often than this.
const REFRESH_PAUSE: Duration = Duration::from_secs(30);

/// What all workers of a node share.
pub(super) struct Context {
    pub(super) node_name: String,
    pub(super) host_ips: Vec<IpAddr>,
    pub(super) cgroup_root: String,
    pub(super) cluster_domain: String,
    pub(super) shim_program: PathBuf,
    pub(super) pods: PodsHome,
    pub(super) images: ImageStore,
    pub(super) objects: Objects,
    pub(super) network: Arc<dyn PodNetwork>,
    pub(super) hierarchies: Hierarchies,
    pub(super) machine: Arc<Machine>,
    pub(super) node_cpu_milli: i64,
    pub(super) node_memory_bytes: i64,
    /// What each pod takes of the node, by uid.
    pub(super) shares: Mutex<HashMap<String, Share>>,
    pub(super) out: mpsc::Sender<FromAgent>,
}

impl Context {
    pub(super) fn new(
        config: PodsConfig,
        network: Arc<dyn PodNetwork>,
        out: mpsc::Sender<FromAgent>,
    ) -> Result<Context, StartError> {
        let images = ImageStore::open(&config.data_dir).map_err(StartError::Images)?;
        let hierarchies = Hierarchies::discover().map_err(|err| StartError::Cgroups(Box::new(err)))?;
        let cpus = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        Ok(Context {
            node_name: config.node_name,
            host_ips: vec![config.node_ip],
            cgroup_root: config.cgroup_root,
            cluster_domain: config.cluster_domain,
            shim_program: config.shim_program,
            pods: PodsHome::new(&config.data_dir),
            images,
            objects: Objects::default(),
            network,
            machine: Arc::new(Machine::of_this_process(hierarchies.is_unified())),
            hierarchies,
            node_cpu_milli: i64::try_from(cpus).unwrap_or(1).saturating_mul(1000),
            node_memory_bytes: memory_bytes(),
            shares: Mutex::default(),
            out,
        })
    }

    /// The cgroup of a pod, below every hierarchy.
    pub(super) fn pod_cgroup(&self, uid: &str) -> String {
        format!("{}/{uid}", self.pods_cgroup())
    }

    /// What the node has for pods.
    fn allocatable(&self) -> Share {
        Share {
            cpu_milli: self.node_cpu_milli,
            memory_bytes: self.node_memory_bytes.saturating_sub(MEMORY_RESERVED_BYTES),
        }
    }

    /// The cgroup of all pods.
    pub(super) fn pods_cgroup(&self) -> String {
        format!("{}/pods", self.cgroup_root)
    }
}

/// The machine's memory.
fn memory_bytes() -> i64 {
    let text = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let kib = text
        .lines()
        .find_map(|line| line.strip_prefix("MemTotal:"))
        .and_then(|rest| rest.trim().trim_end_matches(" kB").parse::<i64>().ok());
    kib.unwrap_or(0).saturating_mul(1024)
}

/// What a worker is told.
#[derive(Debug)]
pub(super) enum Told {
    /// The object came or changed.
    Pod { pod: Box<Pod>, origin: Origin },
    /// The object is gone.
    Removed,
    /// The containers may be stopped.
    StopAllowed,
    /// Some config map or secret of the pod's namespace came, changed or went.
    ObjectsChanged,
    /// Images have been imported.
    ImagesChanged,
}

/// How an object came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Origin {
    /// As a change: the control plane has what we sent.
    Delta,
    /// In a snapshot: what we sent before may have been lost.
    Snapshot,
}

/// A worker, from outside.
#[derive(Debug)]
pub(super) struct Worker {
    pub(super) told: mpsc::Sender<Told>,
    pub(super) namespace: String,
    pub(super) name: String,
    /// The status as last decided.
    pub(super) status: Arc<Mutex<PodStatus>>,
}

/// Starts a pod's worker; `ended` gets the uid when the pod is forgotten.
pub(super) fn start(context: Arc<Context>, pod: Box<Pod>, presence: Presence, ended: mpsc::Sender<String>) -> Worker {
    let (told, hears) = mpsc::channel(TOLD_WAITING_MAX);
    let (happens, happenings) = mpsc::channel(HAPPENINGS_WAITING_MAX);
    let status = Arc::new(Mutex::new(pod.status.clone().unwrap_or_default()));
    let metadata = &pod.metadata;
    let namespace = metadata.namespace.clone().unwrap_or_default();
    let name = metadata.name.clone().unwrap_or_default();
    let uid = metadata.uid.clone().unwrap_or_default();
    let ledger = Arc::clone(&context);
    let span = info_span!("pod", pod.uid = %uid, pod.name = %name, pod.namespace = %namespace);
    let task = Task {
        home: context.pods.pod(&uid),
        cgroup: context.pod_cgroup(&uid),
        context,
        observed: Observed {
            removed: presence == Presence::Removed,
            ..Observed::default()
        },
        uid: uid.clone(),
        pod,
        status: Arc::clone(&status),
        sent: None,
        sandbox: None,
        sandbox_failures: 0,
        live: HashMap::new(),
        happens,
        refreshed_at: Instant::now(),
        attaching: None,
        refreshing: Arc::default(),
    };
    tokio::spawn(
        async move {
            if task.run(hears, happenings).await == End::Forgotten {
                ledger.shares.lock().remove(&uid);
                // Nobody is there to hear when the agent ends.
                let _ = ended.send(uid).await;
            }
        }
        .instrument(span),
    );
    Worker {
        told,
        namespace,
        name,
        status,
    }
}

/// Whether the API has the pod.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Presence {
    Present,
    Removed,
}

#[derive(Debug, PartialEq, Eq)]
enum End {
    /// Nothing of the pod is left.
    Forgotten,
    /// The agent ends; the pod goes on.
    Abandoned,
}

/// The latest attempt of a container, as long as it lives.
#[derive(Debug)]
struct Live {
    attempt: u32,
    link: Option<ShimLink>,
    stop_signal: i32,
    probes: Probes,
}

struct Task {
    context: Arc<Context>,
    uid: String,
    pod: Box<Pod>,
    home: PodHome,
    cgroup: String,
    observed: Observed,
    status: Arc<Mutex<PodStatus>>,
    /// What the control plane has been sent last.
    sent: Option<PodStatus>,
    sandbox: Option<SandboxRecord>,
    /// Failures in a row to make or release the sandbox.
    sandbox_failures: u32,
    live: HashMap<String, Live>,
    happens: mpsc::Sender<Happening>,
    /// When the volumes were last brought up to date.
    refreshed_at: Instant,
    /// The network being asked for what an adopted pod has.
    attaching: Option<tokio::task::JoinHandle<()>>,
    /// Held while volumes are refreshed, so that one refresh follows the other, the newest last.
    refreshing: Arc<tokio::sync::Mutex<()>>,
}

impl Task {
    async fn run(mut self, mut hears: mpsc::Receiver<Told>, mut happenings: mpsc::Receiver<Happening>) -> End {
        self.adopt().await;
        loop {
            let wake_in = match self.step().await {
                Next::Forgotten => return End::Forgotten,
                Next::Wait(wake_in) => wake_in,
            };
            tokio::select! {
                told = hears.recv() => match told {
                    Some(told) => self.hear(told),
                    None => return End::Abandoned,
                },
                Some(happening) = happenings.recv() => self.happen(happening).await,
                () = tokio::time::sleep(wake_in.min(self.tokens_due_in())) => {}
            }
            if self.tokens_due_in().is_zero() {
                self.refresh_volumes();
            }
            // Whatever else waits is taken in before deciding again.
            while let Ok(happening) = happenings.try_recv() {
                self.happen(happening).await;
            }
            while let Ok(told) = hears.try_recv() {
                self.hear(told);
            }
        }
    }

    /// How long the pod's tokens are good enough; they are not asked for again at once if they did not come.
    fn tokens_due_in(&self) -> Duration {
        if !matches!(self.observed.sandbox, Sandbox::Ready { .. }) {
            return WAKE_MAX;
        }
        let now = Timestamp::now();
        let Some(at) = tokens::next_refresh(&self.context.objects, &self.pod, now) else {
            return WAKE_MAX;
        };
        let due = Duration::try_from(at.duration_since(now)).unwrap_or(Duration::ZERO);
        due.max(REFRESH_PAUSE.saturating_sub(self.refreshed_at.elapsed()))
    }

    /// Decides and acts until there is nothing to do but wait.
    async fn step(&mut self) -> Next {
        loop {
            let previous = self.status.lock().clone();
            let decision = self.decide(&previous);
            *self.status.lock() = decision.status.clone();
            for note in &decision.notes {
                self.announce(note).await;
            }
            self.publish(decision.status).await;
            if decision.actions.is_empty() {
                return Next::Wait(sleep_until(decision.wake_at));
            }
            for action in decision.actions {
                if self.carry_out(action).await == Carried::PodForgotten {
                    return Next::Forgotten;
                }
            }
        }
    }

    /// No other pod takes what this one finds free meanwhile.
    fn decide(&self, previous: &PodStatus) -> Decision {
        let mut shares = self.context.shares.lock();
        let mut others = Share::default();
        for (_, share) in shares.iter().filter(|(uid, _)| **uid != self.uid) {
            others.cpu_milli = others.cpu_milli.saturating_add(share.cpu_milli);
            others.memory_bytes = others.memory_bytes.saturating_add(share.memory_bytes);
        }
        let decision = decide(&Input {
            pod: &self.pod,
            observed: &self.observed,
            previous,
            host_ips: &self.context.host_ips,
            room: Room {
                allocatable: self.context.allocatable(),
                others,
            },
            now: Timestamp::now(),
        });
        shares.insert(self.uid.clone(), decision.share);
        decision
    }

    fn hear(&mut self, told: Told) {
        match told {
            Told::Pod { pod, origin } => self.take_object(pod, origin),
            Told::Removed => self.observed.removed = true,
            Told::StopAllowed => self.observed.stop_allowed = true,
            Told::ObjectsChanged => self.objects_changed(),
            Told::ImagesChanged => self.retry(|refusal| {
                matches!(
                    refusal.reason,
                    RefusalReason::ErrImagePull | RefusalReason::ErrImageNeverPull
                )
            }),
        }
    }

    fn take_object(&mut self, pod: Box<Pod>, origin: Origin) {
        if origin == Origin::Snapshot && pod.status.as_ref() != Some(&*self.status.lock()) {
            self.sent = None;
        }
        if pod.metadata.deletion_timestamp.is_some() {
            self.observed.stop_requested_at.get_or_insert_with(Timestamp::now);
        }
        let former = std::mem::replace(&mut self.pod, pod);
        for container in containers(&self.pod) {
            let known = containers(&former).find(|known| known.name == container.name);
            let Some(record) = self.observed.containers.get_mut(&container.name) else {
                continue;
            };
            if known.is_some_and(|known| known.image != container.image) {
                record.refusal = None;
                if let Some(attempt) = record.attempts.last_mut() {
                    attempt.health.failed = Some("definition changed".to_owned());
                }
            }
        }
        // The object may be the first after a restart that names the volumes.
        self.observed.removed = false;
    }

    fn objects_changed(&mut self) {
        self.retry(|refusal| refusal.reason == RefusalReason::CreateContainerConfigError);
        let spec = self.pod.spec.as_ref();
        let follows = spec
            .and_then(|spec| spec.volumes.as_ref())
            .is_some_and(|volumes| volumes.iter().any(volume::follows_objects));
        if !follows {
            return;
        }
        match &mut self.observed.sandbox {
            Sandbox::Ready { .. } => self.refresh_volumes(),
            Sandbox::Failed(failure) => failure.level = 0,
            Sandbox::Absent
            | Sandbox::Preparing
            | Sandbox::Releasing
            | Sandbox::Released
            | Sandbox::ReleaseFailed(_) => {}
        }
    }

    fn retry(&mut self, concerns: impl Fn(&Refusal) -> bool) {
        for record in self.observed.containers.values_mut() {
            if let Some(refusal) = record.refusal.as_mut().filter(|refusal| concerns(refusal)) {
                refusal.retry_now = true;
            }
        }
    }

    /// A way for work beside this task to come back.
    fn herald(&self) -> Herald {
        Herald {
            happens: self.happens.clone(),
        }
    }

    fn facts(&self) -> PodFacts {
        PodFacts {
            node_name: self.context.node_name.clone(),
            host_ips: self.context.host_ips.clone(),
            pod_ips: self
                .sandbox
                .as_ref()
                .map(|record| record.ips.clone())
                .unwrap_or_default(),
            node_cpu_milli: self.context.node_cpu_milli,
            node_memory_bytes: self.context.node_memory_bytes,
        }
    }

    fn container(&self, name: &str) -> Option<Cow<'_, Container>> {
        containers(&self.pod).find(|container| container.name == name)
    }
}

/// All containers of a pod, init containers first, ephemeral ones last.
fn containers(pod: &Pod) -> impl Iterator<Item = Cow<'_, Container>> {
    let spec = pod.spec.as_ref();
    let init = spec.and_then(|spec| spec.init_containers.as_ref());
    let ephemeral = spec.and_then(|spec| spec.ephemeral_containers.as_ref());
    init.into_iter()
        .flatten()
        .chain(spec.into_iter().flat_map(|spec| &spec.containers))
        .map(Cow::Borrowed)
        .chain(
            ephemeral
                .into_iter()
                .flatten()
                .map(|container| Cow::Owned(as_container(container))),
        )
}

/// Brings happenings to the worker; lost when the worker is gone.
#[derive(Debug, Clone)]
struct Herald {
    happens: mpsc::Sender<Happening>,
}

impl Herald {
    async fn tell(&self, happening: Happening) {
        let _ = self.happens.send(happening).await;
    }
}

enum Next {
    Wait(Duration),
    Forgotten,
}

/// What carrying an action out meant for the worker.
#[derive(Debug, PartialEq, Eq)]
enum Carried {
    /// It goes on.
    On,
    /// There is no pod any more.
    PodForgotten,
}

fn sleep_until(wake_at: Option<Timestamp>) -> Duration {
    let Some(wake_at) = wake_at else { return WAKE_MAX };
    let left = Duration::try_from(wake_at.duration_since(Timestamp::now())).unwrap_or(Duration::ZERO);
    left.clamp(WAKE_MIN, WAKE_MAX)
}
