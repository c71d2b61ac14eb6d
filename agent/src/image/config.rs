//! What an image says about running it, and the JSON documents of an archive.
//!
//! Never here: where the documents come from. Unknown fields are ignored, as the specification demands.
//! Source: OCI image specification 1.1 (config.md, manifest.md, image-index.md), `docker save`'s manifest.json.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Defaults of an image's containers.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct ImageConfig {
    /// `user[:group]`, names or numbers; empty for root.
    pub user: String,
    /// `NAME=value`
    #[serde(deserialize_with = "null_is_default")]
    pub env: Vec<String>,
    /// First words of the command.
    #[serde(deserialize_with = "null_is_default")]
    pub entrypoint: Vec<String>,
    /// The words after the entrypoint, unless the container gives its own.
    #[serde(deserialize_with = "null_is_default")]
    pub cmd: Vec<String>,
    /// Working directory; empty for `/`.
    pub working_dir: String,
    /// Signal that asks the container to stop: `SIGTERM`, `SIGQUIT`, `15`; empty for SIGTERM.
    pub stop_signal: String,
    /// Kubernetes ignores it; kept because `image list -o json` shows it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub healthcheck: Option<HealthConfig>,
}

/// A Docker health check.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct HealthConfig {
    /// `["CMD", …]`
    #[serde(deserialize_with = "null_is_default")]
    pub test: Vec<String>,
}

/// The configuration blob; its digest is the image's id.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct ConfigBlob {
    #[serde(default)]
    pub(super) architecture: String,
    #[serde(default)]
    pub(super) os: String,
    #[serde(default)]
    pub(super) config: Option<ImageConfig>,
    pub(super) rootfs: RootFs,
}

#[derive(Debug, Clone, Deserialize)]
pub(super) struct RootFs {
    /// Digests of the uncompressed layers, bottom first.
    #[serde(default, deserialize_with = "null_is_default")]
    pub(super) diff_ids: Vec<String>,
}

/// A pointer to a blob.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Descriptor {
    #[serde(default)]
    pub(super) media_type: String,
    pub(super) digest: String,
    #[serde(default)]
    pub(super) platform: Option<Platform>,
    #[serde(default, deserialize_with = "null_is_default")]
    pub(super) annotations: BTreeMap<String, String>,
}

#[derive(Debug, Clone, Deserialize)]
pub(super) struct Platform {
    #[serde(default)]
    pub(super) architecture: String,
    #[serde(default)]
    pub(super) os: String,
}

/// `index.json`, or an image index blob.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Index {
    #[serde(default)]
    pub(super) manifests: Vec<Descriptor>,
}

/// An image manifest.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Manifest {
    pub(super) config: Descriptor,
    #[serde(default)]
    pub(super) layers: Vec<Descriptor>,
}

/// One image of `docker save`'s manifest.json.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct DockerManifest {
    pub(super) config: String,
    #[serde(default, deserialize_with = "null_is_default")]
    pub(super) repo_tags: Vec<String>,
    #[serde(default, deserialize_with = "null_is_default")]
    pub(super) layers: Vec<String>,
}

fn null_is_default<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: serde::Deserializer<'de>,
    T: Deserialize<'de> + Default,
{
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}
