//! Schedules of cron jobs: five fields, or a name for one.
//!
//! Source: crontab(5); the messages of the parser that Kubernetes uses.

/// A field of a schedule: its least and greatest number, and names for numbers.
struct Field {
    first: u32,
    last: u32,
    names: &'static [(&'static str, u32)],
}

const FIELDS: [Field; 5] = [
    Field::numbers(0, 59),
    Field::numbers(0, 23),
    Field::numbers(1, 31),
    Field {
        names: &[
            ("jan", 1),
            ("feb", 2),
            ("mar", 3),
            ("apr", 4),
            ("may", 5),
            ("jun", 6),
            ("jul", 7),
            ("aug", 8),
            ("sep", 9),
            ("oct", 10),
            ("nov", 11),
            ("dec", 12),
        ],
        ..Field::numbers(1, 12)
    },
    Field {
        names: &[
            ("sun", 0),
            ("mon", 1),
            ("tue", 2),
            ("wed", 3),
            ("thu", 4),
            ("fri", 5),
            ("sat", 6),
        ],
        ..Field::numbers(0, 6)
    },
];
const DESCRIPTORS: [&str; 7] = [
    "@annually",
    "@daily",
    "@hourly",
    "@midnight",
    "@monthly",
    "@weekly",
    "@yearly",
];
const EVERY: &str = "@every ";
/// Units of a duration.
const UNITS: [&str; 7] = ["ns", "us", "µs", "ms", "s", "m", "h"];

impl Field {
    const fn numbers(first: u32, last: u32) -> Field {
        Field {
            first,
            last,
            names: &[],
        }
    }
}

/// Checks the text of a schedule.
///
/// # Errors
/// The reason in Kubernetes' words.
pub(super) fn schedule(text: &str) -> Result<(), String> {
    let text = without_zone(text);
    if text.is_empty() {
        return Err("empty spec string".to_owned());
    }
    if text.starts_with('@') {
        return descriptor(text);
    }
    let fields: Vec<&str> = text.split_whitespace().collect();
    if fields.len() != FIELDS.len() {
        return Err(format!(
            "expected exactly {} fields, found {}: [{}]",
            FIELDS.len(),
            fields.len(),
            fields.join(" ")
        ));
    }
    for (text, field) in fields.iter().zip(&FIELDS) {
        for range in text.split(',').filter(|range| !range.is_empty()) {
            check_range(range, field)?;
        }
    }
    Ok(())
}

/// A time zone in front is for its caller to judge.
fn without_zone(text: &str) -> &str {
    if text.starts_with("TZ=") || text.starts_with("CRON_TZ=") {
        return text.split_once(' ').map_or("", |(_, rest)| rest.trim());
    }
    text
}

fn descriptor(text: &str) -> Result<(), String> {
    if DESCRIPTORS.contains(&text) {
        return Ok(());
    }
    match text.strip_prefix(EVERY) {
        Some(duration) if is_duration(duration) => Ok(()),
        Some(duration) => Err(format!(
            "failed to parse duration {text}: time: invalid duration {duration:?}"
        )),
        None => Err(format!("unrecognized descriptor: {text}")),
    }
}

/// `1h30m`: numbers with units, one at least.
fn is_duration(text: &str) -> bool {
    let mut rest = text.strip_prefix(['+', '-']).unwrap_or(text);
    if rest == "0" {
        return true;
    }
    if rest.is_empty() {
        return false;
    }
    while !rest.is_empty() {
        let unit_at = rest
            .find(|c: char| !c.is_ascii_digit() && c != '.')
            .unwrap_or(rest.len());
        let (number, tail) = rest.split_at(unit_at);
        let is_number = number.bytes().any(|byte| byte.is_ascii_digit()) && number.matches('.').count() <= 1;
        let end = tail
            .find(|c: char| c.is_ascii_digit() || c == '.')
            .unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(end);
        if !is_number || !UNITS.contains(&unit) {
            return false;
        }
        rest = tail;
    }
    true
}

/// `*`, `3`, `3-5`, each with `/2` behind it.
fn check_range(text: &str, field: &Field) -> Result<(), String> {
    let mut parts = text.split('/');
    let range = parts.next().unwrap_or_default();
    let (step, too_many) = (parts.next(), parts.next().is_some());
    let mut bounds = range.split('-');
    let low = bounds.next().unwrap_or_default();
    let (high, too_long) = (bounds.next(), bounds.next().is_some());
    let is_any = matches!(low, "*" | "?");
    let (start, mut end) = if is_any {
        (field.first, field.last)
    } else {
        let start = number(low, field)?;
        match high {
            None => (start, start),
            Some(_) if too_long => return Err(format!("too many hyphens: {text}")),
            Some(high) => (start, number(high, field)?),
        }
    };
    let step = match step {
        None => 1,
        Some(_) if too_many => return Err(format!("too many slashes: {text}")),
        Some(step) => {
            if !is_any && high.is_none() {
                end = field.last;
            }
            integer(step)?
        }
    };
    if start < field.first {
        return Err(format!(
            "beginning of range ({start}) below minimum ({}): {text}",
            field.first
        ));
    }
    if end > field.last {
        return Err(format!("end of range ({end}) above maximum ({}): {text}", field.last));
    }
    if start > end {
        return Err(format!(
            "beginning of range ({start}) beyond end of range ({end}): {text}"
        ));
    }
    if step == 0 {
        return Err(format!("step of range should be a positive number: {text}"));
    }
    Ok(())
}

fn number(text: &str, field: &Field) -> Result<u32, String> {
    let lower = text.to_lowercase();
    match field.names.iter().find(|(name, _)| *name == lower) {
        Some((_, number)) => Ok(*number),
        None => integer(text),
    }
}

fn integer(text: &str) -> Result<u32, String> {
    match text.parse::<i64>() {
        Ok(number) if number < 0 => Err(format!("negative number ({number}) not allowed: {text}")),
        Ok(number) => Ok(u32::try_from(number).unwrap_or(u32::MAX)),
        Err(_) => Err(format!(
            "failed to parse int from {text}: strconv.Atoi: parsing {text:?}: invalid syntax"
        )),
    }
}
