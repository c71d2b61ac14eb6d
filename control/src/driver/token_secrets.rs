//! Secrets of type `kubernetes.io/service-account-token`: filled with a token, removed with their account.
//!
//! Not a planner: a token is signed with a key and at random, which no pure function does. What is to be done is
//! [`judge`], which is one.
//! Source: Kubernetes, "Managing Service Accounts": "Token controller".

use std::{error::Error, time::Duration};

use api::Kind;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::hands::resource_of;
use crate::{
    auth::{TOKEN_SECRET_TYPE, legacy_claims},
    engine::{ApiError, Caller, DeleteOptions, Engine, Patch, SERVER_MANAGER, WriteOptions, object, object::meta_str},
    store::{Change, ListRequest, ReadError, Store, WatchEnd, WatchEvent, WatchRequest, Watcher},
};

const ACCOUNT_NAME: &str = "kubernetes.io/service-account.name";
const ACCOUNT_UID: &str = "kubernetes.io/service-account.uid";
/// Pause after the store could not be read or written.
const RETRY: Duration = Duration::from_secs(5);

/// What is to be done about a secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Due {
    Nothing,
    /// Something that it should hold is missing or wrong.
    Fill,
    /// Its account is gone, or another has its name.
    Delete,
}

/// Judges a secret by the account that it names, if that is there.
fn judge(secret: &Value, account: Option<&Value>, root_ca_pem: &str) -> Due {
    if secret["type"] != TOKEN_SECRET_TYPE || object::is_terminating(secret) {
        return Due::Nothing;
    }
    let Some(account) = account else { return Due::Delete };
    let named_uid = secret["metadata"]["annotations"][ACCOUNT_UID]
        .as_str()
        .unwrap_or_default();
    let uid = meta_str(account, "uid");
    if !named_uid.is_empty() && named_uid != uid {
        return Due::Delete;
    }
    let holds = |field: &str, text: &str| secret["data"][field] == STANDARD.encode(text);
    let is_full = named_uid == uid
        && holds("ca.crt", root_ca_pem)
        && holds("namespace", meta_str(secret, "namespace"))
        && secret["data"]["token"].as_str().is_some_and(|token| !token.is_empty());
    if is_full { Due::Nothing } else { Due::Fill }
}

/// Runs until `shutdown`, or until the store is closed.
pub(super) async fn run(engine: Engine, store: Store, shutdown: CancellationToken) {
    let work = async {
        loop {
            match follow(&engine, &store).await {
                Stopped::Closed => return,
                Stopped::Behind => {}
                Stopped::Failed(error) => {
                    tracing::warn!(error = &*error, "secrets with tokens are not filled");
                    tokio::time::sleep(RETRY).await;
                }
            }
        }
    };
    tokio::select! {
        () = work => {}
        () = shutdown.cancelled() => {}
    }
}

/// Why following the changes ended.
enum Stopped {
    Closed,
    /// Read everything again.
    Behind,
    Failed(Box<dyn Error + Send + Sync>),
}

impl From<WatchEnd> for Stopped {
    fn from(end: WatchEnd) -> Stopped {
        match end {
            WatchEnd::Closed => Stopped::Closed,
            WatchEnd::Slow | WatchEnd::Compacted { .. } => Stopped::Behind,
            WatchEnd::Storage(_) => Stopped::Failed(Box::new(end)),
        }
    }
}

impl From<ReadError> for Stopped {
    fn from(error: ReadError) -> Stopped {
        match error {
            ReadError::Compacted { .. } | ReadError::Future { .. } => Stopped::Behind,
            ReadError::Storage(_) => Stopped::Failed(Box::new(error)),
            ReadError::Closed => Stopped::Closed,
        }
    }
}

impl From<ApiError> for Stopped {
    fn from(error: ApiError) -> Stopped {
        Stopped::Failed(Box::new(error))
    }
}

async fn follow(engine: &Engine, store: &Store) -> Stopped {
    match follow_changes(engine, store).await {
        Ok(never) => match never {},
        Err(stopped) => stopped,
    }
}

async fn follow_changes(engine: &Engine, store: &Store) -> Result<std::convert::Infallible, Stopped> {
    let watch = |kind: Kind, after| -> Result<Watcher, ReadError> {
        store.watch(WatchRequest {
            collection: Some(kind.collection()),
            namespace: None,
            after,
        })
    };
    // From here on nothing is missed; what the list shows too is judged twice.
    let mut accounts = watch(Kind::ServiceAccount, store.revision())?;
    let revision = settle_all(engine, store, None).await?;
    let mut secrets = watch(Kind::Secret, revision)?;
    loop {
        tokio::select! {
            event = secrets.next() => {
                if let WatchEvent::Change(change) = event?
                    && let Some(secret) = concerned(&change)?
                {
                    settle(engine, &secret).await?;
                }
            }
            event = accounts.next() => {
                if let WatchEvent::Change(change) = event?
                    && (change.before.is_none() || change.after.is_none())
                {
                    settle_all(engine, store, Some(&change.key.namespace)).await?;
                }
            }
        }
    }
}

/// The new version of a secret that may concern us.
fn concerned(change: &Change) -> Result<Option<Value>, ApiError> {
    match &change.after {
        Some(stored) if names_type(&stored.value) => object::decode(stored).map(Some),
        _ => Ok(None),
    }
}

/// Whether bytes have the type's name in them; most secrets are of other types and need not be decoded.
fn names_type(bytes: &[u8]) -> bool {
    let name = TOKEN_SECRET_TYPE.as_bytes();
    bytes.windows(name.len()).any(|window| window == name)
}

/// Settles all secrets, of one namespace or of all. Answers the revision of the list.
async fn settle_all(engine: &Engine, store: &Store, namespace: Option<&str>) -> Result<u64, Stopped> {
    let page = store.list(&ListRequest {
        collection: Kind::Secret.collection(),
        namespace: namespace.map(str::to_owned),
        ..ListRequest::default()
    })?;
    for stored in page.items.iter().filter(|stored| names_type(&stored.value)) {
        settle(engine, &object::decode(stored)?).await?;
    }
    Ok(page.revision)
}

async fn settle(engine: &Engine, secret: &Value) -> Result<(), ApiError> {
    if secret["type"] != TOKEN_SECRET_TYPE {
        return Ok(());
    }
    let (namespace, name) = (meta_str(secret, "namespace"), meta_str(secret, "name"));
    let account_name = secret["metadata"]["annotations"][ACCOUNT_NAME]
        .as_str()
        .unwrap_or_default();
    let account = match engine.get(resource_of(Kind::ServiceAccount), namespace, account_name) {
        Ok(account) => Some(account),
        Err(ApiError::NotFound(_)) => None,
        Err(error) => return Err(error),
    };
    let caller = Caller::system("system:controller:token-controller");
    let resource = resource_of(Kind::Secret);
    let done = match (judge(secret, account.as_ref(), engine.tokens().root_ca_pem()), account) {
        (Due::Nothing, _) | (Due::Fill, None) => return Ok(()),
        (Due::Fill, Some(account)) => {
            let patch = Patch::Merge(filling(engine, secret, &account));
            let options = WriteOptions::by(SERVER_MANAGER);
            let filled = engine.patch(&caller, resource, namespace, name, None, patch, &options);
            filled.await.map(drop)
        }
        (Due::Delete, _) => {
            let options = DeleteOptions {
                uid: Some(meta_str(secret, "uid").to_owned()),
                ..DeleteOptions::default()
            };
            let deleted = engine.delete(&caller, resource, namespace, name, options);
            deleted.await.map(drop)
        }
    };
    match done {
        // Gone, or changed meanwhile: then the change is still to come.
        Err(ApiError::NotFound(_) | ApiError::Conflict { .. }) => Ok(()),
        Err(ApiError::Invalid { .. }) => {
            tracing::warn!(namespace, name, "a secret cannot be changed and gets no token");
            Ok(())
        }
        other => other,
    }
}

/// The merge patch that gives the secret what it lacks; a token that it has stays.
fn filling(engine: &Engine, secret: &Value, account: &Value) -> Value {
    let tokens = engine.tokens();
    let held = secret["data"]["token"].as_str().filter(|token| !token.is_empty());
    let token = held.map_or_else(
        || STANDARD.encode(tokens.sign(&legacy_claims(account, secret))),
        str::to_owned,
    );
    json!({
        "metadata": {
            "resourceVersion": meta_str(secret, "resourceVersion"),
            "annotations": { ACCOUNT_UID: meta_str(account, "uid") },
        },
        "data": {
            "token": token,
            "ca.crt": STANDARD.encode(tokens.root_ca_pem()),
            "namespace": STANDARD.encode(meta_str(secret, "namespace")),
        },
    })
}

#[cfg(test)]
mod tests;
