//! TLS towards others: whose certificates are trusted, and whom we say that we are.

use std::sync::Arc;

use rustls::{
    ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme,
    client::{
        ResolvesClientCert, WebPkiServerVerifier,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature},
    pki_types::{CertificateDer, ServerName, UnixTime, pem::PemObject as _},
};

use super::CallError;

/// Whose certificate the other side may have.
#[derive(Debug)]
pub(super) enum Trust {
    /// Anybody's: the way there is safe, or whoever configured it says so.
    Any,
    /// One that an authority has signed that this system trusts.
    System,
    /// One that an authority of this PEM has signed.
    These(Vec<u8>),
}

impl Trust {
    pub(super) fn these_or_the_systems(pem: Vec<u8>) -> Trust {
        if pem.is_empty() {
            Trust::System
        } else {
            Trust::These(pem)
        }
    }
}

/// The configuration of a client.
///
/// # Errors
/// When there is nobody to trust in what should say so.
pub(super) fn client_config(
    trust: &Trust,
    identity: Option<Arc<dyn ResolvesClientCert>>,
) -> Result<ClientConfig, CallError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let verifier: Arc<dyn ServerCertVerifier> = match roots(trust)? {
        None => Arc::new(AnyCertificate(provider.clone())),
        Some(roots) => WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider.clone())
            .build()
            .map_err(|_| CallError::NoRoots)?,
    };
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("ring has the default versions")
        .dangerous()
        .with_custom_certificate_verifier(verifier);
    Ok(match identity {
        Some(identity) => builder.with_client_cert_resolver(identity),
        None => builder.with_no_client_auth(),
    })
}

/// The authorities; nothing if none is needed.
fn roots(trust: &Trust) -> Result<Option<RootCertStore>, CallError> {
    let mut roots = RootCertStore::empty();
    match trust {
        Trust::Any => return Ok(None),
        Trust::System => {
            for certificate in rustls_native_certs::load_native_certs().certs {
                // One that cannot be used is one that nobody is trusted by.
                let _ = roots.add(certificate);
            }
        }
        Trust::These(pem) => {
            for certificate in CertificateDer::pem_slice_iter(pem) {
                let certificate = certificate.map_err(|_| CallError::NoRoots)?;
                roots.add(certificate).map_err(|_| CallError::NoRoots)?;
            }
        }
    }
    Ok(Some(roots))
}

/// Takes any certificate whose key the other side has.
#[derive(Debug)]
struct AnyCertificate(Arc<CryptoProvider>);

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bundle_without_certificates_trusts_nobody() {
        for pem in [
            b"not PEM".as_slice(),
            b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
        ] {
            let made = client_config(&Trust::These(pem.to_vec()), None);
            assert!(matches!(made, Err(CallError::NoRoots)));
        }
        assert!(client_config(&Trust::Any, None).is_ok());
    }
}
