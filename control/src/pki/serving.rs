//! The server's own certificate: issued in memory, renewed at a handshake when two thirds of its life are over.
//!
//! Never on disk: a restarted server issues itself a new one, with whatever names it then has.

use std::{fmt, sync::Arc, time::Duration};

use api::Timestamp;
use parking_lot::Mutex;
use reconcile::renewal;
use rustls::{
    crypto::ring::sign::any_supported_type,
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
};
use tracing::{error, info};

use super::{Authority, IssueError, validity};

const VALID: Duration = Duration::from_secs(365 * 24 * 3600);

/// Gives rustls the server's certificate.
pub struct ServingCertificate {
    authority: Authority,
    names: Vec<String>,
    life: Duration,
    current: Mutex<Current>,
}

struct Current {
    key: Arc<CertifiedKey>,
    renew_at: Timestamp,
}

impl ServingCertificate {
    /// Issues a certificate for these host names and addresses.
    ///
    /// # Errors
    /// When a name cannot stand in a certificate, or signing fails.
    pub fn new(authority: Authority, names: Vec<String>) -> Result<ServingCertificate, IssueError> {
        ServingCertificate::with_life(authority, names, VALID)
    }

    /// As [`ServingCertificate::new`], of certificates that live this long.
    pub(super) fn with_life(
        authority: Authority,
        names: Vec<String>,
        life: Duration,
    ) -> Result<ServingCertificate, IssueError> {
        let current = Mutex::new(issue(&authority, &names, life)?);
        Ok(ServingCertificate {
            authority,
            names,
            life,
            current,
        })
    }

    /// The certificate to show at `now`.
    pub(super) fn at(&self, now: Timestamp) -> Arc<CertifiedKey> {
        let mut current = self.current.lock();
        if now >= current.renew_at {
            match issue(&self.authority, &self.names, self.life) {
                Ok(renewed) => {
                    info!(renew_at = %renewed.renew_at, "server certificate renewed");
                    *current = renewed;
                }
                Err(err) => error!(error = &err as &dyn std::error::Error, "server certificate not renewed"),
            }
        }
        current.key.clone()
    }
}

fn issue(authority: &Authority, names: &[String], life: Duration) -> Result<Current, IssueError> {
    let (certificate, key) = authority.issue_server(names, life)?;
    let key = any_supported_type(&key).expect("ring signs with the P-256 key that was just generated");
    let (begin, end) = validity(&certificate).expect("a certificate that was just made can be read");
    // The authority goes along: a node that joins knows it by its fingerprint only.
    let chain = vec![certificate, authority.certificate_der().clone()];
    Ok(Current {
        key: Arc::new(CertifiedKey::new(chain, key)),
        renew_at: renewal::renew_at(begin, end),
    })
}

impl ResolvesServerCert for ServingCertificate {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.at(Timestamp::now()))
    }
}

impl fmt::Debug for ServingCertificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServingCertificate")
            .field("names", &self.names)
            .finish_non_exhaustive()
    }
}
