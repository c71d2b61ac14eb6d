//! How large each ReplicaSet of a deployment may be now.
//!
//! Rolling update: never more pods than `replicas + maxSurge`, never fewer available than `replicas - maxUnavailable`.
//! Source: Kubernetes' Deployment controller (rolling update, recreate, proportional scaling).

use std::collections::BTreeMap;

use api::k8s_openapi::{
    api::{
        apps::v1::{DeploymentSpec, ReplicaSet},
        core::v1::Pod,
    },
    apimachinery::pkg::util::intstr::IntOrString,
};

use super::{
    Subject,
    revisions::{self, Found, available, size},
};
use crate::{facts, world::World};

/// `spec.strategy`, with the numbers worked out for the deployment's size.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Strategy {
    /// Old pods go as new ones become available.
    RollingUpdate {
        /// Pods above `replicas`.
        surge: i32,
        /// Pods below `replicas` that may be unavailable.
        unavailable: i32,
    },
    /// All old pods go first.
    Recreate,
}

impl Strategy {
    pub(super) fn of(spec: &DeploymentSpec) -> Strategy {
        let strategy = spec.strategy.as_ref();
        if strategy.and_then(|strategy| strategy.type_.as_deref()) == Some("Recreate") {
            return Strategy::Recreate;
        }
        let rolling = strategy.and_then(|strategy| strategy.rolling_update.as_ref());
        let replicas = spec.replicas.unwrap_or(1).max(0);
        let quarter = IntOrString::String("25%".to_owned());
        let part = |value: Option<&IntOrString>, round| part_of(value.unwrap_or(&quarter), replicas, round);
        let surge = part(rolling.and_then(|rolling| rolling.max_surge.as_ref()), Round::Up);
        let unavailable = part(
            rolling.and_then(|rolling| rolling.max_unavailable.as_ref()),
            Round::Down,
        );
        Strategy::RollingUpdate {
            surge,
            // With neither, nothing could ever move.
            unavailable: if surge == 0 && unavailable == 0 { 1 } else { unavailable }.min(replicas),
        }
    }

    pub(super) fn surge(self) -> i32 {
        match self {
            Strategy::RollingUpdate { surge, .. } => surge,
            Strategy::Recreate => 0,
        }
    }

    pub(super) fn unavailable(self) -> i32 {
        match self {
            Strategy::RollingUpdate { unavailable, .. } => unavailable,
            Strategy::Recreate => 0,
        }
    }
}

#[derive(Debug, Clone, Copy)]
enum Round {
    Up,
    Down,
}

/// A number, or a percentage of `total`; zero if it is neither (the API server does not admit such).
fn part_of(value: &IntOrString, total: i32, round: Round) -> i32 {
    match value {
        IntOrString::Int(number) => (*number).max(0),
        IntOrString::String(text) => {
            let percent: i64 = text.trim_end_matches('%').parse().unwrap_or(0);
            let hundredfold = percent.max(0) * i64::from(total);
            let part = match round {
                Round::Up => (hundredfold + 99) / 100,
                Round::Down => hundredfold / 100,
            };
            i32::try_from(part).unwrap_or(i32::MAX)
        }
    }
}

/// What is to be done to the sets.
#[derive(Default)]
pub(super) struct Sizes<'a> {
    /// Create the set of the present template, of [`size_of_new`].
    pub(super) create_new: bool,
    /// Sets to bring to a size (or only to new annotations).
    pub(super) of_present: Vec<(&'a ReplicaSet, i32)>,
}

impl Subject<'_> {
    /// The most pods there may be.
    pub(super) fn max_total(&self) -> i32 {
        self.replicas.saturating_add(self.strategy.surge())
    }

    /// The fewest pods that must be available.
    fn min_available(&self) -> i32 {
        self.replicas - self.strategy.unavailable()
    }
}

/// The size that the new set may have now, given all present sets.
pub(super) fn size_of_new(subject: &Subject<'_>, found: &Found<'_>) -> i32 {
    let own = found.new.map_or(0, size);
    match subject.strategy {
        Strategy::Recreate => subject.replicas,
        Strategy::RollingUpdate { .. } => {
            // A set that was told to shrink counts with the pods it still has, or the surge would be exceeded
            // until it gets to it.
            let present = |set: &ReplicaSet| size(set).max(set.status.as_ref().map_or(0, |status| status.replicas));
            let room = subject.max_total() - found.all().map(present).sum::<i32>();
            own + room.min(subject.replicas - own).max(0)
        }
    }
}

/// True if the deployment's size changed since its sets were scaled: that goes before any rollout.
pub(super) fn was_scaled(subject: &Subject<'_>, found: &Found<'_>) -> bool {
    found
        .all()
        .filter(|set| size(set) > 0)
        .filter_map(revisions::desired_when_scaled)
        .any(|desired| desired != subject.replicas)
}

/// One step of a rolling update.
pub(super) fn roll<'a>(subject: &Subject<'_>, found: &Found<'a>) -> Sizes<'a> {
    let mut sizes = Sizes::default();
    let Some(new) = found.new else {
        sizes.create_new = true;
        return sizes;
    };
    let wanted = if size(new) > subject.replicas {
        subject.replicas
    } else {
        size_of_new(subject, found)
    };
    if wanted != size(new) || revisions::is_behind(subject, found, new) {
        sizes.of_present.push((new, wanted));
        return sizes;
    }
    let shrunk = shrink_old(subject, found, new);
    sizes.of_present.extend(
        found
            .old
            .iter()
            .copied()
            .filter_map(|set| Some((set, *shrunk.get(facts::uid(&set.metadata))?))),
    );
    sizes
}

/// Old sets that can give pods, by uid, with their new size.
fn shrink_old<'a>(subject: &Subject<'_>, found: &Found<'a>, new: &ReplicaSet) -> BTreeMap<&'a str, i32> {
    let mut sizes: BTreeMap<&str, i32> = BTreeMap::new();
    let unavailable_new = (size(new) - available(new)).max(0);
    let all: i32 = found.all().map(size).sum();
    let may_go = all - subject.min_available() - unavailable_new;
    if may_go <= 0 {
        return sizes;
    }
    // First the pods that serve nobody, so that a rollout that mends a broken one does not wait for it.
    let mut gone = 0;
    for set in &found.old {
        let broken = (size(set) - available(set)).min(may_go - gone);
        if broken > 0 {
            gone += broken;
            sizes.insert(facts::uid(&set.metadata), size(set) - broken);
        }
    }
    let mut surplus = found.all().map(available).sum::<i32>() - subject.min_available();
    for set in &found.old {
        let uid = facts::uid(&set.metadata);
        let present = sizes.get(uid).copied().unwrap_or_else(|| size(set));
        let give = present.min(surplus);
        if give > 0 {
            surplus -= give;
            sizes.insert(uid, present - give);
        }
    }
    sizes
}

/// One step of a recreation: first no old pods, then the new set.
pub(super) fn recreate<'a>(subject: &Subject<'_>, found: &Found<'a>, world: &World) -> Sizes<'a> {
    let mut sizes = Sizes::default();
    let running: Vec<_> = found.old.iter().copied().filter(|set| size(set) > 0).collect();
    if !running.is_empty() {
        sizes.of_present = running.into_iter().map(|set| (set, 0)).collect();
        return sizes;
    }
    let holds_pods = |set: &&ReplicaSet| {
        world
            .controlled_by::<Pod>(facts::uid(&set.metadata))
            .any(|pod| !facts::is_finished(pod))
    };
    if found.old.iter().any(holds_pods) {
        return sizes;
    }
    match found.new {
        None => sizes.create_new = true,
        Some(new) if size(new) != subject.replicas || revisions::is_behind(subject, found, new) => {
            sizes.of_present.push((new, subject.replicas));
        }
        Some(_) => {}
    }
    sizes
}

/// Sizes after the deployment itself was scaled, or while it is paused: in proportion, so that a rollout under way
/// keeps its balance.
pub(super) fn scale<'a>(subject: &Subject<'_>, found: &Found<'a>) -> Sizes<'a> {
    let mut sizes = Sizes::default();
    let mut active = found.all().filter(|set| size(set) > 0);
    let only = match (active.next(), active.next()) {
        (None, _) => found.new.or(found.old.last().copied()),
        (Some(only), None) => Some(only),
        (Some(_), Some(_)) => None,
    };
    if let Some(only) = only {
        if size(only) != subject.replicas || revisions::desired_when_scaled(only) != Some(subject.replicas) {
            sizes.of_present.push((only, subject.replicas));
        }
        return sizes;
    }
    if let Some(new) = found.new.filter(|new| {
        size(new) == subject.replicas
            && revisions::desired_when_scaled(new) == Some(subject.replicas)
            && available(new) == subject.replicas
    }) {
        debug_assert!(!found.old.iter().any(|old| old.metadata.uid == new.metadata.uid));
        sizes.of_present = found
            .old
            .iter()
            .copied()
            .filter(|set| size(set) > 0)
            .map(|set| (set, 0))
            .collect();
        return sizes;
    }
    if matches!(subject.strategy, Strategy::RollingUpdate { .. }) {
        sizes.of_present = in_proportion(subject, found);
    }
    sizes
}

fn in_proportion<'a>(subject: &Subject<'_>, found: &Found<'a>) -> Vec<(&'a ReplicaSet, i32)> {
    let mut sets: Vec<&ReplicaSet> = found.all().filter(|set| size(set) > 0).collect();
    let allowed = if subject.replicas > 0 { subject.max_total() } else { 0 };
    let to_add = allowed - sets.iter().map(|set| size(set)).sum::<i32>();
    let created = |set: &ReplicaSet| set.metadata.creation_timestamp.as_ref().map(|time| time.0);
    // The largest gets what does not divide evenly; among equals the newest grows and the oldest shrinks first.
    sets.sort_by(|a, b| {
        size(b).cmp(&size(a)).then_with(|| match to_add > 0 {
            true => created(b).cmp(&created(a)),
            false => created(a).cmp(&created(b)),
        })
    });
    let mut added = 0;
    let mut sizes: Vec<(&ReplicaSet, i32)> = sets
        .into_iter()
        .map(|set| {
            let left = to_add - added;
            let share = share_of(subject, set);
            let share = if to_add > 0 {
                share.clamp(0, left.max(0))
            } else {
                share.clamp(left.min(0), 0)
            };
            added += share;
            (set, size(set) + share)
        })
        .collect();
    if let Some((_, first)) = sizes.first_mut() {
        *first = (*first + to_add - added).max(0);
    }
    sizes
}

/// How much a set would grow (or, negative, shrink) to keep its part of the whole.
fn share_of(subject: &Subject<'_>, set: &ReplicaSet) -> i32 {
    let own = size(set);
    if subject.replicas == 0 {
        return -own;
    }
    let total_before = revisions::max_when_scaled(set)
        .filter(|total| *total > 0)
        .or_else(|| subject.deployment.status.as_ref()?.replicas)
        .filter(|total| *total > 0);
    let Some(total_before) = total_before else {
        return 0;
    };
    let wanted = i64::from(own) * i64::from(subject.max_total());
    let total_before = i64::from(total_before);
    let rounded = (2 * wanted + total_before) / (2 * total_before);
    i32::try_from(rounded).unwrap_or(i32::MAX) - own
}
