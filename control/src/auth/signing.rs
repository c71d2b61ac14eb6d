//! The key that signs tokens of service accounts: made once, kept beside the authority's.
//!
//! `<data_dir>/pki/service-account.key` (PKCS#8, PEM, 0600). Never replaced: tokens that are in use were signed with
//! it. Never here: what tokens say (`service_account`).
//! Source: RFC 7515, RFC 7517, RFC 7518 (ES256); Kubernetes, "Service account issuer discovery".

use std::{fs, io, path::Path, path::PathBuf, sync::Arc};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use rcgen::{KeyPair, PublicKeyData as _};
use ring::{
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, UnparsedPublicKey},
};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::{
    OidcConfig, OpenOidcError,
    jwt::{self, Claims, TokenError},
    oidc::Oidc,
};
use crate::pki::{WriteFileError, write_file};

const KEY_FILE: &str = "service-account.key";
/// Bytes of one coordinate of a point of P-256.
const COORDINATE_BYTES: usize = 32;

/// The signing key could not be opened or made.
#[derive(Debug, thiserror::Error)]
pub enum OpenTokensError {
    /// The file is there and cannot be read.
    #[error("read {path}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The file does not hold a key, or no key could be made.
    #[error("{path} holds no usable key")]
    Malformed {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: rcgen::Error,
    },
    /// The key is not one of P-256.
    #[error("the key for tokens is not one of P-256")]
    Curve,
    /// The file cannot be written.
    #[error(transparent)]
    Write(#[from] WriteFileError),
}

/// Signs and checks tokens. Cheap to clone.
#[derive(Clone)]
pub struct Tokens {
    inner: Arc<Inner>,
    oidc: Option<Oidc>,
}

struct Inner {
    key: EcdsaKeyPair,
    /// Uncompressed: 4, x, y.
    public_point: Vec<u8>,
    key_id: String,
    issuer: String,
    root_ca_pem: String,
}

impl std::fmt::Debug for Tokens {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tokens")
            .field("issuer", &self.inner.issuer)
            .field("key_id", &self.inner.key_id)
            .finish_non_exhaustive()
    }
}

impl Tokens {
    /// Opens the key in `dir`, or makes it. `issuer` is the URL that tokens name, `root_ca_pem` what secrets with a
    /// token carry beside it.
    ///
    /// # Errors
    /// See the variants; the server must not start without it.
    pub fn open(dir: &Path, issuer: &str, root_ca_pem: &str) -> Result<Tokens, OpenTokensError> {
        let path = dir.join(KEY_FILE);
        let malformed = |source| OpenTokensError::Malformed {
            path: path.clone(),
            source,
        };
        let pair = match fs::read_to_string(&path) {
            Ok(pem) => KeyPair::from_pem(&pem).map_err(malformed)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let pair = KeyPair::generate().map_err(malformed)?;
                write_file(&path, pair.serialize_pem().as_bytes(), 0o600)?;
                pair
            }
            Err(source) => return Err(OpenTokensError::Read { path, source }),
        };
        let key = EcdsaKeyPair::from_pkcs8(
            &ECDSA_P256_SHA256_FIXED_SIGNING,
            &pair.serialize_der(),
            &SystemRandom::new(),
        )
        .map_err(|_| OpenTokensError::Curve)?;
        Ok(Tokens {
            inner: Arc::new(Inner {
                key,
                public_point: pair.der_bytes().to_vec(),
                key_id: URL_SAFE_NO_PAD.encode(Sha256::digest(pair.subject_public_key_info())),
                issuer: issuer.to_owned(),
                root_ca_pem: root_ca_pem.to_owned(),
            }),
            oidc: None,
        })
    }

    /// Takes the ID tokens of another issuer, too.
    ///
    /// # Errors
    /// When the configuration cannot be used.
    pub fn with_oidc(self, config: OidcConfig) -> Result<Tokens, OpenOidcError> {
        if config.issuer_url == self.inner.issuer {
            return Err(OpenOidcError::OwnIssuer(config.issuer_url));
        }
        let oidc = Some(Oidc::open(config)?);
        Ok(Tokens { oidc, ..self })
    }

    /// The other issuer.
    #[must_use]
    pub(crate) fn oidc(&self) -> Option<&Oidc> {
        self.oidc.as_ref()
    }

    /// The URL that tokens name as their issuer; also the audience of tokens for this server.
    #[must_use]
    pub fn issuer(&self) -> &str {
        &self.inner.issuer
    }

    /// The cluster's certificate authority.
    #[must_use]
    pub(crate) fn root_ca_pem(&self) -> &str {
        &self.inner.root_ca_pem
    }

    /// A token that says this.
    #[must_use]
    pub(crate) fn sign(&self, claims: &Claims) -> String {
        let header = json!({ "alg": jwt::ALGORITHM, "kid": self.inner.key_id });
        let signed = jwt::signed_part(&header, claims);
        let signature = self
            .inner
            .key
            .sign(&SystemRandom::new(), signed.as_bytes())
            .expect("a key of P-256 signs any text as long as the system has random bytes");
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
    }

    /// What a token says, if this key has signed it.
    ///
    /// # Errors
    /// When it is no token or another has made it.
    pub(crate) fn read(&self, token: &str) -> Result<Claims, TokenError> {
        let parts = jwt::split(token, &self.inner.key_id)?;
        UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, &self.inner.public_point)
            .verify(parts.signed.as_bytes(), &parts.signature)
            .map_err(|_| TokenError::Signature)?;
        jwt::claims(&parts)
    }

    /// The public key as a JSON Web Key Set.
    #[must_use]
    pub(crate) fn key_set(&self) -> Value {
        let coordinates = self.inner.public_point.get(1..).unwrap_or_default();
        let (x, y) = coordinates.split_at(COORDINATE_BYTES.min(coordinates.len()));
        json!({
            "keys": [{
                "use": "sig",
                "kty": "EC",
                "kid": self.inner.key_id,
                "crv": "P-256",
                "alg": jwt::ALGORITHM,
                "x": URL_SAFE_NO_PAD.encode(x),
                "y": URL_SAFE_NO_PAD.encode(y),
            }],
        })
    }

    /// What verifiers of tokens are told: OpenID Connect Discovery 1.0.
    #[must_use]
    pub(crate) fn discovery(&self) -> Value {
        json!({
            "issuer": self.inner.issuer,
            "jwks_uri": format!("{}/openid/v1/jwks", self.inner.issuer),
            "response_types_supported": ["id_token"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": [jwt::ALGORITHM],
        })
    }
}

#[cfg(test)]
mod tests;
