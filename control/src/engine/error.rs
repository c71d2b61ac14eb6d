//! Why the engine refuses, in Kubernetes' terms: reason, message and details of a Status.
//!
//! Never here: HTTP codes (`control::rest`) and what clients do about it.
//! Source: Kubernetes API conventions, "Response Status Kind".

use api::{resource::Resource, validation::FieldError};
use serde_json::{Value, json};

use crate::store::{CommitError, ReadError};

/// The object (or, without a name, the collection) that a refusal is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// API group; empty for the core group.
    pub group: &'static str,
    /// Plural resource name.
    pub resource: &'static str,
    /// `kind:` of its objects.
    pub kind: &'static str,
    /// Empty if no name is known.
    pub name: String,
}

impl Target {
    /// The object of this name.
    #[must_use]
    pub fn new(resource: &Resource, name: &str) -> Target {
        Target {
            group: resource.group,
            resource: resource.plural,
            kind: resource.kind,
            name: name.to_owned(),
        }
    }

    fn qualified(&self, word: &str) -> String {
        if self.group.is_empty() {
            word.to_owned()
        } else {
            format!("{word}.{}", self.group)
        }
    }

    /// `deployments.apps "web"`, or `deployments.apps` without a name.
    fn quoted(&self) -> String {
        let resource = self.qualified(self.resource);
        if self.name.is_empty() {
            resource
        } else {
            format!("{resource} {:?}", self.name)
        }
    }

    /// `Deployment.apps "web"`
    fn quoted_kind(&self) -> String {
        format!("{} {:?}", self.qualified(self.kind), self.name)
    }

    fn details(&self) -> Value {
        let mut details = json!({ "kind": self.resource });
        if !self.name.is_empty() {
            details["name"] = json!(self.name);
        }
        if !self.group.is_empty() {
            details["group"] = json!(self.group);
        }
        details
    }
}

/// One part of a refusal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cause {
    /// CamelCase, for machines.
    pub reason: &'static str,
    /// A sentence.
    pub message: String,
    /// Path of the field; empty if it is about no field.
    pub field: String,
}

impl Cause {
    fn to_json(&self) -> Value {
        let mut value = json!({ "reason": self.reason, "message": self.message });
        if !self.field.is_empty() {
            value["field"] = json!(self.field);
        }
        value
    }
}

/// A refusal by somebody outside, as a Status tells it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Denial {
    /// HTTP status; 400 and above.
    pub code: u16,
    /// For machines; may be empty.
    pub reason: String,
    /// For people.
    pub message: String,
}

/// A request that the engine refuses. Display is the Status' message.
#[derive(Debug, thiserror::Error)]
pub enum ApiError {
    /// No such object.
    #[error("{} not found", .0.quoted())]
    NotFound(Target),
    /// No such path.
    #[error("the server could not find the requested resource")]
    NoSuchPath,
    /// An object of this name is there.
    #[error("{} already exists", .0.quoted())]
    AlreadyExists(Target),
    /// The object changed since the caller read it, or a precondition does not hold.
    #[error("Operation cannot be fulfilled on {}: {detail}", target.quoted())]
    Conflict {
        /// The object.
        target: Target,
        /// What collided.
        detail: String,
    },
    /// Others own fields that a configuration gives other values.
    #[error("{message}")]
    ApplyConflict {
        /// Names managers and fields.
        message: String,
        /// One per field, never empty.
        causes: Vec<Cause>,
    },
    /// A configuration to be applied has fields that the kind does not have, or values that they do not take.
    #[error("{0}")]
    NotTyped(String),
    /// The object is not valid.
    #[error("{} is invalid: {}", target.quoted_kind(), join(causes))]
    Invalid {
        /// The object.
        target: Target,
        /// One per fault, never empty.
        causes: Vec<FieldError>,
    },
    /// A patch cannot be applied to the object as it is.
    #[error("the server rejected our request due to an error in our request: {detail}")]
    PatchFailed {
        /// Why.
        detail: String,
    },
    /// Not allowed, whoever asks or because of who asks.
    #[error("{} is forbidden: {detail}", target.quoted())]
    Forbidden {
        /// The object or collection.
        target: Target,
        /// Why.
        detail: String,
        /// For machines.
        causes: Vec<Cause>,
    },
    /// A path outside the API, or of no kind, that the caller may not use.
    #[error("forbidden: {0}")]
    ForbiddenPath(String),
    /// The request makes no sense.
    #[error("{0}")]
    BadRequest(String),
    /// The caller must say who it is.
    #[error("Unauthorized")]
    Unauthorized,
    /// The resource exists and does not know this verb.
    #[error("the server does not allow this method on the requested resource")]
    MethodNotAllowed,
    /// The revision asked for is compacted; list again.
    #[error("{0}")]
    Expired(String),
    /// The revision asked for does not exist yet.
    #[error("Too large resource version: {requested}, current: {current}")]
    TooLargeResourceVersion {
        /// What was asked for.
        requested: u64,
        /// What there is.
        current: u64,
    },
    /// The body is bigger than the server takes.
    #[error("Request entity too large: limit is {limit}")]
    TooLarge {
        /// In bytes.
        limit: usize,
    },
    /// The body's format is not known.
    #[error(
        "the body of the request was in an unknown format - accepted media types include: {}",
        accepted.join(", ")
    )]
    UnsupportedMediaType {
        /// What is known here.
        accepted: &'static [&'static str],
    },
    /// None of the formats the client accepts is known.
    #[error("only the following media types are accepted: {}", offered.join(", "))]
    NotAcceptable {
        /// What is known here.
        offered: &'static [&'static str],
    },
    /// It did not happen in time; the client may try again.
    #[error("{0}")]
    Timeout(String),
    /// The client has too many requests of this sort under way; it may try again.
    #[error("{0}")]
    TooManyRequests(String),
    /// The path and query are longer than the server takes.
    #[error("the request's URI is too long: limit is {limit}")]
    UriTooLong {
        /// In bytes.
        limit: usize,
    },
    /// The server, or the node behind it, cannot serve this now; the client may try again.
    #[error("{0}")]
    Unavailable(String),
    /// Who would have to answer cannot be reached; that may stay so.
    #[error("{0}")]
    Unreachable(String),
    /// A node's answer was an error.
    #[error("{message}")]
    Node {
        /// As the node chose it.
        status: u16,
        /// A sentence.
        message: String,
    },
    /// A webhook refuses the request.
    #[error("{}", .0.message)]
    Denied(Denial),
    /// The webhook of a custom kind does not convert an object from one version to another.
    #[error("{0}")]
    Conversion(String),
    /// Somebody whom the request depends on has failed.
    #[error("Internal error occurred: {0}")]
    Internal(String),
    /// The store cannot be read.
    #[error("Internal error occurred: read the store: {0}")]
    Read(#[source] ReadError),
    /// The store cannot be written; nothing was written.
    #[error("Internal error occurred: write the store: {}", chain(.0))]
    Commit(#[source] Box<CommitError>),
    /// Other writers were faster, every time.
    #[error("Operation cannot be fulfilled on {}: too many concurrent changes, please try again", .0.quoted())]
    Contention(Target),
    /// The handler of the request panicked; the log has the message.
    #[error("Internal error occurred: the request hit a bug in the server")]
    Panicked,
    /// What the store holds is not an object. Cannot happen unless the file was changed by something else.
    #[error("Internal error occurred: the stored object {key} is not JSON")]
    Corrupt {
        /// Collection, namespace and name.
        key: String,
        /// Why.
        #[source]
        source: serde_json::Error,
    },
}

impl ApiError {
    /// A [`ApiError::Forbidden`] without causes.
    #[must_use]
    pub fn forbidden(target: Target, detail: impl Into<String>) -> ApiError {
        ApiError::Forbidden {
            target,
            detail: detail.into(),
            causes: Vec::new(),
        }
    }

    /// The refusal that clients answer by reading again.
    #[must_use]
    pub fn stale(target: Target) -> ApiError {
        ApiError::Conflict {
            target,
            detail: "the object has been modified; please apply your changes to the latest version and try again"
                .to_owned(),
        }
    }

    /// `reason` of the Status.
    #[must_use]
    pub fn reason(&self) -> &str {
        match self {
            ApiError::NotFound(_) | ApiError::NoSuchPath => "NotFound",
            ApiError::AlreadyExists(_) => "AlreadyExists",
            ApiError::Conflict { .. } | ApiError::ApplyConflict { .. } | ApiError::Contention(_) => "Conflict",
            // Kubernetes gives none.
            ApiError::NotTyped(_) | ApiError::Conversion(_) => "",
            ApiError::Invalid { .. } | ApiError::PatchFailed { .. } => "Invalid",
            ApiError::Forbidden { .. } | ApiError::ForbiddenPath(_) => "Forbidden",
            ApiError::BadRequest(_) => "BadRequest",
            ApiError::Unauthorized => "Unauthorized",
            ApiError::MethodNotAllowed => "MethodNotAllowed",
            ApiError::Expired(_) => "Expired",
            ApiError::TooLargeResourceVersion { .. } | ApiError::Timeout(_) => "Timeout",
            ApiError::TooLarge { .. } => "RequestEntityTooLarge",
            ApiError::UnsupportedMediaType { .. } => "UnsupportedMediaType",
            ApiError::NotAcceptable { .. } => "NotAcceptable",
            ApiError::TooManyRequests(_) => "TooManyRequests",
            ApiError::UriTooLong { .. } => "RequestURITooLong",
            ApiError::Unavailable(_) | ApiError::Unreachable(_) => "ServiceUnavailable",
            ApiError::Denied(denial) => &denial.reason,
            ApiError::Node { status, .. } => match status {
                400 => "BadRequest",
                404 => "NotFound",
                503 => "ServiceUnavailable",
                504 => "Timeout",
                _ => "InternalError",
            },
            ApiError::Internal(_)
            | ApiError::Read(_)
            | ApiError::Commit(_)
            | ApiError::Panicked
            | ApiError::Corrupt { .. } => "InternalError",
        }
    }

    /// `details` of the Status, if there are any.
    #[must_use]
    pub fn details(&self) -> Option<Value> {
        match self {
            ApiError::NotFound(target)
            | ApiError::AlreadyExists(target)
            | ApiError::Contention(target)
            | ApiError::Conflict { target, .. } => Some(target.details()),
            // Of nothing in particular, so that clients show the message: kubectl names either.
            ApiError::PatchFailed { .. } => Some(json!({})),
            ApiError::Invalid { target, causes } => {
                let mut details = target.details();
                details["kind"] = json!(target.kind);
                details["causes"] = causes
                    .iter()
                    .map(|cause| {
                        json!({
                            "reason": cause.kind.reason(),
                            "message": cause.body(),
                            "field": cause.field,
                        })
                    })
                    .collect();
                Some(details)
            }
            ApiError::Forbidden { target, causes, .. } => {
                let mut details = target.details();
                if !causes.is_empty() {
                    details["causes"] = causes.iter().map(Cause::to_json).collect();
                }
                Some(details)
            }
            ApiError::ApplyConflict { causes, .. } => Some(json!({
                "causes": causes.iter().map(Cause::to_json).collect::<Vec<_>>(),
            })),
            ApiError::TooLargeResourceVersion { .. } => Some(json!({
                "causes": [{ "reason": "ResourceVersionTooLarge", "message": "Too large resource version" }],
                "retryAfterSeconds": 1,
            })),
            ApiError::TooManyRequests(_) => Some(json!({ "retryAfterSeconds": 1 })),
            ApiError::NoSuchPath => Some(json!({})),
            _ => None,
        }
    }
}

fn join(causes: &[FieldError]) -> String {
    match causes {
        [one] => one.to_string(),
        many => {
            let list: Vec<String> = many.iter().map(ToString::to_string).collect();
            format!("[{}]", list.join(", "))
        }
    }
}

/// What went wrong, and why, in one line.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(source) = next {
        text.push_str(": ");
        text.push_str(&source.to_string());
        next = source.source();
    }
    text
}
