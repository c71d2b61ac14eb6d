//! Events that differ in nothing but their message: from the tenth message on they become one. Pure.
//!
//! Source: client-go, `tools/record`, EventAggregator.

use std::{
    collections::{HashMap, HashSet},
    time::{Duration, Instant},
};

use super::{REMEMBERED_MAX, Record};

/// Different messages of similar events before these are combined, as in Kubernetes.
const MESSAGES_MAX: usize = 10;
/// Similar events that are further apart than this have nothing to do with each other, as in Kubernetes.
const SIMILAR_WITHIN: Duration = Duration::from_secs(600);
/// What the message of a combined event begins with; clients know it.
const COMBINED: &str = "(combined from similar events): ";

/// Which messages similar events had.
#[derive(Default)]
pub(super) struct Similar {
    /// By the event without its message.
    groups: HashMap<Record, Group>,
}

struct Group {
    messages: HashSet<String>,
    last: Instant,
}

/// An event as it is to be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Told {
    /// The same for what is counted as one event.
    pub(super) same: Record,
    /// What is written.
    pub(super) record: Record,
}

impl Similar {
    /// Combines an event with those that are similar, if there are many.
    pub(super) fn combine(&mut self, record: Record, clock: Instant) -> Told {
        let same = Record {
            message: String::new(),
            ..record.clone()
        };
        if !self.is_combined(&same, &record.message, clock) {
            return Told {
                same: record.clone(),
                record,
            };
        }
        let message = format!("{COMBINED}{}", record.message);
        Told {
            same,
            record: Record { message, ..record },
        }
    }

    fn is_combined(&mut self, same: &Record, message: &str, clock: Instant) -> bool {
        let is_over = |group: &Group| clock.duration_since(group.last) > SIMILAR_WITHIN;
        if let Some(group) = self.groups.get_mut(same) {
            if is_over(group) {
                group.messages.clear();
            }
            group.last = clock;
            if group.messages.contains(message) {
                return false;
            }
            if group.messages.len() + 1 < MESSAGES_MAX {
                group.messages.insert(message.to_owned());
                return false;
            }
            return true;
        }
        if self.groups.len() >= REMEMBERED_MAX {
            self.groups.retain(|_, group| !is_over(group));
        }
        if self.groups.len() < REMEMBERED_MAX {
            let group = Group {
                messages: HashSet::from([message.to_owned()]),
                last: clock,
            };
            self.groups.insert(same.clone(), group);
        }
        false
    }
}

#[cfg(test)]
mod tests;
