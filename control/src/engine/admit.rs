//! Admission: what every write passes between its request and the store, whoever makes it.
//!
//! ```text
//!   request ──▶ defaults ──▶ mutate ──▶ validation ──▶ approve ──▶ reserve ──▶ commit
//! ```
//! `mutate` completes the object, `approve` may refuse it, `reserve` says what must be written together with it.
//! Decisions are in `admission` and `authorization`; here they get what they are about from the store.
//! Source: Kubernetes, "Admission Control in Kubernetes".

mod certificates;
mod mutation;
mod nodes;
mod policies;
mod webhooks;

use std::sync::Arc;

use api::{inert, resource::Resource};
use serde_json::Value;
use tokio::sync::OwnedMutexGuard;

use super::{
    ApiError, Caller, Engine, Target, WriteOptions, create::suffix, is_pod, is_priority_class, object::meta_str, scale,
};
use crate::{
    admission::{
        self,
        index::Part,
        priority,
        review::{Attempt, Operation},
    },
    authorization::Refusal,
    store::Write,
};

/// What is written together with an object, or not at all.
#[derive(Default)]
pub(super) struct Reservation {
    pub(super) writes: Vec<Write>,
    /// Held until the commit: those behind rest on it.
    #[expect(dead_code, reason = "it is held, not looked at")]
    pub(super) turn: Option<OwnedMutexGuard<()>>,
}

impl Engine {
    /// Completes an object that has the defaults of its kind.
    ///
    /// # Errors
    /// When what it refers to is not there, or it is refused.
    pub(super) async fn mutate(&self, attempt: &Attempt<'_>, object: &mut Value) -> Result<(), ApiError> {
        self.complete_new(attempt, object).await?;
        self.ask_mutating(attempt, object).await
    }

    /// Gives a new object what the server itself adds, in the order of Kubernetes' plugins; nothing twice.
    ///
    /// # Errors
    /// When what it refers to is not there, or does not go together with it.
    async fn complete_new(&self, attempt: &Attempt<'_>, object: &mut Value) -> Result<(), ApiError> {
        if attempt.operation != Operation::Create || !attempt.subresource.is_empty() {
            return Ok(());
        }
        if is_pod(attempt.asked.stored()) {
            self.complete_pod(attempt, object).await?;
        }
        self.complete_by_classes(attempt, object)
    }

    /// Agrees to a connection to an object, whose options are given as an object of their own, or refuses it.
    ///
    /// # Errors
    /// Why it is refused.
    pub async fn admit_connection(
        &self,
        caller: &Caller,
        resource: &Resource,
        (namespace, name): (&str, &str),
        subresource: &str,
        options: &Value,
    ) -> Result<(), ApiError> {
        let write = WriteOptions::default();
        let attempt = Attempt {
            subresource,
            ..Attempt::new(caller, Operation::Connect, resource, namespace, name, &write)
        };
        let mut options = options.clone();
        self.ask_mutating(&attempt, &mut options).await?;
        self.ask_others(&attempt, Some(&options)).await
    }

    async fn complete_pod(&self, attempt: &Attempt<'_>, pod: &mut Value) -> Result<(), ApiError> {
        let target = attempt.target();
        self.namespace_check(attempt.asked, attempt.namespace, &target)?;
        self.complete_by_limits(attempt, pod)?;
        admission::complete_pod(pod, self.inner.config.default_not_ready_toleration);
        let account = self.service_account(attempt.namespace, pod, &target).await?;
        admission::give_account(pod, &account, &suffix());
        priority::complete(pod, &self.priority_classes()?)
            .map_err(|error| ApiError::forbidden(target, error.to_string()))
    }

    /// Agrees to a write, or refuses it. `new` is what is about to be stored; none for a deletion.
    ///
    /// # Errors
    /// Why it is refused.
    pub(super) async fn approve(&self, attempt: &Attempt<'_>, new: Option<&Value>) -> Result<(), ApiError> {
        self.check_node_restriction(attempt, new)?;
        if let Some(new) = new {
            let inert_fields = inert::warnings(attempt.asked.stored(), attempt.old, new);
            attempt.warnings.extend(inert_fields);
            self.check_escalation(attempt, new)?;
            self.check_limits(attempt, new)?;
            self.check_pod_security(attempt, new)?;
            self.check_growth(attempt, new)?;
            self.check_certificate_rights(attempt, new)?;
            self.check_default_priority(attempt, new)?;
        }
        if attempt.subresource != "scale" {
            return self.ask_others(attempt, new).await;
        }
        // Others are told of the Scale, which is what the request is about.
        let scale = |object: &Value| scale::of(attempt.asked.stored(), object);
        let (old, new) = (attempt.old.map(scale), new.map(scale));
        let attempt = Attempt {
            old: old.as_ref(),
            ..*attempt
        };
        self.ask_others(&attempt, new.as_ref()).await
    }

    async fn ask_others(&self, attempt: &Attempt<'_>, new: Option<&Value>) -> Result<(), ApiError> {
        self.ask_policies(attempt, new).await?;
        self.ask_validating(attempt, new).await
    }

    /// What must be written together with the object. Asked again in every round, as it rests on other objects.
    ///
    /// # Errors
    /// When there is no room for the object.
    pub(super) async fn reserve(&self, attempt: &Attempt<'_>, new: &Value) -> Result<Reservation, ApiError> {
        self.reserve_quota(attempt, new).await
    }

    /// The objects of a kind in a namespace (empty for cluster scope) that admission decides by, by name.
    pub(super) fn rules(&self, part: Part, namespace: &str) -> Result<Vec<Arc<Value>>, ApiError> {
        let rules = &self.inner.rules;
        rules.ask(|index| index.all(part, namespace)).map_err(ApiError::Read)
    }

    /// One such object.
    pub(super) fn rule(&self, part: Part, namespace: &str, name: &str) -> Result<Option<Arc<Value>>, ApiError> {
        let rules = &self.inner.rules;
        rules
            .ask(|index| index.get(part, namespace, name))
            .map_err(ApiError::Read)
    }

    /// Refuses a write that gives somebody more than its writer has.
    fn check_escalation(&self, attempt: &Attempt<'_>, new: &Value) -> Result<(), ApiError> {
        let resource = attempt.asked;
        if resource.group != "rbac.authorization.k8s.io" {
            return Ok(());
        }
        let access = self.access();
        let escalation = access.escalation(attempt.caller, resource.kind, attempt.old, new);
        match escalation.map_err(ApiError::Read)? {
            None => Ok(()),
            Some(Refusal::Widens(detail)) => {
                let name = meta_str(new, "name");
                Err(ApiError::forbidden(Target::new(resource, name), detail))
            }
            Some(Refusal::NoRole(role)) => Err(ApiError::NotFound(Target {
                resource: if role.namespace.is_empty() {
                    "clusterrole"
                } else {
                    "role"
                },
                ..Target::new(resource, &role.name)
            })),
        }
    }

    /// No other class is the default one.
    fn check_default_priority(&self, attempt: &Attempt<'_>, class: &Value) -> Result<(), ApiError> {
        if !is_priority_class(attempt.asked) || class["globalDefault"] != true {
            return Ok(());
        }
        match priority::other_default(class, &self.priority_classes()?) {
            None => Ok(()),
            Some(detail) => Err(ApiError::forbidden(attempt.target(), detail)),
        }
    }

    fn priority_classes(&self) -> Result<Vec<Arc<Value>>, ApiError> {
        self.rules(Part::PriorityClass, "")
    }
}
