//! Certificates of the server itself: issued in memory, renewed at a handshake when two thirds of their life are over.
//!
//! Never on disk: a restarted server issues itself new ones, with whatever names it then has.

use std::{fmt, sync::Arc, time::Duration};

use api::Timestamp;
use parking_lot::Mutex;
use reconcile::renewal;
use rustls::{
    SignatureScheme,
    client::ResolvesClientCert,
    crypto::ring::sign::any_supported_type,
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
};
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tracing::{error, info};

use super::{Authority, IssueError, validity};

const VALID: Duration = Duration::from_secs(365 * 24 * 3600);

/// Gives rustls a certificate and its key.
pub struct OwnCertificate {
    /// In log lines.
    what: &'static str,
    issue: Box<Issue>,
    current: Mutex<Current>,
}

type Issue = dyn Fn() -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>), IssueError> + Send + Sync;

struct Current {
    key: Arc<CertifiedKey>,
    renew_at: Timestamp,
}

impl OwnCertificate {
    /// Certificates for these host names and addresses, to be shown to clients.
    ///
    /// # Errors
    /// When a name cannot stand in a certificate, or signing fails.
    pub fn new(authority: Authority, names: Vec<String>) -> Result<OwnCertificate, IssueError> {
        OwnCertificate::with_life(authority, names, VALID)
    }

    /// As [`OwnCertificate::new`], of certificates that live this long.
    pub(super) fn with_life(
        authority: Authority,
        names: Vec<String>,
        life: Duration,
    ) -> Result<OwnCertificate, IssueError> {
        OwnCertificate::issued_by("server certificate", move || {
            let (certificate, key) = authority.issue_server(&names, life)?;
            // The authority goes along: a node that joins knows it by its fingerprint only.
            Ok((vec![certificate, authority.certificate_der().clone()], key))
        })
    }

    /// Certificates that say to other servers that the server is this user.
    ///
    /// # Errors
    /// When signing fails.
    pub(crate) fn of_user(authority: Authority, user: &'static str) -> Result<OwnCertificate, IssueError> {
        OwnCertificate::issued_by("client certificate", move || {
            let (certificate, key) = authority.issue_user(user, VALID)?;
            Ok((vec![certificate], key))
        })
    }

    fn issued_by(
        what: &'static str,
        issue: impl Fn() -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>), IssueError>
        + Send
        + Sync
        + 'static,
    ) -> Result<OwnCertificate, IssueError> {
        let current = Mutex::new(current(issue()?));
        Ok(OwnCertificate {
            what,
            issue: Box::new(issue),
            current,
        })
    }

    /// The certificate to show at `now`.
    pub(super) fn at(&self, now: Timestamp) -> Arc<CertifiedKey> {
        let mut held = self.current.lock();
        if now >= held.renew_at {
            match (self.issue)() {
                Ok(issued) => {
                    *held = current(issued);
                    info!(what = self.what, renew_at = %held.renew_at, "renewed");
                }
                Err(err) => error!(what = self.what, error = &err as &dyn std::error::Error, "not renewed"),
            }
        }
        held.key.clone()
    }
}

fn current((chain, key): (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>)) -> Current {
    let key = any_supported_type(&key).expect("ring signs with the P-256 key that was just generated");
    let (begin, end) = validity(&chain[0]).expect("a certificate that was just made can be read");
    Current {
        key: Arc::new(CertifiedKey::new(chain, key)),
        renew_at: renewal::renew_at(begin, end),
    }
}

impl ResolvesServerCert for OwnCertificate {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.at(Timestamp::now()))
    }
}

impl ResolvesClientCert for OwnCertificate {
    fn resolve(&self, _hints: &[&[u8]], _schemes: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        Some(self.at(Timestamp::now()))
    }

    fn has_certs(&self) -> bool {
        true
    }
}

impl fmt::Debug for OwnCertificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OwnCertificate")
            .field("what", &self.what)
            .finish_non_exhaustive()
    }
}
