//! CustomResourceDefinitions: names, versions, subresources, columns. Their schemas are in `schema`.
//!
//! Source: `apiextensions-apiserver/pkg/apis/apiextensions/validation`, by behaviour.

mod schema;

use std::collections::BTreeSet;

use super::{
    admission::{ca_bundle, client_config, review_versions},
    at::At,
    checks::{one_of, required},
    error::FieldError,
    names,
};
use crate::custom::{Path, is_established};

/// Most fields by which objects may be selected.
const SELECTABLE_FIELDS_MAX: usize = 8;
const COLUMN_TYPES: [&str; 5] = ["boolean", "date", "integer", "number", "string"];
const COLUMN_FORMATS: [&str; 10] = [
    "binary",
    "bytes",
    "date",
    "date-time",
    "double",
    "float",
    "int32",
    "int64",
    "password",
    "byte",
];
const APPROVAL: &str = "api-approved.kubernetes.io";

pub(super) fn create(root: &At<'_>, errors: &mut Vec<FieldError>) {
    let spec = root.field("spec");
    let (group, plural) = (spec.field("group").text(), spec.field("names").field("plural").text());
    let name = root.field("metadata").field("name");
    if name.text() != format!("{plural}.{group}") {
        errors.push(name.invalid("must be spec.names.plural+\".\"+spec.group"));
    }
    definition(&spec, errors);
    approval(root, group, errors);
}

pub(super) fn update(root: &At<'_>, before: &At<'_>, errors: &mut Vec<FieldError>) {
    let (spec, old) = (root.field("spec"), before.field("spec"));
    definition(&spec, errors);
    let mut same = |new: At<'_>, old: At<'_>| {
        if new.value != old.value {
            errors.push(new.invalid(super::IMMUTABLE));
        }
    };
    if is_established(before.value) {
        same(spec.field("scope"), old.field("scope"));
        same(spec.field("names").field("kind"), old.field("names").field("kind"));
    }
    same(spec.field("group"), old.field("group"));
    same(spec.field("names").field("plural"), old.field("names").field("plural"));
    let known: BTreeSet<&str> = spec
        .field("versions")
        .items()
        .map(|version| version.field("name").text())
        .collect();
    for stored in root.field("status").field("storedVersions").items() {
        if !known.contains(stored.text()) {
            errors.push(stored.invalid("must appear in spec.versions"));
        }
    }
}

fn definition(spec: &At<'_>, errors: &mut Vec<FieldError>) {
    let group = spec.field("group");
    if required(&group, errors) {
        match names::dns_subdomain(group.text()) {
            Err(reason) => errors.push(group.invalid(reason)),
            Ok(()) if !group.text().contains('.') => {
                errors.push(group.invalid("should be a domain with at least one dot"))
            }
            Ok(()) => {}
        }
    }
    one_of(&spec.field("scope"), &["Cluster", "Namespaced"], errors);
    versions(&spec.field("versions"), errors);
    kind_names(&spec.field("names"), errors);
    conversion(&spec.field("conversion"), errors);
    if spec.field("preserveUnknownFields").is_true() {
        let field = spec.field("preserveUnknownFields");
        let reason = "cannot set to true, set x-kubernetes-preserve-unknown-fields to true in \
                      spec.versions[*].schema instead";
        errors.push(field.invalid(reason));
    }
}

fn versions(list: &At<'_>, errors: &mut Vec<FieldError>) {
    if list.count() == 0 {
        errors.push(list.required("must have at least one version"));
        return;
    }
    let mut seen = BTreeSet::new();
    let (mut is_unique, mut stored) = (true, 0);
    for version in list.items() {
        let name = version.field("name");
        if let Err(reason) = names::dns_1035_label(name.text()) {
            errors.push(name.invalid(reason));
        }
        is_unique &= seen.insert(name.text());
        stored += usize::from(version.field("storage").is_true());
        self::version(&version, errors);
    }
    if !is_unique {
        errors.push(list.invalid("must contain unique version names"));
    }
    if stored != 1 {
        errors.push(list.invalid("must have exactly one version marked as storage version"));
    }
}

fn version(at: &At<'_>, errors: &mut Vec<FieldError>) {
    let declared = at.field("schema").field("openAPIV3Schema");
    if declared.is_set() {
        schema::root(&declared, errors);
    } else {
        errors.push(declared.required("schemas are required"));
    }
    let warning = at.field("deprecationWarning");
    if warning.is_set() && !at.field("deprecated").is_true() {
        errors.push(warning.invalid("can only be set for deprecated versions"));
    }
    for column in at.field("additionalPrinterColumns").items() {
        self::column(&column, errors);
    }
    let fields = at.field("selectableFields");
    if fields.count() > SELECTABLE_FIELDS_MAX {
        errors.push(FieldError::too_many(
            fields.path.clone(),
            fields.count(),
            SELECTABLE_FIELDS_MAX,
        ));
    }
    for field in fields.items() {
        let path = field.field("jsonPath");
        if required(&path, errors) {
            selectable(&declared, &path, errors);
        }
    }
    let scale = at.field("subresources").field("scale");
    if scale.is_set() {
        replicas_path(&scale.field("specReplicasPath"), &[".spec."], errors);
        replicas_path(&scale.field("statusReplicasPath"), &[".status."], errors);
        let selector = scale.field("labelSelectorPath");
        if !selector.is_empty() {
            replicas_path(&selector, &[".spec.", ".status."], errors);
        }
    }
}

fn column(at: &At<'_>, errors: &mut Vec<FieldError>) {
    required(&at.field("name"), errors);
    one_of(&at.field("type"), &COLUMN_TYPES, errors);
    let format = at.field("format");
    if !format.is_empty() && !COLUMN_FORMATS.contains(&format.text()) {
        errors.push(format.not_supported(&COLUMN_FORMATS));
    }
    let path = at.field("jsonPath");
    if !required(&path, errors) {
        return;
    }
    if !path.text().starts_with('.') {
        errors.push(path.invalid("must be a simple json path starting with ."));
    } else if let Err(reason) = Path::parse(path.text()) {
        errors.push(path.invalid(format!("is an invalid jsonpath: {reason}")));
    }
}

/// The path leads through properties of the schema to a value that can be compared as text.
fn selectable(declared: &At<'_>, path: &At<'_>, errors: &mut Vec<FieldError>) {
    let fields = Path::parse(path.text()).ok().filter(|_| path.text().starts_with('.'));
    let Some(fields) = fields.as_ref().and_then(Path::fields) else {
        errors.push(path.invalid("is an invalid path: must be a simple json path starting with ."));
        return;
    };
    if fields.first() == Some(&"metadata") {
        errors.push(path.invalid("must not point to fields in metadata"));
        return;
    }
    let target = fields
        .iter()
        .try_fold(declared.value, |schema, field| schema.get("properties")?.get(*field));
    match target.map(|schema| schema["type"].as_str().unwrap_or_default()) {
        None => errors.push(path.invalid("is an invalid path: does not refer to a valid field")),
        Some("boolean" | "integer" | "string") => {}
        Some(_) => errors.push(path.invalid("must point to a field of type string, boolean or integer. Enum string fields and strings with formats are allowed.")),
    }
}

fn replicas_path(at: &At<'_>, roots: &[&str], errors: &mut Vec<FieldError>) {
    if !required(at, errors) {
        return;
    }
    let path = Path::parse(at.text());
    if path.as_ref().ok().and_then(Path::fields).is_none() || !at.text().starts_with('.') {
        errors.push(at.invalid("must be a json path without array notation"));
    } else if !roots.iter().any(|root| at.text().starts_with(root)) {
        let parents: Vec<&str> = roots.iter().map(|root| root.trim_end_matches('.')).collect();
        let reason = format!("should be a json path under {}", parents.join(" or "));
        errors.push(at.invalid(reason));
    }
}

fn kind_names(at: &At<'_>, errors: &mut Vec<FieldError>) {
    let plural = at.field("plural");
    if required(&plural, errors) {
        word(&plural, errors);
    }
    if !at.field("singular").is_empty() {
        word(&at.field("singular"), errors);
    }
    for kind in [at.field("kind"), at.field("listKind")] {
        if required(&kind, errors)
            && let Err(reason) = names::dns_1035_label(&kind.text().to_lowercase())
        {
            errors.push(kind.invalid(format!("may have mixed case, but should otherwise match: {reason}")));
        }
    }
    if at.field("kind").text() == at.field("listKind").text() && !at.field("kind").is_empty() {
        errors.push(at.field("listKind").invalid("kind and listKind may not be the same"));
    }
    for list in ["shortNames", "categories"] {
        at.field(list).items().for_each(|name| word(&name, errors));
    }
}

fn word(at: &At<'_>, errors: &mut Vec<FieldError>) {
    if let Err(reason) = names::dns_1035_label(at.text()) {
        errors.push(at.invalid(reason));
    }
}

fn conversion(at: &At<'_>, errors: &mut Vec<FieldError>) {
    if !at.is_set() {
        return;
    }
    let (strategy, webhook) = (at.field("strategy"), at.field("webhook"));
    one_of(&strategy, &["None", "Webhook"], errors);
    if strategy.text() != "Webhook" {
        if webhook.is_set() {
            errors.push(webhook.forbidden("should not be set when strategy is not set to Webhook"));
        }
        return;
    }
    let config = webhook.field("clientConfig");
    if config.is_set() {
        client_config(&config, errors);
        ca_bundle(&config.field("caBundle"), errors);
    } else {
        errors.push(config.required("required when strategy is set to Webhook"));
    }
    review_versions(&webhook.field("conversionReviewVersions"), errors);
}

/// Groups below `k8s.io` and `kubernetes.io` belong to Kubernetes: who defines kinds there says who agreed.
fn approval(root: &At<'_>, group: &str, errors: &mut Vec<FieldError>) {
    let is_protected = ["k8s.io", "kubernetes.io"]
        .iter()
        .any(|owner| group == *owner || group.ends_with(&format!(".{owner}")));
    if !is_protected {
        return;
    }
    let annotations = root.field("metadata").field("annotations");
    let given = annotations
        .value
        .get(APPROVAL)
        .and_then(serde_json::Value::as_str)
        .unwrap_or_default();
    let path = format!("metadata.annotations[{APPROVAL}]");
    if given.is_empty() {
        let reason = "protected groups must have approval annotation \"api-approved.kubernetes.io\", see \
                      https://github.com/kubernetes/enhancements/pull/1111";
        errors.push(FieldError::required(path, reason));
    } else if !given.starts_with("unapproved") && !given.contains("://") {
        let reason = "protected groups must have approval annotation \"api-approved.kubernetes.io\" with either a URL \
                      or a reason starting with \"unapproved\", see \
                      https://github.com/kubernetes/enhancements/pull/1111";
        errors.push(FieldError::invalid(path, given, reason));
    }
}
