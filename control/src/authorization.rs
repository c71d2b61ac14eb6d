//! What callers may do: roles and bindings as they are in the store, and what nodes may do with what is theirs.
//!
//! `system:masters` may do everything. A node is asked for first by the node authorizer, then as everybody else.
//! Decisions are pure (`index`, `rule`, `node`); here they get their data.
//! Never here: who a caller is (`auth`), HTTP.
//! Source: Kubernetes, "Authorization Overview", "Using RBAC Authorization", "Using Node Authorization".

mod defaults;
mod grant;
mod index;
mod node;
mod request;
mod rule;

use std::sync::Arc;

use serde_json::Value;

use self::index::Index;
pub(crate) use self::{
    defaults::{DefaultObject, Repair, default_objects, reconcile},
    grant::Refusal,
    request::{Decision, Request, ResourceRequest, refusal},
    rule::Rule,
};
use crate::{
    auth::Caller,
    following::Following,
    store::{ListRequest, ReadError, Store},
};

/// Decides what callers may do. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Access {
    following: Arc<Following<Index>>,
}

impl Access {
    /// Over the roles and bindings of this store.
    pub(crate) fn new(store: Store) -> Access {
        Access {
            following: Arc::new(Following::new(store)),
        }
    }

    /// Whether the caller may do this.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub(crate) fn decide(&self, caller: &Caller, request: &Request) -> Result<Decision, ReadError> {
        let allowed = Decision {
            allowed: true,
            reason: String::new(),
        };
        if caller.is_master() {
            return Ok(allowed);
        }
        let mut reasons = Vec::new();
        if let Some(name) = caller.node_name()
            && let Request::Resource(request) = request
        {
            match self.decide_for_node(name, request)? {
                node::Verdict::Allowed => return Ok(allowed),
                node::Verdict::No(reason) => reasons.extend(reason),
                node::Verdict::Denied(reason) => {
                    return Ok(Decision { allowed: false, reason });
                }
            }
        }
        let mut decision = self.with_index(|index| index.decide(caller, request))?;
        if !decision.allowed {
            reasons.extend(Some(decision.reason).filter(|reason| !reason.is_empty()));
            decision.reason = reasons.join("\n");
        }
        Ok(decision)
    }

    /// All rules that bindings give the caller in a namespace (empty: for the cluster), and what may be missing of them.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub(crate) fn rules(&self, caller: &Caller, namespace: &str) -> Result<(Vec<Rule>, String), ReadError> {
        let (rules, missing) = self.with_index(|index| index.rules(caller, namespace))?;
        let missing = match caller.node_name() {
            Some(_) => "node authorizer does not support user rule resolution".to_owned(),
            None => missing,
        };
        Ok((rules, missing))
    }

    /// Why the caller may not make `new` of `old` (none if it is created), an object of this kind, although it may
    /// write such objects: nobody gives others more than they may do themselves, unless a rule says so.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub(crate) fn escalation(
        &self,
        caller: &Caller,
        kind: &str,
        old: Option<&Value>,
        new: &Value,
    ) -> Result<Option<Refusal>, ReadError> {
        if caller.is_master() || !grant::widens(kind, old, new) {
            return Ok(None);
        }
        self.with_index(|index| grant::escalation(index, caller, kind, new))
    }

    fn decide_for_node(&self, name: &str, request: &ResourceRequest) -> Result<node::Verdict, ReadError> {
        match node::judge(name, request) {
            node::Judgement::Is(verdict) => Ok(verdict),
            node::Judgement::IfOwn(reference) => {
                let page = self.following.store().list(&ListRequest {
                    collection: "pods".to_owned(),
                    namespace: Some(request.namespace.clone()),
                    ..ListRequest::default()
                })?;
                let pods = page
                    .items
                    .iter()
                    .filter_map(|pod| serde_json::from_slice(&pod.value).ok());
                Ok(node::related(name, &reference, pods))
            }
        }
    }

    /// Answers from an index that holds everything that was committed before.
    fn with_index<Answer>(&self, answer: impl FnOnce(&Index) -> Answer) -> Result<Answer, ReadError> {
        self.following.with(answer)
    }
}

#[cfg(test)]
mod tests;
