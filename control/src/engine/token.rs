//! Tokens of service accounts, made on request.
//!
//! Source: `authentication.k8s.io/v1` TokenRequest; Kubernetes, "Managing Service Accounts".

use api::{
    Timestamp,
    resource::{self, Resource},
    schema,
    validation::FieldError,
};
use serde_json::{Value, json};
use uuid::Uuid;

use super::{ApiError, Engine, Target, invalid, object, object::meta_str, update::check_uid};
use crate::auth::{BoundObject, Wish};

const DEFINITION: &str = "io.k8s.api.authentication.v1.TokenRequest";
const SECONDS_DEFAULT: i64 = 3600;
const SECONDS_MIN: i64 = 600;
const SECONDS_MAX: i64 = 1 << 32;

impl Engine {
    /// Answers a TokenRequest for a service account.
    ///
    /// # Errors
    /// When the account or what the token is to be bound to is not there, or the request is not valid.
    pub(crate) fn issue_token(&self, namespace: &str, name: &str, mut request: Value) -> Result<Value, ApiError> {
        if !request.is_object() {
            request = json!({});
        }
        schema::check_types_of(DEFINITION, &request)
            .map_err(|error| ApiError::BadRequest(format!("TokenRequest cannot be handled: {error}")))?;
        let accounts = core("serviceaccounts");
        let account = self.get(accounts, namespace, name)?;
        let given = meta_str(&request, "name");
        if !given.is_empty() && given != name {
            return Err(ApiError::BadRequest(format!(
                "the name in the body ({given}) does not match the name in the URL ({name})"
            )));
        }
        let tokens = self.tokens();
        let spec = &request["spec"];
        let seconds = spec["expirationSeconds"].as_i64().unwrap_or(SECONDS_DEFAULT);
        let causes = faults(seconds);
        if !causes.is_empty() {
            let target = Target {
                kind: "TokenRequest",
                group: "authentication.k8s.io",
                ..Target::new(accounts, name)
            };
            return Err(invalid(target, causes));
        }
        let asked = spec["audiences"].as_array().into_iter().flatten();
        let mut audiences: Vec<String> = asked.filter_map(Value::as_str).map(str::to_owned).collect();
        if audiences.is_empty() {
            audiences.push(tokens.issuer().to_owned());
        }
        let bound = self.bound_object(namespace, name, &spec["boundObjectRef"])?;
        let now = Timestamp::now();
        let wish = Wish {
            account: &account,
            bound: &bound,
            audiences: &audiences,
            seconds,
            issuer: tokens.issuer(),
            id: &Uuid::new_v4().to_string(),
            now: now.as_second(),
        };
        let token = tokens.sign(&wish.claims());
        let end = Timestamp::from_second(now.as_second().saturating_add(seconds)).unwrap_or(Timestamp::MAX);
        request["apiVersion"] = json!("authentication.k8s.io/v1");
        request["kind"] = json!("TokenRequest");
        request["metadata"]["name"] = json!(name);
        request["metadata"]["namespace"] = json!(namespace);
        request["metadata"]["creationTimestamp"] = json!(object::timestamp(now));
        request["spec"]["audiences"] = json!(audiences);
        request["spec"]["expirationSeconds"] = json!(seconds);
        request["status"] = json!({ "token": token, "expirationTimestamp": object::timestamp(end) });
        schema::prune_of(DEFINITION, &mut request);
        Ok(request)
    }

    fn bound_object(&self, namespace: &str, account: &str, reference: &Value) -> Result<BoundObject, ApiError> {
        let text = |field: &str| reference[field].as_str().unwrap_or_default();
        let (kind, api_version, name, uid) = (text("kind"), text("apiVersion"), text("name"), text("uid"));
        if reference.is_null() {
            return Ok(BoundObject::Nothing);
        }
        let find = |plural: &str, namespace: &str| {
            let resource = core(plural);
            let object = self.get(resource, namespace, name)?;
            check_uid(resource, &object, uid)?;
            Ok(object)
        };
        match (api_version, kind) {
            ("v1", "Pod") => {
                let pod = find("pods", namespace)?;
                let runs_as = pod["spec"]["serviceAccountName"].as_str().unwrap_or_default();
                if runs_as != account {
                    return Err(ApiError::BadRequest(format!(
                        "cannot bind token for serviceaccount {account:?} to pod running with different serviceaccount \
                         name."
                    )));
                }
                let node = pod["spec"]["nodeName"].as_str().filter(|node| !node.is_empty());
                let node = node.and_then(|node| self.get(core("nodes"), "", node).ok());
                Ok(BoundObject::Pod(pod, node))
            }
            ("v1", "Secret") => find("secrets", namespace).map(BoundObject::Secret),
            ("v1", "Node") => find("nodes", "").map(BoundObject::Node),
            _ => Err(ApiError::BadRequest(format!(
                "cannot bind token for serviceaccount {account:?} to object of type {api_version}, Kind={kind}"
            ))),
        }
    }
}

fn core(plural: &str) -> &'static Resource {
    resource::by_path("", "v1", plural).expect("the table of kinds has the core kinds")
}

fn faults(seconds: i64) -> Vec<FieldError> {
    let reason = match seconds {
        short if short < SECONDS_MIN => "may not specify a duration less than 10 minutes",
        long if long > SECONDS_MAX => "may not specify a duration larger than 2^32 seconds",
        _ => return Vec::new(),
    };
    vec![FieldError::invalid("spec.expirationSeconds", seconds, reason)]
}
