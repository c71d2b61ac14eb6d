//! Who calls, and what that caller may do.
//!
//! A caller is what a client certificate of our own authority says: CN is the user, each O a group. `system:masters`
//! may do everything, `system:node:*` may only use the node stream, everybody may ask for health and version. Never
//! here: TLS itself and the shape of answers.
//! Source: Kubernetes, "Authenticating" (X.509 client certificates) and "Authorization overview".

use x509_parser::prelude::{FromDer, X509Certificate};

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

/// Who makes a request. Present in the extensions of every HTTP request, gRPC included.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Caller {
    /// The user's name.
    pub user: String,
    /// The groups the user is in.
    pub groups: Vec<String>,
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
        }
    }

    /// A client without a certificate.
    #[must_use]
    pub fn anonymous() -> Caller {
        Caller {
            user: ANONYMOUS_USER.to_owned(),
            groups: vec![UNAUTHENTICATED_GROUP.to_owned()],
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
        Ok(Caller { user, groups })
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

/// Whether this caller may send REST requests that are not public.
///
/// An agent may not: all it needs comes over its stream, so that a stolen node reads only what its pods use.
#[must_use]
pub fn may_use_api(caller: &Caller) -> bool {
    caller.is_master()
}

#[cfg(test)]
mod tests;
