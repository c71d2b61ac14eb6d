//! The agent's mirror of what the control plane has told it: network state, its pods, what they use.
//!
//! Kept on disk, so that a restarted agent works at once, also while the control plane is away. The file is a snapshot
//! followed by the deltas since, as records of the stream's own messages; when the deltas outweigh the snapshot it is
//! written anew beside and renamed. A change is on disk before anybody acts on it, so the mirror is never older than
//! what the node does. Never here: acting on it.

mod file;

use std::{
    collections::BTreeMap,
    error::Error,
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use api::{
    k8s_openapi::api::core::v1::{ConfigMap, Pod, Secret},
    net_state::NetState,
    node_stream::{Batch, Change, EndpointsDelta, ObjectRef, ToAgent, Welcome, batch::Phase, change, to_agent},
};
use parking_lot::RwLock;
use serde::de::DeserializeOwned;
use tracing::{error, warn};

use crate::pods::PodInput;
use file::RecordFile;

/// Changes in one record of a written snapshot: enough to be cheap, few enough to keep a record small.
const CHANGES_PER_RECORD: usize = 256;
/// Deltas may weigh as much as the snapshot, and at least this much, before the file is written anew.
const DELTA_BYTES_MIN: u64 = 1 << 20;

/// The mirror cannot be opened.
#[derive(Debug, thiserror::Error)]
#[error("open the mirror of the cluster's state {path}")]
pub struct OpenMirrorError {
    /// The file.
    pub path: PathBuf,
    /// Why.
    #[source]
    pub source: io::Error,
}

/// What a batch did.
#[derive(Debug, PartialEq, Eq)]
pub enum Taken {
    /// Part of a snapshot: nothing shows until its end.
    Staged,
    /// The end of a snapshot: everything may have changed.
    Snapshot,
    /// The changes of the batch.
    Delta {
        /// Whether any was about nodes, services or endpoints.
        net: bool,
    },
}

/// What the control plane has told this node.
#[derive(Debug)]
pub struct Mirror {
    path: PathBuf,
    file: Option<RecordFile>,
    welcome: Option<Welcome>,
    /// Store revision of the last batch.
    revision: u64,
    /// A whole snapshot has been taken in, now or by an earlier run.
    complete: bool,
    net: Arc<RwLock<NetState>>,
    objects: Objects,
    staging: Option<Staging>,
}

#[derive(Debug, Default)]
struct Staging {
    net: NetState,
    objects: Objects,
}

/// By namespace and name.
type ByName = BTreeMap<(String, String), Vec<u8>>;

#[derive(Debug, Default)]
struct Objects {
    pods: ByName,
    config_maps: ByName,
    secrets: ByName,
}

impl Mirror {
    /// Reads the mirror of an earlier run, as far as it is whole; a missing file is an empty mirror.
    ///
    /// # Errors
    /// When the file is there and cannot be read.
    pub fn open(path: &Path) -> Result<Mirror, OpenMirrorError> {
        let mut mirror = Mirror {
            path: path.to_owned(),
            file: None,
            welcome: None,
            revision: 0,
            complete: false,
            net: Arc::default(),
            objects: Objects::default(),
            staging: None,
        };
        let records = file::read(path).map_err(|source| OpenMirrorError {
            path: path.to_owned(),
            source,
        })?;
        for record in records {
            match record.kind {
                Some(to_agent::Kind::Welcome(welcome)) => mirror.welcome = Some(welcome),
                Some(to_agent::Kind::Batch(batch)) => _ = mirror.take(&batch),
                _ => {}
            }
        }
        mirror.staging = None;
        // Written anew at the first delta or snapshot: what follows a torn record must not be appended to it.
        Ok(mirror)
    }

    /// What the control plane said of the cluster's ranges, if it ever did.
    #[must_use]
    pub fn welcome(&self) -> Option<&Welcome> {
        self.welcome.as_ref()
    }

    /// Whether a whole snapshot has ever been taken in.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.complete
    }

    /// Store revision up to which the mirror is complete.
    #[must_use]
    pub fn revision(&self) -> u64 {
        self.revision
    }

    /// The network state, shared with those who read it. Nobody else writes it.
    #[must_use]
    pub fn net(&self) -> &Arc<RwLock<NetState>> {
        &self.net
    }

    /// A connection has begun: a snapshot follows.
    pub fn begin(&mut self, welcome: Welcome) {
        self.staging = None;
        if self.welcome.as_ref() != Some(&welcome) {
            self.welcome = Some(welcome);
            self.rewrite();
        }
    }

    /// Takes a batch in and writes it down. Failing to write is logged: the node works on from memory.
    pub fn apply(&mut self, batch: &Batch) -> Taken {
        let taken = self.take(batch);
        match taken {
            Taken::Staged => {}
            Taken::Snapshot => self.rewrite(),
            Taken::Delta { .. } => self.append(batch),
        }
        taken
    }

    /// What the pod worker must be told to know all of this, as after a snapshot.
    #[must_use]
    pub fn pod_snapshot(&self) -> Vec<PodInput> {
        let Objects {
            pods,
            config_maps,
            secrets,
        } = &self.objects;
        let mut inputs = vec![PodInput::SnapshotBegin];
        // What pods use first, so that no pod waits for it in vain.
        inputs.extend(decode_all::<ConfigMap>(config_maps).map(PodInput::ConfigMap));
        inputs.extend(decode_all::<Secret>(secrets).map(PodInput::Secret));
        inputs.extend(decode_all::<Pod>(pods).map(PodInput::Pod));
        inputs.push(PodInput::SnapshotEnd);
        inputs
    }

    /// uids of the pods of this node.
    #[must_use]
    pub fn pod_uids(&self) -> Vec<String> {
        decode_all::<Pod>(&self.objects.pods)
            .filter_map(|pod| pod.metadata.uid)
            .collect()
    }

    fn take(&mut self, batch: &Batch) -> Taken {
        match batch.phase() {
            Phase::Snapshot => {
                let staging = self.staging.get_or_insert_default();
                staging.take(batch);
                Taken::Staged
            }
            Phase::SnapshotEnd => {
                let mut staging = self.staging.take().unwrap_or_default();
                staging.take(batch);
                *self.net.write() = staging.net;
                self.objects = staging.objects;
                self.revision = batch.revision;
                self.complete = true;
                Taken::Snapshot
            }
            Phase::Delta => {
                let mut about_net = false;
                let mut net = self.net.write();
                for change in &batch.changes {
                    about_net |= net.apply(change);
                    self.objects.take(change);
                }
                self.revision = batch.revision;
                Taken::Delta { net: about_net }
            }
        }
    }

    fn append(&mut self, batch: &Batch) {
        let Some(file) = &mut self.file else {
            return self.rewrite();
        };
        let record = ToAgent {
            kind: Some(to_agent::Kind::Batch(batch.clone())),
        };
        match file.append(&record) {
            Ok(()) if file.delta_bytes() <= file.snapshot_bytes().max(DELTA_BYTES_MIN) => {}
            Ok(()) => self.rewrite(),
            Err(err) => self.write_failed(&err),
        }
    }

    /// Writes the whole mirror beside and renames it into place.
    fn rewrite(&mut self) {
        self.file = None;
        match self.write_snapshot() {
            Ok(file) => self.file = Some(file),
            Err(err) => self.write_failed(&err),
        }
    }

    fn write_failed(&mut self, err: &io::Error) {
        // The next change tries to write everything again.
        self.file = None;
        error!(
            error = err as &dyn Error,
            path = %self.path.display(),
            "the mirror of the cluster's state is not written; a restart would start from an older one"
        );
    }

    fn write_snapshot(&self) -> io::Result<RecordFile> {
        let mut writer = RecordFile::create(&self.path)?;
        if let Some(welcome) = &self.welcome {
            writer.append(&ToAgent {
                kind: Some(to_agent::Kind::Welcome(welcome.clone())),
            })?;
        }
        if self.complete {
            let net = self.net.read();
            let mut changes = Vec::with_capacity(CHANGES_PER_RECORD);
            let all = net_changes(&net).chain(self.objects.changes());
            for change in all {
                changes.push(change);
                if changes.len() == CHANGES_PER_RECORD {
                    writer.append(&record(self.revision, Phase::Snapshot, std::mem::take(&mut changes)))?;
                }
            }
            writer.append(&record(self.revision, Phase::SnapshotEnd, changes))?;
        }
        writer.commit()
    }
}

impl Staging {
    fn take(&mut self, batch: &Batch) {
        for change in &batch.changes {
            if !self.net.apply(change) {
                self.objects.take(change);
            }
        }
    }
}

impl Objects {
    fn take(&mut self, change: &Change) {
        match &change.kind {
            Some(change::Kind::Pod(json)) => insert::<Pod>(&mut self.pods, json),
            Some(change::Kind::PodRemoved(gone)) => remove_pod(&mut self.pods, gone),
            Some(change::Kind::ConfigMap(json)) => insert::<ConfigMap>(&mut self.config_maps, json),
            Some(change::Kind::ConfigMapRemoved(gone)) => remove(&mut self.config_maps, gone),
            Some(change::Kind::Secret(json)) => insert::<Secret>(&mut self.secrets, json),
            Some(change::Kind::SecretRemoved(gone)) => remove(&mut self.secrets, gone),
            Some(
                change::Kind::Node(_)
                | change::Kind::NodeRemoved(_)
                | change::Kind::Service(_)
                | change::Kind::ServiceRemoved(_)
                | change::Kind::Endpoints(_),
            )
            | None => {}
        }
    }

    fn changes(&self) -> impl Iterator<Item = Change> {
        let pods = self.pods.values().map(|json| change::Kind::Pod(json.clone()));
        let config_maps = self
            .config_maps
            .values()
            .map(|json| change::Kind::ConfigMap(json.clone()));
        let secrets = self.secrets.values().map(|json| change::Kind::Secret(json.clone()));
        pods.chain(config_maps).chain(secrets).map(change_of)
    }
}

/// What one change means to the pod worker; none if it is about the network or cannot be decoded.
#[must_use]
pub fn pod_input(change: &Change) -> Option<PodInput> {
    match change.kind.as_ref()? {
        change::Kind::Pod(json) => decode(json).map(PodInput::Pod),
        change::Kind::PodRemoved(gone) => Some(PodInput::PodRemoved {
            namespace: gone.namespace.clone(),
            name: gone.name.clone(),
            uid: gone.uid.clone(),
        }),
        change::Kind::ConfigMap(json) => decode(json).map(PodInput::ConfigMap),
        change::Kind::ConfigMapRemoved(gone) => Some(PodInput::ConfigMapRemoved {
            namespace: gone.namespace.clone(),
            name: gone.name.clone(),
        }),
        change::Kind::Secret(json) => decode(json).map(PodInput::Secret),
        change::Kind::SecretRemoved(gone) => Some(PodInput::SecretRemoved {
            namespace: gone.namespace.clone(),
            name: gone.name.clone(),
        }),
        change::Kind::Node(_)
        | change::Kind::NodeRemoved(_)
        | change::Kind::Service(_)
        | change::Kind::ServiceRemoved(_)
        | change::Kind::Endpoints(_) => None,
    }
}

fn record(revision: u64, phase: Phase, changes: Vec<Change>) -> ToAgent {
    ToAgent {
        kind: Some(to_agent::Kind::Batch(Batch {
            revision,
            phase: phase.into(),
            changes,
        })),
    }
}

fn change_of(kind: change::Kind) -> Change {
    Change { kind: Some(kind) }
}

/// The changes that make this state from nothing.
fn net_changes(net: &NetState) -> impl Iterator<Item = Change> {
    let nodes = net.nodes.values().map(|node| change::Kind::Node(node.clone()));
    let services = net
        .services
        .values()
        .map(|service| change::Kind::Service(service.clone()));
    let endpoints = net.endpoints.iter().map(|(service_ref, endpoints)| {
        change::Kind::Endpoints(EndpointsDelta {
            service_ref: *service_ref,
            replace: true,
            upserted: endpoints.values().cloned().collect(),
            removed: Vec::new(),
        })
    });
    nodes.chain(services).chain(endpoints).map(change_of)
}

/// The part of an object that names it.
#[derive(serde::Deserialize)]
struct Named {
    #[serde(default)]
    metadata: Metadata,
}

#[derive(serde::Deserialize, Default)]
struct Metadata {
    #[serde(default)]
    namespace: String,
    #[serde(default)]
    name: String,
    #[serde(default)]
    uid: String,
}

fn insert<T: DeserializeOwned>(objects: &mut ByName, json: &[u8]) {
    match serde_json::from_slice::<Named>(json) {
        Ok(Named { metadata }) => _ = objects.insert((metadata.namespace, metadata.name), json.to_vec()),
        Err(err) => undecodable::<T>(&err),
    }
}

fn remove(objects: &mut ByName, gone: &ObjectRef) {
    objects.remove(&(gone.namespace.clone(), gone.name.clone()));
}

/// A pod of the name may have been made anew since; only the one that went is removed.
fn remove_pod(pods: &mut ByName, gone: &ObjectRef) {
    let key = (gone.namespace.clone(), gone.name.clone());
    let same = pods
        .get(&key)
        .and_then(|json| serde_json::from_slice::<Named>(json).ok())
        .is_some_and(|named| gone.uid.is_empty() || named.metadata.uid == gone.uid);
    if same {
        pods.remove(&key);
    }
}

fn decode_all<T: DeserializeOwned>(objects: &ByName) -> impl Iterator<Item = Box<T>> {
    objects.values().filter_map(|json| decode(json))
}

fn decode<T: DeserializeOwned>(json: &[u8]) -> Option<Box<T>> {
    serde_json::from_slice(json)
        .map(Box::new)
        .map_err(|err| undecodable::<T>(&err))
        .ok()
}

fn undecodable<T>(err: &serde_json::Error) {
    let kind = std::any::type_name::<T>().rsplit("::").next().unwrap_or_default();
    warn!(
        error = err as &dyn Error,
        kind, "the control plane sent an object that cannot be understood"
    );
}

#[cfg(test)]
mod tests;
