//! Resource quotas: what they count, and their status as objects go and change.
//!
//! Whether an object may be created is asked of `status.used`, which grows in the same commit as the object; here it
//! is counted anew, so that it also shrinks. Never here: refusing anything.
//! Source: Kubernetes, "Resource Quotas".

pub mod scope;
pub mod usage;

use std::time::Duration;

use api::{
    Kind, Object, ObjectKey, Timestamp,
    k8s_openapi::{
        api::core::v1::{PersistentVolumeClaim, Pod, ResourceQuota, Service},
        apimachinery::pkg::api::resource::Quantity as Text,
    },
    object::Scope,
    quantity::Quantity,
};

use self::usage::Counted;
use crate::{
    facts,
    plan::{Action, Context, Plan, Planner},
    pod_resources::{self, Amounts},
    world::World,
};

/// Plans the status of each quota, by its key.
#[derive(Debug)]
pub(crate) struct Quotas;

impl Planner for Quotas {
    fn name(&self) -> &'static str {
        "resourcequota-controller"
    }

    fn watches(&self) -> &'static [Kind] {
        Kind::ALL
    }

    fn affected(
        &self,
        world: &World,
        changed: &ObjectKey,
        before: Option<&Object>,
        after: Option<&Object>,
    ) -> Vec<ObjectKey> {
        if changed.kind.scope() != Scope::Namespaced {
            return Vec::new();
        }
        let mut keys = quotas_of(world, &changed.namespace);
        if !keys.is_empty() && !changes_usage(changed, before, after) {
            keys.clear();
        }
        if changed.kind == Kind::ResourceQuota && after.is_some() && !keys.contains(changed) {
            keys.push(changed.clone());
        }
        keys
    }

    fn tallied(&self, world: &World, namespace: &str, _collection: &str) -> Vec<ObjectKey> {
        quotas_of(world, namespace)
    }

    fn plan(&self, world: &World, key: &ObjectKey, context: Context) -> Plan {
        let mut plan = Plan::default();
        let Some(quota) = world.typed::<ResourceQuota>(&key.namespace, &key.name) else {
            return plan;
        };
        let used = used(world, quota, context.now);
        plan.requeue_after = next_overdue(world, &key.namespace, context.now);
        let hard = quota
            .spec
            .as_ref()
            .and_then(|spec| spec.hard.clone())
            .unwrap_or_default();
        let status = quota.status.clone().unwrap_or_default();
        if status.hard.unwrap_or_default() == hard && amounts(status.used.as_ref()) == used {
            return plan;
        }
        let mut counted = quota.clone();
        let status = counted.status.get_or_insert_default();
        status.hard = Some(hard);
        status.used = Some(
            used.iter()
                .map(|(name, amount)| (name.clone(), Text(amount.to_string())))
                .collect(),
        );
        plan.actions.push(Action::UpdateStatus(Box::new(counted.into())));
        plan
    }
}

/// What of the quota's resources is used by all objects that it is about.
#[must_use]
pub fn used(world: &World, quota: &ResourceQuota, now: Timestamp) -> Amounts {
    let namespace = facts::namespace(&quota.metadata);
    let hard = quota.spec.as_ref().and_then(|spec| spec.hard.as_ref());
    let mut used: Amounts = hard
        .into_iter()
        .flatten()
        .map(|(name, _)| (name.clone(), Quantity::ZERO))
        .collect();
    let pods = world.in_namespace::<Pod>(namespace).map(Counted::Pod);
    let claims = world
        .in_namespace::<PersistentVolumeClaim>(namespace)
        .map(Counted::Claim);
    let services = world.in_namespace::<Service>(namespace).map(Counted::Service);
    for item in pods.chain(claims).chain(services) {
        if used.keys().any(|name| item.is_counted_by(name)) && scope::covers(quota, item) {
            let mut usage = item.usage(now);
            usage.retain(|name, _| used.contains_key(name));
            pod_resources::add(&mut used, &usage);
        }
    }
    if !scope::is_scoped(quota) {
        for (name, amount) in &mut used {
            if let Some(collection) = usage::counted_collection(name)
                && Counted::new(&collection, None).is_some()
            {
                *amount = Quantity::from_value(world.tally(namespace, &collection));
            }
        }
    }
    used
}

/// The amounts of a list that are quantities.
#[must_use]
pub fn amounts(list: Option<&std::collections::BTreeMap<String, Text>>) -> Amounts {
    list.into_iter()
        .flatten()
        .filter_map(|(name, text)| Some((name.clone(), Quantity::parse(&text.0).ok()?)))
        .collect()
}

fn quotas_of(world: &World, namespace: &str) -> Vec<ObjectKey> {
    world
        .of_kind_in(Kind::ResourceQuota, namespace)
        .map(Object::key)
        .collect()
}

/// Whether quotas see a difference between the two versions, now or when time passes.
fn changes_usage(changed: &ObjectKey, before: Option<&Object>, after: Option<&Object>) -> bool {
    let (Some(before), Some(after)) = (before, after) else {
        return true;
    };
    let collection = changed.kind.collection();
    let seen = |object| {
        let item = Counted::new(&collection, Some(object))?;
        Some(item.usage(Timestamp::UNIX_EPOCH))
    };
    match (before, after) {
        (Object::Pod(before), Object::Pod(after)) => {
            usage::overdue_at(before) != usage::overdue_at(after)
                || deadline(before) != deadline(after)
                || seen_pod(before) != seen_pod(after)
        }
        // Which scopes it is in follows from its status, too.
        (Object::PersistentVolumeClaim(before), Object::PersistentVolumeClaim(after)) => before != after,
        (before, after) => seen(before) != seen(after),
    }
}

fn seen_pod(pod: &Pod) -> Amounts {
    Counted::Pod(pod).usage(Timestamp::UNIX_EPOCH)
}

fn deadline(pod: &Pod) -> Option<i64> {
    pod.spec.as_ref()?.active_deadline_seconds
}

/// How long until a pod that is being deleted no longer counts, although it is there.
fn next_overdue(world: &World, namespace: &str, now: Timestamp) -> Option<Duration> {
    world
        .in_namespace::<Pod>(namespace)
        .filter(|pod| !facts::is_finished(pod))
        .filter_map(usage::overdue_at)
        .filter(|overdue| *overdue >= now)
        .min()
        .map(|overdue| facts::elapsed(now, overdue) + Duration::from_secs(1))
}

#[cfg(test)]
mod tests;
