//! The cluster's own certificate authority: what it signs, and where its key lives.
//!
//! `<data_dir>/pki/ca.key` and `ca.crt` are made once and never replaced (agents pin the certificate's hash);
//! `admin.pem` holds the administrator's key and certificate, made anew at two thirds of its life. The server's own
//! certificate lives in memory only and is renewed at a handshake. Files are written atomically with fsync, keys with
//! mode 0600. Never here: who may do what, and the wire.
//! Source: RFC 5280; Kubernetes, "PKI certificates and requirements".

mod kubeconfig;
mod order;
mod own;

use std::{
    fs, io,
    net::IpAddr,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, SystemTime},
};

use api::Timestamp;
use rcgen::{
    BasicConstraints, CertificateParams, CertificateSigningRequestParams, DistinguishedName, DnType,
    ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose, SanType,
};
use reconcile::renewal;
use rustls_pki_types::{CertificateDer, CertificateSigningRequestDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use sha2::{Digest, Sha256};

use crate::auth::{MASTERS_GROUP, NODE_USER_PREFIX, NODES_GROUP};

pub use crate::durable::{WriteFileError, make_private_dir, write_file};
pub use kubeconfig::{is_own_kubeconfig, kubeconfig};
pub use own::OwnCertificate;

/// The authority outlives every cluster of today; replacing it means joining every node again.
const AUTHORITY_VALID: Duration = Duration::from_secs(10 * 365 * 24 * 3600);
/// How long the administrator's certificate is good, as with kubeadm.
const ADMIN_VALID: Duration = Duration::from_secs(365 * 24 * 3600);
/// Clocks of nodes may be behind ours by this much.
const CLOCK_SKEW: Duration = Duration::from_secs(3600);
/// Less of a life that is short, which would otherwise seem to be over before it has begun.
const CLOCK_SKEW_PARTS: u32 = 10;
const ADMIN_USER: &str = "kubernetes-admin";

/// The authority could not be opened or made.
#[derive(Debug, thiserror::Error)]
pub enum OpenAuthorityError {
    /// The directory cannot be made.
    #[error("make directory {path}")]
    MakeDir {
        /// The directory.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A file is there and cannot be read.
    #[error("read {path}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The certificate is there and its key is not: agents trust the one, so making new ones would lock them out.
    #[error("{certificate} exists but {key} does not; restore the key from a backup")]
    KeyLost {
        /// The certificate's path.
        certificate: PathBuf,
        /// The missing key's path.
        key: PathBuf,
    },
    /// A file does not hold what it should.
    #[error("{path} holds no usable key or certificate")]
    Malformed {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: rcgen::Error,
    },
    /// A key or certificate could not be made.
    #[error("make the certificate authority")]
    Generate(#[source] rcgen::Error),
    /// A file cannot be written.
    #[error(transparent)]
    Write(#[from] WriteFileError),
}

/// A certificate could not be issued.
#[derive(Debug, thiserror::Error)]
pub enum IssueError {
    /// The request is not a valid PKCS#10 or its signature is wrong.
    #[error("the certificate signing request is not valid")]
    BadRequest(#[source] rcgen::Error),
    /// A name cannot stand in a certificate.
    #[error("{name:?} cannot stand in a certificate")]
    BadName {
        /// The name.
        name: String,
        /// Why.
        #[source]
        source: rcgen::Error,
    },
    /// Key generation or signing failed.
    #[error("sign a certificate")]
    Sign(#[source] rcgen::Error),
    /// A file cannot be written.
    #[error(transparent)]
    Write(#[from] WriteFileError),
}

/// A private key with the certificate for it.
#[derive(Debug, Clone)]
pub struct Credential {
    /// PEM.
    pub certificate_pem: String,
    /// PKCS#8, PEM.
    pub key_pem: String,
}

/// The cluster's certificate authority. Cheap to clone.
#[derive(Clone)]
pub struct Authority {
    inner: Arc<Inner>,
}

struct Inner {
    dir: PathBuf,
    certificate_pem: String,
    certificate_der: CertificateDer<'static>,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    /// Opens the authority in `dir`, or makes it if there is none.
    ///
    /// # Errors
    /// See the variants; the server must not start without it.
    pub fn open(dir: &Path) -> Result<Authority, OpenAuthorityError> {
        make_private_dir(dir).map_err(|source| OpenAuthorityError::MakeDir {
            path: dir.to_owned(),
            source,
        })?;
        let (key_path, certificate_path) = (dir.join("ca.key"), dir.join("ca.crt"));
        match (read_if_there(&certificate_path)?, read_if_there(&key_path)?) {
            (Some(certificate), Some(key)) => Authority::load(dir, certificate, &key),
            (Some(_), None) => Err(OpenAuthorityError::KeyLost {
                certificate: certificate_path,
                key: key_path,
            }),
            // A key alone is what a crash between the two writes leaves; nothing was signed with it yet.
            (None, _) => Authority::make(dir),
        }
    }

    fn load(dir: &Path, certificate_pem: String, key_pem: &str) -> Result<Authority, OpenAuthorityError> {
        let key = KeyPair::from_pem(key_pem).map_err(|source| OpenAuthorityError::Malformed {
            path: dir.join("ca.key"),
            source,
        })?;
        let malformed = |source| OpenAuthorityError::Malformed {
            path: dir.join("ca.crt"),
            source,
        };
        let certificate_der =
            first_certificate(&certificate_pem).ok_or_else(|| malformed(rcgen::Error::CouldNotParseCertificate))?;
        let issuer = Issuer::from_ca_cert_der(&certificate_der, key).map_err(malformed)?;
        Ok(Authority {
            inner: Arc::new(Inner {
                dir: dir.to_owned(),
                certificate_pem,
                certificate_der,
                issuer,
            }),
        })
    }

    fn make(dir: &Path) -> Result<Authority, OpenAuthorityError> {
        let key = KeyPair::generate().map_err(OpenAuthorityError::Generate)?;
        let mut params = CertificateParams::default();
        params.distinguished_name = name("skep-ca", &[]);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![
            KeyUsagePurpose::KeyCertSign,
            KeyUsagePurpose::CrlSign,
            KeyUsagePurpose::DigitalSignature,
        ];
        valid_for(&mut params, AUTHORITY_VALID);
        let certificate = params.self_signed(&key).map_err(OpenAuthorityError::Generate)?;
        write_file(&dir.join("ca.key"), key.serialize_pem().as_bytes(), 0o600)?;
        write_file(&dir.join("ca.crt"), certificate.pem().as_bytes(), 0o644)?;
        Authority::load(dir, certificate.pem(), &key.serialize_pem())
    }

    /// The authority's certificate, PEM.
    #[must_use]
    pub fn certificate_pem(&self) -> &str {
        &self.inner.certificate_pem
    }

    /// The authority's certificate, DER.
    #[must_use]
    pub fn certificate_der(&self) -> &CertificateDer<'static> {
        &self.inner.certificate_der
    }

    /// SHA-256 of the certificate's DER, lower-case hex: what the join token pins.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        hex(&Sha256::digest(&self.inner.certificate_der))
    }

    /// Signs a certificate with which the agent of `node_name` can use the node stream, for the public key in the
    /// request; whatever else the request asks for is ignored. PEM.
    ///
    /// # Errors
    /// [`IssueError::BadRequest`] is the agent's fault.
    pub fn sign_node(&self, node_name: &str, csr_der: &[u8], life: Duration) -> Result<String, IssueError> {
        let mut request = CertificateSigningRequestParams::from_der(&CertificateSigningRequestDer::from(csr_der))
            .map_err(IssueError::BadRequest)?;
        let life = life.min(self.life_left());
        request.params = client_params(&format!("{NODE_USER_PREFIX}{node_name}"), &[NODES_GROUP], life);
        let certificate = request.signed_by(&self.inner.issuer).map_err(IssueError::Sign)?;
        Ok(certificate.pem())
    }

    /// The administrator's credential, kept in `admin.pem` and made anew when it is missing, unreadable, or two thirds of
    /// its life are over.
    ///
    /// # Errors
    /// When it cannot be signed or written.
    pub fn admin(&self) -> Result<Credential, IssueError> {
        let path = self.inner.dir.join("admin.pem");
        if let Ok(pem) = fs::read_to_string(&path)
            && let Some(credential) = split_credential(&pem)
            && renew_at(&credential.certificate_pem).is_some_and(|at| Timestamp::now() < at)
        {
            return Ok(credential);
        }
        let credential = self.issue_client(ADMIN_USER, &[MASTERS_GROUP])?;
        let both = format!("{}{}", credential.certificate_pem, credential.key_pem);
        write_file(&path, both.as_bytes(), 0o600)?;
        Ok(credential)
    }

    /// When [`Authority::admin`] will answer another credential.
    ///
    /// # Errors
    /// As there.
    pub(crate) fn admin_renewed_at(&self) -> Result<Timestamp, IssueError> {
        Ok(renew_at(&self.admin()?.certificate_pem).unwrap_or_else(Timestamp::now))
    }

    /// What is left of the authority's own life: no certificate outlives it.
    fn life_left(&self) -> Duration {
        let end = validity(&self.inner.certificate_der).map_or(Timestamp::UNIX_EPOCH, |(_, end)| end);
        Duration::try_from(end.duration_since(Timestamp::now())).unwrap_or_default()
    }

    fn issue_client(&self, user: &str, groups: &[&str]) -> Result<Credential, IssueError> {
        let key = KeyPair::generate().map_err(IssueError::Sign)?;
        let certificate = client_params(user, groups, ADMIN_VALID)
            .signed_by(&key, &self.inner.issuer)
            .map_err(IssueError::Sign)?;
        Ok(Credential {
            certificate_pem: certificate.pem(),
            key_pem: key.serialize_pem(),
        })
    }

    fn issue_user(
        &self,
        user: &str,
        valid: Duration,
    ) -> Result<(CertificateDer<'static>, PrivateKeyDer<'static>), IssueError> {
        self.issue(client_params(user, &[], valid))
    }

    fn issue_server(
        &self,
        names: &[String],
        valid: Duration,
    ) -> Result<(CertificateDer<'static>, PrivateKeyDer<'static>), IssueError> {
        let mut params = CertificateParams::default();
        params.distinguished_name = name("skep-server", &[]);
        for subject in names {
            params.subject_alt_names.push(alternative_name(subject)?);
        }
        params.use_authority_key_identifier_extension = true;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        valid_for(&mut params, valid);
        self.issue(params)
    }

    /// A certificate for a new key.
    fn issue(
        &self,
        params: CertificateParams,
    ) -> Result<(CertificateDer<'static>, PrivateKeyDer<'static>), IssueError> {
        let key = KeyPair::generate().map_err(IssueError::Sign)?;
        let certificate = params.signed_by(&key, &self.inner.issuer).map_err(IssueError::Sign)?;
        let key = PrivatePkcs8KeyDer::from(key.serialize_der());
        Ok((certificate.der().clone(), PrivateKeyDer::Pkcs8(key)))
    }
}

fn alternative_name(subject: &str) -> Result<SanType, IssueError> {
    if let Ok(ip) = subject.parse::<IpAddr>() {
        return Ok(SanType::IpAddress(ip));
    }
    subject
        .to_owned()
        .try_into()
        .map(SanType::DnsName)
        .map_err(|source| IssueError::BadName {
            name: subject.to_owned(),
            source,
        })
}

fn client_params(user: &str, groups: &[&str], life: Duration) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = name(user, groups);
    params.use_authority_key_identifier_extension = true;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    valid_for(&mut params, life);
    params
}

fn name(common: &str, organizations: &[&str]) -> DistinguishedName {
    let mut name = DistinguishedName::new();
    for organization in organizations {
        name.push(DnType::OrganizationName, *organization);
    }
    name.push(DnType::CommonName, common);
    name
}

fn valid_for(params: &mut CertificateParams, valid: Duration) {
    let now = SystemTime::now();
    params.not_before = (now - CLOCK_SKEW.min(valid / CLOCK_SKEW_PARTS)).into();
    params.not_after = (now + valid).into();
}

/// When the first certificate of this text is to be renewed; `None` if there is none.
fn renew_at(certificate_pem: &str) -> Option<Timestamp> {
    let (begin, end) = validity(&first_certificate(certificate_pem)?)?;
    Some(renewal::renew_at(begin, end))
}

/// From when to when a certificate is good.
fn validity(der: &[u8]) -> Option<(Timestamp, Timestamp)> {
    let (_, certificate) = x509_parser::parse_x509_certificate(der).ok()?;
    let validity = certificate.validity();
    let time = |seconds| Timestamp::from_second(seconds).ok();
    Some((
        time(validity.not_before.timestamp())?,
        time(validity.not_after.timestamp())?,
    ))
}

fn split_credential(pem: &str) -> Option<Credential> {
    let key_start = pem.find("-----BEGIN PRIVATE KEY-----")?;
    let (certificate_pem, key_pem) = pem.split_at(key_start);
    first_certificate(certificate_pem)?;
    KeyPair::from_pem(key_pem).ok()?;
    Some(Credential {
        certificate_pem: certificate_pem.to_owned(),
        key_pem: key_pem.to_owned(),
    })
}

fn first_certificate(pem: &str) -> Option<CertificateDer<'static>> {
    rustls_pemfile::certs(&mut pem.as_bytes()).next()?.ok()
}

fn read_if_there(path: &Path) -> Result<Option<String>, OpenAuthorityError> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(source) if source.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(OpenAuthorityError::Read {
            path: path.to_owned(),
            source,
        }),
    }
}

/// Lower-case hexadecimal.
pub(crate) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        write!(text, "{byte:02x}").expect("writing to a string cannot fail");
    }
    text
}

#[cfg(test)]
mod tests;
