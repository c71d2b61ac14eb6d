//! API servers beside this one: which versions of which groups APIServices leave to them, and how they are asked.
//!
//! They know callers by headers that only this server may set: it shows a certificate of an authority of its own, which
//! every server finds in the ConfigMap `kube-system/extension-apiserver-authentication`.
//! Never here: HTTP of clients (`rest`), and what an APIService's status says (`reconcile::availability`).
//! Source: Kubernetes, "Kubernetes API Aggregation Layer", "Configure the Aggregation Layer".

mod checks;
mod services;

use std::{collections::HashMap, sync::Arc};

use api::discovery::RemoteVersion;
use http::{HeaderMap, HeaderName, HeaderValue};
use parking_lot::Mutex;
use serde_json::{Value, json};

use self::services::Services;
pub(crate) use self::{
    checks::{row, run},
    services::{Found, Remote},
};
use crate::{
    auth::Caller,
    engine::ApiError,
    followed::Followed,
    pki::{Authority, IssueError, OwnCertificate},
    reach::Destination,
    store::Store,
};

/// Who this server is to others.
const PROXY_USER: &str = "front-proxy-client";
/// In whose name it asks what they serve.
const AGGREGATOR_USER: &str = "system:kube-aggregator";
const USER: HeaderName = HeaderName::from_static("x-remote-user");
const GROUP: HeaderName = HeaderName::from_static("x-remote-group");
const UID: HeaderName = HeaderName::from_static("x-remote-uid");
const EXTRA_PREFIX: &str = "x-remote-extra-";
/// Beginnings of headers that say who a caller is.
const ABOUT_CALLERS: [&str; 3] = ["x-remote-", "impersonate-", "authorization"];

/// The servers beside this one. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Aggregation {
    inner: Arc<Inner>,
}

struct Inner {
    services: Followed<Services>,
    identity: Arc<OwnCertificate>,
    /// By the APIService's name.
    heard: Mutex<HashMap<String, Heard>>,
}

/// What a server has said of itself.
#[derive(Debug, Clone, Default, PartialEq)]
struct Heard {
    /// In the aggregated form; nothing if it did not answer.
    resources: Option<Vec<Value>>,
    /// Where its OpenAPI document is, with the hash.
    openapi: Option<String>,
}

impl Aggregation {
    /// # Errors
    /// When the authority signs no certificate.
    pub(crate) fn new(store: Store, authority: Authority) -> Result<Aggregation, IssueError> {
        Ok(Aggregation {
            inner: Arc::new(Inner {
                services: Followed::new(store),
                identity: Arc::new(OwnCertificate::of_user(authority, PROXY_USER)?),
                heard: Mutex::default(),
            }),
        })
    }

    /// The server that serves the version, if it is not this one.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub(crate) fn remote(&self, group: &str, version: &str) -> Result<Option<Found>, ApiError> {
        let found = self.inner.services.ask(|services| services.find(group, version));
        found.map_err(ApiError::Read)
    }

    /// Where it is.
    ///
    /// # Errors
    /// When its APIService does not say.
    pub(crate) fn destination<'a>(&self, remote: &'a Remote) -> Result<&'a Destination, ApiError> {
        let destination = remote.destination(|| self.inner.identity.clone());
        destination.map_err(|error| ApiError::Unreachable(format!("error trying to reach service: {error}")))
    }

    /// What other servers serve, those that rank first in front.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub(crate) fn versions(&self) -> Result<Vec<RemoteVersion>, ApiError> {
        let ranked = self.inner.services.ask(Services::ranked).map_err(ApiError::Read)?;
        let heard = self.inner.heard.lock();
        let version = |found: Found| RemoteVersion {
            group: found.remote.group.clone(),
            version: found.remote.version.clone(),
            resources: heard
                .get(&found.remote.name())
                .filter(|_| found.is_available)
                .and_then(|heard| heard.resources.clone()),
        };
        Ok(ranked.into_iter().map(version).collect())
    }

    /// Where OpenAPI documents of other servers are: `apis/GROUP/VERSION`, and the path with the document's hash.
    pub(crate) fn openapi(&self) -> Vec<(String, String)> {
        let ranked = self.inner.services.ask(Services::ranked).unwrap_or_default();
        let heard = self.inner.heard.lock();
        let document = |found: &Found| {
            let url = heard.get(&found.remote.name())?.openapi.clone()?;
            Some((found.remote.openapi_path(), url))
        };
        ranked.iter().filter_map(document).collect()
    }
}

/// Replaces whatever says who the caller is by what other servers believe.
///
/// # Errors
/// When a name cannot stand in a header.
pub(crate) fn identify(headers: &mut HeaderMap, caller: &Caller) -> Result<(), ApiError> {
    let told: Vec<HeaderName> = headers
        .keys()
        .filter(|name| ABOUT_CALLERS.iter().any(|prefix| name.as_str().starts_with(prefix)))
        .cloned()
        .collect();
    for name in told {
        headers.remove(name);
    }
    let value = |text: &str| {
        HeaderValue::from_bytes(text.as_bytes())
            .map_err(|_| ApiError::BadRequest(format!("{text:?} cannot be told to another API server")))
    };
    headers.insert(USER, value(&caller.user)?);
    if !caller.uid.is_empty() {
        headers.insert(UID, value(&caller.uid)?);
    }
    for group in &caller.groups {
        headers.append(GROUP, value(group)?);
    }
    for (key, values) in &caller.extra {
        let name = HeaderName::from_bytes(format!("{EXTRA_PREFIX}{}", escaped(key)).as_bytes())
            .map_err(|_| ApiError::BadRequest(format!("{key:?} cannot be told to another API server")))?;
        for text in values {
            headers.append(name.clone(), value(text)?);
        }
    }
    Ok(())
}

/// A key as a part of a header's name: percent-encoded where that takes it. RFC 9110, section 5.6.2.
fn escaped(key: &str) -> String {
    let mut text = String::with_capacity(key.len());
    for byte in key.bytes() {
        if byte.is_ascii_alphanumeric() || b"!#$&'*+-.^_`|~".contains(&byte) {
            text.push(char::from(byte));
        } else {
            text.push_str(&format!("%{byte:02X}"));
        }
    }
    text
}

/// The data of `kube-system/extension-apiserver-authentication`: whose word on callers another server may take.
pub(crate) fn authentication_config(authority: &Authority, proxy: &Authority) -> Value {
    json!({
        "client-ca-file": authority.certificate_pem(),
        "requestheader-allowed-names": json!([PROXY_USER]).to_string(),
        "requestheader-client-ca-file": proxy.certificate_pem(),
        "requestheader-extra-headers-prefix": json!(["X-Remote-Extra-"]).to_string(),
        "requestheader-group-headers": json!(["X-Remote-Group"]).to_string(),
        "requestheader-uid-headers": json!(["X-Remote-Uid"]).to_string(),
        "requestheader-username-headers": json!(["X-Remote-User"]).to_string(),
    })
}

#[cfg(test)]
mod tests;
