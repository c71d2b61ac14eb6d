//! Numbers of pods that may also be shares of all of them.

use serde_json::Value;

use super::{at::At, checks::not_negative, error::FieldError};

const PERCENT: &str = "a valid percent string must be a numeric string followed by an ending '%' (e.g. '1%',  or \
     '93%', regex used for validation is '[0-9]+%')";

/// A number of pods, or a share of them.
pub(super) fn amount(at: &At<'_>, errors: &mut Vec<FieldError>) {
    if at.value.is_string() {
        if percent(at.text()).is_none() {
            errors.push(at.invalid(PERCENT));
        }
    } else {
        not_negative(at, errors);
    }
}

/// A share is not greater than all.
pub(super) fn no_more_than_all(at: &At<'_>, errors: &mut Vec<FieldError>) {
    if percent(at.text()).is_some_and(|percent| percent > 100) {
        errors.push(at.invalid("must not be greater than 100%"));
    }
}

/// Whether that is no pod at all.
pub(super) fn is_zero(value: &Value) -> bool {
    match value {
        Value::Number(number) => number.as_i64() == Some(0),
        Value::String(text) => percent(text) == Some(0),
        Value::Null => true,
        _ => false,
    }
}

fn percent(text: &str) -> Option<u64> {
    let digits = text.strip_suffix('%')?;
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    Some(digits.parse().unwrap_or(u64::MAX))
}
