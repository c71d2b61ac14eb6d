//! Updates of an object or of one of its subresources, and the assignment of a pod to a node.

use api::{
    conversion, defaulting,
    fields::Managers,
    resource::Resource,
    validation::{self, FieldError, PodPart},
};
use serde_json::{Value, json};

use super::{
    ApiError, Attempt, Caller, Decided, Engine, Next, Operation, Target, WriteOptions, create, fields, invalid,
    is_namespace, is_pod, is_service,
    managed::{self, Record},
    now,
    object::{child_mut, is_terminating, meta_str, metadata_mut},
    scale, service,
    strategy::{self, Part},
};

impl Engine {
    /// Replaces an object, or one of its subresources (`status`, `scale`, `finalize`), and answers it as stored; a
    /// scale answers a Scale. Without `metadata.resourceVersion` it replaces whatever version is there.
    ///
    /// # Errors
    /// See [`ApiError`]; nothing was written.
    #[expect(clippy::too_many_arguments, reason = "each names one part of the request path")]
    pub async fn update(
        &self,
        caller: &Caller,
        resource: &Resource,
        namespace: &str,
        name: &str,
        subresource: Option<&str>,
        wanted: Value,
        options: &WriteOptions,
    ) -> Result<Value, ApiError> {
        if subresource == Some("scale") {
            let attempt = Attempt {
                subresource: "scale",
                ..Attempt::new(caller, Operation::Update, resource, namespace, name, options)
            };
            return self.update_scale(attempt, &wanted, options).await;
        }
        let part = part(resource, subresource)?;
        let asked = resource;
        let mut wanted = acceptable(asked, namespace, name, wanted, options)?;
        conversion::to_stored(asked, &mut wanted);
        let resource = asked.stored();
        let attempt = Attempt {
            subresource: subresource.unwrap_or_default(),
            ..Attempt::new(caller, Operation::Update, asked, namespace, name, options)
        };
        let outcome = self
            .modify(attempt, |current| {
                preconditions(resource, current, &wanted)?;
                let record = Record::Changes {
                    manager: &options.manager,
                    subresource: subresource.unwrap_or_default(),
                };
                Ok(draft(resource, part, current, wanted.clone(), record))
            })
            .await?;
        let mut object = outcome.into_object();
        conversion::from_stored(asked, &mut object);
        Ok(object)
    }

    async fn update_scale(
        &self,
        attempt: Attempt<'_>,
        wanted: &Value,
        options: &WriteOptions,
    ) -> Result<Value, ApiError> {
        let resource = attempt.asked.stored();
        scale::known(resource)?;
        let outcome = self
            .modify(attempt, |current| {
                preconditions(resource, current, wanted)?;
                let scaled = scale::apply(resource, current, wanted)?;
                let record = Record::Changes {
                    manager: &options.manager,
                    subresource: "scale",
                };
                Ok(draft(resource, Part::Main, current, scaled, record))
            })
            .await?;
        Ok(scale::of(resource, &outcome.into_object()))
    }

    /// Assigns a pod to a node, unless it has one or is being deleted.
    ///
    /// # Errors
    /// See [`ApiError`]; a pod that has a node is a `Conflict`.
    pub async fn bind(
        &self,
        caller: &Caller,
        namespace: &str,
        pod: &str,
        uid: Option<&str>,
        node: &str,
    ) -> Result<Value, ApiError> {
        let pods = api::resource::by_path("", "v1", "pods").expect("the table has Pod");
        let refuse = |detail: String| ApiError::Conflict {
            target: Target {
                resource: "pods/binding",
                ..Target::new(pods, pod)
            },
            detail,
        };
        let options = WriteOptions::default();
        let attempt = Attempt {
            subresource: "binding",
            ..Attempt::new(caller, Operation::Create, pods, namespace, pod, &options)
        };
        let outcome = self
            .modify(attempt, |current| {
                check_uid(pods, current, uid.unwrap_or_default())?;
                if is_terminating(current) {
                    return Err(refuse(format!(
                        "pod {pod} is being deleted, cannot be assigned to a host"
                    )));
                }
                if let Some(taken) = current["spec"]["nodeName"].as_str().filter(|node| !node.is_empty()) {
                    return Err(refuse(format!("pod {pod} is already assigned to node {taken:?}")));
                }
                let mut bound = current.clone();
                bound["spec"]["nodeName"] = json!(node);
                set_scheduled(&mut bound);
                Ok(Decided::Next(Next::Put(bound)))
            })
            .await?;
        Ok(outcome.into_object())
    }
}

/// The part that a subresource is about.
pub(super) fn part(resource: &Resource, subresource: Option<&str>) -> Result<Part, ApiError> {
    match subresource {
        None => Ok(Part::Main),
        Some("status") if resource.has_status() => Ok(Part::Status),
        Some("finalize") if is_namespace(resource) => Ok(Part::Finalize),
        Some("ephemeralcontainers") if is_pod(resource) => Ok(Part::Pod(PodPart::EphemeralContainers)),
        Some("resize") if is_pod(resource) => Ok(Part::Pod(PodPart::Resources)),
        Some("approval") if strategy::is_certificate_request(resource) => Ok(Part::Approval),
        Some(_) => Err(ApiError::NoSuchPath),
    }
}

/// A body that can replace the object of this name.
fn acceptable(
    resource: &Resource,
    namespace: &str,
    name: &str,
    mut wanted: Value,
    options: &WriteOptions,
) -> Result<Value, ApiError> {
    fields::identify(resource, &mut wanted)?;
    fields::check(resource, &mut wanted, options)?;
    create::place(resource, namespace, &mut wanted)?;
    let given = meta_str(&wanted, "name");
    if given.is_empty() {
        metadata_mut(&mut wanted).insert("name".to_owned(), json!(name));
    } else if given != name {
        return Err(ApiError::BadRequest(format!(
            "the name of the object ({given}) does not match the name on the URL ({name})"
        )));
    }
    Ok(wanted)
}

/// The versions that the caller saw are the ones that are there.
fn preconditions(resource: &Resource, current: &Value, wanted: &Value) -> Result<(), ApiError> {
    check_uid(resource, current, meta_str(wanted, "uid"))?;
    check_version(resource, current, meta_str(wanted, "resourceVersion"))
}

/// The object is still the version that the caller saw; empty or 0 means any.
pub(super) fn check_version(resource: &Resource, current: &Value, seen: &str) -> Result<(), ApiError> {
    if seen.is_empty() || seen == "0" || seen == meta_str(current, "resourceVersion") {
        return Ok(());
    }
    Err(ApiError::stale(Target::new(resource, meta_str(current, "name"))))
}

/// The object is still the one that the caller means; an empty uid means any.
pub(super) fn check_uid(resource: &Resource, current: &Value, uid: &str) -> Result<(), ApiError> {
    let there = meta_str(current, "uid");
    if uid.is_empty() || uid == there {
        return Ok(());
    }
    Err(ApiError::Conflict {
        target: Target::new(resource, meta_str(current, "name")),
        detail: format!("Precondition failed: UID in precondition: {uid}, UID in object meta: {there}"),
    })
}

/// A version of an object that somebody wants, with the defaults of its kind.
pub(super) struct Draft {
    part: Part,
    pub(super) wanted: Value,
    managers: Managers,
}

/// Writing `part` of `wanted` over `current`. `wanted` is a whole object of the kind.
pub(super) fn draft(
    resource: &Resource,
    part: Part,
    current: &Value,
    mut wanted: Value,
    record: Record<'_>,
) -> Decided {
    // Before anything is compared: a body that leaves a default out is no change.
    defaulting::apply(resource, &mut wanted);
    strategy::normalize(resource, &mut wanted);
    // What admission adds is nobody's.
    let managers = managed::of_update(resource, part, current, &mut wanted, record);
    Decided::Draft(Draft { part, wanted, managers })
}

/// What a draft comes to, once it is complete.
///
/// # Errors
/// When it may not become what it is to become.
pub(super) fn finish(resource: &Resource, current: &Value, draft: Draft) -> Result<Next, ApiError> {
    let Draft { part, wanted, managers } = draft;
    let target = Target::new(resource, meta_str(current, "name"));
    let mut new = strategy::prepare_update(resource, part, current, wanted);
    if is_service(resource) {
        service::carry_over(current, &mut new);
    }
    if managed::is_retimed_only(resource, current, &new, &managers) && !strategy::may_go(resource, current) {
        return Ok(Next::Keep);
    }
    managed::put(&mut new, managers);
    let late = strategy::finalizers_added_too_late(current, &new);
    if !late.is_empty() {
        let detail =
            format!("no new finalizers can be added if the object is being deleted, found new finalizers {late:?}");
        let cause = FieldError::forbidden("metadata.finalizers", detail);
        return Err(invalid(target, vec![cause]));
    }
    if part != Part::Finalize && new != *current {
        let causes = match part {
            Part::Pod(part) => validation::validate_pod_part(part, &new, current),
            Part::Main | Part::Status | Part::Finalize | Part::Approval => {
                validation::validate_update(resource, &new, current)
            }
        };
        if !causes.is_empty() {
            return Err(invalid(target, causes));
        }
    }
    if strategy::may_go(resource, &new) {
        return Ok(Next::Remove(new));
    }
    Ok(Next::Put(new))
}

/// The condition that tells since when the pod has a node.
fn set_scheduled(pod: &mut Value) {
    let condition = json!({ "type": "PodScheduled", "status": "True", "lastTransitionTime": now() });
    let status = child_mut(pod, "status");
    let list = status.entry("conditions").or_insert_with(|| json!([]));
    if let Some(list) = list.as_array_mut() {
        list.retain(|condition| condition["type"] != "PodScheduled");
        list.push(condition);
    }
}
