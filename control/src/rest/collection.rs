//! Requests about whole collections: lists in pages, and their deletion.
//!
//! A plain list is encoded while it is sent, so that a big one is in memory once.

use api::resource::Resource;
use axum::body::Body;
use bytes::Bytes;
use futures::stream;
use http::{Response, StatusCode};
use serde_json::{Value, json};

use super::{
    Context, body,
    negotiate::{Form, form},
    path::ObjectPath,
    status, table,
};
use crate::engine::{ApiError, ListOptions, ListPage, object};
use crate::store::Stored;

/// Bytes of a list that are encoded at once.
const CHUNK_BYTES: usize = 64 << 10;

/// Answers a list.
pub(super) async fn list(
    context: &Context,
    resource: &Resource,
    path: &ObjectPath,
) -> Result<Response<Body>, ApiError> {
    let form = form(&context.headers)?;
    let options = context.query.list_options(resource, &path.namespace)?;
    let page = context.engine().list(resource, &options).await?;
    let metadata = list_metadata(&page);
    if form == Form::Object && object::is_shown_as_stored(resource) {
        let head = format!(
            "{{\"kind\":{},\"apiVersion\":{},\"metadata\":{metadata},\"items\":[",
            json!(resource.list_kind()),
            json!(resource.api_version()),
        );
        let body = Body::from_stream(stream::iter(
            encode(head, page.items).map(Ok::<_, std::convert::Infallible>),
        ));
        return Ok(status::bytes_answer(StatusCode::OK, "application/json", body));
    }
    let objects: Vec<Value> = page
        .items
        .iter()
        .map(|item| object::decode_as(resource, item))
        .collect::<Result<_, _>>()?;
    Ok(answer(context, resource, form, metadata, &objects))
}

/// A list of these objects in the form that the client accepts.
pub(super) fn answer(
    context: &Context,
    resource: &Resource,
    form: Form,
    metadata: Value,
    objects: &[Value],
) -> Response<Body> {
    let value = match form {
        Form::Object => json!({
            "kind": resource.list_kind(),
            "apiVersion": resource.api_version(),
            "metadata": metadata,
            "items": objects,
        }),
        Form::Table => {
            let mut table = table::render(resource, objects, table::include(&context.query));
            table["metadata"] = metadata;
            table
        }
        Form::Metadata => json!({
            "kind": "PartialObjectMetadataList",
            "apiVersion": "meta.k8s.io/v1",
            "metadata": metadata,
            "items": objects.iter().map(table::metadata_only).collect::<Vec<_>>(),
        }),
    };
    status::json(StatusCode::OK, &value)
}

fn list_metadata(page: &ListPage) -> Value {
    let mut metadata = json!({ "resourceVersion": page.revision.to_string() });
    if !page.continue_token.is_empty() {
        metadata["continue"] = json!(page.continue_token);
        if let Some(remaining) = page.remaining {
            metadata["remainingItemCount"] = json!(remaining);
        }
    }
    metadata
}

fn encode(head: String, items: Vec<Stored>) -> impl Iterator<Item = Bytes> {
    let mut items = items.into_iter();
    let mut head = Some(head.into_bytes());
    let mut first = true;
    let mut done = false;
    std::iter::from_fn(move || {
        if done {
            return None;
        }
        let mut chunk = head.take().unwrap_or_default();
        while chunk.len() < CHUNK_BYTES {
            let Some(item) = items.next() else {
                chunk.extend_from_slice(b"]}\n");
                done = true;
                break;
            };
            if !first {
                chunk.push(b',');
            }
            first = false;
            object::append_with_revision(&mut chunk, &item.value, item.modified);
        }
        Some(Bytes::from(chunk))
    })
}

/// Deletes every object of a collection that the selectors name.
pub(super) async fn delete(
    context: &Context,
    resource: &Resource,
    path: &ObjectPath,
    body: Body,
) -> Result<Response<Body>, ApiError> {
    let options = body::delete_options(context, body).await?;
    let (labels, fields) = context.query.selectors(resource)?;
    let page = context
        .engine()
        .list(
            resource,
            &ListOptions {
                namespace: path.namespace.clone(),
                labels,
                fields,
                ..ListOptions::default()
            },
        )
        .await?;
    for item in page.items {
        let key = &item.key;
        let deletion = context
            .engine()
            .delete(&context.caller, resource, &key.namespace, &key.name, options.clone());
        match deletion.await {
            // Somebody else was faster: it is gone, as asked.
            Ok(_) | Err(ApiError::NotFound(_)) => {}
            Err(error) => return Err(error),
        }
    }
    let mut details = json!({ "kind": resource.plural });
    if !resource.group.is_empty() {
        details["group"] = json!(resource.group);
    }
    Ok(status::json(StatusCode::OK, &status::success(Some(details))))
}
