//! Removal of idle flows, and of those whose end is gone.
//!
//! A flow goes when neither direction had a packet for its limit (`dataplane::flow::idle_limit_s`). An entry that a
//! packet touches between the look and the removal is put back.
//! Never here: opening flows; the programs do that.

use std::collections::HashMap;

use dataplane::{
    flow::idle_limit_s,
    layout::{Flow, FlowKey},
};

use super::table::{Table, TableError};

/// Keys of the entries that may go at second `now_s` since boot.
pub(super) fn idle(entries: &[(FlowKey, Flow)], now_s: u32) -> Vec<usize> {
    let by_key: HashMap<&FlowKey, &Flow> = entries.iter().map(|(key, flow)| (key, flow)).collect();
    let is_idle = |key: &FlowKey, flow: &Flow| {
        let pair = by_key.get(&flow.pair_key(key.protocol));
        let seen = pair.map_or(0, |pair| pair.seen.get()).max(flow.seen.get());
        // A second of the future is one that another processor's clock has reached first.
        now_s.saturating_sub(seen) > idle_limit_s(key.protocol, flow.state.get())
    };
    entries
        .iter()
        .enumerate()
        .filter(|(_, (key, flow))| is_idle(key, flow))
        .map(|(index, _)| index)
        .collect()
}

/// Removes idle entries. Returns how many.
pub(super) fn collect(flows: &Table<FlowKey, Flow>, now_s: u32) -> Result<usize, TableError> {
    let entries = flows.entries()?;
    let mut removed = 0;
    for index in idle(&entries, now_s) {
        let (key, seen) = (&entries[index].0, entries[index].1.seen.get());
        let Some(taken) = flows.take(key)? else { continue };
        if taken.seen.get() == seen {
            removed += 1;
        } else {
            flows.put_absent(key, &taken)?;
        }
    }
    Ok(removed)
}

/// Removes the flows that `is_over` picks, both directions. Their next packets are refused, or start anew.
pub(super) fn purge(
    flows: &Table<FlowKey, Flow>,
    is_over: impl Fn(&FlowKey, &Flow) -> bool,
) -> Result<usize, TableError> {
    let mut over: Vec<FlowKey> = Vec::new();
    for (key, flow) in flows.entries()? {
        if is_over(&key, &flow) {
            over.extend([flow.pair_key(key.protocol), key]);
        }
    }
    over.sort_unstable();
    over.dedup();
    flows.delete_all(&over)?;
    Ok(over.len())
}

/// Seconds since boot as the programs count them.
pub(super) fn now_s() -> u32 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is valid for the call. The clock exists on every kernel that runs the programs.
    unsafe { libc::clock_gettime(libc::CLOCK_BOOTTIME, &mut time) };
    u32::try_from(time.tv_sec).unwrap_or(u32::MAX - 1) + 1
}

#[cfg(test)]
mod tests;
