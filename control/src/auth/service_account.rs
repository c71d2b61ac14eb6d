//! Tokens of service accounts: what they say, and whether that still holds. Pure.
//!
//! A token is good as long as its account, and what it is bound to, are there with the uids it names.
//! Source: Kubernetes, "Managing Service Accounts", "Authenticating": service account tokens; RFC 7519.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{
    CREDENTIAL_ID, Caller,
    jwt::{Claims, LegacyClaims, PrivateClaims, Reference, TokenError},
    service_account_user,
};

/// The issuer that tokens in secrets name, whatever the cluster's.
const LEGACY_ISSUER: &str = "kubernetes/serviceaccount";
/// The type of secrets that hold a token.
pub(crate) const TOKEN_SECRET_TYPE: &str = "kubernetes.io/service-account-token";
/// Lifetime that pods' own tokens are asked for with; programs that read such a token once and never again are given
/// [`EXTENDED_S`], and the token says when it should have been read again.
const POD_TOKEN_S: i64 = 3607;
const EXTENDED_S: i64 = 365 * 24 * 3600;

/// What a new token is bound to besides its account.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum BoundObject {
    Nothing,
    /// The pod, and its node if that is known.
    Pod(Value, Option<Value>),
    Secret(Value),
    Node(Value),
}

/// A token that is to be made.
#[derive(Debug, Clone)]
pub(crate) struct Wish<'a> {
    pub(crate) account: &'a Value,
    pub(crate) bound: &'a BoundObject,
    /// Not empty.
    pub(crate) audiences: &'a [String],
    pub(crate) seconds: i64,
    pub(crate) issuer: &'a str,
    /// A name of its own.
    pub(crate) id: &'a str,
    /// Seconds since 1970.
    pub(crate) now: i64,
}

fn meta(object: &Value, field: &str) -> String {
    object["metadata"][field].as_str().unwrap_or_default().to_owned()
}

fn reference(object: &Value) -> Reference {
    Reference {
        name: meta(object, "name"),
        uid: meta(object, "uid"),
    }
}

impl Wish<'_> {
    /// What the token says.
    pub(crate) fn claims(&self) -> Claims {
        let namespace = meta(self.account, "namespace");
        let mut private = PrivateClaims {
            serviceaccount: reference(self.account),
            ..PrivateClaims::default()
        };
        match self.bound {
            BoundObject::Nothing => {}
            BoundObject::Pod(pod, node) => {
                private.pod = Some(reference(pod));
                private.node = node.as_ref().map(reference);
            }
            BoundObject::Secret(secret) => private.secret = Some(reference(secret)),
            BoundObject::Node(node) => private.node = Some(reference(node)),
        }
        let is_pods_own = matches!(self.bound, BoundObject::Pod(..))
            && self.seconds == POD_TOKEN_S
            && self.audiences.iter().all(|audience| audience == self.issuer);
        let mut seconds = self.seconds;
        if is_pods_own {
            private.warnafter = Some(self.now + self.seconds);
            seconds = EXTENDED_S;
        }
        let sub = service_account_user(&namespace, &private.serviceaccount.name);
        private.namespace = namespace;
        Claims {
            aud: self.audiences.to_vec(),
            exp: Some(self.now + seconds),
            iat: Some(self.now),
            iss: self.issuer.to_owned(),
            jti: self.id.to_owned(),
            private: Some(private),
            nbf: Some(self.now),
            sub,
            legacy: None,
        }
    }
}

/// What the token in a secret of this account says.
pub(crate) fn legacy_claims(account: &Value, secret: &Value) -> Claims {
    let (namespace, name) = (meta(account, "namespace"), meta(account, "name"));
    Claims {
        iss: LEGACY_ISSUER.to_owned(),
        sub: service_account_user(&namespace, &name),
        legacy: Some(LegacyClaims {
            namespace,
            secret: meta(secret, "name"),
            account: name,
            uid: meta(account, "uid"),
        }),
        ..Claims::default()
    }
}

/// How objects are looked up: plural, namespace, name.
pub(super) type Lookup<'a, E> = dyn Fn(&str, &str, &str) -> Result<Option<Value>, E> + 'a;

/// Who a token stands for, and for which of the wanted audiences it is.
///
/// # Errors
/// When it is not good at `now`, or objects cannot be looked up.
pub(super) fn holder<E>(
    claims: &Claims,
    token: &str,
    issuer: &str,
    wanted: &[String],
    now: i64,
    lookup: &Lookup<'_, E>,
) -> Result<Result<(Caller, Vec<String>), TokenError>, E> {
    if let Some(legacy) = claims.legacy.as_ref().filter(|_| claims.iss == LEGACY_ISSUER) {
        return legacy_holder(legacy, token, issuer, wanted, lookup);
    }
    let (audiences, private) = match standing(claims, issuer, wanted, now) {
        Ok(standing) => standing,
        Err(error) => return Ok(Err(error)),
    };
    let namespace = private.namespace.as_str();
    let account = &private.serviceaccount;
    let mut needed = vec![("serviceaccounts", namespace, account)];
    needed.extend(private.pod.as_ref().map(|pod| ("pods", namespace, pod)));
    needed.extend(private.secret.as_ref().map(|secret| ("secrets", namespace, secret)));
    // A pod's node is told, but the pod is what the token is bound to.
    if private.pod.is_none() {
        needed.extend(private.node.as_ref().map(|node| ("nodes", "", node)));
    }
    for (plural, namespace, reference) in needed {
        let object = lookup(plural, namespace, &reference.name)?;
        if object.is_none_or(|object| meta(&object, "uid") != reference.uid) {
            return Ok(Err(TokenError::Gone));
        }
    }
    let mut caller = Caller::service_account(namespace, &account.name);
    caller.uid = account.uid.clone();
    caller.extra = extra(claims, private);
    Ok(Ok((caller, audiences)))
}

/// What holds of a token without looking anything up.
fn standing<'a>(
    claims: &'a Claims,
    issuer: &str,
    wanted: &[String],
    now: i64,
) -> Result<(Vec<String>, &'a PrivateClaims), TokenError> {
    if claims.iss != issuer {
        return Err(TokenError::Issuer(claims.iss.clone()));
    }
    if claims.exp.is_none_or(|end| now >= end) {
        return Err(TokenError::Expired);
    }
    if claims.nbf.is_some_and(|begin| now < begin) {
        return Err(TokenError::NotYet);
    }
    let private = claims.private.as_ref().ok_or(TokenError::Malformed)?;
    if claims.sub != service_account_user(&private.namespace, &private.serviceaccount.name) {
        return Err(TokenError::Malformed);
    }
    let audiences: Vec<String> = wanted
        .iter()
        .filter(|audience| claims.aud.contains(audience))
        .cloned()
        .collect();
    if audiences.is_empty() {
        return Err(TokenError::Audience {
            found: claims.aud.clone(),
            wanted: wanted.to_vec(),
        });
    }
    Ok((audiences, private))
}

fn extra(claims: &Claims, private: &PrivateClaims) -> BTreeMap<String, Vec<String>> {
    let mut extra = BTreeMap::from([(CREDENTIAL_ID.to_owned(), vec![format!("JTI={}", claims.jti)])]);
    for (kind, reference) in [("node", &private.node), ("pod", &private.pod)] {
        if let Some(reference) = reference {
            for (part, value) in [("name", &reference.name), ("uid", &reference.uid)] {
                extra.insert(
                    format!("authentication.kubernetes.io/{kind}-{part}"),
                    vec![value.clone()],
                );
            }
        }
    }
    extra
}

fn legacy_holder<E>(
    legacy: &LegacyClaims,
    token: &str,
    issuer: &str,
    wanted: &[String],
    lookup: &Lookup<'_, E>,
) -> Result<Result<(Caller, Vec<String>), TokenError>, E> {
    use base64::{Engine as _, engine::general_purpose::STANDARD};
    // Such tokens are for this server alone.
    if !wanted.iter().any(|audience| audience == issuer) {
        return Ok(Err(TokenError::Audience {
            found: vec![issuer.to_owned()],
            wanted: wanted.to_vec(),
        }));
    }
    let account = lookup("serviceaccounts", &legacy.namespace, &legacy.account)?;
    let secret = lookup("secrets", &legacy.namespace, &legacy.secret)?;
    let account_is_there = account.is_some_and(|account| meta(&account, "uid") == legacy.uid);
    let is_in_secret = secret.is_some_and(|secret| {
        let held = secret["data"]["token"].as_str();
        let held = held.and_then(|text| STANDARD.decode(text).ok()).unwrap_or_default();
        secret["type"] == TOKEN_SECRET_TYPE
            && secret["metadata"]["deletionTimestamp"].is_null()
            && super::is_same_secret(&held, token.as_bytes())
    });
    if !account_is_there || !is_in_secret {
        return Ok(Err(TokenError::Gone));
    }
    let mut caller = Caller::service_account(&legacy.namespace, &legacy.account);
    caller.uid = legacy.uid.clone();
    Ok(Ok((caller, vec![issuer.to_owned()])))
}

#[cfg(test)]
mod tests;
