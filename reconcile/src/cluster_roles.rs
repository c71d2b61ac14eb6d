//! Aggregated ClusterRoles: the rules of all that their selectors name.
//!
//! Source: Kubernetes, "Using RBAC Authorization": "Aggregated ClusterRoles".

use api::{
    Kind, Object, ObjectKey,
    k8s_openapi::api::rbac::v1::{ClusterRole, PolicyRule},
};

use crate::{
    facts, matching,
    plan::{Action, Context, Plan, Planner},
    world::World,
};

/// Plans the rules of one aggregated ClusterRole, by its key.
#[derive(Debug)]
pub(crate) struct ClusterRoles;

impl Planner for ClusterRoles {
    fn name(&self) -> &'static str {
        "clusterrole-aggregation-controller"
    }

    fn watches(&self) -> &'static [Kind] {
        &[Kind::ClusterRole]
    }

    fn affected(
        &self,
        world: &World,
        changed: &ObjectKey,
        before: Option<&Object>,
        after: Option<&Object>,
    ) -> Vec<ObjectKey> {
        let versions: Vec<&ClusterRole> = [before, after].into_iter().flatten().filter_map(Object::get).collect();
        world
            .all::<ClusterRole>()
            .filter(|role| role.aggregation_rule.is_some())
            .filter(|role| {
                role.metadata.name.as_deref() == Some(changed.name.as_str())
                    || versions.iter().any(|version| gathers(role, version))
            })
            .map(|role| ObjectKey::new(Kind::ClusterRole, "", role.metadata.name.clone().unwrap_or_default()))
            .collect()
    }

    fn plan(&self, world: &World, key: &ObjectKey, _context: Context) -> Plan {
        let mut plan = Plan::default();
        let Some(role) = world.typed::<ClusterRole>("", &key.name) else {
            return plan;
        };
        if role.aggregation_rule.is_none() || facts::is_terminating(&role.metadata) {
            return plan;
        }
        let rules = gathered(world, role);
        if role.rules.as_deref().unwrap_or_default() != rules {
            let mut filled = role.clone();
            filled.rules = Some(rules);
            plan.actions.push(Action::Update(Box::new(filled.into())));
        }
        plan
    }
}

/// Whether the rules of `other` belong to the aggregated `role`.
fn gathers(role: &ClusterRole, other: &ClusterRole) -> bool {
    let mut selectors = role
        .aggregation_rule
        .iter()
        .flat_map(|rule| rule.cluster_role_selectors.iter().flatten());
    role.metadata.name != other.metadata.name
        && selectors.any(|selector| matching::selects(selector, other.metadata.labels.as_ref()))
}

/// The rules of all that the role gathers, by the names of their roles, each rule once.
fn gathered(world: &World, role: &ClusterRole) -> Vec<PolicyRule> {
    let mut rules: Vec<PolicyRule> = Vec::new();
    for other in world.all::<ClusterRole>().filter(|other| gathers(role, other)) {
        for rule in other.rules.iter().flatten() {
            if !rules.contains(rule) {
                rules.push(rule.clone());
            }
        }
    }
    rules
}

#[cfg(test)]
mod tests;
