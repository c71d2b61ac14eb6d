//! Whether a request is right for the signer that it names, and for how long its certificate is good. Pure.
//!
//! Source: Kubernetes, "Certificates and Certificate Signing Requests": "Kubernetes signers", "Expiration duration".

use std::time::Duration;

use super::asked::{AlternativeName, Asked};
use crate::auth::{NODE_USER_PREFIX, NODES_GROUP};

/// The shortest life, as in Kubernetes.
const LIFE_MIN: Duration = Duration::from_secs(600);

/// Who signs; all with the cluster's authority. Others' signers, and `kubernetes.io/legacy-unknown`, sign nothing here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Signer {
    /// Certificates of clients of this API.
    ApiClient,
    /// Certificates with which nodes' agents are clients of this API.
    NodeClient,
    /// Certificates that nodes serve with.
    NodeServing,
}

impl Signer {
    /// The signer of this name, if it is one of ours.
    pub(crate) fn by_name(name: &str) -> Option<Signer> {
        match name {
            "kubernetes.io/kube-apiserver-client" => Some(Signer::ApiClient),
            "kubernetes.io/kube-apiserver-client-kubelet" => Some(Signer::NodeClient),
            "kubernetes.io/kubelet-serving" => Some(Signer::NodeServing),
            _ => None,
        }
    }
}

/// What a key may be used for. What else Kubernetes names, none of our signers allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Usage {
    DigitalSignature,
    KeyEncipherment,
    ClientAuth,
    ServerAuth,
}

impl Usage {
    fn by_name(name: &str) -> Option<Usage> {
        match name {
            "digital signature" => Some(Usage::DigitalSignature),
            "key encipherment" => Some(Usage::KeyEncipherment),
            "client auth" => Some(Usage::ClientAuth),
            "server auth" => Some(Usage::ServerAuth),
            _ => None,
        }
    }
}

/// The request is wrong for its signer; in Kubernetes' words.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Fault {
    #[error("invalid usage for client certificate: {0}")]
    ClientUsage(String),
    #[error("missing required usage for client certificate: client auth")]
    NoClientAuth,
    #[error("usages did not match {0}")]
    Usages(&'static str),
    #[error("subject organization is not system:nodes")]
    Organization,
    #[error("subject common name does not begin with system:node:")]
    CommonName,
    #[error("{0} subjectAltNames are not allowed")]
    AlternativeName(&'static str),
    #[error("DNS or IP subjectAltName is required")]
    NoAlternativeName,
}

/// What the certificate may be used for, if the signer signs it.
///
/// # Errors
/// When the signer does not.
pub(crate) fn judge(signer: Signer, asked: &Asked, usages: &[&str]) -> Result<Vec<Usage>, Fault> {
    match signer {
        Signer::ApiClient => client_usages(usages),
        Signer::NodeClient => {
            is_of_node(asked)?;
            if let Some(name) = asked.names.first() {
                return Err(Fault::AlternativeName(name.kind()));
            }
            exactly(usages, Usage::ClientAuth, "[client auth digital signature]")
        }
        Signer::NodeServing => {
            let is_host = |name: &AlternativeName| matches!(name, AlternativeName::Dns(_) | AlternativeName::Ip(_));
            if !asked.names.iter().any(is_host) {
                return Err(Fault::NoAlternativeName);
            }
            if let Some(name) = asked.names.iter().find(|name| !is_host(name)) {
                return Err(Fault::AlternativeName(name.kind()));
            }
            let usages = exactly(usages, Usage::ServerAuth, "[server auth digital signature]")?;
            is_of_node(asked)?;
            Ok(usages)
        }
    }
}

impl AlternativeName {
    fn kind(&self) -> &'static str {
        match self {
            AlternativeName::Dns(_) => "DNS",
            AlternativeName::Ip(_) => "IP",
            AlternativeName::Email(_) => "Email",
            AlternativeName::Uri(_) => "URI",
        }
    }
}

fn is_of_node(asked: &Asked) -> Result<(), Fault> {
    if asked.organizations != [NODES_GROUP] {
        return Err(Fault::Organization);
    }
    if !asked.common_name.starts_with(NODE_USER_PREFIX) {
        return Err(Fault::CommonName);
    }
    Ok(())
}

fn client_usages(usages: &[&str]) -> Result<Vec<Usage>, Fault> {
    let mut wanted = Vec::new();
    for name in usages {
        match Usage::by_name(name) {
            Some(Usage::ServerAuth) | None => return Err(Fault::ClientUsage((*name).to_owned())),
            Some(usage) => wanted.push(usage),
        }
    }
    if wanted.contains(&Usage::ClientAuth) {
        Ok(wanted)
    } else {
        Err(Fault::NoClientAuth)
    }
}

/// A digital signature, this, perhaps key encipherment, and nothing else.
fn exactly(usages: &[&str], this: Usage, needed: &'static str) -> Result<Vec<Usage>, Fault> {
    let wanted: Option<Vec<Usage>> = usages.iter().map(|name| Usage::by_name(name)).collect();
    let wanted = wanted.unwrap_or_default();
    let is_allowed =
        |usage: &Usage| matches!(usage, Usage::DigitalSignature | Usage::KeyEncipherment) || *usage == this;
    if wanted.contains(&Usage::DigitalSignature) && wanted.contains(&this) && wanted.iter().all(is_allowed) {
        Ok(wanted)
    } else {
        Err(Fault::Usages(needed))
    }
}

/// How long a certificate is good whose request asks for this many seconds: `life_max` if it asks for none, or more.
pub(crate) fn life(seconds: Option<i64>, life_max: Duration) -> Duration {
    let asked = seconds.map(|seconds| Duration::from_secs(seconds.max(0).unsigned_abs()));
    asked.map_or(life_max, |asked| asked.max(LIFE_MIN).min(life_max))
}

#[cfg(test)]
mod tests;
