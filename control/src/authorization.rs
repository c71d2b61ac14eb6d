//! What callers may do: roles and bindings as they are in the store, and what nodes may do with what is theirs.
//!
//! `system:masters` may do everything. A node is asked for first by the node authorizer, then as everybody else.
//! Decisions are pure (`index`, `rule`, `node`); this keeps their data current without a task of its own: when a
//! commit has returned, every watcher has been handed it, so whoever asks takes in first what waits.
//! Never here: who a caller is (`auth`), HTTP.
//! Source: Kubernetes, "Authorization Overview", "Using RBAC Authorization", "Using Node Authorization".

mod defaults;
mod grant;
mod index;
mod node;
mod request;
mod rule;

use std::sync::Arc;

use futures::FutureExt as _;
use parking_lot::{Mutex, MutexGuard};
use serde_json::Value;

use self::index::{Index, Part};
pub(crate) use self::{
    defaults::{DefaultObject, Repair, default_objects, reconcile},
    grant::Refusal,
    request::{Decision, Request, ResourceRequest, refusal},
    rule::Rule,
};
use crate::{
    auth::Caller,
    store::{ListRequest, ReadError, Store, WatchEvent, WatchRequest, Watcher},
};

/// Polls of one watch before it has caught up with the log. Each takes in some hundred changes, and no more than a
/// few can have happened since the list.
const CATCH_UP_POLLS_MAX: usize = 64;

/// Decides what callers may do. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Access {
    store: Store,
    live: Arc<Mutex<Option<Live>>>,
}

/// The index and what keeps it current.
struct Live {
    index: Index,
    watchers: Vec<(Part, Watcher)>,
}

impl Access {
    /// Over the roles and bindings of this store.
    pub(crate) fn new(store: Store) -> Access {
        Access {
            store,
            live: Arc::default(),
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
                let page = self.store.list(&ListRequest {
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
        let mut live = self.live.lock();
        self.bring_up_to_date(&mut live)?;
        Ok(answer(&live.as_ref().expect("it was made just above").index))
    }

    fn bring_up_to_date(&self, live: &mut MutexGuard<'_, Option<Live>>) -> Result<(), ReadError> {
        if let Some(present) = live.as_mut()
            && present.take_in()
        {
            return Ok(());
        }
        // The first question, or more changes waited than a watch keeps.
        **live = None;
        **live = Some(Live::load(&self.store)?);
        Ok(())
    }
}

impl Live {
    fn load(store: &Store) -> Result<Live, ReadError> {
        let mut live = Live {
            index: Index::default(),
            watchers: Vec::new(),
        };
        for part in Part::ALL {
            let page = store.list(&ListRequest {
                collection: part.collection().to_owned(),
                ..ListRequest::default()
            })?;
            for item in &page.items {
                let object: Option<Value> = serde_json::from_slice(&item.value).ok();
                live.index
                    .fold(part, &item.key.namespace, &item.key.name, object.as_ref());
            }
            let mut watcher = store.watch(WatchRequest {
                collection: Some(part.collection().to_owned()),
                namespace: None,
                after: page.revision,
            })?;
            for _ in 0..CATCH_UP_POLLS_MAX {
                match poll(&mut watcher) {
                    Some(Ok(WatchEvent::Progress(_))) => break,
                    Some(Ok(WatchEvent::Change(change))) => live.index.take(part, &change),
                    Some(Err(_)) => break,
                    None => {}
                }
            }
            live.watchers.push((part, watcher));
        }
        Ok(live)
    }

    /// Takes in what waits. False if something was missed.
    fn take_in(&mut self) -> bool {
        for (part, watcher) in &mut self.watchers {
            while let Some(event) = poll(watcher) {
                match event {
                    Ok(WatchEvent::Change(change)) => self.index.take(*part, &change),
                    Ok(WatchEvent::Progress(_)) => {}
                    Err(_) => return false,
                }
            }
        }
        true
    }
}

/// What a watch has ready. Not subject to the runtime's budget, which would hide what is there.
fn poll(watcher: &mut Watcher) -> Option<Result<WatchEvent, crate::store::WatchEnd>> {
    tokio::task::unconstrained(watcher.next()).now_or_never()
}

#[cfg(test)]
mod tests;
