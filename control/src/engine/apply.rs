//! Server-side apply: an object, or one of its subresources, brought to what a configuration states.
//!
//! Source: Kubernetes, "Server-Side Apply".

use api::{
    conversion,
    fields::{self, Configuration, Conflicts, FieldFault, FieldSet, KindPlace, Managers, Writer},
    resource::Resource,
    schema,
};
use serde_json::{Value, json};

use super::{
    ApiError, Attempt, Caller, Cause, Decided, Engine, Operation, Target, WriteOptions, create,
    fields::{not_handled, object_type},
    managed::{self, Record},
    now,
    object::{meta_str, metadata},
    patch::fixed,
    scale,
    strategy::{self, Part},
    update::{draft, part},
};
use crate::authorization::{Request, ResourceRequest, refusal};

/// A configuration to be applied.
#[derive(Debug, Clone, PartialEq)]
pub struct Application {
    /// What is stated: of the object, or of its scale.
    pub config: Value,
    /// Whether fields that others own with other values are taken over.
    pub force: bool,
}

/// What applying came to: the object as stored, or its scale.
#[derive(Debug, Clone, PartialEq)]
pub enum Applied {
    /// There was none.
    Created(Value),
    /// It was there, and may have been as stated already.
    Updated(Value),
}

/// All that does not depend on the object as it is.
struct Plan<'a> {
    /// The row of the request.
    asked: &'a Resource,
    /// The row of the form that objects are stored in; the configuration has it as well.
    resource: &'a Resource,
    part: Part,
    subresource: &'a str,
    place: KindPlace,
    config: Value,
    fields: FieldSet,
    force: bool,
    manager: &'a str,
}

impl Engine {
    /// Applies a configuration in the name of `options.manager`. An object that is not there is created; a subresource
    /// of one is not.
    ///
    /// # Errors
    /// See [`ApiError`]; [`ApiError::ApplyConflict`] if others own fields with other values. Nothing was written.
    #[expect(clippy::too_many_arguments, reason = "each names one part of the request path")]
    pub async fn apply(
        &self,
        caller: &Caller,
        resource: &Resource,
        namespace: &str,
        name: &str,
        subresource: Option<&str>,
        application: Application,
        options: &WriteOptions,
    ) -> Result<Applied, ApiError> {
        let plan = Plan::new(resource, subresource, application, &options.manager)?;
        let resource = plan.resource;
        for _ in 0..super::ROUNDS_MAX {
            let attempt = Attempt {
                subresource: plan.subresource,
                ..Attempt::new(caller, Operation::Update, plan.asked, namespace, name, options)
            };
            let outcome = self.modify(attempt, |current| plan.update(current)).await;
            match outcome {
                Ok(outcome) => return Ok(Applied::Updated(plan.answer(outcome.into_object()))),
                Err(ApiError::NotFound(_)) if subresource.is_none() => {}
                Err(error) => return Err(error),
            }
            self.may_create(caller, plan.asked, namespace, name)?;
            let (object, managers) = plan.create(caller, namespace, name)?;
            let record = Record::Decided(managers);
            let created = self
                .create_named(caller, plan.asked, namespace, object, record, options)
                .await;
            match created {
                // Somebody was faster: there is something to apply to now.
                Err(ApiError::AlreadyExists(_)) => {}
                other => return other.map(|object| Applied::Created(plan.answer(object))),
            }
        }
        Err(ApiError::Contention(Target::new(resource, name)))
    }

    /// What is applied is only created by who may create it; that the request may patch was checked before.
    fn may_create(&self, caller: &Caller, resource: &Resource, namespace: &str, name: &str) -> Result<(), ApiError> {
        let request = Request::Resource(ResourceRequest {
            verb: "create".to_owned(),
            group: resource.group.to_owned(),
            resource: resource.plural.to_owned(),
            namespace: namespace.to_owned(),
            name: name.to_owned(),
            ..ResourceRequest::default()
        });
        let decision = self.access().decide(caller, &request).map_err(ApiError::Read)?;
        if decision.allowed {
            return Ok(());
        }
        let detail = refusal(caller, &request, &decision.reason);
        Err(ApiError::forbidden(Target::new(resource, name), detail))
    }
}

impl<'a> Plan<'a> {
    fn new(
        asked: &'a Resource,
        subresource: Option<&'a str>,
        application: Application,
        manager: &'a str,
    ) -> Result<Plan<'a>, ApiError> {
        let resource = asked.stored();
        let scaled = subresource == Some("scale");
        let part = if scaled {
            scale::known(resource)?;
            Part::Main
        } else {
            part(resource, subresource)?
        };
        let place = managed::place(resource).ok_or(ApiError::NoSuchPath)?;
        let Application { mut config, force } = application;
        let wanted = if scaled {
            ("autoscaling/v1".to_owned(), "Scale")
        } else {
            (asked.api_version(), asked.kind)
        };
        if (config["apiVersion"].as_str(), config["kind"].as_str()) != (Some(&wanted.0), Some(wanted.1)) {
            return Err(ApiError::BadRequest(format!(
                "invalid object type: {}",
                object_type(&config)
            )));
        }
        if metadata(&config)
            .get("managedFields")
            .is_some_and(|list| !list.is_null())
        {
            return Err(ApiError::BadRequest("metadata.managedFields must be nil".to_owned()));
        }
        if scaled {
            config = scale::config_of_object(resource, &config);
        } else {
            conversion::to_stored(asked, &mut config);
        }
        let fields = fields::extract(place, &config).map_err(|faults| not_typed(&config, &faults))?;
        Ok(Plan {
            asked,
            resource,
            part,
            subresource: subresource.unwrap_or_default(),
            place,
            config,
            fields,
            force,
            manager,
        })
    }

    /// The object as it becomes, and who owns what then.
    fn apply(&self, live: &Value, managers: Managers) -> Result<fields::Applied, ApiError> {
        let writer = Writer {
            manager: self.manager,
            api_version: &self.resource.api_version(),
            subresource: self.subresource,
            filter: managed::filter(self.resource, self.part),
            now: &now(),
        };
        let configuration = Configuration {
            object: &self.config,
            fields: &self.fields,
            force: self.force,
        };
        let applied = fields::apply(self.place, live, managers, configuration, &writer, |object| {
            schema::prune(self.resource, object);
        })
        .map_err(|conflicts| refused(&conflicts))?;
        schema::check_types(self.resource, &applied.object)
            .map_err(|error| not_handled(self.resource, &error.to_string()))?;
        Ok(applied)
    }

    fn update(&self, current: &Value) -> Result<Decided, ApiError> {
        let mut live = current.clone();
        managed::take(&mut live);
        let applied = self.apply(&live, managed::managers(self.resource, current))?;
        fixed(self.resource, current, &applied.object)?;
        let record = Record::Decided(applied.managers);
        Ok(draft(self.resource, self.part, current, applied.object, record))
    }

    fn create(&self, caller: &Caller, namespace: &str, name: &str) -> Result<(Value, Managers), ApiError> {
        let mut applied = self.apply(&json!({}), Managers::default())?;
        let object = &mut applied.object;
        create::place(self.resource, namespace, object)?;
        match meta_str(object, "name") {
            "" => {
                return Err(ApiError::BadRequest(format!(
                    "the name of the object ({name} based on URL) was undeterminable: name must be provided"
                )));
            }
            given if given != name => {
                return Err(ApiError::BadRequest(format!(
                    "the name of the object ({given}) does not match the name on the URL ({name})"
                )));
            }
            _ => {}
        }
        let uid = meta_str(object, "uid");
        if !uid.is_empty() {
            return Err(ApiError::Conflict {
                target: Target::new(self.resource, name),
                detail: format!(
                    "uid mismatch: the provided object specified uid {uid}, and no existing object was found"
                ),
            });
        }
        create::no_version(object)?;
        if strategy::is_certificate_request(self.resource) {
            strategy::certificates::note_requester(object, caller);
        }
        Ok((applied.object, applied.managers))
    }

    fn answer(&self, mut object: Value) -> Value {
        if self.subresource == "scale" {
            return scale::of(self.resource, &object);
        }
        conversion::from_stored(self.asked, &mut object);
        object
    }
}

fn not_typed(config: &Value, faults: &[FieldFault]) -> ApiError {
    let list: Vec<String> = faults.iter().map(ToString::to_string).collect();
    let detail = match list.as_slice() {
        [only] => only.clone(),
        many => format!("errors:\n  {}", many.join("\n  ")),
    };
    ApiError::NotTyped(format!(
        "failed to create typed patch object ({}/{}; {}): {detail}",
        meta_str(config, "namespace"),
        meta_str(config, "name"),
        object_type(config),
    ))
}

fn refused(conflicts: &Conflicts) -> ApiError {
    ApiError::ApplyConflict {
        message: conflicts.to_string(),
        causes: conflicts
            .0
            .iter()
            .map(|conflict| Cause {
                reason: "FieldManagerConflict",
                message: format!("conflict with {}", conflict.manager),
                field: conflict.path.to_string(),
            })
            .collect(),
    }
}
