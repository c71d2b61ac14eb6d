//! Who a bearer token stands for, whatever kind of token it is.
//!
//! Source: Kubernetes, "Authenticating": bearer tokens, service account tokens, bootstrap tokens, OpenID Connect
//! tokens.

use api::{Timestamp, resource};
use serde_json::Value;

use super::{BootstrapToken, Caller, Tokens, jwt::TokenError, service_account};
use crate::{
    engine::{ApiError, key, object},
    store::Store,
};

/// Who a token stands for, and for which of the audiences that were asked for it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Authenticated {
    /// Who.
    pub(crate) caller: Caller,
    /// For whom; never empty.
    pub(crate) audiences: Vec<String>,
}

/// Fetches what [`authenticate`] needs to know of the token's issuer and does not know yet.
pub(crate) async fn prepare(tokens: &Tokens, token: &str) {
    if let Some(oidc) = tokens.oidc() {
        oidc.prepare(token, Timestamp::now().as_second()).await;
    }
}

/// Answers whom `token` stands for; `audiences` are those who ask, the server itself if there are none.
///
/// # Errors
/// The outer error is the store's, the inner one the token's.
pub(crate) fn authenticate(
    store: &Store,
    tokens: &Tokens,
    token: &str,
    audiences: &[String],
    now: Timestamp,
) -> Result<Result<Authenticated, TokenError>, ApiError> {
    let own = [tokens.issuer().to_owned()];
    let wanted = if audiences.is_empty() { &own[..] } else { audiences };
    let lookup = |plural: &str, namespace: &str, name: &str| lookup(store, plural, namespace, name);
    if let Some(bootstrap) = BootstrapToken::parse(token) {
        if !wanted.contains(&own[0]) {
            return Ok(Err(TokenError::Unknown));
        }
        let secret = lookup("secrets", BootstrapToken::NAMESPACE, &bootstrap.secret_name())?;
        let secret = secret.unwrap_or_default();
        if !bootstrap.is_good(&secret, now) {
            return Ok(Err(TokenError::Unknown));
        }
        return Ok(Ok(Authenticated {
            caller: bootstrap.holder(&secret),
            audiences: own.to_vec(),
        }));
    }
    if let Some(oidc) = tokens.oidc().filter(|oidc| oidc.is_concerned(token)) {
        if !wanted.contains(&own[0]) {
            return Ok(Err(TokenError::Unknown));
        }
        let verified = oidc.verify(token, now.as_second());
        return Ok(verified.map_err(TokenError::from).map(|caller| Authenticated {
            caller,
            audiences: own.to_vec(),
        }));
    }
    let claims = match tokens.read(token) {
        Ok(claims) => claims,
        Err(error) => return Ok(Err(error)),
    };
    let holder = service_account::holder(&claims, token, tokens.issuer(), wanted, now.as_second(), &lookup)?;
    Ok(holder.map(|(caller, audiences)| Authenticated { caller, audiences }))
}

fn lookup(store: &Store, plural: &str, namespace: &str, name: &str) -> Result<Option<Value>, ApiError> {
    let resource = resource::by_path("", "v1", plural).expect("the table of kinds has the core kinds");
    let stored = store
        .get(&key(resource, namespace, name), None)
        .map_err(ApiError::Read)?;
    stored.as_ref().map(object::decode).transpose()
}
