//! Creation: names, namespaces, what must exist before.

use std::{sync::Arc, time::Duration};

use api::{
    conversion, defaulting,
    object::Scope,
    resource::{self, Resource},
    validation,
};
use rand::Rng as _;
use serde_json::{Value, json};
use uuid::Uuid;

use super::{
    ApiError, Attempt, Caller, Cause, Engine, Operation, Target, WriteOptions,
    convert::Kept,
    fields, invalid, is_service, key,
    managed::{self, Record},
    now, object,
    object::{is_terminating, meta_str, metadata_mut},
    service::ClaimChange,
    strategy,
};
use crate::{
    admission::{DEFAULT_SERVICE_ACCOUNT, index::Part},
    store::{Expect, Op, WatchEvent, WatchRequest, Write},
};

/// Letters of generated suffixes: none that make words or are read as another.
const SUFFIX_LETTERS: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";
const SUFFIX_LENGTH: usize = 5;
/// A generated name stays within 63 characters, so that it can be a label and a host name.
const GENERATED_BASE_MAX: usize = 63 - SUFFIX_LENGTH;
/// How often a generated name that is taken is drawn again, as Kubernetes does.
const GENERATE_ATTEMPTS: usize = 8;
/// How long the creation of a pod waits for its namespace's default ServiceAccount, which follows the namespace.
const SERVICE_ACCOUNT_WAIT: Duration = Duration::from_secs(1);

impl Engine {
    /// Creates an object and answers it as stored.
    ///
    /// # Errors
    /// See [`ApiError`]; nothing was written.
    pub async fn create(
        &self,
        caller: &Caller,
        resource: &Resource,
        namespace: &str,
        mut object: Value,
        options: &WriteOptions,
    ) -> Result<Value, ApiError> {
        if self.inner.registry.is_closing(resource) {
            // As Kubernetes: its definition is being deleted, and its objects with it.
            return Err(ApiError::MethodNotAllowed);
        }
        fields::identify(resource, &mut object)?;
        fields::check(resource, &mut object, options)?;
        place(resource, namespace, &mut object)?;
        if strategy::is_certificate_request(resource) {
            strategy::certificates::note_requester(&mut object, caller);
        }
        no_version(&object)?;
        let asked = resource;
        conversion::to_stored(asked, &mut object);
        let base = meta_str(&object, "generateName").to_owned();
        let generate = meta_str(&object, "name").is_empty() && !base.is_empty();
        let mut attempts = if generate { GENERATE_ATTEMPTS } else { 1 };
        loop {
            attempts -= 1;
            let mut named = object.clone();
            if generate {
                metadata_mut(&mut named).insert("name".to_owned(), json!(generate_name(&base)));
            }
            let record = Record::Changes {
                manager: &options.manager,
                subresource: "",
            };
            let created = self
                .create_named(caller, asked, namespace, named, record, options)
                .await;
            match created {
                Err(ApiError::AlreadyExists(_)) if attempts > 0 => {}
                created => {
                    return created.map(|mut object| {
                        conversion::from_stored(asked, &mut object);
                        object
                    });
                }
            }
        }
    }

    /// Creates an object whose name is known, from the form that is stored.
    pub(super) async fn create_named(
        &self,
        caller: &Caller,
        asked: &Resource,
        namespace: &str,
        mut object: Value,
        record: Record<'_>,
        options: &WriteOptions,
    ) -> Result<Value, ApiError> {
        let resource = asked.stored();
        let name = meta_str(&object, "name").to_owned();
        let target = Target::new(resource, &name);
        let attempt = Attempt::new(caller, Operation::Create, asked, namespace, &name, options);
        defaulting::apply(resource, &mut object);
        strategy::normalize(resource, &mut object);
        // What admission adds is nobody's.
        let managers = managed::of_creation(resource, &object, record);
        self.mutate(&attempt, &mut object).await?;
        strategy::prepare_create(resource, &mut object, &Uuid::new_v4().to_string(), &now());
        managed::put(&mut object, managers);
        let causes = validation::validate_create(resource, &object);
        if !causes.is_empty() {
            return Err(invalid(target, causes));
        }
        self.approve(&attempt, Some(&object)).await?;
        // Before anybody waits for what is reserved.
        let kept = self.kept(resource, &object).await?;
        for round in 0..super::ROUNDS_MAX {
            // Nearly always there is none of that name: who commits is told otherwise.
            let looks = round > 0 || options.dry_run;
            let attempted = self.try_create(&attempt, &object, kept.as_ref(), &target, looks);
            if let Some(created) = attempted.await? {
                return Ok(created);
            }
        }
        Err(ApiError::Contention(target))
    }

    /// One attempt; `None` if what it rested on changed meanwhile, or the object is there and was not looked for.
    async fn try_create(
        &self,
        attempt: &Attempt<'_>,
        object: &Value,
        kept: Option<&Kept>,
        target: &Target,
        looks: bool,
    ) -> Result<Option<Value>, ApiError> {
        let resource = attempt.asked.stored();
        let mut object = object.clone();
        let key = key(resource, attempt.namespace, &target.name);
        let mut checks: Vec<Write> = Vec::new();
        checks.extend(self.namespace_check(resource, attempt.namespace, target)?);
        if looks && self.inner.store.get(&key, None).map_err(ApiError::Read)?.is_some() {
            return Err(ApiError::AlreadyExists(target.clone()));
        }
        // That it is there matters more than that there is no room for it.
        let claim = match self.claim(resource, &mut object, target) {
            Err(_) if !looks => return Ok(None),
            claim => claim?,
        };
        let reservation = match self.reserve(attempt, &object).await {
            Err(_) if !looks => return Ok(None),
            reservation => reservation?,
        };
        checks.extend(reservation.writes.iter().cloned());
        let bytes = match kept {
            None => object::encode_as(resource, &object),
            Some(kept) => {
                object = kept.shown.clone();
                kept.bytes.clone()
            }
        };
        let write = Write {
            key,
            expect: Expect::Absent,
            op: Op::Put(bytes),
        };
        let outcome = self
            .commit(target.clone(), write, checks, &claim, attempt.dry_run)
            .await?;
        Ok(outcome.map(|revision| {
            if let Some(revision) = revision {
                object::set_revision(&mut object, revision);
            }
            object
        }))
    }

    /// The addresses and ports that a new service takes.
    fn claim(&self, resource: &Resource, object: &mut Value, target: &Target) -> Result<ClaimChange, ApiError> {
        if !is_service(resource) {
            return Ok(ClaimChange::default());
        }
        self.inner
            .allocator
            .change(None, object, rand::random())
            .map_err(|causes| invalid(target.clone(), causes))
    }

    /// The namespace is there and takes new objects; the answer makes the store verify that it still is.
    pub(super) fn namespace_check(
        &self,
        resource: &Resource,
        namespace: &str,
        target: &Target,
    ) -> Result<Option<Write>, ApiError> {
        if resource.scope == Scope::Cluster {
            return Ok(None);
        }
        let found = match self.rule(Part::Namespace, "", namespace)? {
            Some(found) => found,
            // Whoever follows a new namespace may be earlier than the index.
            None => Arc::new(self.get(namespaces(), "", namespace)?),
        };
        if is_terminating(&found) {
            return Err(ApiError::Forbidden {
                target: target.clone(),
                detail: format!("unable to create new content in namespace {namespace} because it is being terminated"),
                causes: vec![Cause {
                    reason: "NamespaceTerminating",
                    message: format!("namespace {namespace} is being terminated"),
                    field: "metadata.namespace".to_owned(),
                }],
            });
        }
        Ok(Some(Write {
            key: key(namespaces(), "", namespace),
            expect: Expect::At(object::revision(&found).unwrap_or_default()),
            op: Op::Check,
        }))
    }

    /// The pod's ServiceAccount; the default one is waited for, since it follows its namespace.
    pub(super) async fn service_account(
        &self,
        namespace: &str,
        pod: &Value,
        target: &Target,
    ) -> Result<Value, ApiError> {
        let account = pod["spec"]["serviceAccountName"].as_str().unwrap_or_default();
        let accounts = resource::by_path("", "v1", "serviceaccounts").expect("the table has ServiceAccount");
        let key = key(accounts, namespace, account);
        let store = &self.inner.store;
        let revision = store.revision();
        let missing = || {
            ApiError::forbidden(
                target.clone(),
                format!("error looking up service account {namespace}/{account}: serviceaccount {account:?} not found"),
            )
        };
        if let Some(account) = store.get(&key, None).map_err(ApiError::Read)? {
            return object::decode(&account);
        }
        if account != DEFAULT_SERVICE_ACCOUNT {
            return Err(missing());
        }
        let mut watcher = store
            .watch(WatchRequest {
                collection: Some(key.collection.clone()),
                namespace: Some(namespace.to_owned()),
                after: revision,
            })
            .map_err(ApiError::Read)?;
        let appeared = async {
            while let Ok(event) = watcher.next().await {
                if let WatchEvent::Change(change) = event
                    && change.key == key
                    && let Some(account) = &change.after
                {
                    return Some(object::decode(account));
                }
            }
            None
        };
        match tokio::time::timeout(SERVICE_ACCOUNT_WAIT, appeared).await {
            Ok(Some(account)) => account,
            Ok(None) | Err(_) => Err(missing()),
        }
    }
}

/// What is to be created has no version yet.
pub(super) fn no_version(object: &Value) -> Result<(), ApiError> {
    if meta_str(object, "resourceVersion").is_empty() {
        return Ok(());
    }
    let detail = "resourceVersion should not be set on objects to be created";
    Err(ApiError::BadRequest(detail.to_owned()))
}

/// The table's row of namespaces.
pub(super) fn namespaces() -> &'static Resource {
    resource::by_path("", "v1", "namespaces").expect("the table has Namespace")
}

/// Sets the namespace, or refuses another than that of the request.
pub(super) fn place(resource: &Resource, namespace: &str, object: &mut Value) -> Result<(), ApiError> {
    if resource.scope == Scope::Cluster {
        metadata_mut(object).remove("namespace");
        return Ok(());
    }
    let given = meta_str(object, "namespace");
    if !given.is_empty() && given != namespace {
        return Err(ApiError::BadRequest(
            "the namespace of the provided object does not match the namespace sent on the request".to_owned(),
        ));
    }
    metadata_mut(object).insert("namespace".to_owned(), json!(namespace));
    Ok(())
}

fn generate_name(base: &str) -> String {
    let mut end = base.len().min(GENERATED_BASE_MAX);
    while !base.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}{}", &base[..end], suffix())
}

/// Random letters that make a name unlike others.
pub(super) fn suffix() -> String {
    let mut rng = rand::rng();
    (0..SUFFIX_LENGTH)
        .map(|_| char::from(SUFFIX_LETTERS[rng.random_range(0..SUFFIX_LETTERS.len())]))
        .collect()
}
