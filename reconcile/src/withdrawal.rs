//! Which stops are allowed: a pod may stop once no node sends it new connections.
//!
//! A pure fold over what the server sees: pods that begin to stop, slices that list them, nodes that report what they
//! have programmed. No clock, no stream: the caller passes both in and sends what comes out.
//!
//! ```text
//! listed ──(deletion)──▶ stopping ──(every slice says terminating, at revision R)──▶ left at R
//!                           │                                                            │
//!                           │ wait_max passed              every connected node has programmed R
//!                           ▼                                                            ▼
//!                        allowed ◀───────────────────────────────────────────────────────┘
//! ```

use std::{
    collections::{BTreeMap, HashMap},
    time::Duration,
};

use api::{
    Timestamp,
    k8s_openapi::api::{core::v1::Pod, discovery::v1::EndpointSlice},
};

use crate::facts;

/// How long a pod waits for nodes that do not answer. Long enough for any live node to program a delta (milliseconds)
/// and to reconnect after a restart of its agent; short beside the usual 30 s of grace.
pub const WAIT_MAX: Duration = Duration::from_secs(5);

/// A pod that may stop now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Allowed {
    /// The node that runs it: whom to tell.
    pub node: String,
    /// The pod.
    pub pod_uid: String,
    /// What made it so.
    pub by: AllowedBy,
}

/// Why a pod may stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AllowedBy {
    /// Every connected node has it out of its services.
    EveryNode,
    /// The longest wait passed; a node may still send it connections.
    Timeout,
}

#[derive(Debug, Clone)]
struct Stopping {
    node: String,
    since: Timestamp,
    /// The revision at which the last slice stopped to offer it.
    left_at: Option<u64>,
    is_allowed: bool,
}

/// The pods that stop, and what holds each back.
#[derive(Debug, Clone)]
pub struct Withdrawals {
    wait_max: Duration,
    /// By pod uid; from the pod's deletion to its end.
    stopping: BTreeMap<String, Stopping>,
    /// In how many slices a pod is listed without being marked as terminating, by uid.
    offered: HashMap<String, usize>,
    /// The revision up to which each connected node's maps are current.
    programmed: BTreeMap<String, u64>,
    /// Revision of the newest slice seen.
    last_slice: u64,
}

impl Withdrawals {
    /// Nothing stops and no node is connected. Feed every pod and slice there is as a change from nothing, slices first.
    #[must_use]
    pub fn new(wait_max: Duration) -> Withdrawals {
        Withdrawals {
            wait_max,
            stopping: BTreeMap::new(),
            offered: HashMap::new(),
            programmed: BTreeMap::new(),
            last_slice: 0,
        }
    }

    /// A pod came, changed or went.
    pub fn pod_changed(&mut self, before: Option<&Pod>, after: Option<&Pod>, now: Timestamp) {
        if let Some(before) = before
            && after.is_none_or(|after| after.metadata.uid != before.metadata.uid)
        {
            self.stopping.remove(facts::uid(&before.metadata));
        }
        let Some(pod) = after.filter(|pod| facts::is_terminating(&pod.metadata)) else {
            return;
        };
        let Some(node) = facts::node_name(pod) else { return };
        let uid = facts::uid(&pod.metadata);
        if self.stopping.contains_key(uid) {
            return;
        }
        // Nobody offers it now, but a node may not yet know the slice that took it out.
        let left_at = (!self.offered.contains_key(uid)).then_some(self.last_slice);
        self.stopping.insert(
            uid.to_owned(),
            Stopping {
                node: node.to_owned(),
                since: now,
                left_at,
                is_allowed: false,
            },
        );
    }

    /// A slice came, changed or went, at this revision.
    pub fn slice_changed(&mut self, revision: u64, before: Option<&EndpointSlice>, after: Option<&EndpointSlice>) {
        self.last_slice = self.last_slice.max(revision);
        for uid in after.into_iter().flat_map(offered_by) {
            match self.offered.get_mut(uid) {
                Some(count) => *count += 1,
                None => {
                    self.offered.insert(uid.to_owned(), 1);
                }
            }
        }
        for uid in before.into_iter().flat_map(offered_by) {
            if let Some(count) = self.offered.get_mut(uid) {
                *count -= 1;
                if *count == 0 {
                    self.offered.remove(uid);
                }
            }
        }
        let touched = [before, after]
            .into_iter()
            .flatten()
            .flat_map(|slice| slice.endpoints.iter().flatten())
            .filter_map(|endpoint| endpoint.target_ref.as_ref()?.uid.as_deref());
        for uid in touched {
            if let Some(pod) = self.stopping.get_mut(uid) {
                pod.left_at = match (self.offered.contains_key(uid), pod.left_at) {
                    (true, _) => None,
                    (false, None) => Some(revision),
                    (false, Some(left_at)) => Some(left_at),
                };
            }
        }
    }

    /// A node's stream is up; it has programmed nothing until it says so.
    pub fn node_connected(&mut self, node: &str) {
        self.programmed.insert(node.to_owned(), 0);
    }

    /// A node's stream is down: nobody waits for it. It keeps the connections it has, and gets a full state when it
    /// comes back.
    pub fn node_disconnected(&mut self, node: &str) {
        self.programmed.remove(node);
    }

    /// Every network change up to `revision` is in the node's maps. A node that has acknowledged all it was sent has
    /// programmed everything up to the revision that the sender has looked at, whether or not that held a change for it.
    pub fn node_programmed(&mut self, node: &str, revision: u64) {
        if let Some(programmed) = self.programmed.get_mut(node) {
            *programmed = revision.max(*programmed);
        }
    }

    /// The pods that may stop since the last call: each is answered once. Costs the number of pods that stop.
    pub fn newly_allowed(&mut self, now: Timestamp) -> Vec<Allowed> {
        let everywhere = self.programmed.values().copied().min().unwrap_or(u64::MAX);
        let mut allowed = Vec::new();
        for (uid, pod) in self.stopping.iter_mut().filter(|(_, pod)| !pod.is_allowed) {
            let by = if pod.left_at.is_some_and(|left_at| left_at <= everywhere) {
                AllowedBy::EveryNode
            } else if facts::elapsed(pod.since, now) >= self.wait_max {
                AllowedBy::Timeout
            } else {
                continue;
            };
            pod.is_allowed = true;
            allowed.push(Allowed {
                node: pod.node.clone(),
                pod_uid: uid.clone(),
                by,
            });
        }
        allowed
    }

    /// The pods of a node that may stop already: to be told again to an agent that connects anew.
    pub fn allowed_on<'a>(&'a self, node: &'a str) -> impl Iterator<Item = &'a str> {
        self.stopping
            .iter()
            .filter(move |(_, pod)| pod.is_allowed && pod.node == node)
            .map(|(uid, _)| uid.as_str())
    }

    /// When [`Withdrawals::newly_allowed`] is due although nothing changes.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Timestamp> {
        self.stopping
            .values()
            .filter(|pod| !pod.is_allowed)
            .map(|pod| pod.since)
            .min()
            .and_then(|since| since.checked_add(self.wait_max).ok())
    }
}

/// The uids of the pods that a slice lists and does not mark as terminating.
fn offered_by(slice: &EndpointSlice) -> impl Iterator<Item = &str> {
    slice
        .endpoints
        .iter()
        .flatten()
        .filter(|endpoint| {
            endpoint
                .conditions
                .as_ref()
                .is_none_or(|conditions| conditions.terminating != Some(true))
        })
        .filter_map(|endpoint| endpoint.target_ref.as_ref()?.uid.as_deref())
}

#[cfg(test)]
mod tests;
