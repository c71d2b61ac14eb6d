//! The `authorizer` of webhooks' and policies' expressions: it knows the roles as they are.
//!
//! Never here: who may do what (`authorization`).

use std::sync::Arc;

use api::expression::{Account, Authorizer, Question, ResourceQuestion, Ruling};

use super::review::Attempt;
use crate::{
    auth::Caller,
    authorization::{Access, Request, ResourceRequest},
};

/// Answers for who makes the request.
struct Asked {
    access: Access,
    caller: Caller,
}

/// The authorizer for who makes an attempt.
pub(super) fn of(access: &Access, attempt: &Attempt<'_>) -> Arc<dyn Authorizer> {
    Arc::new(Asked {
        access: access.clone(),
        caller: attempt.caller.clone(),
    })
}

/// What an attempt asks for.
pub(super) fn question(attempt: &Attempt<'_>) -> ResourceQuestion {
    ResourceQuestion {
        group: attempt.asked.group.to_owned(),
        resource: attempt.asked.plural.to_owned(),
        subresource: attempt.subresource.to_owned(),
        namespace: if attempt.asked.is_namespaced() {
            attempt.namespace.to_owned()
        } else {
            String::new()
        },
        name: attempt.name.to_owned(),
    }
}

impl Authorizer for Asked {
    fn decide(&self, account: Option<&Account>, question: &Question, verb: &str) -> Ruling {
        let account = account.map(|account| Caller::service_account(&account.namespace, &account.name));
        let caller = account.as_ref().unwrap_or(&self.caller);
        match self.access.decide(caller, &request(question, verb)) {
            Ok(decision) => Ruling {
                is_allowed: decision.allowed,
                reason: decision.reason,
                error: String::new(),
            },
            Err(error) => Ruling {
                is_allowed: false,
                reason: String::new(),
                error: error.to_string(),
            },
        }
    }
}

fn request(question: &Question, verb: &str) -> Request {
    let verb = verb.to_owned();
    match question {
        Question::Path(path) => Request::Path {
            verb,
            path: path.clone(),
        },
        Question::Resource(about) => Request::Resource(ResourceRequest {
            verb,
            group: about.group.clone(),
            resource: about.resource.clone(),
            subresource: about.subresource.clone(),
            namespace: about.namespace.clone(),
            name: about.name.clone(),
            ..ResourceRequest::default()
        }),
    }
}
