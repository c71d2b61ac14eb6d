//! The audit log: who asked for what, when, and what came of it, as the cluster's policy wants it written down.
//!
//! A [`Trail`] goes along with one request and writes an event at each of its stages. What is written is decided by
//! `policy`, how by `event`, where by `log`. Without a policy nothing is written. Never here: HTTP.
//! Source: Kubernetes, "Auditing"; `audit.k8s.io/v1`.

mod event;
mod log;
mod policy;
mod rotation;

use std::{io, path::PathBuf, sync::Arc};

use api::Timestamp;
use serde_json::Value;
use uuid::Uuid;

pub(crate) use self::{
    event::{Arrival, ObjectReference},
    log::AuditMeter,
    policy::{Level, Stage},
};
use self::{
    event::{Facts, render},
    log::{Log, Start},
    policy::{Demand, Policy, PolicyError},
    rotation::Limits,
};
use crate::{auth::Caller, authorization::Request, config::AuditConfig};

/// The audit log could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum AuditError {
    /// The policy's file cannot be read.
    #[error("read the audit policy {path}")]
    ReadPolicy {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The policy is not one.
    #[error("use the audit policy {path}")]
    Policy {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: PolicyError,
    },
    /// The log's file cannot be opened.
    #[error("open the audit log {path}")]
    OpenLog {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The thread that writes could not be started.
    #[error("start the audit log's thread")]
    Thread(#[source] io::Error),
}

/// Writes down what requests do. Cheap to clone.
#[derive(Clone, Default)]
pub(crate) struct Audit {
    inner: Option<Arc<Inner>>,
}

struct Inner {
    policy: Policy,
    log: Log,
}

impl Audit {
    /// The log that the configuration asks for: none without a policy and a path.
    ///
    /// # Errors
    /// See [`AuditError`].
    pub(crate) fn open(config: &AuditConfig, meter: AuditMeter) -> Result<Audit, AuditError> {
        let Some(path) = &config.policy_file else {
            if config.log_path.is_some() {
                tracing::warn!("there is no audit policy, so nothing is written to the audit log");
            }
            return Ok(Audit::default());
        };
        let text = std::fs::read_to_string(path).map_err(|source| AuditError::ReadPolicy {
            path: path.clone(),
            source,
        })?;
        let policy = Policy::parse(&text).map_err(|source| AuditError::Policy {
            path: path.clone(),
            source,
        })?;
        let Some(log_path) = &config.log_path else {
            tracing::warn!("there is no path of an audit log, so nothing is written to it");
            return Ok(Audit::default());
        };
        let limits = Limits {
            size_bytes_max: config.size_mb_max.saturating_mul(1 << 20),
            backups_max: config.backups_max,
            age_days_max: config.age_days_max,
        };
        let log = Log::start(log_path, limits, meter).map_err(|start| match start {
            Start::Open(source) => AuditError::OpenLog {
                path: log_path.clone(),
                source,
            },
            Start::Thread(source) => AuditError::Thread(source),
        })?;
        Ok(Audit {
            inner: Some(Arc::new(Inner { policy, log })),
        })
    }

    /// Follows a request that has arrived.
    pub(crate) fn follow(&self, arrival: Arrival) -> Trail {
        Trail {
            log: self.inner.clone(),
            demand: Demand::nothing(),
            facts: Facts::of(arrival),
        }
    }

    /// Writes what waits and closes the file. What is told later is lost.
    pub(crate) async fn close(&self) {
        if let Some(inner) = &self.inner {
            inner.log.close().await;
        }
    }
}

/// What is written down about one request.
pub(crate) struct Trail {
    log: Option<Arc<Inner>>,
    demand: Demand,
    facts: Facts,
}

impl Trail {
    /// The id of all events of the request.
    pub(crate) fn id(&self) -> &str {
        &self.facts.arrival.id
    }

    /// It is known who asks (nobody, if that failed) and for what: from here on events are written.
    pub(crate) fn received(&mut self, caller: Option<&Caller>, request: &Request, reference: Option<ObjectReference>) {
        let Some(inner) = &self.log else { return };
        self.demand = inner.policy.demand(caller, request);
        if self.demand.level == Level::None {
            return;
        }
        self.facts.user = caller.map(Caller::user_info);
        self.facts.verb = match request {
            Request::Resource(asked) => asked.verb.clone(),
            Request::Path { verb, .. } => verb.clone(),
        };
        self.facts.reference = reference;
        self.write(Stage::RequestReceived);
    }

    /// The caller acts as another.
    pub(crate) fn impersonated(&mut self, caller: &Caller) {
        if self.is_kept() {
            self.facts.impersonated = Some(caller.user_info());
        }
    }

    /// Whether the policy wants what the request carries.
    pub(crate) fn wants_request(&self) -> bool {
        self.demand.level >= Level::Request
    }

    /// Whether the policy wants what is answered.
    pub(crate) fn wants_response(&self) -> bool {
        self.demand.level >= Level::RequestResponse
    }

    /// What the request carried.
    pub(crate) fn request_object(&mut self, object: Value) {
        if self.wants_request() {
            self.facts.learn_reference(&object);
            self.facts.request_object = Some(self.shown(object));
        }
    }

    /// What was answered.
    pub(crate) fn response_object(&mut self, object: Value) {
        if self.wants_response() {
            self.facts.response_object = Some(self.shown(object));
        }
    }

    /// Adds what is known besides.
    pub(crate) fn annotate(&mut self, key: &str, value: &str) {
        if self.is_kept() {
            self.facts.annotations.insert(key.to_owned(), value.to_owned());
        }
    }

    /// An answer that lasts has begun.
    pub(crate) fn started(&mut self, code: u16) {
        self.facts.status = Some(event::success(code));
        self.write(Stage::ResponseStarted);
    }

    /// The request has ended with this Status.
    pub(crate) fn complete(&mut self, status: Value) {
        self.facts.status = Some(status);
        self.write(Stage::ResponseComplete);
    }

    /// The request has hit a bug.
    pub(crate) fn panicked(&mut self, status: Value) {
        self.facts.status = Some(status);
        self.write(Stage::Panic);
    }

    fn is_kept(&self) -> bool {
        self.log.is_some() && self.demand.level > Level::None
    }

    fn shown(&self, mut object: Value) -> Value {
        if self.demand.omits_managed_fields {
            event::remove_managed_fields(&mut object);
        }
        object
    }

    fn write(&self, stage: Stage) {
        let Some(inner) = &self.log else { return };
        if self.demand.level == Level::None || self.demand.omitted.contains(&stage) {
            return;
        }
        let event = render(&self.facts, self.demand.level, stage, Timestamp::now());
        inner.log.write(event);
    }
}

/// An id for a request that brings none.
pub(crate) fn new_id() -> String {
    Uuid::new_v4().to_string()
}

#[cfg(test)]
mod tests;
