//! Deletion: grace of pods, finalizers, propagation, preconditions.
//!
//! Never here: what follows from it for dependents (the garbage planner) and for a namespace's content (the namespace
//! planner).
//! Source: Kubernetes, "Garbage Collection", "Finalizers", "Pod Lifecycle: Termination of Pods".

use api::{Kind, Timestamp, conversion, resource::Resource, validation::SYSTEM_PRIORITY_CLASSES};
use reconcile::definitions::{self, CLEANUP_FINALIZER};
use serde_json::{Value, json};

use super::{
    ApiError, Attempt, Caller, Decided, Engine, Next, Operation, Outcome, Target, Warnings, WriteOptions, is_namespace,
    is_pod, is_priority_class,
    object::{finalizers, is_terminating, meta_str, metadata, metadata_mut, timestamp},
    strategy,
    update::check_uid,
};
use crate::admission::PROTECTED_NAMESPACES;

const ORPHAN_FINALIZER: &str = "orphan";
const FOREGROUND_FINALIZER: &str = "foregroundDeletion";
/// Grace of a pod whose spec does not say.
const DEFAULT_GRACE_S: i64 = 30;

/// What becomes of an object's dependents.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Propagation {
    /// They follow after it.
    Background,
    /// It waits for them.
    Foreground,
    /// They stay.
    Orphan,
}

/// How a deletion is to be done.
#[derive(Debug, Clone, Default)]
pub struct DeleteOptions {
    /// Seconds that a pod's containers get; the pod's own if absent. 0: nobody is asked.
    pub grace_period_s: Option<i64>,
    /// What becomes of dependents; [`Propagation::Background`] if absent.
    pub propagation: Option<Propagation>,
    /// Only if the object has this uid.
    pub uid: Option<String>,
    /// Only if the object has this resourceVersion.
    pub resource_version: Option<String>,
    /// Do everything but the write.
    pub dry_run: bool,
    /// Collects what the client should be told besides the result.
    pub warnings: Warnings,
}

/// What a deletion came to. Both carry the object's last version.
#[derive(Debug, Clone, PartialEq)]
pub enum Deleted {
    /// It is gone.
    Gone(Value),
    /// It is marked, and goes when its grace or its finalizers have ended.
    Pending(Value),
}

impl Engine {
    /// Deletes an object, or marks it for deletion.
    ///
    /// # Errors
    /// See [`ApiError`]; nothing was written.
    pub async fn delete(
        &self,
        caller: &Caller,
        resource: &Resource,
        namespace: &str,
        name: &str,
        options: DeleteOptions,
    ) -> Result<Deleted, ApiError> {
        let asked = resource;
        let resource = asked.stored();
        let target = Target::new(resource, name);
        if is_priority_class(resource) && SYSTEM_PRIORITY_CLASSES.iter().any(|(known, ..)| *known == name) {
            let detail = "this is a system priority class and cannot be deleted";
            return Err(ApiError::forbidden(target, detail));
        }
        if is_namespace(resource) && PROTECTED_NAMESPACES.contains(&name) {
            return Err(ApiError::forbidden(target, "this namespace may not be deleted"));
        }
        let write = WriteOptions {
            dry_run: options.dry_run,
            warnings: options.warnings.clone(),
            ..WriteOptions::default()
        };
        let attempt = Attempt::new(caller, Operation::Delete, asked, namespace, name, &write);
        let outcome = self
            .modify(attempt, |current| {
                preconditions(resource, current, &options)?;
                Ok(Decided::Next(decide(resource, current, &options, Timestamp::now())))
            })
            .await?;
        let shown = |mut object: Value| {
            conversion::from_stored(asked, &mut object);
            object
        };
        Ok(match outcome {
            Outcome::Removed(object) => Deleted::Gone(shown(object)),
            Outcome::Written(object) | Outcome::Kept(object) => Deleted::Pending(shown(object)),
        })
    }
}

fn preconditions(resource: &Resource, current: &Value, options: &DeleteOptions) -> Result<(), ApiError> {
    check_uid(resource, current, options.uid.as_deref().unwrap_or_default())?;
    let there = meta_str(current, "resourceVersion");
    match &options.resource_version {
        Some(wanted) if wanted != there => Err(ApiError::Conflict {
            target: Target::new(resource, meta_str(current, "name")),
            detail: format!(
                "Precondition failed: ResourceVersion in precondition: {wanted}, ResourceVersion in object meta: {there}"
            ),
        }),
        _ => Ok(()),
    }
}

/// What deleting `current` comes to at `now`.
fn decide(resource: &Resource, current: &Value, options: &DeleteOptions, now: Timestamp) -> Next {
    let mut new = current.clone();
    // Dependents are told apart by kinds that planners know; an object of another kind would wait for nobody.
    if resource.collection().parse::<Kind>().is_ok() {
        set_finalizers(&mut new, options.propagation);
    }
    let grace = if is_pod(resource) {
        pod_grace(current, options)
    } else {
        0
    };
    if is_terminating(current) {
        shorten(resource, current, &mut new, options, grace, now);
    } else {
        mark(&mut new, grace, now);
        if strategy::is_definition(resource) {
            keep_until_clean(&mut new, now);
        }
        if is_namespace(resource) {
            new["status"]["phase"] = json!("Terminating");
        }
    }
    if strategy::may_go(resource, &new) {
        return Next::Remove(new);
    }
    if new == *current { Next::Keep } else { Next::Put(new) }
}

/// Seconds that the pod's containers get, for a pod that is not being deleted yet.
fn pod_grace(pod: &Value, options: &DeleteOptions) -> i64 {
    let bound = pod["spec"]["nodeName"].as_str().is_some_and(|node| !node.is_empty());
    let finished = matches!(pod["status"]["phase"].as_str(), Some("Succeeded" | "Failed"));
    if !bound || finished {
        return 0;
    }
    let own = pod["spec"]["terminationGracePeriodSeconds"].as_i64();
    match options.grace_period_s.or(own).unwrap_or(DEFAULT_GRACE_S) {
        // A negative grace is a client that means "at once, but do ask".
        negative if negative < 0 => 1,
        grace => grace,
    }
}

/// A definition stays until its objects are gone.
fn keep_until_clean(definition: &mut Value, now: Timestamp) {
    let mut list: Vec<String> = finalizers(definition).into_iter().map(str::to_owned).collect();
    if !list.iter().any(|finalizer| finalizer == CLEANUP_FINALIZER) {
        list.push(CLEANUP_FINALIZER.to_owned());
    }
    metadata_mut(definition).insert("finalizers".to_owned(), json!(list));
    let message = "CustomResourceDefinition marked for deletion; CustomResource deletion will begin soon";
    if let Some(status) = definitions::terminating(definition, "InstanceDeletionPending", message, now) {
        definition["status"] = status;
    }
}

fn mark(object: &mut Value, grace: i64, now: Timestamp) {
    let meta = metadata_mut(object);
    meta.insert("deletionTimestamp".to_owned(), json!(after(now, grace)));
    meta.insert("deletionGracePeriodSeconds".to_owned(), json!(grace));
    strategy::bump_generation(object);
}

/// A second deletion may only shorten the grace that the first one gave.
fn shorten(resource: &Resource, current: &Value, new: &mut Value, options: &DeleteOptions, grace: i64, now: Timestamp) {
    if !is_pod(resource) || options.grace_period_s.is_none() {
        return;
    }
    let left = metadata(current)
        .get("deletionGracePeriodSeconds")
        .and_then(Value::as_i64);
    if left.is_some_and(|left| grace < left) {
        let meta = metadata_mut(new);
        meta.insert("deletionTimestamp".to_owned(), json!(after(now, grace)));
        meta.insert("deletionGracePeriodSeconds".to_owned(), json!(grace));
    }
}

fn after(now: Timestamp, seconds: i64) -> String {
    let end = now.checked_add(jiff::SignedDuration::from_secs(seconds));
    timestamp(end.unwrap_or(now))
}

/// Propagation is told to the garbage planner by finalizers.
fn set_finalizers(object: &mut Value, propagation: Option<Propagation>) {
    let Some(propagation) = propagation else { return };
    let wanted = match propagation {
        Propagation::Background => None,
        Propagation::Foreground => Some(FOREGROUND_FINALIZER),
        Propagation::Orphan => Some(ORPHAN_FINALIZER),
    };
    let mut list: Vec<String> = finalizers(object)
        .into_iter()
        .filter(|name| ![ORPHAN_FINALIZER, FOREGROUND_FINALIZER].contains(name))
        .map(str::to_owned)
        .collect();
    list.extend(wanted.map(str::to_owned));
    let meta = metadata_mut(object);
    if list.is_empty() {
        meta.remove("finalizers");
    } else {
        meta.insert("finalizers".to_owned(), json!(list));
    }
}

#[cfg(test)]
mod tests;
