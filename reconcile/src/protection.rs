//! What keeps storage that is in use when it is deleted: a finalizer of claims that pods have, and one of volumes that
//! claims have.
//!
//! The server gives both to what is created; who has none gets it here.
//! Source: Kubernetes, "Persistent Volumes: Storage Object in Use Protection".

use api::{
    Kind, Object, ObjectKey,
    k8s_openapi::{
        api::core::v1::{PersistentVolume, PersistentVolumeClaim, Pod, Volume},
        apimachinery::pkg::apis::meta::v1::ObjectMeta,
    },
};

use crate::{
    facts,
    plan::{Action, Context, Plan, Planner, Waiting},
    world::World,
};

/// Keeps a claim that pods use.
pub const CLAIM_FINALIZER: &str = "kubernetes.io/pvc-protection";
/// Keeps a volume that is bound.
pub const VOLUME_FINALIZER: &str = "kubernetes.io/pv-protection";

/// Plans the finalizer of claims, each by its key.
#[derive(Debug)]
pub(crate) struct ClaimProtection;

impl Planner for ClaimProtection {
    fn name(&self) -> &'static str {
        "pvc-protection-controller"
    }

    fn watches(&self) -> &'static [Kind] {
        &[Kind::PersistentVolumeClaim, Kind::Pod]
    }

    fn affected(
        &self,
        _world: &World,
        changed: &ObjectKey,
        before: Option<&Object>,
        after: Option<&Object>,
    ) -> Vec<ObjectKey> {
        if changed.kind == Kind::PersistentVolumeClaim {
            return vec![changed.clone()];
        }
        // A pod lets go of its claims when it goes or finishes.
        let Some(before) = before.and_then(Object::get::<Pod>) else {
            return Vec::new();
        };
        let after = after.and_then(Object::get::<Pod>);
        if after.is_some_and(|after| facts::is_finished(after) == facts::is_finished(before)) {
            return Vec::new();
        }
        volumes(before)
            .filter_map(|volume| claim_of(before, volume))
            .map(|claim| ObjectKey::new(Kind::PersistentVolumeClaim, &changed.namespace, claim))
            .collect()
    }

    fn plan(&self, world: &World, key: &ObjectKey, _context: Context) -> Plan {
        let Some(claim) = world.typed::<PersistentVolumeClaim>(&key.namespace, &key.name) else {
            return Plan::default();
        };
        protect(claim.clone().into(), CLAIM_FINALIZER, || {
            let user = world
                .in_namespace::<Pod>(&key.namespace)
                .find(|pod| uses(pod, &claim.metadata))?;
            Some(ObjectKey::new(Kind::Pod, &key.namespace, facts::name(&user.metadata)))
        })
    }
}

/// Plans the finalizer of volumes, each by its key.
#[derive(Debug)]
pub(crate) struct VolumeProtection;

impl Planner for VolumeProtection {
    fn name(&self) -> &'static str {
        "pv-protection-controller"
    }

    fn watches(&self) -> &'static [Kind] {
        &[Kind::PersistentVolume]
    }

    fn affected(
        &self,
        _world: &World,
        changed: &ObjectKey,
        _before: Option<&Object>,
        _after: Option<&Object>,
    ) -> Vec<ObjectKey> {
        vec![changed.clone()]
    }

    fn plan(&self, world: &World, key: &ObjectKey, _context: Context) -> Plan {
        let Some(volume) = world.typed::<PersistentVolume>("", &key.name) else {
            return Plan::default();
        };
        protect(volume.clone().into(), VOLUME_FINALIZER, || {
            let phase = volume.status.as_ref()?.phase.as_deref();
            let claim = volume.spec.as_ref().and_then(|spec| spec.claim_ref.clone());
            let claim = claim.unwrap_or_default();
            (phase == Some("Bound")).then(|| {
                ObjectKey::new(
                    Kind::PersistentVolumeClaim,
                    claim.namespace.unwrap_or_default(),
                    claim.name.unwrap_or_default(),
                )
            })
        })
    }
}

/// Gives the finalizer to what lives, and takes it from what is to go once nobody uses it.
fn protect(mut object: Object, finalizer: &'static str, user: impl FnOnce() -> Option<ObjectKey>) -> Plan {
    let mut plan = Plan::default();
    let metadata = object.metadata_mut();
    let is_going = facts::is_terminating(metadata);
    let list = metadata.finalizers.get_or_insert_default();
    match (is_going, list.iter().any(|present| present == finalizer)) {
        (false, true) | (true, false) => return plan,
        (false, false) => list.push(finalizer.to_owned()),
        (true, true) => {
            if let Some(user) = user() {
                plan.waiting_on.push(Waiting {
                    reason: "InUse",
                    message: format!("it is used by {user}"),
                    on: Some(user),
                });
                return plan;
            }
            list.retain(|present| present != finalizer);
        }
    }
    plan.actions.push(Action::Update(Box::new(object)));
    plan
}

fn volumes(pod: &Pod) -> impl Iterator<Item = &Volume> {
    pod.spec.iter().flat_map(|spec| spec.volumes.iter().flatten())
}

/// The name of the claim that a volume of a pod stands for.
fn claim_of(pod: &Pod, volume: &Volume) -> Option<String> {
    if let Some(named) = &volume.persistent_volume_claim {
        return Some(named.claim_name.clone());
    }
    let pod = facts::name(&pod.metadata);
    volume.ephemeral.as_ref().map(|_| format!("{pod}-{}", volume.name))
}

/// Whether the pod has, or is about to have, the claim. A pod without a node gets none whose claim is going, and a
/// claim that was made for a pod is of no use to it once it has finished.
fn uses(pod: &Pod, claim: &ObjectMeta) -> bool {
    facts::node_name(pod).is_some()
        && volumes(pod).any(|volume| {
            claim_of(pod, volume).as_deref() == Some(facts::name(claim))
                && (volume.persistent_volume_claim.is_some() || (is_made_for(claim, pod) && !facts::is_finished(pod)))
        })
}

fn is_made_for(claim: &ObjectMeta, pod: &Pod) -> bool {
    facts::controller(claim).is_some_and(|owner| owner.uid == facts::uid(&pod.metadata))
}

#[cfg(test)]
mod tests;
