//! What a namespace's quotas take in together with an object: a write of their `status.used` in the same commit.
//!
//! Creations in a namespace with quotas come one after the other, from here to their commit: each rests on what the one
//! before has left. Never here: what counts (`reconcile::quota`), whether there is room (`admission::quota`).

use std::{
    hash::{BuildHasher as _, RandomState},
    sync::Arc,
};

use api::{
    Kind, Object, Timestamp,
    k8s_openapi::api::core::v1::ResourceQuota,
    resource::{self, Resource},
};
use reconcile::{pod_resources::Amounts, quota::usage::Counted};
use serde::Deserialize as _;
use serde_json::{Value, json};
use tokio::sync::{Mutex, OwnedMutexGuard};

use super::{
    ApiError, Engine,
    admit::Reservation,
    key,
    object::{self, child_mut, meta_str},
};
use crate::{
    admission::{
        index::Part,
        quota::{Excess, Wish, decide},
        review::{Attempt, Operation},
    },
    store::{Expect, Op, Write},
};

/// Locks that all namespaces share. Namespaces that meet at one wait for each other, so there are more than writers
/// that are commonly under way.
const LOCKS: usize = 64;

/// Holds others back who count on the same quotas.
pub(super) struct QuotaLocks {
    hasher: RandomState,
    locks: Vec<Arc<Mutex<()>>>,
}

impl Default for QuotaLocks {
    fn default() -> QuotaLocks {
        QuotaLocks {
            hasher: RandomState::new(),
            locks: (0..LOCKS).map(|_| Arc::default()).collect(),
        }
    }
}

impl QuotaLocks {
    /// The namespace's turn, in the order of asking.
    async fn lock(&self, namespace: &str) -> OwnedMutexGuard<()> {
        let index = self.hasher.hash_one(namespace) % LOCKS as u64;
        let index = usize::try_from(index).expect("below the number of locks");
        self.locks[index].clone().lock_owned().await
    }
}

impl Engine {
    /// What the quotas of the namespace become with the object.
    ///
    /// # Errors
    /// When a quota has no room for it.
    pub(super) async fn reserve_quota(&self, attempt: &Attempt<'_>, new: &Value) -> Result<Reservation, ApiError> {
        let resource = attempt.asked.stored();
        let Some(excess) = handled(attempt, resource) else {
            return Ok(Reservation::default());
        };
        if self.rules(Part::ResourceQuota, attempt.namespace)?.is_empty() {
            return Ok(Reservation::default());
        }
        let turn = self.inner.quota_locks.lock(attempt.namespace).await;
        let stored = self.rules(Part::ResourceQuota, attempt.namespace)?;
        // The store holds valid quotas only.
        let quotas: Vec<ResourceQuota> = stored
            .iter()
            .filter_map(|quota| ResourceQuota::deserialize(&**quota).ok())
            .collect();
        let collection = resource.collection();
        let new = typed(&collection, Some(new));
        let old = typed(&collection, attempt.old);
        let Some(item) = Counted::new(&collection, new.as_ref()) else {
            return Ok(Reservation::default());
        };
        let wish = Wish {
            new: item,
            old: attempt.old.and_then(|_| Counted::new(&collection, old.as_ref())),
            excess,
        };
        let grown = decide(&quotas, &wish, Timestamp::now())
            .map_err(|refusal| ApiError::forbidden(attempt.target(), refusal.to_string()))?;
        let writes = grown
            .iter()
            .map(|grown| with_used(&stored[grown.index], &grown.used))
            .collect();
        Ok(Reservation {
            writes,
            turn: Some(turn),
        })
    }
}

/// Whether the write can take something of a quota, and what becomes of a wish for too much.
fn handled(attempt: &Attempt<'_>, resource: &Resource) -> Option<Excess> {
    if !resource.is_namespaced() {
        return None;
    }
    let refused = Some(Excess::Refused);
    match (attempt.operation, resource.group, resource.kind, attempt.subresource) {
        (Operation::Create, _, _, "") => refused,
        (Operation::Update, "", "Service" | "PersistentVolumeClaim", "") => refused,
        (Operation::Update, "", "Pod", "resize") => refused,
        (Operation::Update, "", "PersistentVolumeClaim", "status") => Some(Excess::Counted),
        _ => None,
    }
}

/// The object as quotas count it by more than its number.
fn typed(collection: &str, object: Option<&Value>) -> Option<Object> {
    let kind: Kind = collection.parse().ok()?;
    if !matches!(kind, Kind::Pod | Kind::PersistentVolumeClaim | Kind::Service) {
        return None;
    }
    Object::decode(kind, object?.to_string().as_bytes()).ok()
}

fn with_used(quota: &Value, used: &Amounts) -> Write {
    let quotas = resource::by_path("", "v1", "resourcequotas").expect("the table has ResourceQuota");
    let mut grown = quota.clone();
    let used: Value = used
        .iter()
        .map(|(name, amount)| (name.clone(), json!(amount.to_string())))
        .collect();
    child_mut(&mut grown, "status").insert("used".to_owned(), used);
    Write {
        key: key(quotas, meta_str(quota, "namespace"), meta_str(quota, "name")),
        expect: Expect::At(object::revision(quota).unwrap_or_default()),
        op: Op::Put(object::encode(&grown)),
    }
}
