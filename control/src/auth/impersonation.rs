//! Acting as somebody else: what the headers ask for, and what the caller must be allowed for that. Pure.
//!
//! Source: Kubernetes, "User impersonation".

use std::collections::BTreeMap;

use http::{HeaderMap, header::HeaderName};

use super::{
    ANONYMOUS_USER, AUTHENTICATED_GROUP, Caller, SERVICE_ACCOUNTS_GROUP, UNAUTHENTICATED_GROUP, as_service_account,
};
use crate::authorization::{Request, ResourceRequest};

const USER: &str = "impersonate-user";
const GROUP: &str = "impersonate-group";
const UID: &str = "impersonate-uid";
const EXTRA_PREFIX: &str = "impersonate-extra-";
const AUTHENTICATION: &str = "authentication.k8s.io";

/// The headers do not say whom to act as.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ImpersonationError {
    #[error("groups, uid or extra were given without impersonating a user")]
    NoUser,
    #[error("the value of the header {0} is not text")]
    NotText(String),
}

/// Whom a caller wants to act as.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Impersonation {
    user: String,
    groups: Vec<String>,
    uid: String,
    extra: BTreeMap<String, Vec<String>>,
}

impl Impersonation {
    /// What the headers ask for, if they ask.
    ///
    /// # Errors
    /// When they are incomplete.
    pub(crate) fn parse(headers: &HeaderMap) -> Result<Option<Impersonation>, ImpersonationError> {
        let mut wanted = Impersonation {
            user: String::new(),
            groups: Vec::new(),
            uid: String::new(),
            extra: BTreeMap::new(),
        };
        for (name, value) in headers {
            if !name.as_str().starts_with("impersonate-") {
                continue;
            }
            let text = value
                .to_str()
                .map_err(|_| ImpersonationError::NotText(name.to_string()))?
                .to_owned();
            wanted.take(name, text);
        }
        let asks_more = !wanted.groups.is_empty() || !wanted.uid.is_empty() || !wanted.extra.is_empty();
        match (wanted.user.is_empty(), asks_more) {
            (true, true) => Err(ImpersonationError::NoUser),
            (true, false) => Ok(None),
            (false, _) => Ok(Some(wanted)),
        }
    }

    fn take(&mut self, header: &HeaderName, value: String) {
        match header.as_str() {
            USER => self.user = value,
            GROUP => self.groups.push(value),
            UID => self.uid = value,
            other => {
                if let Some(key) = other.strip_prefix(EXTRA_PREFIX) {
                    let key = percent_decoded(key).to_lowercase();
                    self.extra.entry(key).or_default().push(value);
                }
            }
        }
    }

    /// What the caller must be allowed, all of it.
    pub(crate) fn requests(&self) -> Vec<Request> {
        let request = |group: &str, resource: &str, subresource: &str, namespace: &str, name: &str| {
            Request::Resource(ResourceRequest {
                verb: "impersonate".to_owned(),
                group: group.to_owned(),
                resource: resource.to_owned(),
                subresource: subresource.to_owned(),
                namespace: namespace.to_owned(),
                name: name.to_owned(),
                ..ResourceRequest::default()
            })
        };
        let mut requests = vec![match as_service_account(&self.user) {
            Some((namespace, name)) => request("", "serviceaccounts", "", namespace, name),
            None => request("", "users", "", "", &self.user),
        }];
        requests.extend(self.groups.iter().map(|group| request("", "groups", "", "", group)));
        if !self.uid.is_empty() {
            requests.push(request(AUTHENTICATION, "uids", "", "", &self.uid));
        }
        for (key, values) in &self.extra {
            let values = values.iter();
            requests.extend(values.map(|value| request(AUTHENTICATION, "userextras", key, "", value)));
        }
        requests
    }

    /// The caller to go on as, once all requests are allowed.
    pub(crate) fn into_caller(self) -> Caller {
        let mut groups = self.groups;
        if groups.is_empty()
            && let Some((namespace, _)) = as_service_account(&self.user)
        {
            groups.push(SERVICE_ACCOUNTS_GROUP.to_owned());
            groups.push(format!("{SERVICE_ACCOUNTS_GROUP}:{namespace}"));
        }
        let everybody = if self.user == ANONYMOUS_USER {
            UNAUTHENTICATED_GROUP
        } else {
            AUTHENTICATED_GROUP
        };
        if !groups.iter().any(|group| group == everybody) {
            groups.push(everybody.to_owned());
        }
        Caller {
            user: self.user,
            groups,
            uid: self.uid,
            extra: self.extra,
        }
    }
}

/// The text with `%41` and the like decoded; as it is if that gives no text.
fn percent_decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        let decoded = match (first, tail) {
            (b'%', [high, low, ..]) => std::str::from_utf8(&[*high, *low])
                .ok()
                .and_then(|digits| u8::from_str_radix(digits, 16).ok()),
            _ => None,
        };
        bytes.push(decoded.unwrap_or(*first));
        rest = if decoded.is_some() { &tail[2..] } else { tail };
    }
    String::from_utf8(bytes).unwrap_or_else(|_| text.to_owned())
}

#[cfg(test)]
mod tests;
