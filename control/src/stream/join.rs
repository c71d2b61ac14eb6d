//! Joining: a bootstrap token for a node's certificate, and that for one that begins now.
//!
//! Tokens are Secrets of Kubernetes' type `bootstrap.kubernetes.io/token` in `kube-system`. Refusals do not say what
//! was wrong with a token. Source: Kubernetes, "Authenticating with Bootstrap Tokens".

use std::time::Duration;

use api::{
    Kind, Timestamp,
    node_stream::{JoinRequest, JoinResponse, RenewRequest},
};
use serde_json::Value;
use tonic::Status;

use crate::{
    auth::BootstrapToken,
    driver::resource_of,
    engine::{ApiError, Engine},
    pki::{Authority, IssueError},
};

/// A DNS subdomain's longest name: RFC 1035.
const NODE_NAME_BYTES_MAX: usize = 253;

/// Answers a node's certificate for a good token, unless the node `is_connected`: a token is no right to take a living
/// node's place.
pub(super) fn join(
    engine: &Engine,
    authority: &Authority,
    life: Duration,
    request: &JoinRequest,
    is_connected: impl FnOnce(&str) -> bool,
) -> Result<JoinResponse, Status> {
    let token = BootstrapToken::parse(&request.token).ok_or_else(refused)?;
    let secret = match engine.get(
        resource_of(Kind::Secret),
        BootstrapToken::NAMESPACE,
        &token.secret_name(),
    ) {
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
    if is_connected(&request.node_name) {
        tracing::warn!(node = %request.node_name, "join refused: the node is connected");
        return Err(Status::failed_precondition(format!(
            "the node {:?} is a member and its agent is connected; join under another --node-name, or stop that agent \
             first",
            request.node_name
        )));
    }
    let answer = sign(authority, &request.node_name, life, &request.csr_der)?;
    tracing::info!(node = %request.node_name, token_id = %token.id, "node joined");
    Ok(answer)
}

/// Answers a new certificate for the node that asks over a connection of its own.
pub(super) fn renew(
    authority: &Authority,
    node: &str,
    life: Duration,
    request: &RenewRequest,
) -> Result<JoinResponse, Status> {
    let answer = sign(authority, node, life, &request.csr_der)?;
    tracing::info!(%node, "certificate of a node renewed");
    Ok(answer)
}

fn sign(authority: &Authority, node: &str, life: Duration, csr_der: &[u8]) -> Result<JoinResponse, Status> {
    let certificate = authority.sign_node(node, csr_der, life).map_err(|error| match error {
        IssueError::BadRequest(_) | IssueError::BadName { .. } => Status::invalid_argument(error.to_string()),
        IssueError::Sign(_) | IssueError::Write(_) => Status::internal(error.to_string()),
    })?;
    Ok(JoinResponse {
        certificate_pem: certificate.into_bytes(),
        ca_pem: authority.certificate_pem().as_bytes().to_vec(),
    })
}

fn refused() -> Status {
    Status::unauthenticated("the join token is unknown, expired or wrong")
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
