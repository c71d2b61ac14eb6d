//! `certificates.k8s.io`: requests of certificates, their approval and their issue.
//!
//! Never here: the contents of the request beyond its envelope; its signer looks at those.
//! Source: `pkg/apis/certificates/validation` of Kubernetes, by behaviour.

use std::collections::HashSet;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::Value;

use super::{at::At, checks::required, error::FieldError, names};

const USAGES: [&str; 23] = [
    "any",
    "cert sign",
    "client auth",
    "code signing",
    "content commitment",
    "crl sign",
    "data encipherment",
    "decipher only",
    "digital signature",
    "email protection",
    "encipher only",
    "ipsec end system",
    "ipsec tunnel",
    "ipsec user",
    "key agreement",
    "key encipherment",
    "microsoft sgc",
    "netscape sgc",
    "ocsp signing",
    "s/mime",
    "server auth",
    "signing",
    "timestamping",
];
const EXPIRATION_MIN_S: i64 = 600;
const SIGNER_BYTES_MAX: usize = 253 + 1 + 253;
const BEGIN: &str = "-----BEGIN CERTIFICATE REQUEST-----";
const END: &str = "-----END CERTIFICATE REQUEST-----";

pub(super) fn create(root: &At<'_>, errors: &mut Vec<FieldError>) {
    let spec = root.field("spec");
    let request = spec.field("request");
    if let Err(reason) = envelope(request.text()) {
        errors.push(request.invalid(reason));
    }
    let usages = spec.field("usages");
    required(&usages, errors);
    let mut seen: HashSet<&str> = HashSet::new();
    for usage in usages.items() {
        if !USAGES.contains(&usage.text()) {
            errors.push(usage.not_supported(&USAGES));
        }
        if !seen.insert(usage.text()) {
            errors.push(usage.duplicate());
        }
    }
    let signer = spec.field("signerName");
    if signer.text() == "kubernetes.io/legacy-unknown" {
        errors.push(signer.invalid("the legacy signerName is not allowed via this API version"));
    } else if required(&signer, errors) {
        signer_name(&signer, errors);
    }
    let seconds = spec.field("expirationSeconds");
    if let Some(given) = seconds.number().filter(|given| *given < EXPIRATION_MIN_S) {
        let reason = "may not specify a duration less than 600 seconds (10 minutes)";
        errors.push(FieldError::invalid(seconds.path.clone(), given, reason));
    }
    conditions(&root.field("status").field("conditions"), errors);
}

/// What a request asks for does not change; how far it is does, and a decision stays.
pub(super) fn update(root: &At<'_>, before: &At<'_>, errors: &mut Vec<FieldError>) {
    let (list, old) = (
        root.field("status").field("conditions"),
        before.field("status").field("conditions"),
    );
    conditions(&list, errors);
    for kind in ["Approved", "Denied", "Failed"] {
        let of = |list: &At<'_>| -> Vec<Value> {
            let items = list.value.as_array().into_iter().flatten();
            items.filter(|condition| condition["type"] == kind).cloned().collect()
        };
        let (new, was) = (of(&list), of(&old));
        if !was.is_empty() && new.is_empty() {
            errors.push(list.forbidden(format!("updates may not remove a condition of type {kind:?}")));
        }
    }
    let (new, was) = (
        root.field("status").field("certificate"),
        before.field("status").field("certificate"),
    );
    if !was.is_empty() && new.value != was.value {
        errors
            .push(new.forbidden("updates may not set certificate content if existing certificate content is present"));
    }
}

fn envelope(request: &str) -> Result<(), String> {
    let text = STANDARD
        .decode(request)
        .ok()
        .and_then(|bytes| String::from_utf8(bytes).ok());
    let Some(text) = text else {
        return Err("PEM block type must be CERTIFICATE REQUEST".to_owned());
    };
    let inside = text
        .split_once(BEGIN)
        .and_then(|(_, rest)| rest.split_once(END))
        .map(|(inside, _)| inside);
    let Some(inside) = inside else {
        return Err("PEM block type must be CERTIFICATE REQUEST".to_owned());
    };
    let body: String = inside.split_whitespace().collect();
    match STANDARD.decode(body) {
        // A request is a sequence.
        Ok(der) if der.first() == Some(&0x30) => Ok(()),
        _ => Err("asn1: structure error: malformed certificate request".to_owned()),
    }
}

/// `example.com/signer-name`, the path in as many parts as there need be, each with dots between words.
fn signer_name(at: &At<'_>, errors: &mut Vec<FieldError>) {
    let Some((domain, path)) = at.text().split_once('/') else {
        let reason = "must be a fully qualified domain and path of the form 'example.com/signer-name'";
        errors.push(at.invalid(reason));
        return;
    };
    if let Err(reason) = names::dns_subdomain(domain) {
        errors.push(at.invalid(format!("validating label {domain:?}: {reason}")));
    } else if !domain.contains('.') {
        errors.push(at.invalid("should be a domain with at least two segments separated by dots"));
    }
    if let Err(reason) = names::dns_subdomain(path) {
        errors.push(at.invalid(format!("validating label {path:?}: {reason}")));
    }
    if at.text().len() > SIGNER_BYTES_MAX {
        errors.push(FieldError::too_long(at.path.clone(), SIGNER_BYTES_MAX));
    }
}

fn conditions(list: &At<'_>, errors: &mut Vec<FieldError>) {
    let mut seen: HashSet<&str> = HashSet::new();
    for condition in list.items() {
        let kind = condition.field("type");
        required(&kind, errors);
        let status = condition.field("status");
        match (kind.text(), status.text()) {
            (_, "") => errors.push(status.required("")),
            ("Approved" | "Denied" | "Failed", "True") => {}
            ("Approved" | "Denied" | "Failed", _) => errors.push(status.not_supported(&["True"])),
            (_, "True" | "False" | "Unknown") => {}
            _ => errors.push(status.not_supported(&["False", "True", "Unknown"])),
        }
        if !seen.insert(kind.text()) {
            errors.push(kind.duplicate());
        }
    }
    let other = match (seen.contains("Approved"), seen.contains("Denied")) {
        (true, true) => "Denied",
        _ => return,
    };
    let reason = "Approved and Denied conditions are mutually exclusive";
    errors.push(FieldError::invalid(list.path.clone(), other, reason));
}
