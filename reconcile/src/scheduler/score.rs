//! Which of the nodes that can take a pod is best: each criterion gives 0 to 100, weighted as in Kubernetes.

use super::filter::{Candidate, Wanted};
use crate::{matching, world::usage::Amounts};

/// What one criterion gives at most.
const SCORE_MAX: i64 = 100;

const WEIGHT_TAINTS: i64 = 3;
const WEIGHT_AFFINITY: i64 = 2;
const WEIGHT_SPREAD: i64 = 2;
const WEIGHT_FREE: i64 = 1;
const WEIGHT_BALANCE: i64 = 1;

/// A score for each node, in the same order. `nodes` come with how many pods of the same group they hold.
pub(super) fn scores(wanted: &Wanted<'_>, nodes: &[(&Candidate<'_>, usize)]) -> Vec<i64> {
    let by =
        |score: &dyn Fn(&Candidate<'_>) -> i64| -> Vec<i64> { nodes.iter().map(|(node, _)| score(node)).collect() };
    let taints = lower_is_better(&by(&|node| undesired_taints(wanted, node)));
    let affinity = higher_is_better(&by(&|node| attraction(wanted, node)));
    let held: Vec<i64> = nodes
        .iter()
        .map(|(_, held)| i64::try_from(*held).unwrap_or(i64::MAX))
        .collect();
    let spread = lower_is_better(&held);
    let free = by(&|node| free_share(wanted, node));
    let balance = by(&|node| balance(wanted, node));
    (0..nodes.len())
        .map(|at| {
            taints[at] * WEIGHT_TAINTS
                + affinity[at] * WEIGHT_AFFINITY
                + spread[at] * WEIGHT_SPREAD
                + free[at] * WEIGHT_FREE
                + balance[at] * WEIGHT_BALANCE
        })
        .collect()
}

fn higher_is_better(raw: &[i64]) -> Vec<i64> {
    let most = raw.iter().copied().max().unwrap_or(0);
    raw.iter()
        .map(|value| if most == 0 { 0 } else { value * SCORE_MAX / most })
        .collect()
}

fn lower_is_better(raw: &[i64]) -> Vec<i64> {
    higher_is_better(raw)
        .into_iter()
        .map(|score| SCORE_MAX - score)
        .collect()
}

fn undesired_taints(wanted: &Wanted<'_>, node: &Candidate<'_>) -> i64 {
    let undesired = node
        .taints()
        .filter(|taint| taint.effect == "PreferNoSchedule")
        .filter(|taint| {
            !wanted
                .tolerations()
                .iter()
                .any(|toleration| matching::tolerates(toleration, taint))
        });
    i64::try_from(undesired.count()).unwrap_or(i64::MAX)
}

fn attraction(wanted: &Wanted<'_>, node: &Candidate<'_>) -> i64 {
    wanted
        .node_affinity()
        .iter()
        .flat_map(|affinity| {
            affinity
                .preferred_during_scheduling_ignored_during_execution
                .iter()
                .flatten()
        })
        .filter(|preferred| matching::node_satisfies_term(&preferred.preference, node.node))
        .map(|preferred| i64::from(preferred.weight))
        .sum()
}

/// Used parts of cpu and memory in thousandths, with this pod on the node.
fn used_shares(wanted: &Wanted<'_>, node: &Candidate<'_>) -> Vec<i64> {
    let amount = |amounts: &Amounts, resource: &str| amounts.get(resource).copied().unwrap_or(0);
    wanted
        .footprint
        .weights()
        .filter_map(|(resource, weight)| {
            let offered = amount(&node.allocatable, resource);
            let used = i128::from(amount(&node.used.weights, resource)) + i128::from(weight);
            let share = (used * 1000).checked_div(i128::from(offered))?;
            Some(i64::try_from(share.clamp(0, 1000)).unwrap_or(1000))
        })
        .collect()
}

fn free_share(wanted: &Wanted<'_>, node: &Candidate<'_>) -> i64 {
    let shares = used_shares(wanted, node);
    if shares.is_empty() {
        return 0;
    }
    let count = i64::try_from(shares.len()).unwrap_or(1);
    shares.iter().map(|used| (1000 - used) / 10).sum::<i64>() / count
}

/// Best where cpu and memory are used alike: half the difference of the two is their standard deviation.
fn balance(wanted: &Wanted<'_>, node: &Candidate<'_>) -> i64 {
    match used_shares(wanted, node).as_slice() {
        [one, other] => SCORE_MAX - (one - other).abs() / 20,
        _ => 0,
    }
}

#[cfg(test)]
mod tests;
