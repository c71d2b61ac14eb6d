//! What somebody asks to do, as authorizers see it.
//!
//! Source: Kubernetes, "Authorization": request attributes.

use crate::auth::Caller;

/// One thing that somebody asks to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Request {
    /// With objects.
    Resource(ResourceRequest),
    /// With a path that is not about objects.
    Path {
        /// The HTTP method in lower case, or `*`.
        verb: String,
        /// For example `/healthz`.
        path: String,
    },
}

/// Something that is asked to be done with objects.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct ResourceRequest {
    /// `get`, `list`, …
    pub(crate) verb: String,
    /// Empty for the core group.
    pub(crate) group: String,
    /// Plural name.
    pub(crate) resource: String,
    /// Empty for the object itself.
    pub(crate) subresource: String,
    /// Empty for cluster scope, or all namespaces.
    pub(crate) namespace: String,
    /// Empty for the collection.
    pub(crate) name: String,
    /// What the field selector demands of `spec.nodeName`; empty if nothing.
    pub(crate) node: String,
}

impl ResourceRequest {
    /// `pods`, or `pods/log`.
    pub(crate) fn path(&self) -> String {
        if self.subresource.is_empty() {
            self.resource.clone()
        } else {
            format!("{}/{}", self.resource, self.subresource)
        }
    }
}

/// Whether it may be done, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Decision {
    /// It may.
    pub(crate) allowed: bool,
    /// What allows it, or what else is to be said of a refusal; may be empty.
    pub(crate) reason: String,
}

/// The sentence that says that a caller may not do what it asks, in Kubernetes' words.
pub(crate) fn refusal(caller: &Caller, request: &Request, reason: &str) -> String {
    let user = &caller.user;
    let sentence = match request {
        Request::Path { verb, path } => format!("User {user:?} cannot {verb} path {path:?}"),
        Request::Resource(request) => {
            let place = match request.namespace.as_str() {
                "" => "at the cluster scope".to_owned(),
                namespace => format!("in the namespace {namespace:?}"),
            };
            let (verb, resource, group) = (&request.verb, request.path(), &request.group);
            format!("User {user:?} cannot {verb} resource {resource:?} in API group {group:?} {place}")
        }
    };
    match reason {
        "" => sentence,
        reason => format!("{sentence}: {reason}"),
    }
}
