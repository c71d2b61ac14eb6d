//! Metadata: names, labels, annotations, owners, finalizers.

use serde_json::json;

use super::{
    IMMUTABLE,
    at::At,
    checks::{labels, named, required},
    error::FieldError,
    names,
};
use crate::resource::Resource;

/// Most bytes of all annotations together.
const ANNOTATION_BYTES_MAX: usize = 256 << 10;
const STANDARD_FINALIZERS: [&str; 4] = [
    "customresourcecleanup.apiextensions.k8s.io",
    "foregroundDeletion",
    "kubernetes",
    "orphan",
];

pub(super) fn create(resource: &Resource, root: &At<'_>, errors: &mut Vec<FieldError>) {
    let meta = root.field("metadata");
    let check = name_check(resource);
    let generate = meta.field("generateName");
    if !generate.is_empty() {
        // The generated part follows, so that a dash at the end is no fault.
        let base = generate.text();
        let whole = base
            .strip_suffix('-')
            .map_or_else(|| base.to_owned(), |stem| format!("{stem}a"));
        if let Err(reason) = check(&whole) {
            errors.push(FieldError::invalid(generate.path.clone(), base, reason));
        }
    }
    let name = meta.field("name");
    if name.is_empty() {
        errors.push(name.required("name or generateName is required"));
    } else {
        named(&name, check, errors);
    }
    let namespace = meta.field("namespace");
    if resource.is_namespaced() {
        if required(&namespace, errors) {
            named(&namespace, names::dns_label, errors);
        }
    } else if !namespace.is_empty() {
        errors.push(namespace.forbidden("not allowed on this type"));
    }
    changeable(&meta, errors);
}

pub(super) fn update(_resource: &Resource, root: &At<'_>, before: &At<'_>, errors: &mut Vec<FieldError>) {
    let (meta, old) = (root.field("metadata"), before.field("metadata"));
    for field in [
        "name",
        "namespace",
        "uid",
        "creationTimestamp",
        "deletionTimestamp",
        "deletionGracePeriodSeconds",
    ] {
        let (new, old) = (meta.field(field), old.field(field));
        if new.value != old.value {
            errors.push(new.invalid(IMMUTABLE));
        }
    }
    let (generation, was) = (meta.field("generation"), old.field("generation"));
    if generation.number() < was.number() {
        let reason = "must not be decremented";
        errors.push(generation.invalid(reason));
    }
    changeable(&meta, errors);
}

/// Labels and annotations of a pod template.
pub(super) fn template(meta: &At<'_>, errors: &mut Vec<FieldError>) {
    labels(&meta.field("labels"), errors);
    annotations(&meta.field("annotations"), errors);
}

fn changeable(meta: &At<'_>, errors: &mut Vec<FieldError>) {
    template(meta, errors);
    owners(&meta.field("ownerReferences"), errors);
    for finalizer in meta.field("finalizers").items() {
        let text = finalizer.text();
        if named(&finalizer, names::label_key, errors) && !text.contains('/') && !STANDARD_FINALIZERS.contains(&text) {
            let reason = "name is neither a standard finalizer name nor is it fully qualified";
            errors.push(FieldError::invalid(finalizer.path.clone(), text, reason));
        }
    }
}

fn annotations(at: &At<'_>, errors: &mut Vec<FieldError>) {
    let mut bytes = 0;
    for (key, value) in at.map().into_iter().flatten() {
        // Keys may be written in capitals, but their prefix is a domain.
        if let Err(reason) = names::label_key(&key.to_lowercase()) {
            errors.push(FieldError::invalid(at.path.clone(), key.as_str(), reason));
        }
        bytes += key.len() + value.as_str().map_or(0, str::len);
    }
    if bytes > ANNOTATION_BYTES_MAX {
        errors.push(FieldError::too_long(at.path.clone(), ANNOTATION_BYTES_MAX));
    }
}

fn owners(at: &At<'_>, errors: &mut Vec<FieldError>) {
    let mut controller: Option<&str> = None;
    for owner in at.items() {
        for (field, reason) in [
            ("apiVersion", "version must not be empty"),
            ("kind", "kind must not be empty"),
            ("name", "name must not be empty"),
            ("uid", "uid must not be empty"),
        ] {
            let value = owner.field(field);
            if value.is_empty() {
                errors.push(FieldError::invalid(value.path.clone(), json!(""), reason));
            }
        }
        if owner.field("controller").is_true() {
            let name = owner.field("name").text();
            if let Some(first) = controller {
                let reason = format!(
                    "Only one reference can have Controller set to true. Found \"true\" in references for {first} and \
                     {name}"
                );
                errors.push(at.invalid(reason));
            } else {
                controller = Some(name);
            }
        }
    }
}

fn name_check(resource: &Resource) -> fn(&str) -> Result<(), String> {
    match (resource.group, resource.kind) {
        ("", "Namespace") => names::dns_label,
        ("", "Service") => names::dns_1035_label,
        // The name says what the object is about, and is checked with that.
        ("apiregistration.k8s.io", "APIService") | ("networking.k8s.io", "IPAddress") => |_| Ok(()),
        ("apps", "StatefulSet") => names::dns_label,
        ("", "Event") | ("policy", "PodDisruptionBudget") | ("rbac.authorization.k8s.io", _) => names::path_segment,
        _ => names::dns_subdomain,
    }
}
