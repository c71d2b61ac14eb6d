//! Whom an ID token stands for: a function of the token, the issuer's keys and the time. Pure.
//!
//! Source: OpenID Connect Core 1.0, section 3.1.3.7; Kubernetes, "Authenticating": "OpenID Connect Tokens".

use std::collections::BTreeMap;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::Value;

use super::{
    OidcConfig,
    keys::{self, Algorithm, Key, Signed},
};
use crate::auth::{AUTHENTICATED_GROUP, CREDENTIAL_ID, Caller};

/// Bytes of a token, as large as a header may be with room for others.
const TOKEN_BYTES_MAX: usize = 64 << 10;
/// Clocks of issuers may be ahead of ours by this much, as in Kubernetes.
const NOT_BEFORE_LEEWAY_S: i64 = 300;
const EMAIL: &str = "email";

/// Why a token of the issuer is not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum OidcError {
    /// The token is not three parts of base64 with JSON.
    #[error("oidc: malformed token")]
    Malformed,
    /// The algorithm is not one of those that are taken.
    #[error("oidc: the token is signed with {0:?}, which is not accepted")]
    Algorithm(String),
    /// The keys that are known do not tell; there may be newer ones.
    #[error("oidc: no key of the issuer matches the token")]
    UnknownKey,
    /// Somebody else has signed it.
    #[error("oidc: the signature is not the issuer's")]
    Signature,
    /// It is for another client.
    #[error("oidc: expected audience {wanted:?} got {found:?}")]
    Audience { wanted: String, found: Vec<String> },
    #[error("oidc: token is expired")]
    Expired,
    #[error("oidc: token is not valid yet")]
    NotYet,
    /// What should say who it is says nothing, or nothing that can be used.
    #[error("oidc: claim {0:?} is missing or not of its type")]
    Claim(String),
    #[error("oidc: email not verified")]
    EmailNotVerified,
    #[error("oidc: claim {claim:?} is not {wanted:?}")]
    Required { claim: String, wanted: String },
}

/// A token, taken apart; nothing of it is believed yet.
struct Parts<'a> {
    header: Value,
    claims: Value,
    signed: &'a str,
    signature: Vec<u8>,
}

fn split(token: &str) -> Option<Parts<'_>> {
    if token.len() > TOKEN_BYTES_MAX {
        return None;
    }
    let (signed, signature) = token.rsplit_once('.')?;
    let (header, claims) = signed.split_once('.')?;
    let json = |part: &str| serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).ok()?).ok();
    Some(Parts {
        header: json(header)?,
        claims: json(claims)?,
        signed,
        signature: URL_SAFE_NO_PAD.decode(signature).ok()?,
    })
}

/// Whether a token says that it is this issuer's; others check it then.
pub(super) fn names_issuer(token: &str, issuer: &str) -> bool {
    split(token).is_some_and(|parts| parts.claims["iss"] == issuer)
}

/// Whom the token stands for at `now`, seconds since 1970. Its issuer is the configured one.
///
/// # Errors
/// When the token is not good. After [`OidcError::UnknownKey`] newer keys may tell otherwise.
pub(super) fn verify(config: &OidcConfig, keys: &[Key], token: &str, now: i64) -> Result<Caller, OidcError> {
    let parts = split(token).ok_or(OidcError::Malformed)?;
    let name = parts.header["alg"].as_str().unwrap_or_default();
    let algorithm = Algorithm::by_name(name)
        .filter(|algorithm| config.signing_algorithms.contains(algorithm))
        .ok_or_else(|| OidcError::Algorithm(name.to_owned()))?;
    let id = parts.header["kid"].as_str().unwrap_or_default();
    match keys::verify(keys, algorithm, id, parts.signed.as_bytes(), &parts.signature) {
        Signed::Yes => {}
        Signed::No => return Err(OidcError::Signature),
        Signed::UnknownKey => return Err(OidcError::UnknownKey),
    }
    let claims = &parts.claims;
    let found = one_or_more(&claims["aud"]).unwrap_or_default();
    if !found.contains(&config.client_id) {
        return Err(OidcError::Audience {
            wanted: config.client_id.clone(),
            found,
        });
    }
    if seconds(&claims["exp"]).is_none_or(|end| now >= end) {
        return Err(OidcError::Expired);
    }
    if seconds(&claims["nbf"]).is_some_and(|begin| now + NOT_BEFORE_LEEWAY_S < begin) {
        return Err(OidcError::NotYet);
    }
    for (claim, wanted) in &config.required_claims {
        if claims[claim] != **wanted {
            return Err(OidcError::Required {
                claim: claim.clone(),
                wanted: wanted.clone(),
            });
        }
    }
    Ok(Caller {
        user: user(config, claims)?,
        groups: groups(config, claims)?,
        uid: String::new(),
        extra: extra(claims),
    })
}

fn user(config: &OidcConfig, claims: &Value) -> Result<String, OidcError> {
    let claim = &config.username_claim;
    let name = claims[claim].as_str().filter(|name| !name.is_empty());
    let name = name.ok_or_else(|| OidcError::Claim(claim.clone()))?;
    // Where the issuer says nothing about it, it is taken as verified.
    if claim == EMAIL && claims.get("email_verified").is_some_and(|verified| *verified != true) {
        return Err(OidcError::EmailNotVerified);
    }
    Ok(format!("{}{name}", config.username_prefix()))
}

fn groups(config: &OidcConfig, claims: &Value) -> Result<Vec<String>, OidcError> {
    let claim = config.groups_claim.as_deref().unwrap_or_default();
    let mut groups = match claims.get(claim).filter(|value| !value.is_null()) {
        Some(value) => one_or_more(value).ok_or_else(|| OidcError::Claim(claim.to_owned()))?,
        None => Vec::new(),
    };
    for group in &mut groups {
        group.insert_str(0, &config.groups_prefix);
    }
    groups.push(AUTHENTICATED_GROUP.to_owned());
    Ok(groups)
}

fn extra(claims: &Value) -> BTreeMap<String, Vec<String>> {
    let id = claims["jti"].as_str().filter(|id| !id.is_empty());
    id.map(|id| (CREDENTIAL_ID.to_owned(), vec![format!("JTI={id}")]))
        .into_iter()
        .collect()
}

/// A text, or a list of texts.
fn one_or_more(value: &Value) -> Option<Vec<String>> {
    match value {
        Value::String(one) => Some(vec![one.clone()]),
        Value::Array(many) => many.iter().map(|one| one.as_str().map(str::to_owned)).collect(),
        _ => None,
    }
}

/// RFC 7519 allows fractions.
fn seconds(value: &Value) -> Option<i64> {
    #[expect(
        clippy::cast_possible_truncation,
        reason = "a time beyond the range of i64 saturates"
    )]
    value.as_i64().or_else(|| value.as_f64().map(|seconds| seconds as i64))
}

#[cfg(test)]
mod tests;
