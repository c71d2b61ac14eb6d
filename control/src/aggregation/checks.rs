//! Asks other API servers whether they are there and what they serve, and writes it down.
//!
//! Wakes when an APIService, or a service that one names, or an endpoint of it changes; and from time to time while
//! there is one, since a server may fail without any of these.

use std::{error::Error, time::Duration};

use api::{
    Kind, Timestamp,
    discovery::aggregated_resources,
    resource::{self, Resource},
};
use axum::body::Body;
use http::{Request, header};
use reconcile::availability::{self, Verdict};
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use super::{AGGREGATOR_USER, Aggregation, Heard, Remote, identify};
use crate::{
    auth::Caller,
    driver::resource_of,
    engine::{ApiError, Engine, ListOptions, SERVER_MANAGER, WriteOptions, chain, object},
    reach,
    store::{Change, ReadError, Stored, WatchEvent, WatchRequest, Watcher},
    stream::Nodes,
};

/// How long a server may take to answer.
const ANSWER_WAIT: Duration = Duration::from_secs(5);
/// How often servers are asked that nothing was heard of.
const CHECK_AGAIN: Duration = Duration::from_secs(30);
/// The same while one of them cannot be asked.
const CHECK_SOON: Duration = Duration::from_secs(3);
/// Pause after the store could not be read.
const RETRY: Duration = Duration::from_secs(1);

/// Runs until `stop`.
pub(crate) async fn run(aggregation: Aggregation, engine: Engine, nodes: Nodes, stop: CancellationToken) {
    let checks = Checks {
        aggregation,
        engine,
        nodes,
    };
    tokio::select! {
        () = stop.cancelled() => {}
        () = checks.follow() => {}
    }
}

struct Checks {
    aggregation: Aggregation,
    engine: Engine,
    nodes: Nodes,
}

impl Checks {
    async fn follow(&self) {
        loop {
            if let Err(error) = self.check_all().await {
                tracing::warn!(error = &error as &dyn Error, "API services cannot be followed");
                tokio::time::sleep(RETRY).await;
            }
        }
    }

    /// Checks, and returns when it is to be done again.
    async fn check_all(&self) -> Result<(), ReadError> {
        let before = self.engine.store().revision();
        let remotes = self.remotes().await?;
        // At once: one that does not answer holds up no other.
        let checked = remotes.iter().map(|(name, service)| self.check(name, service));
        let are_available = futures::future::join_all(checked).await;
        let again = if are_available.contains(&false) {
            CHECK_SOON
        } else {
            CHECK_AGAIN
        };
        self.aggregation
            .inner
            .heard
            .lock()
            .retain(|name, _| remotes.iter().any(|(known, _)| known == name));
        let store = self.engine.store();
        let watch = |row: &Resource| {
            store.watch(WatchRequest {
                collection: Some(row.collection()),
                after: before,
                ..WatchRequest::default()
            })
        };
        let mut api_services = watch(row())?;
        let others_change = until(&mut api_services, is_another);
        if remotes.is_empty() {
            others_change.await;
            return Ok(());
        }
        let is_named = |namespace: &str, name: &str| {
            remotes.iter().any(|(_, service)| {
                let reference = &service["spec"]["service"];
                reference["namespace"] == *namespace && reference["name"] == *name
            })
        };
        let mut services = watch(resource_of(Kind::Service))?;
        let mut slices = watch(resource_of(Kind::EndpointSlice))?;
        let services_change = until(&mut services, |change| {
            is_named(&change.key.namespace, &change.key.name)
        });
        let slices_change = until(&mut slices, |change| {
            service_of(change).is_some_and(|name| is_named(&change.key.namespace, &name))
        });
        tokio::select! {
            () = others_change => {}
            () = services_change => {}
            () = slices_change => {}
            () = tokio::time::sleep(again) => {}
        }
        Ok(())
    }

    /// The APIServices of other servers, by name.
    async fn remotes(&self) -> Result<Vec<(String, Value)>, ReadError> {
        let page = match self.engine.list(row(), &ListOptions::default()).await {
            Ok(page) => page,
            Err(ApiError::Read(error)) => return Err(error),
            Err(error) => {
                tracing::warn!(error = &error as &dyn Error, "API services were not listed");
                return Ok(Vec::new());
            }
        };
        let decoded = page.items.iter().filter_map(|item| object::decode(item).ok());
        Ok(decoded
            .filter(|service| service["spec"]["service"].is_object())
            .map(|service| (object::meta_str(&service, "name").to_owned(), service))
            .collect())
    }

    /// Checks a server and writes down what was found; whether it can be asked.
    async fn check(&self, name: &str, service: &Value) -> bool {
        let verdict = match self.judge(name, service).await {
            Ok(verdict) => verdict,
            Err(error) => {
                tracing::warn!(name, error = &error as &dyn Error, "API service was not checked");
                return false;
            }
        };
        let Some(status) = availability::status(service, &verdict, Timestamp::now()) else {
            return verdict.is_available;
        };
        tracing::info!(
            name,
            available = verdict.is_available,
            message = verdict.message,
            "API service"
        );
        let mut wanted = service.clone();
        wanted["status"] = status;
        let caller = Caller::system("system:apiserver");
        let options = WriteOptions::by(SERVER_MANAGER);
        let written = self
            .engine
            .update(&caller, row(), "", name, Some("status"), wanted, &options);
        match written.await {
            // Whoever was faster wakes us.
            Ok(_) | Err(ApiError::NotFound(_) | ApiError::Conflict { .. }) => {}
            Err(error) => tracing::warn!(
                name,
                error = &error as &dyn Error,
                "status of an API service not written"
            ),
        }
        verdict.is_available
    }

    async fn judge(&self, name: &str, service: &Value) -> Result<Verdict, ApiError> {
        let spec = &service["spec"];
        let text = |field: &str| spec["service"][field].as_str().unwrap_or_default();
        let behind = match self
            .engine
            .get(resource_of(Kind::Service), text("namespace"), text("name"))
        {
            Ok(found) => Some(found),
            Err(ApiError::NotFound(_)) => None,
            Err(error) => return Err(error),
        };
        let slices = reach::slices(&self.engine, text("namespace"), text("name")).await?;
        if let Some(obstacle) = availability::obstacle(spec, behind.as_ref(), &slices) {
            return Ok(obstacle);
        }
        let version = spec["version"].as_str().unwrap_or_default();
        let found = self
            .aggregation
            .remote(spec["group"].as_str().unwrap_or_default(), version)?;
        let Some(found) = found else {
            // It was deleted just now.
            return Ok(Verdict::passed());
        };
        let path = format!("/{}", found.remote.openapi_path());
        let url = match self.aggregation.destination(&found.remote) {
            Ok(destination) => format!("{}{path}", destination.url()),
            Err(_) => path.clone(),
        };
        Ok(match self.ask(&found.remote, &path).await {
            Ok(list) => {
                let heard = Heard {
                    resources: Some(aggregated_resources(&list)),
                    openapi: self.openapi(&found.remote).await,
                };
                self.aggregation.inner.heard.lock().insert(name.to_owned(), heard);
                Verdict::passed()
            }
            Err(why) => {
                self.aggregation.inner.heard.lock().remove(name);
                Verdict::failed(&url, &why)
            }
        })
    }

    /// Where its OpenAPI document is; a server need not have one.
    async fn openapi(&self, remote: &Remote) -> Option<String> {
        let index = self.ask(remote, "/openapi/v3").await.ok()?;
        let url = index["paths"][remote.openapi_path()]["serverRelativeURL"].as_str()?;
        Some(url.to_owned())
    }

    /// A document that it answers, or why it does not.
    async fn ask(&self, remote: &Remote, path: &str) -> Result<Value, String> {
        let destination = self
            .aggregation
            .destination(remote)
            .map_err(|error| error.to_string())?;
        let mut request = Request::new(Body::empty());
        *request.uri_mut() = path.parse().map_err(|_| format!("{path:?} is no path"))?;
        let json = http::HeaderValue::from_static("application/json");
        request.headers_mut().insert(header::ACCEPT, json);
        identify(request.headers_mut(), &Caller::system(AGGREGATOR_USER)).map_err(|error| error.to_string())?;
        let answer = reach::send(&self.engine, &self.nodes, destination, request, ANSWER_WAIT).await;
        let (status, body) = answer.map_err(|error| chain(&error))?;
        if !status.is_success() {
            return Err(format!("bad status from {path}: {}", status.as_u16()));
        }
        serde_json::from_slice(&body).map_err(|error| format!("the answer is not JSON: {error}"))
    }
}

/// Returns at the next change that matters, or when one may have been missed.
async fn until(watcher: &mut Watcher, matters: impl Fn(&Change) -> bool) {
    loop {
        match watcher.next().await {
            Ok(WatchEvent::Change(change)) if !matters(&change) => {}
            Ok(WatchEvent::Progress(_)) => {}
            Ok(WatchEvent::Change(_)) | Err(_) => return,
        }
    }
}

/// Whether an APIService says something else than before; a status alone, which we write, does not.
fn is_another(change: &Change) -> bool {
    let spec = |stored: Option<&Stored>| {
        let object: Option<Value> = stored.and_then(|stored| serde_json::from_slice(&stored.value).ok());
        object.map(|object| object["spec"].clone())
    };
    spec(change.before.as_ref()) != spec(change.after.as_ref())
}

/// The service that an EndpointSlice is of.
fn service_of(change: &Change) -> Option<String> {
    let stored = change.after.as_ref().or(change.before.as_ref())?;
    let slice: Value = serde_json::from_slice(&stored.value).ok()?;
    let name = slice["metadata"]["labels"][reach::SERVICE_NAME].as_str()?;
    Some(name.to_owned())
}

/// The row of APIServices.
pub(crate) fn row() -> &'static Resource {
    resource::by_path("apiregistration.k8s.io", "v1", "apiservices").expect("the table has the kind")
}
