//! In which order surplus pods go.
//!
//! Source: Kubernetes' `ActivePodsWithRanks` and the annotation `controller.kubernetes.io/pod-deletion-cost`.

use std::{cmp::Reverse, collections::HashMap};

use api::{Timestamp, k8s_openapi::api::core::v1::Pod};

use crate::facts;

/// What a pod weighs when some have to go; the smallest goes first.
type Rank<'a> = (
    bool,           // without a node before with one
    u8,             // Pending, Unknown, Running
    bool,           // not ready before ready
    i64,            // cheaper before dearer
    Reverse<usize>, // of a node with more of its kind before one with fewer
    u32,            // ready for a shorter time, by powers of two
    Reverse<i32>,   // more restarts before fewer
    u32,            // younger before older, by powers of two
    &'a str,        // last of all by uid, to be the same each time
);

/// The pods in the order in which they should go. `related` are the active pods that share the owner's work, these
/// among them; `now` gives ages.
pub(super) fn first_to_go<'a>(active: &[&'a Pod], related: &[&Pod], now: Timestamp) -> Vec<&'a Pod> {
    let mut per_node: HashMap<&str, usize> = HashMap::new();
    for node in related.iter().filter_map(|pod| facts::node_name(pod)) {
        *per_node.entry(node).or_default() += 1;
    }
    let mut order = active.to_vec();
    order.sort_by_cached_key(|pod| {
        let node = facts::node_name(pod);
        let doubled = node.and_then(|node| per_node.get(node)).copied().unwrap_or(0);
        let rank: Rank<'a> = (
            node.is_some(),
            match facts::phase(pod) {
                "Pending" => 0,
                "Running" => 2,
                _ => 1,
            },
            facts::is_ready(pod),
            deletion_cost(pod),
            Reverse(doubled),
            facts::ready_since(pod).map_or(0, |since| magnitude(since, now)),
            Reverse(restarts(pod)),
            pod.metadata
                .creation_timestamp
                .as_ref()
                .map_or(0, |created| magnitude(created.0, now)),
            facts::uid(&pod.metadata),
        );
        rank
    });
    order
}

fn deletion_cost(pod: &Pod) -> i64 {
    facts::annotation(&pod.metadata, "controller.kubernetes.io/pod-deletion-cost")
        .and_then(|cost| cost.parse().ok())
        .unwrap_or(0)
}

/// The logarithm of the age in seconds: ages that differ little count as the same, so that not always the youngest
/// of a batch go.
fn magnitude(since: Timestamp, now: Timestamp) -> u32 {
    facts::elapsed(since, now)
        .as_secs()
        .checked_ilog2()
        .map_or(0, |log| log + 1)
}

fn restarts(pod: &Pod) -> i32 {
    pod.status
        .iter()
        .flat_map(|status| status.container_statuses.iter().flatten())
        .map(|status| status.restart_count)
        .max()
        .unwrap_or(0)
}

#[cfg(test)]
mod tests;
