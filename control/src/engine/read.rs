//! Reads: one object, a scale, pages of a collection at a revision.
//!
//! Source: Kubernetes API Concepts, "Resource versions" and "Retrieving large results sets in chunks".

use std::time::Duration;

use api::{
    resource::Resource,
    selector::{FieldSelector, LabelSelector},
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Value, json};

use super::{ApiError, Engine, key, object, scale};
use crate::store::{ListRequest, ReadError, Revision, StoreKey, Stored};

/// How long a read waits for a revision that is still to come.
const FUTURE_WAIT: Duration = Duration::from_secs(3);
/// Objects read from the store at once while filtering; bounds the memory of one request.
const SCAN_PAGE: usize = 500;
/// Objects of a whole list that are in memory at once, while it is sent.
const SCAN_PART: usize = 128;

/// At which revision to list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ListVersion {
    /// The newest.
    #[default]
    Newest,
    /// The newest that is not older than this.
    NotOlderThan(Revision),
    /// Exactly this.
    Exact(Revision),
}

/// What to list.
#[derive(Debug, Clone, Default)]
pub struct ListOptions {
    /// One namespace; all if empty.
    pub namespace: String,
    /// Only objects with these labels.
    pub labels: LabelSelector,
    /// Only objects with these fields.
    pub fields: FieldSelector,
    /// At most this many; 0: all.
    pub limit: usize,
    /// From the former page.
    pub continue_token: String,
    /// At which revision; ignored with a token.
    pub version: ListVersion,
}

impl ListOptions {
    /// What the store is asked for, at this revision.
    fn request(&self, resource: &Resource, at: Option<Revision>) -> ListRequest {
        ListRequest {
            collection: resource.collection(),
            namespace: (!self.namespace.is_empty()).then(|| self.namespace.clone()),
            at,
            ..ListRequest::default()
        }
    }

    fn is_filtered(&self) -> bool {
        !self.labels.is_everything() || !self.fields.is_everything()
    }
}

/// A page of objects.
#[derive(Debug, Clone)]
pub struct ListPage {
    /// By namespace and name.
    pub items: Vec<Stored>,
    /// The store's revision that the list shows.
    pub revision: Revision,
    /// Gives the next page; empty if this is the last.
    pub continue_token: String,
    /// How many objects follow, where that is known.
    pub remaining: Option<usize>,
}

impl Engine {
    /// The object, with its `resourceVersion`; not of a kind that a webhook converts.
    ///
    /// # Errors
    /// `NotFound`, or the store cannot be read.
    pub fn get(&self, resource: &Resource, namespace: &str, name: &str) -> Result<Value, ApiError> {
        let stored = self.stored(resource.stored(), &key(resource, namespace, name))?;
        object::decode_as(resource, &stored)
    }

    /// The object of any kind in the row's version; see [`object::decode_as`] and [`object::bytes_as`] for its form.
    ///
    /// # Errors
    /// `NotFound`, or the store cannot be read, or a webhook does not convert it.
    pub async fn get_stored(&self, resource: &Resource, namespace: &str, name: &str) -> Result<Stored, ApiError> {
        let stored = self.stored(resource.stored(), &key(resource, namespace, name))?;
        Ok(self.one_in_version(resource, &stored).await?.into_owned())
    }

    /// The object of any kind as the row shows it.
    ///
    /// # Errors
    /// As [`Engine::get_stored`].
    pub async fn shown(&self, resource: &Resource, namespace: &str, name: &str) -> Result<Value, ApiError> {
        object::decode_as(resource, &self.get_stored(resource, namespace, name).await?)
    }

    /// The object's Scale.
    ///
    /// # Errors
    /// `NotFound` if the object or the kind's subresource does not exist.
    pub async fn get_scale(&self, resource: &Resource, namespace: &str, name: &str) -> Result<Value, ApiError> {
        scale::known(resource)?;
        Ok(scale::of(resource, &self.shown(resource, namespace, name).await?))
    }

    /// A page of a collection, as it is stored; of a custom kind, in the row's version. For built-in kinds, the selectors
    /// are about the stored form, whatever row is asked for.
    ///
    /// # Errors
    /// `Expired` when the revision or the token is too old, `Timeout` when the revision does not come.
    pub async fn list(&self, resource: &Resource, options: &ListOptions) -> Result<ListPage, ApiError> {
        let token = Token::parse(&options.continue_token)?;
        let at = match &token {
            Some(token) => Some(token.revision),
            None => self.version_at(options.version).await?,
        };
        let mut request = ListRequest {
            after: token.map(|token| StoreKey::new(resource.collection(), token.namespace, token.name)),
            limit: (options.limit > 0).then_some(options.limit),
            ..options.request(resource, at)
        };
        if !options.is_filtered() {
            request.counts_rest = true;
            let mut page = self.page(&request)?;
            page.items = self.in_version(resource, page.items).await?;
            let last = page.items.last().map(|item| item.key.clone());
            return Ok(ListPage {
                continue_token: match last {
                    Some(last) if page.more => Token::after(page.revision, last),
                    _ => String::new(),
                },
                remaining: page.remaining.filter(|_| page.more),
                revision: page.revision,
                items: page.items,
            });
        }
        request.limit = Some(SCAN_PAGE);
        let limit = if options.limit > 0 { options.limit } else { usize::MAX };
        let mut items = Vec::new();
        loop {
            let page = self.page(&request)?;
            let revision = page.revision;
            let count = page.items.len();
            let shown = self.in_version(resource, page.items).await?;
            for (index, item) in shown.into_iter().enumerate() {
                let scanned = item.key.clone();
                if matches(resource, &item, options)? {
                    items.push(item);
                }
                let more = index + 1 < count || page.more;
                if items.len() == limit && more {
                    return Ok(ListPage {
                        items,
                        revision,
                        continue_token: Token::after(revision, scanned),
                        remaining: None,
                    });
                }
                request.after = Some(scanned);
            }
            if !page.more {
                return Ok(ListPage {
                    items,
                    revision,
                    continue_token: String::new(),
                    remaining: None,
                });
            }
            // All pages show the same revision.
            request.at = Some(revision);
        }
    }

    /// A whole collection at one revision, of which only a part is in memory at a time. Limits and tokens are for
    /// [`Engine::list`].
    ///
    /// # Errors
    /// As [`Engine::list`].
    pub async fn scan(&self, resource: &'static Resource, options: ListOptions) -> Result<Scan, ApiError> {
        let request = ListRequest {
            limit: Some(SCAN_PART),
            ..options.request(resource, self.version_at(options.version).await?)
        };
        let mut scan = Scan {
            engine: self.clone(),
            resource,
            options,
            request,
            first: None,
            revision: 0,
            is_over: false,
        };
        // Tells the revision, and what is wrong while it can still be answered.
        scan.first = scan.read()?;
        Ok(scan)
    }

    /// The revision to read at; the newest if absent.
    async fn version_at(&self, version: ListVersion) -> Result<Option<Revision>, ApiError> {
        match version {
            ListVersion::Newest => Ok(None),
            ListVersion::NotOlderThan(revision) => {
                self.await_revision(revision).await?;
                Ok(None)
            }
            ListVersion::Exact(revision) => {
                self.await_revision(revision).await?;
                Ok(Some(revision))
            }
        }
    }

    fn page(&self, request: &ListRequest) -> Result<crate::store::Page, ApiError> {
        self.inner.store.list(request).map_err(|error| match error {
            ReadError::Compacted { .. } if request.after.is_some() => ApiError::Expired(
                "The provided continue parameter is too old to display a consistent list result. You must start a \
                 new list without the continue parameter."
                    .to_owned(),
            ),
            error => read_error(error, request.at.unwrap_or_default()),
        })
    }

    /// Returns when the store has this revision.
    ///
    /// # Errors
    /// When it does not come within a bounded time.
    pub async fn await_revision(&self, revision: Revision) -> Result<(), ApiError> {
        let store = &self.inner.store;
        if store.revision() >= revision {
            return Ok(());
        }
        match tokio::time::timeout(FUTURE_WAIT, store.wait_for(revision)).await {
            Ok(()) => Ok(()),
            Err(_) => Err(ApiError::TooLargeResourceVersion {
                requested: revision,
                current: store.revision(),
            }),
        }
    }
}

/// A collection at one revision, part by part; a part may be empty. There is none after an error, which comes when the
/// store cannot be read or its history was cut meanwhile.
pub struct Scan {
    engine: Engine,
    resource: &'static Resource,
    options: ListOptions,
    request: ListRequest,
    /// The part that was read to begin with.
    first: Option<Vec<Stored>>,
    revision: Revision,
    is_over: bool,
}

impl Scan {
    /// The store's revision that all parts show.
    #[must_use]
    pub fn revision(&self) -> Revision {
        self.revision
    }

    fn read(&mut self) -> Result<Option<Vec<Stored>>, ApiError> {
        if self.is_over {
            return Ok(None);
        }
        self.is_over = true;
        let page = self.engine.inner.store.list(&self.request);
        let page = page.map_err(|error| read_error(error, self.request.at.unwrap_or_default()))?;
        self.is_over = !page.more;
        self.revision = page.revision;
        self.request.at = Some(page.revision);
        self.request.after = page.items.last().map(|item| item.key.clone());
        let mut items = page.items;
        if self.options.is_filtered() {
            let mut selected = Vec::new();
            for item in items {
                if matches(self.resource, &item, &self.options)? {
                    selected.push(item);
                }
            }
            items = selected;
        }
        Ok(Some(items))
    }
}

impl Iterator for Scan {
    type Item = Result<Vec<Stored>, ApiError>;

    fn next(&mut self) -> Option<Self::Item> {
        match self.first.take() {
            Some(items) => Some(Ok(items)),
            None => self.read().transpose(),
        }
    }
}

/// A read at a revision, refused, in the API's terms.
pub(crate) fn read_error(error: ReadError, requested: Revision) -> ApiError {
    match error {
        ReadError::Compacted { oldest } => {
            ApiError::Expired(format!("too old resource version: {requested} ({oldest})"))
        }
        ReadError::Future { current } => ApiError::TooLargeResourceVersion { requested, current },
        error => ApiError::Read(error),
    }
}

fn matches(resource: &Resource, item: &Stored, options: &ListOptions) -> Result<bool, ApiError> {
    let object = object::decode_as(resource.stored(), item)?;
    Ok(selects(&object, &options.labels, &options.fields))
}

/// Whether both selectors match.
pub(crate) fn selects(object: &Value, labels: &LabelSelector, fields: &FieldSelector) -> bool {
    labels.matches_object(object) && fields.matches(object)
}

/// Where a list goes on: after which object, at which revision.
#[derive(Debug, PartialEq, Eq)]
struct Token {
    revision: Revision,
    namespace: String,
    name: String,
}

impl Token {
    fn after(revision: Revision, key: StoreKey) -> String {
        let token = json!({ "v": "skep/v1", "rv": revision, "ns": key.namespace, "name": key.name });
        URL_SAFE_NO_PAD.encode(token.to_string())
    }

    fn parse(text: &str) -> Result<Option<Token>, ApiError> {
        if text.is_empty() {
            return Ok(None);
        }
        let token = URL_SAFE_NO_PAD
            .decode(text)
            .ok()
            .and_then(|bytes| serde_json::from_slice::<Value>(&bytes).ok())
            .filter(|token| token["v"] == "skep/v1")
            .and_then(|token| {
                Some(Token {
                    revision: token["rv"].as_u64()?,
                    namespace: token["ns"].as_str()?.to_owned(),
                    name: token["name"].as_str()?.to_owned(),
                })
            });
        match token {
            Some(token) => Ok(Some(token)),
            None => Err(ApiError::BadRequest("continue key is not valid".to_owned())),
        }
    }
}
