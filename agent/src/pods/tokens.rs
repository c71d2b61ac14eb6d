//! Tokens of pods' service accounts: which a pod's volumes want, when to ask for them, and when again.
//!
//! Asked for over the node stream, kept in memory (and in the volumes, which are memory too), asked for anew at four
//! fifths of their life. Never here: the volumes.
//! Source: Kubernetes, "Configure Service Accounts for Pods": "Service account token volume projection".

use std::time::Duration;

use api::{
    Timestamp,
    k8s_openapi::api::core::v1::Pod,
    node_stream::{FromAgent, Token, TokenWanted, from_agent},
};
use tokio::{sync::mpsc, time::Instant};

use super::objects::Objects;

/// Life of a token whose volume says nothing, in seconds.
const SECONDS_DEFAULT: i64 = 3600;
/// A token is asked for anew after this part of its life, in percent.
const REFRESH_PERCENT: i64 = 80;
/// A token is asked for anew after this at the latest, however long it lives.
const REFRESH_S_MAX: i64 = 24 * 3600;
/// How long a pod waits for its tokens before it says that they do not come.
const OBTAIN_WAIT: Duration = Duration::from_secs(10);
/// An answer that did not come by then went with its connection.
const ASK_AGAIN: Duration = Duration::from_secs(2);

/// One token: of the pod's account, for whom, for how long.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct TokenKey {
    pub(crate) pod_uid: String,
    /// Empty: the API server.
    pub(crate) audience: String,
    pub(crate) seconds: i64,
}

/// What the server said of a token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Answer {
    Is { text: String, refresh_at: Timestamp },
    Refused(String),
}

/// A pod's token cannot be had.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum TokenError {
    #[error("failed to fetch token: {0}")]
    Refused(String),
    #[error("failed to fetch token: no answer from the control plane within {} s", OBTAIN_WAIT.as_secs())]
    NoAnswer,
}

/// The tokens that a pod's volumes show.
pub(crate) fn wanted(pod: &Pod) -> Vec<TokenKey> {
    let volumes = pod.spec.iter().flat_map(|spec| spec.volumes.iter().flatten());
    let projected = volumes.filter_map(|volume| volume.projected.as_ref());
    let mut keys: Vec<TokenKey> = projected
        .flat_map(|projected| projected.sources.iter().flatten())
        .filter_map(|source| source.service_account_token.as_ref())
        .map(|source| key(pod, source.audience.as_deref(), source.expiration_seconds))
        .collect();
    keys.sort();
    keys.dedup();
    keys
}

/// The token of a volume that asks for it so.
pub(crate) fn key(pod: &Pod, audience: Option<&str>, seconds: Option<i64>) -> TokenKey {
    TokenKey {
        pod_uid: pod.metadata.uid.clone().unwrap_or_default(),
        audience: audience.unwrap_or_default().to_owned(),
        seconds: seconds.unwrap_or(SECONDS_DEFAULT),
    }
}

/// What the server's message says, received at `now`.
pub(crate) fn answer(said: Token, now: Timestamp) -> (TokenKey, Answer) {
    let key = TokenKey {
        pod_uid: said.pod_uid,
        audience: said.audience,
        seconds: said.expiration_seconds,
    };
    if said.token.is_empty() {
        return (key, Answer::Refused(said.error));
    }
    let after_s = (key.seconds.saturating_mul(REFRESH_PERCENT) / 100).clamp(0, REFRESH_S_MAX);
    let refresh_at = Timestamp::from_second(now.as_second().saturating_add(after_s)).unwrap_or(Timestamp::MAX);
    let answer = Answer::Is {
        text: said.token,
        refresh_at,
    };
    (key, answer)
}

/// Whether the token is there, and when it is to be asked for anew.
fn standing(objects: &Objects, key: &TokenKey, now: Timestamp) -> Standing {
    match objects.token(key) {
        Some(Answer::Is { refresh_at, .. }) if now < refresh_at => Standing::Good(refresh_at),
        Some(Answer::Is { .. }) => Standing::Old,
        Some(Answer::Refused(_)) | None => Standing::Missing,
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Standing {
    Good(Timestamp),
    Old,
    Missing,
}

/// When the first of the pod's tokens is to be asked for anew; none if the pod has none.
pub(crate) fn next_refresh(objects: &Objects, pod: &Pod, now: Timestamp) -> Option<Timestamp> {
    let at = wanted(pod).into_iter().map(|key| match standing(objects, &key, now) {
        Standing::Good(refresh_at) => refresh_at,
        Standing::Old | Standing::Missing => now,
    });
    at.min()
}

/// Asks for the tokens that the pod wants and that are missing or old, and waits for them. Old ones are good enough if
/// no others come.
///
/// # Errors
/// When one is missing in the end.
pub(crate) async fn obtain(objects: &Objects, pod: &Pod, out: &mpsc::Sender<FromAgent>) -> Result<(), TokenError> {
    obtain_within(objects, pod, out, OBTAIN_WAIT, ASK_AGAIN).await
}

/// [`obtain`], with other waits.
async fn obtain_within(
    objects: &Objects,
    pod: &Pod,
    out: &mpsc::Sender<FromAgent>,
    wait: Duration,
    ask_again: Duration,
) -> Result<(), TokenError> {
    let until = Instant::now() + wait;
    let mut is_first = true;
    loop {
        let said = objects.token_said();
        let now = Timestamp::now();
        let keys = wanted(pod);
        let due: Vec<&TokenKey> = keys
            .iter()
            .filter(|key| !matches!(standing(objects, key, now), Standing::Good(_)))
            .collect();
        if due.is_empty() {
            return Ok(());
        }
        if !is_first {
            let refused = due.iter().find_map(|key| match objects.token(key) {
                Some(Answer::Refused(reason)) => Some(reason),
                _ => None,
            });
            if let Some(reason) = refused {
                return Err(TokenError::Refused(reason));
            }
        }
        if Instant::now() >= until {
            let missing = due.iter().any(|key| standing(objects, key, now) == Standing::Missing);
            return if missing { Err(TokenError::NoAnswer) } else { Ok(()) };
        }
        for key in due {
            objects.forget_refusal(key);
            // The agent ends; nobody waits for an answer.
            let _ = out.send(message(pod, key)).await;
        }
        is_first = false;
        let _ = tokio::time::timeout(ask_again, said).await;
    }
}

fn message(pod: &Pod, key: &TokenKey) -> FromAgent {
    let wanted = TokenWanted {
        namespace: pod.metadata.namespace.clone().unwrap_or_default(),
        pod: pod.metadata.name.clone().unwrap_or_default(),
        pod_uid: key.pod_uid.clone(),
        audience: key.audience.clone(),
        expiration_seconds: key.seconds,
    };
    FromAgent {
        kind: Some(from_agent::Kind::TokenWanted(wanted)),
    }
}

#[cfg(test)]
mod tests;
