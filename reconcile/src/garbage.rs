//! The garbage collector: objects whose owners are gone go too.
//!
//! An owner counts only if the object of that name still has the uid of the reference: a namesake is not the owner.
//! An owner that is being deleted decides by its finalizer what becomes of its dependents:
//!
//! ```text
//! (none)               background: dependents go once the owner is gone
//! foregroundDeletion   dependents go first; the finalizer goes when none that blocks is left
//! orphan               dependents lose the reference, then the finalizer goes
//! ```
//!
//! Source: Kubernetes documentation, garbage collection; API reference OwnerReference.

use api::{Kind, Object, ObjectKey, k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference, object::Scope};

use crate::{
    facts,
    plan::{Action, Context, Plan, Planner, Removal, Waiting},
    world::World,
};

const FOREGROUND: &str = "foregroundDeletion";
const ORPHAN: &str = "orphan";

/// Dependents handled in one plan of their owner; the rest follow when these are done.
const DEPENDENTS_PER_PLAN_MAX: usize = 500;

/// Plans every object by its own key: as a dependent of its owners and as the owner of its dependents.
#[derive(Debug, Default)]
pub(crate) struct Garbage;

impl Planner for Garbage {
    fn name(&self) -> &'static str {
        "garbage-collector"
    }

    fn watches(&self) -> &'static [Kind] {
        Kind::ALL
    }

    fn affected(
        &self,
        world: &World,
        changed: &ObjectKey,
        before: Option<&Object>,
        after: Option<&Object>,
    ) -> Vec<ObjectKey> {
        let is_same = |before: &Object, after: &Object| {
            let (one, other) = (before.metadata(), after.metadata());
            before.uid() == after.uid()
                && one.owner_references == other.owner_references
                && one.finalizers == other.finalizers
                && facts::is_terminating(one) == facts::is_terminating(other)
        };
        if let (Some(before), Some(after)) = (before, after)
            && is_same(before, after)
        {
            return Vec::new();
        }
        let mut keys = Vec::new();
        if let Some(after) = after
            && (after.metadata().owner_references.is_some() || facts::is_terminating(after.metadata()))
        {
            keys.push(changed.clone());
        }
        // Dependents look again when their owner goes, or begins to take them along.
        for version in [before, after].into_iter().flatten() {
            if after.is_none_or(|after| after.uid() != version.uid() || facts::has_finalizer(after, FOREGROUND)) {
                keys.extend(world.owned_by(version.uid()).map(Object::key));
            }
        }
        // An owner that waits looks again when a dependent goes or changes its references.
        for owner in before
            .iter()
            .flat_map(|before| before.metadata().owner_references.iter().flatten())
        {
            if let Some(owner) = world.by_uid(&owner.uid)
                && facts::is_terminating(owner.metadata())
            {
                keys.push(owner.key());
            }
        }
        keys.sort();
        keys.dedup();
        keys
    }

    fn plan(&self, world: &World, key: &ObjectKey, _context: Context) -> Plan {
        let Some(object) = world.get(key) else {
            return Plan::default();
        };
        if !facts::is_terminating(object.metadata()) {
            return as_dependent(world, object);
        }
        if facts::has_finalizer(object, FOREGROUND) {
            return as_foreground_owner(world, object);
        }
        if facts::has_finalizer(object, ORPHAN) {
            return as_orphaning_owner(world, object);
        }
        Plan::default()
    }
}

/// What an owner reference points at now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum OwnerState {
    /// There, and not about to take its dependents along. Owners of kinds that planners do not know are there.
    Solid,
    /// Being deleted in the foreground.
    TakesAlong,
    /// Gone, or never there with that uid.
    Absent,
    /// The reference cannot be followed: an object of cluster scope cannot have an owner in a namespace.
    Unresolvable,
}

fn state(world: &World, dependent: &Object, owner: &OwnerReference) -> OwnerState {
    let Some(kind) = facts::referenced_kind(owner) else {
        return OwnerState::Solid;
    };
    let namespace = match kind.scope() {
        Scope::Cluster => "",
        Scope::Namespaced => facts::namespace(dependent.metadata()),
    };
    if kind.scope() == Scope::Namespaced && namespace.is_empty() {
        return OwnerState::Unresolvable;
    }
    match world.get(&ObjectKey::new(kind, namespace, &owner.name)) {
        Some(found) if found.uid() == owner.uid => {
            if facts::is_terminating(found.metadata()) && facts::has_finalizer(found, FOREGROUND) {
                OwnerState::TakesAlong
            } else {
                OwnerState::Solid
            }
        }
        _ => OwnerState::Absent,
    }
}

fn as_dependent(world: &World, object: &Object) -> Plan {
    let mut plan = Plan::default();
    let owners = object.metadata().owner_references.as_deref().unwrap_or_default();
    let states: Vec<OwnerState> = owners.iter().map(|owner| state(world, object, owner)).collect();
    if owners.is_empty() || states.contains(&OwnerState::Unresolvable) {
        return plan;
    }
    if states.iter().all(|state| *state == OwnerState::Solid) {
        return plan;
    }
    if states.contains(&OwnerState::Solid) {
        let mut kept = object.clone();
        let mut states = states.iter();
        kept.metadata_mut()
            .owner_references
            .get_or_insert_default()
            .retain(|_| states.next() == Some(&OwnerState::Solid));
        plan.actions.push(Action::Update(Box::new(kept)));
        return plan;
    }
    let has_dependents = || world.owned_by(object.uid()).next().is_some();
    let how = if states.contains(&OwnerState::TakesAlong) && has_dependents() {
        Removal::Foreground
    } else {
        Removal::Graceful
    };
    plan.actions.push(Action::Delete {
        key: object.key(),
        uid: object.uid().to_owned(),
        how,
    });
    plan
}

fn as_foreground_owner(world: &World, owner: &Object) -> Plan {
    let mut plan = Plan::default();
    let blocks = |dependent: &&Object| {
        dependent
            .metadata()
            .owner_references
            .iter()
            .flatten()
            .any(|reference| reference.uid == owner.uid() && reference.block_owner_deletion == Some(true))
    };
    let mut blocking = world.owned_by(owner.uid()).filter(blocks);
    match blocking.next() {
        // Its dependents are planned by their own keys.
        Some(dependent) => plan.waiting_on.push(Waiting {
            reason: "DependentsRemaining",
            message: format!("{} objects must go first", 1 + blocking.count()),
            on: Some(dependent.key()),
        }),
        None => plan.actions.push(without_finalizer(owner, FOREGROUND)),
    }
    plan
}

fn as_orphaning_owner(world: &World, owner: &Object) -> Plan {
    let mut plan = Plan::default();
    plan.actions.extend(
        world
            .owned_by(owner.uid())
            .take(DEPENDENTS_PER_PLAN_MAX)
            .map(|dependent| {
                let mut freed = dependent.clone();
                freed
                    .metadata_mut()
                    .owner_references
                    .get_or_insert_default()
                    .retain(|reference| reference.uid != owner.uid());
                Action::Update(Box::new(freed))
            }),
    );
    if plan.actions.is_empty() {
        plan.actions.push(without_finalizer(owner, ORPHAN));
    }
    plan
}

fn without_finalizer(object: &Object, finalizer: &str) -> Action {
    let mut freed = object.clone();
    freed
        .metadata_mut()
        .finalizers
        .get_or_insert_default()
        .retain(|name| name != finalizer);
    Action::Update(Box::new(freed))
}

#[cfg(test)]
mod tests;
