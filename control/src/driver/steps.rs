//! From a plan's actions to the writes that carry them out. Pure.
//!
//! An update becomes a JSON merge patch of what differs between the object in the world and the one wanted, with the
//! version that was read as precondition: what our types do not know, and what others own, stays as it is.
//! Source: RFC 7396.

use api::{Kind, Object, ObjectKey};
use reconcile::{
    Action, Removal, World,
    plan::{Announcement, Asked},
};
use serde_json::{Map, Value, json};

/// One write.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Step {
    /// Create an object.
    Create {
        /// Its kind.
        kind: Kind,
        /// Its namespace; empty for cluster scope.
        namespace: String,
        /// The object.
        object: Value,
    },
    /// Apply a merge patch.
    Patch {
        /// The object.
        key: ObjectKey,
        /// The part it is about.
        part: Part,
        /// With `metadata.resourceVersion` as precondition.
        patch: Value,
    },
    /// Delete an object.
    Delete {
        /// The object.
        key: ObjectKey,
        /// Only if it has this uid.
        uid: String,
        /// With which options.
        how: Removal,
    },
    /// Assign a pod to a node.
    Bind {
        /// The pod.
        pod: ObjectKey,
        /// Only if it has this uid.
        uid: String,
        /// The node.
        node: String,
    },
}

impl Step {
    /// Which object is to come or to go, if one is.
    pub(super) fn asked(&self) -> Option<(Asked, ObjectKey)> {
        match self {
            Step::Create {
                kind,
                namespace,
                object,
            } => {
                let name = object["metadata"]["name"].as_str().unwrap_or_default();
                Some((Asked::Creation, ObjectKey::new(*kind, namespace.as_str(), name)))
            }
            Step::Delete { key, .. } => Some((Asked::Deletion, key.clone())),
            Step::Patch { .. } | Step::Bind { .. } => None,
        }
    }
}

/// The part of an object that a patch is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    /// All but the status.
    Main,
    /// The status.
    Status,
    /// `spec.finalizers` of a namespace, which has a subresource of its own.
    Finalize,
}

/// Steps that do not depend on each other; see [`reconcile::Plan::actions`].
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Run {
    /// In batches of 1, 2, 4, …, until the first failure.
    Creations(Vec<Step>),
    /// Each whatever becomes of its neighbours.
    Others(Vec<Step>),
    /// Cannot fail.
    Announcements(Vec<Announcement>),
}

/// The plan names an object that the world does not have, or has in another version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct NotInWorld(pub(crate) ObjectKey);

/// The runs of a plan, made on the world it was planned on. Updates that change nothing are left out.
pub(crate) fn runs(world: &World, actions: Vec<Action>) -> Result<Vec<Run>, NotInWorld> {
    let mut runs = Vec::new();
    let mut last = None;
    for action in actions {
        let variant = std::mem::discriminant(&action);
        let joins = last.replace(variant) == Some(variant);
        match action {
            Action::Announce(announcement) => match runs.last_mut() {
                Some(Run::Announcements(list)) if joins => list.push(announcement),
                _ => runs.push(Run::Announcements(vec![announcement])),
            },
            Action::Create(object) => {
                let step = create(&object);
                match runs.last_mut() {
                    Some(Run::Creations(list)) if joins => list.push(step),
                    _ => runs.push(Run::Creations(vec![step])),
                }
            }
            other => {
                let Some(step) = step(world, other)? else {
                    if !joins {
                        runs.push(Run::Others(Vec::new()));
                    }
                    continue;
                };
                match runs.last_mut() {
                    Some(Run::Others(list)) if joins => list.push(step),
                    _ => runs.push(Run::Others(vec![step])),
                }
            }
        }
    }
    runs.retain(|run| !matches!(run, Run::Others(steps) if steps.is_empty()));
    Ok(runs)
}

fn create(object: &Object) -> Step {
    Step::Create {
        kind: object.kind(),
        namespace: object.metadata().namespace.clone().unwrap_or_default(),
        object: object.to_json(),
    }
}

fn step(world: &World, action: Action) -> Result<Option<Step>, NotInWorld> {
    Ok(match action {
        Action::Create(object) => Some(create(&object)),
        Action::Update(object) => patch(world, &object, Part::Main)?,
        Action::UpdateStatus(object) => patch(world, &object, Part::Status)?,
        Action::Delete { key, uid, how } => Some(Step::Delete { key, uid, how }),
        Action::Bind { pod, uid, node } => Some(Step::Bind { pod, uid, node }),
        // Makes no step; `runs` takes it before it comes here.
        Action::Announce(_) => None,
    })
}

fn patch(world: &World, wanted: &Object, part: Part) -> Result<Option<Step>, NotInWorld> {
    let key = wanted.key();
    let missing = || NotInWorld(key.clone());
    let current = world.get(&key).ok_or_else(missing)?;
    let version = current.metadata().resource_version.clone().ok_or_else(missing)?;
    if wanted.metadata().resource_version.as_ref() != Some(&version) || wanted.uid() != current.uid() {
        return Err(missing());
    }
    let (mut from, mut to) = (current.to_json(), wanted.to_json());
    for object in [&mut from, &mut to] {
        keep_part(object, part);
    }
    let Some(mut patch) = merge_diff(&from, &to) else {
        return Ok(None);
    };
    let part = if key.kind == Kind::Namespace && patch.pointer("/spec/finalizers").is_some() {
        Part::Finalize
    } else {
        part
    };
    patch["metadata"]["resourceVersion"] = json!(version);
    Ok(Some(Step::Patch { key, part, patch }))
}

fn keep_part(object: &mut Value, part: Part) {
    let Some(fields) = object.as_object_mut() else { return };
    match part {
        Part::Main | Part::Finalize => {
            fields.remove("status");
        }
        Part::Status => fields.retain(|field, _| field == "status"),
    }
}

/// The merge patch that makes `to` of `from`; none if they are equal.
pub(crate) fn merge_diff(from: &Value, to: &Value) -> Option<Value> {
    let (Value::Object(from), Value::Object(to)) = (from, to) else {
        return (from != to).then(|| to.clone());
    };
    let mut patch = Map::new();
    for (field, new) in to {
        match from.get(field) {
            None => {
                patch.insert(field.clone(), new.clone());
            }
            Some(old) => {
                if let Some(inner) = merge_diff(old, new) {
                    patch.insert(field.clone(), inner);
                }
            }
        }
    }
    for field in from.keys().filter(|field| !to.contains_key(*field)) {
        patch.insert(field.clone(), Value::Null);
    }
    (!patch.is_empty()).then_some(Value::Object(patch))
}

#[cfg(test)]
mod tests;
