//! How a node becomes a member: a token is exchanged for a certificate, once.
//!
//! The token names the cluster's authority by fingerprint, so that it is only ever sent to the right server. The key
//! is made here and never leaves the node. Never here: what the node does as a member.
//! Source: Kubernetes, "TLS bootstrapping" and "Authenticating with Bootstrap Tokens"; RFC 2986.

use std::{
    fs, io,
    path::{Path, PathBuf},
    str::FromStr,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use api::{
    Timestamp,
    node_stream::{JoinRequest, JoinResponse, node_stream_client::NodeStreamClient},
};
use rcgen::{CertificateParams, DistinguishedName, KeyPair};
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tonic::Code;
use tracing::{info, warn};

use crate::{
    config::AgentConfig,
    dial::{BadServerAddress, Credentials, DialError, Fingerprint, ServerAddress, dial},
    durable,
};

/// The user name of a node's certificate starts with this.
const NODE_USER_PREFIX: &str = "system:node:";
/// A certificate with less life than this counts as expired: joining again takes a moment.
const LIFE_LEFT_MIN: Duration = Duration::from_secs(60);
/// Waits between attempts while the server does not answer.
const RETRY_WAIT: Duration = Duration::from_secs(1);
const RETRY_WAIT_MAX: Duration = Duration::from_secs(10);

/// A join token: `id.secret:fingerprint`.
#[derive(Clone, PartialEq, Eq)]
pub struct JoinToken {
    /// `id.secret`: what the server checks.
    pub bootstrap: String,
    /// The authority it may be shown to.
    pub pin: Fingerprint,
}

impl std::fmt::Debug for JoinToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let id = self.bootstrap.split('.').next().unwrap_or_default();
        write!(f, "JoinToken({id}.…, {:?})", self.pin)
    }
}

/// The text is not a join token. The secret is not repeated.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum BadToken {
    /// There is no `:fingerprint`.
    #[error("the token has no \":\" with the fingerprint of the cluster's authority; {HINT}")]
    NoPin,
    /// The fingerprint is not 64 hexadecimal digits.
    #[error("the token's fingerprint after \":\" is not 64 hexadecimal digits; {HINT}")]
    BadPin,
    /// The part before is not `id.secret`.
    #[error("the token does not start with 6 characters, \".\" and 16 characters of a-z and 0-9; {HINT}")]
    BadSecret,
}

const HINT: &str = "take it from the file join-token in the server's data directory";

impl FromStr for JoinToken {
    type Err = BadToken;

    fn from_str(text: &str) -> Result<JoinToken, BadToken> {
        let (bootstrap, pin) = text.trim().split_once(':').ok_or(BadToken::NoPin)?;
        let pin = Fingerprint::parse(pin.strip_prefix("sha256:").unwrap_or(pin)).ok_or(BadToken::BadPin)?;
        let plain = |part: &str, length: usize| {
            part.len() == length
                && part
                    .bytes()
                    .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
        };
        match bootstrap.split_once('.') {
            Some((id, secret)) if plain(id, 6) && plain(secret, 16) => Ok(JoinToken {
                bootstrap: bootstrap.to_owned(),
                pin,
            }),
            _ => Err(BadToken::BadSecret),
        }
    }
}

/// Who the node is: its key, its certificate and the authority it trusts.
pub struct Identity {
    key: PrivateKeyDer<'static>,
    chain: Vec<CertificateDer<'static>>,
    authority: CertificateDer<'static>,
}

impl Identity {
    /// For [`dial`].
    #[must_use]
    pub fn credentials(&self) -> Credentials {
        Credentials::Mutual {
            authority: self.authority.clone(),
            chain: self.chain.clone(),
            key: self.key.clone_key(),
        }
    }

    /// Fingerprint of the cluster's authority.
    #[must_use]
    pub fn authority_fingerprint(&self) -> Fingerprint {
        Fingerprint::of(&self.authority)
    }

    /// Key, certificates and at last the authority's.
    pub(crate) fn from_pem(pem: &[u8]) -> Result<Identity, Unusable> {
        let mut certificates = rustls_pemfile::certs(&mut &*pem)
            .collect::<Result<Vec<_>, _>>()
            .map_err(|_| Unusable::Malformed)?;
        let key = rustls_pemfile::private_key(&mut &*pem)
            .ok()
            .flatten()
            .ok_or(Unusable::Malformed)?;
        let authority = certificates.pop().ok_or(Unusable::Malformed)?;
        if certificates.is_empty() {
            return Err(Unusable::Malformed);
        }
        Ok(Identity {
            key,
            chain: certificates,
            authority,
        })
    }

    /// From when to when the certificate is good; never, if it cannot be read.
    pub(crate) fn life(&self) -> (Timestamp, Timestamp) {
        let leaf = self.chain.first().map(|leaf| x509_parser::parse_x509_certificate(leaf));
        let Some(Ok((_, certificate))) = leaf else {
            return (Timestamp::UNIX_EPOCH, Timestamp::UNIX_EPOCH);
        };
        let validity = certificate.validity();
        let time = |seconds| Timestamp::from_second(seconds).unwrap_or(Timestamp::UNIX_EPOCH);
        (
            time(validity.not_before.timestamp()),
            time(validity.not_after.timestamp()),
        )
    }

    /// The file of an identity: its key, and what the server has sent for it.
    pub(crate) fn pem(key: &KeyPair, answer: &JoinResponse) -> Vec<u8> {
        let mut pem = key.serialize_pem().into_bytes();
        for part in [&answer.certificate_pem, &answer.ca_pem] {
            pem.extend_from_slice(part);
            if !part.ends_with(b"\n") {
                pem.push(b'\n');
            }
        }
        pem
    }

    /// Why the identity is of no use to `node_name` at `now`, if so.
    pub(crate) fn check(&self, node_name: &str, now: SystemTime) -> Result<(), Unusable> {
        let leaf = self.chain.first().ok_or(Unusable::Malformed)?;
        let (_, certificate) = x509_parser::parse_x509_certificate(leaf).map_err(|_| Unusable::Malformed)?;
        let user = certificate
            .subject()
            .iter_common_name()
            .next()
            .and_then(|name| name.as_str().ok())
            .unwrap_or_default();
        if user.strip_prefix(NODE_USER_PREFIX) != Some(node_name) {
            return Err(Unusable::OtherNode(user.to_owned()));
        }
        let until = certificate.validity().not_after.timestamp();
        let now_s = now
            .duration_since(UNIX_EPOCH)
            .map_or(0, |since| since.as_secs().cast_signed());
        if until - now_s < LIFE_LEFT_MIN.as_secs().cast_signed() {
            return Err(Unusable::Expired);
        }
        Ok(())
    }
}

/// Why a stored identity cannot be used.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum Unusable {
    /// Not what was written there.
    #[error("the file holds no key, certificate and authority")]
    Malformed,
    /// Of another node.
    #[error("the certificate is for {0:?}, not for this node")]
    OtherNode(String),
    /// Too old.
    #[error("the certificate has expired")]
    Expired,
}

/// The node could not become a member.
#[derive(Debug, thiserror::Error)]
pub enum JoinError {
    /// The server's address cannot be understood.
    #[error(transparent)]
    BadServer(#[from] BadServerAddress),
    /// The token cannot be understood.
    #[error(transparent)]
    BadToken(#[from] BadToken),
    /// There is neither certificate nor token.
    #[error("this node is not a member of a cluster yet: give --token; {HINT}")]
    NoToken,
    /// There is a certificate, of no use, and no token for another one.
    #[error("{path} cannot be used; give --token to join again; {HINT}")]
    Unusable {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: Unusable,
    },
    /// The data directory belongs to a node of another name.
    #[error("the data directory belongs to {user}; give each node a data directory of its own")]
    OtherNode {
        /// User name in the certificate.
        user: String,
    },
    /// The token is for another cluster than the one this data directory belongs to.
    #[error(
        "this node is a member of the cluster with authority sha256 {joined}, and the token is for {wanted}; to \
         change clusters, run the agent's cleanup and start with an empty data directory"
    )]
    OtherCluster {
        /// The cluster of the certificate.
        joined: Fingerprint,
        /// The cluster of the token.
        wanted: Fingerprint,
    },
    /// The identity's file cannot be read.
    #[error("read {path}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The identity's file cannot be written.
    #[error("write {path}")]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// No key could be made.
    #[error("make the node's key")]
    Key(#[source] rcgen::Error),
    /// The server is the wrong one.
    #[error(transparent)]
    Dial(DialError),
    /// The server does not take the token.
    #[error("the server refused: {message}; {HINT}")]
    Unknown {
        /// What the server said.
        message: String,
    },
    /// The server does not take the node.
    #[error("the server refused: {message}")]
    Refused {
        /// What the server said.
        message: String,
    },
    /// The server sent something that is no certificate for us.
    #[error("the server sent a certificate that cannot be used")]
    BadCertificate(#[source] Unusable),
    /// The server sent another authority than the one it was verified by.
    #[error("the server sent an authority that is not the one the token names (sha256 {0})")]
    BadAuthority(Fingerprint),
}

/// The node's identity: the stored one if it is good, or else a new one for the token. Waits for a server that does
/// not answer; a certificate that is good is used without asking the server.
///
/// # Errors
/// Only those that stay until somebody changes something.
pub async fn identity(config: &AgentConfig, path: &Path) -> Result<Identity, JoinError> {
    let token = config.token.as_deref().map(JoinToken::from_str).transpose()?;
    let stored = load(path, &config.node_name, SystemTime::now())?;
    let wanted = match (stored, token) {
        (Some(Ok(identity)), token) => {
            let joined = identity.authority_fingerprint();
            return match token {
                Some(token) if token.pin != joined => Err(JoinError::OtherCluster {
                    joined,
                    wanted: token.pin,
                }),
                _ => Ok(identity),
            };
        }
        (Some(Err(Unusable::OtherNode(user))), _) => return Err(JoinError::OtherNode { user }),
        (Some(Err(source)), None) => {
            return Err(JoinError::Unusable {
                path: path.to_owned(),
                source,
            });
        }
        (None, None) => return Err(JoinError::NoToken),
        (_, Some(token)) => token,
    };
    let server: ServerAddress = config.server.parse()?;
    let mut wait = RETRY_WAIT;
    loop {
        match join(&server, &wanted, &config.node_name).await {
            Ok(pem) => {
                durable::replace(path, &pem, durable::Sync::Yes).map_err(|source| JoinError::Write {
                    path: path.to_owned(),
                    source,
                })?;
                info!(node = config.node_name, %server, "joined the cluster");
                return Identity::from_pem(&pem).map_err(JoinError::BadCertificate);
            }
            Err(Attempt::Final(err)) => return Err(err),
            Err(Attempt::Again(why)) => {
                warn!(
                    error = &*why as &dyn std::error::Error,
                    retry_in_ms = wait.as_millis(),
                    "cannot join yet"
                );
                tokio::time::sleep(wait).await;
                wait = (wait * 2).min(RETRY_WAIT_MAX);
            }
        }
    }
}

fn load(path: &Path, node_name: &str, now: SystemTime) -> Result<Option<Result<Identity, Unusable>>, JoinError> {
    let pem = match fs::read(path) {
        Ok(pem) => pem,
        Err(err) if err.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(source) => {
            return Err(JoinError::Read {
                path: path.to_owned(),
                source,
            });
        }
    };
    Ok(Some(Identity::from_pem(&pem).and_then(|identity| {
        identity.check(node_name, now)?;
        Ok(identity)
    })))
}

enum Attempt {
    Final(JoinError),
    Again(Box<dyn std::error::Error + Send + Sync>),
}

/// One attempt. The PEM file of the identity.
async fn join(server: &ServerAddress, token: &JoinToken, node_name: &str) -> Result<Vec<u8>, Attempt> {
    let channel = match dial(server, &Credentials::Pin(token.pin)).await {
        Ok(channel) => channel,
        Err(err @ (DialError::PinMismatch { .. } | DialError::Credentials(_))) => {
            return Err(Attempt::Final(JoinError::Dial(err)));
        }
        Err(err) => return Err(Attempt::Again(Box::new(err))),
    };
    let key = KeyPair::generate().map_err(|err| Attempt::Final(JoinError::Key(err)))?;
    let request = JoinRequest {
        token: token.bootstrap.clone(),
        node_name: node_name.to_owned(),
        csr_der: signing_request(&key).map_err(|err| Attempt::Final(JoinError::Key(err)))?,
    };
    let answer = match NodeStreamClient::new(channel).join(request).await {
        Ok(answer) => answer.into_inner(),
        Err(status) => {
            return Err(match status.code() {
                Code::Unauthenticated => Attempt::Final(JoinError::Unknown {
                    message: status.message().to_owned(),
                }),
                Code::PermissionDenied | Code::InvalidArgument | Code::FailedPrecondition => {
                    Attempt::Final(JoinError::Refused {
                        message: status.message().to_owned(),
                    })
                }
                _ => Attempt::Again(Box::new(status)),
            });
        }
    };
    let pem = Identity::pem(&key, &answer);
    let identity = Identity::from_pem(&pem)
        .and_then(|identity| identity.check(node_name, SystemTime::now()).map(|()| identity))
        .map_err(|err| Attempt::Final(JoinError::BadCertificate(err)))?;
    if identity.authority_fingerprint() != token.pin {
        return Err(Attempt::Final(JoinError::BadAuthority(token.pin)));
    }
    Ok(pem)
}

/// PKCS#10 for the key. The server chooses the subject.
pub(crate) fn signing_request(key: &KeyPair) -> Result<Vec<u8>, rcgen::Error> {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    Ok(params.serialize_request(key)?.der().to_vec())
}

#[cfg(test)]
mod tests;
