//! The files that a configMap, secret, downwardAPI or projected volume should hold now.
//!
//! Pure, but for reading the objects. Source: Kubernetes documentation, "Projected Volumes".

use std::{
    collections::BTreeMap,
    path::{Component, Path, PathBuf},
};

use api::k8s_openapi::api::core::v1::{ConfigMap, DownwardAPIVolumeFile, KeyToPath, Secret, Volume, VolumeProjection};

use super::{Sources, VolumeError};
use crate::pods::{
    fields::{field, resource_field},
    tokens::{self, Answer},
};

/// The mode of a file whose volume says nothing.
const MODE_DEFAULT: u32 = 0o644;

/// One file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct File {
    pub(super) bytes: Vec<u8>,
    pub(super) mode: u32,
}

/// By path relative to the volume.
pub(super) type Files = BTreeMap<PathBuf, File>;

/// What the volume should hold.
pub(super) fn files(sources: &Sources<'_>, volume: &Volume) -> Result<Files, VolumeError> {
    let mut files = Files::new();
    if let Some(source) = &volume.config_map {
        let selection = Selection {
            name: &source.name,
            items: source.items.as_deref(),
            optional: source.optional == Some(true),
            mode: mode(source.default_mode),
        };
        config_map(sources, &selection, &mut files)?;
    }
    if let Some(source) = &volume.secret {
        let selection = Selection {
            name: source.secret_name.as_deref().unwrap_or_default(),
            items: source.items.as_deref(),
            optional: source.optional == Some(true),
            mode: mode(source.default_mode),
        };
        secret(sources, &selection, &mut files)?;
    }
    if let Some(source) = &volume.downward_api {
        downward(sources, source.items.as_deref(), mode(source.default_mode), &mut files)?;
    }
    if let Some(source) = &volume.projected {
        for projection in source.sources.iter().flatten() {
            projected(sources, projection, mode(source.default_mode), &mut files)?;
        }
    }
    Ok(files)
}

fn projected(
    sources: &Sources<'_>,
    projection: &VolumeProjection,
    mode: u32,
    files: &mut Files,
) -> Result<(), VolumeError> {
    if projection.cluster_trust_bundle.is_some() || projection.pod_certificate.is_some() {
        return Err(VolumeError::Unsupported);
    }
    if let Some(source) = &projection.service_account_token {
        let key = tokens::key(sources.pod, source.audience.as_deref(), source.expiration_seconds);
        match sources.objects.token(&key) {
            Some(Answer::Is { text, .. }) => put(files, &source.path, text.as_bytes(), mode)?,
            Some(Answer::Refused(_)) | None => return Err(VolumeError::NoToken),
        }
    }
    if let Some(source) = &projection.config_map {
        let selection = Selection {
            name: &source.name,
            items: source.items.as_deref(),
            optional: source.optional == Some(true),
            mode,
        };
        config_map(sources, &selection, files)?;
    }
    if let Some(source) = &projection.secret {
        let selection = Selection {
            name: &source.name,
            items: source.items.as_deref(),
            optional: source.optional == Some(true),
            mode,
        };
        secret(sources, &selection, files)?;
    }
    if let Some(source) = &projection.downward_api {
        downward(sources, source.items.as_deref(), mode, files)?;
    }
    Ok(())
}

/// Which keys of which object.
struct Selection<'a> {
    name: &'a str,
    items: Option<&'a [KeyToPath]>,
    optional: bool,
    mode: u32,
}

fn config_map(sources: &Sources<'_>, selection: &Selection<'_>, files: &mut Files) -> Result<(), VolumeError> {
    match sources.objects.config_map(namespace(sources), selection.name) {
        Some(object) => select(selection, "configmap", &config_map_data(&object), files),
        None if selection.optional => Ok(()),
        None => Err(VolumeError::ConfigMap(selection.name.to_owned())),
    }
}

fn secret(sources: &Sources<'_>, selection: &Selection<'_>, files: &mut Files) -> Result<(), VolumeError> {
    match sources.objects.secret(namespace(sources), selection.name) {
        Some(object) => select(selection, "secret", &secret_data(&object), files),
        None if selection.optional => Ok(()),
        None => Err(VolumeError::Secret(selection.name.to_owned())),
    }
}

fn config_map_data(object: &ConfigMap) -> BTreeMap<&str, &[u8]> {
    let text = object.data.iter().flatten();
    let binary = object.binary_data.iter().flatten();
    text.map(|(key, value)| (key.as_str(), value.as_bytes()))
        .chain(binary.map(|(key, value)| (key.as_str(), value.0.as_slice())))
        .collect()
}

fn secret_data(object: &Secret) -> BTreeMap<&str, &[u8]> {
    let data = object.data.iter().flatten();
    data.map(|(key, value)| (key.as_str(), value.0.as_slice())).collect()
}

fn select(
    selection: &Selection<'_>,
    kind: &'static str,
    data: &BTreeMap<&str, &[u8]>,
    files: &mut Files,
) -> Result<(), VolumeError> {
    let Some(items) = selection.items.filter(|items| !items.is_empty()) else {
        for (key, bytes) in data {
            put(files, key, bytes, selection.mode)?;
        }
        return Ok(());
    };
    for item in items {
        match data.get(item.key.as_str()) {
            Some(bytes) => {
                let mode = item.mode.map_or(selection.mode, |own| mode(Some(own)));
                put(files, &item.path, bytes, mode)?;
            }
            None if selection.optional => {}
            None => {
                return Err(VolumeError::Key {
                    kind,
                    name: selection.name.to_owned(),
                    key: item.key.clone(),
                });
            }
        }
    }
    Ok(())
}

fn downward(
    sources: &Sources<'_>,
    items: Option<&[DownwardAPIVolumeFile]>,
    default_mode: u32,
    files: &mut Files,
) -> Result<(), VolumeError> {
    for item in items.into_iter().flatten() {
        let value = match (&item.field_ref, &item.resource_field_ref) {
            (Some(reference), _) => field(sources.pod, sources.facts, &reference.field_path)?,
            (None, Some(reference)) => resource_field(sources.pod, sources.facts, None, reference)?,
            (None, None) => String::new(),
        };
        let mode = item.mode.map_or(default_mode, |own| mode(Some(own)));
        put(files, &item.path, value.as_bytes(), mode)?;
    }
    Ok(())
}

fn put(files: &mut Files, path: &str, bytes: &[u8], mode: u32) -> Result<(), VolumeError> {
    let path = Path::new(path);
    let plain = path
        .components()
        .all(|component| matches!(component, Component::Normal(name) if !name.to_string_lossy().starts_with("..")));
    if !plain || path.as_os_str().is_empty() {
        return Err(VolumeError::Escapes(path.display().to_string()));
    }
    let file = File {
        bytes: bytes.to_owned(),
        mode,
    };
    files.insert(path.to_owned(), file);
    Ok(())
}

fn namespace<'a>(sources: &Sources<'a>) -> &'a str {
    sources.pod.metadata.namespace.as_deref().unwrap_or_default()
}

fn mode(value: Option<i32>) -> u32 {
    value
        .and_then(|value| u32::try_from(value).ok())
        .map_or(MODE_DEFAULT, |value| value & 0o777)
}
