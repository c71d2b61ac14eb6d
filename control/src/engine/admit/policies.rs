//! Policies are asked; their parameters are found.
//!
//! Never here: what a policy says or does (`admission::policy`), in which order objects are changed (`mutation`).

use api::{fields::KindPlace, object::Scope as ObjectScope, resource::Resource, selector::LabelSelector};
use serde_json::Value;

use super::{
    ApiError, Attempt, Engine,
    mutation::{Shown, Unknown},
};
use crate::{
    admission::{
        policy::{Binding, Bound, Effect, Fault, Mutations, Policies, Policy, Validations},
        review::{Subject, Told},
        scope::{Scope, Verdict},
        webhook::FailurePolicy,
    },
    engine::{Denial, key, object},
    followed::Followed,
    store::{ListRequest, Stored},
};

impl Engine {
    /// Asks the validating policies that are in force.
    ///
    /// # Errors
    /// What the first says that denies the request.
    pub(super) async fn ask_policies(&self, attempt: &Attempt<'_>, new: Option<&Value>) -> Result<(), ApiError> {
        let in_force = self.in_force(&self.inner.validating_policies, attempt)?;
        if in_force.is_empty() {
            return Ok(());
        }
        let rows = self.rows_of(attempt.asked);
        let in_namespace = self.namespace_of(attempt)?;
        let subject = Subject {
            attempt,
            object: new,
            in_namespace: in_namespace.as_ref(),
            access: Some(self.access()),
        };
        for (policy, binding) in in_force {
            let Some(row) = row(&policy, &binding, &subject, &rows) else {
                continue;
            };
            let told = self.told(&subject, row).await?;
            let faults = self.faults(&told, attempt, &policy, &binding).await?;
            for fault in faults.iter().filter(|_| binding.warns()) {
                attempt.warnings.push(format!(
                    "Validation failed for ValidatingAdmissionPolicy '{}' with binding '{}': {}",
                    policy.name, binding.name, fault.message
                ));
            }
            if let Some(fault) = faults.first().filter(|_| binding.denies()) {
                return Err(denied(attempt, &policy, &binding, fault));
            }
        }
        Ok(())
    }

    /// The policies that a request may be about, by their names and those of their bindings.
    pub(super) fn in_force<E: Effect>(
        &self,
        policies: &Followed<Policies<E>>,
        attempt: &Attempt<'_>,
    ) -> Result<Vec<Bound<E>>, ApiError> {
        if attempt.is_binding() {
            return Ok(Vec::new());
        }
        policies.ask(Policies::in_force).map_err(ApiError::Read)
    }

    /// What a policy says against a request, with each of the binding's parameters.
    async fn faults(
        &self,
        told: &Told<'_>,
        attempt: &Attempt<'_>,
        policy: &Policy<Validations>,
        binding: &Binding,
    ) -> Result<Vec<Fault>, ApiError> {
        let params = match self.params(attempt, policy, binding).await? {
            Params::Are(params) => params,
            Params::Missing(why) => {
                return Ok(match policy.failure_policy {
                    FailurePolicy::Ignore => Vec::new(),
                    FailurePolicy::Fail => vec![Fault {
                        reason: "Invalid".to_owned(),
                        message: format!("failed to configure binding: {why}"),
                    }],
                });
            }
        };
        let faults = params
            .iter()
            .flat_map(|param| policy.faults(&mut told.names_with(param)));
        Ok(faults.collect())
    }

    /// Lets a policy change the object, with each of the binding's parameters.
    ///
    /// # Errors
    /// When it cannot, and the request may not go on without it.
    pub(super) async fn mutate_by(
        &self,
        subject: &Subject<'_>,
        row: &Resource,
        (policy, binding): &Bound<Mutations>,
    ) -> Result<Shown, ApiError> {
        let refuse = |reason: &str, why: String| match policy.failure_policy {
            FailurePolicy::Ignore => {
                tracing::warn!(
                    policy = policy.name,
                    binding = binding.name,
                    reason = why,
                    "a policy could not change an object, which is ignored"
                );
                Ok(())
            }
            FailurePolicy::Fail => Err(failed(policy, binding, reason, &why)),
        };
        let params = match self.params(subject.attempt, policy, binding).await? {
            Params::Are(params) => params,
            Params::Missing(why) => {
                refuse("Forbidden", format!("failed to configure binding: {why}"))?;
                return Ok(Shown::NotAsked);
            }
        };
        let mut shown = Shown::NotAsked;
        for param in &params {
            let told = self.told(&now(subject, &shown), row).await?;
            let verdict = policy.judge(&told.names_with(param));
            match verdict {
                Verdict::Holds => {}
                Verdict::Not => continue,
                Verdict::Fails(why) => {
                    refuse("Invalid", why)?;
                    continue;
                }
            }
            if let Shown::NotAsked = shown {
                shown = Shown::Kept;
            }
            for mutation in &policy.effect.list {
                let Some(object) = shown.changed().or(subject.object) else {
                    break;
                };
                let told = self.told(&now(subject, &shown), row).await?;
                let made = match policy.change(mutation, &mut told.names_with(param)) {
                    Ok(change) => {
                        let make = |place: Option<KindPlace>, object: &mut Value| change.make(place, object);
                        self.changed(subject, row, object, Unknown::Refused, make).await
                    }
                    Err(why) => Err(why),
                };
                match made {
                    Ok(made) if made == *object => {}
                    Ok(made) => shown = Shown::Changed(made),
                    Err(why) => refuse("Invalid", why)?,
                }
            }
        }
        Ok(shown)
    }

    async fn params<E>(
        &self,
        attempt: &Attempt<'_>,
        policy: &Policy<E>,
        binding: &Binding,
    ) -> Result<Params, ApiError> {
        let (Some((api_version, kind)), Some(reference)) = (&policy.param_kind, &binding.params) else {
            return Ok(Params::Are(vec![Value::Null]));
        };
        let kinds = self.registry().kinds();
        let row = kinds
            .rows()
            .iter()
            .copied()
            .find(|row| row.api_version() == *api_version && row.kind == kind);
        let Some(row) = row else {
            return Ok(Params::Missing(format!(
                "failed to find resource referenced by paramKind: '{api_version}, Kind={kind}'"
            )));
        };
        let namespace = match (row.scope, reference.namespace.as_str()) {
            (ObjectScope::Cluster, _) => "",
            (ObjectScope::Namespaced, "") => attempt.namespace,
            (ObjectScope::Namespaced, namespace) => namespace,
        };
        let store = &self.inner.store;
        let found = if reference.name.is_empty() {
            let selector = LabelSelector::from_value(&reference.selector).unwrap_or_else(|_| LabelSelector::nothing());
            let page = store.list(&ListRequest {
                collection: row.stored().collection(),
                namespace: Some(namespace.to_owned()).filter(|namespace| !namespace.is_empty()),
                ..ListRequest::default()
            });
            let objects = self.in_version(row, page.map_err(ApiError::Read)?.items).await?;
            let objects: Vec<Value> = objects
                .iter()
                .map(|stored| object::decode_as(row, stored))
                .collect::<Result<_, _>>()?;
            objects
                .into_iter()
                .filter(|object| selector.matches_object(object))
                .collect()
        } else {
            let stored = store.get(&key(row.stored(), namespace, &reference.name), None);
            let stored: Vec<Stored> = stored.map_err(ApiError::Read)?.into_iter().collect();
            let shown = self.in_version(row, stored).await?;
            shown
                .iter()
                .map(|stored| object::decode_as(row, stored))
                .collect::<Result<Vec<_>, _>>()?
        };
        Ok(match (found.is_empty(), reference.may_be_missing) {
            (true, false) => {
                Params::Missing("no params found for policy binding with `Deny` parameterNotFoundAction".to_owned())
            }
            // Without parameters there is nothing that the policy could ask.
            (true, true) | (false, _) => Params::Are(found),
        })
    }
}

/// The row in whose form a policy wants to see the subject; none if it is not about it by this binding.
pub(super) fn row<'r, E>(
    policy: &Policy<E>,
    binding: &Binding,
    subject: &Subject<'_>,
    rows: &[&'r Resource],
) -> Option<&'r Resource> {
    let row = policy.scope.row(subject, rows)?;
    let is_bound = |scope: &Scope| scope.row(subject, rows).is_some();
    binding.scope.as_ref().is_none_or(is_bound).then_some(row)
}

/// A subject with what became of its object.
fn now<'s>(subject: &Subject<'s>, shown: &'s Shown) -> Subject<'s> {
    Subject {
        object: shown.changed().or(subject.object),
        ..*subject
    }
}

/// The parameters of a binding, each for a question of its own.
enum Params {
    Are(Vec<Value>),
    Missing(String),
}

fn denied(attempt: &Attempt<'_>, policy: &Policy<Validations>, binding: &Binding, fault: &Fault) -> ApiError {
    let detail = format!(
        "ValidatingAdmissionPolicy '{}' with binding '{}' denied request: {}",
        policy.name, binding.name, fault.message
    );
    ApiError::Denied(Denial {
        code: match fault.reason.as_str() {
            "Unauthorized" => 401,
            "Forbidden" => 403,
            "RequestEntityTooLarge" => 413,
            _ => 422,
        },
        reason: fault.reason.clone(),
        message: ApiError::forbidden(attempt.target(), detail).to_string(),
    })
}

/// The refusal of a request whose object a policy cannot change.
fn failed(policy: &Policy<Mutations>, binding: &Binding, reason: &str, why: &str) -> ApiError {
    ApiError::Denied(Denial {
        code: 403,
        reason: reason.to_owned(),
        message: format!(
            "policy '{}' with binding '{}' denied request: {why}",
            policy.name, binding.name
        ),
    })
}
