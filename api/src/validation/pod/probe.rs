//! Probes and lifecycle hooks.

use crate::validation::{
    at::At,
    checks::{named, not_negative, one_of, port_number, port_number_or_name, required},
    error::FieldError,
};

/// What a probe decides.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    Liveness,
    Readiness,
    Startup,
}

pub(super) fn probe(at: &At<'_>, purpose: Purpose, errors: &mut Vec<FieldError>) {
    if !at.is_set() {
        return;
    }
    handler(at, &["exec", "httpGet", "tcpSocket", "grpc"], errors);
    for field in [
        "initialDelaySeconds",
        "timeoutSeconds",
        "periodSeconds",
        "successThreshold",
        "failureThreshold",
    ] {
        not_negative(&at.field(field), errors);
    }
    let grace = at.field("terminationGracePeriodSeconds");
    if let Some(seconds) = grace.number() {
        if purpose == Purpose::Readiness {
            let reason = "must not be set for readinessProbes";
            errors.push(FieldError::invalid(grace.path.clone(), seconds, reason));
        } else if seconds <= 0 {
            errors.push(FieldError::invalid(
                grace.path.clone(),
                seconds,
                "must be greater than 0",
            ));
        }
    }
    let successes = at.field("successThreshold");
    if purpose != Purpose::Readiness && successes.number().is_some_and(|number| number > 1) {
        errors.push(successes.invalid("must be 1"));
    }
}

/// What runs after a container's start or before its end.
pub(super) fn hook(at: &At<'_>, errors: &mut Vec<FieldError>) {
    handler(at, &["exec", "httpGet", "tcpSocket", "sleep"], errors);
}

fn handler(at: &At<'_>, kinds: &[&str], errors: &mut Vec<FieldError>) {
    let mut count = 0;
    for kind in kinds {
        let handler = at.field(kind);
        if !handler.is_set() {
            continue;
        }
        count += 1;
        if count > 1 {
            let reason = "may not specify more than 1 handler type";
            errors.push(handler.forbidden(reason));
            continue;
        }
        match *kind {
            "exec" => {
                required(&handler.field("command"), errors);
            }
            "httpGet" => http_get(&handler, errors),
            "tcpSocket" => port_number_or_name(&handler.field("port"), errors),
            "grpc" => port_number(&handler.field("port"), errors),
            _ => not_negative(&handler.field("seconds"), errors),
        }
    }
    if count == 0 {
        errors.push(at.required("must specify a handler type"));
    }
}

fn http_get(at: &At<'_>, errors: &mut Vec<FieldError>) {
    required(&at.field("path"), errors);
    port_number_or_name(&at.field("port"), errors);
    one_of(&at.field("scheme"), &["HTTP", "HTTPS"], errors);
    for header in at.field("httpHeaders").items() {
        named(&header.field("name"), header_name, errors);
    }
}

fn header_name(text: &str) -> Result<(), String> {
    let is_valid = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    if is_valid {
        return Ok(());
    }
    Err(
        "a valid HTTP header must consist of alphanumeric characters or '-' (e.g. 'X-Header-Name', regex used for \
         validation is '[-A-Za-z0-9]+')"
            .to_owned(),
    )
}
