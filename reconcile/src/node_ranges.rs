//! Each node's range of pod addresses, `spec.podCIDR`, out of the cluster's.
//!
//! All nodes are planned together, so that no two are given the same range. A range is free again when its node object
//! is gone. Never here: addresses of pods (the agent's).

use std::collections::{BTreeSet, HashSet};

use api::{Kind, Object, ObjectKey, k8s_openapi::api::core::v1::Node};
use ipnet::{IpNet, IpSubnets};

use crate::{
    facts,
    plan::{Action, Announcement, Context, Plan, Planner, Severity, Waiting},
    world::World,
};

const NAME: &str = "node-ipam-controller";

/// Plans the ranges of all nodes under one key.
#[derive(Debug)]
pub(crate) struct NodeRanges {
    pub(crate) cluster_cidr: IpNet,
    pub(crate) node_prefix_length: u8,
}

impl Planner for NodeRanges {
    fn name(&self) -> &'static str {
        NAME
    }

    fn watches(&self) -> &'static [Kind] {
        &[Kind::Node]
    }

    fn affected(
        &self,
        world: &World,
        _changed: &ObjectKey,
        before: Option<&Object>,
        after: Option<&Object>,
    ) -> Vec<ObjectKey> {
        let lacks = |object: Option<&Object>| {
            object
                .and_then(Object::get::<Node>)
                .is_some_and(|node| range(node).is_none())
        };
        // A node that comes without a range, or one that goes and leaves its range to others.
        let comes = lacks(after) && !lacks(before);
        let goes = after.is_none() && world.all::<Node>().any(|node| range(node).is_none());
        if comes || goes {
            vec![ObjectKey::new(Kind::Node, "", "")]
        } else {
            Vec::new()
        }
    }

    fn plan(&self, world: &World, _key: &ObjectKey, _context: Context) -> Plan {
        let mut plan = Plan::default();
        let mut without: Vec<&Node> = world.all::<Node>().filter(|node| range(node).is_none()).collect();
        if without.is_empty() {
            return plan;
        }
        without.sort_by(|a, b| {
            let created = |node: &Node| node.metadata.creation_timestamp.as_ref().map(|time| time.0);
            created(a)
                .cmp(&created(b))
                .then_with(|| a.metadata.name.cmp(&b.metadata.name))
        });
        let taken: Vec<IpNet> = world.all::<Node>().filter_map(range).collect();
        let exact: HashSet<IpNet> = taken.iter().map(IpNet::trunc).collect();
        // Ranges of another size, from another configuration or set by hand, are compared one by one.
        let odd: BTreeSet<IpNet> = exact
            .iter()
            .copied()
            .filter(|range| range.prefix_len() != self.node_prefix_length)
            .collect();
        let overlaps_odd = |range: &IpNet| odd.iter().any(|odd| odd.contains(range) || range.contains(odd));
        let mut free = self
            .subnets()
            .into_iter()
            .flatten()
            .filter(|range| !exact.contains(range) && !overlaps_odd(range));
        for node in without {
            match free.next() {
                Some(range) => {
                    let mut given = node.clone();
                    let spec = given.spec.get_or_insert_default();
                    spec.pod_cidr = Some(range.to_string());
                    spec.pod_cidrs = Some(vec![range.to_string()]);
                    plan.actions.push(Action::Update(Box::new(given.into())));
                }
                None => self.refuse(node, &mut plan),
            }
        }
        plan
    }
}

impl NodeRanges {
    fn subnets(&self) -> Option<IpSubnets> {
        self.cluster_cidr.subnets(self.node_prefix_length).ok()
    }

    fn refuse(&self, node: &Node, plan: &mut Plan) {
        let key = ObjectKey::new(Kind::Node, "", facts::name(&node.metadata));
        let message = format!(
            "no range of /{} is left in {} for node {}",
            self.node_prefix_length, self.cluster_cidr, key.name
        );
        plan.actions.push(Action::Announce(Announcement {
            about: key.clone(),
            uid: facts::uid(&node.metadata).to_owned(),
            severity: Severity::Warning,
            reason: "CIDRNotAvailable",
            message: message.clone(),
            source: NAME,
        }));
        plan.waiting_on.push(Waiting {
            reason: "CIDRNotAvailable",
            message,
            on: Some(key),
        });
    }
}

fn range(node: &Node) -> Option<IpNet> {
    node.spec.as_ref()?.pod_cidr.as_deref()?.parse().ok()
}

#[cfg(test)]
mod tests;
