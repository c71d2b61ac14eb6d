//! Admission: what every write passes between its request and the store, whoever makes it.
//!
//! ```text
//!   request ──▶ defaults ──▶ mutate ──▶ validation ──▶ approve ──▶ reserve ──▶ commit
//! ```
//! `mutate` completes the object, `approve` may refuse it, `reserve` says what must be written together with it.
//! Decisions are in `admission` and `authorization`; here they get what they are about from the store.
//! Source: Kubernetes, "Admission Control in Kubernetes".

use std::sync::Arc;

use api::resource::Resource;
use serde_json::Value;
use tokio::sync::OwnedMutexGuard;

use super::{
    ApiError, Caller, Engine, Target, Warnings, WriteOptions, create::suffix, is_pod, is_priority_class,
    object::meta_str,
};
use crate::{
    admission::{self, index::Part, priority},
    authorization::Refusal,
    store::Write,
};

/// What somebody does with an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Operation {
    Create,
    Update,
    Delete,
}

/// Somebody is about to do something with an object. Objects are in the form that is stored.
#[derive(Clone, Copy)]
pub(super) struct Attempt<'a> {
    pub(super) caller: &'a Caller,
    pub(super) operation: Operation,
    /// The row of the request.
    pub(super) asked: &'a Resource,
    /// Empty for the object itself.
    pub(super) subresource: &'a str,
    pub(super) namespace: &'a str,
    pub(super) name: &'a str,
    /// The version that is there; none before a creation.
    pub(super) old: Option<&'a Value>,
    pub(super) dry_run: bool,
    /// What the client is to be told besides the result.
    pub(super) warnings: &'a Warnings,
}

impl<'a> Attempt<'a> {
    /// A request to create or update, before it is known what is there.
    pub(super) fn new(
        caller: &'a Caller,
        operation: Operation,
        asked: &'a Resource,
        namespace: &'a str,
        name: &'a str,
        options: &'a WriteOptions,
    ) -> Attempt<'a> {
        Attempt {
            caller,
            operation,
            asked,
            subresource: "",
            namespace,
            name,
            old: None,
            dry_run: options.dry_run,
            warnings: &options.warnings,
        }
    }

    pub(super) fn target(&self) -> Target {
        Target::new(self.asked, self.name)
    }
}

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
        let resource = attempt.asked.stored();
        if attempt.operation == Operation::Create && attempt.subresource.is_empty() {
            if is_pod(resource) {
                self.complete_pod(attempt, object).await?;
            }
            self.complete_by_classes(attempt, object)?;
        }
        Ok(())
    }

    async fn complete_pod(&self, attempt: &Attempt<'_>, pod: &mut Value) -> Result<(), ApiError> {
        let target = attempt.target();
        self.namespace_check(attempt.asked, attempt.namespace, &target)?;
        admission::complete_pod(pod, self.inner.config.default_not_ready_toleration);
        self.complete_by_limits(attempt, pod)?;
        priority::complete(pod, &self.priority_classes()?)
            .map_err(|error| ApiError::forbidden(target.clone(), error.to_string()))?;
        let account = self.service_account(attempt.namespace, pod, &target).await?;
        admission::give_account(pod, &account, &suffix());
        Ok(())
    }

    /// Agrees to a write, or refuses it. `new` is what is about to be stored; none for a deletion.
    ///
    /// # Errors
    /// Why it is refused.
    #[expect(clippy::unused_async, reason = "those who are asked over the network follow")]
    pub(super) async fn approve(&self, attempt: &Attempt<'_>, new: Option<&Value>) -> Result<(), ApiError> {
        let Some(new) = new else { return Ok(()) };
        self.check_escalation(attempt, new)?;
        self.check_limits(attempt, new)?;
        self.check_pod_security(attempt, new)?;
        self.check_growth(attempt, new)?;
        self.check_default_priority(attempt, new)
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
        rules.with(|index| index.all(part, namespace)).map_err(ApiError::Read)
    }

    /// One such object.
    pub(super) fn rule(&self, part: Part, namespace: &str, name: &str) -> Result<Option<Arc<Value>>, ApiError> {
        let rules = &self.inner.rules;
        rules
            .with(|index| index.get(part, namespace, name))
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
