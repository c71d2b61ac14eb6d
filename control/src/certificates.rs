//! CertificateSigningRequests: recognized ones approved, approved ones signed, old ones deleted.
//!
//! What is to be done is decided by pure functions (`due`, `signer`); this carries it out with the cluster's authority.
//! Not a planner: a signature is made with a key and at random. Never here: who may approve (`rights`, which the engine
//! asks), and how a certificate is put together (`pki`).
//! Source: Kubernetes, "Certificates and Certificate Signing Requests".

mod asked;
mod due;
#[cfg(test)]
mod examples;
pub(crate) mod rights;
mod signer;

use std::{collections::BTreeMap, convert::Infallible, error::Error, time::Duration};

use api::{Timestamp, resource::Resource};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

#[cfg(test)]
pub(crate) use self::asked::Asked;
use self::due::{Due, Recognized, plan};
pub(crate) use self::{asked::AlternativeName, due::Order, signer::Usage};
use crate::{
    authorization::{Request, ResourceRequest},
    engine::{ApiError, Caller, DeleteOptions, Engine, Patch, SERVER_MANAGER, WriteOptions, object, object::meta_str},
    pki::{Authority, IssueError},
    store::{ListRequest, ReadError, Store, WatchEnd, WatchEvent, WatchRequest, Watcher},
};

/// Pause after the store could not be read or written.
const RETRY: Duration = Duration::from_secs(5);
/// Rights come and go with these; pending requests are then looked at again.
const RIGHTS: [&str; 2] = ["clusterroles", "clusterrolebindings"];

/// What certificates are signed with.
pub(crate) struct Signing {
    pub(crate) authority: Authority,
    /// No certificate is good for longer.
    pub(crate) life_max: Duration,
}

/// Runs until `shutdown`, or until the store is closed.
pub(crate) async fn run(engine: Engine, store: Store, signing: Signing, shutdown: CancellationToken) {
    let work = async {
        loop {
            let ended = match follow(&engine, &store, &signing).await {
                Ok(never) => match never {},
                Err(ended) => ended,
            };
            match ended {
                Ended::Closed => return,
                Ended::Behind => {}
                Ended::Failed(error) => {
                    tracing::warn!(error = &*error, "requests of certificates are not carried out");
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
enum Ended {
    Closed,
    /// Read everything again.
    Behind,
    Failed(Box<dyn Error + Send + Sync>),
}

impl From<WatchEnd> for Ended {
    fn from(end: WatchEnd) -> Ended {
        match end {
            WatchEnd::Closed => Ended::Closed,
            WatchEnd::Slow | WatchEnd::Compacted { .. } => Ended::Behind,
            WatchEnd::Storage(_) => Ended::Failed(Box::new(end)),
        }
    }
}

impl From<ReadError> for Ended {
    fn from(error: ReadError) -> Ended {
        match error {
            ReadError::Compacted { .. } | ReadError::Future { .. } => Ended::Behind,
            ReadError::Storage(_) => Ended::Failed(Box::new(error)),
            ReadError::Closed => Ended::Closed,
        }
    }
}

impl From<ApiError> for Ended {
    fn from(error: ApiError) -> Ended {
        match error {
            ApiError::Read(error) => error.into(),
            error => Ended::Failed(Box::new(error)),
        }
    }
}

/// Names of requests, by when to look at them again.
type Deadlines = BTreeMap<String, Timestamp>;

/// Rights are asked for once the store has told every watcher of a change: who keeps them may hear of it after us.
async fn follow(engine: &Engine, store: &Store, signing: &Signing) -> Result<Infallible, Ended> {
    let watch = |collection: String, after| -> Result<Watcher, ReadError> {
        store.watch(WatchRequest {
            collection: Some(collection),
            namespace: None,
            after,
        })
    };
    // From here on nothing is missed; what the list shows too is judged twice.
    let [roles, bindings] = RIGHTS.map(|plural| watch(rbac(plural).collection(), store.revision()));
    let (mut roles, mut bindings) = (roles?, bindings?);
    let mut deadlines = Deadlines::new();
    let revision = settle_all(engine, store, signing, &mut deadlines).await?;
    let mut requests = watch(resource().collection(), revision)?;
    loop {
        let next = deadlines.values().min().copied();
        tokio::select! {
            event = requests.next() => {
                let WatchEvent::Change(change) = event? else { continue };
                store.wait_for(change.revision).await;
                deadlines.remove(&change.key.name);
                if let Some(stored) = &change.after {
                    settle(engine, signing, &object::decode(stored)?, &mut deadlines).await?;
                }
            }
            event = roles.next() => {
                if let WatchEvent::Change(change) = event? {
                    store.wait_for(change.revision).await;
                    settle_all(engine, store, signing, &mut deadlines).await?;
                }
            }
            event = bindings.next() => {
                if let WatchEvent::Change(change) = event? {
                    store.wait_for(change.revision).await;
                    settle_all(engine, store, signing, &mut deadlines).await?;
                }
            }
            () = until(next) => settle_due(engine, signing, &mut deadlines).await?,
        }
    }
}

async fn until(time: Option<Timestamp>) {
    match time {
        None => std::future::pending().await,
        Some(time) => {
            let left = time.duration_since(Timestamp::now());
            tokio::time::sleep(Duration::try_from(left).unwrap_or_default()).await;
        }
    }
}

fn rbac(plural: &str) -> &'static Resource {
    api::resource::by_path("rbac.authorization.k8s.io", "v1", plural).expect("the table has the kinds of RBAC")
}

/// The common name that a request asks for, if it can be read.
pub(crate) fn common_name(request: &Value) -> Option<String> {
    asked::Asked::of(request).ok().map(|asked| asked.common_name)
}

/// The row of requests.
fn resource() -> &'static Resource {
    api::resource::by_path("certificates.k8s.io", "v1", "certificatesigningrequests")
        .expect("the table has CertificateSigningRequest")
}

async fn settle_all(
    engine: &Engine,
    store: &Store,
    signing: &Signing,
    deadlines: &mut Deadlines,
) -> Result<u64, Ended> {
    let page = store.list(&ListRequest {
        collection: resource().collection(),
        ..ListRequest::default()
    })?;
    deadlines.clear();
    for stored in &page.items {
        settle(engine, signing, &object::decode(stored)?, deadlines).await?;
    }
    Ok(page.revision)
}

async fn settle_due(engine: &Engine, signing: &Signing, deadlines: &mut Deadlines) -> Result<(), Ended> {
    let now = Timestamp::now();
    let due: Vec<String> = deadlines
        .iter()
        .filter(|(_, at)| **at <= now)
        .map(|(name, _)| name.clone())
        .collect();
    for name in due {
        deadlines.remove(&name);
        match engine.get(resource(), "", &name) {
            Ok(request) => settle(engine, signing, &request, deadlines).await?,
            Err(ApiError::NotFound(_)) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

async fn settle(
    engine: &Engine,
    signing: &Signing,
    request: &Value,
    deadlines: &mut Deadlines,
) -> Result<(), ApiError> {
    let name = meta_str(request, "name");
    let plan = plan(request, signing.life_max, Timestamp::now());
    if let Some(at) = plan.look_again {
        deadlines.insert(name.to_owned(), at);
    }
    let done = match plan.due {
        Due::Nothing => return Ok(()),
        Due::Approve(recognized) => match allowed(engine, request, recognized)? {
            Some(recognized) => {
                let patch = with_condition(request, "Approved", "AutoApproved", recognized.message());
                tracing::info!(request = name, user = %request["spec"]["username"], "certificate request approved");
                write(engine, request, "approval", patch).await
            }
            None => return Ok(()),
        },
        Due::Fail(message) => {
            let patch = with_condition(request, "Failed", "SignerValidationFailure", &message);
            tracing::info!(
                request = name,
                reason = message,
                "certificate request refused by its signer"
            );
            write(engine, request, "status", patch).await
        }
        Due::Sign(order) => {
            let patch = match signing.authority.sign_order(&order) {
                Ok(pem) => {
                    tracing::info!(request = name, "certificate signed");
                    json!({ "status": { "certificate": STANDARD.encode(pem) } })
                }
                Err(error @ IssueError::BadName { .. }) => {
                    with_condition(request, "Failed", "SignerValidationFailure", &error.to_string())
                }
                Err(error) => {
                    tracing::error!(request = name, error = &error as &dyn Error, "certificate not signed");
                    let again = Timestamp::now().saturating_add(RETRY).unwrap_or(Timestamp::MAX);
                    deadlines.insert(name.to_owned(), again);
                    return Ok(());
                }
            };
            write(engine, request, "status", patch).await
        }
        Due::Delete => {
            let options = DeleteOptions {
                uid: Some(meta_str(request, "uid").to_owned()),
                resource_version: Some(meta_str(request, "resourceVersion").to_owned()),
                ..DeleteOptions::default()
            };
            let caller = caller();
            let deleted = engine.delete(&caller, resource(), "", name, options);
            deleted.await.map(drop)
        }
    };
    match done {
        // Gone, or changed meanwhile: then the change is still to come.
        Err(ApiError::NotFound(_) | ApiError::Conflict { .. }) | Ok(()) => Ok(()),
        Err(error @ (ApiError::Read(_) | ApiError::Commit(_))) => Err(error),
        // One request that cannot be written does not keep the others waiting.
        Err(error) => {
            tracing::warn!(
                request = name,
                error = &error as &dyn Error,
                "certificate request not carried out"
            );
            Ok(())
        }
    }
}

fn caller() -> Caller {
    Caller::system("system:controller:certificate-controller")
}

/// The first of these that the request's maker has the right to.
fn allowed(engine: &Engine, request: &Value, recognized: Vec<Recognized>) -> Result<Option<Recognized>, ApiError> {
    let spec = &request["spec"];
    let groups = spec["groups"].as_array().into_iter().flatten();
    let maker = Caller {
        user: spec["username"].as_str().unwrap_or_default().to_owned(),
        groups: groups.filter_map(Value::as_str).map(str::to_owned).collect(),
        ..Caller::default()
    };
    for recognized in recognized {
        let asked = Request::Resource(ResourceRequest {
            verb: "create".to_owned(),
            group: resource().group.to_owned(),
            resource: resource().plural.to_owned(),
            subresource: recognized.subresource().to_owned(),
            ..ResourceRequest::default()
        });
        if engine.access().decide(&maker, &asked).map_err(ApiError::Read)?.allowed {
            return Ok(Some(recognized));
        }
    }
    Ok(None)
}

/// The merge patch that adds a condition.
fn with_condition(request: &Value, kind: &str, reason: &str, message: &str) -> Value {
    let mut conditions = request["status"]["conditions"].as_array().cloned().unwrap_or_default();
    conditions.push(json!({ "type": kind, "status": "True", "reason": reason, "message": message }));
    json!({ "status": { "conditions": conditions } })
}

async fn write(engine: &Engine, request: &Value, subresource: &str, mut patch: Value) -> Result<(), ApiError> {
    patch["metadata"] = json!({ "resourceVersion": meta_str(request, "resourceVersion") });
    let (caller, name, options) = (caller(), meta_str(request, "name"), WriteOptions::by(SERVER_MANAGER));
    let patch = Patch::Merge(patch);
    let written = engine.patch(&caller, resource(), "", name, Some(subresource), patch, &options);
    written.await.map(drop)
}
