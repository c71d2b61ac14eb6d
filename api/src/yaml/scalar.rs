//! What an unquoted word is: nothing, a boolean, a number, or a text.
//!
//! Pure. Source: YAML 1.1, "Tag repository", as gopkg.in/yaml.v2 reads it: sexagesimal numbers are texts, times too.

use serde_json::{Number, Value, json};

/// The largest whole number below which every one is exact as a float.
const EXACT_MAX: f64 = 9_007_199_254_740_992.0;

/// The value of a plain scalar; None for infinity and what is not a number, which JSON does not have.
pub(super) fn resolve(text: &str) -> Option<Value> {
    Some(match text {
        "" | "~" | "null" | "Null" | "NULL" => Value::Null,
        "y" | "Y" | "yes" | "Yes" | "YES" | "true" | "True" | "TRUE" | "on" | "On" | "ON" => Value::Bool(true),
        "n" | "N" | "no" | "No" | "NO" | "false" | "False" | "FALSE" | "off" | "Off" | "OFF" => Value::Bool(false),
        ".nan" | ".NaN" | ".NAN" | ".inf" | ".Inf" | ".INF" | "+.inf" | "+.Inf" | "+.INF" | "-.inf" | "-.Inf"
        | "-.INF" => return None,
        text if text.starts_with(|first: char| first.is_ascii_digit() || "+-.".contains(first)) => {
            let plain = text.replace('_', "");
            match integer(&plain).or_else(|| float(&plain)) {
                Some(number) => Value::Number(number),
                None => json!(text),
            }
        }
        text => json!(text),
    })
}

/// Decimal, `0x`, `0o`, `0b`, or octal with a zero in front.
fn integer(text: &str) -> Option<Number> {
    let (negative, digits) = match text.as_bytes().first()? {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text),
    };
    let lower = digits.get(..2).map(str::to_ascii_lowercase);
    let (radix, digits) = match lower.as_deref() {
        Some("0x") => (16, &digits[2..]),
        Some("0o") => (8, &digits[2..]),
        Some("0b") => (2, &digits[2..]),
        Some(two) if two.starts_with('0') => (8, &digits[1..]),
        Some(_) | None => (10, digits),
    };
    // A second sign is none.
    if !digits.starts_with(|first: char| first.is_ascii_alphanumeric()) {
        return None;
    }
    let amount = u64::from_str_radix(digits, radix).ok()?;
    if negative {
        return 0_i64.checked_sub_unsigned(amount).map(Number::from);
    }
    Some(Number::from(amount))
}

/// Digits with a point or an exponent, or more of them than an integer takes.
fn float(text: &str) -> Option<Number> {
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent.strip_prefix(['-', '+']).unwrap_or(exponent))),
        None => (unsigned, None),
    };
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let has_digits = digits(whole) && digits(fraction) && !(whole.is_empty() && fraction.is_empty());
    if !has_digits || exponent.is_some_and(|exponent| !is_number(exponent)) {
        return None;
    }
    let value: f64 = text.parse().ok()?;
    if value.fract() == 0.0 && value.abs() < EXACT_MAX {
        #[expect(clippy::cast_possible_truncation, reason = "a whole number that is exact")]
        return Some(Number::from(value as i64));
    }
    Number::from_f64(value)
}
