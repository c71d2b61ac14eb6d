//! `/metrics`: what the server counts, for who may read that path.

use std::time::{Duration, Instant};

use axum::body::Body;
use http::{Response, StatusCode};

use super::{Context, status};
use crate::{engine::ApiError, metrics::Observed};

/// Objects are counted this often at most: it takes a walk over all keys. Kubernetes counts as often.
const COUNT_INTERVAL: Duration = Duration::from_secs(60);

const TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Everything that is counted, in Prometheus' text form.
pub(super) async fn answer(context: &Context) -> Result<Response<Body>, ApiError> {
    let store = context.engine().store().clone();
    let observed = Observed {
        objects: objects(context).await?,
        revision: store.revision(),
        oldest: store.oldest().map_err(ApiError::Read)?,
        size_bytes: store.size_bytes(),
        agents: context.rest.inner.nodes.connected().len(),
    };
    let text = context.rest.inner.metrics.render(&observed);
    let text = text.map_err(|error| ApiError::Unavailable(format!("metrics cannot be shown: {error}")))?;
    Ok(status::bytes_answer(StatusCode::OK, TEXT, text))
}

/// How many objects of each kind there are, or were a short time ago.
async fn objects(context: &Context) -> Result<Vec<(String, u64)>, ApiError> {
    let now = Instant::now();
    let mut counted = context.rest.inner.counted.lock().await;
    if let Some((at, objects)) = counted.as_ref()
        && now.duration_since(*at) < COUNT_INTERVAL
    {
        return Ok(objects.clone());
    }
    let store = context.engine().store().clone();
    let counts = tokio::task::spawn_blocking(move || store.counts()).await;
    let counts = counts.map_err(|_| ApiError::Panicked)?.map_err(ApiError::Read)?;
    let objects: Vec<_> = counts
        .into_iter()
        .map(|(collection, count)| (qualified(&collection), count))
        .collect();
    *counted = Some((now, objects.clone()));
    Ok(objects)
}

/// `deployments.apps` for `apps/deployments`.
fn qualified(collection: &str) -> String {
    match collection.rsplit_once('/') {
        Some((group, plural)) => format!("{plural}.{group}"),
        None => collection.to_owned(),
    }
}
