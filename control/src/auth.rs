//! Who calls.
//!
//! A caller is what a client certificate of our own authority says (CN is the user, each O a group), else what a bearer
//! token stands for, else nobody; who may may act as another. Everybody may ask for health and version. Never here: TLS
//! itself, the shape of answers, what callers may do (`authorization`).
//! Source: Kubernetes, "Authenticating" and "User Impersonation".

mod bearer;
mod bootstrap_token;
mod impersonation;
mod jwt;
mod oidc;
mod service_account;
mod signing;

use std::collections::BTreeMap;

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::pki::hex;

/// Common name prefix of agents' certificates.
pub const NODE_USER_PREFIX: &str = "system:node:";
/// Group of agents' certificates.
pub const NODES_GROUP: &str = "system:nodes";
/// The group that may do everything.
pub const MASTERS_GROUP: &str = "system:masters";
/// Group of everyone with a name.
pub const AUTHENTICATED_GROUP: &str = "system:authenticated";
const ANONYMOUS_USER: &str = "system:anonymous";
const UNAUTHENTICATED_GROUP: &str = "system:unauthenticated";
const SERVICE_ACCOUNT_PREFIX: &str = "system:serviceaccount:";
/// Group of all service accounts; with `:NAMESPACE`, of those of a namespace.
const SERVICE_ACCOUNTS_GROUP: &str = "system:serviceaccounts";
/// Key of what tells one credential of a user from another.
const CREDENTIAL_ID: &str = "authentication.kubernetes.io/credential-id";

pub(crate) use self::{
    bearer::{authenticate, prepare},
    bootstrap_token::BootstrapToken,
    impersonation::Impersonation,
    service_account::{BoundObject, TOKEN_SECRET_TYPE, Wish, legacy_claims},
};
pub use self::{
    oidc::{Algorithm, OidcConfig, OpenOidcError},
    signing::{OpenTokensError, Tokens},
};

/// Who makes a request. Present in the extensions of every HTTP request, gRPC included.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Caller {
    /// The user's name.
    pub user: String,
    /// The groups the user is in.
    pub groups: Vec<String>,
    /// Tells users of one name over time apart; empty if nothing does.
    pub uid: String,
    /// What else the authenticator knows.
    pub extra: BTreeMap<String, Vec<String>>,
}

/// The client certificate cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    /// Not X.509.
    #[error("the client certificate is not X.509")]
    Malformed,
    /// No usable common name.
    #[error("the client certificate has no common name")]
    NoCommonName,
}

impl Caller {
    /// A component of the server itself, for example `system:controller`.
    #[must_use]
    pub fn system(user: &str) -> Caller {
        Caller {
            user: user.to_owned(),
            groups: vec![MASTERS_GROUP.to_owned(), AUTHENTICATED_GROUP.to_owned()],
            ..Caller::default()
        }
    }

    /// A client without a certificate.
    #[must_use]
    pub fn anonymous() -> Caller {
        Caller {
            user: ANONYMOUS_USER.to_owned(),
            groups: vec![UNAUTHENTICATED_GROUP.to_owned()],
            ..Caller::default()
        }
    }

    /// The caller that a client certificate names. Its signature was checked by TLS.
    ///
    /// # Errors
    /// When the certificate names nobody; the connection is then to be refused.
    pub fn from_certificate(der: &[u8]) -> Result<Caller, CertificateError> {
        let (_, certificate) = X509Certificate::from_der(der).map_err(|_| CertificateError::Malformed)?;
        let subject = certificate.subject();
        let user = subject
            .iter_common_name()
            .find_map(|name| name.as_str().ok())
            .filter(|name| !name.is_empty())
            .ok_or(CertificateError::NoCommonName)?
            .to_owned();
        let mut groups: Vec<String> = subject
            .iter_organization()
            .filter_map(|group| group.as_str().ok())
            .map(str::to_owned)
            .collect();
        groups.push(AUTHENTICATED_GROUP.to_owned());
        let fingerprint = format!("X509SHA256={}", hex(&Sha256::digest(der)));
        Ok(Caller {
            user,
            groups,
            extra: BTreeMap::from([(CREDENTIAL_ID.to_owned(), vec![fingerprint])]),
            ..Caller::default()
        })
    }

    /// The user of a service account.
    #[must_use]
    pub(crate) fn service_account(namespace: &str, name: &str) -> Caller {
        Caller {
            user: service_account_user(namespace, name),
            groups: vec![
                SERVICE_ACCOUNTS_GROUP.to_owned(),
                format!("{SERVICE_ACCOUNTS_GROUP}:{namespace}"),
                AUTHENTICATED_GROUP.to_owned(),
            ],
            ..Caller::default()
        }
    }

    /// The caller as `UserInfo` of `authentication.k8s.io/v1`.
    #[must_use]
    pub(crate) fn user_info(&self) -> Value {
        let mut info = json!({ "username": self.user, "groups": self.groups });
        if !self.uid.is_empty() {
            info["uid"] = json!(self.uid);
        }
        if !self.extra.is_empty() {
            info["extra"] = json!(self.extra);
        }
        info
    }

    /// True if the caller showed no identity.
    #[must_use]
    pub fn is_anonymous(&self) -> bool {
        self.user == ANONYMOUS_USER
    }

    /// True if the caller may do everything.
    #[must_use]
    pub fn is_master(&self) -> bool {
        self.groups.iter().any(|group| group == MASTERS_GROUP)
    }

    /// The node this caller is the agent of, if it is one.
    #[must_use]
    pub fn node_name(&self) -> Option<&str> {
        if !self.groups.iter().any(|group| group == NODES_GROUP) {
            return None;
        }
        self.user.strip_prefix(NODE_USER_PREFIX).filter(|name| !name.is_empty())
    }
}

/// Whether a path can be asked for by anybody, also without a name.
#[must_use]
pub fn is_public_path(path: &str) -> bool {
    let path = path.trim_end_matches('/');
    ["/healthz", "/livez", "/readyz", "/version"].iter().any(|public| {
        path.strip_prefix(public)
            .is_some_and(|rest| rest.is_empty() || (rest.starts_with('/') && *public != "/version"))
    })
}

/// The user name of a service account.
#[must_use]
pub(crate) fn service_account_user(namespace: &str, name: &str) -> String {
    format!("{SERVICE_ACCOUNT_PREFIX}{namespace}:{name}")
}

/// Namespace and name of the service account that a user name stands for, if it does.
#[must_use]
pub(crate) fn as_service_account(user: &str) -> Option<(&str, &str)> {
    let (namespace, name) = user.strip_prefix(SERVICE_ACCOUNT_PREFIX)?.split_once(':')?;
    (!namespace.is_empty() && !name.is_empty() && !name.contains(':')).then_some((namespace, name))
}

/// Compares in a time that depends on the lengths only.
pub(crate) fn is_same_secret(one: &[u8], other: &[u8]) -> bool {
    let difference = one.iter().zip(other).fold(0, |sum, (one, other)| sum | (one ^ other));
    one.len() == other.len() && std::hint::black_box(difference) == 0
}

#[cfg(test)]
mod tests;
