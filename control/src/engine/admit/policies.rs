//! Policies are asked; their parameters are found.
//!
//! Never here: what a policy says (`admission::policy`).

use api::{object::Scope as ObjectScope, resource::Resource, selector::LabelSelector};
use serde_json::Value;

use super::{ApiError, Attempt, Engine};
use crate::{
    admission::{
        policy::{Binding, Fault, Policy},
        review::Subject,
        webhook::FailurePolicy,
    },
    engine::{Denial, key, object},
    store::ListRequest,
};

impl Engine {
    /// Asks the policies that are in force.
    ///
    /// # Errors
    /// What the first says that denies the request.
    pub(super) fn ask_policies(&self, attempt: &Attempt<'_>, new: Option<&Value>) -> Result<(), ApiError> {
        let in_force = self.inner.policies.ask(crate::admission::policy::Policies::in_force);
        let in_force = in_force.map_err(ApiError::Read)?;
        if in_force.is_empty() || attempt.is_binding() {
            return Ok(());
        }
        let rows = self.rows_of(attempt.asked);
        let in_namespace = self.namespace_of(attempt)?;
        let subject = Subject {
            attempt,
            object: new,
            in_namespace: in_namespace.as_ref(),
        };
        for (policy, binding) in in_force {
            let Some(row) = policy.scope.row(&subject, &rows) else {
                continue;
            };
            if binding
                .scope
                .as_ref()
                .is_some_and(|scope| scope.row(&subject, &rows).is_none())
            {
                continue;
            }
            let faults = self.faults(attempt, &subject, row, &policy, &binding)?;
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

    /// What a policy says against a request, with each of the binding's parameters.
    fn faults(
        &self,
        attempt: &Attempt<'_>,
        subject: &Subject<'_>,
        row: &Resource,
        policy: &Policy,
        binding: &Binding,
    ) -> Result<Vec<Fault>, ApiError> {
        let params = match self.params(attempt, policy, binding)? {
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
        let mut faults = Vec::new();
        for param in &params {
            let mut names = subject.names(row);
            names.set("namespaceObject", subject.in_namespace.unwrap_or(&Value::Null));
            names.set("params", param);
            faults.extend(policy.faults(&mut names));
        }
        Ok(faults)
    }

    fn params(&self, attempt: &Attempt<'_>, policy: &Policy, binding: &Binding) -> Result<Params, ApiError> {
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
            let objects = page.map_err(ApiError::Read)?.items;
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
            let stored = stored.map_err(ApiError::Read)?;
            stored
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

/// The parameters of a binding, each for a question of its own.
enum Params {
    Are(Vec<Value>),
    Missing(String),
}

fn denied(attempt: &Attempt<'_>, policy: &Policy, binding: &Binding, fault: &Fault) -> ApiError {
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
