//! Joining: a bootstrap token for a node's certificate.
//!
//! Tokens are Secrets of Kubernetes' type `bootstrap.kubernetes.io/token` in `kube-system`. Refusals do not say what
//! was wrong with a token. Source: Kubernetes, "Authenticating with Bootstrap Tokens".

use api::{
    Kind, Timestamp,
    node_stream::{JoinRequest, JoinResponse},
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::Value;
use tonic::Status;

use crate::{
    driver::resource_of,
    engine::{ApiError, Engine},
    pki::{Authority, IssueError},
};

const TOKEN_NAMESPACE: &str = "kube-system";
const TOKEN_TYPE: &str = "bootstrap.kubernetes.io/token";
const ID_LENGTH: usize = 6;
const SECRET_LENGTH: usize = 16;
/// A DNS subdomain's longest name: RFC 1035.
const NODE_NAME_BYTES_MAX: usize = 253;

/// Answers a node's certificate for a good token.
pub(super) fn join(engine: &Engine, authority: &Authority, request: &JoinRequest) -> Result<JoinResponse, Status> {
    let token = Token::parse(&request.token).ok_or_else(refused)?;
    let secret = match engine.get(resource_of(Kind::Secret), TOKEN_NAMESPACE, &token.secret_name()) {
        Ok(secret) => secret,
        Err(ApiError::NotFound(_)) => Value::Null,
        Err(error) => return Err(Status::unavailable(error.to_string())),
    };
    if !token.is_good(&secret, Timestamp::now()) {
        tracing::warn!(node = %request.node_name, token_id = %token.id, "join refused");
        return Err(refused());
    }
    if !is_node_name(&request.node_name) {
        return Err(Status::invalid_argument(format!(
            "node name {:?} is not a lower-case DNS name",
            request.node_name
        )));
    }
    let certificate = authority
        .sign_node(&request.node_name, &request.csr_der)
        .map_err(|error| match error {
            IssueError::BadRequest(_) | IssueError::BadName { .. } => Status::invalid_argument(error.to_string()),
            IssueError::Sign(_) | IssueError::Write(_) => Status::internal(error.to_string()),
        })?;
    tracing::info!(node = %request.node_name, token_id = %token.id, "node joined");
    Ok(JoinResponse {
        certificate_pem: certificate.into_bytes(),
        ca_pem: authority.certificate_pem().as_bytes().to_vec(),
    })
}

fn refused() -> Status {
    Status::unauthenticated("the join token is unknown, expired or wrong")
}

struct Token<'a> {
    id: &'a str,
    secret: &'a str,
}

impl<'a> Token<'a> {
    fn parse(text: &'a str) -> Option<Token<'a>> {
        let (id, secret) = text.split_once('.')?;
        let is_part = |part: &str, length| {
            part.len() == length
                && part
                    .bytes()
                    .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
        };
        (is_part(id, ID_LENGTH) && is_part(secret, SECRET_LENGTH)).then_some(Token { id, secret })
    }

    fn secret_name(&self) -> String {
        format!("bootstrap-token-{}", self.id)
    }

    /// Whether the Secret (null if there is none) is this token's and lets it join at `now`.
    fn is_good(&self, secret: &Value, now: Timestamp) -> bool {
        let field = |name: &str| {
            let bytes = STANDARD.decode(secret["data"][name].as_str()?).ok()?;
            String::from_utf8(bytes).ok()
        };
        let expected = field("token-secret").unwrap_or_default();
        let is_same = same(expected.as_bytes(), self.secret.as_bytes());
        let lives = match field("expiration") {
            None => true,
            Some(text) => text.parse::<Timestamp>().is_ok_and(|end| now < end),
        };
        is_same
            && lives
            && secret["type"] == TOKEN_TYPE
            && field("token-id").as_deref() == Some(self.id)
            && field("usage-bootstrap-authentication").as_deref() == Some("true")
    }
}

/// Compares in a time that depends on the lengths only.
fn same(one: &[u8], other: &[u8]) -> bool {
    let difference = one.iter().zip(other).fold(0, |sum, (one, other)| sum | (one ^ other));
    one.len() == other.len() && std::hint::black_box(difference) == 0
}

/// RFC 1123 subdomain in lower case, as Kubernetes requires of node names.
fn is_node_name(name: &str) -> bool {
    let is_label = |label: &str| {
        label
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
            && !label.is_empty()
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    name.len() <= NODE_NAME_BYTES_MAX && name.split('.').all(is_label)
}

#[cfg(test)]
mod tests;
