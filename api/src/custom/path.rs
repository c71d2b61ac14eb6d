//! The JSONPath of printer columns, scales and selectable fields: fields, indices, wildcards and filters.
//!
//! Source: "JSONPath Support" in the documentation of kubectl, as far as one path goes.

use serde_json::Value;

/// Longest path: far beyond any real one.
const PATH_BYTES_MAX: usize = 4096;

/// A path from an object to values in it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Path(Vec<Step>);

#[derive(Debug, Clone, PartialEq)]
enum Step {
    Field(String),
    Index(i64),
    All,
    /// Items whose value at the path compares so with the literal; without a literal, those that have one.
    Filter(Path, Option<(Comparison, Value)>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Comparison {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

impl Path {
    /// Parses `.spec.items[0].name`, `.metadata.labels['a']`, `.status.conditions[?(@.type=="Ready")].status`.
    ///
    /// # Errors
    /// What cannot be understood.
    pub(crate) fn parse(text: &str) -> Result<Path, String> {
        if text.len() > PATH_BYTES_MAX {
            return Err(format!("path of more than {PATH_BYTES_MAX} bytes"));
        }
        let mut steps = Vec::new();
        let mut rest = text.trim_start_matches('{').trim_end_matches('}');
        rest = rest.strip_prefix('$').unwrap_or(rest);
        while !rest.is_empty() {
            rest = if let Some(after) = rest.strip_prefix('[') {
                let end = closing(after).ok_or_else(|| format!("unterminated array in {text:?}"))?;
                steps.push(bracket(&after[..end])?);
                &after[end + 1..]
            } else if let Some(after) = rest.strip_prefix('.') {
                let (name, after) = field(after);
                match name.as_str() {
                    "" if after.starts_with('[') || after.is_empty() => {}
                    "" => return Err(format!("unexpected {after:?}")),
                    "*" => steps.push(Step::All),
                    _ => steps.push(Step::Field(name)),
                }
                after
            } else {
                return Err(format!("unrecognized character in {rest:?}"));
            };
        }
        Ok(Path(steps))
    }

    /// The values at the path, in order.
    pub(crate) fn find<'a>(&self, value: &'a Value) -> Vec<&'a Value> {
        let mut found = vec![value];
        for step in &self.0 {
            found = found.into_iter().flat_map(|value| step.follow(value)).collect();
        }
        found
    }

    /// The first value at the path.
    pub(crate) fn first<'a>(&self, value: &'a Value) -> Option<&'a Value> {
        self.find(value).into_iter().next()
    }

    /// The names of the fields, if the path has nothing else.
    pub(crate) fn fields(&self) -> Option<Vec<&str>> {
        self.0
            .iter()
            .map(|step| match step {
                Step::Field(name) => Some(name.as_str()),
                Step::Index(_) | Step::All | Step::Filter(..) => None,
            })
            .collect()
    }
}

impl Step {
    fn follow<'a>(&self, value: &'a Value) -> Vec<&'a Value> {
        let items = value.as_array().map_or(&[][..], Vec::as_slice);
        match self {
            Step::Field(name) => value.get(name).into_iter().collect(),
            Step::Index(index) => {
                let length = i64::try_from(items.len()).unwrap_or(i64::MAX);
                let index = if *index < 0 { length + index } else { *index };
                usize::try_from(index)
                    .ok()
                    .and_then(|index| items.get(index))
                    .into_iter()
                    .collect()
            }
            Step::All => match value {
                Value::Object(fields) => fields.values().collect(),
                _ => items.iter().collect(),
            },
            Step::Filter(path, test) => items
                .iter()
                .filter(|item| match (path.first(item), test) {
                    (Some(found), Some((comparison, literal))) => comparison.holds(found, literal),
                    (found, None) => found.is_some(),
                    (None, Some(_)) => false,
                })
                .collect(),
        }
    }
}

impl Comparison {
    /// Longer operators first.
    const OPERATORS: [(&'static str, Comparison); 6] = [
        ("==", Comparison::Equal),
        ("!=", Comparison::NotEqual),
        ("<=", Comparison::LessOrEqual),
        (">=", Comparison::GreaterOrEqual),
        ("<", Comparison::Less),
        (">", Comparison::Greater),
    ];

    fn holds(self, one: &Value, other: &Value) -> bool {
        let order = match (one, other) {
            (Value::Number(one), Value::Number(other)) => one.as_f64().partial_cmp(&other.as_f64()),
            (Value::String(one), Value::String(other)) => Some(one.cmp(other)),
            _ => (one == other).then_some(std::cmp::Ordering::Equal),
        };
        match self {
            Comparison::Equal => order.is_some_and(std::cmp::Ordering::is_eq),
            Comparison::NotEqual => !order.is_some_and(std::cmp::Ordering::is_eq),
            Comparison::Less => order.is_some_and(std::cmp::Ordering::is_lt),
            Comparison::LessOrEqual => order.is_some_and(std::cmp::Ordering::is_le),
            Comparison::Greater => order.is_some_and(std::cmp::Ordering::is_gt),
            Comparison::GreaterOrEqual => order.is_some_and(std::cmp::Ordering::is_ge),
        }
    }
}

/// The name at the beginning, with escaped dots, and what follows.
fn field(text: &str) -> (String, &str) {
    let mut name = String::new();
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '.' | '[' => return (name, &text[at..]),
            '\\' => name.extend(chars.next().map(|(_, c)| c)),
            _ => name.push(c),
        }
    }
    (name, "")
}

/// Where the bracket closes, outside quotes and inner brackets.
fn closing(text: &str) -> Option<usize> {
    let (mut depth, mut quote) = (0, None);
    for (at, c) in text.char_indices() {
        match (c, quote) {
            (c, Some(open)) if c == open => quote = None,
            (_, Some(_)) => {}
            ('\'' | '"', None) => quote = Some(c),
            ('[', None) => depth += 1,
            (']', None) if depth == 0 => return Some(at),
            (']', None) => depth -= 1,
            _ => {}
        }
    }
    None
}

fn bracket(inside: &str) -> Result<Step, String> {
    let inside = inside.trim();
    if inside == "*" {
        return Ok(Step::All);
    }
    if let Some(name) = quoted(inside) {
        return Ok(Step::Field(name.to_owned()));
    }
    if let Some(condition) = inside.strip_prefix("?(").and_then(|inside| inside.strip_suffix(')')) {
        return filter(condition.trim());
    }
    inside
        .parse()
        .map(Step::Index)
        .map_err(|_| format!("invalid array index {inside}"))
}

fn filter(condition: &str) -> Result<Step, String> {
    let path = condition
        .strip_prefix('@')
        .ok_or_else(|| format!("unrecognized filter {condition:?}"))?;
    let split = Comparison::OPERATORS
        .iter()
        .find_map(|(operator, comparison)| Some((path.split_once(operator)?, *comparison)));
    let Some(((path, literal), comparison)) = split else {
        return Ok(Step::Filter(Path::parse(path.trim())?, None));
    };
    let literal = literal.trim();
    let literal = match quoted(literal) {
        Some(text) => Value::from(text),
        None => serde_json::from_str(literal).map_err(|_| format!("unrecognized literal {literal:?}"))?,
    };
    Ok(Step::Filter(Path::parse(path.trim())?, Some((comparison, literal))))
}

fn quoted(text: &str) -> Option<&str> {
    ['\'', '"']
        .iter()
        .find_map(|quote| text.strip_prefix(*quote)?.strip_suffix(*quote))
}
