//! Resource quantities: `100m`, `1.5Gi`, `3e2`.
//!
//! Values are exact down to a billionth; finer digits round up, values beyond 2^63-1 are capped, as Kubernetes does.
//! Source: `k8s.io/apimachinery/pkg/api/resource`, "Quantity" in the API reference.

use std::{cmp::Ordering, fmt, str::FromStr};

/// Fractions are kept to billionths.
const NANO: i128 = 1_000_000_000;
/// Largest value either way, in billionths: 2^63-1.
const LIMIT: i128 = i64::MAX as i128 * NANO;
/// Digits past which a number is refused rather than computed with: more than any quantity can mean.
const DIGITS_MAX: usize = 64;

/// How a quantity was written, and so how it is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Format {
    /// `k`, `M`, … powers of ten
    Decimal,
    /// `Ki`, `Mi`, … powers of 1024
    Binary,
    /// `e3`, `e6`, …
    Exponent,
}

/// A number with a unit suffix. Compares by value: `1000m == 1`.
#[derive(Debug, Clone, Copy)]
pub struct Quantity {
    nanos: i128,
    format: Format,
}

/// The text is not a quantity.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ParseQuantityError {
    /// Not a number followed by a suffix.
    #[error("quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'")]
    Format,
    /// A number, but the suffix is none that is known.
    #[error("unable to parse quantity's suffix")]
    Suffix,
}

impl Quantity {
    /// Zero.
    pub const ZERO: Quantity = Quantity {
        nanos: 0,
        format: Format::Decimal,
    };

    /// A whole number without a suffix.
    #[must_use]
    pub const fn from_value(value: i64) -> Quantity {
        Quantity {
            nanos: value as i128 * NANO,
            format: Format::Decimal,
        }
    }

    /// A number of thousandths.
    #[must_use]
    pub const fn from_milli(milli: i64) -> Quantity {
        Quantity {
            nanos: milli as i128 * (NANO / 1000),
            format: Format::Decimal,
        }
    }

    /// A whole number printed with `Ki`, `Mi`, ….
    #[must_use]
    pub const fn from_bytes(bytes: i64) -> Quantity {
        Quantity {
            nanos: bytes as i128 * NANO,
            format: Format::Binary,
        }
    }

    /// Parses a quantity.
    ///
    /// # Errors
    /// When the text is no number, or its suffix is unknown. The error's text is the one Kubernetes gives.
    pub fn parse(text: &str) -> Result<Quantity, ParseQuantityError> {
        let (negative, rest) = match text.as_bytes().first() {
            None => return Err(ParseQuantityError::Format),
            Some(b'-') => (true, &text[1..]),
            Some(b'+') => (false, &text[1..]),
            Some(_) => (false, text),
        };
        let number_end = rest
            .find(|c: char| !c.is_ascii_digit() && c != '.')
            .unwrap_or(rest.len());
        let (number, suffix) = rest.split_at(number_end);
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        if whole.len() + fraction.len() == 0 || fraction.contains('.') || number.len() > DIGITS_MAX {
            return Err(ParseQuantityError::Format);
        }
        if !suffix_characters_are_known(suffix) {
            return Err(ParseQuantityError::Format);
        }
        let (unit, format) = unit(suffix)?;
        let nanos = scale(whole, fraction, unit).min(LIMIT);
        Ok(Quantity {
            nanos: if negative { -nanos } else { nanos },
            format,
        })
    }

    /// The value as a whole number, rounded away from zero.
    #[must_use]
    pub fn value(self) -> i64 {
        clamp(divide_away_from_zero(self.nanos, NANO))
    }

    /// The value in thousandths, rounded away from zero and capped.
    #[must_use]
    pub fn milli_value(self) -> i64 {
        clamp(divide_away_from_zero(self.nanos, NANO / 1000))
    }

    /// Less than zero.
    #[must_use]
    pub fn is_negative(self) -> bool {
        self.nanos < 0
    }

    /// Exactly zero.
    #[must_use]
    pub fn is_zero(self) -> bool {
        self.nanos == 0
    }

    /// A whole number.
    #[must_use]
    pub fn is_whole(self) -> bool {
        self.nanos % NANO == 0
    }

    /// The next whole number, away from zero.
    #[must_use]
    pub fn rounded_up(self) -> Quantity {
        Quantity {
            nanos: divide_away_from_zero(self.nanos, NANO) * NANO,
            ..self
        }
    }

    /// The sum, capped; printed in the format of `self`, or of `other` when `self` is zero.
    #[must_use]
    #[expect(
        clippy::should_implement_trait,
        reason = "adding caps, and the operator would hide that"
    )]
    pub fn add(self, other: Quantity) -> Quantity {
        Quantity {
            nanos: (self.nanos + other.nanos).clamp(-LIMIT, LIMIT),
            format: if self.is_zero() { other.format } else { self.format },
        }
    }

    /// The difference, capped; printed as [`Quantity::add`] does.
    #[must_use]
    #[expect(
        clippy::should_implement_trait,
        reason = "subtracting caps, and the operator would hide that"
    )]
    pub fn sub(self, other: Quantity) -> Quantity {
        self.add(Quantity {
            nanos: -other.nanos,
            format: other.format,
        })
    }
}

impl PartialEq for Quantity {
    fn eq(&self, other: &Quantity) -> bool {
        self.nanos == other.nanos
    }
}

impl Eq for Quantity {}

impl PartialOrd for Quantity {
    fn partial_cmp(&self, other: &Quantity) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Quantity {
    fn cmp(&self, other: &Quantity) -> Ordering {
        self.nanos.cmp(&other.nanos)
    }
}

impl FromStr for Quantity {
    type Err = ParseQuantityError;

    fn from_str(text: &str) -> Result<Quantity, ParseQuantityError> {
        Quantity::parse(text)
    }
}

impl fmt::Display for Quantity {
    /// The canonical form: no fraction, the largest suffix that keeps the value exact.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.nanos == 0 {
            return f.write_str("0");
        }
        let small = self.nanos.abs() < 1024 * NANO;
        match self.format {
            Format::Binary if !small => {
                const SUFFIXES: [&str; 7] = ["", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"];
                let mut value = divide_away_from_zero(self.nanos, NANO);
                let mut step = 0;
                while value % 1024 == 0 && step + 1 < SUFFIXES.len() {
                    value /= 1024;
                    step += 1;
                }
                write!(f, "{value}{}", SUFFIXES[step])
            }
            Format::Binary | Format::Decimal => {
                const SUFFIXES: [&str; 10] = ["n", "u", "m", "", "k", "M", "G", "T", "P", "E"];
                let (value, step) = thousands(self.nanos, SUFFIXES.len());
                write!(f, "{value}{}", SUFFIXES[step])
            }
            Format::Exponent => {
                let (value, step) = thousands(self.nanos, 13);
                match i32::try_from(step).map_or(0, |step| step * 3 - 9) {
                    0 => write!(f, "{value}"),
                    exponent => write!(f, "{value}e{exponent}"),
                }
            }
        }
    }
}

/// Divides billionths by 1000 as long as that is exact; returns the number and how often it was divided.
fn thousands(nanos: i128, steps: usize) -> (i128, usize) {
    let mut value = nanos;
    let mut step = 0;
    while value % 1000 == 0 && step + 1 < steps {
        value /= 1000;
        step += 1;
    }
    (value, step)
}

/// `10^exponent * 2^binary`
struct Unit {
    exponent: i32,
    binary: u32,
}

fn suffix_characters_are_known(suffix: &str) -> bool {
    let rest = suffix.trim_start_matches(|c| "eEinumkKMGTP".contains(c));
    let rest = rest.strip_prefix(['+', '-']).unwrap_or(rest);
    rest.bytes().all(|byte| byte.is_ascii_digit())
}

fn unit(suffix: &str) -> Result<(Unit, Format), ParseQuantityError> {
    let decimal = |exponent| (Unit { exponent, binary: 0 }, Format::Decimal);
    let binary = |binary| (Unit { exponent: 0, binary }, Format::Binary);
    Ok(match suffix {
        "n" => decimal(-9),
        "u" => decimal(-6),
        "m" => decimal(-3),
        "" => decimal(0),
        "k" => decimal(3),
        "M" => decimal(6),
        "G" => decimal(9),
        "T" => decimal(12),
        "P" => decimal(15),
        "E" => decimal(18),
        "Ki" => binary(10),
        "Mi" => binary(20),
        "Gi" => binary(30),
        "Ti" => binary(40),
        "Pi" => binary(50),
        "Ei" => binary(60),
        _ => {
            let exponent = suffix
                .strip_prefix(['e', 'E'])
                .and_then(|digits| digits.parse::<i32>().ok())
                .ok_or(ParseQuantityError::Suffix)?;
            (Unit { exponent, binary: 0 }, Format::Exponent)
        }
    })
}

/// `whole.fraction` times the unit in billionths: rounded up, and past [`LIMIT`] anything at or above it.
fn scale(whole: &str, fraction: &str, unit: Unit) -> i128 {
    // The digits as one number, times ten to the power of `exponent`.
    let digits: Vec<u8> = whole
        .bytes()
        .chain(fraction.bytes())
        .skip_while(|digit| *digit == b'0')
        .collect();
    if digits.is_empty() {
        return 0;
    }
    let fraction_digits = i32::try_from(fraction.len()).unwrap_or(i32::MAX);
    let exponent = unit.exponent.saturating_add(9).saturating_sub(fraction_digits);
    let mut value: i128 = 0;
    let mut exact = true;
    // Digits below a billionth (after the unit's power of two) still decide whether to round up.
    let binary_slack = if unit.binary > 0 { 20 } else { 0 };
    let digit_count = i32::try_from(digits.len()).unwrap_or(i32::MAX);
    let kept = digit_count
        .min(digit_count.saturating_add(exponent).saturating_add(binary_slack))
        .max(0);
    let kept_digits = usize::try_from(kept).unwrap_or(0);
    for digit in &digits[..kept_digits] {
        value = value.saturating_mul(10).saturating_add(i128::from(digit - b'0'));
    }
    exact &= digits[kept_digits..].iter().all(|digit| *digit == b'0');
    let mut exponent = exponent.saturating_add(digit_count - kept);
    if value > LIMIT.saturating_mul(1 << 10) && exponent >= 0 {
        return LIMIT;
    }
    value = value.saturating_mul(1 << unit.binary);
    while exponent > 0 && value <= LIMIT {
        value = value.saturating_mul(10);
        exponent -= 1;
    }
    while exponent < 0 && value > 0 {
        exact &= value % 10 == 0;
        value /= 10;
        exponent += 1;
    }
    if exact { value } else { value.saturating_add(1) }
}

fn divide_away_from_zero(value: i128, divisor: i128) -> i128 {
    let quotient = value / divisor;
    match value % divisor {
        0 => quotient,
        _ if value < 0 => quotient - 1,
        _ => quotient + 1,
    }
}

fn clamp(value: i128) -> i64 {
    i64::try_from(value).unwrap_or(if value < 0 { i64::MIN } else { i64::MAX })
}

#[cfg(test)]
mod tests;
