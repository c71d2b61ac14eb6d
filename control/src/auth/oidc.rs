//! ID tokens of one OpenID Connect issuer: its keys are fetched, kept, and fetched again when a token names a new one.
//!
//! Whom a token stands for is a pure function of token, keys and time (`claims`). Never here: claims that are kept
//! elsewhere (`_claim_sources`), and several issuers.
//! Source: OpenID Connect Discovery 1.0; Kubernetes, "Authenticating": "OpenID Connect Tokens".

mod claims;
#[cfg(test)]
mod examples;
mod fetch;
mod keys;

use std::{
    collections::BTreeMap,
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};

use http::Uri;
use parking_lot::Mutex;
use serde_json::Value;

pub(crate) use self::claims::OidcError;
pub use self::{fetch::OpenOidcError, keys::Algorithm};
use self::{
    fetch::{FetchError, Fetcher},
    keys::Key,
};
use super::Caller;

/// Pause between two attempts to fetch keys, whatever tokens ask for: nobody makes this server ask its issuer more often
/// than that by sending it tokens of keys that do not exist.
const FETCH_PAUSE: Duration = Duration::from_secs(10);
/// Keys older than this are fetched again when a token comes, so that a key that was withdrawn ends.
const KEYS_AGE_MAX: Duration = Duration::from_secs(3600);
/// With this claim the issuer's name is not needed to tell users apart.
const EMAIL: &str = "email";

/// Which tokens are taken, and what they say: the meaning, and the defaults, of kube-apiserver's `--oidc-*` flags.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OidcConfig {
    /// HTTPS, without query and fragment; exactly what tokens name as `iss`.
    pub issuer_url: String,
    /// What tokens must name as audience.
    pub client_id: String,
    /// The claim with the user's name.
    pub username_claim: String,
    /// Goes before names. `None`: the issuer and `#`, unless the claim is `email`; `-`: nothing.
    pub username_prefix: Option<String>,
    /// The claim with the user's groups: a text or a list of texts.
    pub groups_claim: Option<String>,
    /// Goes before groups.
    pub groups_prefix: String,
    /// What other claims must say.
    pub required_claims: BTreeMap<String, String>,
    /// How tokens may be signed.
    pub signing_algorithms: Vec<Algorithm>,
    /// PEM of the authorities that the issuer's certificate is trusted by; the system's without it.
    pub ca_file: Option<PathBuf>,
}

impl OidcConfig {
    /// As kube-apiserver's flags are unless they are given.
    #[must_use]
    pub fn new(issuer_url: &str, client_id: &str) -> OidcConfig {
        OidcConfig {
            issuer_url: issuer_url.to_owned(),
            client_id: client_id.to_owned(),
            username_claim: "sub".to_owned(),
            username_prefix: None,
            groups_claim: None,
            groups_prefix: String::new(),
            required_claims: BTreeMap::new(),
            signing_algorithms: vec![Algorithm::Rs256],
            ca_file: None,
        }
    }

    fn username_prefix(&self) -> String {
        match self.username_prefix.as_deref() {
            Some("-") => String::new(),
            Some(prefix) if !prefix.is_empty() => prefix.to_owned(),
            _ if self.username_claim == EMAIL => String::new(),
            _ => format!("{}#", self.issuer_url),
        }
    }
}

/// Checks ID tokens. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Oidc {
    inner: Arc<Inner>,
}

struct Inner {
    config: OidcConfig,
    fetcher: Fetcher,
    known: Mutex<Known>,
    /// Held by who fetches; others wait for what comes of it.
    fetching: tokio::sync::Mutex<()>,
}

#[derive(Default)]
struct Known {
    keys: Arc<[Key]>,
    fetched: Option<Instant>,
    tried: Option<Instant>,
}

impl std::fmt::Debug for Oidc {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Oidc")
            .field("issuer", &self.inner.config.issuer_url)
            .finish_non_exhaustive()
    }
}

impl Oidc {
    /// Prepares to check tokens; the issuer is not asked before the first one comes.
    ///
    /// # Errors
    /// When the configuration cannot be used.
    pub(crate) fn open(config: OidcConfig) -> Result<Oidc, OpenOidcError> {
        let fetcher = Fetcher::new(&config.issuer_url, config.ca_file.as_deref())?;
        Ok(Oidc {
            inner: Arc::new(Inner {
                config,
                fetcher,
                known: Mutex::default(),
                fetching: tokio::sync::Mutex::default(),
            }),
        })
    }

    /// Whether a token says that it is of this issuer.
    pub(crate) fn is_concerned(&self, token: &str) -> bool {
        claims::names_issuer(token, &self.inner.config.issuer_url)
    }

    /// Whom a token stands for, by the keys that are known.
    ///
    /// # Errors
    /// When the token is not good.
    pub(crate) fn verify(&self, token: &str, now_s: i64) -> Result<Caller, OidcError> {
        let keys = self.inner.known.lock().keys.clone();
        claims::verify(&self.inner.config, &keys, token, now_s)
    }

    /// Fetches keys if those that are known do not tell about a token of the issuer. Old ones are fetched again while
    /// nobody waits. Failures are logged; the keys that were known stay.
    pub(crate) async fn prepare(&self, token: &str, now_s: i64) {
        if !self.is_concerned(token) {
            return;
        }
        if self.verify(token, now_s) == Err(OidcError::UnknownKey) {
            self.refresh().await;
        } else if self.is_due(Instant::now()) {
            let oidc = self.clone();
            tokio::spawn(async move { oidc.refresh().await });
        }
    }

    /// Whether keys are old, and may be asked for.
    fn is_due(&self, now: Instant) -> bool {
        let known = self.inner.known.lock();
        is_old(known.fetched, now) && may_fetch(known.tried, now)
    }

    /// Fetches keys, or waits for who does, unless that was done a moment ago.
    async fn refresh(&self) {
        let _turn = self.inner.fetching.lock().await;
        {
            let mut known = self.inner.known.lock();
            if !may_fetch(known.tried, Instant::now()) {
                return;
            }
            known.tried = Some(Instant::now());
        }
        match self.fetch().await {
            Ok(keys) => {
                tracing::info!(
                    issuer = self.inner.config.issuer_url,
                    keys = keys.len(),
                    "keys of the issuer fetched"
                );
                let mut known = self.inner.known.lock();
                known.keys = keys.into();
                known.fetched = Some(Instant::now());
            }
            Err(error) => {
                tracing::warn!(
                    issuer = self.inner.config.issuer_url,
                    error = &error as &dyn std::error::Error,
                    "keys of the issuer not fetched"
                );
            }
        }
    }

    async fn fetch(&self) -> Result<Vec<Key>, FetchError> {
        let issuer = self.inner.config.issuer_url.trim_end_matches('/');
        let document = format!("{issuer}/.well-known/openid-configuration");
        let document: Value = self.inner.fetcher.get(&document).await?;
        if document["issuer"] != self.inner.config.issuer_url {
            return Err(FetchError::OtherIssuer(document["issuer"].to_string()));
        }
        let keys = document["jwks_uri"].as_str().ok_or(FetchError::NoKeySet)?;
        Ok(keys::parse(&self.inner.fetcher.get(keys).await?))
    }
}

/// Keys are not asked for too often.
fn may_fetch(tried: Option<Instant>, now: Instant) -> bool {
    tried.is_none_or(|tried| now.saturating_duration_since(tried) >= FETCH_PAUSE)
}

fn is_old(fetched: Option<Instant>, now: Instant) -> bool {
    fetched.is_none_or(|fetched| now.saturating_duration_since(fetched) >= KEYS_AGE_MAX)
}

/// A URL of an issuer that can be asked: HTTPS, with a host, without query.
fn parse_url(url: &str) -> Option<Uri> {
    let parsed: Uri = url.parse().ok()?;
    let is_good = parsed.scheme_str() == Some("https")
        && parsed
            .authority()
            .is_some_and(|authority| !authority.as_str().contains('@'))
        && parsed.query().is_none()
        && !url.contains('#');
    is_good.then_some(parsed)
}

#[cfg(test)]
mod tests;
