//! What form of an answer a client accepts, and in what form its body comes.
//!
//! JSON is always spoken; protobuf is understood, never answered, since every client that prefers it accepts JSON too.
//! Source: RFC 9110, "Content Negotiation"; Kubernetes API Concepts, "Resource representations".

use http::{HeaderMap, header};

use crate::engine::ApiError;

const OFFERED: &[&str] = &["application/json"];

/// The form of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Form {
    /// The objects.
    Object,
    /// `as=Table`
    Table,
    /// `as=PartialObjectMetadata` or its list.
    Metadata,
}

/// The best form of objects for an Accept header.
///
/// # Errors
/// When nothing the client accepts is spoken here.
pub(super) fn form(headers: &HeaderMap) -> Result<Form, ApiError> {
    for (media, parameters) in accepted(headers) {
        if !is_json(&media) {
            continue;
        }
        let parameter = |name: &str| {
            parameters
                .iter()
                .find(|(key, _)| key == name)
                .map_or("", |(_, value)| value.as_str())
        };
        if !matches!(parameter("g"), "" | "meta.k8s.io") || !matches!(parameter("v"), "" | "v1") {
            continue;
        }
        match parameter("as") {
            "" => return Ok(Form::Object),
            "Table" => return Ok(Form::Table),
            "PartialObjectMetadata" | "PartialObjectMetadataList" => return Ok(Form::Metadata),
            _ => {}
        }
    }
    Err(ApiError::NotAcceptable { offered: OFFERED })
}

/// True if the client accepts the aggregated form of discovery before the plain one.
#[must_use]
pub(super) fn wants_aggregated_discovery(headers: &HeaderMap) -> bool {
    for (media, parameters) in accepted(headers) {
        if !is_json(&media) {
            continue;
        }
        let has = |name: &str, value: &str| parameters.iter().any(|(key, given)| key == name && given == value);
        if has("as", "APIGroupDiscoveryList") {
            if has("g", "apidiscovery.k8s.io") && has("v", "v2") {
                return true;
            }
            continue;
        }
        return false;
    }
    false
}

/// True if the client accepts the older OpenAPI document as protobuf before JSON.
#[must_use]
pub(super) fn wants_openapi_protobuf(headers: &HeaderMap) -> bool {
    // Clients write an @ where newer ones write a dot.
    let is_protobuf = |media: &str| {
        media
            .strip_prefix("application/com.github.proto-openapi.spec.v2")
            .is_some_and(|version| matches!(version, "@v1.0+protobuf" | ".v1.0+protobuf"))
    };
    accepted(headers)
        .iter()
        .map(|(media, _)| media.as_str())
        .find(|media| is_protobuf(media) || is_json(media))
        .is_some_and(is_protobuf)
}

fn is_json(media: &str) -> bool {
    matches!(media, "application/json" | "application/*" | "*/*")
}

/// Names and values behind a media type.
type Parameters = Vec<(String, String)>;

/// Media types with their parameters, best first. Without a header everything is accepted.
fn accepted(headers: &HeaderMap) -> Vec<(String, Parameters)> {
    let text: Vec<&str> = headers
        .get_all(header::ACCEPT)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .collect();
    let text = text.join(",");
    if text.trim().is_empty() {
        return vec![("*/*".to_owned(), Vec::new())];
    }
    let mut list: Vec<(f32, String, Parameters)> = text
        .split(',')
        .filter_map(|entry| {
            let mut parts = entry.split(';').map(str::trim);
            let media = parts.next().filter(|media| !media.is_empty())?.to_ascii_lowercase();
            let parameters: Parameters = parts
                .filter_map(|part| part.split_once('='))
                .map(|(key, value)| (key.trim().to_owned(), value.trim().trim_matches('"').to_owned()))
                .collect();
            let quality = parameters
                .iter()
                .find(|(key, _)| key == "q")
                .map_or(Some(1.0), |(_, value)| value.parse().ok())?;
            Some((quality, media, parameters))
        })
        .filter(|(quality, ..)| *quality > 0.0)
        .collect();
    // Stable: what stands first wins among equals.
    list.sort_by(|a, b| b.0.total_cmp(&a.0));
    list.into_iter()
        .map(|(_, media, parameters)| (media, parameters))
        .collect()
}

/// How a body is encoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum BodyType {
    /// `application/json`, and whatever does not say.
    Json,
    /// `application/yaml`
    Yaml,
    /// `application/vnd.kubernetes.protobuf`
    Protobuf,
    /// `application/json-patch+json`
    JsonPatch,
    /// `application/merge-patch+json`
    MergePatch,
    /// `application/strategic-merge-patch+json`
    StrategicMergePatch,
    /// `application/apply-patch+yaml`
    ApplyPatch,
    /// Anything else.
    Unknown,
}

/// The encoding that the headers name.
#[must_use]
pub(super) fn body_type(headers: &HeaderMap) -> BodyType {
    let text = headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    let media = text.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    match media.as_str() {
        // `kubectl scale` sends no type with its PUT.
        "" | "application/json" | "*/*" => BodyType::Json,
        "application/yaml" | "application/x-yaml" | "text/yaml" => BodyType::Yaml,
        "application/vnd.kubernetes.protobuf" => BodyType::Protobuf,
        "application/json-patch+json" => BodyType::JsonPatch,
        "application/merge-patch+json" => BodyType::MergePatch,
        "application/strategic-merge-patch+json" => BodyType::StrategicMergePatch,
        "application/apply-patch+yaml" => BodyType::ApplyPatch,
        _ => BodyType::Unknown,
    }
}

#[cfg(test)]
mod tests;
