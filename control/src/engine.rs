//! The one path of every write and read of API objects, generic over the table of kinds, on raw JSON.
//!
//! A write is: complete (defaults, admission), check (fields, validation), prepare what belongs to the server, commit
//! one store command whose expectations are all that the decision rested on; a conflict starts it over. Callers are
//! the REST server, the driver and the node stream. Never here: HTTP, who may do what (`auth`), what objects mean for
//! others.
//! Source: Kubernetes API conventions; "Kubernetes API Concepts".

mod admit;
mod apply;
mod contents;
mod convert;
mod create;
mod delete;
mod error;
mod fields;
mod managed;
pub mod object;
mod patch;
mod quota;
mod read;
mod rules;
mod scale;
mod service;
mod strategy;
mod token;
mod update;

use std::{
    collections::BTreeMap,
    net::IpAddr,
    ops::RangeInclusive,
    sync::{Arc, OnceLock},
    time::Duration,
};

use api::{Timestamp, object::Scope, resource::Resource, validation::FieldError};
use ipnet::IpNet;
use parking_lot::Mutex;
use serde_json::Value;

use crate::{
    admission::{
        index,
        policy::{Mutations, Policies, Validations},
        review::{Attempt, Operation},
        webhook::Webhooks,
    },
    authorization::Access,
    followed::Followed,
    kinds::Registry,
    store::{CommitError, Expect, Op, ReadError, Revision, Store, StoreKey, Stored, Write},
    stream::{Nodes, WeakNodes},
};

pub use crate::auth::{Caller, Tokens};
pub use apply::{Application, Applied};
pub use delete::{DeleteOptions, Deleted, Propagation};
pub(crate) use error::chain;
pub use error::{ApiError, Cause, Denial, Target};
pub(crate) use fields::strict_error;
pub use patch::Patch;
pub use read::{ListOptions, ListPage, ListVersion, Scan};
pub(crate) use read::{read_error, selects};
pub use service::{ADDRESS_RECORDS, PORT_RECORDS};

use admit::Reservation;
use update::Draft;

use service::{Allocator, ClaimChange, ClaimConflict};

/// The server's own writers (planners, events, the first objects), as managedFields name them: one name, so that an
/// object's managedFields stay short.
pub const SERVER_MANAGER: &str = "skep-server";
/// What agents tell, as managedFields name it.
pub const AGENT_MANAGER: &str = "skep-agent";
/// How often one write starts over because others were faster. Each round means that somebody else made progress.
const ROUNDS_MAX: usize = 32;

/// What of the cluster's configuration the engine needs.
#[derive(Debug, Clone)]
pub struct EngineConfig {
    /// Services' addresses.
    pub service_cidr: IpNet,
    /// Addresses of that range that are given only to who asks for them: the cluster's DNS.
    pub reserved_ips: Vec<IpAddr>,
    /// Ports of NodePort services.
    pub node_port_range: RangeInclusive<u16>,
    /// See [`crate::ServerConfig::default_not_ready_toleration`].
    pub default_not_ready_toleration: Duration,
    /// Signs the tokens of service accounts.
    pub tokens: Tokens,
}

/// What to do about fields that the kind does not know, or that are named twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum FieldValidation {
    /// Drop them.
    #[default]
    Ignore,
    /// Drop them and say so.
    Warn,
    /// Refuse the request.
    Strict,
}

/// How a write is to be done.
#[derive(Debug, Clone, Default)]
pub struct WriteOptions {
    /// Do everything but the write.
    pub dry_run: bool,
    /// About unknown fields.
    pub field_validation: FieldValidation,
    /// Who writes, as managedFields name it; empty if not known.
    pub manager: String,
    /// Collects what the client should be told besides the result.
    pub warnings: Warnings,
    /// Collects what the audit log should say besides.
    pub annotations: Annotations,
}

impl WriteOptions {
    /// The options of a part of the system itself, by its name in managedFields.
    #[must_use]
    pub fn by(manager: &str) -> WriteOptions {
        WriteOptions {
            manager: manager.to_owned(),
            ..WriteOptions::default()
        }
    }
}

/// Sentences for the client, in order and each once, however often a write was decided. Clones share the list.
#[derive(Debug, Clone, Default)]
pub struct Warnings(Arc<Mutex<Vec<String>>>);

impl Warnings {
    /// Adds a sentence, unless it is there.
    pub fn push(&self, warning: impl Into<String>) {
        let (warning, mut list) = (warning.into(), self.0.lock());
        if !list.contains(&warning) {
            list.push(warning);
        }
    }

    /// Adds sentences.
    pub fn extend(&self, warnings: Vec<String>) {
        warnings.into_iter().for_each(|warning| self.push(warning));
    }

    /// Takes all sentences out.
    #[must_use]
    pub fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock())
    }
}

/// What the audit log says of a write besides, by key. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct Annotations(Arc<Mutex<BTreeMap<&'static str, String>>>);

impl Annotations {
    /// Sets one.
    pub fn put(&self, key: &'static str, value: String) {
        self.0.lock().insert(key, value);
    }

    /// Takes all out.
    #[must_use]
    pub fn take(&self) -> BTreeMap<&'static str, String> {
        std::mem::take(&mut self.0.lock())
    }
}

/// Reads and writes API objects. Cheap to clone.
#[derive(Clone)]
pub struct Engine {
    inner: Arc<Inner>,
}

struct Inner {
    store: Store,
    config: EngineConfig,
    allocator: Allocator,
    registry: Registry,
    access: Access,
    webhooks: Followed<Webhooks>,
    mutating_policies: Followed<Policies<Mutations>>,
    validating_policies: Followed<Policies<Validations>>,
    /// What admission decides by.
    rules: Followed<index::Index>,
    quota_locks: quota::QuotaLocks,
    /// Set once the server has them; before, nothing that runs in the cluster can be asked.
    nodes: OnceLock<WeakNodes>,
}

/// What a request makes of the current object.
enum Decided {
    /// A version that admission may complete.
    Draft(Draft),
    /// All is decided.
    Next(Next),
}

/// What a write comes to, decided from the current object.
enum Next {
    /// Leave it.
    Keep,
    /// Write this version.
    Put(Value),
    /// Take it out of the store; this is its last version.
    Remove(Value),
}

/// What a write came to.
enum Outcome {
    Kept(Value),
    Written(Value),
    Removed(Value),
}

impl Outcome {
    fn into_object(self) -> Value {
        match self {
            Outcome::Kept(object) | Outcome::Written(object) | Outcome::Removed(object) => object,
        }
    }
}

impl Engine {
    /// An engine over a store.
    ///
    /// # Errors
    /// When the records of taken addresses cannot be read.
    pub fn new(store: Store, config: EngineConfig) -> Result<Engine, ReadError> {
        let allocator = Allocator::open(
            &store,
            config.service_cidr,
            config.reserved_ips.clone(),
            config.node_port_range.clone(),
        )?;
        Ok(Engine {
            inner: Arc::new(Inner {
                access: Access::new(store.clone()),
                webhooks: Followed::new(store.clone()),
                mutating_policies: Followed::new(store.clone()),
                validating_policies: Followed::new(store.clone()),
                rules: Followed::new(store.clone()),
                quota_locks: quota::QuotaLocks::default(),
                nodes: OnceLock::new(),
                store,
                config,
                allocator,
                registry: Registry::builtin(),
            }),
        })
    }

    /// The store below.
    #[must_use]
    pub fn store(&self) -> &Store {
        &self.inner.store
    }

    /// Lets the engine reach what runs on nodes. Only the first call counts.
    pub(crate) fn reach_through(&self, nodes: &Nodes) {
        let _ = self.inner.nodes.set(nodes.downgrade());
    }

    fn nodes(&self) -> Option<Nodes> {
        self.inner.nodes.get().and_then(WeakNodes::upgrade)
    }

    /// Which kinds are served.
    #[must_use]
    pub fn registry(&self) -> &Registry {
        &self.inner.registry
    }

    /// What callers may do.
    #[must_use]
    pub(crate) fn access(&self) -> &Access {
        &self.inner.access
    }

    /// What signs the tokens of service accounts.
    #[must_use]
    pub(crate) fn tokens(&self) -> &Tokens {
        &self.inner.config.tokens
    }

    /// Brings a question, which is never stored, into the form of its kind.
    ///
    /// # Errors
    /// When it is not of its kind, or has fields that the options refuse.
    pub(crate) fn complete(
        &self,
        resource: &Resource,
        question: &mut Value,
        options: &WriteOptions,
    ) -> Result<(), ApiError> {
        fields::identify(resource, question)?;
        fields::check(resource, question, options)
    }

    /// Decides from the current version what to write, has it admitted, and writes it; again if the object changed
    /// meanwhile.
    async fn modify(
        &self,
        attempt: Attempt<'_>,
        mut decide: impl FnMut(&Value) -> Result<Decided, ApiError>,
    ) -> Result<Outcome, ApiError> {
        let resource = attempt.asked.stored();
        let key = key(resource, attempt.namespace, attempt.name);
        for _ in 0..ROUNDS_MAX {
            let stored = self.stored(resource, &key)?;
            let shown = self.one_in_version(resource, &stored).await?;
            let current = object::decode_as(resource, &shown)?;
            let attempt = Attempt {
                old: Some(&current),
                ..attempt
            };
            let next = match decide(&current)? {
                Decided::Next(next) => next,
                Decided::Draft(mut draft) => {
                    self.mutate(&attempt, &mut draft.wanted).await?;
                    update::finish(resource, &current, draft)?
                }
            };
            match self.step(&attempt, &stored, &current, next).await? {
                Some(outcome) => return Ok(outcome),
                None => tracing::debug!(object = %key, "object changed under a write, deciding again"),
            }
        }
        Err(ApiError::Contention(Target::new(resource, attempt.name)))
    }

    /// Has one version admitted, and attempts to write it; `None` if the store holds something else by now.
    async fn step(
        &self,
        attempt: &Attempt<'_>,
        stored: &Stored,
        current: &Value,
        next: Next,
    ) -> Result<Option<Outcome>, ApiError> {
        let resource = attempt.asked.stored();
        let is_service = is_service(resource);
        let (mut new, removed) = match next {
            Next::Keep => return Ok(Some(Outcome::Kept(current.clone()))),
            Next::Put(new) => (new, false),
            Next::Remove(new) => (new, true),
        };
        let written = Some(&new).filter(|_| attempt.operation != Operation::Delete);
        self.approve(attempt, written).await?;
        let is_same = |new: &Value| !removed && *new == *current && object::is_in_storage_version(resource, stored);
        // Before anybody waits for what is reserved.
        let kept = if removed || is_same(&new) {
            None
        } else {
            self.kept(resource, &new).await?
        };
        let reservation = if removed {
            Reservation::default()
        } else {
            self.reserve(attempt, &new).await?
        };
        let target = || Target::new(resource, &stored.key.name);
        let claim = match (is_service, removed) {
            (false, _) => ClaimChange::default(),
            (true, true) => self.inner.allocator.release(current),
            (true, false) => self
                .inner
                .allocator
                .change(Some(current), &mut new, rand::random())
                .map_err(|causes| invalid(target(), causes))?,
        };
        if is_same(&new) {
            return Ok(Some(Outcome::Kept(new)));
        }
        let op = match kept {
            _ if removed => Op::Delete,
            None => Op::Put(object::encode_as(resource, &new)),
            Some(kept) => {
                new = kept.shown;
                Op::Put(kept.bytes)
            }
        };
        let write = Write {
            key: stored.key.clone(),
            expect: Expect::At(stored.modified),
            op,
        };
        let committed = self
            .commit(target(), write, reservation.writes, &claim, attempt.dry_run)
            .await?;
        let Some(revision) = committed else {
            return Ok(None);
        };
        if let Some(revision) = revision {
            object::set_revision(&mut new, revision);
        }
        Ok(Some(if removed {
            Outcome::Removed(new)
        } else {
            Outcome::Written(new)
        }))
    }

    /// Commits the write of one object with all that goes with it. `None`: decide again; `Some(None)`: dry run.
    async fn commit(
        &self,
        target: Target,
        write: Write,
        checks: Vec<Write>,
        claim: &ClaimChange,
        dry_run: bool,
    ) -> Result<Option<Option<Revision>>, ApiError> {
        if dry_run {
            return Ok(Some(None));
        }
        let key = write.key.clone();
        let mut writes = vec![write];
        writes.extend(checks);
        writes.extend(claim.writes(&key.namespace, &key.name));
        match self.inner.store.commit(writes).await {
            Ok(revisions) => {
                self.inner.allocator.committed(claim);
                Ok(Some(revisions.first().copied()))
            }
            Err(error) => match (self.inner.allocator.refused(claim, &error), error) {
                (ClaimConflict::Taken(cause), _) => Err(invalid(target, vec![*cause])),
                (ClaimConflict::PickAgain, _) | (ClaimConflict::Elsewhere, CommitError::Conflict { .. }) => Ok(None),
                (ClaimConflict::Elsewhere, error) => Err(ApiError::Commit(Box::new(error))),
            },
        }
    }

    fn stored(&self, resource: &Resource, key: &StoreKey) -> Result<Stored, ApiError> {
        self.inner
            .store
            .get(key, None)
            .map_err(ApiError::Read)?
            .ok_or_else(|| ApiError::NotFound(Target::new(resource, &key.name)))
    }
}

/// Where an object of this kind is kept.
#[must_use]
pub fn key(resource: &Resource, namespace: &str, name: &str) -> StoreKey {
    let namespace = match resource.scope {
        Scope::Namespaced => namespace,
        Scope::Cluster => "",
    };
    StoreKey::new(resource.collection(), namespace, name)
}

fn is_service(resource: &Resource) -> bool {
    resource.group.is_empty() && resource.kind == "Service"
}

fn is_pod(resource: &Resource) -> bool {
    resource.group.is_empty() && resource.kind == "Pod"
}

fn is_priority_class(resource: &Resource) -> bool {
    resource.group == "scheduling.k8s.io" && resource.kind == "PriorityClass"
}

fn is_namespace(resource: &Resource) -> bool {
    resource.group.is_empty() && resource.kind == "Namespace"
}

fn invalid(target: Target, causes: Vec<FieldError>) -> ApiError {
    ApiError::Invalid { target, causes }
}

/// Now, as objects carry it.
fn now() -> String {
    object::timestamp(Timestamp::now())
}

#[cfg(test)]
mod tests;
