//! Requests about whole collections: lists in pages, and their deletion.
//!
//! A plain list is read and encoded while it is sent, so that of a big one only a part is in memory at a time.

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
use crate::engine::{ApiError, ListOptions, ListPage, Scan, object};
use crate::store::Stored;

/// Bytes of a list that are handed to its connection at once, at least.
const CHUNK_BYTES: usize = 64 << 10;
/// What stands behind a list's items.
const TAIL: &[u8] = b"]}\n";
/// What an item's revision takes.
const REVISION_BYTES: usize = 40;

/// Answers a list.
pub(super) async fn list(
    context: &Context,
    resource: &'static Resource,
    path: &ObjectPath,
) -> Result<Response<Body>, ApiError> {
    let form = form(&context.headers)?;
    let options = context.query.list_options(resource, &path.namespace)?;
    let is_whole = options.limit == 0 && options.continue_token.is_empty();
    if is_whole && form == Form::Object && object::is_shown_as_stored(resource) {
        let scan = context.engine().scan(resource, options).await?;
        let head = head(resource, &json!({ "resourceVersion": scan.revision().to_string() }));
        let body = Body::from_stream(stream::iter(Sent::new(head, scan)));
        return Ok(status::bytes_answer(StatusCode::OK, "application/json", body));
    }
    let page = context.engine().list(resource, &options).await?;
    let metadata = list_metadata(&page);
    if form == Form::Object && object::is_shown_as_stored(resource) {
        let mut bytes = head(resource, &metadata);
        append(&mut bytes, &page.items, true);
        bytes.extend_from_slice(TAIL);
        return Ok(status::bytes_answer(StatusCode::OK, "application/json", bytes));
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

/// What stands before a list's items.
fn head(resource: &Resource, metadata: &Value) -> Vec<u8> {
    format!(
        "{{\"kind\":{},\"apiVersion\":{},\"metadata\":{metadata},\"items\":[",
        json!(resource.list_kind()),
        json!(resource.api_version()),
    )
    .into_bytes()
}

/// Appends items as they are stored; `is_first`: nothing stands before them in the list.
fn append(bytes: &mut Vec<u8>, items: &[Stored], is_first: bool) {
    bytes.reserve(items.iter().map(|item| item.value.len() + REVISION_BYTES).sum());
    for (index, item) in items.iter().enumerate() {
        if index > 0 || !is_first {
            bytes.push(b',');
        }
        object::append_with_revision(bytes, &item.value, item.modified);
    }
}

/// A list that is read while it is sent. After an error the answer breaks off: its client learns that it has not all.
struct Sent {
    scan: Scan,
    head: Option<Vec<u8>>,
    /// No item was sent yet.
    is_empty: bool,
    is_over: bool,
}

impl Sent {
    fn new(head: Vec<u8>, scan: Scan) -> Sent {
        Sent {
            scan,
            head: Some(head),
            is_empty: true,
            is_over: false,
        }
    }

    fn chunk(&mut self) -> Result<Bytes, ApiError> {
        let mut bytes = self.head.take().unwrap_or_default();
        while bytes.len() < CHUNK_BYTES {
            let Some(items) = self.scan.next().transpose()? else {
                self.is_over = true;
                bytes.extend_from_slice(TAIL);
                break;
            };
            append(&mut bytes, &items, self.is_empty);
            self.is_empty &= items.is_empty();
        }
        Ok(Bytes::from(bytes))
    }
}

impl Iterator for Sent {
    type Item = Result<Bytes, ApiError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.is_over {
            return None;
        }
        let chunk = self.chunk();
        self.is_over |= chunk.is_err();
        Some(chunk)
    }
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
