//! Removal of idle flows, and of those whose end is gone.
//!
//! A flow goes as a whole, when neither direction had a packet for its limit (`dataplane::flow::idle_limit_s`). One that
//! a packet touches between the look and the removal is put back as a whole.
//! Never here: opening flows; the programs do that.

use std::collections::HashMap;

use dataplane::{
    flow::idle_limit_s,
    layout::{Flow, FlowKey, joint_state},
};

use super::table::{Table, TableError};

/// Seconds without a packet after which a half goes: it is not a flow that a program is just opening.
const HALF_LIMIT_S: u32 = 10;

/// All entries, and which are of one flow.
pub(super) struct Flows<'a> {
    entries: &'a [(FlowKey, Flow)],
    by_key: HashMap<&'a FlowKey, usize>,
}

impl<'a> Flows<'a> {
    pub(super) fn new(entries: &'a [(FlowKey, Flow)]) -> Flows<'a> {
        let by_key = entries.iter().enumerate().map(|(index, (key, _))| (key, index));
        Flows {
            entries,
            by_key: by_key.collect(),
        }
    }

    /// The place of the other direction. None if it is gone; what has its key may be another flow's.
    fn pair_of(&self, index: usize) -> Option<usize> {
        let (key, flow) = &self.entries[index];
        let pair = *self.by_key.get(&flow.pair_key(key.protocol))?;
        self.entries[pair].1.leads_back_to(key).then_some(pair)
    }

    /// The state of the whole flow that an entry is of; see [`joint_state`].
    pub(super) fn state(&self, index: usize) -> u32 {
        let own = self.entries[index].1.state.get();
        self.pair_of(index)
            .map_or(own, |pair| joint_state(own, self.entries[pair].1.state.get()))
    }

    /// The flows that may go at second `now_s` since boot: both directions, or the one that is left.
    pub(super) fn idle(&self, now_s: u32) -> Vec<Vec<usize>> {
        let mut idle = Vec::new();
        for index in 0..self.entries.len() {
            let pair = self.pair_of(index);
            if pair.is_some_and(|pair| pair < index) {
                // It was looked at with the other.
                continue;
            }
            let (key, flow) = &self.entries[index];
            let (seen, limit_s) = match pair {
                Some(pair) => {
                    let seen = self.entries[pair].1.seen.get().max(flow.seen.get());
                    (seen, idle_limit_s(key.protocol, self.state(index)))
                }
                None => (flow.seen.get(), HALF_LIMIT_S),
            };
            // A second of the future is one that another processor's clock has reached first.
            if now_s.saturating_sub(seen) > limit_s {
                idle.push([Some(index), pair].into_iter().flatten().collect());
            }
        }
        idle
    }
}

/// Removes idle entries. Returns how many.
pub(super) fn collect(flows: &Table<FlowKey, Flow>, now_s: u32) -> Result<usize, TableError> {
    let entries = flows.entries()?;
    let mut removed = 0;
    for directions in Flows::new(&entries).idle(now_s) {
        let mut taken = Vec::new();
        let mut is_used = false;
        for index in directions {
            let (key, known) = &entries[index];
            if let Some(flow) = flows.take(key)? {
                is_used |= flow.seen.get() != known.seen.get();
                taken.push((key, flow));
            }
        }
        if is_used {
            // Both, or a packet would have left a half.
            for (key, flow) in taken {
                flows.put_absent(key, &flow)?;
            }
        } else {
            removed += taken.len();
        }
    }
    Ok(removed)
}

/// Removes the flows that `is_over` picks, both directions. Their next packets are refused, or start anew.
pub(super) fn purge(
    flows: &Table<FlowKey, Flow>,
    is_over: impl Fn(&FlowKey, &Flow) -> bool,
) -> Result<usize, TableError> {
    let entries = flows.entries()?;
    let known = Flows::new(&entries);
    let mut over: Vec<FlowKey> = Vec::new();
    for (index, (key, flow)) in entries.iter().enumerate() {
        if is_over(key, flow) {
            over.push(*key);
            over.extend(known.pair_of(index).map(|pair| entries[pair].0));
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
