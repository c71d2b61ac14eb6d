//! Names: DNS labels and subdomains, label keys and values, environment variables, config keys.
//!
//! Each check gives the reason in Kubernetes' words, or nothing.

const LABEL_MAX: usize = 63;
const SUBDOMAIN_MAX: usize = 253;

const LABEL_MESSAGE: &str = "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', \
     and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', \
     regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')";
const SUBDOMAIN_MESSAGE: &str = "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, \
     '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', \
     regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')";
const LABEL_1035_MESSAGE: &str = "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start \
     with an alphabetic character, and end with an alphanumeric character (e.g. 'my-name',  or 'abc-123', \
     regex used for validation is '[a-z]([-a-z0-9]*[a-z0-9])?')";
const QUALIFIED_NAME_MESSAGE: &str = "must consist of alphanumeric characters, '-', '_' or '.', and must start and \
     end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', \
     regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')";
const LABEL_VALUE_MESSAGE: &str = "a valid label must be an empty string or consist of alphanumeric characters, '-', \
     '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', \
     regex used for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')";
const CONFIG_KEY_MESSAGE: &str = "a valid config key must consist of alphanumeric characters, '-', '_' or '.' \
     (e.g. 'key.name',  or 'KEY_NAME',  or 'key-name', regex used for validation is '[-._a-zA-Z0-9]+')";
const ENV_MESSAGE: &str = "a valid environment variable name must consist only of printable ASCII characters other \
     than '='";

/// A name such as a namespace's: lower case, digits and `-`, at most 63 bytes.
///
/// # Errors
/// The reason in Kubernetes' words.
pub fn dns_label(text: &str) -> Result<(), String> {
    length(text, LABEL_MAX)?;
    ensure(is_dns_label(text), LABEL_MESSAGE)
}

/// A name such as a pod's: DNS labels joined by `.`, at most 253 bytes.
///
/// # Errors
/// The reason in Kubernetes' words.
pub fn dns_subdomain(text: &str) -> Result<(), String> {
    length(text, SUBDOMAIN_MAX)?;
    ensure(text.split('.').all(is_dns_label), SUBDOMAIN_MESSAGE)
}

/// A name such as a service's: a DNS label that starts with a letter.
///
/// # Errors
/// The reason in Kubernetes' words.
pub fn dns_1035_label(text: &str) -> Result<(), String> {
    length(text, LABEL_MAX)?;
    ensure(
        is_dns_label(text) && text.starts_with(|c: char| c.is_ascii_lowercase()),
        LABEL_1035_MESSAGE,
    )
}

/// A name such as a role's: anything that can be one part of a URL's path.
///
/// # Errors
/// The reason in Kubernetes' words.
pub fn path_segment(text: &str) -> Result<(), String> {
    if [".", ".."].contains(&text) {
        return Err(format!("may not be '{text}'"));
    }
    match ['/', '%'].into_iter().find(|mark| text.contains(*mark)) {
        Some(mark) => Err(format!("may not contain '{mark}'")),
        None => Ok(()),
    }
}

/// A label's or annotation's key: `name` or `prefix/name`.
///
/// # Errors
/// The reason in Kubernetes' words.
pub fn label_key(text: &str) -> Result<(), String> {
    let (prefix, name) = match text.split_once('/') {
        None => (None, text),
        Some((_, rest)) if rest.contains('/') => {
            return Err(format!(
                "a qualified name {QUALIFIED_NAME_MESSAGE} with an optional DNS subdomain prefix and '/' \
                 (e.g. 'example.com/MyName')"
            ));
        }
        Some((prefix, name)) => (Some(prefix), name),
    };
    if let Some(prefix) = prefix {
        if prefix.is_empty() {
            return Err("prefix part must be non-empty".to_owned());
        }
        dns_subdomain(prefix).map_err(|reason| format!("prefix part {reason}"))?;
    }
    if name.is_empty() {
        return Err("name part must be non-empty".to_owned());
    }
    length(name, LABEL_MAX).map_err(|reason| format!("name part {reason}"))?;
    if !is_qualified(name) {
        return Err(format!("name part {QUALIFIED_NAME_MESSAGE}"));
    }
    Ok(())
}

/// A label's value: empty, or at most 63 bytes of letters, digits, `-`, `_`, `.`.
///
/// # Errors
/// The reason in Kubernetes' words.
pub fn label_value(text: &str) -> Result<(), String> {
    length(text, LABEL_MAX)?;
    ensure(text.is_empty() || is_qualified(text), LABEL_VALUE_MESSAGE)
}

/// A key in a ConfigMap's or Secret's data.
///
/// # Errors
/// The reason in Kubernetes' words.
pub fn config_key(text: &str) -> Result<(), String> {
    length(text, SUBDOMAIN_MAX)?;
    ensure(
        !text.is_empty()
            && text
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte)),
        CONFIG_KEY_MESSAGE,
    )?;
    match text {
        "." => Err("must not be '.'".to_owned()),
        ".." => Err("must not be '..'".to_owned()),
        _ if text.starts_with("..") => Err("must not start with '..'".to_owned()),
        _ => Ok(()),
    }
}

/// The name of an environment variable.
///
/// # Errors
/// The reason in Kubernetes' words.
pub fn env_name(text: &str) -> Result<(), String> {
    ensure(
        !text.is_empty() && text.bytes().all(|byte| (b' '..=b'~').contains(&byte) && byte != b'='),
        ENV_MESSAGE,
    )
}

/// The name of a port: at most 15 bytes, lower case, with a letter.
///
/// # Errors
/// The reason in Kubernetes' words.
pub fn port_name(text: &str) -> Result<(), String> {
    if text.len() > 15 {
        return Err("must be no more than 15 characters".to_owned());
    }
    if !text
        .bytes()
        .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
        || text.is_empty()
    {
        return Err("must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)".to_owned());
    }
    if !text.bytes().any(|byte| byte.is_ascii_lowercase()) {
        return Err("must contain at least one letter (a-z)".to_owned());
    }
    if text.contains("--") {
        return Err("must not contain consecutive hyphens".to_owned());
    }
    if text.starts_with('-') || text.ends_with('-') {
        return Err("must not begin or end with a hyphen".to_owned());
    }
    Ok(())
}

fn length(text: &str, bytes_max: usize) -> Result<(), String> {
    if text.len() > bytes_max {
        return Err(format!("must be no more than {bytes_max} bytes"));
    }
    Ok(())
}

fn ensure(holds: bool, reason: &str) -> Result<(), String> {
    if holds { Ok(()) } else { Err(reason.to_owned()) }
}

fn is_dns_label(text: &str) -> bool {
    let edge = |byte: Option<&u8>| byte.is_some_and(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
    edge(text.as_bytes().first())
        && edge(text.as_bytes().last())
        && text
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
}

fn is_qualified(text: &str) -> bool {
    let edge = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_alphanumeric);
    edge(text.as_bytes().first())
        && edge(text.as_bytes().last())
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
}
