//! Public keys of an issuer, as a JSON Web Key Set, and what they have signed. Pure.
//!
//! Source: RFC 7515, RFC 7517, RFC 7518.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use ring::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_2048_8192_SHA384,
    RSA_PKCS1_2048_8192_SHA512, RSA_PSS_2048_8192_SHA256, RSA_PSS_2048_8192_SHA384, RSA_PSS_2048_8192_SHA512,
    RsaParameters, RsaPublicKeyComponents, UnparsedPublicKey,
};
use serde_json::Value;

/// Keys of one issuer that are kept; what it lists beyond is not looked at.
const KEYS_MAX: usize = 64;
/// An uncompressed point starts with this: SEC 1, section 2.3.3.
const UNCOMPRESSED: u8 = 4;

/// How a token may be signed. Of the names of RFC 7518 only ES512 is missing, which `ring` does not check.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Algorithm {
    /// RSA, PKCS#1, SHA-256: what issuers use unless told otherwise.
    Rs256,
    /// RSA, PKCS#1, SHA-384.
    Rs384,
    /// RSA, PKCS#1, SHA-512.
    Rs512,
    /// RSA, PSS, SHA-256.
    Ps256,
    /// RSA, PSS, SHA-384.
    Ps384,
    /// RSA, PSS, SHA-512.
    Ps512,
    /// ECDSA over P-256.
    Es256,
    /// ECDSA over P-384.
    Es384,
}

impl Algorithm {
    const ALL: [(&'static str, Algorithm); 8] = [
        ("RS256", Algorithm::Rs256),
        ("RS384", Algorithm::Rs384),
        ("RS512", Algorithm::Rs512),
        ("PS256", Algorithm::Ps256),
        ("PS384", Algorithm::Ps384),
        ("PS512", Algorithm::Ps512),
        ("ES256", Algorithm::Es256),
        ("ES384", Algorithm::Es384),
    ];

    /// The algorithm that RFC 7518 gives this name.
    #[must_use]
    pub fn by_name(name: &str) -> Option<Algorithm> {
        let found = Algorithm::ALL.iter().find(|(known, _)| *known == name);
        found.map(|(_, algorithm)| *algorithm)
    }

    /// The name that RFC 7518 gives it.
    #[must_use]
    pub fn name(self) -> &'static str {
        let found = Algorithm::ALL.iter().find(|(_, known)| *known == self);
        found.map(|(name, _)| *name).expect("all have names")
    }

    fn is_of(self, key: &Material) -> bool {
        match self {
            Algorithm::Es256 => matches!(key, Material::P256(_)),
            Algorithm::Es384 => matches!(key, Material::P384(_)),
            Algorithm::Rs256
            | Algorithm::Rs384
            | Algorithm::Rs512
            | Algorithm::Ps256
            | Algorithm::Ps384
            | Algorithm::Ps512 => matches!(key, Material::Rsa { .. }),
        }
    }
}

/// A public key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Key {
    /// Empty if the issuer gives it no name.
    id: String,
    material: Material,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Material {
    Rsa { modulus: Vec<u8>, exponent: Vec<u8> },
    P256(Vec<u8>),
    P384(Vec<u8>),
}

/// The keys for signatures in a key set; keys of kinds that are not known are left out.
pub(super) fn parse(set: &Value) -> Vec<Key> {
    let keys = set["keys"].as_array().into_iter().flatten();
    keys.filter_map(key).take(KEYS_MAX).collect()
}

fn key(key: &Value) -> Option<Key> {
    if key.get("use").is_some_and(|purpose| purpose != "sig") {
        return None;
    }
    let bytes = |field: &str| URL_SAFE_NO_PAD.decode(key[field].as_str()?.trim_end_matches('=')).ok();
    let point = || {
        let mut point = vec![UNCOMPRESSED];
        point.extend(bytes("x")?);
        point.extend(bytes("y")?);
        Some(point)
    };
    let material = match (key["kty"].as_str()?, key["crv"].as_str().unwrap_or_default()) {
        ("RSA", _) => Material::Rsa {
            modulus: bytes("n")?,
            exponent: bytes("e")?,
        },
        ("EC", "P-256") => Material::P256(point()?),
        ("EC", "P-384") => Material::P384(point()?),
        _ => return None,
    };
    Some(Key {
        id: key["kid"].as_str().unwrap_or_default().to_owned(),
        material,
    })
}

/// What a signature says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Signed {
    /// One of the keys has signed.
    Yes,
    /// A key that should have signed has not.
    No,
    /// There is no such key; the issuer may have a new one.
    UnknownKey,
}

/// Whether one of the keys has signed this. `id` is empty if the token names no key.
pub(super) fn verify(keys: &[Key], algorithm: Algorithm, id: &str, message: &[u8], signature: &[u8]) -> Signed {
    let mut possible = keys
        .iter()
        .filter(|key| (id.is_empty() || key.id == id) && algorithm.is_of(&key.material))
        .peekable();
    if possible.peek().is_none() {
        return Signed::UnknownKey;
    }
    match possible.any(|key| key.has_signed(algorithm, message, signature)) {
        true => Signed::Yes,
        // Without a name, a key that is new would look as one that has not signed.
        false if id.is_empty() => Signed::UnknownKey,
        false => Signed::No,
    }
}

impl Key {
    fn has_signed(&self, algorithm: Algorithm, message: &[u8], signature: &[u8]) -> bool {
        let rsa = |parameters: &'static RsaParameters| match &self.material {
            Material::Rsa { modulus, exponent } => RsaPublicKeyComponents {
                n: modulus,
                e: exponent,
            }
            .verify(parameters, message, signature)
            .is_ok(),
            Material::P256(_) | Material::P384(_) => false,
        };
        match (algorithm, &self.material) {
            (Algorithm::Rs256, _) => rsa(&RSA_PKCS1_2048_8192_SHA256),
            (Algorithm::Rs384, _) => rsa(&RSA_PKCS1_2048_8192_SHA384),
            (Algorithm::Rs512, _) => rsa(&RSA_PKCS1_2048_8192_SHA512),
            (Algorithm::Ps256, _) => rsa(&RSA_PSS_2048_8192_SHA256),
            (Algorithm::Ps384, _) => rsa(&RSA_PSS_2048_8192_SHA384),
            (Algorithm::Ps512, _) => rsa(&RSA_PSS_2048_8192_SHA512),
            (Algorithm::Es256, Material::P256(point)) => UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point)
                .verify(message, signature)
                .is_ok(),
            (Algorithm::Es384, Material::P384(point)) => UnparsedPublicKey::new(&ECDSA_P384_SHA384_FIXED, point)
                .verify(message, signature)
                .is_ok(),
            (Algorithm::Es256 | Algorithm::Es384, _) => false,
        }
    }
}

#[cfg(test)]
mod tests;
