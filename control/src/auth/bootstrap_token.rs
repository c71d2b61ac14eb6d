//! Bootstrap tokens: `ID.SECRET`, each a Secret in `kube-system`. Pure.
//!
//! Source: Kubernetes, "Authenticating with Bootstrap Tokens".

use api::Timestamp;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::Value;

use super::{AUTHENTICATED_GROUP, Caller, is_same_secret};

const TOKEN_TYPE: &str = "bootstrap.kubernetes.io/token";
const USER_PREFIX: &str = "system:bootstrap:";
const GROUP: &str = "system:bootstrappers";
const ID_LENGTH: usize = 6;
const SECRET_LENGTH: usize = 16;

/// A text of a bootstrap token's form.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct BootstrapToken<'a> {
    /// The half that is no secret.
    pub(crate) id: &'a str,
    secret: &'a str,
}

impl<'a> BootstrapToken<'a> {
    /// The namespace of the Secrets.
    pub(crate) const NAMESPACE: &'static str = "kube-system";

    pub(crate) fn parse(text: &'a str) -> Option<BootstrapToken<'a>> {
        let (id, secret) = text.split_once('.')?;
        let is_part = |part: &str, length| {
            part.len() == length
                && part
                    .bytes()
                    .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
        };
        (is_part(id, ID_LENGTH) && is_part(secret, SECRET_LENGTH)).then_some(BootstrapToken { id, secret })
    }

    /// The name of its Secret.
    pub(crate) fn secret_name(&self) -> String {
        format!("bootstrap-token-{}", self.id)
    }

    /// Whether the Secret (null if there is none) is this token's and lets it authenticate at `now`.
    pub(crate) fn is_good(&self, secret: &Value, now: Timestamp) -> bool {
        let expected = field(secret, "token-secret").unwrap_or_default();
        let is_same = is_same_secret(expected.as_bytes(), self.secret.as_bytes());
        let lives = match field(secret, "expiration") {
            None => true,
            Some(text) => text.parse::<Timestamp>().is_ok_and(|end| now < end),
        };
        is_same
            && lives
            && secret["type"] == TOKEN_TYPE
            && secret["metadata"]["deletionTimestamp"].is_null()
            && field(secret, "token-id").as_deref() == Some(self.id)
            && field(secret, "usage-bootstrap-authentication").as_deref() == Some("true")
    }

    /// Who a good token stands for. Groups beyond the usual one are the Secret's to give, within their own prefix.
    pub(crate) fn holder(&self, secret: &Value) -> Caller {
        let extra_groups = field(secret, "auth-extra-groups").unwrap_or_default();
        let own_prefix = format!("{GROUP}:");
        let mut groups = vec![GROUP.to_owned()];
        let given = extra_groups.split(',').map(str::trim);
        groups.extend(given.filter(|group| group.starts_with(&own_prefix)).map(str::to_owned));
        groups.push(AUTHENTICATED_GROUP.to_owned());
        Caller {
            user: format!("{USER_PREFIX}{}", self.id),
            groups,
            ..Caller::default()
        }
    }
}

fn field(secret: &Value, name: &str) -> Option<String> {
    let bytes = STANDARD.decode(secret["data"][name].as_str()?).ok()?;
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests;
