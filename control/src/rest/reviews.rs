//! Questions about who somebody is and what somebody may do: answered and forgotten.
//!
//! Source: `authentication.k8s.io/v1` and `authorization.k8s.io/v1`.

use api::{Timestamp, resource::Resource, schema, validation::FieldError};
use axum::body::Body;
use http::{Response, StatusCode};
use serde_json::{Map, Value, json};

use super::{Context, body, path::ObjectPath, status, warn};
use crate::{
    auth::{self, Caller},
    authorization::{Request, ResourceRequest, Rule},
    engine::{ApiError, Target, object},
};

/// Answers the creation of a question.
pub(super) async fn answer(
    context: &Context,
    resource: &Resource,
    path: &ObjectPath,
    body: Body,
) -> Result<Response<Body>, ApiError> {
    let options = context.query.write_options()?;
    let mut question = body::object(context, resource, body, &options).await?;
    context.engine().complete(resource, &mut question, &options)?;
    let answer = match resource.kind {
        "SelfSubjectReview" => json!({ "userInfo": context.caller.user_info() }),
        "TokenReview" => token_review(context, resource, &question).await?,
        "SelfSubjectAccessReview" => {
            let request = request(resource, &question["spec"])?;
            access(context, &context.caller, &request)?
        }
        "SubjectAccessReview" => of_another(context, resource, &question)?,
        "LocalSubjectAccessReview" => {
            in_namespace(resource, &mut question, &path.namespace)?;
            of_another(context, resource, &question)?
        }
        "SelfSubjectRulesReview" => rules(context, &question)?,
        _ => return Err(ApiError::NoSuchPath),
    };
    question["status"] = answer;
    question["metadata"]["creationTimestamp"] = json!(object::timestamp(Timestamp::now()));
    schema::prune(resource, &mut question);
    Ok(warn(status::json(StatusCode::CREATED, &question), &options.warnings))
}

/// `POST serviceaccounts/NAME/token`
pub(super) async fn token(context: &Context, path: &ObjectPath, body: Body) -> Result<Response<Body>, ApiError> {
    let request = body::any(context, body, "TokenRequest").await?;
    let engine = context.engine();
    engine.check_node_token(&context.caller, &path.namespace, &path.name, &request)?;
    let answer = engine.issue_token(&path.namespace, &path.name, request)?;
    Ok(status::json(StatusCode::CREATED, &answer))
}

fn invalid(resource: &Resource, fault: FieldError) -> ApiError {
    ApiError::Invalid {
        target: Target::new(resource, ""),
        causes: vec![fault],
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn texts(value: &Value) -> Vec<String> {
    let list = value.as_array().into_iter().flatten();
    list.filter_map(Value::as_str).map(str::to_owned).collect()
}

async fn token_review(context: &Context, resource: &Resource, review: &Value) -> Result<Value, ApiError> {
    let token = text(&review["spec"]["token"]);
    if token.is_empty() {
        let fault = FieldError::required("spec.token", "");
        return Err(invalid(resource, fault));
    }
    let (engine, audiences) = (context.engine(), texts(&review["spec"]["audiences"]));
    auth::prepare(engine.tokens(), &token).await;
    let verdict = auth::authenticate(engine.store(), engine.tokens(), &token, &audiences, Timestamp::now())?;
    Ok(match verdict {
        Ok(authenticated) => json!({
            "authenticated": true,
            "user": authenticated.caller.user_info(),
            "audiences": authenticated.audiences,
        }),
        Err(error) => json!({ "user": {}, "error": format!("[invalid bearer token, {error}]") }),
    })
}

/// What a review asks about.
fn request(resource: &Resource, spec: &Value) -> Result<Request, ApiError> {
    let (with_objects, with_path) = (&spec["resourceAttributes"], &spec["nonResourceAttributes"]);
    match (with_objects.is_object(), with_path.is_object()) {
        (true, false) => Ok(Request::Resource(ResourceRequest {
            verb: text(&with_objects["verb"]),
            group: text(&with_objects["group"]),
            resource: text(&with_objects["resource"]),
            subresource: text(&with_objects["subresource"]),
            namespace: text(&with_objects["namespace"]),
            name: text(&with_objects["name"]),
            node: demanded_node(&with_objects["fieldSelector"]),
        })),
        (false, true) => Ok(Request::Path {
            verb: text(&with_path["verb"]),
            path: text(&with_path["path"]),
        }),
        (both, _) => {
            let reason = if both {
                "cannot be specified in combination with resourceAttributes"
            } else {
                "exactly one of nonResourceAttributes or resourceAttributes must be specified"
            };
            let fault = FieldError::invalid("spec.resourceAttributes", Value::Null, reason);
            Err(invalid(resource, fault))
        }
    }
}

fn demanded_node(selector: &Value) -> String {
    let requirements = selector["requirements"].as_array().into_iter().flatten();
    let mut demanding = requirements.filter(|requirement| {
        requirement["key"] == "spec.nodeName"
            && requirement["operator"] == "In"
            && requirement["values"].as_array().is_some_and(|values| values.len() == 1)
    });
    demanding
        .next()
        .map_or_else(String::new, |requirement| text(&requirement["values"][0]))
}

fn in_namespace(resource: &Resource, question: &mut Value, namespace: &str) -> Result<(), ApiError> {
    let attributes = &mut question["spec"]["resourceAttributes"];
    if !attributes.is_object() {
        let fault = FieldError::required("spec.resourceAttributes", "must be specified");
        return Err(invalid(resource, fault));
    }
    if attributes["namespace"] != namespace {
        let given = attributes["namespace"].clone();
        let reason = "must match metadata.namespace";
        let fault = FieldError::invalid("spec.resourceAttributes.namespace", given, reason);
        return Err(invalid(resource, fault));
    }
    question["metadata"]["namespace"] = json!(namespace);
    Ok(())
}

fn of_another(context: &Context, resource: &Resource, review: &Value) -> Result<Value, ApiError> {
    let spec = &review["spec"];
    let request = request(resource, spec)?;
    let caller = Caller {
        user: text(&spec["user"]),
        groups: texts(&spec["groups"]),
        uid: text(&spec["uid"]),
        extra: extra(spec["extra"].as_object()),
    };
    if caller.user.is_empty() && caller.groups.is_empty() {
        let fault = FieldError::invalid("spec.user", "", "at least one of user or group must be specified");
        return Err(invalid(resource, fault));
    }
    access(context, &caller, &request)
}

fn extra(values: Option<&Map<String, Value>>) -> std::collections::BTreeMap<String, Vec<String>> {
    let values = values.into_iter().flatten();
    values.map(|(key, list)| (key.clone(), texts(list))).collect()
}

fn access(context: &Context, caller: &Caller, request: &Request) -> Result<Value, ApiError> {
    let decision = context.engine().access().decide(caller, request);
    let decision = decision.map_err(ApiError::Read)?;
    let mut status = json!({ "allowed": decision.allowed });
    if !decision.reason.is_empty() {
        status["reason"] = json!(decision.reason);
    }
    Ok(status)
}

fn rules(context: &Context, review: &Value) -> Result<Value, ApiError> {
    let namespace = text(&review["spec"]["namespace"]);
    if namespace.is_empty() {
        return Err(ApiError::BadRequest("no namespace on request".to_owned()));
    }
    let access = context.engine().access();
    let (rules, unknown) = access.rules(&context.caller, &namespace).map_err(ApiError::Read)?;
    let (of_paths, of_objects): (Vec<&Rule>, Vec<&Rule>) = rules.iter().partition(|rule| !rule.urls.is_empty());
    let mut status = json!({
        "resourceRules": of_objects,
        "nonResourceRules": of_paths,
        "incomplete": !unknown.is_empty(),
    });
    if !unknown.is_empty() {
        status["evaluationError"] = json!(unknown);
    }
    Ok(status)
}
