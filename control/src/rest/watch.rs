//! Watches: what is there, then every change, as a stream of JSON events.
//!
//! No task and no queue of its own: the store's bounded queue per watcher is read when the client takes more. The
//! bytes of an object's version are made once for all watchers.
//! Source: Kubernetes API Concepts, "Efficient detection of changes", "Watch bookmarks", "Streaming lists".

use std::{
    collections::VecDeque,
    convert::Infallible,
    time::{Duration, Instant},
    vec,
};

use api::{
    resource::Resource,
    selector::{FieldSelector, LabelSelector},
    table::IncludeObject,
};
use axum::body::Body;
use bytes::Bytes;
use futures::stream;
use http::{Response, StatusCode};
use prometheus::IntCounter;
use rand::Rng as _;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::{
    Context,
    negotiate::{Form, form},
    path::ObjectPath,
    query::parse_revision,
    status, table,
    watches::Place,
};
use crate::{
    engine::{ApiError, Engine, ListOptions, object, read_error, selects},
    store::{Change, Revision, StoreKey, Stored, WatchEnd, WatchEvent, WatchRequest, Watcher},
};

/// How often a client that asked for bookmarks hears of progress by default. As in Kubernetes.
pub(crate) const BOOKMARK_INTERVAL: Duration = Duration::from_secs(60);
/// A watch without a limit of its own lasts between this and twice this, so that clients spread over servers.
const LIFETIME_MIN: Duration = Duration::from_secs(1800);
const INITIAL_EVENTS_END: &str = "k8s.io/initial-events-end";

/// Answers a watch.
pub(super) async fn start(
    context: &Context,
    resource: &'static Resource,
    path: &ObjectPath,
) -> Result<Response<Body>, ApiError> {
    let form = form(&context.headers)?;
    let place = context.rest.inner.watches.begin(&context.caller.user)?;
    let (labels, fields) = context.query.selectors(resource)?;
    let request = Request::of(context)?;
    let lifetime = match context.query.timeout()? {
        Some(timeout) => timeout,
        None => LIFETIME_MIN.mul_f64(1.0 + rand::rng().random::<f64>()),
    };
    let filter = Filter {
        resource,
        name: path.name.clone(),
        labels,
        fields,
    };
    let engine = context.engine();
    let (initial, after) = if request.initial {
        engine.await_revision(request.revision).await?;
        let options = ListOptions {
            namespace: path.namespace.clone(),
            labels: filter.labels.clone(),
            fields: filter.fields.clone(),
            ..ListOptions::default()
        };
        let mut page = engine.list(resource, &options).await?;
        if !filter.name.is_empty() {
            page.items.retain(|item| item.key.name == filter.name);
        }
        (page.items, page.revision)
    } else if request.revision == 0 {
        (Vec::new(), engine.store().revision())
    } else {
        engine.await_revision(request.revision).await?;
        (Vec::new(), request.revision)
    };
    let watcher = engine.store().watch(WatchRequest {
        collection: Some(resource.collection()),
        namespace: (!path.namespace.is_empty()).then(|| path.namespace.clone()),
        after,
    });
    let watcher = match watcher.map_err(|error| read_error(error, after)) {
        Ok(watcher) => watcher,
        Err(error @ ApiError::Expired(_)) => {
            // The watch itself is granted; its first and only event says that it starts too far back.
            return Ok(event_stream(stream::iter([Ok::<_, Infallible>(error_event(&error))])));
        }
        Err(error) => return Err(error),
    };
    let watch = Watch {
        engine: engine.clone(),
        encoder: Encoder {
            resource,
            form,
            include: table::include(&context.query),
        },
        filter,
        initial: initial.into_iter(),
        marker: (request.initial && request.marked).then_some(after),
        watcher,
        pending: VecDeque::new(),
        bookmarks: request.bookmarks,
        told: after,
        bookmark_interval: context.rest.inner.bookmark_interval,
        next_bookmark: Instant::now() + context.rest.inner.bookmark_interval,
        deadline: Instant::now() + lifetime,
        shutdown: context.rest.inner.shutdown.clone(),
        retired: engine.registry().end_of(resource),
        sent: context.rest.inner.metrics.requests.watch_events.with_label_values(&[
            resource.group,
            resource.version,
            resource.plural,
        ]),
        _place: place,
        ended: false,
    };
    Ok(event_stream(stream::unfold(watch, |mut watch| async move {
        let bytes = watch.next().await?;
        Some((Ok::<_, Infallible>(bytes), watch))
    })))
}

fn event_stream(events: impl futures::Stream<Item = Result<Bytes, Infallible>> + Send + 'static) -> Response<Body> {
    status::bytes_answer(StatusCode::OK, "application/json", Body::from_stream(events))
}

/// Where a watch starts and what it tells besides changes.
struct Request {
    revision: Revision,
    /// Begin with what is there.
    initial: bool,
    /// Close what is there with a bookmark.
    marked: bool,
    bookmarks: bool,
}

impl Request {
    fn of(context: &Context) -> Result<Request, ApiError> {
        let query = &context.query;
        let revision = match query.get("resourceVersion") {
            "" => 0,
            text => parse_revision(text)?,
        };
        let asked = query.has("sendInitialEvents");
        let matching = query.get("resourceVersionMatch");
        if asked && matching != "NotOlderThan" {
            return Err(ApiError::BadRequest(
                "resourceVersionMatch: Forbidden: sendInitialEvents requires setting resourceVersionMatch to \
                 NotOlderThan"
                    .to_owned(),
            ));
        }
        if !asked && !matching.is_empty() {
            return Err(ApiError::BadRequest(
                "resourceVersionMatch: Forbidden: resourceVersionMatch is forbidden for watch unless \
                 sendInitialEvents is provided"
                    .to_owned(),
            ));
        }
        let wanted = query.flag("sendInitialEvents");
        Ok(Request {
            revision,
            initial: if asked { wanted } else { revision == 0 },
            marked: wanted,
            bookmarks: query.flag("allowWatchBookmarks"),
        })
    }
}

struct Filter {
    resource: &'static Resource,
    /// Empty: all names.
    name: String,
    labels: LabelSelector,
    fields: FieldSelector,
}

impl Filter {
    fn is_open(&self) -> bool {
        self.labels.is_everything() && self.fields.is_everything()
    }

    fn is_about(&self, key: &StoreKey) -> bool {
        self.name.is_empty() || self.name == key.name
    }

    fn matches(&self, stored: &Stored) -> Result<bool, ApiError> {
        if !self.is_about(&stored.key) {
            return Ok(false);
        }
        Ok(self.is_open()
            || selects(
                &object::decode_as(self.resource.stored(), stored)?,
                &self.labels,
                &self.fields,
            ))
    }
}

/// One running watch.
struct Watch {
    /// Has what changes converted to the row's version.
    engine: Engine,
    encoder: Encoder,
    filter: Filter,
    initial: vec::IntoIter<Stored>,
    /// Present until the end of the initial objects was told.
    marker: Option<Revision>,
    watcher: Watcher,
    /// Parts of an event that are still to be sent.
    pending: VecDeque<Bytes>,
    bookmarks: bool,
    /// The revision that the client was last told in an event or a bookmark.
    told: Revision,
    bookmark_interval: Duration,
    next_bookmark: Instant,
    deadline: Instant,
    shutdown: CancellationToken,
    /// The kind is no longer served, or its schema changed: the client starts again from what there is.
    retired: CancellationToken,
    /// Among the watches that there may be.
    _place: Place,
    /// Counts events.
    sent: IntCounter,
    ended: bool,
}

impl Watch {
    /// The next bytes; `None` ends the stream.
    async fn next(&mut self) -> Option<Bytes> {
        loop {
            if let Some(bytes) = self.pending.pop_front() {
                return Some(bytes);
            }
            if self.ended {
                return None;
            }
            if let Err(error) = self.step().await {
                self.pending.push_back(error_event(&error));
                self.ended = true;
            }
        }
    }

    async fn step(&mut self) -> Result<(), ApiError> {
        if let Some(stored) = self.initial.next() {
            let bytes = self.encoder.version(&stored)?;
            self.push("ADDED", bytes);
            return Ok(());
        }
        if let Some(revision) = self.marker.take() {
            let bookmark = self.encoder.bookmark(revision, true);
            self.push("BOOKMARK", bookmark);
            return Ok(());
        }
        let wake = if self.bookmarks {
            self.deadline.min(self.next_bookmark)
        } else {
            self.deadline
        };
        tokio::select! {
            biased;
            () = self.shutdown.cancelled() => self.ended = true,
            event = self.watcher.next() => match event {
                Ok(WatchEvent::Change(change)) => self.change(&change).await?,
                Ok(WatchEvent::Progress(_)) => {}
                // A slow reader starts again from the last version it knows; so does everyone when the store closes.
                Err(WatchEnd::Slow | WatchEnd::Closed) => self.ended = true,
                Err(WatchEnd::Compacted { .. }) => {
                    return Err(ApiError::Expired(format!("too old resource version: {}", self.watcher.revision())));
                }
                Err(WatchEnd::Storage(error)) => return Err(ApiError::Read(error.into())),
            },
            () = self.retired.cancelled() => self.ended = true,
            () = tokio::time::sleep_until(wake.into()) => self.time_passed(),
        }
        Ok(())
    }

    fn time_passed(&mut self) {
        let now = Instant::now();
        if now >= self.deadline {
            self.ended = true;
            return;
        }
        self.next_bookmark = now + self.bookmark_interval;
        let seen = self.watcher.revision();
        if seen > self.told {
            let bookmark = self.encoder.bookmark(seen, false);
            self.told = seen;
            self.push("BOOKMARK", bookmark);
        }
    }

    async fn change(&mut self, change: &Change) -> Result<(), ApiError> {
        if !self.filter.is_about(&change.key) || !self.engine.is_converted(self.filter.resource) {
            return self.tell(change);
        }
        let shutdown = self.shutdown.clone();
        let change = tokio::select! {
            biased;
            () = shutdown.cancelled() => {
                self.ended = true;
                return Ok(());
            }
            change = self.converted(change) => change?,
        };
        self.tell(&change)
    }

    /// The change in the row's version, as far as it is told.
    async fn converted(&self, change: &Change) -> Result<Change, ApiError> {
        let convert = async |stored: &Stored| self.engine.watched_in_version(self.filter.resource, stored).await;
        let after = match &change.after {
            Some(after) => Some(convert(after).await?),
            None => None,
        };
        let before = match &change.before {
            // Where everything is selected, it only counts that there was something.
            Some(before) if after.is_some() && self.filter.is_open() => Some(before.clone()),
            Some(before) => Some(convert(before).await?),
            None => None,
        };
        Ok(Change::new(change.revision, change.key.clone(), before, after))
    }

    fn tell(&mut self, change: &Change) -> Result<(), ApiError> {
        let matches = |stored: Option<&Stored>| stored.map_or(Ok(false), |stored| self.filter.matches(stored));
        let (before, after) = (matches(change.before.as_ref())?, matches(change.after.as_ref())?);
        let kind = match (before, after) {
            (false, false) => return Ok(()),
            (false, true) => "ADDED",
            (true, true) => "MODIFIED",
            (true, false) => "DELETED",
        };
        let bytes = match (&change.before, &change.after) {
            // It is still there but no longer selected: the client is shown what it was.
            (Some(gone), Some(_)) if !after => {
                let gone = Stored {
                    modified: change.revision,
                    ..gone.clone()
                };
                self.encoder.version(&gone)?
            }
            _ => self.encoder.change(change)?,
        };
        self.told = change.revision;
        self.push(kind, bytes);
        Ok(())
    }

    fn push(&mut self, kind: &'static str, object: Bytes) {
        self.sent.inc();
        let head: &'static [u8] = match kind {
            "ADDED" => b"{\"type\":\"ADDED\",\"object\":",
            "MODIFIED" => b"{\"type\":\"MODIFIED\",\"object\":",
            "DELETED" => b"{\"type\":\"DELETED\",\"object\":",
            _ => b"{\"type\":\"BOOKMARK\",\"object\":",
        };
        self.pending.push_back(Bytes::from_static(head));
        self.pending.push_back(object);
        self.pending.push_back(Bytes::from_static(b"}\n"));
    }
}

/// Brings versions of objects into the form the client asked for.
struct Encoder {
    resource: &'static Resource,
    form: Form,
    include: IncludeObject,
}

impl Encoder {
    /// The object of a change, as it is or, if it went, as it was, with the change's revision.
    fn change(&self, change: &Change) -> Result<Bytes, ApiError> {
        let bytes = object::rendered(change);
        if self.form == Form::Object && object::is_shown_as_stored(self.resource) {
            return Ok(bytes.clone());
        }
        let mut value = serde_json::from_slice(bytes).map_err(|source| ApiError::Corrupt {
            key: change.key.to_string(),
            source,
        })?;
        object::show_as(self.resource, &mut value);
        Ok(self.transformed(value))
    }

    fn version(&self, stored: &Stored) -> Result<Bytes, ApiError> {
        if self.form == Form::Object {
            return object::bytes_as(self.resource, stored);
        }
        Ok(self.transformed(object::decode_as(self.resource, stored)?))
    }

    fn transformed(&self, object: Value) -> Bytes {
        let value = match self.form {
            Form::Object => object,
            Form::Metadata => table::metadata_only(&object),
            Form::Table => {
                let version = object["metadata"]["resourceVersion"].clone();
                let mut table = table::render(self.resource, &[object], self.include);
                table["metadata"]["resourceVersion"] = version;
                table
            }
        };
        Bytes::from(value.to_string())
    }

    fn bookmark(&self, revision: Revision, initial_end: bool) -> Bytes {
        let mut metadata = json!({ "resourceVersion": revision.to_string(), "creationTimestamp": null });
        if initial_end {
            metadata["annotations"] = json!({ INITIAL_EVENTS_END: "true" });
        }
        let value = match self.form {
            Form::Object => json!({
                "kind": self.resource.kind,
                "apiVersion": self.resource.api_version(),
                "metadata": metadata,
            }),
            Form::Metadata => json!({
                "kind": "PartialObjectMetadata",
                "apiVersion": "meta.k8s.io/v1",
                "metadata": metadata,
            }),
            Form::Table => {
                let mut table = table::render(self.resource, &[], self.include);
                table["metadata"] = metadata;
                table
            }
        };
        Bytes::from(value.to_string())
    }
}

fn error_event(error: &ApiError) -> Bytes {
    let event = json!({ "type": "ERROR", "object": status::failure(error) });
    Bytes::from(format!("{event}\n"))
}
