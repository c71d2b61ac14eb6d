//! Checks that many fields share.

use std::{collections::HashSet, net::IpAddr};

use serde_json::Value;

use super::{at::At, error::FieldError, names};

pub(super) const PROTOCOLS: [&str; 3] = ["SCTP", "TCP", "UDP"];
const PORT_RANGE: &str = "must be between 1 and 65535, inclusive";
const PATH_UPWARD: &str = "must not contain '..'";

/// The field is there and not empty.
pub(super) fn required(at: &At<'_>, errors: &mut Vec<FieldError>) -> bool {
    if at.is_empty() {
        errors.push(at.required(""));
        return false;
    }
    true
}

/// The text passes a check of names.
pub(super) fn named(at: &At<'_>, check: fn(&str) -> Result<(), String>, errors: &mut Vec<FieldError>) -> bool {
    match check(at.text()) {
        Ok(()) => true,
        Err(reason) => {
            errors.push(at.invalid(reason));
            false
        }
    }
}

/// As [`named`], where there is something.
pub(super) fn named_if_set(at: &At<'_>, check: fn(&str) -> Result<(), String>, errors: &mut Vec<FieldError>) {
    if !at.text().is_empty() {
        named(at, check, errors);
    }
}

/// The text is there and one of these.
pub(super) fn one_of(at: &At<'_>, supported: &[&str], errors: &mut Vec<FieldError>) {
    if required(at, errors) && !supported.contains(&at.text()) {
        errors.push(at.not_supported(supported));
    }
}

/// As [`one_of`], where there is something.
pub(super) fn one_of_if_set(at: &At<'_>, supported: &[&str], errors: &mut Vec<FieldError>) {
    if !at.is_empty() {
        one_of(at, supported, errors);
    }
}

/// The number, if there is one, is not negative.
pub(super) fn not_negative(at: &At<'_>, errors: &mut Vec<FieldError>) {
    if let Some(number) = at.number().filter(|number| *number < 0) {
        let reason = "must be greater than or equal to 0";
        errors.push(FieldError::invalid(at.path.clone(), number, reason));
    }
}

/// The number, if there is one, is within bounds.
pub(super) fn within(at: &At<'_>, first: i64, last: i64, errors: &mut Vec<FieldError>) {
    if let Some(number) = at.number().filter(|number| !(first..=last).contains(number)) {
        let reason = format!("must be between {first} and {last}, inclusive");
        errors.push(FieldError::invalid(at.path.clone(), number, reason));
    }
}

/// The number is a port.
pub(super) fn port_number(at: &At<'_>, errors: &mut Vec<FieldError>) {
    let number = at.number().unwrap_or(0);
    if !(1..=65_535).contains(&number) {
        errors.push(FieldError::invalid(at.path.clone(), number, PORT_RANGE));
    }
}

/// A port's number or name.
pub(super) fn port_number_or_name(at: &At<'_>, errors: &mut Vec<FieldError>) {
    if at.value.is_string() {
        named(at, names::port_name, errors);
    } else {
        port_number(at, errors);
    }
}

/// The text is an IP address.
pub(super) fn ip_address(at: &At<'_>, errors: &mut Vec<FieldError>) -> Option<IpAddr> {
    match at.text().parse() {
        Ok(ip) => Some(ip),
        Err(_) => {
            let reason = "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)";
            errors.push(at.invalid(reason));
            None
        }
    }
}

/// A path that stays below where it starts.
pub(super) fn relative_path(at: &At<'_>, errors: &mut Vec<FieldError>) {
    if at.text().starts_with('/') {
        let reason = "must be a relative path";
        errors.push(at.invalid(reason));
    }
    no_upward_path(at, errors);
}

/// A path without `..` as a step.
pub(super) fn no_upward_path(at: &At<'_>, errors: &mut Vec<FieldError>) {
    if at.text().split('/').any(|step| step == "..") {
        errors.push(at.invalid(PATH_UPWARD));
    }
}

/// Keys and values of labels, all at the path of the map.
pub(super) fn labels(at: &At<'_>, errors: &mut Vec<FieldError>) {
    for (key, value) in at.map().into_iter().flatten() {
        if let Err(reason) = names::label_key(key) {
            errors.push(FieldError::invalid(at.path.clone(), key.as_str(), reason));
        }
        let value = value.as_str().unwrap_or_default();
        if let Err(reason) = names::label_value(value) {
            errors.push(FieldError::invalid(at.path.clone(), value, reason));
        }
    }
}

/// No two items have the same `field`; items without it do not count.
pub(super) fn unique_field(list: &At<'_>, field: &str, errors: &mut Vec<FieldError>) {
    let mut seen: HashSet<&Value> = HashSet::new();
    for item in list.items() {
        let at = item.field(field);
        if !at.is_empty() && !seen.insert(at.value) {
            errors.push(at.duplicate());
        }
    }
}
