//! The server's own certificate: issued in memory, renewed at a handshake when it has aged.
//!
//! Never on disk: a restarted server issues itself a new one, with whatever names it then has.

use std::{
    fmt,
    sync::Arc,
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use rustls::{
    crypto::ring::sign::any_supported_type,
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
};
use tracing::error;

use super::{Authority, DAY, IssueError};

const VALID: Duration = Duration::from_secs(365 * 24 * 3600);
/// Long before the end, so that a server that cannot sign for a while still serves.
const RENEW_AFTER: Duration = Duration::from_secs(30 * DAY.as_secs());

/// Gives rustls the server's certificate.
pub struct ServingCertificate {
    authority: Authority,
    names: Vec<String>,
    current: Mutex<(Instant, Arc<CertifiedKey>)>,
}

impl ServingCertificate {
    /// Issues a certificate for these host names and addresses.
    ///
    /// # Errors
    /// When a name cannot stand in a certificate, or signing fails.
    pub fn new(authority: Authority, names: Vec<String>) -> Result<ServingCertificate, IssueError> {
        let first = issue(&authority, &names)?;
        Ok(ServingCertificate {
            authority,
            names,
            current: Mutex::new((Instant::now(), first)),
        })
    }
}

fn issue(authority: &Authority, names: &[String]) -> Result<Arc<CertifiedKey>, IssueError> {
    let (certificate, key) = authority.issue_server(names, VALID)?;
    let key = any_supported_type(&key).expect("ring signs with the P-256 key that was just generated");
    // The authority goes along: a node that joins knows it by its fingerprint only.
    let chain = vec![certificate, authority.certificate_der().clone()];
    Ok(Arc::new(CertifiedKey::new(chain, key)))
}

impl ResolvesServerCert for ServingCertificate {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let mut current = self.current.lock();
        if current.0.elapsed() >= RENEW_AFTER {
            match issue(&self.authority, &self.names) {
                Ok(key) => *current = (Instant::now(), key),
                Err(err) => error!(error = &err as &dyn std::error::Error, "server certificate not renewed"),
            }
        }
        Some(current.1.clone())
    }
}

impl fmt::Debug for ServingCertificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServingCertificate")
            .field("names", &self.names)
            .finish_non_exhaustive()
    }
}
