//! Whether a namespace's quotas have room for an object.
//!
//! Pure: functions of the object and of the quotas. What counts is `reconcile::quota`'s.
//! Source: Kubernetes, "Resource Quotas"; the admission plugin ResourceQuota, by behaviour.

use std::collections::{BTreeMap, BTreeSet};

use api::{
    Timestamp,
    k8s_openapi::api::core::v1::{Container, Pod, ResourceQuota},
    quantity::Quantity,
};
use reconcile::{
    pod_resources::{self, Amounts, Side},
    quota::{amounts, scope, usage::Counted},
};

/// What every container must name if a quota is about it.
const NAMED_BY_CONTAINERS: [&str; 6] = [
    "cpu",
    "limits.cpu",
    "limits.memory",
    "memory",
    "requests.cpu",
    "requests.memory",
];

/// An object about to be written.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wish<'a> {
    /// As it is to be.
    pub(crate) new: Counted<'a>,
    /// As it is; none if it is created.
    pub(crate) old: Option<Counted<'a>>,
    /// What becomes of a wish for more than there is.
    pub(crate) excess: Excess,
}

/// What becomes of a wish for more than a quota leaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Excess {
    /// It is refused.
    Refused,
    /// It is counted: it tells what has happened already.
    Counted,
}

/// A quota that takes the object in.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Grown {
    /// Its place in the list of quotas.
    pub(crate) index: usize,
    /// Its `status.used` then.
    pub(crate) used: Amounts,
}

/// A quota has no room for the object. Displays in Kubernetes' words.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub(crate) enum QuotaRefusal {
    /// Containers do not name what the quota is about.
    #[error("failed quota: {quota}: must specify {missing}")]
    Unnamed {
        /// Its name.
        quota: String,
        /// `limits.cpu for: a,b; memory for: a`
        missing: String,
    },
    /// It was not counted yet how much is used.
    #[error("status unknown for quota: {quota}, resources: {resources}")]
    Unknown {
        /// Its name.
        quota: String,
        /// Of which resources.
        resources: String,
    },
    /// The object asks for less than nothing.
    #[error("quota usage is negative for resource(s): {0}")]
    Negative(String),
    /// There is not as much left.
    #[error("exceeded quota: {quota}, requested: {requested}, used: {used}, limited: {limited}")]
    Exceeded {
        /// Its name.
        quota: String,
        /// `cpu=1,pods=1`
        requested: String,
        /// As much is used, of the same resources.
        used: String,
        /// As much may be used.
        limited: String,
    },
}

/// What becomes of the quotas with the object; quotas that do not count it are left out.
///
/// # Errors
/// Why there is no room for it.
pub(crate) fn decide(quotas: &[ResourceQuota], wish: &Wish<'_>, now: Timestamp) -> Result<Vec<Grown>, QuotaRefusal> {
    let concerned: Vec<Concerned<'_>> = quotas
        .iter()
        .enumerate()
        .filter_map(|(index, quota)| Concerned::new(index, quota, wish.new))
        .collect();
    for quota in &concerned {
        quota.check(wish.new)?;
    }
    if concerned.is_empty() {
        return Ok(Vec::new());
    }
    let usage = wish.new.usage(now);
    let negative: Vec<&str> = usage
        .iter()
        .filter(|(_, amount)| amount.is_negative())
        .map(|(name, _)| name.as_str())
        .collect();
    if !negative.is_empty() {
        return Err(QuotaRefusal::Negative(negative.join(",")));
    }
    let mut grown = Vec::new();
    for quota in concerned {
        // What it took before is counted, if the quota was about it.
        let before = wish.old.filter(|old| quota.is_about(*old)).map(|old| old.usage(now));
        let more = more(&usage, before.as_ref(), &quota.hard);
        if more.is_empty() {
            continue;
        }
        let used = quota.with(&more, wish.excess)?;
        grown.push(Grown {
            index: quota.index,
            used,
        });
    }
    Ok(grown)
}

/// A quota that is about the object.
struct Concerned<'a> {
    index: usize,
    quota: &'a ResourceQuota,
    /// Its `status.hard`.
    hard: Amounts,
    /// Its `status.used`.
    used: Amounts,
    /// The resources of it that count the object.
    names: BTreeSet<String>,
}

impl<'a> Concerned<'a> {
    fn new(index: usize, quota: &'a ResourceQuota, item: Counted<'_>) -> Option<Concerned<'a>> {
        let status = quota.status.as_ref()?;
        let hard = amounts(status.hard.as_ref());
        let names: BTreeSet<String> = hard.keys().filter(|name| item.is_counted_by(name)).cloned().collect();
        (!names.is_empty() && scope::covers(quota, item)).then(|| Concerned {
            index,
            quota,
            hard,
            used: amounts(status.used.as_ref()),
            names,
        })
    }

    fn name(&self) -> String {
        self.quota.metadata.name.clone().unwrap_or_default()
    }

    fn is_about(&self, item: Counted<'_>) -> bool {
        self.hard.keys().any(|name| item.is_counted_by(name)) && scope::covers(self.quota, item)
    }

    fn check(&self, item: Counted<'_>) -> Result<(), QuotaRefusal> {
        if let Counted::Pod(pod) = item {
            let missing = missing(pod, &self.names);
            if !missing.is_empty() {
                return Err(QuotaRefusal::Unnamed {
                    quota: self.name(),
                    missing,
                });
            }
        }
        if self.names.iter().any(|name| !self.used.contains_key(name)) {
            let names: Vec<&str> = self.names.iter().map(String::as_str).collect();
            return Err(QuotaRefusal::Unknown {
                quota: self.name(),
                resources: names.join(","),
            });
        }
        Ok(())
    }

    /// What is used with so much more.
    fn with(&self, more: &Amounts, excess: Excess) -> Result<Amounts, QuotaRefusal> {
        let mut used = self.used.clone();
        pod_resources::add(&mut used, more);
        let exceeded: Vec<&String> = more.keys().filter(|name| used[*name] > self.hard[*name]).collect();
        if excess == Excess::Counted || exceeded.is_empty() {
            return Ok(used);
        }
        let shown = |amounts: &Amounts| {
            let list = exceeded.iter().map(|name| {
                let amount = amounts.get(*name).copied().unwrap_or(Quantity::ZERO);
                format!("{name}={amount}")
            });
            list.collect::<Vec<_>>().join(",")
        };
        Err(QuotaRefusal::Exceeded {
            quota: self.name(),
            requested: shown(more),
            used: shown(&self.used),
            limited: shown(&self.hard),
        })
    }
}

/// How much more than before the object takes of each resource of the quota. Less is nothing: what becomes free is
/// counted after it has become free.
fn more(usage: &Amounts, before: Option<&Amounts>, hard: &Amounts) -> Amounts {
    usage
        .iter()
        .filter(|(name, _)| hard.contains_key(*name))
        .map(|(name, amount)| {
            let before = before.and_then(|before| before.get(name)).copied();
            (name.clone(), amount.sub(before.unwrap_or(Quantity::ZERO)))
        })
        .filter(|(_, amount)| *amount > Quantity::ZERO)
        .collect()
}

/// What containers do not name although a quota is about it; empty if nothing is missing.
fn missing(pod: &Pod, counted: &BTreeSet<String>) -> String {
    let Some(spec) = &pod.spec else {
        return String::new();
    };
    let of_pod: BTreeSet<String> = [Side::Requests, Side::Limits]
        .into_iter()
        .flat_map(|side| pod_resources::of_pod(spec, side).flat_map(move |(name, _)| names(side, &name)))
        .collect();
    let mut missing: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for container in spec.containers.iter().chain(spec.init_containers.iter().flatten()) {
        let named = named(container);
        for name in NAMED_BY_CONTAINERS {
            if counted.contains(name) && !named.contains(name) && !of_pod.contains(name) {
                missing.entry(name).or_default().insert(&container.name);
            }
        }
    }
    let list = missing.into_iter().map(|(name, containers)| {
        let containers: Vec<&str> = containers.into_iter().collect();
        format!("{name} for: {}", containers.join(","))
    });
    list.collect::<Vec<_>>().join("; ")
}

/// The resources of quotas that the container names.
fn named(container: &Container) -> BTreeSet<String> {
    [Side::Requests, Side::Limits]
        .into_iter()
        .flat_map(|side| {
            let amounts = pod_resources::of_container(container, side);
            amounts.into_keys().flat_map(move |name| names(side, &name))
        })
        .collect()
}

/// How quotas call a resource that is requested or limited.
fn names(side: Side, name: &str) -> Vec<String> {
    match side {
        Side::Requests => vec![name.to_owned(), format!("requests.{name}")],
        Side::Limits => vec![format!("limits.{name}")],
    }
}

#[cfg(test)]
mod tests;
