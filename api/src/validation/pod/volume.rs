//! Volumes.

use std::collections::BTreeSet;

use serde_json::json;

use super::container::{FieldPlace, field_path, resource_field};
use crate::{
    quantity::Quantity,
    validation::{
        at::At,
        checks::{named, no_upward_path, one_of_if_set, relative_path, required},
        error::FieldError,
        metadata, names, volumes,
    },
};

/// Names of the volumes of a pod.
pub(super) type Volumes<'a> = BTreeSet<&'a str>;

const HOST_PATH_TYPES: [&str; 8] = [
    "",
    "BlockDevice",
    "CharDevice",
    "Directory",
    "DirectoryOrCreate",
    "File",
    "FileOrCreate",
    "Socket",
];
const MODE_MAX: i64 = 0o777;

pub(super) fn volumes<'a>(list: &At<'a>, errors: &mut Vec<FieldError>) -> Volumes<'a> {
    let mut volumes = Volumes::new();
    for volume in list.items() {
        let name = volume.field("name");
        if required(&name, errors) && named(&name, names::dns_label, errors) && !volumes.insert(name.text()) {
            errors.push(name.duplicate());
        }
        source(&volume, errors);
    }
    volumes
}

fn source(volume: &At<'_>, errors: &mut Vec<FieldError>) {
    let mut count = 0;
    for (kind, value) in volume.map().into_iter().flatten() {
        if kind == "name" || value.is_null() {
            continue;
        }
        count += 1;
        let at = volume.field(kind);
        if count > 1 {
            let reason = "may not specify more than 1 volume type";
            errors.push(at.forbidden(reason));
            continue;
        }
        match kind.as_str() {
            "configMap" => {
                required(&at.field("name"), errors);
                keys_to_paths(&at, errors);
            }
            "csi" => {
                required(&at.field("driver"), errors);
            }
            "downwardAPI" => downward(&at, errors),
            "emptyDir" => empty_dir(&at, errors),
            "ephemeral" => ephemeral(&at, errors),
            "hostPath" => host_path(&at, errors),
            "image" => one_of_if_set(&at.field("pullPolicy"), &["Always", "IfNotPresent", "Never"], errors),
            "nfs" => nfs(&at, errors),
            "persistentVolumeClaim" => {
                required(&at.field("claimName"), errors);
            }
            "projected" => projected(&at, errors),
            "secret" => {
                required(&at.field("secretName"), errors);
                keys_to_paths(&at, errors);
            }
            _ => {}
        }
    }
    if count == 0 {
        errors.push(volume.required("must specify a volume type"));
    }
}

/// A volume that comes and goes with the pod, by the claim that it brings along.
fn ephemeral(at: &At<'_>, errors: &mut Vec<FieldError>) {
    let claim = at.field("volumeClaimTemplate");
    if required(&claim, errors) {
        metadata::template(&claim.field("metadata"), errors);
        volumes::claim_spec(&claim.field("spec"), errors);
    }
}

fn empty_dir(at: &At<'_>, errors: &mut Vec<FieldError>) {
    let limit = at.field("sizeLimit");
    if Quantity::parse(limit.text()).is_ok_and(Quantity::is_negative) {
        errors.push(limit.forbidden("SizeLimit field must be a valid resource quantity"));
    }
    let medium = at.field("medium");
    if !matches!(medium.text(), "" | "Memory") && !medium.text().starts_with("HugePages") {
        errors.push(medium.not_supported(&["HugePages", "Memory"]));
    }
}

pub(in crate::validation) fn host_path(at: &At<'_>, errors: &mut Vec<FieldError>) {
    let path = at.field("path");
    if required(&path, errors) {
        no_upward_path(&path, errors);
    }
    let kind = at.field("type");
    if !HOST_PATH_TYPES.contains(&kind.text()) {
        errors.push(kind.not_supported(&HOST_PATH_TYPES));
    }
}

pub(in crate::validation) fn nfs(at: &At<'_>, errors: &mut Vec<FieldError>) {
    required(&at.field("server"), errors);
    let path = at.field("path");
    if required(&path, errors) && !path.text().starts_with('/') {
        errors.push(path.invalid("must be an absolute path"));
    }
}

fn projected(at: &At<'_>, errors: &mut Vec<FieldError>) {
    mode(&at.field("defaultMode"), errors);
    for source in at.field("sources").items() {
        let mut count = 0;
        for (kind, value) in source.map().into_iter().flatten() {
            if value.is_null() {
                continue;
            }
            count += 1;
            let at = source.field(kind);
            if count > 1 {
                let reason = "may not specify more than 1 volume type per source";
                errors.push(at.forbidden(reason));
                continue;
            }
            match kind.as_str() {
                "configMap" | "secret" => {
                    required(&at.field("name"), errors);
                    keys_to_paths(&at, errors);
                }
                "downwardAPI" => downward(&at, errors),
                "serviceAccountToken" => token(&at, errors),
                _ => {}
            }
        }
        if count == 0 {
            errors.push(source.required(""));
        }
    }
}

/// A token lives for ten minutes at least.
fn token(at: &At<'_>, errors: &mut Vec<FieldError>) {
    let seconds = at.field("expirationSeconds");
    if seconds.number().is_some_and(|seconds| seconds < 600) {
        let reason = "may not specify a duration less than 10 minutes";
        errors.push(seconds.invalid(reason));
    }
    let path = at.field("path");
    if required(&path, errors) {
        relative_path(&path, errors);
    }
}

fn keys_to_paths(at: &At<'_>, errors: &mut Vec<FieldError>) {
    mode(&at.field("defaultMode"), errors);
    for item in at.field("items").items() {
        required(&item.field("key"), errors);
        let path = item.field("path");
        if required(&path, errors) {
            relative_path(&path, errors);
        }
        mode(&item.field("mode"), errors);
    }
}

fn downward(at: &At<'_>, errors: &mut Vec<FieldError>) {
    mode(&at.field("defaultMode"), errors);
    for item in at.field("items").items() {
        let path = item.field("path");
        if required(&path, errors) {
            relative_path(&path, errors);
        }
        let (field, resource) = (item.field("fieldRef"), item.field("resourceFieldRef"));
        match (field.is_set(), resource.is_set()) {
            (true, true) => {
                let reason = "fieldRef and resourceFieldRef can not be specified simultaneously";
                errors.push(FieldError::invalid(item.path.clone(), json!("resource"), reason));
            }
            (true, false) => field_path(&field.field("fieldPath"), FieldPlace::Volume, errors),
            (false, true) => {
                required(&resource.field("containerName"), errors);
                resource_field(&resource, errors);
            }
            (false, false) => {
                let reason = "one of fieldRef and resourceFieldRef is required";
                errors.push(item.required(reason));
            }
        }
        mode(&item.field("mode"), errors);
    }
}

fn mode(at: &At<'_>, errors: &mut Vec<FieldError>) {
    if let Some(mode) = at.number().filter(|mode| !(0..=MODE_MAX).contains(mode)) {
        let reason = "must be a number between 0 and 0777 (octal), both inclusive";
        errors.push(FieldError::invalid(at.path.clone(), mode, reason));
    }
}
