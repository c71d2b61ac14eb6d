//! The formats of strings that a schema can demand. Unknown formats demand nothing.
//!
//! Source: `format` in the API reference of JSONSchemaProps.

use std::{
    net::{Ipv4Addr, Ipv6Addr},
    sync::LazyLock,
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use ipnet::IpNet;
use regex::Regex;

use crate::quantity::Quantity;

/// Formats that are patterns.
const PATTERNS: &[(&str, &str)] = &[
    ("bsonobjectid", "^[0-9a-fA-F]{24}$"),
    (
        "creditcard",
        "^(?:4[0-9]{12}(?:[0-9]{3})?|5[1-5][0-9]{14}|6(?:011|5[0-9][0-9])[0-9]{12}|3[47][0-9]{13}|3(?:0[0-5]|[68]\
         [0-9])[0-9]{11}|(?:2131|1800|35[0-9]{3})[0-9]{11})$",
    ),
    ("date", "^[0-9]{4}-(?:0[1-9]|1[0-2])-(?:0[1-9]|[12][0-9]|3[01])$"),
    ("email", r"^[^@\s<>]+@[^@\s<>]+$"),
    ("hexcolor", "^#?([0-9a-fA-F]{3}|[0-9a-fA-F]{6})$"),
    (
        "hostname",
        r"^([a-zA-Z0-9\p{L}]([a-zA-Z0-9\p{L}-]{0,61}[a-zA-Z0-9\p{L}])?)(\.[a-zA-Z0-9\p{L}]([a-zA-Z0-9\p{L}-]{0,61}[a-zA-Z0-9\p{L}])?)*\.?$",
    ),
    ("isbn10", "^[0-9]{9}[0-9X]$"),
    ("isbn13", "^[0-9]{13}$"),
    (
        "mac",
        "^(?:[0-9a-fA-F]{2}[:-]){5}(?:[0-9a-fA-F]{2})(?:[:-][0-9a-fA-F]{2}){0,14}$|^(?:[0-9a-fA-F]{4}[.]){2}[0-9a-fA-F]{4}$",
    ),
    (
        "rgbcolor",
        r"^rgb\(\s*(0|[1-9]\d?|1\d\d?|2[0-4]\d|25[0-5])\s*,\s*(0|[1-9]\d?|1\d\d?|2[0-4]\d|25[0-5])\s*,\s*(0|[1-9]\d?|1\d\d?|2[0-4]\d|25[0-5])\s*\)$",
    ),
    ("ssn", r"^\d{3}[- ]?\d{2}[- ]?\d{4}$"),
    (
        "uuid",
        "(?i)^[0-9a-f]{8}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{12}$",
    ),
    (
        "uuid3",
        "(?i)^[0-9a-f]{8}-?[0-9a-f]{4}-?3[0-9a-f]{3}-?[0-9a-f]{4}-?[0-9a-f]{12}$",
    ),
    (
        "uuid4",
        "(?i)^[0-9a-f]{8}-?[0-9a-f]{4}-?4[0-9a-f]{3}-?[89ab][0-9a-f]{3}-?[0-9a-f]{12}$",
    ),
    (
        "uuid5",
        "(?i)^[0-9a-f]{8}-?[0-9a-f]{4}-?5[0-9a-f]{3}-?[89ab][0-9a-f]{3}-?[0-9a-f]{12}$",
    ),
    ("k8s-short-name", "^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$"),
    (
        "k8s-long-name",
        r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$",
    ),
];

/// Whether the text has the format.
pub(super) fn fits(format: &str, text: &str) -> bool {
    static COMPILED: LazyLock<Vec<(&str, Regex)>> = LazyLock::new(|| {
        PATTERNS
            .iter()
            .map(|(name, pattern)| (*name, Regex::new(pattern).expect("the patterns are constants")))
            .collect()
    });
    match format {
        "byte" => STANDARD.decode(text).is_ok(),
        "cidr" => text.parse::<IpNet>().is_ok(),
        "creditcard" | "isbn10" | "isbn13" => {
            let bare: String = text.chars().filter(char::is_ascii_alphanumeric).collect();
            matches(&COMPILED, format, &bare)
        }
        "date-time" | "datetime" => text.parse::<jiff::Timestamp>().is_ok(),
        "duration" => is_duration(text),
        "ipv4" => text.parse::<Ipv4Addr>().is_ok(),
        "ipv6" => text.parse::<Ipv6Addr>().is_ok(),
        "isbn" => fits("isbn10", text) || fits("isbn13", text),
        "quantity" => Quantity::parse(text).is_ok(),
        "uri" => is_uri(text),
        _ => matches(&COMPILED, format, text),
    }
}

fn matches(compiled: &[(&str, Regex)], format: &str, text: &str) -> bool {
    compiled
        .iter()
        .find(|(name, _)| *name == format)
        .is_none_or(|(_, pattern)| pattern.is_match(text))
}

/// `1h30m`, `-1.5s`, or a number and a word as in `22 ns`.
fn is_duration(text: &str) -> bool {
    static PARTS: LazyLock<Regex> = LazyLock::new(|| {
        let parts = r"^[-+]?(?:0|(?:(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)\s*(?:ns|us|µs|μs|ms|s|m|h|d|w|nanos?|nanoseconds?|micros?|microseconds?|millis?|milliseconds?|seconds?|minutes?|hours?|days?|weeks?))+)$";
        Regex::new(parts).expect("the pattern is a constant")
    });
    PARTS.is_match(text)
}

/// An absolute address or an absolute path.
fn is_uri(text: &str) -> bool {
    if text.is_empty() || text.chars().any(|c| c.is_control() || c == ' ') {
        return false;
    }
    let Some((scheme, rest)) = text.split_once(':') else {
        return text.starts_with('/');
    };
    let is_scheme = scheme.starts_with(|c: char| c.is_ascii_alphabetic())
        && scheme
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.'));
    text.starts_with('/') || (is_scheme && !rest.is_empty())
}
