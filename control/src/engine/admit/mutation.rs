//! The course of an object through those who may change it.
//!
//! ```text
//!   policies ──▶ webhooks ──▶ what the server adds ──▶ policies ──▶ webhooks
//!                             (the second time: those that want to know of changes after theirs)
//! ```
//! Never here: what one of them wants (`policies`, `webhooks`).
//! Source: Kubernetes, "Mutating Admission Policy" and "Dynamic Admission Control", "Reinvocation policy".

use std::sync::Arc;

use api::{conversion, defaulting, fields::KindPlace, resource::Resource, schema};
use serde_json::Value;

use super::{ApiError, Attempt, Engine, policies};
use crate::{
    admission::{
        policy::{Bound, Mutations},
        review::{Operation, Subject, Told},
        webhook::{Phase, Webhook},
    },
    engine::{
        fields::{not_handled, strict_error},
        scale,
    },
};

/// What became of an object when it was shown to a policy or a webhook.
pub(super) enum Shown {
    /// It was not: neither is about it.
    NotAsked,
    Kept,
    Changed(Value),
}

impl Shown {
    /// The object, if it was changed.
    pub(super) fn changed(&self) -> Option<&Value> {
        match self {
            Shown::Changed(object) => Some(object),
            Shown::NotAsked | Shown::Kept => None,
        }
    }
}

/// Somebody who may change the object.
enum Step {
    Policy(Bound<Mutations>),
    Webhook(Arc<Webhook>),
}

impl Step {
    fn is_reinvoked(&self) -> bool {
        match self {
            Step::Policy((policy, _)) => policy.effect.is_reinvoked,
            Step::Webhook(hook) => hook.is_reinvoked,
        }
    }
}

/// What becomes of fields that a kind does not have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unknown {
    Dropped,
    Refused,
}

impl Engine {
    /// Lets policies and webhooks change the object.
    ///
    /// # Errors
    /// When one refuses, or gives no answer although it must.
    pub(super) async fn ask_mutating(&self, attempt: &Attempt<'_>, object: &mut Value) -> Result<(), ApiError> {
        let policies = self.in_force(&self.inner.mutating_policies, attempt)?;
        let webhooks = self.webhooks(attempt, Phase::Mutating)?;
        let policies = policies.into_iter().map(Step::Policy);
        let steps: Vec<Step> = policies.chain(webhooks.into_iter().map(Step::Webhook)).collect();
        if steps.is_empty() {
            return Ok(());
        }
        if attempt.subresource != "scale" {
            return self.pass_through(&steps, attempt, object).await;
        }
        // They are told of the Scale, which is what the request is about.
        let stored = attempt.asked.stored();
        let old = attempt.old.map(|old| scale::of(stored, old));
        let attempt = Attempt {
            old: old.as_ref(),
            ..*attempt
        };
        let mut wanted = scale::of(stored, object);
        self.pass_through(&steps, &attempt, &mut wanted).await?;
        *object = scale::apply(stored, object, &wanted)?;
        Ok(())
    }

    async fn pass_through(&self, steps: &[Step], attempt: &Attempt<'_>, object: &mut Value) -> Result<(), ApiError> {
        let rows = self.rows_of(attempt.asked);
        let in_namespace = self.namespace_of(attempt)?;
        let mut was_asked = vec![false; steps.len()];
        // How many steps were taken before the last change: those of them that want to know are taken again, once.
        let mut outdated = None;
        for is_again in [false, true] {
            if is_again && outdated.is_some() {
                // What others added is completed as the rest was.
                let before = object.clone();
                self.complete_new(attempt, object).await?;
                if *object != before {
                    outdated = Some(steps.len());
                }
            }
            let subject = Subject {
                attempt,
                object: Some(object),
                in_namespace: in_namespace.as_ref(),
                access: Some(self.access()),
            };
            // Which policies an object is for does not depend on what they make of it.
            let chosen: Vec<Option<&Resource>> = steps
                .iter()
                .map(|step| match step {
                    Step::Policy((policy, binding)) => policies::row(policy, binding, &subject, &rows),
                    Step::Webhook(_) => None,
                })
                .collect();
            for (index, step) in steps.iter().enumerate() {
                let is_due =
                    was_asked[index] && step.is_reinvoked() && outdated.is_some_and(|outdated| index < outdated);
                if is_again && !is_due {
                    continue;
                }
                let subject = Subject {
                    attempt,
                    object: Some(object),
                    in_namespace: in_namespace.as_ref(),
                    access: Some(self.access()),
                };
                let shown = match step {
                    Step::Policy(bound) => match chosen[index] {
                        Some(row) => self.mutate_by(&subject, row, bound).await?,
                        None => Shown::NotAsked,
                    },
                    Step::Webhook(hook) => self.ask_to_mutate(&subject, &rows, hook).await?,
                };
                was_asked[index] = !matches!(shown, Shown::NotAsked);
                if let Shown::Changed(changed) = shown {
                    match (is_again, step) {
                        (false, _) => outdated = Some(index),
                        // All webhooks come after it.
                        (true, Step::Policy(_)) => outdated = Some(steps.len()),
                        (true, Step::Webhook(_)) => {}
                    }
                    *object = changed;
                }
            }
        }
        Ok(())
    }

    /// What somebody is told who wants to see a subject as a row shows it.
    ///
    /// # Errors
    /// When a webhook has to convert it and does not.
    pub(super) async fn told<'a>(&self, subject: &Subject<'a>, row: &'a Resource) -> Result<Told<'a>, ApiError> {
        let asked = subject.attempt.asked;
        if !self.differs(subject, row) {
            return Ok(subject.told(row));
        }
        let objects: Vec<Value> = subject.objects().cloned().collect();
        let mut converted = self.in_form_of((asked, row), objects).await?.into_iter();
        let object = subject.object.and_then(|_| converted.next());
        Ok(subject.told_converted(row, object, converted.next()))
    }

    /// Whether a webhook has to convert what the row is to show of a subject.
    fn differs(&self, subject: &Subject<'_>, row: &Resource) -> bool {
        let asked = subject.attempt.asked;
        subject.is_whole() && row.version != asked.version && self.is_converted(asked)
    }

    /// The object as somebody changes it who sees it in the form of a row, in the form that is stored, with the defaults
    /// of its kind. They are given its place in a schema, if it has one.
    ///
    /// # Errors
    /// Why it cannot be changed so.
    pub(super) async fn changed(
        &self,
        subject: &Subject<'_>,
        row: &Resource,
        object: &Value,
        unknown: Unknown,
        change: impl FnOnce(Option<KindPlace>, &mut Value) -> Result<(), String>,
    ) -> Result<Value, String> {
        let asked = subject.attempt.asked;
        if !self.differs(subject, row) {
            let before = subject.shown(row, object);
            let mut shown = before.clone().into_owned();
            change(place(subject, row), &mut shown)?;
            fixed(&before, &shown)?;
            return taken(subject, row, shown, unknown);
        }
        let converted = async |ways: (&Resource, &Resource), object: Value| {
            let converted = self.in_form_of(ways, vec![object]).await;
            let mut converted = converted.map_err(|error| error.to_string())?;
            Ok::<Value, String>(converted.swap_remove(0))
        };
        let before = converted((asked, row), object.clone()).await?;
        let mut shown = before.clone();
        change(place(subject, row), &mut shown)?;
        fixed(&before, &shown)?;
        let back = converted((row, asked), shown).await?;
        taken(subject, asked, back, unknown)
    }
}

/// The place in a schema of what a row shows of a subject.
fn place(subject: &Subject<'_>, row: &Resource) -> Option<KindPlace> {
    match (subject.attempt.operation, subject.attempt.subresource) {
        (Operation::Connect, _) => None,
        (_, "scale") => row
            .subresource("scale")
            .and_then(|scale| KindPlace::named(scale.definition)),
        _ => KindPlace::of(row),
    }
}

/// A change may not make another object of it.
fn fixed(before: &Value, after: &Value) -> Result<(), String> {
    let same = |pointer: &str| before.pointer(pointer) == after.pointer(pointer);
    if !(same("/apiVersion") && same("/kind")) {
        return Err("the patch makes another kind of the object".to_owned());
    }
    // The object is stored, and was allowed, by the name that the request gave it.
    if !(same("/metadata/name") && same("/metadata/namespace")) {
        return Err("the patch gives the object another name or namespace".to_owned());
    }
    Ok(())
}

/// What a row shows, after it was changed, in the form of the attempt.
fn taken(subject: &Subject<'_>, row: &Resource, mut shown: Value, unknown: Unknown) -> Result<Value, String> {
    if !subject.is_whole() {
        return Ok(shown);
    }
    let stored = subject.attempt.asked.stored();
    conversion::to_stored(row, &mut shown);
    if row.custom.is_some() {
        shown["apiVersion"] = stored.api_version().into();
    }
    if unknown == Unknown::Refused {
        let faults = schema::check_fields(stored, &shown);
        if !faults.is_empty() {
            return Err(strict_error(stored, &faults).to_string());
        }
    }
    schema::prune(stored, &mut shown);
    schema::check_types(stored, &shown).map_err(|error| not_handled(stored, &error.to_string()).to_string())?;
    defaulting::apply(stored, &mut shown);
    Ok(shown)
}
