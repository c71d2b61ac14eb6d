//! Tokens of service accounts for the pods of a node.
//!
//! A node is given those that its pods' volumes ask for, bound to the pod, and no others.

use api::{
    Kind,
    node_stream::{Token, TokenWanted},
};
use serde_json::{Value, json};

use crate::{
    driver::resource_of,
    engine::{ApiError, Engine, object::meta_str},
};

/// Answers what a node's agent asks for.
pub(super) fn answer(engine: &Engine, node: &str, wanted: &TokenWanted) -> Token {
    let mut token = Token {
        pod_uid: wanted.pod_uid.clone(),
        audience: wanted.audience.clone(),
        expiration_seconds: wanted.expiration_seconds,
        ..Token::default()
    };
    match issue(engine, node, wanted) {
        Ok(text) => token.token = text,
        Err(error) => {
            tracing::warn!(%node, pod.uid = %wanted.pod_uid, error = &error as &dyn std::error::Error, "token refused");
            token.error = error.to_string();
        }
    }
    token
}

fn issue(engine: &Engine, node: &str, wanted: &TokenWanted) -> Result<String, ApiError> {
    let pod = engine.get(resource_of(Kind::Pod), &wanted.namespace, &wanted.pod)?;
    if !may_have(&pod, node, wanted) {
        let refusal = format!("no pod of node {node:?} with this uid asks for such a token");
        return Err(ApiError::BadRequest(refusal));
    }
    let account = pod["spec"]["serviceAccountName"].as_str().unwrap_or_default();
    let audiences: Vec<&str> = Some(wanted.audience.as_str())
        .filter(|audience| !audience.is_empty())
        .into_iter()
        .collect();
    let request = json!({
        "spec": {
            "audiences": audiences,
            "expirationSeconds": wanted.expiration_seconds,
            "boundObjectRef": { "apiVersion": "v1", "kind": "Pod", "name": wanted.pod, "uid": wanted.pod_uid },
        },
    });
    let answer = engine.issue_token(&wanted.namespace, account, request)?;
    Ok(answer["status"]["token"].as_str().unwrap_or_default().to_owned())
}

/// Whether the pod is the one that is meant, is on the node, and has a volume that asks for such a token.
fn may_have(pod: &Value, node: &str, wanted: &TokenWanted) -> bool {
    let volumes = pod["spec"]["volumes"].as_array().into_iter().flatten();
    let mut sources = volumes
        .flat_map(|volume| volume["projected"]["sources"].as_array().into_iter().flatten())
        .map(|source| &source["serviceAccountToken"])
        .filter(|source| source.is_object());
    meta_str(pod, "uid") == wanted.pod_uid
        && pod["spec"]["nodeName"] == node
        && sources.any(|source| {
            source["audience"].as_str().unwrap_or_default() == wanted.audience
                && source["expirationSeconds"].as_i64() == Some(wanted.expiration_seconds)
        })
}

#[cfg(test)]
mod tests;
