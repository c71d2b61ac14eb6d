//! JSON Web Tokens: their form. Pure.
//!
//! Never here: keys (`signing`) and whether what a token says still holds (`service_account`).
//! Source: RFC 7515, RFC 7519.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

use super::oidc::OidcError;

/// The one algorithm that is signed with and accepted: RFC 7518, section 3.4.
pub(super) const ALGORITHM: &str = "ES256";
/// Bytes of a token. Ours have less than one thousand.
const TOKEN_BYTES_MAX: usize = 16 << 10;

/// A token is not one that we made, or no longer good.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum TokenError {
    #[error("the token is malformed")]
    Malformed,
    #[error("the token was signed with another key or algorithm")]
    Signature,
    #[error("token issuer {0:?} is not known")]
    Issuer(String),
    #[error("service account token has expired")]
    Expired,
    #[error("service account token is not valid yet")]
    NotYet,
    #[error("token audiences {found:?} is invalid for the target audiences {wanted:?}")]
    Audience { found: Vec<String>, wanted: Vec<String> },
    #[error("service account token is bound to an object that is no longer there")]
    Gone,
    #[error("invalid bearer token")]
    Unknown,
    #[error(transparent)]
    Oidc(#[from] OidcError),
}

/// What a token says.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Claims {
    /// For whom it is.
    #[serde(default, deserialize_with = "one_or_more", skip_serializing_if = "Vec::is_empty")]
    pub(crate) aud: Vec<String>,
    /// Seconds since 1970 from which it is no longer good.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) exp: Option<i64>,
    /// When it was made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) iat: Option<i64>,
    /// Who made it.
    pub(crate) iss: String,
    /// Its own name.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(crate) jti: String,
    /// What it is bound to.
    #[serde(rename = "kubernetes.io", default, skip_serializing_if = "Option::is_none")]
    pub(crate) private: Option<PrivateClaims>,
    /// From when it is good.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) nbf: Option<i64>,
    /// The user.
    pub(crate) sub: String,
    /// Of tokens in secrets.
    #[serde(flatten, default, skip_serializing_if = "Option::is_none")]
    pub(crate) legacy: Option<LegacyClaims>,
}

/// What a token of a service account is bound to.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct PrivateClaims {
    pub(crate) namespace: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) node: Option<Reference>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) pod: Option<Reference>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) secret: Option<Reference>,
    pub(crate) serviceaccount: Reference,
    /// When its user should have asked for another.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) warnafter: Option<i64>,
}

/// An object of the token's namespace.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Reference {
    pub(crate) name: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(crate) uid: String,
}

/// What a token in a secret says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct LegacyClaims {
    #[serde(rename = "kubernetes.io/serviceaccount/namespace")]
    pub(crate) namespace: String,
    #[serde(rename = "kubernetes.io/serviceaccount/secret.name")]
    pub(crate) secret: String,
    #[serde(rename = "kubernetes.io/serviceaccount/service-account.name")]
    pub(crate) account: String,
    #[serde(rename = "kubernetes.io/serviceaccount/service-account.uid")]
    pub(crate) uid: String,
}

/// `aud` may be one text or a list.
fn one_or_more<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Form {
        One(String),
        Many(Vec<String>),
    }
    Ok(match Form::deserialize(deserializer)? {
        Form::One(one) => vec![one],
        Form::Many(many) => many,
    })
}

/// A token, taken apart.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Parts<'a> {
    /// What the signature is of.
    pub(super) signed: &'a str,
    payload: &'a str,
    pub(super) signature: Vec<u8>,
}

/// The part of a token that is signed.
pub(super) fn signed_part(header: &Value, claims: &Claims) -> String {
    let payload = serde_json::to_vec(claims).expect("claims have string keys and encode into memory");
    let encode = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
    format!("{}.{}", encode(header.to_string().as_bytes()), encode(&payload))
}

/// Takes a token of this key and of our algorithm apart.
pub(super) fn split<'a>(token: &'a str, key_id: &str) -> Result<Parts<'a>, TokenError> {
    if token.len() > TOKEN_BYTES_MAX {
        return Err(TokenError::Malformed);
    }
    let (signed, signature) = token.rsplit_once('.').ok_or(TokenError::Malformed)?;
    let (header, payload) = signed.split_once('.').ok_or(TokenError::Malformed)?;
    let header = URL_SAFE_NO_PAD.decode(header).map_err(|_| TokenError::Malformed)?;
    let header: Value = serde_json::from_slice(&header).map_err(|_| TokenError::Malformed)?;
    if header["alg"] != ALGORITHM || header.get("kid").is_some_and(|kid| kid != key_id) {
        return Err(TokenError::Signature);
    }
    Ok(Parts {
        signed,
        payload,
        signature: URL_SAFE_NO_PAD.decode(signature).map_err(|_| TokenError::Malformed)?,
    })
}

/// What a token says whose signature is right.
pub(super) fn claims(parts: &Parts<'_>) -> Result<Claims, TokenError> {
    let payload = URL_SAFE_NO_PAD
        .decode(parts.payload)
        .map_err(|_| TokenError::Malformed)?;
    serde_json::from_slice(&payload).map_err(|_| TokenError::Malformed)
}
