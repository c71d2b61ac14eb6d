//! Config maps and secrets.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::Value;

use super::{at::At, checks::required, error::FieldError, names};

/// Most bytes of all values together.
const DATA_BYTES_MAX: usize = 1 << 20;
const FROZEN: &str = "field is immutable when `immutable` is set";

pub(super) fn config_map(root: &At<'_>, errors: &mut Vec<FieldError>) {
    let (data, binary) = (root.field("data"), root.field("binaryData"));
    let mut bytes = 0;
    for (key, value) in data.entries() {
        config_key(key, &value, errors);
        if binary.map().is_some_and(|binary| binary.contains_key(key)) {
            let reason = "duplicate of key present in binaryData";
            errors.push(FieldError::invalid(value.path.clone(), key, reason));
        }
        bytes += value.text().len();
    }
    for (key, value) in binary.entries() {
        config_key(key, &value, errors);
        bytes += decoded_bytes(value.text());
    }
    check_size(bytes, errors);
}

pub(super) fn secret(root: &At<'_>, errors: &mut Vec<FieldError>) {
    let data = root.field("data");
    let mut bytes = 0;
    for (key, value) in data.entries() {
        config_key(key, &value, errors);
        bytes += decoded_bytes(value.text());
    }
    check_size(bytes, errors);
    let has = |key: &str| data.map().is_some_and(|data| data.contains_key(key));
    let need = |key: &str, errors: &mut Vec<FieldError>| {
        if !has(key) {
            errors.push(FieldError::required(format!("{}[{key}]", data.path), ""));
        }
    };
    match root.field("type").text() {
        "kubernetes.io/service-account-token" => {
            let annotations = root.field("metadata").field("annotations");
            let key = "kubernetes.io/service-account.name";
            if annotations.field(key).is_empty() {
                errors.push(FieldError::required(format!("{}[{key}]", annotations.path), ""));
            }
        }
        "kubernetes.io/dockercfg" => docker(&data, ".dockercfg", errors),
        "kubernetes.io/dockerconfigjson" => docker(&data, ".dockerconfigjson", errors),
        "kubernetes.io/basic-auth" if !has("username") && !has("password") => {
            need("username", errors);
            need("password", errors);
        }
        "kubernetes.io/ssh-auth" if data.field("ssh-privatekey").is_empty() => {
            errors.push(FieldError::required(format!("{}[ssh-privatekey]", data.path), ""));
        }
        "kubernetes.io/tls" => {
            need("tls.crt", errors);
            need("tls.key", errors);
        }
        "" => {
            required(&root.field("type"), errors);
        }
        _ => {}
    }
}

/// What an object says of itself not to change does not change, nor does that it says so.
pub(super) fn immutable(new: &At<'_>, old: &At<'_>, fields: &[&str], errors: &mut Vec<FieldError>) {
    if !old.field("immutable").is_true() {
        return;
    }
    if !new.field("immutable").is_true() {
        errors.push(FieldError::forbidden("immutable", FROZEN));
    }
    for field in fields {
        let (new, old) = (new.field(field), old.field(field));
        if new.value != old.value && !(new.is_empty() && old.is_empty()) {
            errors.push(new.forbidden(FROZEN));
        }
    }
}

fn docker(data: &At<'_>, key: &str, errors: &mut Vec<FieldError>) {
    let value = data.field(key);
    let path = format!("{}[{key}]", data.path);
    if !value.is_set() {
        errors.push(FieldError::required(path, ""));
        return;
    }
    let is_json = STANDARD
        .decode(value.text())
        .is_ok_and(|bytes| serde_json::from_slice::<Value>(&bytes).is_ok_and(|value| value.is_object()));
    if !is_json {
        errors.push(FieldError::invalid(
            path,
            "<secret contents redacted>",
            "must be a JSON object",
        ));
    }
}

fn config_key(key: &str, value: &At<'_>, errors: &mut Vec<FieldError>) {
    if let Err(reason) = names::config_key(key) {
        errors.push(FieldError::invalid(value.path.clone(), key, reason));
    }
}

fn check_size(bytes: usize, errors: &mut Vec<FieldError>) {
    if bytes > DATA_BYTES_MAX {
        errors.push(FieldError::too_long("[]", DATA_BYTES_MAX));
    }
}

/// Bytes that base64 text stands for, to within two.
fn decoded_bytes(text: &str) -> usize {
    text.trim_end_matches('=').len() * 3 / 4
}
