//! Webhooks are asked: a mutating one by itself, the validating ones at once.
//!
//! Never here: what an answer means (`admission::webhook`), how a webhook is reached (`reach`), in which
//! order objects are changed (`mutation`).

use std::sync::Arc;

use api::{patch, resource::Resource};
use futures::future::join_all;
use serde_json::Value;
use uuid::Uuid;

use super::{
    ApiError, Attempt, Engine,
    mutation::{Shown, Unknown},
};
use crate::{
    admission::{
        review::{Subject, Told},
        scope::{Verdict, judge},
        webhook::{Answer, Answered, FailurePolicy, Phase, Webhook},
    },
    engine::{create::namespaces, key, object},
    reach,
};

impl Engine {
    /// Lets a mutating webhook change the object.
    ///
    /// # Errors
    /// When it refuses, or gives no answer although it must.
    pub(super) async fn ask_to_mutate(
        &self,
        subject: &Subject<'_>,
        rows: &[&Resource],
        hook: &Webhook,
    ) -> Result<Shown, ApiError> {
        let attempt = subject.attempt;
        let (Some(row), Some(object)) = (hook.scope.row(subject, rows), subject.object) else {
            return Ok(Shown::NotAsked);
        };
        let Some(answered) = self.ask(Phase::Mutating, hook, row, subject).await? else {
            return Ok(Shown::NotAsked);
        };
        attempt.warnings.extend(answered.warnings);
        let patch = match answered.answer {
            Answer::Denied(denial) => return Err(ApiError::Denied(denial)),
            Answer::Allowed { patch: None } => return Ok(Shown::Kept),
            Answer::Allowed { patch: Some(patch) } => patch,
        };
        let patched = self.changed(subject, row, object, Unknown::Dropped, |_, object| {
            patch::json_patch(object, &patch).map_err(|error| format!("the patch cannot be applied: {error}"))
        });
        match patched.await {
            Ok(patched) if patched == *object => Ok(Shown::Kept),
            Ok(patched) => Ok(Shown::Changed(patched)),
            Err(error) => Err(ApiError::Internal(format!("{error}: webhook {:?}", hook.name))),
        }
    }

    /// Asks validating webhooks.
    ///
    /// # Errors
    /// When one refuses, or gives no answer although it must.
    pub(super) async fn ask_validating(&self, attempt: &Attempt<'_>, new: Option<&Value>) -> Result<(), ApiError> {
        let configured = self.webhooks(attempt, Phase::Validating)?;
        if configured.is_empty() {
            return Ok(());
        }
        let rows = self.rows_of(attempt.asked);
        let in_namespace = self.namespace_of(attempt)?;
        let subject = Subject {
            attempt,
            object: new,
            in_namespace: in_namespace.as_ref(),
            access: Some(self.access()),
        };
        let chosen = configured
            .iter()
            .filter_map(|hook| Some((hook, hook.scope.row(&subject, &rows)?)));
        let asked = chosen.map(|(hook, row)| self.ask(Phase::Validating, hook, row, &subject));
        let mut refusal = None;
        for answered in join_all(asked).await {
            match answered {
                Ok(None) => {}
                Ok(Some(answered)) => {
                    attempt.warnings.extend(answered.warnings);
                    if let Answer::Denied(denial) = answered.answer {
                        refusal.get_or_insert(ApiError::Denied(denial));
                    }
                }
                Err(error) => {
                    refusal.get_or_insert(error);
                }
            }
        }
        refusal.map_or(Ok(()), Err)
    }

    pub(super) fn webhooks(&self, attempt: &Attempt<'_>, phase: Phase) -> Result<Vec<Arc<Webhook>>, ApiError> {
        if attempt.is_binding() {
            return Ok(Vec::new());
        }
        self.inner
            .webhooks
            .ask(|webhooks| webhooks.of(phase))
            .map_err(ApiError::Read)
    }

    /// All rows of one collection, that of the request first.
    pub(super) fn rows_of<'r>(&self, asked: &'r Resource) -> Vec<&'r Resource> {
        let of = |row: &Resource| (row.stored().group, row.plural);
        let kinds = self.registry().kinds();
        let others = kinds.rows().iter().copied();
        let others = others.filter(|row| of(row) == of(asked) && row.api_version() != asked.api_version());
        std::iter::once(asked).chain(others).collect()
    }

    /// The namespace of the object, if it is in one.
    pub(super) fn namespace_of(&self, attempt: &Attempt<'_>) -> Result<Option<Value>, ApiError> {
        if !attempt.asked.is_namespaced() {
            return Ok(None);
        }
        let key = key(namespaces(), "", attempt.namespace);
        let stored = self.inner.store.get(&key, None).map_err(ApiError::Read)?;
        stored.as_ref().map(object::decode).transpose()
    }

    /// The answer of one webhook; none if it is not asked, or gives none and need not.
    async fn ask(
        &self,
        phase: Phase,
        hook: &Webhook,
        row: &Resource,
        subject: &Subject<'_>,
    ) -> Result<Option<Answered>, ApiError> {
        let told = self.told(subject, row).await?;
        if !hook.conditions.is_empty() {
            match (judge(&hook.conditions, &told.names()), hook.failure_policy) {
                (Verdict::Holds, _) => {}
                (Verdict::Not, _) | (Verdict::Fails(_), FailurePolicy::Ignore) => return Ok(None),
                (Verdict::Fails(why), FailurePolicy::Fail) => {
                    return Err(ApiError::forbidden(
                        subject.attempt.target(),
                        format!(
                            "failed to evaluate the match conditions of webhook {:?}: {why}",
                            hook.name
                        ),
                    ));
                }
            }
        }
        if subject.attempt.dry_run && !hook.takes_dry_runs() {
            return Err(ApiError::BadRequest(format!(
                "admission webhook {:?} does not support dry run",
                hook.name
            )));
        }
        match self.call(phase, hook, &told).await {
            Ok(answered) => Ok(Some(answered)),
            Err(why) => {
                let message = format!("failed calling webhook {:?}: {why}", hook.name);
                match hook.failure_policy {
                    FailurePolicy::Ignore => {
                        tracing::warn!(reason = message, "a webhook gave no answer, which is ignored");
                        Ok(None)
                    }
                    FailurePolicy::Fail => Err(ApiError::Internal(message)),
                }
            }
        }
    }

    async fn call(&self, phase: Phase, hook: &Webhook, told: &Told<'_>) -> Result<Answered, String> {
        let destination = hook.destination().map_err(str::to_owned)?;
        let nodes = self.nodes().ok_or("the server is not ready to call webhooks")?;
        let uid = Uuid::new_v4().to_string();
        let document = hook.review(&told.request(&uid));
        let answer = reach::post(self, &nodes, destination, document, hook.timeout).await;
        let answer = answer.map_err(|why| format!("failed to call webhook: {why}"))?;
        hook.read(phase, &uid, &answer)
    }
}
